//! What is kept of an attempt for people to see: headers and bodies, secrets covered, cut to a limit.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    domain::mask::{LONGEST, MASK, Mask},
    net::header::{HeaderMap, HeaderName, HeaderValue},
};

/// Headers sent, as a JSON object of texts.
pub(super) fn request_headers(headers: &[(HeaderName, HeaderValue)], mask: &Mask) -> String {
    let shown: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| {
            let is_token = matches!(name.as_str(), "x-augury-token" | "x-hub-token");
            let text = if is_token {
                MASK.to_owned()
            } else {
                mask.cover(String::from_utf8_lossy(value.as_bytes()).into_owned())
            };
            (name.as_str().to_owned(), Value::String(text))
        })
        .collect();
    Value::Object(shown).to_string()
}

/// Headers received, as a JSON object of texts; several of one name are joined by commas.
pub(super) fn answer_headers(headers: &HeaderMap, mask: &Mask) -> String {
    let mut shown: Map<String, Value> = Map::new();
    for (name, value) in headers {
        let text = mask.cover(String::from_utf8_lossy(value.as_bytes()).into_owned());
        match shown.get_mut(name.as_str()) {
            Some(Value::String(known)) => *known = format!("{known}, {text}"),
            _ => {
                shown.insert(name.as_str().to_owned(), Value::String(text));
            }
        }
    }
    Value::Object(shown).to_string()
}

/// The beginning of a body as text, secrets covered before it is cut.
pub(super) fn body_start(body: &Bytes, kept: usize, mask: &Mask) -> String {
    // More than the mask looks at, so that it knows whether the text goes on.
    let looked_at = kept.saturating_add(LONGEST + 1);
    let looked_at = body.get(..looked_at).unwrap_or(body);
    mask.cover_beginning(&String::from_utf8_lossy(looked_at), kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_after_its_secrets_are_covered() {
        let mut mask = Mask::default();
        mask.add("hunter22");
        let body = Bytes::from(format!("{}hunter22", "x".repeat(10)));
        assert_eq!(body_start(&body, 12, &mask), "xxxxxxxxxx**");
        assert_eq!(body_start(&body, 100, &mask), "xxxxxxxxxx***");
    }

    #[test]
    fn a_secret_at_the_edge_of_what_is_looked_at_is_not_kept_in_part() {
        let mut mask = Mask::default();
        mask.add("hunter22");
        let body = Bytes::from("hunter22".repeat(3000));
        let shown = body_start(&body, 10_000, &mask);
        assert!(!shown.contains("hunt"), "{}", &shown[shown.len() - 20..]);
    }

    #[test]
    fn a_body_is_cut_between_characters() {
        assert_eq!(
            body_start(&Bytes::from("ä".repeat(10)), 5, &Mask::default()),
            "ää"
        );
    }

    #[test]
    fn a_token_is_never_shown_even_when_it_is_short() {
        let headers = [(
            HeaderName::from_static("x-augury-token"),
            HeaderValue::from_static("abc"),
        )];
        assert_eq!(
            request_headers(&headers, &Mask::default()),
            r#"{"x-augury-token":"***"}"#
        );
    }
}
