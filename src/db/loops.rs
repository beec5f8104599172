//! Loops: messages that descend from messages are bounded in depth, in number and in pace. A message over a bound is not stored; an event
//! says so, once for each root (or object and hour), with a count of how many more there were. Each backend counts with statements of its
//! own; what is counted, and what is said of it, stands here.

use sha2::{Digest, Sha256};

use super::LoopBounds;
use crate::domain::{
    event::{Level, NewEvent},
    key::DeliveryKey,
    message::NewMessage,
    reference::lane_hash,
    time::Micros,
};

/// A bound that a message would pass.
pub(in crate::db) struct Bound {
    /// In words.
    text: String,
    /// What its event is counted by.
    digest: Vec<u8>,
}

impl Bound {
    /// The bound on depth, if this message is over it.
    pub(in crate::db) fn on_depth(bounds: LoopBounds, message: &NewMessage) -> Option<Self> {
        let line = message
            .ancestry
            .filter(|line| line.depth > bounds.max_depth)?;
        Some(Self {
            text: format!(
                "It descends from other messages over more than {} steps.",
                bounds.max_depth
            ),
            digest: digest(b"depth", line.root.0, 0),
        })
    }

    /// The bound on the descendants of a root.
    pub(in crate::db) fn on_descendants(bounds: LoopBounds, root: i64) -> Self {
        Self {
            text: format!(
                "One message has more than {} descendants.",
                bounds.max_descendants
            ),
            digest: digest(b"descendants", root, 0),
        }
    }

    /// The bound on messages of a type about an object (see [`repetition_of`]) in an hour.
    pub(in crate::db) fn on_pace(bounds: LoopBounds, hash: i64, hour: i64) -> Self {
        Self {
            text: format!(
                "More than {} such messages about one object descended from others within an hour.",
                bounds.max_per_object_hour
            ),
            digest: digest(b"repetition", hash, hour),
        }
    }

    /// The event that says that this message was not stored, and what it is counted by.
    pub(in crate::db) fn event(
        self,
        message: &NewMessage,
        delivery: Option<DeliveryKey>,
    ) -> (NewEvent, Vec<u8>) {
        let event = NewEvent {
            store: message.store,
            level: Level::Error,
            subject: format!(
                "A loop was stopped: {} was not accepted",
                message.kind.as_str()
            ),
            description: self.text,
            reference: message.about.primary.clone(),
            message: message.ancestry.map(|line| line.parent),
            delivery,
            origin: "integrator".into(),
            attributes: None,
            announce: None,
        };
        (event, self.digest)
    }
}

/// What a message with a parent is counted under in its hour: its object and type. `None` without an object or a parent.
pub(in crate::db) fn repetition_of(message: &NewMessage) -> Option<i64> {
    let object = message.ancestry.and(message.about.primary.as_ref())?;
    Some(lane_hash(message.store.0, object) ^ type_hash(message.kind.canonical()))
}

/// The hour that repetitions are counted in, from the epoch.
pub(in crate::db) fn hour_of(now: Micros) -> i64 {
    now.seconds().div_euclid(3600)
}

fn type_hash(kind: &str) -> i64 {
    let digest = Sha256::digest(kind.as_bytes());
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

fn digest(word: &[u8], one: i64, two: i64) -> Vec<u8> {
    let whole = Sha256::new()
        .chain_update(b"loop\0")
        .chain_update(word)
        .chain_update(one.to_be_bytes())
        .chain_update(two.to_be_bytes());
    whole.finalize().iter().take(16).copied().collect()
}
