//! Time, twice: how long ago, and exactly. One zone for every page, named at its foot: UTC.

use std::time::Duration;

use maud::{Markup, Render, html};

use crate::domain::time::Micros;

/// An instant, seen from now: "4 min ago, 14:02:31". A script keeps the first half true while the page stays open.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// The instant.
    pub at: Micros,
    /// The present.
    pub now: Micros,
}

impl Render for When {
    fn render(&self) -> Markup {
        html! {
            time datetime=(self.at.rfc3339()) data-at=(self.at.0 / 1_000) title=(moment(self.at)) {
                span .rel { (relative(self.at, self.now)) } ", " (exact(self.at, self.now))
            }
        }
    }
}

/// "4 min ago", "in 4 min", "now".
fn relative(at: Micros, now: Micros) -> String {
    if at > now {
        let left = at.since(now);
        return if left.as_secs() == 0 {
            "now".into()
        } else {
            format!("in {}", span_words(left))
        };
    }
    let gone = now.since(at);
    if gone.as_secs() == 0 {
        "now".into()
    } else {
        format!("{} ago", span_words(gone))
    }
}

/// The time of day, with the date when it is another day's.
fn exact(at: Micros, now: Micros) -> String {
    let (at, now) = (at.date(), now.date());
    if at.date_naive() == now.date_naive() {
        at.format("%H:%M:%S").to_string()
    } else {
        at.format("%-d %b %Y, %H:%M:%S").to_string()
    }
}

/// The time of day: "14:02:31".
#[must_use]
pub fn clock(at: Micros) -> String {
    at.date().format("%H:%M:%S").to_string()
}

/// The whole instant: "2026-03-02 14:02:31.120 UTC".
#[must_use]
pub fn moment(at: Micros) -> String {
    at.date().format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// A span in its largest sensible unit: "850 ms", "12 s", "4 min", "3 h", "2 days".
#[must_use]
pub fn span_words(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(seconds: i64) -> String {
        let now = Micros(1_772_460_360_000_000);
        relative(Micros(now.0 + seconds * 1_000_000), now)
    }

    #[test]
    fn spans_are_said_in_one_unit() {
        let table = [
            (0, "now"),
            (-5, "5 s ago"),
            (-240, "4 min ago"),
            (-7_200, "2 h ago"),
            (-400_000, "4 days ago"),
            (240, "in 4 min"),
        ];
        for (seconds, words) in table {
            assert_eq!(said(seconds), words);
        }
    }

    #[test]
    fn another_day_shows_its_date() {
        let now = Micros(1_772_460_360_000_000);
        assert_eq!(exact(now, now), "14:06:00");
        assert_eq!(
            exact(Micros(now.0 - 86_400_000_000), now),
            "1 Mar 2026, 14:06:00"
        );
    }
}
