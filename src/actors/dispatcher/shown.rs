//! What is kept of an attempt for people to see: headers and bodies, secrets covered, cut to a limit.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serializer;

use crate::{
    domain::mask::{LONGEST, MASK, Mask},
    net::header::{HeaderMap, HeaderName, HeaderValue},
};

/// Headers sent, as a JSON object of texts.
pub(super) fn request_headers(headers: &[(HeaderName, HeaderValue)], mask: &Mask) -> String {
    let lines = headers.iter().map(|(name, value)| {
        let is_token = matches!(name.as_str(), "x-augury-token" | "x-hub-token");
        let text = if is_token {
            Cow::Borrowed(MASK)
        } else {
            text_of(value, mask)
        };
        (name.as_str(), text)
    });
    object_of(lines.collect())
}

/// Headers received, as a JSON object of texts; several of one name are joined by commas.
pub(super) fn answer_headers(headers: &HeaderMap, mask: &Mask) -> String {
    let lines = headers.iter();
    object_of(
        lines
            .map(|(name, value)| (name.as_str(), text_of(value, mask)))
            .collect(),
    )
}

fn text_of<'a>(value: &'a HeaderValue, mask: &Mask) -> Cow<'a, str> {
    match String::from_utf8_lossy(value.as_bytes()) {
        Cow::Borrowed(text) => mask.covered(text),
        Cow::Owned(text) => Cow::Owned(mask.cover(text)),
    }
}

/// A JSON object of these lines in order of their names.
fn object_of(mut lines: Vec<(&str, Cow<'_, str>)>) -> String {
    // Stable: values of one name stay in the order in which they came.
    lines.sort_by_key(|(name, _)| *name);
    lines.dedup_by(|(name, text), (known, whole)| {
        let is_more = name == known;
        if is_more {
            whole.to_mut().push_str(", ");
            whole.to_mut().push_str(text);
        }
        is_more
    });
    let mut json = Vec::with_capacity(256);
    // Writing texts into a vector does not fail.
    let _ = serde_json::Serializer::new(&mut json).collect_map(lines);
    String::from_utf8(json).unwrap_or_default()
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
    fn headers_of_one_name_are_joined_and_secrets_in_them_covered() {
        let mut mask = Mask::default();
        mask.add("hunter22");
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-two", "b\"1"), ("a", "hunter22!"), ("x-two", "hunter22")] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        assert_eq!(
            answer_headers(&headers, &mask),
            r#"{"a":"***!","x-two":"b\"1, ***"}"#
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
