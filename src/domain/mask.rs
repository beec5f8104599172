//! Masking: known secret values replaced wherever something is kept or shown.

use serde_json::Value;

/// What a secret is replaced with.
pub const MASK: &str = "***";

/// Values shorter than this many bytes are left alone: masking `1` or `true` would garble every text and hide nothing.
const SHORTEST: usize = 4;

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
        for needle in [secret.to_owned(), escaped, slashed] {
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
        self.needles.iter().fold(text, |text, needle| {
            if text.contains(needle.as_str()) {
                text.replace(needle.as_str(), MASK)
            } else {
                text
            }
        })
    }
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
    fn a_secret_within_another_does_not_uncover_it() {
        let mut mask = Mask::default();
        mask.add("abcd");
        mask.add("abcdefgh");
        assert_eq!(mask.cover("abcdefgh abcd".into()), "*** ***");
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
