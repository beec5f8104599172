//! The newest messages, kept in memory for whoever reads them next.
//!
//! Nearly every message is routed and posted within milliseconds of its commit, by readers that would have to fetch from the tables
//! what the writer has just put there. So the writer keeps what it has committed, up to a bound in bytes, and readers look here first.
//! It is a shortcut and nothing more: messages never change, whatever is not here is read from the tables, and a start begins with nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::message::Message;

/// What a message takes besides its texts, roughly, in bytes.
const OVERHEAD: usize = 400;

/// See the module. Filled by the writer after each commit, read by the readers.
#[derive(Debug)]
pub(super) struct Recent {
    kept: Mutex<Kept>,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Kept {
    /// In order of key, which is the order in which they were written.
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl Recent {
    /// Nothing yet; at most so many bytes.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            kept: Mutex::default(),
            most_bytes,
        }
    }

    /// Keeps messages that are committed now; the oldest give way.
    pub(super) fn keep(&self, committed: &mut Vec<Arc<Message>>) {
        let mut dropped = Vec::new();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for message in committed.drain(..) {
            if kept
                .messages
                .back()
                .is_some_and(|last| last.key >= message.key)
            {
                continue;
            }
            kept.bytes += weight(&message);
            kept.messages.push_back(message);
        }
        while kept.bytes > self.most_bytes {
            let Some(oldest) = kept.messages.pop_front() else {
                break;
            };
            kept.bytes -= weight(&oldest);
            dropped.push(oldest);
        }
        drop(kept);
        // Freed outside the lock.
        drop(dropped);
    }

    /// Those of these messages that are kept, each beside its place in `keys`.
    pub(super) fn find(&self, keys: &[i64]) -> Vec<Option<Arc<Message>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |key: &i64| {
            let place = kept
                .messages
                .binary_search_by_key(key, |message| message.key.0)
                .ok()?;
            kept.messages.get(place).cloned()
        };
        keys.iter().map(find).collect()
    }

    /// Keeps nothing of what was kept: for whoever erases messages.
    pub(super) fn clear(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }
}

fn weight(message: &Message) -> usize {
    OVERHEAD + message.payload.len() + message.extra.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::IdSeal,
        json::Payload,
        key::{MessageKey, StoreKey},
        message::Source,
        message_type::MessageType,
        reference::About,
        time::Micros,
    };

    fn message(key: i64) -> Arc<Message> {
        Arc::new(Message {
            key: MessageKey(key),
            id: IdSeal::new(1).seal(key, Micros(0)),
            store: StoreKey(1),
            kind: MessageType::parse("order:new").expect("a type"),
            payload: Payload::empty(),
            about: About::default(),
            source: Source::Scheduler,
            ancestry: None,
            test: false,
            extra: None,
            accepted_at: Micros(0),
        })
    }

    fn found(recent: &Recent, keys: &[i64]) -> Vec<Option<i64>> {
        let found = recent.find(keys);
        found
            .iter()
            .map(|one| one.as_ref().map(|one| one.key.0))
            .collect()
    }

    #[test]
    fn the_oldest_give_way() {
        let recent = Recent::new(3 * (OVERHEAD + 2));
        recent.keep(&mut vec![message(2), message(5)]);
        recent.keep(&mut vec![message(7), message(8)]);
        assert_eq!(
            found(&recent, &[8, 2, 5, 6]),
            [Some(8), None, Some(5), None]
        );
        recent.clear();
        assert_eq!(found(&recent, &[8, 5]), [None, None]);
    }

    #[test]
    fn a_message_larger_than_the_bound_is_not_kept() {
        let recent = Recent::new(OVERHEAD);
        recent.keep(&mut vec![message(1)]);
        assert_eq!(found(&recent, &[1]), [None]);
    }
}
