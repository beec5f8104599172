//! Webhooks of Spree 4.4 and later: their signatures, and which object they speak of.
//!
//! A webhook is a hint to look now, never the truth: from 5.4 on its document has no state and no timestamps, and no version
//! sends a missed one again (WIRE D.4, D.7).
//!
//! | Spree | header | text that is signed | written as |
//! |---|---|---|---|
//! | 4.6 - 5.2 | `X-Spree-Hmac-SHA256` | body | base64 |
//! | 5.3 | `X-Spree-Webhook-Signature` | body | hex, lower case |
//! | 5.4 - | the same, and `X-Spree-Webhook-Timestamp` | `<timestamp>.<body>` | hex, lower case |

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use crate::domain::{store_object::Noun, time::Micros};

/// The header with the event's name (5.3 and later).
pub const EVENT_HEADER: &str = "x-spree-webhook-event";
/// The header with the signature in hex (5.3 and later).
pub const SIGNATURE_HEADER: &str = "x-spree-webhook-signature";
/// The header with the time of sending, Unix seconds (5.4 and later).
pub const TIMESTAMP_HEADER: &str = "x-spree-webhook-timestamp";
/// The header with the signature in base64 (4.6 to 5.2).
pub const OLD_SIGNATURE_HEADER: &str = "x-spree-hmac-sha256";

/// How far a signed timestamp may be from now; the width that webhook senders agree on.
pub const TOLERANCE_SECS: u64 = 300;

/// The headers of a webhook that bear on its signature, as they came.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignatureHeaders<'a> {
    /// [`SIGNATURE_HEADER`].
    pub signature: Option<&'a str>,
    /// [`TIMESTAMP_HEADER`].
    pub timestamp: Option<&'a str>,
    /// [`OLD_SIGNATURE_HEADER`].
    pub old_signature: Option<&'a str>,
}

/// How a webhook was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// 4.6 to 5.2.
    BodyBase64,
    /// 5.3.
    BodyHex,
    /// 5.4 and later.
    TimestampedHex,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// None of the headers.
    #[error("the webhook is not signed (Spree 4.4 and 4.5 sign nothing)")]
    Missing,
    /// The signature is of another text, or made with another secret.
    #[error("the signature does not match: the secret differs, or the body was changed on its way")]
    Mismatch,
    /// The timestamp is no number.
    #[error("{TIMESTAMP_HEADER} is no number of seconds")]
    BadTimestamp,
    /// Signed too long ago, or in the future.
    #[error(
        "the webhook was signed {seconds} seconds away from now, at most {TOLERANCE_SECS} are accepted"
    )]
    TooFarAway {
        /// The distance.
        seconds: u64,
    },
}

/// Checks the signature of `body` with the endpoint's secret.
///
/// A timestamp header decides the scheme: with it, a signature over the body alone is refused, else a captured 5.3 webhook
/// could be sent again for ever with a timestamp added.
///
/// # Errors
/// [`SignatureError`]; none tells anything about the secret.
pub fn verify(
    secret: &[u8],
    headers: SignatureHeaders<'_>,
    body: &[u8],
    now: Micros,
) -> Result<Scheme, SignatureError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| SignatureError::Mismatch)?;
    let (scheme, given) = match (headers.signature, headers.old_signature) {
        (Some(signature), _) => {
            let given = hex::decode(signature.trim()).map_err(|_| SignatureError::Mismatch)?;
            match headers.timestamp.map(str::trim) {
                None => (Scheme::BodyHex, given),
                Some(timestamp) => {
                    let seconds: i64 = timestamp
                        .parse()
                        .map_err(|_| SignatureError::BadTimestamp)?;
                    let away = seconds.abs_diff(now.seconds());
                    if away > TOLERANCE_SECS {
                        return Err(SignatureError::TooFarAway { seconds: away });
                    }
                    mac.update(timestamp.as_bytes());
                    mac.update(b".");
                    (Scheme::TimestampedHex, given)
                }
            }
        }
        (None, Some(signature)) => {
            let given = STANDARD
                .decode(signature.trim())
                .map_err(|_| SignatureError::Mismatch)?;
            (Scheme::BodyBase64, given)
        }
        (None, None) => return Err(SignatureError::Missing),
    };
    mac.update(body);
    mac.verify_slice(&given)
        .map_err(|_| SignatureError::Mismatch)?;
    Ok(scheme)
}

/// What a webhook asks the hub to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// This object.
    Object {
        /// Unique per event; a redelivery has the same. Empty if the shop sent none.
        event_id: String,
        /// What it is.
        noun: Noun,
        /// Its token where the webhook tells it (an order's number), else the shop's id of it.
        token: String,
    },
    /// Something of this collection: the webhook does not tell which.
    Collection {
        /// As above.
        event_id: String,
        /// What it is.
        noun: Noun,
    },
    /// `webhook.test`: somebody tries the connection.
    Test,
    /// An event about something that is not polled.
    Nothing,
}

/// Why a body is no webhook.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON, or without `name` and without `event_type`.
    #[error("the body is no webhook of Spree: {0}")]
    Unreadable(String),
}

/// Both envelopes: 5.3 and later `{id, name, data}`, before `{event_id, event_type, data: {attributes}}`.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default, alias = "event_id")]
    id: Value,
    #[serde(alias = "event_type")]
    name: String,
    #[serde(default)]
    data: Value,
}

/// Reads the envelope: which object does it speak of?
///
/// # Errors
/// [`EnvelopeError`].
pub fn hint(body: &[u8]) -> Result<Hint, EnvelopeError> {
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| EnvelopeError::Unreadable(error.to_string()))?;
    if envelope.name == "webhook.test" {
        return Ok(Hint::Test);
    }
    let event_id = text(&envelope.id).unwrap_or_default();
    let subject = envelope.name.split('.').next().unwrap_or_default();
    let (noun, members): (Noun, &[&str]) = match subject {
        "order" => (Noun::Order, &["number", "id"]),
        // A fulfilment knows its order's number at best: then that order, else all that changed.
        "shipment" | "payment" => (Noun::Order, &["order_number"]),
        "user" | "customer" => (Noun::User, &["email", "id"]),
        "product" => (Noun::Product, &["id"]),
        "variant" | "stock_item" | "stock_movement" => (Noun::Product, &["product_id"]),
        "return_authorization" => (Noun::ReturnAuthorization, &["number"]),
        _ => return Ok(Hint::Nothing),
    };
    let attributes = envelope.data.get("attributes").unwrap_or(&envelope.data);
    let places = members
        .iter()
        .flat_map(|member| [attributes.get(member), envelope.data.get(member)]);
    match places.flatten().find_map(text) {
        Some(token) => Ok(Hint::Object {
            event_id,
            noun,
            token,
        }),
        None => Ok(Hint::Collection { event_id, noun }),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "tests/spree_webhook.rs"]
mod tests;
