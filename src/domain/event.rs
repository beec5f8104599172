//! Events: log entries for people about an object, made of notifications and of what happens inside the hub.

use serde::{Deserialize, Serialize};

use super::{
    key::{DeliveryKey, MessageKey, StoreKey},
    message::NewMessage,
    reference::ObjectRef,
};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something happened.
    Info,
    /// Something may need a look.
    Warn,
    /// Something went wrong.
    Error,
}

impl Level {
    /// The word used on the wire: `info`, `warn`, `error`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Reads a level in any of the spellings that endpoints use (`warning`, `fatal`, upper case).
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "info" | "information" | "notice" | "debug" | "success" => Some(Self::Info),
            "warn" | "warning" => Some(Self::Warn),
            "error" | "err" | "fatal" | "critical" => Some(Self::Error),
            _ => None,
        }
    }
}

/// An event that is not stored yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// The store it belongs to.
    pub store: StoreKey,
    /// How much it matters.
    pub level: Level,
    /// One line.
    pub subject: String,
    /// The rest of the text; may be empty.
    pub description: String,
    /// The object it is about.
    pub reference: Option<ObjectRef>,
    /// The message it arose from.
    pub message: Option<MessageKey>,
    /// The delivery it arose from; repeats are counted per (delivery, level, subject, description).
    pub delivery: Option<DeliveryKey>,
    /// Who said it: a mapping's name, or `integrator` for the hub itself.
    pub origin: String,
    /// Further members of the notification as raw JSON object text (`backtrace`, ...), cut to a limit.
    pub attributes: Option<String>,
    /// The `notification:<level>` message that goes out the first time this event is seen, and never for a repeat.
    pub announce: Option<Box<NewMessage>>,
}
