//! The documents of the hub's REST API, as clients see them (part A of the protocol's description, and what this hub adds).
//!
//! Requests are not here: they are read field by field (`web::fields`), because an answer to a wrong one must name every
//! field that is wrong. Texts that are JSON already (payloads, results) are carried as [`RawValue`] and pass untouched.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::{
    event::Level,
    filter::Filter,
    id::Id,
    identifier::Identifiers,
    json::Payload,
    message_type::TypePattern,
    parameter::DataType,
    registry::{MappingOptions, Scope},
    time::Micros,
};

/// Every error.
#[derive(Debug, Serialize)]
pub struct ErrorDocument<'a> {
    /// One sentence.
    pub error: &'a str,
    /// `field: what is wrong`; always an array, since clients join it without looking.
    pub errors: &'a [String],
    /// In 5xx answers: what to look for in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
}

/// `GET /health/*`
#[derive(Debug, Serialize)]
pub struct HealthDocument<'a> {
    /// `live`, `ready`, `not ready`.
    pub status: &'static str,
    /// Why not.
    pub reasons: &'a [String],
}

/// `GET /`
#[derive(Debug, Serialize)]
pub struct RootDocument {
    /// The program.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Where to go from here.
    pub links: BTreeMap<&'static str, &'static str>,
}

/// A store.
#[derive(Debug, Serialize)]
pub struct StoreDocument {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its API's base.
    pub api_url: Option<String>,
    /// Masked when there is one.
    pub api_key: Option<&'static str>,
    /// The kind of its API.
    pub source: Option<String>,
    /// The shop's version.
    pub version: Option<String>,
    /// Masked when there is one.
    pub webhook_secret: Option<&'static str>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
    /// In the answer that creates it, and never again: a token of scope `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A token.
#[derive(Debug, Serialize)]
pub struct TokenDocument {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it stops working.
    pub expires_at: Option<Micros>,
    /// When it was made.
    pub created_at: Micros,
    /// Its text: in the answer that creates it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A mapping.
#[derive(Debug, Serialize)]
pub struct MappingDocument {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// The service's address.
    pub url: String,
    /// Masked; empty when none is sent.
    pub token: &'static str,
    /// The integration it belongs to.
    pub integration_id: Option<Id>,
    /// What it takes.
    pub messages: Vec<TypePattern>,
    /// Ids of the parameters sent along.
    pub parameters: Vec<Id>,
    /// What it takes only once.
    pub identifiers: Identifiers,
    /// What it takes at all.
    pub filters: Vec<Filter>,
    /// Options.
    pub options: MappingOptions,
    /// Takes new messages.
    pub enabled: bool,
    /// Cannot be disabled or deleted.
    pub required: bool,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
}

/// A parameter.
#[derive(Debug, Serialize)]
pub struct ParameterDocument {
    /// Its id.
    pub id: Id,
    /// Its store.
    pub store_id: Id,
    /// Its name.
    pub name: String,
    /// The type of its value.
    pub data_type: DataType,
    /// Its value; masked when secret.
    pub value: serde_json::Value,
    /// Whether the value is hidden.
    pub secret: bool,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
}

/// The answer to a push: what was sent, and its id under the two names that clients look for (`message_id` and `id`).
/// `payload` and `extra` (further root members) are JSON objects as they were accepted.
///
/// Written without serde: both are JSON already, and to read them again in order to write them would cost more than the rest.
#[must_use]
pub fn pushed_document(kind: &str, payload: &str, extra: Option<&str>, id: Id) -> Vec<u8> {
    let extra = extra.and_then(|extra| extra.get(1..extra.len().saturating_sub(1)));
    let extra = extra.filter(|members| !members.is_empty());
    let id = id.to_string();
    let mut out = Vec::with_capacity(payload.len() + extra.map_or(0, str::len) + 192);
    // Types hold letters, digits and `:_-.` only, so they need no escaping; nor do ids.
    let mut write = |parts: &[&str]| {
        parts
            .iter()
            .for_each(|part| out.extend_from_slice(part.as_bytes()));
    };
    write(&["{\"message\":\"", kind, "\",\"payload\":", payload]);
    if let Some(members) = extra {
        write(&[",", members]);
    }
    write(&[",\"message_id\":\"", &id, "\",\"id\":\"", &id, "\"}"]);
    out
}

/// The answer to a batch.
#[derive(Debug, Serialize)]
pub struct BatchDocument {
    /// One for each item, in order.
    pub results: Vec<BatchItemDocument>,
}

/// What became of an item of a batch.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum BatchItemDocument {
    /// Accepted.
    Accepted {
        /// Its id.
        message_id: Id,
    },
    /// Not.
    Refused {
        /// One sentence.
        error: String,
        /// `field: what is wrong`.
        errors: Vec<String>,
    },
}

/// `GET queues`
#[derive(Debug, Serialize)]
pub struct QueueStatsDocument {
    /// Not routed yet.
    pub incoming: u64,
    /// Done.
    pub archived: u64,
    /// Waiting for their first attempt.
    pub pending: u64,
    /// Waiting for another attempt.
    pub failing: u64,
    /// In work at their endpoint.
    pub scheduled: u64,
    /// Waiting for a person.
    pub parked: u64,
}

/// A page of a queue.
#[derive(Debug, Serialize)]
pub struct QueuePageDocument {
    /// Its number.
    pub page: usize,
    /// How many there are; 40 means at least 40.
    pub pages: usize,
    /// The key of the next page.
    pub next: Option<String>,
    /// The types this store has had.
    pub available_messages: Vec<String>,
    /// The mappings: label and the value to filter by.
    pub available_consumers: Vec<[String; 2]>,
    /// The rows, newest first.
    pub messages: Vec<QueueRowDocument>,
}

/// Where something is, in the words of the API.
#[derive(Debug, Clone, Serialize)]
pub struct PlaceDocument {
    /// `pending`, `failing`, `scheduled`, `parked`, `completed`, `never_processed`, `archived`, `routed`.
    pub state: &'static str,
    /// `incoming`, `accepted`, `archived`.
    pub queue_name: &'static str,
    /// The queue it is in, or left for the archive: what the archive's filter of this name compares.
    pub source: &'static str,
    /// Why it is there, where the state alone does not say.
    pub reason: Option<&'static str>,
}

/// What a row of a queue and a message's detail have in common.
#[derive(Debug, Serialize)]
pub struct QueueRowDocument {
    /// Its id.
    pub id: Id,
    /// Its type.
    pub message: String,
    /// Where it is.
    #[serde(flatten)]
    pub place: PlaceDocument,
    /// The mapping's name; null for a message.
    pub consumer: Option<String>,
    /// The mapping's id, while it exists.
    pub mapping_id: Option<Id>,
    /// When it was made.
    pub created_at: Micros,
    /// When it left the accepted queue.
    pub completed_at: Option<Micros>,
    /// When it is, or was last, attempted.
    pub attempt_at: Option<Micros>,
    /// When the last attempt began.
    pub attempted_at: Option<Micros>,
    /// When it is attempted next.
    pub next_attempt: Option<Micros>,
    /// Attempts made.
    pub attempts: u32,
    /// One sentence on the last failure.
    pub last_error: Option<String>,
    /// Whether an attempt can be asked for.
    pub can_attempt: bool,
    /// Goes to an endpoint.
    pub is_consumer_remote: bool,
    /// The endpoint's name.
    pub destination_name: Option<String>,
    /// The endpoint's picture.
    pub integration_icon_url: Option<String>,
    /// Always null: nothing of this hub is locked.
    pub locked_at: Option<Micros>,
    /// What it came from: empty when nothing.
    pub parent_id: String,
    /// The object it is about, `order/R123`.
    pub object: Option<String>,
    /// Where the message came from.
    pub origin: OriginDocument,
}

/// Where a message came from.
#[derive(Debug, Serialize)]
pub struct OriginDocument {
    /// `push`, `poller`, `endpoint`, ...
    pub kind: &'static str,
    /// By whom; may be empty.
    pub name: String,
}

/// A message or delivery, whole.
#[derive(Debug, Serialize)]
pub struct MessageDocument {
    /// What lists show too.
    #[serde(flatten)]
    pub row: QueueRowDocument,
    /// The same as `id`.
    pub message_id: Id,
    /// The payload, byte for byte.
    pub payload: Payload,
    /// `_id` and further root members.
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Further members of the endpoint's answer.
    pub result: Option<Box<RawValue>>,
    /// The object's id in the shop, else its token.
    pub references: Option<String>,
    /// The object's type.
    pub reference_type: Option<String>,
    /// The object's token.
    pub reference_token: Option<String>,
    /// Pushed by somebody who tries things out.
    pub test: bool,
    /// An earlier delivery that must go first.
    pub behind: Option<Id>,
    /// The delivery that this one sends again.
    pub replay_of: Option<Id>,
    /// Bulk actions and replays that touched it, oldest first.
    pub actions: Vec<ActionMarkDocument>,
    /// Deliveries and derived messages.
    pub children: Vec<ChildDocument>,
    /// Who subscribes and did not get it.
    pub skipped: Vec<SkipDocument>,
    /// What was said about it, newest first.
    pub notifications: Vec<NotificationDocument>,
}

/// A bulk action or replay that touched a delivery.
#[derive(Debug, Serialize)]
pub struct ActionMarkDocument {
    /// Its id.
    pub id: Id,
    /// `retry`, `archive` or `replay`.
    pub kind: &'static str,
}

/// A child of a message.
#[derive(Debug, Serialize)]
pub struct ChildDocument {
    /// Its id.
    pub id: Id,
    /// Its type.
    pub message: String,
    /// Its state.
    pub state: &'static str,
    /// The queue it is in.
    pub location: &'static str,
    /// Why it is there, where the state alone does not say.
    pub reason: Option<&'static str>,
    /// The mapping's name, for a delivery.
    pub consumer: Option<String>,
}

/// A mapping that subscribes to a message and did not get it.
#[derive(Debug, Serialize)]
pub struct SkipDocument {
    /// The mapping's name.
    pub consumer: Option<String>,
    /// The mapping's id, while it exists.
    pub mapping_id: Option<Id>,
    /// `filtered`, `duplicate`, `disabled`.
    pub reason: &'static str,
    /// Which filter, or which identifiers.
    pub detail: Option<String>,
}

/// A notification.
#[derive(Debug, Serialize)]
pub struct NotificationDocument {
    /// Its id.
    pub id: Id,
    /// Its store.
    pub store_id: Id,
    /// What it arose from.
    pub message_id: Option<Id>,
    /// `_id`, `level`, `origin` and further members.
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// How much it matters.
    pub level: Level,
    /// One line.
    pub subject: String,
    /// The rest.
    pub description: String,
    /// How often it was said.
    pub occurrences: u32,
    /// First said.
    pub logged_on: Micros,
    /// Last said.
    pub last_update: Micros,
    /// The object's type.
    pub reference_type: Option<String>,
    /// The object's id in the shop, which the hub does not know: always null.
    pub reference_id: Option<String>,
    /// The object's token.
    pub reference_token: Option<String>,
}

/// A page of notifications.
#[derive(Debug, Serialize)]
pub struct NotificationPageDocument {
    /// Its number.
    pub page: usize,
    /// How many there are; 40 means at least 40.
    pub pages: usize,
    /// The key of the next page.
    pub next: Option<String>,
    /// Newest first.
    pub notifications: Vec<NotificationDocument>,
}

/// The attempts of a delivery.
#[derive(Debug, Serialize)]
pub struct AttemptListDocument {
    /// The delivery's id.
    pub message_id: Id,
    /// Bodies are cut to so many bytes.
    pub kept_body_bytes: usize,
    /// Oldest first.
    pub attempts: Vec<AttemptDocument>,
}

/// An attempt.
#[derive(Debug, Serialize)]
pub struct AttemptDocument {
    /// Its number, from 1.
    pub number: u32,
    /// When it began.
    pub started_at: Micros,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// The address.
    pub url: String,
    /// The HTTP status; null when no answer came.
    pub status: Option<u16>,
    /// `completed`, `scheduled`, or the kind of failure.
    pub outcome: String,
    /// One sentence; empty after a success.
    pub error: String,
    /// What was sent.
    pub request: SentDocument,
    /// What came back; null when nothing did.
    pub answer: Option<SentDocument>,
}

/// Headers and body of a request or an answer, secrets masked.
#[derive(Debug, Serialize)]
pub struct SentDocument {
    /// Headers: names to texts.
    pub headers: Box<RawValue>,
    /// The body as text, cut.
    pub body: Cow<'static, str>,
    /// Bytes of body before cutting.
    pub body_bytes: i64,
    /// The text is not all of it.
    pub body_cut: bool,
}

/// An object's timeline.
#[derive(Debug, Serialize)]
pub struct TimelineDocument {
    /// The object.
    pub object: ObjectDocument,
    /// Newest last.
    pub timeline: Vec<TimelineEntryDocument>,
    /// The key behind which older entries begin; null when this is all.
    pub next: Option<String>,
}

/// An object.
#[derive(Debug, Serialize)]
pub struct ObjectDocument {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its token.
    pub token: String,
    /// Its store.
    pub store_id: Id,
}

/// An entry of a timeline.
#[derive(Debug, Serialize)]
pub struct TimelineEntryDocument {
    /// When.
    pub at: Micros,
    /// What.
    #[serde(flatten)]
    pub what: TimelineWhat,
}

/// What an entry of a timeline tells.
#[derive(Debug, Serialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum TimelineWhat {
    /// A message about the object.
    Message {
        /// Its id.
        id: Id,
        /// Its type.
        message: String,
        /// Where it is.
        #[serde(flatten)]
        place: PlaceDocument,
        /// What it came from: empty when nothing.
        parent_id: String,
        /// Where it came from.
        origin: OriginDocument,
        /// Who subscribes and did not get it.
        skipped: Vec<SkipDocument>,
    },
    /// A delivery of such a message.
    Delivery {
        /// Its id.
        id: Id,
        /// The message's id.
        parent_id: Id,
        /// The message's type.
        message: String,
        /// The mapping's name.
        consumer: Option<String>,
        /// Where it is.
        #[serde(flatten)]
        place: PlaceDocument,
        /// Attempts made.
        attempts: u32,
        /// When it is attempted next.
        next_attempt: Option<Micros>,
        /// One sentence on the last failure.
        last_error: Option<String>,
        /// When it was done.
        completed_at: Option<Micros>,
    },
    /// An attempt of such a delivery.
    Attempt {
        /// The delivery's id.
        delivery_id: Id,
        /// The mapping's name.
        consumer: Option<String>,
        /// Its number.
        number: u32,
        /// How long it took, in milliseconds.
        duration_ms: f64,
        /// The HTTP status.
        status: Option<u16>,
        /// How it ended.
        outcome: String,
        /// One sentence; empty after a success.
        error: String,
    },
    /// An event about the object.
    Event(Box<NotificationDocument>),
}
