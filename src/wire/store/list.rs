//! Lists: a page of rows and what the shop says of how many there are.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// A page of a list.
#[derive(Debug)]
pub struct ListPage<'a> {
    /// Each as sent.
    pub rows: Vec<&'a RawValue>,
    /// How many pages there are, where the shop says so.
    pub pages: Option<u64>,
    /// How many rows there are in all pages, where the shop says so.
    pub total: Option<u64>,
}

/// Why an answer is not the list that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// No JSON object.
    #[error("the answer is no JSON object")]
    NotAnObject,
    /// It lacks the rows.
    #[error("the answer has no list {0:?}")]
    NoList(String),
}

/// Reads `{<name>: [...], count, current_page, pages[, total_count]}` (Spree 1.3 to 4.4, Solidus, the connector). Numbers
/// may come as text: `current_page` does.
///
/// # Errors
/// [`ListError`].
pub fn classic_list<'a>(text: &'a str, name: &str) -> Result<ListPage<'a>, ListError> {
    let members: HashMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|_| ListError::NotAnObject)?;
    let rows = members
        .get(name)
        .and_then(|rows| serde_json::from_str(rows.get()).ok())
        .ok_or_else(|| ListError::NoList(name.to_owned()))?;
    let number = |name: &str| members.get(name).and_then(|raw| number(raw));
    Ok(ListPage {
        rows,
        pages: number("pages"),
        total: number("total_count"),
    })
}

/// Reads `{data: [...], meta: {count, pages}}` (Admin API v3).
///
/// # Errors
/// [`ListError`].
pub fn v3_list(text: &str) -> Result<ListPage<'_>, ListError> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
        #[serde(default)]
        meta: Value,
    }
    let page: Page<'_> = serde_json::from_str(text).map_err(|_| ListError::NotAnObject)?;
    let rows = page
        .data
        .and_then(|rows| serde_json::from_str(rows.get()).ok())
        .ok_or_else(|| ListError::NoList("data".to_owned()))?;
    Ok(ListPage {
        rows,
        pages: page.meta.get("pages").and_then(Value::as_u64),
        total: page.meta.get("count").and_then(Value::as_u64),
    })
}

/// Reads one list out of the connector's older index: `{<name>: {page: [...], count, current_page, pages}, ...}`.
///
/// # Errors
/// [`ListError`].
pub fn index_list<'a>(text: &'a str, name: &str) -> Result<ListPage<'a>, ListError> {
    let members: HashMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|_| ListError::NotAnObject)?;
    let inner = members
        .get(name)
        .ok_or_else(|| ListError::NoList(name.to_owned()))?;
    classic_list(inner.get(), "page").map_err(|_| ListError::NoList(format!("{name}.page")))
}

fn number(raw: &RawValue) -> Option<u64> {
    raw.get().trim_matches('"').parse().ok()
}
