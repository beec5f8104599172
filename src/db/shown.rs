//! Stored rows of messages and deliveries as both databases read them, and what lists, details and timelines make of them.

use std::collections::HashMap;

use super::{
    ChildRow, DbError, DbResult, DeliveryDetail, JobMark, Locator, PageKey, ParentRow, QueueRow,
};
use crate::domain::{
    id::{Id, IdSeal},
    json::Payload,
    key::{DeliveryKey, EndpointKey, MappingKey, MessageKey, StoreKey},
    message::{Ancestry, Message, Source},
    message_type::MessageType,
    reference::{About, ObjectRef},
    time::Micros,
};

/// A message without its payload.
#[derive(Debug, Clone)]
pub(in crate::db) struct Head {
    pub(in crate::db) key: i64,
    pub(in crate::db) id: Id,
    pub(in crate::db) store: i64,
    pub(in crate::db) kind: String,
    pub(in crate::db) object: Option<ObjectRef>,
    pub(in crate::db) source: Source,
    pub(in crate::db) ancestry: Option<Ancestry>,
    pub(in crate::db) test: bool,
    pub(in crate::db) accepted_at: Micros,
}

impl Head {
    /// The whole message.
    ///
    /// # Errors
    /// [`DbError::Unreadable`] for a type that is none.
    pub(in crate::db) fn whole(self, extra: Option<String>, payload: String) -> DbResult<Message> {
        let kind = MessageType::parse(&self.kind).map_err(|error| {
            unreadable(self.key, format!("message type {:?}: {error}", self.kind))
        })?;
        Ok(Message {
            key: MessageKey(self.key),
            id: self.id,
            store: StoreKey(self.store),
            kind,
            payload: Payload::from_stored(payload),
            about: About {
                primary: self.object,
                also: Vec::new(),
            },
            source: self.source,
            ancestry: self.ancestry,
            test: self.test,
            extra,
            accepted_at: self.accepted_at,
        })
    }

    /// As the row above another.
    pub(in crate::db) fn parent(self) -> ParentRow {
        ParentRow {
            id: self.id,
            kind: self.kind,
        }
    }

    /// As a row below another; a message in no queue was routed.
    pub(in crate::db) fn child(self, places: &HashMap<i64, Locator>) -> ChildRow {
        ChildRow {
            id: self.id,
            kind: self.kind,
            location: places.get(&self.key).copied().unwrap_or(Locator::Routed),
            mapping: None,
        }
    }
}

/// The object that message `key` is stored to be about.
///
/// # Errors
/// [`DbError::Unreadable`] when it is none.
pub(in crate::db) fn object_of(
    key: i64,
    kind: Option<String>,
    token: Option<String>,
) -> DbResult<Option<ObjectRef>> {
    let (Some(kind), Some(token)) = (kind, token) else {
        return Ok(None);
    };
    ObjectRef::new(&kind, &token)
        .map(Some)
        .map_err(|error| unreadable(key, format!("object {kind}/{token}: {error}")))
}

fn unreadable(key: i64, reason: String) -> DbError {
    DbError::Unreadable {
        table: "message",
        key,
        reason,
    }
}

/// A row of a queue, as lists and details show it. `M` is what its message is found by.
#[derive(Debug, Clone)]
pub(in crate::db) struct DeliveryRow<M> {
    pub(in crate::db) seq: i64,
    /// `None` for a message, as is `mapping`.
    pub(in crate::db) endpoint: Option<i64>,
    pub(in crate::db) mapping: Option<i64>,
    pub(in crate::db) kind: i64,
    pub(in crate::db) message: M,
    pub(in crate::db) lane: Option<i64>,
    pub(in crate::db) head: bool,
    pub(in crate::db) location: Locator,
    pub(in crate::db) due_at: Option<Micros>,
    pub(in crate::db) attempts: u32,
    pub(in crate::db) created_at: Micros,
    pub(in crate::db) attempted_at: Option<Micros>,
    pub(in crate::db) completed_at: Option<Micros>,
    pub(in crate::db) replay_of: Option<i64>,
    pub(in crate::db) last_error: Option<String>,
    pub(in crate::db) result: Option<String>,
}

impl<M> DeliveryRow<M> {
    /// A message that waits for routing.
    pub(in crate::db) fn incoming(seq: i64, kind: i64, accepted_at: i64, message: M) -> Self {
        Self {
            seq,
            endpoint: None,
            mapping: None,
            kind,
            message,
            lane: None,
            head: false,
            location: Locator::Incoming,
            due_at: None,
            attempts: 0,
            created_at: Micros(accepted_at),
            attempted_at: None,
            completed_at: None,
            replay_of: None,
            last_error: None,
            result: None,
        }
    }

    pub(in crate::db) fn id(&self, seal: IdSeal) -> Id {
        seal.seal(self.seq, self.created_at)
    }

    /// The lane that it waits in behind another, by endpoint and number.
    pub(in crate::db) fn waits_behind(&self) -> Option<(i64, i64)> {
        match (self.lane, self.endpoint, self.location) {
            (Some(lane), Some(endpoint), Locator::Accepted(state))
                if state.holds_lane() && !self.head =>
            {
                Some((endpoint, lane))
            }
            _ => None,
        }
    }

    /// As a row below its message, whose type it has.
    pub(in crate::db) fn child(&self, seal: IdSeal, kind: &str) -> ChildRow {
        ChildRow {
            id: self.id(seal),
            kind: kind.to_owned(),
            location: self.location,
            mapping: self.mapping.map(MappingKey),
        }
    }

    /// What its own page shows besides its message.
    pub(in crate::db) fn detail(
        self,
        behind: Option<Id>,
        replay_of: Option<Id>,
        jobs: Vec<JobMark>,
    ) -> DeliveryDetail {
        DeliveryDetail {
            key: DeliveryKey(self.seq),
            mapping: MappingKey(self.mapping.unwrap_or(0)),
            endpoint: EndpointKey(self.endpoint.unwrap_or(0)),
            attempts: self.attempts,
            due_at: self.due_at,
            attempted_at: self.attempted_at,
            last_error: self.last_error,
            result: self.result,
            completed_at: self.completed_at,
            behind,
            replay_of,
            jobs,
        }
    }

    /// As a list shows it, with what its message says; a message that is gone or unreadable leaves its type, which is kept
    /// apart.
    pub(in crate::db) fn listed(
        self,
        seal: IdSeal,
        head: Option<&Head>,
        kinds: &HashMap<i64, String>,
    ) -> QueueRow {
        let parent_id = match self.mapping {
            Some(_) => head.map(|head| head.id),
            None => head
                .and_then(|head| head.ancestry)
                .map(|line| line.parent_id),
        };
        QueueRow {
            page_key: PageKey(self.seq),
            id: self.id(seal),
            kind: kinds
                .get(&self.kind)
                .cloned()
                .or_else(|| head.map(|head| head.kind.clone()))
                .unwrap_or_default(),
            location: self.location,
            mapping: self.mapping.map(MappingKey),
            object: head.and_then(|head| head.object.clone()),
            source: head.map_or_else(|| Source::Hub(String::new()), |head| head.source.clone()),
            parent_id,
            created_at: self.created_at,
            completed_at: self.completed_at,
            attempted_at: self.attempted_at,
            due_at: self.due_at,
            attempts: self.attempts,
            last_error: self.last_error,
        }
    }
}
