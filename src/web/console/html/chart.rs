//! Small line charts as SVG, drawn by the server: no script, sized by attributes, colours from the page.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 120.0;
const TOP: f64 = 16.0;
const RIGHT: f64 = 64.0;
const BOTTOM: f64 = 20.0;

/// What a chart shows.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// What is counted, such as `accepted`.
    pub name: &'a str,
    /// Oldest first; `None` where nothing is known, which is drawn as a gap and never as zero.
    pub points: &'a [Option<f64>],
    /// The unit of the values, such as `/min`.
    pub unit: &'a str,
    /// The span that the points cover, such as `last hour`.
    pub span: &'a str,
}

/// A chart from zero, its last value at the line's end, with its numbers in words for who cannot see it.
#[must_use]
pub fn chart(series: &Series<'_>) -> Markup {
    let known: Vec<f64> = series.points.iter().flatten().copied().collect();
    let top = known.iter().copied().fold(1.0, f64::max);
    let last = series.points.iter().rev().flatten().next();
    let words = match last {
        Some(last) => format!(
            "{} {}: now {last:.0}{}, at most {top:.0}{}",
            series.name, series.span, series.unit, series.unit
        ),
        None => format!("{} {}: nothing measured yet", series.name, series.span),
    };
    let step = (WIDTH - RIGHT) / (series.points.len().max(2) - 1) as f64;
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / top);
    let base = HEIGHT - BOTTOM;
    let (mut curve, mut area, mut end) = (String::new(), String::new(), (0.0, base));
    let mut run_start: Option<f64> = None;
    for (at, point) in series.points.iter().enumerate() {
        let x = at as f64 * step;
        match (point, run_start) {
            (Some(value), None) => {
                let _ = write!(curve, "M{x:.1} {:.1}", y(*value));
                let _ = write!(area, "M{x:.1} {base}L{x:.1} {:.1}", y(*value));
                run_start = Some(x);
                end = (x, y(*value));
            }
            (Some(value), Some(_)) => {
                let _ = write!(curve, "L{x:.1} {:.1}", y(*value));
                let _ = write!(area, "L{x:.1} {:.1}", y(*value));
                end = (x, y(*value));
            }
            (None, Some(_)) => {
                let _ = write!(area, "L{:.1} {base}Z", end.0);
                run_start = None;
            }
            (None, None) => {}
        }
    }
    if run_start.is_some() {
        let _ = write!(area, "L{:.1} {base}Z", end.0);
    }
    // Every part of this text is a number or a word of the hub's own.
    let label = last.map_or_else(String::new, |last| {
        format!(
            r#"<text x="{:.1}" y="{:.1}">{last:.0}{}</text>"#,
            end.0 + 4.0,
            (end.1 + 4.0).clamp(12.0, base),
            series.unit
        )
    });
    let drawing = format!(
        r#"<path class="axis" d="M0 {base}H{WIDTH}" fill="none"/><path class="area" d="{area}"/><path class="curve" d="{curve}"/>{label}<text x="0" y="{}">{}</text><text x="0" y="11">{top:.0}</text>"#,
        HEIGHT - 5.0,
        series.span,
    );
    html! {
        figure .figure {
            figcaption .meta { (series.name) }
            svg .chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) width="480" height="120" role="img" aria-label=(words) { (PreEscaped(drawing)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_a_gap() {
        let series = Series {
            name: "accepted",
            points: &[Some(1.0), None, Some(2.0)],
            unit: "/min",
            span: "last hour",
        };
        let drawn = chart(&series).into_string();
        let curve = drawn
            .split("class=\"curve\" d=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_default();
        assert_eq!(curve.matches('M').count(), 2, "{curve}");
    }

    #[test]
    fn an_empty_chart_says_so() {
        let series = Series {
            name: "accepted",
            points: &[None, None],
            unit: "/min",
            span: "last hour",
        };
        assert!(
            chart(&series)
                .into_string()
                .contains("nothing measured yet")
        );
    }
}
