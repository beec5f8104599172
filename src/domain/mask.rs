//! Masking: known secret values replaced wherever something is kept or shown.

use std::borrow::Cow;

use serde_json::Value;

/// What a secret is replaced with.
pub const MASK: &str = "***";

/// Values shorter than this many bytes are left alone: masking `1` or `true` would garble every text and hide nothing.
const SHORTEST: usize = 4;

/// A secret this long, in bytes, is covered at the edge of a cut text too.
pub const LONGEST: usize = 4096;

/// Secret values to look for, as text and as they look inside JSON.
#[derive(Clone, Default)]
pub struct Mask {
    /// Longest first, so that a secret which contains another is replaced whole.
    needles: Vec<String>,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mask")
            .field("secrets", &self.needles.len())
            .finish()
    }
}

impl Mask {
    /// Adds a secret text.
    pub fn add(&mut self, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        let escaped = Value::String(secret.to_owned()).to_string();
        let escaped = escaped.trim_matches('"').to_owned();
        // Ruby's to_json writes slashes bare, others escape them.
        let slashed = escaped.replace('/', "\\/");
        // Python writes everything beyond ASCII as \u escapes, Rails also what HTML could take for its own.
        let ascii = unicode_escaped(&escaped, |c| !c.is_ascii());
        let ascii_slashed = ascii.replace('/', "\\/");
        let html = unicode_escaped(&escaped, |c| matches!(c, '<' | '>' | '&'));
        let ascii_html = unicode_escaped(&html, |c| !c.is_ascii());
        for needle in [
            secret.to_owned(),
            escaped,
            slashed,
            ascii,
            ascii_slashed,
            html,
            ascii_html,
        ] {
            if !self.needles.contains(&needle) {
                self.needles.push(needle);
            }
        }
        self.needles
            .sort_by_key(|needle| std::cmp::Reverse(needle.len()));
    }

    /// Adds every text and number inside a secret value; a list's are secret one by one, names of members are not.
    pub fn add_value(&mut self, secret: &Value) {
        match secret {
            Value::String(text) => self.add(text),
            Value::Number(number) => self.add(&number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.add_value(item)),
            Value::Object(members) => members.values().for_each(|item| self.add_value(item)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// The text with every secret in it replaced by [`MASK`].
    #[must_use]
    pub fn cover(&self, text: String) -> String {
        match self.covered(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(covered) => covered,
        }
    }

    /// As [`Mask::cover`]; a text without secrets is not copied.
    #[must_use]
    pub fn covered<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.needles
            .iter()
            .fold(Cow::Borrowed(text), |text, needle| {
                if text.contains(needle.as_str()) {
                    Cow::Owned(text.replace(needle.as_str(), MASK))
                } else {
                    text
                }
            })
    }

    /// The first `kept` bytes of a text with every secret in it replaced. Covered first and cut then, so that no secret is cut in two and half of it
    /// kept; [`LONGEST`] bytes more than `kept` are looked at.
    #[must_use]
    pub fn cover_beginning(&self, text: &str, kept: usize) -> String {
        let looked_at = beginning(text, kept.saturating_add(LONGEST));
        let is_cut = text.len() > looked_at.len();
        let covered = self.covered(looked_at);
        let sure = if is_cut {
            covered.len().saturating_sub(LONGEST)
        } else {
            covered.len()
        };
        beginning(&covered, kept.min(sure)).to_owned()
    }
}

/// At most so many bytes of a text, cut between characters.
#[must_use]
pub fn beginning(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The text with these characters written as `\u00fc`, in lower case as every common writer of JSON does.
fn unicode_escaped(text: &str, is_escaped: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_covered_in_text_and_inside_json() {
        let mut mask = Mask::default();
        mask.add("se\"cr/et");
        assert_eq!(mask.cover("key se\"cr/et!".into()), "key ***!");
        assert_eq!(
            mask.cover(json!({"k": "se\"cr/et"}).to_string()),
            r#"{"k":"***"}"#
        );
        assert_eq!(mask.cover(r#"{"k":"se\"cr\/et"}"#.into()), r#"{"k":"***"}"#);
    }

    #[test]
    fn a_secret_is_covered_as_python_and_rails_escape_it() {
        let mut mask = Mask::default();
        mask.add("pa\"ß&/\u{1f511}<");
        for escaped in [
            r#"{"k":"pa\"\u00df&/\ud83d\udd11<"}"#,
            r#"{"k":"pa\"\u00df&\/\ud83d\udd11<"}"#,
            "{\"k\":\"pa\\\"ß\\u0026/\u{1f511}\\u003c\"}",
            r#"{"k":"pa\"\u00df\u0026/\ud83d\udd11\u003c"}"#,
        ] {
            assert_eq!(mask.cover(escaped.into()), r#"{"k":"***"}"#, "{escaped}");
        }
    }

    #[test]
    fn a_secret_within_another_does_not_uncover_it() {
        let mut mask = Mask::default();
        mask.add("abcd");
        mask.add("abcdefgh");
        assert_eq!(mask.cover("abcdefgh abcd".into()), "*** ***");
    }

    #[test]
    fn a_secret_at_the_edge_of_a_cut_is_covered_and_not_kept_in_part() {
        let mut mask = Mask::default();
        mask.add("hunter22");
        let text = format!("{}hunter22", "x".repeat(10));
        assert_eq!(mask.cover_beginning(&text, 12), "xxxxxxxxxx**");
        assert_eq!(mask.cover_beginning(&text, 100), "xxxxxxxxxx***");
        let many = mask.cover_beginning(&"hunter22".repeat(3000), 10_000);
        assert!(!many.contains("hunt"));
        assert_eq!(mask.cover_beginning(&"ä".repeat(10), 5), "ää");
    }

    #[test]
    fn texts_inside_a_list_are_secret_and_short_ones_are_left_alone() {
        let mut mask = Mask::default();
        mask.add_value(&json!([{"UPS Ground": "GND-77"}, true, 12345, "ab"]));
        assert_eq!(
            mask.cover("UPS Ground GND-77 true 12345 ab".into()),
            "UPS Ground *** true *** ab"
        );
    }
}
