//! What differs between versions of shops, and no more: how to ask for a list or a document, and how to read the answer.

use async_trait::async_trait;
use serde_json::{Value, value::RawValue};

use super::{ascent::Stamp, error::SourceError, shop::Shop};
use crate::{
    domain::{
        store_object::{Form, Noun, Sight, StoreDocument},
        time::Micros,
    },
    wire::store::row::{Row, read_row, token_of},
};

/// Which rows, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Those whose `clock` is `since` or later, oldest first.
    Since { clock: &'static str, since: Micros },
    /// All, by id upwards.
    ById,
    /// All, the newest id first.
    ByIdDown,
    /// Completed orders with this shipment state.
    Open { shipment_state: &'static str },
}

/// A list's row, read or not.
#[derive(Debug)]
pub(super) struct Listed {
    pub row: Result<Row, String>,
    pub raw: String,
}

impl Listed {
    pub fn read(noun: Noun, raw: &RawValue, clock: &'static str) -> Self {
        Self {
            row: read_row(noun, raw, clock).map_err(|odd| odd.to_string()),
            raw: raw.get().to_owned(),
        }
    }

    pub fn of_value(noun: Noun, value: &Value, clock: &'static str) -> Self {
        match RawValue::from_string(value.to_string()) {
            Ok(raw) => Self::read(noun, &raw, clock),
            Err(error) => Self {
                row: Err(error.to_string()),
                raw: String::new(),
            },
        }
    }

    pub fn stamp(row: &Row, raw: &str, whole: bool) -> Stamp {
        let coarse = !whole && !row.updated_at.contains('.');
        Stamp {
            id: row.id.clone(),
            at: row.at,
            hash: super::ascent::row_hash(raw),
            coarse,
        }
    }
}

/// A page of rows.
#[derive(Debug)]
pub(super) struct Listing {
    pub rows: Vec<Listed>,
    /// Whether the shop has no rows behind these.
    pub is_last: bool,
    /// The shop's clock.
    pub store_now: Option<Micros>,
}

impl Listing {
    /// The newest time among the rows that could be read.
    pub fn newest(&self) -> Option<Micros> {
        let rows = self.rows.iter();
        rows.filter_map(|listed| listed.row.as_ref().ok())
            .map(|row| row.at)
            .max()
    }
}

/// Whether lists show whole documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// A row is the document.
    Whole,
    /// A row is less; the document is asked for by its token.
    Partial,
}

/// One version's way of asking.
#[async_trait(?Send)]
pub(super) trait Lister {
    fn shop(&self) -> &Shop;
    fn form(&self) -> Form;
    fn nouns(&self) -> Vec<Noun>;
    fn rows(&self, noun: Noun) -> Rows;
    /// The largest page that the shop gives.
    fn max_per_page(&self) -> u32;

    /// Whether [`Self::document`] shows what a list shows.
    fn shows_single(&self, _: Noun) -> bool {
        true
    }

    async fn list(
        &self,
        noun: Noun,
        question: Question,
        page: u32,
        per_page: u32,
    ) -> Result<Listing, SourceError>;

    /// The newest time that the shop lists; `None` for an empty list.
    async fn newest(&self, noun: Noun, clock: &'static str) -> Result<Option<Micros>, SourceError>;

    /// The text of one document.
    async fn document(&self, noun: Noun, key: &Key<'_>) -> Result<String, SourceError>;
}

/// What a document is asked for by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    pub token: &'a str,
    pub id: &'a str,
}

/// Whether a page is the last one, from what the shop says, else from its size.
pub(super) fn is_last(page: u32, per_page: u32, pages: Option<u64>, rows: usize) -> bool {
    match pages {
        Some(pages) => u64::from(page) >= pages,
        None => (rows as u64) < u64::from(per_page),
    }
}

/// The instant as a query parameter, to the microsecond where it matters.
pub(super) fn instant(at: Micros) -> String {
    let form = if at.0 % 1_000_000 == 0 {
        chrono::SecondsFormat::Secs
    } else if at.0 % 1000 == 0 {
        chrono::SecondsFormat::Millis
    } else {
        chrono::SecondsFormat::Micros
    };
    at.date().to_rfc3339_opts(form, true)
}

/// A whole document's text as a [`StoreDocument`]; the error is a sentence.
pub(super) fn whole(noun: Noun, form: Form, raw: String) -> Result<StoreDocument, String> {
    let value: Value =
        serde_json::from_str(&raw).map_err(|_| "it is no JSON that can be read".to_owned())?;
    let token =
        token_of(noun, &value).ok_or_else(|| format!("it has no {}", noun.token_member()))?;
    let text = |member: &str| value.get(member).and_then(crate::wire::store::row::text);
    Ok(StoreDocument {
        noun,
        form,
        id: text("id").unwrap_or_else(|| token.clone()),
        updated_at: text("updated_at").unwrap_or_default(),
        token,
        raw,
        sight: Sight::Changed,
    })
}

/// Whether a document belongs to the collection it was asked for: carts and orders share their routes.
pub(super) fn belongs(document: &StoreDocument) -> bool {
    if !matches!(document.noun, Noun::Order | Noun::Cart) {
        return true;
    }
    let value: Value = serde_json::from_str(&document.raw).unwrap_or_default();
    let is_complete = value.get("completed_at").is_some_and(|at| !at.is_null());
    is_complete == (document.noun == Noun::Order)
}
