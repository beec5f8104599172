//! Leaving the accepted queue: rows are taken out by their keys, lanes move on, archive rows are written.
//!
//! Whoever inserts into a lane or takes out of it has locked it before (see [`lanes_lock`]), or the last settlement and a new
//! delivery would miss each other and the lane would stay without a head.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    codec::{day_of, state_read, text},
    incoming::Removed,
    message::Spot,
    statement::statements,
    tx::{Place, Tx},
};
use crate::{
    db::{DbResult, events::cut},
    domain::{
        delivery::{ArchiveReason, WaitState},
        time::Micros,
    },
};

/// The longest error kept with a delivery, in bytes.
pub(super) const ERROR_BYTES: usize = 2000;

statements! {
    /// Locks lanes by their deliveries, in one order.
    LANES_LOCK_OF = "SELECT pg_advisory_xact_lock(s.k) FROM (SELECT DISTINCT a.lane # a.endpoint AS k
        FROM unnest($1::bigint[], $2::bigint[]) AS u(store, seq) JOIN accepted a ON a.store = u.store AND a.seq = u.seq
        WHERE a.lane IS NOT NULL ORDER BY 1 OFFSET 0) s";
    /// Locks lanes by name, in one order.
    LANES_LOCK = "SELECT pg_advisory_xact_lock(s.k) FROM (SELECT DISTINCT k FROM unnest($1::bigint[]) AS u(k) ORDER BY 1 OFFSET 0) s";
    /// Reads waiting deliveries and keeps others from changing them; and the epochs of their endpoints.
    ACCEPTED_LOCK = "SELECT a.store, a.seq, a.endpoint, a.mapping, a.kind, a.message, a.made_at, a.lane, a.head, a.state, a.attempts,
        a.created_at, a.attempted_at, a.claim, a.replay_of, a.last_error, a.due_at, a.failures,
        coalesce((SELECT o.epoch FROM owner o WHERE o.kind = 1 AND o.key = a.endpoint), 0)
        FROM accepted a JOIN (SELECT DISTINCT * FROM unnest($1::bigint[], $2::bigint[])) AS u(store, seq)
        ON a.store = u.store AND a.seq = u.seq ORDER BY a.store, a.seq FOR UPDATE OF a";
    /// Takes deliveries out of the queue.
    ACCEPTED_DELETE = "DELETE FROM accepted a USING unnest($1::bigint[], $2::bigint[]) AS u(store, seq)
        WHERE a.store = u.store AND a.seq = u.seq";
    /// Makes the oldest delivery of each lane its head, where it is not.
    LANES_ADVANCE = "UPDATE accepted a SET head = TRUE FROM unnest($1::bigint[], $2::bigint[]) AS u(endpoint, lane)
        CROSS JOIN LATERAL (SELECT x.store, x.seq FROM accepted x WHERE x.endpoint = u.endpoint AND x.lane = u.lane AND x.state < 3
        AND x.lane IS NOT NULL ORDER BY x.pos LIMIT 1) n
        WHERE a.store = n.store AND a.seq = n.seq AND NOT a.head RETURNING a.endpoint, a.lane";
    /// Writes archive rows.
    ARCHIVED_INSERT = "INSERT INTO archived (store, seq, day, reason, endpoint, mapping, kind, message, made_at, created_at,
        attempted_at, completed_at, replay_of, attempts, last_error, result)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::int[], $15::text[], $16::text[])";
    /// Frees what deliveries claimed.
    CLAIMS_FREE = "DELETE FROM claim c USING unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS u(mapping, key, delivery)
        WHERE c.mapping = u.mapping AND c.key = u.key AND c.delivery = u.delivery";
}

/// A row of the accepted queue, as a transition reads it, and what became of it so far.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) store: i64,
    pub(super) seq: i64,
    pub(super) endpoint: i64,
    pub(super) mapping: i64,
    pub(super) kind: i64,
    pub(super) message: i64,
    pub(super) made_at: i64,
    pub(super) lane: Option<i64>,
    pub(super) head: bool,
    pub(super) state: WaitState,
    pub(super) attempts: i32,
    pub(super) created_at: i64,
    pub(super) attempted_at: Option<i64>,
    pub(super) claim: Option<Vec<u8>>,
    pub(super) replay_of: Option<i64>,
    pub(super) last_error: Option<String>,
    pub(super) due_at: i64,
    pub(super) failures: i32,
    /// The epoch of its endpoint's owner.
    pub(super) epoch: i64,
}

impl Waiting {
    /// Where its message is stored.
    pub(super) fn message_spot(&self) -> Spot {
        Spot {
            store: self.store,
            seq: self.message,
            made_at: self.made_at,
        }
    }

    /// The lane it leaves, when it was that lane's head.
    pub(super) fn led_lane(&self) -> Option<(i64, i64)> {
        self.lane
            .filter(|_| self.head)
            .map(|lane| (self.endpoint, lane))
    }
}

/// Locks the lanes of these deliveries until the transaction ends. [`Tx::lanes`] was told how many there may be.
pub(super) async fn lanes_lock_of(
    tx: &mut Tx<'_>,
    keys: &[(i64, i64)],
    singly: bool,
) -> DbResult<()> {
    if singly && !keys.is_empty() {
        let (stores, seqs): (Vec<i64>, Vec<i64>) = keys.iter().copied().unzip();
        tx.run(&LANES_LOCK_OF, &[&stores, &seqs]).await?;
    }
    Ok(())
}

/// Locks lanes until the transaction ends.
pub(super) async fn lanes_lock(
    tx: &mut Tx<'_>,
    lanes: impl Iterator<Item = (i64, i64)>,
    singly: bool,
) -> DbResult<()> {
    let names: BTreeSet<i64> = lanes.map(|(endpoint, lane)| lane ^ endpoint).collect();
    if singly && !names.is_empty() {
        tx.run(&LANES_LOCK, &[&Vec::from_iter(names)]).await?;
    }
    Ok(())
}

/// Reads waiting deliveries, which nobody else changes until the transaction ends. Those that do not wait are not there.
pub(super) async fn accepted_lock(
    tx: &mut Tx<'_>,
    keys: &[(i64, i64)],
) -> DbResult<HashMap<(i64, i64), Waiting>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (stores, seqs): (Vec<i64>, Vec<i64>) = keys.iter().copied().unzip();
    type Row = (
        i64,
        i64,
        i64,
        i64,
        i64,
        i64,
        i64,
        Option<i64>,
        bool,
        i32,
        i32,
        i64,
        Option<i64>,
        Option<Vec<u8>>,
        Option<i64>,
        Option<String>,
        i64,
        i32,
        i64,
    );
    let rows: Vec<Row> = tx.rows(&ACCEPTED_LOCK, &[&stores, &seqs]).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let (
                store,
                seq,
                endpoint,
                mapping,
                kind,
                message,
                made_at,
                lane,
                head,
                state,
                attempts,
                ..,
            ) = row;
            let (
                ..,
                created_at,
                attempted_at,
                claim,
                replay_of,
                last_error,
                due_at,
                failures,
                epoch,
            ) = row;
            let waiting = Waiting {
                store,
                seq,
                endpoint,
                mapping,
                kind,
                message,
                made_at,
                lane,
                head,
                state: state_read(state),
                attempts,
                created_at,
                attempted_at,
                claim,
                replay_of,
                last_error,
                due_at,
                failures,
                epoch,
            };
            ((store, seq), waiting)
        })
        .collect())
}

/// An archive row to be written.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    store: i64,
    seq: i64,
    reason: ArchiveReason,
    endpoint: Option<i64>,
    mapping: Option<i64>,
    kind: i64,
    message: i64,
    made_at: i64,
    created_at: i64,
    attempted_at: Option<i64>,
    completed_at: i64,
    replay_of: Option<i64>,
    attempts: i32,
    last_error: Option<String>,
    result: Option<String>,
    /// What it frees: its claim, when it ended without success.
    claim: Option<Vec<u8>>,
}

impl Ended {
    /// A delivery that ended.
    pub(super) fn delivery(
        waiting: &Waiting,
        reason: ArchiveReason,
        result: Option<&str>,
        now: Micros,
    ) -> Self {
        Self {
            store: waiting.store,
            seq: waiting.seq,
            reason,
            endpoint: Some(waiting.endpoint),
            mapping: Some(waiting.mapping),
            kind: waiting.kind,
            message: waiting.message,
            made_at: waiting.made_at,
            created_at: waiting.created_at,
            attempted_at: waiting.attempted_at,
            completed_at: now.0,
            replay_of: waiting.replay_of,
            attempts: waiting.attempts,
            last_error: waiting.last_error.clone(),
            result: result.map(|result| text(result).into_owned()),
            claim: waiting
                .claim
                .clone()
                .filter(|_| reason != ArchiveReason::Completed),
        }
    }

    /// A message that nobody wanted.
    pub(super) fn message(message: &Removed, reason: ArchiveReason, now: Micros) -> Self {
        Self {
            store: message.store,
            seq: message.seq,
            reason,
            endpoint: None,
            mapping: None,
            kind: message.kind,
            message: message.seq,
            made_at: message.accepted_at,
            created_at: message.accepted_at,
            attempted_at: None,
            completed_at: now.0,
            replay_of: None,
            attempts: 0,
            last_error: None,
            result: None,
            claim: None,
        }
    }
}

/// Writes archive rows and frees claims.
pub(super) async fn archived_insert(tx: &mut Tx<'_>, ended: &[Ended]) -> DbResult<()> {
    if ended.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($row:ident => $value:expr) => {
            ended.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    tx.run(
        &ARCHIVED_INSERT,
        &[
            &column!(row => row.store),
            &column!(row => row.seq),
            &column!(row => day_of(row.created_at)),
            &column!(row => row.reason.number()),
            &column!(row => row.endpoint),
            &column!(row => row.mapping),
            &column!(row => row.kind),
            &column!(row => row.message),
            &column!(row => row.made_at),
            &column!(row => row.created_at),
            &column!(row => row.attempted_at),
            &column!(row => row.completed_at),
            &column!(row => row.replay_of),
            &column!(row => row.attempts),
            &column!(row => row.last_error.as_deref()),
            &column!(row => row.result.as_deref()),
        ],
    )
    .await?;
    let freed: Vec<(&Ended, &[u8])> = ended
        .iter()
        .filter_map(|row| Some((row, row.claim.as_deref()?)))
        .collect();
    if !freed.is_empty() {
        let mappings: Vec<Option<i64>> = freed.iter().map(|(row, _)| row.mapping).collect();
        let keys: Vec<&[u8]> = freed.iter().map(|(_, key)| *key).collect();
        let deliveries: Vec<i64> = freed.iter().map(|(row, _)| row.seq).collect();
        tx.run(&CLAIMS_FREE, &[&mappings, &keys, &deliveries])
            .await?;
    }
    for row in ended {
        tx.count(row.store, Place::Archived, 1);
    }
    Ok(())
}

/// Takes deliveries that were locked out of the queue, archives them and moves their lanes on. Returns the lanes, by
/// endpoint and name, that have a new head.
pub(super) async fn finish(
    tx: &mut Tx<'_>,
    rows: &[Waiting],
    reason: ArchiveReason,
    now: Micros,
) -> DbResult<BTreeSet<(i64, i64)>> {
    let ended: Vec<Ended> = rows
        .iter()
        .map(|row| Ended::delivery(row, reason, None, now))
        .collect();
    accepted_delete(tx, rows.iter().map(|row| (row.store, row.seq))).await?;
    for row in rows {
        tx.count(row.store, Place::Accepted(row.state), -1);
    }
    archived_insert(tx, &ended).await?;
    lanes_advance(tx, rows.iter().filter_map(Waiting::led_lane)).await
}

/// Takes deliveries out of the queue.
pub(super) async fn accepted_delete(
    tx: &mut Tx<'_>,
    keys: impl Iterator<Item = (i64, i64)>,
) -> DbResult<()> {
    let (stores, seqs): (Vec<i64>, Vec<i64>) = keys.unzip();
    if !seqs.is_empty() {
        tx.run(&ACCEPTED_DELETE, &[&stores, &seqs]).await?;
    }
    Ok(())
}

/// Gives each of these lanes, which lost its head, the next one. Returns those that had one.
pub(super) async fn lanes_advance(
    tx: &mut Tx<'_>,
    lanes: impl Iterator<Item = (i64, i64)>,
) -> DbResult<BTreeSet<(i64, i64)>> {
    let lanes: BTreeSet<(i64, i64)> = lanes.collect();
    if lanes.is_empty() {
        return Ok(lanes);
    }
    let (endpoints, names): (Vec<i64>, Vec<i64>) = lanes.into_iter().unzip();
    let rows: Vec<(i64, i64)> = tx.rows(&LANES_ADVANCE, &[&endpoints, &names]).await?;
    Ok(rows.into_iter().collect())
}

/// An error as it is kept with a delivery.
pub(super) fn error_kept(error: &str) -> String {
    text(cut(error, ERROR_BYTES)).into_owned()
}

/// Archives deliveries as unreadable: nothing will ever be able to send them.
pub(super) async fn archive_unreadable(
    tx: &mut Tx<'_>,
    keys: &[(i64, i64)],
    now: Micros,
) -> DbResult<()> {
    let singly = tx.lanes(keys.len());
    lanes_lock_of(tx, keys, singly).await?;
    let waiting: BTreeMap<_, _> = accepted_lock(tx, keys).await?.into_iter().collect();
    let rows: Vec<Waiting> = waiting
        .into_values()
        .map(|row| Waiting {
            last_error: Some("Its message cannot be read any more.".into()),
            ..row
        })
        .collect();
    finish(tx, &rows, ArchiveReason::Unreadable, now)
        .await
        .map(|_| ())
}
