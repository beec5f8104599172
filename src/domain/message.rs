//! Messages: immutable facts, before they are stored ([`NewMessage`]) and after ([`Message`], [`Incoming`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    id::Id,
    json::Payload,
    key::{DeliveryKey, MappingKey, MessageKey, StoreKey},
    message_type::MessageType,
    reference::About,
    time::Micros,
};

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Source {
    /// The poller of the store's own API.
    Poller,
    /// A push over HTTP, by the token of this name.
    Push(String),
    /// An internal consumer of this name.
    Consumer(String),
    /// An endpoint's answer: the mapping's name, such as `acme.send_order`.
    Endpoint(String),
    /// A scheduler.
    Scheduler,
    /// A person in the console, by name.
    Person(String),
    /// The hub itself: its own alerts, and the notifications it makes of endpoints' words (then with the mapping's name).
    Hub(String),
}

impl Source {
    /// The word for the kind, as the database stores it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Poller => "poller",
            Self::Push(_) => "push",
            Self::Consumer(_) => "consumer",
            Self::Endpoint(_) => "endpoint",
            Self::Scheduler => "scheduler",
            Self::Person(_) => "person",
            Self::Hub(_) => "hub",
        }
    }

    /// The name beside the kind; empty for kinds that have none.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Poller | Self::Scheduler => "",
            Self::Push(name)
            | Self::Consumer(name)
            | Self::Endpoint(name)
            | Self::Person(name)
            | Self::Hub(name) => name,
        }
    }

    /// The source stored as this kind and name; an unknown kind is read as the hub itself.
    #[must_use]
    pub fn from_parts(kind: &str, name: &str) -> Self {
        let name = || name.to_owned();
        match kind {
            "poller" => Self::Poller,
            "push" => Self::Push(name()),
            "consumer" => Self::Consumer(name()),
            "endpoint" => Self::Endpoint(name()),
            "scheduler" => Self::Scheduler,
            "person" => Self::Person(name()),
            _ => Self::Hub(name()),
        }
    }

    /// What dialect 1 shows as the root member `source`: the name, else the kind.
    #[must_use]
    pub fn label(&self) -> &str {
        match self.name() {
            "" => self.kind(),
            name => name,
        }
    }
}

/// The line of messages a message descends from: what loops are noticed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ancestry {
    /// The message it was derived from or returned for.
    pub parent: MessageKey,
    /// The parent's public id, kept because a parent may be gone before its children.
    pub parent_id: Id,
    /// The first message of the line, the one without a parent.
    pub root: MessageKey,
    /// The parent's depth plus one; a message without a parent has depth 0.
    pub depth: u32,
}

/// A message that is not stored yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// The store it belongs to.
    pub store: StoreKey,
    /// Its type as given (aliases are resolved when matching).
    pub kind: MessageType,
    /// The payload, already checked by the reader that everyone behind it uses.
    pub payload: Payload,
    /// What it is about; the primary object decides its lane.
    pub about: About,
    /// Where it came from.
    pub source: Source,
    /// Its parent, for derived and returned messages.
    pub ancestry: Option<Ancestry>,
    /// `origin: test`: pushed by somebody who tries things out.
    pub test: bool,
    /// Further root members (a raw JSON object), passed on to endpoints as they came.
    pub extra: Option<String>,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its place in the order of all messages.
    pub key: MessageKey,
    /// Its public id.
    pub id: Id,
    /// The store it belongs to.
    pub store: StoreKey,
    /// Its type as given.
    pub kind: MessageType,
    /// The payload, byte for byte as accepted (without `parameters`).
    pub payload: Payload,
    /// What it is about; `also` is empty when read back for routing or delivery.
    pub about: About,
    /// Where it came from.
    pub source: Source,
    /// Its parent, for derived and returned messages.
    pub ancestry: Option<Ancestry>,
    /// `origin: test`.
    pub test: bool,
    /// Further root members, raw JSON.
    pub extra: Option<String>,
    /// When the hub accepted it.
    pub accepted_at: Micros,
}

impl Message {
    /// The ancestry of a message derived from this one.
    #[must_use]
    pub fn descend(&self) -> Ancestry {
        Ancestry {
            parent: self.key,
            parent_id: self.id,
            root: self.ancestry.map_or(self.key, |line| line.root),
            depth: self.ancestry.map_or(0, |line| line.depth).saturating_add(1),
        }
    }
}

/// A message of the incoming queue: accepted, not yet (wholly) routed.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The message; shared with whoever else has it in memory.
    pub message: Arc<Message>,
    /// The last mapping an earlier chunk of its fan-out has dealt with.
    pub routed_up_to: Option<MappingKey>,
}

/// Which delivery sends a message again.
pub type ReplayOf = Option<DeliveryKey>;
