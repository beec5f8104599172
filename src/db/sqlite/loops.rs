//! Loops: messages that descend from messages are bounded in depth, in number and in pace. A message over a bound is not
//! stored; an event says so, once for each root (or object and hour), with a count of how many more there were.

use sha2::{Digest, Sha256};

use super::{
    event::{Repeat, event_store},
    message::message_store,
    session::Session,
    statement::{Question, statements},
};
use crate::{
    db::DbResult,
    domain::{
        event::{Level, NewEvent},
        key::DeliveryKey,
        message::NewMessage,
        reference::lane_hash,
        time::Micros,
    },
};

statements! {
    /// One more descendant of a root; how many there are now.
    LineageAdd { root: i64 } -> i64 =
        "INSERT INTO lineage (root, descendants) VALUES (?1, 1) ON CONFLICT (root) DO UPDATE SET descendants = descendants + 1 RETURNING descendants";
    /// One more message of this type about this object in this hour; how many there are now.
    RepetitionAdd { hour: i64, hash: i64 } -> i64 =
        "INSERT INTO repetition (hour, hash, n) VALUES (?1, ?2, 1) ON CONFLICT (hour, hash) DO UPDATE SET n = n + 1 RETURNING n";
}

/// Stores a message that may have a parent, within the bounds; returns whether it was stored.
pub(super) fn descendant_store(
    session: &mut Session,
    message: &NewMessage,
    delivery: Option<DeliveryKey>,
    now: Micros,
) -> DbResult<bool> {
    match bound_reached(session, message, now)? {
        None => {
            message_store(session, message, now)?;
            Ok(true)
        }
        Some((bound, repeat)) => {
            let event = NewEvent {
                store: message.store,
                level: Level::Error,
                subject: format!(
                    "A loop was stopped: {} was not accepted",
                    message.kind.as_str()
                ),
                description: bound,
                reference: message.about.primary.clone(),
                message: message.ancestry.map(|line| line.parent),
                delivery,
                origin: "integrator".into(),
                attributes: None,
                announce: None,
            };
            event_store(session, &event, Repeat::Of(repeat), now)?;
            Ok(false)
        }
    }
}

/// The bound that this message would pass, in words, and what its event is counted by.
fn bound_reached(
    session: &mut Session,
    message: &NewMessage,
    now: Micros,
) -> DbResult<Option<(String, Vec<u8>)>> {
    let Some(line) = message.ancestry else {
        return Ok(None);
    };
    let bounds = session.options.loop_bounds;
    let (root, store) = (line.root.0, message.store.0);
    if line.depth > bounds.max_depth {
        let text = format!(
            "It descends from other messages over more than {} steps.",
            bounds.max_depth
        );
        return Ok(Some((text, digest(b"depth", root, 0))));
    }
    let descendants = LineageAdd { root }.row(&mut session.conn)?.unwrap_or(0);
    if descendants > i64::from(bounds.max_descendants) {
        let text = format!(
            "One message has more than {} descendants.",
            bounds.max_descendants
        );
        return Ok(Some((text, digest(b"descendants", root, 0))));
    }
    if let Some(object) = &message.about.primary {
        let hash = lane_hash(store, object) ^ type_hash(message.kind.canonical());
        let hour = now.seconds().div_euclid(3600);
        let repeated = RepetitionAdd { hour, hash }
            .row(&mut session.conn)?
            .unwrap_or(0);
        if repeated > i64::from(bounds.max_per_object_hour) {
            let text = format!(
                "More than {} such messages about one object descended from others within an hour.",
                bounds.max_per_object_hour
            );
            return Ok(Some((text, digest(b"repetition", hash, hour))));
        }
    }
    Ok(None)
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
