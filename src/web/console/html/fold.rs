//! JSON that can be read: folded by member, searchable, every text in it foreign.

use maud::{Markup, html};
use serde_json::{Value, value::RawValue};

use crate::web::fields::Members;

use super::foreign::{Foreign, Passage};

/// Members that a composite shows at most; the raw text has them all.
const MEMBERS: usize = 200;
/// Depth up to which folds stand open.
const OPEN_DEPTH: usize = 2;
/// Depth that is drawn; deeper ones are shown as raw text.
const DEEPEST: usize = 24;
/// Values that one tree shows: keeps a page's size bounded, whatever is behind it.
const VALUES: usize = 900;

/// A JSON text as a tree of folds, members in their order and numbers as written; text that is no JSON is shown as it is.
#[must_use]
pub fn json_tree(text: &str) -> Markup {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) => {
            let mut left = VALUES;
            html! { div .json tabindex="0" role="group" aria-label="JSON" { (branch(None, value, 0, &mut left)) } }
        }
        Err(_) if text.is_empty() => html! { p .muted { "Empty." } },
        Err(_) => html! { pre tabindex="0" { (Passage(text, 20_000)) } },
    }
}

fn branch(name: Option<&str>, value: &RawValue, depth: usize, left: &mut usize) -> Markup {
    if *left == 0 {
        return html! {};
    }
    *left -= 1;
    if *left == 0 {
        return html! { div .leaf .muted { "The rest is in the raw text." } };
    }
    let label = html! { @if let Some(name) = name { span .key { (Foreign(name)) } ": " } };
    let fold = |count: String, inner: Markup| html! { details open[depth < OPEN_DEPTH] { summary { (label) span .muted { (count) } } div { (inner) } } };
    let text = value.get();
    let members = if text.starts_with('{') && depth < DEEPEST {
        Members::read(value).filter(|members| !members.0.is_empty())
    } else {
        None
    };
    if let Some(members) = members {
        let inner = html! {
            @for (name, value) in members.0.iter().take(MEMBERS) { (branch(Some(name), value, depth + 1, left)) }
            (rest(members.0.len()))
        };
        return fold(format!("{{{}}}", members.0.len()), inner);
    }
    let items: Option<Vec<&RawValue>> = if text.starts_with('[') && depth < DEEPEST {
        serde_json::from_str(text).ok()
    } else {
        None
    };
    if let Some(items) = items.filter(|items| !items.is_empty()) {
        let inner = html! {
            @for (at, value) in items.iter().take(MEMBERS).enumerate() { (branch(Some(&at.to_string()), value, depth + 1, left)) }
            (rest(items.len()))
        };
        return fold(format!("[{}]", items.len()), inner);
    }
    match serde_json::from_str::<String>(text) {
        Ok(words) => {
            html! { div .leaf { (label) span .text { "\"" (Passage(&words, 2_000)) "\"" } } }
        }
        Err(_) => html! { div .leaf { (label) span .bare { (Foreign(text)) } } },
    }
}

fn rest(members: usize) -> Markup {
    html! { @if members > MEMBERS { div .leaf .muted { (members - MEMBERS) " more in the raw text" } } }
}

/// A message's `diff` as a table of what was and what is, when its payload has one: `{"total": [40, 45]}`.
#[must_use]
pub fn diff_table(payload: &str) -> Option<Markup> {
    let payload: Value = serde_json::from_str(payload).ok()?;
    let diff = payload.get("diff")?.as_object()?;
    let rows: Vec<(&String, &Value, &Value)> = diff
        .iter()
        .take(MEMBERS)
        .filter_map(|(path, pair)| match pair.as_array().map(Vec::as_slice) {
            Some([was, is]) => Some((path, was, is)),
            _ => None,
        })
        .collect();
    (!rows.is_empty()).then(|| html! {
        table .cards {
            caption { "What changed" }
            thead { tr { th scope="col" { "Member" } th scope="col" { "Was" } th scope="col" { "Is" } } }
            tbody {
                @for (path, was, is) in rows {
                    tr {
                        td .mono { (Foreign(path)) }
                        td .mono data-label="was" { span .was { (Foreign(&short(was))) } }
                        td .mono data-label="is" { span .is { (Foreign(&short(is))) } }
                    }
                }
            }
        }
    })
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_folds_and_stays_bounded() {
        let wide: Vec<u32> = (0..5_000).collect();
        let shown = json_tree(&serde_json::to_string(&wide).expect("numbers")).into_string();
        assert!(
            shown.contains("4800 more in the raw text"),
            "{}",
            shown.len()
        );
        let mut deep = String::from("1");
        for _ in 0..90 {
            deep = format!("{{\"a\":{deep}}}");
        }
        assert!(json_tree(&deep).into_string().len() < 10_000);
    }

    #[test]
    fn names_and_texts_of_a_payload_are_harmless() {
        let shown = json_tree(r#"{"<b>":"</script><img src=x onerror=alert(1)>"}"#).into_string();
        assert!(!shown.contains("<b>") && !shown.contains("<img"), "{shown}");
    }

    #[test]
    fn a_diff_is_drawn_from_pairs() {
        let shown = diff_table(r#"{"diff":{"order.total":[40,45],"odd":1}}"#)
            .expect("a diff")
            .into_string();
        assert!(
            shown.contains("order.total")
                && shown.contains("40")
                && shown.contains("45")
                && !shown.contains("odd")
        );
        assert!(diff_table(r#"{"order":{}}"#).is_none());
    }
}
