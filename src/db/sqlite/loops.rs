//! Counting the descendants of messages against their bounds ([`crate::db::loops`]).

use super::{
    event::{Repeat, event_store},
    message::message_store,
    session::Session,
    statement::{Question, statements},
};
use crate::{
    db::{
        DbResult,
        loops::{Bound, hour_of, repetition_of},
    },
    domain::{key::DeliveryKey, message::NewMessage, time::Micros},
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
        Some(bound) => {
            let (event, repeat) = bound.event(message, delivery);
            event_store(session, &event, Repeat::Of(repeat), now)?;
            Ok(false)
        }
    }
}

/// The bound that this message would pass.
fn bound_reached(
    session: &mut Session,
    message: &NewMessage,
    now: Micros,
) -> DbResult<Option<Bound>> {
    let Some(line) = message.ancestry else {
        return Ok(None);
    };
    let bounds = session.options.loop_bounds;
    if let Some(bound) = Bound::on_depth(bounds, message) {
        return Ok(Some(bound));
    }
    let root = line.root.0;
    let descendants = LineageAdd { root }.row(&mut session.conn)?.unwrap_or(0);
    if descendants > i64::from(bounds.max_descendants) {
        return Ok(Some(Bound::on_descendants(bounds, root)));
    }
    if let Some(hash) = repetition_of(message) {
        let hour = hour_of(now);
        let repeated = RepetitionAdd { hour, hash }
            .row(&mut session.conn)?
            .unwrap_or(0);
        if repeated > i64::from(bounds.max_per_object_hour) {
            return Ok(Some(Bound::on_pace(bounds, hash, hour)));
        }
    }
    Ok(None)
}
