//! A scheduler: a schedule and what it pushes at each tick.

use serde::{Deserialize, Serialize};

use super::{
    json::{Payload, PayloadLimits},
    key::StoreKey,
    message::{NewMessage, Source},
    message_type::MessageType,
    reference::object_of,
    schedule::Schedule,
    time::Micros,
};

/// A configured scheduler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scheduler {
    /// When.
    pub schedule: Schedule,
    /// The message type it pushes.
    pub key: MessageType,
    /// The payload it pushes, a JSON object; an empty one when left out.
    #[serde(default)]
    pub payload: Option<String>,
    /// It ticks.
    pub enabled: bool,
    /// Where intervals are counted from: when it was made or its schedule last changed.
    pub anchor: Micros,
}

impl Scheduler {
    /// The message of a tick.
    #[must_use]
    pub fn message(&self, store: StoreKey) -> NewMessage {
        // It was checked when it was written; one edited by hand since pushes the empty object.
        let payload = self
            .payload
            .as_deref()
            .and_then(|text| Payload::parse(text, PayloadLimits::default()).ok())
            .unwrap_or_else(Payload::empty);
        NewMessage {
            store,
            about: object_of(&self.key, &payload),
            kind: self.key.clone(),
            payload,
            source: Source::Scheduler,
            ancestry: None,
            test: false,
            extra: None,
        }
    }
}
