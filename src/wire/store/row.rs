//! A row: one object in a list, of which only what polling needs is read.

use serde_json::{Value, value::RawValue};

use crate::domain::{
    generic_product::product_sku,
    store_object::{Noun, store_time},
    time::Micros,
};

/// What polling needs of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The shop's key, as text.
    pub id: String,
    /// The name by which the object is known; see [`Noun::token_member`]. A product without SKU goes by its id.
    pub token: String,
    /// The shop's text.
    pub updated_at: String,
    /// The same, read.
    pub at: Micros,
    /// Everything, for who needs more.
    pub value: Value,
}

/// Why a row cannot be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OddRow {
    /// Text, a number, null, or JSON beyond what every reader takes.
    #[error("it is no JSON object that can be read")]
    NotAnObject,
    /// The member that names it is missing or empty.
    #[error("it has no {0}")]
    NoToken(&'static str),
    /// The timestamp is missing or no time.
    #[error("its {0} is missing or no time")]
    NoTime(&'static str),
}

/// Reads a row. `clock` is the member that the list is sorted by: `updated_at` as a rule.
///
/// # Errors
/// [`OddRow`].
pub fn read_row(noun: Noun, raw: &RawValue, clock: &'static str) -> Result<Row, OddRow> {
    let value: Value = serde_json::from_str(raw.get()).map_err(|_| OddRow::NotAnObject)?;
    if !value.is_object() {
        return Err(OddRow::NotAnObject);
    }
    let token = token_of(noun, &value).ok_or(OddRow::NoToken(noun.token_member()))?;
    let id = value
        .get("id")
        .and_then(text)
        .unwrap_or_else(|| token.clone());
    let time = |member: &str| {
        value
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let at = store_time(&time(clock)).ok_or(OddRow::NoTime(clock))?;
    Ok(Row {
        id,
        token,
        updated_at: time("updated_at"),
        at,
        value,
    })
}

/// The token of a whole document.
#[must_use]
pub fn token_of(noun: Noun, value: &Value) -> Option<String> {
    match noun {
        Noun::Product => text(&product_sku(value)).or_else(|| value.get("id").and_then(text)),
        _ => value.get(noun.token_member()).and_then(text),
    }
}

/// Text or a whole number, as text, unless empty.
#[must_use]
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
