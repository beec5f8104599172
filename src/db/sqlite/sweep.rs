//! Upkeep in small steps: what is expired or too old goes, and a lane that lost its head gets one.
//!
//! Old rows are found from the low end of each table's own order, so a step reads little more than it removes. A message
//! goes when its age is past and nothing refers to it: neither the incoming queue nor a delivery, waiting or archived.

use super::{
    codec::part_key,
    message::BUCKET_BITS,
    session::{Place, Session},
    statement::{Command, Question, key_list, statements},
};
use crate::{
    db::{DbResult, SweepBounds, SweepReport},
    domain::{
        reference::{ObjectRef, lane_hash},
        time::Micros,
    },
};

/// Hours that repetitions of descendants are remembered: one more than they are counted over.
const REPETITION_HOURS: i64 = 2;

statements! {
    /// Idempotency keys past their time.
    KeysExpire { now: i64, limit: i64 } =
        "DELETE FROM idempotency WHERE (token, key) IN (SELECT token, key FROM idempotency WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
    /// Claims past their time.
    ClaimsExpire { now: i64, limit: i64 } =
        "DELETE FROM claim WHERE (mapping, key) IN (SELECT mapping, key FROM claim WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
    /// The next store that has archived rows: a skip scan.
    NextStore { after: i64 } -> Option<i64> = "SELECT min(store) FROM archived WHERE store > ?1";
    /// The oldest archived rows of a store, by key.
    OldestArchived { store: i64, limit: i64 } -> (i64, i64) =
        "SELECT seq, completed_at FROM archived WHERE store = ?1 ORDER BY seq LIMIT ?2";
    /// Archived rows by key.
    ArchivedDrop<'a> { store: i64, keys: &'a str } =
        "DELETE FROM archived WHERE store = ?1 AND seq IN (SELECT value FROM json_each(?2))";
    /// A delivery's attempts.
    AttemptsDrop { from: i64, to: i64 } = "DELETE FROM attempt WHERE key BETWEEN ?1 AND ?2";
    /// The oldest messages.
    OldestMessages { after: i64, limit: i64 } -> (i64, i64, i64, Option<String>, Option<String>, Option<i64>) =
        "SELECT seq, store, accepted_at, object_type, object_token, root FROM message WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    /// Whether a message waits to be routed.
    IsIncoming { store: i64, seq: i64 } -> i64 = "SELECT 1 FROM incoming WHERE store = ?1 AND seq = ?2";
    /// Whether a delivery of a store waits.
    IsWaiting<'a> { store: i64, keys: &'a str } -> i64 =
        "SELECT seq FROM accepted WHERE store = ?1 AND seq IN (SELECT value FROM json_each(?2)) LIMIT 1";
    /// Whether a delivery of a store, or a message nobody wanted, is archived.
    IsArchived<'a> { store: i64, keys: &'a str } -> i64 =
        "SELECT seq FROM archived WHERE store = ?1 AND seq IN (SELECT value FROM json_each(?2)) LIMIT 1";
    /// A message.
    MessageDrop { seq: i64 } = "DELETE FROM message WHERE seq = ?1";
    /// A message's entry on its object's timeline.
    ObjectDrop { bucket: i64, hash: i64, message: i64 } =
        "DELETE FROM object_message WHERE bucket = ?1 AND object_hash = ?2 AND message = ?3";
    /// What is left of buckets that hold only messages that are gone: entries of further objects.
    BucketsDrop { below: i64, limit: i64 } =
        "DELETE FROM object_message WHERE (bucket, object_hash, message) IN (SELECT bucket, object_hash, message FROM object_message
         WHERE bucket < ?1 ORDER BY bucket LIMIT ?2)";
    /// A message's routing records.
    RoutingDrop { from: i64, to: i64 } = "DELETE FROM routing WHERE key BETWEEN ?1 AND ?2";
    /// The count of a root's descendants.
    LineageDrop { root: i64 } = "DELETE FROM lineage WHERE root = ?1";
    /// Repetitions of past hours.
    RepetitionsExpire { hour: i64, limit: i64 } =
        "DELETE FROM repetition WHERE (hour, hash) IN (SELECT hour, hash FROM repetition WHERE hour < ?1 ORDER BY hour LIMIT ?2)";
    /// The oldest events.
    OldestEvents { limit: i64 } -> (i64, i64) = "SELECT seq, last_at FROM event ORDER BY seq LIMIT ?1";
    /// Events by key.
    EventsDrop<'a> { keys: &'a str } = "DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?1))";
    /// The next lane after one, with whether it has a head: a skip scan over the waiting lanes.
    NextLane { endpoint: i64, lane: i64 } -> (i64, i64) =
        "SELECT endpoint, lane FROM accepted WHERE lane IS NOT NULL AND state < 3 AND (endpoint, lane) > (?1, ?2)
         ORDER BY endpoint, lane, pos LIMIT 1";
    /// Makes a lane's first row its head and no other, where that is not so.
    LaneMend { endpoint: i64, lane: i64 } =
        "UPDATE accepted SET head = ((store, seq) = (SELECT store, seq FROM accepted WHERE endpoint = ?1 AND lane = ?2 AND state < 3
         ORDER BY pos LIMIT 1)) WHERE endpoint = ?1 AND lane = ?2 AND state < 3 AND lane IS NOT NULL
         AND head <> ((store, seq) = (SELECT store, seq FROM accepted WHERE endpoint = ?1 AND lane = ?2 AND state < 3 ORDER BY pos LIMIT 1))";
}

/// One step of upkeep.
pub(super) fn sweep(
    session: &mut Session,
    bounds: SweepBounds,
    now: Micros,
) -> DbResult<SweepReport> {
    let limit = i64::try_from(bounds.rows).unwrap_or(i64::MAX);
    let hour = now.seconds().div_euclid(3600) - REPETITION_HOURS;
    RepetitionsExpire { hour, limit }.run(&mut session.conn)?;
    let mut report = SweepReport {
        keys: KeysExpire { now: now.0, limit }.run(&mut session.conn)?,
        claims: ClaimsExpire { now: now.0, limit }.run(&mut session.conn)?,
        archived: archived_sweep(session, now.minus(bounds.archived_age), limit)?,
        messages: messages_sweep(session, now.minus(bounds.archived_age), limit)?,
        events: events_sweep(session, now.minus(bounds.event_age), limit)?,
        jobs: super::job::drop_old(session, now.minus(bounds.archived_age), limit)?,
        lanes: lanes_mend(session, bounds.rows)?,
        more: false,
    };
    let full = [
        report.keys,
        report.claims,
        report.archived,
        report.messages,
        report.events,
        report.jobs,
    ];
    report.more = full.iter().any(|done| *done >= bounds.rows);
    Ok(report)
}

fn archived_sweep(session: &mut Session, before: Micros, limit: i64) -> DbResult<usize> {
    let (mut dropped, mut store) = (0, i64::MIN);
    while let Some(next) = (NextStore { after: store })
        .row(&mut session.conn)?
        .flatten()
    {
        store = next;
        let oldest = OldestArchived { store, limit }.rows(&mut session.conn)?;
        let keys: Vec<i64> = oldest
            .into_iter()
            .filter(|(_, done)| *done < before.0)
            .map(|(seq, _)| seq)
            .collect();
        if keys.is_empty() {
            continue;
        }
        for key in &keys {
            AttemptsDrop {
                from: part_key(*key, 0),
                to: part_key(*key, u32::MAX),
            }
            .run(&mut session.conn)?;
        }
        let gone = ArchivedDrop {
            store,
            keys: &key_list(keys),
        }
        .run(&mut session.conn)?;
        session.count(store, Place::Archived, -i64::try_from(gone).unwrap_or(0));
        dropped += gone;
    }
    Ok(dropped)
}

fn messages_sweep(session: &mut Session, before: Micros, limit: i64) -> DbResult<usize> {
    let oldest = OldestMessages {
        after: session.message_looked_at,
        limit,
    }
    .rows(&mut session.conn)?;
    let read = oldest.len();
    let (mut dropped, mut looked_at) = (0, 0);
    for (seq, store, accepted_at, object_type, object_token, root) in oldest {
        if accepted_at >= before.0 {
            break;
        }
        looked_at += 1;
        session.message_looked_at = seq;
        if is_referred_to(session, store, seq)? {
            continue;
        }
        if let (Some(kind), Some(token)) = (object_type, object_token)
            && let Ok(object) = ObjectRef::new(&kind, &token)
        {
            ObjectDrop {
                bucket: seq >> BUCKET_BITS,
                hash: lane_hash(store, &object),
                message: seq,
            }
            .run(&mut session.conn)?;
        }
        RoutingDrop {
            from: part_key(seq, 0),
            to: part_key(seq, u32::MAX),
        }
        .run(&mut session.conn)?;
        if root.is_none() {
            LineageDrop { root: seq }.run(&mut session.conn)?;
        }
        dropped += MessageDrop { seq }.run(&mut session.conn)?;
    }
    if looked_at < read || read == 0 {
        // The young ones begin here: the next step starts again with the oldest, which may be free by then.
        let below = oldest_bucket(session)?;
        session.message_looked_at = i64::MIN;
        BucketsDrop { below, limit }.run(&mut session.conn)?;
    }
    Ok(dropped)
}

/// The bucket of the oldest message that is left, or the one the next message will fall into.
fn oldest_bucket(session: &mut Session) -> DbResult<i64> {
    let oldest = OldestMessages {
        after: i64::MIN,
        limit: 1,
    }
    .row(&mut session.conn)?;
    Ok(oldest.map_or(session.last(), |row| row.0) >> BUCKET_BITS)
}

fn is_referred_to(session: &mut Session, store: i64, seq: i64) -> DbResult<bool> {
    if (IsIncoming { store, seq })
        .row(&mut session.conn)?
        .is_some()
    {
        return Ok(true);
    }
    let record = super::delivery::record_read(&mut session.conn, seq)?;
    let keys = key_list(
        record
            .deliveries
            .iter()
            .map(|(delivery, _)| *delivery)
            .chain([seq]),
    );
    Ok((IsWaiting { store, keys: &keys })
        .row(&mut session.conn)?
        .is_some()
        || (IsArchived { store, keys: &keys })
            .row(&mut session.conn)?
            .is_some())
}

fn events_sweep(session: &mut Session, before: Micros, limit: i64) -> DbResult<usize> {
    let oldest = OldestEvents { limit }.rows(&mut session.conn)?;
    let keys: Vec<i64> = oldest
        .into_iter()
        .filter(|(_, last)| *last < before.0)
        .map(|(seq, _)| seq)
        .collect();
    if keys.is_empty() {
        return Ok(0);
    }
    EventsDrop {
        keys: &key_list(keys),
    }
    .run(&mut session.conn)
}

/// Looks at the next lanes, in turn over many steps, and mends those whose head is not their first row.
fn lanes_mend(session: &mut Session, lanes: usize) -> DbResult<usize> {
    let mut mended = 0;
    for _ in 0..lanes {
        let (endpoint, lane) = session.lane_looked_at;
        let Some((endpoint, lane)) = (NextLane { endpoint, lane }).row(&mut session.conn)? else {
            session.lane_looked_at = (i64::MIN, i64::MIN);
            break;
        };
        session.lane_looked_at = (endpoint, lane);
        if (LaneMend { endpoint, lane }).run(&mut session.conn)? > 0 {
            log::error!(
                "a lane of endpoint {endpoint} had lost its head, which should not happen; it was mended"
            );
            mended += 1;
        }
    }
    Ok(mended)
}
