//! What a polled document means: compared with what was stored of the object before, it is news or it is not.
//!
//! The rules (DESIGN, part 8; WIRE E.1 and E.5):
//!
//! | stored | now | becomes |
//! |---|---|---|
//! | the same, timestamps apart | | nothing |
//! | a newer state | an older one (a replica, a cache, two readings that overtook each other) | nothing |
//! | anything else | not canceled before, an order canceled now | `order:canceled` alone |
//! | anything else | | `X:updated`, with `previous` and `diff` where the whole former document is stored |
//! | nothing | created (orders: completed) since the first mark | `X:new` |
//! | nothing | only listed, or not changed since the first mark | a silent snapshot |
//! | nothing | older, changed since | `X:updated` without `previous`; if its cancellation is that young, `order:canceled` |
//!
//! Whoever calls stores the snapshot and the message in one transaction, together with the cursor.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    generic_order::{generic_order, of},
    generic_product::generic_product,
    json::{Payload, PayloadError, PayloadLimits},
    message_type::MessageType,
    store_object::{Form, Noun, Sight, StoreDocument, store_time},
    time::Micros,
};

/// The first 16 bytes of the SHA-256 of a document without its `updated_at`s, members sorted.
pub type Digest = [u8; 16];

/// What is stored of an object of a shop, one per store, noun and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The shop's text of when it last changed, as last seen.
    pub updated_at: String,
    /// What is known.
    pub known: Known,
}

/// How much of an object is known.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "known")]
pub enum Known {
    /// Seen in a list at the start, no more. Whether it was canceled then matters later.
    Listed {
        /// Whether it is an order that is canceled.
        canceled: bool,
    },
    /// All of it.
    Whole {
        /// Of `raw`.
        digest: Digest,
        /// The document as the shop sent it.
        raw: String,
    },
    /// It was erased here at somebody's wish. It is not announced again while it stays as it is.
    Erased {
        /// Of the document as it last was.
        digest: Digest,
    },
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listed { canceled } => write!(f, "Listed {{ canceled: {canceled} }}"),
            Self::Whole { raw, .. } => write!(f, "Whole({} bytes)", raw.len()),
            Self::Erased { .. } => f.write_str("Erased"),
        }
    }
}

impl Snapshot {
    /// What is left of it after erasing.
    #[must_use]
    pub fn erased(self) -> Self {
        match self.known {
            Known::Whole { digest, .. } => Self {
                known: Known::Erased { digest },
                ..self
            },
            Known::Listed { .. } | Known::Erased { .. } => self,
        }
    }
}

/// A message to be accepted together with its snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// Such as `order:updated`.
    pub kind: MessageType,
    /// Its payload.
    pub payload: Payload,
}

/// What a document means.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Nothing, and nothing to store.
    Nothing,
    /// No message; the snapshot is stored (first sight of something old, or a timestamp that moved alone).
    Silent(Snapshot),
    /// `X:new`.
    New(Snapshot, Announcement),
    /// `X:updated` (`product:update`).
    Updated(Snapshot, Announcement),
    /// `order:canceled`.
    Canceled(Snapshot, Announcement),
}

/// What the comparison needs to know about the shop.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// From when on a creation is news: the shop's time. `None`: from the beginning.
    pub first_mark: Option<Micros>,
    /// The currency of orders that name none.
    pub currency: Option<&'a str>,
    /// For the payload that is built.
    pub limits: PayloadLimits,
}

/// Why a document cannot become a message. It is set aside, and the rest goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OddDocument {
    /// Not a JSON object that every reader takes.
    #[error("the shop's document cannot be read: {0}")]
    Unreadable(PayloadError),
    /// The message would be larger than accepted.
    #[error("the message about it cannot be built: {0}")]
    Unsayable(PayloadError),
}

/// Compares `document` with what is stored of the same object. Pure: storing is the caller's.
///
/// # Errors
/// [`OddDocument`], when nothing can be said about it.
pub fn compare(
    stored: Option<&Snapshot>,
    document: &StoreDocument,
    reading: Reading<'_>,
) -> Result<Change, OddDocument> {
    // One check of the whole text, so that everything behind may rely on it.
    Payload::parse(&document.raw, reading.limits).map_err(OddDocument::Unreadable)?;
    let value: Value = serde_json::from_str(&document.raw).unwrap_or_default();
    let canceled = is_canceled(document, &value);
    if document.sight == Sight::Listed {
        return Ok(listed(stored, document, canceled));
    }
    let digest = digest(&value);
    let snapshot = Snapshot {
        updated_at: document.updated_at.clone(),
        known: Known::Whole {
            digest,
            raw: document.raw.clone(),
        },
    };
    let Some(stored) = stored else {
        return first_sight(document, &value, canceled, snapshot, reading);
    };
    if is_older(&document.updated_at, &stored.updated_at) {
        return Ok(Change::Nothing);
    }
    let is_listed = matches!(stored.known, Known::Listed { .. });
    if is_listed && stored.updated_at == document.updated_at {
        // Read whole for the first time, and as it was when it was listed as far as anybody can tell.
        return Ok(Change::Silent(snapshot));
    }
    let (was_canceled, previous) = match &stored.known {
        Known::Listed { canceled } => (*canceled, None),
        Known::Erased { digest: before } if *before == digest => {
            return Ok(restamped(stored, document));
        }
        // Whether it was canceled is erased with the rest: then nobody learns of it twice.
        Known::Erased { .. } => (true, None),
        Known::Whole { digest: before, .. } if *before == digest => {
            return Ok(restamped(stored, document));
        }
        Known::Whole { raw, .. } => {
            let previous: Value = serde_json::from_str(raw).unwrap_or_default();
            (
                is_canceled(document, &previous),
                Some((raw.as_str(), previous)),
            )
        }
    };
    if canceled && !was_canceled {
        let announcement = announce(document, &value, Verb::Canceled, None, reading)?;
        return Ok(Change::Canceled(snapshot, announcement));
    }
    let announcement = announce(document, &value, Verb::Updated, previous, reading)?;
    Ok(Change::Updated(snapshot, announcement))
}

fn listed(stored: Option<&Snapshot>, document: &StoreDocument, canceled: bool) -> Change {
    match stored {
        Some(_) => Change::Nothing,
        None => Change::Silent(Snapshot {
            updated_at: document.updated_at.clone(),
            known: Known::Listed { canceled },
        }),
    }
}

fn first_sight(
    document: &StoreDocument,
    value: &Value,
    canceled: bool,
    snapshot: Snapshot,
    reading: Reading<'_>,
) -> Result<Change, OddDocument> {
    let since_first_mark = |member: &str| match (
        of(value, member).as_str().and_then(store_time),
        reading.first_mark,
    ) {
        (_, None) => true,
        (Some(at), Some(mark)) => at >= mark,
        (None, Some(_)) => false,
    };
    let born = match document.noun {
        Noun::Order => "completed_at",
        _ => "created_at",
    };
    let updated_at = store_time(&document.updated_at);
    if since_first_mark(born) {
        let announcement = announce(document, value, Verb::New, None, reading)?;
        return Ok(Change::New(snapshot, announcement));
    }
    if updated_at.is_some_and(|at| reading.first_mark.is_some_and(|mark| at < mark)) {
        return Ok(Change::Silent(snapshot));
    }
    if canceled && !of(value, "canceled_at").is_null() && since_first_mark("canceled_at") {
        let announcement = announce(document, value, Verb::Canceled, None, reading)?;
        return Ok(Change::Canceled(snapshot, announcement));
    }
    let announcement = announce(document, value, Verb::Updated, None, reading)?;
    Ok(Change::Updated(snapshot, announcement))
}

fn restamped(stored: &Snapshot, document: &StoreDocument) -> Change {
    if stored.updated_at == document.updated_at {
        return Change::Nothing;
    }
    Change::Silent(Snapshot {
        updated_at: document.updated_at.clone(),
        known: stored.known.clone(),
    })
}

/// Whether `now` is an earlier instant than `stored`. Texts that are no times are never older.
fn is_older(now: &str, stored: &str) -> bool {
    match (store_time(now), store_time(stored)) {
        (Some(now), Some(stored)) => now < stored,
        _ => false,
    }
}

fn is_canceled(document: &StoreDocument, value: &Value) -> bool {
    if document.noun != Noun::Order {
        return false;
    }
    match document.form {
        Form::Classic => of(value, "state").as_str() == Some("canceled"),
        Form::AdminV3 => {
            of(value, "status").as_str() == Some("canceled") || !of(value, "canceled_at").is_null()
        }
    }
}

/// The digest by which documents are compared: neither the order of members nor any `updated_at`, however deep, counts.
/// Those move when nothing else does.
#[must_use]
pub fn digest(value: &Value) -> Digest {
    let mut hasher = Sha256::new();
    feed(&mut hasher, value);
    let mut digest = Digest::default();
    digest.copy_from_slice(&hasher.finalize()[..16]);
    digest
}

fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(members) => {
            hasher.update(b"{");
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in sorted {
                if !matches!(name.as_str(), "updated_at" | "product_updated_at") {
                    feed_text(hasher, name);
                    feed(hasher, value);
                }
            }
            hasher.update(b"}");
        }
        Value::Array(elements) => {
            hasher.update(b"[");
            for element in elements {
                feed(hasher, element);
            }
            hasher.update(b"]");
        }
        Value::String(text) => feed_text(hasher, text),
        other => hasher.update(other.to_string()),
    }
}

/// With its length in front: `["a","b"]` and `["a\",\"b"]` must differ.
fn feed_text(hasher: &mut Sha256, text: &str) {
    hasher.update(b"\"");
    hasher.update(text.len().to_be_bytes());
    hasher.update(text);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    New,
    Updated,
    Canceled,
}

fn announce(
    document: &StoreDocument,
    value: &Value,
    verb: Verb,
    previous: Option<(&str, Value)>,
    reading: Reading<'_>,
) -> Result<Announcement, OddDocument> {
    let verb_name = match (verb, document.noun) {
        (Verb::New, _) => "new",
        (Verb::Updated, Noun::Product) => "update",
        (Verb::Updated, _) => "updated",
        (Verb::Canceled, _) => "canceled",
    };
    let kind = MessageType::parse(&format!("{}:{verb_name}", document.noun))
        .expect("nouns and verbs are of small letters and underscores");
    let mut parts = vec![(
        document.noun.name(),
        generic(document, value, &document.raw, reading),
    )];
    // A return's one member is the raw document itself (WIRE E.1).
    if document.noun != Noun::ReturnAuthorization {
        parts.push(("original", document.raw.clone()));
    }
    if let Some((raw, old)) = &previous {
        parts.push(("previous", generic(document, old, raw, reading)));
        parts.push(("diff", diff(old, value)));
    }
    let members: Vec<String> = parts
        .into_iter()
        .map(|(name, text)| format!("\"{name}\":{text}"))
        .collect();
    let text = format!("{{{}}}", members.join(","));
    let payload = Payload::parse(&text, reading.limits).map_err(OddDocument::Unsayable)?;
    Ok(Announcement { kind, payload })
}

/// JSON text of the generic form; of nouns without one, the raw document.
fn generic(document: &StoreDocument, value: &Value, raw: &str, reading: Reading<'_>) -> String {
    let text = match document.noun {
        Noun::Order => {
            serde_json::to_string(&generic_order(document.form, value, reading.currency))
        }
        Noun::Cart => serde_json::to_string(&generic_order(document.form, value, reading.currency)),
        Noun::Product => serde_json::to_string(&generic_product(value)),
        _ => return raw.to_owned(),
    };
    text.unwrap_or_else(|_| raw.to_owned())
}

/// `{"member":[old,new]}` over the raw top-level members that differ, an array replaced as a whole.
fn diff(old: &Value, new: &Value) -> String {
    let nothing = Map::new();
    let old = old.as_object().unwrap_or(&nothing);
    let new = new.as_object().unwrap_or(&nothing);
    let mut changed = Map::new();
    for name in new.keys().chain(old.keys()) {
        let pair = (
            old.get(name).unwrap_or(&Value::Null),
            new.get(name).unwrap_or(&Value::Null),
        );
        if pair.0 != pair.1 {
            changed.insert(
                name.clone(),
                Value::Array(vec![pair.0.clone(), pair.1.clone()]),
            );
        }
    }
    Value::Object(changed).to_string()
}

#[cfg(test)]
#[path = "tests/snapshot.rs"]
mod tests;
