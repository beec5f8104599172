//! What a shop's API shows: nouns, the forms in which versions write them, and one document as it was read.

use std::{fmt, time::Duration};

use chrono::{DateTime, NaiveDateTime};
use serde::{Deserialize, Serialize};

use super::time::Micros;

/// A kind of object that a shop lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noun {
    /// An order whose checkout is complete.
    Order,
    /// An order whose checkout is not complete.
    Cart,
    /// A customer with an account.
    User,
    /// A product with its variants.
    Product,
    /// Goods that a customer may send back.
    ReturnAuthorization,
    /// Stock on its way between two locations.
    StockTransfer,
    /// A category.
    Taxon,
}

impl Noun {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Order,
        Self::Cart,
        Self::User,
        Self::Product,
        Self::ReturnAuthorization,
        Self::StockTransfer,
        Self::Taxon,
    ];

    /// In message types and references: `order`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Cart => "cart",
            Self::User => "user",
            Self::Product => "product",
            Self::ReturnAuthorization => "return_authorization",
            Self::StockTransfer => "stock_transfer",
            Self::Taxon => "taxon",
        }
    }

    /// In addresses and lists: `orders`.
    #[must_use]
    pub fn collection(self) -> &'static str {
        match self {
            Self::Order => "orders",
            Self::Cart => "carts",
            Self::User => "users",
            Self::Product => "products",
            Self::ReturnAuthorization => "return_authorizations",
            Self::StockTransfer => "stock_transfers",
            Self::Taxon => "taxons",
        }
    }

    /// The noun of this collection.
    #[must_use]
    pub fn of_collection(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|noun| noun.collection() == name)
    }

    /// The member that names one of them to people and in references.
    #[must_use]
    pub fn token_member(self) -> &'static str {
        match self {
            Self::Order | Self::Cart | Self::ReturnAuthorization => "number",
            Self::User => "email",
            Self::Product => "sku",
            Self::StockTransfer | Self::Taxon => "id",
        }
    }

    /// How often it is worth asking, unless the operator says otherwise.
    #[must_use]
    pub fn usual_interval(self) -> Duration {
        match self {
            Self::Order | Self::Cart | Self::User => Duration::from_secs(300),
            _ => Duration::from_secs(3600),
        }
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a raw document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Spree 1.3 to 4.4, the hub connector, Solidus, and the Platform API v2 once its parts are joined.
    Classic,
    /// The Admin API v3 of Spree 5.5 and later.
    AdminV3,
}

/// In what connection a document was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// While looking for what changed.
    Changed,
    /// While finding out what is there at the start: no reason for a message by itself. Its `raw` may be a list's row,
    /// with less in it than the document.
    Listed,
}

/// One object as the shop showed it.
#[derive(Clone, PartialEq)]
pub struct StoreDocument {
    /// What it is.
    pub noun: Noun,
    /// How `raw` is written.
    pub form: Form,
    /// The name by which it is known, such as an order's number.
    pub token: String,
    /// The shop's own key.
    pub id: String,
    /// The shop's text, unchanged; empty where the shop shows none.
    pub updated_at: String,
    /// The JSON text, byte for byte as sent (of the Platform API: joined).
    pub raw: String,
    /// Why it is here.
    pub sight: Sight,
}

impl fmt::Debug for StoreDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StoreDocument({}/{} at {}, {} bytes, {:?})",
            self.noun,
            self.token,
            self.updated_at,
            self.raw.len(),
            self.sight
        )
    }
}

/// Reads a shop's timestamp: RFC 3339 with any fraction and offset, or Ruby's `2014-02-03 17:29:15 UTC`.
#[must_use]
pub fn store_time(text: &str) -> Option<Micros> {
    let text = text.trim();
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(Micros(date.timestamp_micros()));
    }
    let plain = text.strip_suffix(" UTC").unwrap_or(text);
    NaiveDateTime::parse_from_str(plain, "%Y-%m-%d %H:%M:%S%.f")
        .ok()
        .map(|date| Micros(date.and_utc().timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_shops_time_is_read() {
        let second = Micros(1_391_448_555_000_000);
        for text in [
            "2014-02-03T17:29:15Z",
            "2014-02-03T12:29:15-05:00",
            "2014-02-03T17:29:15.000Z",
            "2014-02-03 17:29:15 UTC",
        ] {
            assert_eq!(store_time(text), Some(second), "{text}");
        }
        assert_eq!(
            store_time("2014-02-03T17:29:15.214Z"),
            Some(Micros(second.0 + 214_000))
        );
        assert_eq!(store_time("yesterday"), None);
    }
}
