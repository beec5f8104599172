//! Amounts of money: decimal text in a shop's answers, numbers in messages, never a binary fraction in between.

use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::{Value, value::RawValue};

/// A decimal number as it was written, or nothing. Serialises as a JSON number or null; works with serde_json only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decimal(Option<String>);

impl Decimal {
    /// Zero, written as shops write it.
    #[must_use]
    pub fn zero() -> Self {
        Self(Some("0.0".to_owned()))
    }

    /// Reads `"77.5"`, `77.5` and the like; anything else is nothing.
    #[must_use]
    pub fn read(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Self(None),
        }
    }

    fn parse(text: &str) -> Self {
        let is_number = serde_json::from_str::<serde_json::Number>(text).is_ok();
        Self(is_number.then(|| text.to_owned()))
    }

    /// Whether there is a number.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// This, or `other` when there is no number.
    #[must_use]
    pub fn or(self, other: impl FnOnce() -> Self) -> Self {
        if self.is_some() { self } else { other() }
    }

    /// The exact sum; numbers with an exponent, or with more than 18 decimals, are left out.
    #[must_use]
    pub fn sum(parts: impl IntoIterator<Item = Self>) -> Self {
        let total = parts
            .into_iter()
            .filter_map(|part| part.0.as_deref().and_then(scaled))
            .fold(0i128, i128::saturating_add);
        let sign = if total < 0 { "-" } else { "" };
        let whole = total.unsigned_abs() / SCALE.unsigned_abs();
        let fraction = format!("{:018}", total.unsigned_abs() % SCALE.unsigned_abs());
        let fraction = fraction.trim_end_matches('0');
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        Self(Some(format!("{sign}{whole}.{fraction}")))
    }
}

const SCALE: i128 = 1_000_000_000_000_000_000;

fn scaled(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 18 {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let fraction: i128 = format!("{fraction:0<18}").parse().ok()?;
    let value = whole.checked_mul(SCALE)?.checked_add(fraction)?;
    Some(if negative { -value } else { value })
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            None => serializer.serialize_unit(),
            Some(text) => RawValue::from_string(text.clone())
                .map_err(S::Error::custom)?
                .serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(decimal: &Decimal) -> String {
        serde_json::to_string(decimal).unwrap()
    }

    #[test]
    fn text_becomes_the_same_number() {
        assert_eq!(text(&Decimal::read(&json!("87.38"))), "87.38");
        assert_eq!(text(&Decimal::read(&json!("5.0"))), "5.0");
        assert_eq!(text(&Decimal::read(&json!(22.5))), "22.5");
        assert_eq!(
            text(&Decimal::read(&json!("12345678901234567.89"))),
            "12345678901234567.89"
        );
        for odd in [
            json!(null),
            json!("free"),
            json!("NaN"),
            json!("1e999"),
            json!([1]),
        ] {
            assert_eq!(text(&Decimal::read(&odd)), "null", "{odd}");
        }
    }

    #[test]
    fn sums_are_exact() {
        let parts = ["0.1", "0.2", "-10.05"].map(|part| Decimal::read(&json!(part)));
        assert_eq!(text(&Decimal::sum(parts)), "-9.75");
        assert_eq!(text(&Decimal::sum([])), "0.0");
    }
}
