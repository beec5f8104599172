//! Leaving the accepted queue: a delivery's row is taken out by its key, its lane moves on, its archive row is written.

use diesel::sqlite::SqliteConnection;

use super::{
    codec::state_read,
    session::{Place, Session},
    statement::{Command, Question, statements},
};
use crate::{
    db::DbResult,
    domain::{
        delivery::{ArchiveReason, WaitState},
        time::Micros,
    },
};

type WaitingRow = (
    (i64, i64, i64, i64, Option<i64>, bool, i64),
    (
        i64,
        i64,
        Option<i64>,
        Option<Vec<u8>>,
        Option<i64>,
        Option<String>,
    ),
);

statements! {
    /// Takes a delivery out of the accepted queue.
    AcceptedTake { store: i64, seq: i64 } = "DELETE FROM accepted WHERE store = ?1 AND seq = ?2";
    /// Reads a waiting delivery.
    AcceptedRead { store: i64, seq: i64 } -> WaitingRow =
        "SELECT endpoint, mapping, kind, message, lane, head, state, attempts, created_at, attempted_at, claim, replay_of,
         last_error FROM accepted WHERE store = ?1 AND seq = ?2";
    /// The oldest delivery of a lane.
    LaneFirst { endpoint: i64, lane: i64 } -> (i64, i64) =
        "SELECT store, seq FROM accepted WHERE endpoint = ?1 AND lane = ?2 AND state < 3 ORDER BY pos LIMIT 1";
    /// Makes a delivery its lane's head.
    HeadSet { store: i64, seq: i64 } = "UPDATE accepted SET head = 1 WHERE store = ?1 AND seq = ?2 AND head = 0";
    /// Writes an archive row.
    ArchivedInsert<'a> {
        store: i64, seq: i64, endpoint: Option<i64>, mapping: Option<i64>, kind: i64, message: i64, reason: i64, attempts: i64,
        created_at: i64, attempted_at: Option<i64>, completed_at: i64, replay_of: Option<i64>, last_error: Option<&'a str>,
        result: Option<&'a str>,
    } = "INSERT INTO archived (store, seq, endpoint, mapping, kind, message, reason, attempts, created_at, attempted_at,
         completed_at, replay_of, last_error, result) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    /// Frees what a delivery claimed.
    ClaimFree<'a> { mapping: i64, key: &'a [u8], delivery: i64 } =
        "DELETE FROM claim WHERE mapping = ?1 AND key = ?2 AND delivery = ?3";
    /// When a delivery was made, wherever it is.
    DeliveryMade { store: i64, seq: i64 } -> i64 =
        "SELECT created_at FROM accepted WHERE store = ?1 AND seq = ?2
         UNION ALL SELECT created_at FROM archived WHERE store = ?1 AND seq = ?2";
}

/// A row of the accepted queue, as a transition reads it.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) store: i64,
    pub(super) seq: i64,
    pub(super) endpoint: i64,
    pub(super) mapping: i64,
    pub(super) kind: i64,
    pub(super) message: i64,
    pub(super) lane: Option<i64>,
    pub(super) head: bool,
    pub(super) state: WaitState,
    pub(super) attempts: i64,
    pub(super) created_at: i64,
    pub(super) attempted_at: Option<i64>,
    pub(super) claim: Option<Vec<u8>>,
    pub(super) replay_of: Option<i64>,
    pub(super) last_error: Option<String>,
}

impl Waiting {
    fn from_row(store: i64, seq: i64, row: WaitingRow) -> Self {
        let ((endpoint, mapping, kind, message, lane, head, state), rest) = row;
        let (attempts, created_at, attempted_at, claim, replay_of, last_error) = rest;
        let state = state_read(state);
        Self {
            store,
            seq,
            endpoint,
            mapping,
            kind,
            message,
            lane,
            head,
            state,
            attempts,
            created_at,
            attempted_at,
            claim,
            replay_of,
            last_error,
        }
    }
}

/// How a delivery ended.
#[derive(Debug)]
pub(super) struct Ending<'a> {
    pub(super) reason: ArchiveReason,
    pub(super) result: Option<&'a str>,
    pub(super) at: Micros,
}

/// Takes a delivery out of the accepted queue and moves its lane on. `None` when it does not wait any more.
/// The second value says whether another delivery became the lane's head.
pub(super) fn take(
    session: &mut Session,
    store: i64,
    seq: i64,
) -> DbResult<Option<(Waiting, bool)>> {
    // Read, then deleted: `DELETE ... RETURNING` gathers its rows in a table of their own, which costs more than the second seek.
    let Some(waiting) = read(session, store, seq)? else {
        return Ok(None);
    };
    AcceptedTake { store, seq }.run(&mut session.conn)?;
    session.count(store, Place::Accepted(waiting.state), -1);
    let moved = waiting.head && lane_advance(session, &waiting)?;
    Ok(Some((waiting, moved)))
}

/// Reads a waiting delivery.
pub(super) fn read(session: &mut Session, store: i64, seq: i64) -> DbResult<Option<Waiting>> {
    Ok(AcceptedRead { store, seq }
        .row(&mut session.conn)?
        .map(|row| Waiting::from_row(store, seq, row)))
}

/// Makes the next delivery of this one's lane the head; whether there was one.
pub(super) fn lane_advance(session: &mut Session, waiting: &Waiting) -> DbResult<bool> {
    let Some(lane) = waiting.lane else {
        return Ok(false);
    };
    let endpoint = waiting.endpoint;
    // Most lanes hold one delivery, and then nothing needs to be opened for writing.
    match (LaneFirst { endpoint, lane }).row(&mut session.conn)? {
        Some((store, seq)) => Ok((HeadSet { store, seq }).run(&mut session.conn)? > 0),
        None => Ok(false),
    }
}

/// Writes the archive row of a delivery that was taken out; without success its claim is free again.
pub(super) fn archive(
    session: &mut Session,
    waiting: &Waiting,
    ending: Ending<'_>,
) -> DbResult<()> {
    if ending.reason != ArchiveReason::Completed
        && let Some(key) = &waiting.claim
    {
        ClaimFree {
            mapping: waiting.mapping,
            key,
            delivery: waiting.seq,
        }
        .run(&mut session.conn)?;
    }
    ArchivedInsert {
        store: waiting.store,
        seq: waiting.seq,
        endpoint: Some(waiting.endpoint),
        mapping: Some(waiting.mapping),
        kind: waiting.kind,
        message: waiting.message,
        reason: i64::from(ending.reason.number()),
        attempts: waiting.attempts,
        created_at: waiting.created_at,
        attempted_at: waiting.attempted_at,
        completed_at: ending.at.0,
        replay_of: waiting.replay_of,
        last_error: waiting.last_error.as_deref(),
        result: ending.result,
    }
    .run(&mut session.conn)?;
    session.count(waiting.store, Place::Archived, 1);
    Ok(())
}

/// A message that nobody wanted, on its way into the archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unwanted {
    pub(super) store: i64,
    pub(super) seq: i64,
    pub(super) kind: i64,
    pub(super) accepted_at: i64,
}

/// Archives a message that was taken out of the incoming queue.
pub(super) fn archive_message(
    session: &mut Session,
    message: Unwanted,
    reason: ArchiveReason,
    now: Micros,
) -> DbResult<()> {
    ArchivedInsert {
        store: message.store,
        seq: message.seq,
        endpoint: None,
        mapping: None,
        kind: message.kind,
        message: message.seq,
        reason: i64::from(reason.number()),
        attempts: 0,
        created_at: message.accepted_at,
        attempted_at: None,
        completed_at: now.0,
        replay_of: None,
        last_error: None,
        result: None,
    }
    .run(&mut session.conn)?;
    session.count(message.store, Place::Archived, 1);
    Ok(())
}

/// Archives a delivery as unreadable: nothing will ever be able to send it.
pub(super) fn archive_unreadable(
    session: &mut Session,
    store: i64,
    seq: i64,
    now: Micros,
) -> DbResult<()> {
    if let Some((mut waiting, _)) = take(session, store, seq)? {
        waiting.last_error = Some("Its message cannot be read any more.".into());
        archive(
            session,
            &waiting,
            Ending {
                reason: ArchiveReason::Unreadable,
                result: None,
                at: now,
            },
        )?;
    }
    Ok(())
}

/// When a delivery was made, wherever it is now.
pub(super) fn delivery_made(
    conn: &mut SqliteConnection,
    store: i64,
    seq: i64,
) -> DbResult<Option<i64>> {
    DeliveryMade { store, seq }.row(conn)
}
