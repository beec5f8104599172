//! Upkeep in small steps: what is expired goes, days that are too old are dropped whole, and a lane that lost its head
//! gets one. Every node may do it; what must not be done twice at once is done under a lock that nobody waits for.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use super::{
    archive::{LANES_ADVANCE, lanes_lock},
    codec::day_of,
    conn::Conn,
    core::Core,
    partition::{self, ARCHIVE_TABLES, EVENT_TABLES, Kept},
    statement::statements,
};
use crate::{
    db::{DbResult, SweepBounds, SweepReport},
    domain::time::Micros,
};

/// Hours that repetitions of descendants are remembered: one more than they are counted over.
const REPETITION_HOURS: i64 = 2;

/// Days that one step drops.
const DAYS_PER_STEP: usize = 10;

statements! {
    /// Only one node at a time drops days.
    TRY_LOCK = "SELECT pg_try_advisory_lock(1229874530, 2)";
    /// Another one may.
    UNLOCK = "SELECT pg_advisory_unlock(1229874530, 2)";
    /// Idempotency keys past their time.
    KEYS_EXPIRE = "DELETE FROM idempotency WHERE ctid = ANY (ARRAY (SELECT ctid FROM idempotency WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2))";
    /// Claims past their time.
    CLAIMS_EXPIRE = "DELETE FROM claim WHERE ctid = ANY (ARRAY (SELECT ctid FROM claim WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2))";
    /// Repetitions of past hours.
    REPETITIONS_EXPIRE = "DELETE FROM repetition WHERE ctid = ANY (ARRAY (SELECT ctid FROM repetition WHERE hour < $1 ORDER BY hour LIMIT $2))";
    /// Counts of descendants that were last added to before a day.
    LINEAGE_EXPIRE = "DELETE FROM lineage WHERE ctid = ANY (ARRAY (SELECT ctid FROM lineage WHERE day < $1::int ORDER BY day LIMIT $2))";
    /// Repeats of events from before a day.
    REPEATS_EXPIRE = "DELETE FROM event_repeat WHERE ctid = ANY (ARRAY (SELECT ctid FROM event_repeat WHERE day < $1::int ORDER BY day LIMIT $2))";
    /// Messages accepted before a time that unfinished work refers to.
    KEPT_MESSAGES = "SELECT store, message FROM accepted WHERE made_at < $1 UNION SELECT store, seq FROM incoming WHERE accepted_at < $1";
    /// Deliveries made before a time that wait.
    KEPT_DELIVERIES = "SELECT store, seq FROM accepted WHERE created_at < $1";
    /// Old archived rows that no day has.
    STRAY_ARCHIVED = "WITH gone AS (DELETE FROM archived_default WHERE ctid = ANY (ARRAY (SELECT ctid FROM archived_default
        WHERE completed_at < $1 LIMIT $2)) RETURNING store) SELECT store, count(*) FROM gone GROUP BY store ORDER BY store";
    /// Old events that no day has.
    STRAY_EVENTS = "DELETE FROM event_default WHERE ctid = ANY (ARRAY (SELECT ctid FROM event_default WHERE last_at < $1 LIMIT $2))";
    /// Old attempts that no day has, of deliveries that are done.
    STRAY_ATTEMPTS = "DELETE FROM attempt_default WHERE ctid = ANY (ARRAY (SELECT t.ctid FROM attempt_default t WHERE t.day < $1::int
        AND NOT EXISTS (SELECT 1 FROM accepted a WHERE a.store = t.store AND a.seq = t.delivery) LIMIT $2))";
    /// Old messages that no day has, nothing unfinished refers to, and no archived row that no day has either.
    STRAY_MESSAGES = "DELETE FROM message_default WHERE ctid = ANY (ARRAY (SELECT t.ctid FROM message_default t WHERE t.accepted_at < $1
        AND NOT EXISTS (SELECT 1 FROM unnest($3::bigint[], $4::bigint[]) AS k(store, seq) WHERE k.store = t.store AND k.seq = t.seq)
        AND NOT EXISTS (SELECT 1 FROM archived_default d WHERE d.store = t.store AND d.message = t.seq) LIMIT $2))";
    /// Old routing records that no day has, of messages that are gone.
    STRAY_ROUTING = "DELETE FROM routing_default WHERE ctid = ANY (ARRAY (SELECT t.ctid FROM routing_default t WHERE t.day < $1::int
        AND NOT EXISTS (SELECT 1 FROM message_default m WHERE m.seq = t.message) LIMIT $2))";
    /// Old entries of timelines that no day has, of messages that are gone.
    STRAY_OBJECTS = "DELETE FROM object_message_default WHERE ctid = ANY (ARRAY (SELECT t.ctid FROM object_message_default t WHERE t.day < $1::int
        AND NOT EXISTS (SELECT 1 FROM message_default m WHERE m.seq = t.message) LIMIT $2))";
    /// The next lanes after one, with whether their first row, and no other, is their head: a skip scan.
    LANES_NEXT = "WITH RECURSIVE lanes AS (
            (SELECT a.endpoint, a.lane, 1 AS n FROM accepted a WHERE a.lane IS NOT NULL AND a.state < 3 AND (a.endpoint, a.lane) > ($1, $2)
             ORDER BY a.endpoint, a.lane LIMIT 1)
            UNION ALL
            SELECT s.endpoint, s.lane, l.n + 1 FROM lanes l CROSS JOIN LATERAL (SELECT a.endpoint, a.lane FROM accepted a
             WHERE a.lane IS NOT NULL AND a.state < 3 AND (a.endpoint, a.lane) > (l.endpoint, l.lane) ORDER BY a.endpoint, a.lane LIMIT 1) s
            WHERE l.n < $3
        )
        SELECT l.endpoint, l.lane, (SELECT a.head FROM accepted a WHERE a.endpoint = l.endpoint AND a.lane = l.lane AND a.lane IS NOT NULL
            AND a.state < 3 ORDER BY a.pos LIMIT 1) AND (SELECT count(*) FROM (SELECT 1 FROM accepted a WHERE a.endpoint = l.endpoint
            AND a.lane = l.lane AND a.lane IS NOT NULL AND a.state < 3 AND a.head LIMIT 2) heads) = 1
        FROM lanes l";
    /// Takes headship from all rows of a lane but the first.
    LANE_BEHEAD = "UPDATE accepted a SET head = FALSE WHERE a.endpoint = $1 AND a.lane = $2 AND a.lane IS NOT NULL AND a.state < 3 AND a.head
        AND a.pos <> (SELECT x.pos FROM accepted x WHERE x.endpoint = $1 AND x.lane = $2 AND x.lane IS NOT NULL AND x.state < 3
        ORDER BY x.pos LIMIT 1)";
}

/// One step of upkeep.
pub(super) async fn sweep(
    core: &Arc<Core>,
    bounds: SweepBounds,
    now: Micros,
) -> DbResult<SweepReport> {
    let limit = i64::try_from(bounds.rows).unwrap_or(i64::MAX);
    let hour = now.seconds().div_euclid(3600) - REPETITION_HOURS;
    let (archive_end, event_end) = (now.minus(bounds.archived_age), now.minus(bounds.event_age));
    let conn = core.read().await?;
    let changed = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let mut report = SweepReport {
        keys: changed(conn.run(&KEYS_EXPIRE, &[&now.0, &limit]).await?),
        claims: changed(conn.run(&CLAIMS_EXPIRE, &[&now.0, &limit]).await?),
        ..SweepReport::default()
    };
    conn.run(&REPETITIONS_EXPIRE, &[&hour, &limit]).await?;
    conn.run(&LINEAGE_EXPIRE, &[&day_of(archive_end.0), &limit])
        .await?;
    conn.run(&REPEATS_EXPIRE, &[&day_of(event_end.0), &limit])
        .await?;
    report.jobs = super::job::drop_old(&conn, archive_end, limit).await?;
    let locked: Option<(bool,)> = conn.row(&TRY_LOCK, &[]).await?;
    if matches!(locked, Some((true,))) {
        let days = days(&conn, &mut report, bounds, now).await;
        let strays = strays(&conn, &mut report, archive_end, event_end, limit).await;
        conn.run(&UNLOCK, &[]).await?;
        days?;
        strays?;
    }
    conn.done();
    report.lanes = lanes_mend(core, bounds.rows).await?;
    let full = [
        report.keys,
        report.claims,
        report.archived,
        report.messages,
        report.events,
        report.jobs,
    ];
    report.more |= full.iter().any(|done| *done >= bounds.rows);
    Ok(report)
}

/// Makes days ahead and drops the oldest days; the next step drops the next.
async fn days(
    conn: &Conn,
    report: &mut SweepReport,
    bounds: SweepBounds,
    now: Micros,
) -> DbResult<()> {
    partition::ensure(conn, now).await?;
    for (table, day) in partition::detached(conn).await? {
        let lost = partition::drop_detached(conn, &table, day).await?;
        report.archived += counted(&lost);
    }
    let mut old = partition::outlived(conn, &ARCHIVE_TABLES, bounds.archived_age, now).await?;
    old.extend(partition::outlived(conn, &EVENT_TABLES, bounds.event_age, now).await?);
    let days: BTreeSet<i32> = old.iter().map(|(_, day)| *day).collect();
    report.more = days.len() > DAYS_PER_STEP;
    let Some(last) = days.iter().copied().take(DAYS_PER_STEP).next_back() else {
        return Ok(());
    };
    let kept = kept(
        conn,
        Micros((i64::from(last) + 1).saturating_mul(super::codec::DAY)),
    )
    .await?;
    for (table, day) in old.into_iter().filter(|(_, day)| *day <= last) {
        match partition::drop_day(conn, table, day, &kept).await {
            Ok(lost) => report.archived += counted(&lost),
            Err(error) => log::warn!(
                "day {day} of {table} could not be dropped now, the next sweep tries again: {error}"
            ),
        }
    }
    Ok(())
}

fn counted(lost: &[(i64, i64)]) -> usize {
    lost.iter()
        .map(|(_, n)| usize::try_from(*n).unwrap_or(0))
        .sum()
}

async fn kept(conn: &Conn, before: Micros) -> DbResult<Kept> {
    let messages: Vec<(i64, i64)> = conn.rows(&KEPT_MESSAGES, &[&before.0]).await?;
    let deliveries: Vec<(i64, i64)> = conn.rows(&KEPT_DELIVERIES, &[&before.0]).await?;
    let (message_stores, messages) = messages.into_iter().unzip();
    let (delivery_stores, deliveries) = deliveries.into_iter().unzip();
    Ok(Kept {
        message_stores,
        messages,
        delivery_stores,
        deliveries,
    })
}

/// What the default partitions hold goes row by row: rows that were kept aside, and those of a clock that jumped.
async fn strays(
    conn: &Conn,
    report: &mut SweepReport,
    archive_end: Micros,
    event_end: Micros,
    limit: i64,
) -> DbResult<()> {
    conn.batch("BEGIN").await?;
    let work = async {
        let lost: Vec<(i64, i64)> = conn
            .rows(&STRAY_ARCHIVED, &[&archive_end.0, &limit])
            .await?;
        if !lost.is_empty() {
            let (stores, ns): (Vec<i64>, Vec<i64>) =
                lost.iter().map(|(store, n)| (*store, -n)).unzip();
            conn.run(
                &super::tx::COUNT_ADD,
                &[&stores, &vec![6; stores.len()], &ns],
            )
            .await?;
        }
        report.archived += counted(&lost);
        let kept = kept(conn, archive_end).await?;
        let messages = conn
            .run(
                &STRAY_MESSAGES,
                &[&archive_end.0, &limit, &kept.message_stores, &kept.messages],
            )
            .await?;
        report.messages += usize::try_from(messages).unwrap_or(usize::MAX);
        for statement in [&STRAY_ATTEMPTS, &STRAY_ROUTING, &STRAY_OBJECTS] {
            conn.run(statement, &[&day_of(archive_end.0), &limit])
                .await?;
        }
        report.events += usize::try_from(conn.run(&STRAY_EVENTS, &[&event_end.0, &limit]).await?)
            .unwrap_or(usize::MAX);
        conn.batch("COMMIT").await
    };
    if let Err(error) = work.await {
        conn.batch("ROLLBACK").await?;
        return Err(error);
    }
    Ok(())
}

/// Looks at the next lanes, in turn over many steps, and mends those whose head is not their first row.
async fn lanes_mend(core: &Arc<Core>, lanes: usize) -> DbResult<usize> {
    let conn = core.read().await?;
    let (endpoint, lane) = *core
        .lane_looked_at
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let most = i32::try_from(lanes).unwrap_or(i32::MAX);
    let rows: Vec<(i64, i64, Option<bool>)> =
        conn.rows(&LANES_NEXT, &[&endpoint, &lane, &most]).await?;
    conn.done();
    let next = match rows.last() {
        Some((endpoint, lane, _)) if rows.len() >= lanes => (*endpoint, *lane),
        _ => (i64::MIN, i64::MIN),
    };
    *core
        .lane_looked_at
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = next;
    let broken: Arc<Vec<(i64, i64)>> = Arc::new(
        rows.into_iter()
            .filter(|(.., fine)| *fine == Some(false))
            .map(|(endpoint, lane, _)| (endpoint, lane))
            .collect(),
    );
    if broken.is_empty() {
        return Ok(0);
    }
    let mended = Arc::clone(core)
        .write(move |tx| {
            let broken = Arc::clone(&broken);
            Box::pin(async move {
                let singly = tx.lanes(broken.len());
                lanes_lock(tx, broken.iter().copied(), singly).await?;
                let mut mended = 0;
                for (endpoint, lane) in broken.iter() {
                    // What looked broken without the lock may have been half of somebody's transaction.
                    let beheaded = tx.run(&LANE_BEHEAD, &[endpoint, lane]).await?;
                    let crowned: Vec<(i64, i64)> = tx.rows(&LANES_ADVANCE, &[&vec![*endpoint], &vec![*lane]]).await?;
                    if beheaded > 0 || !crowned.is_empty() {
                        log::error!("a lane of endpoint {endpoint} had lost its head, which should not happen; it was mended");
                        mended += 1;
                    }
                }
                Ok(mended)
            })
        })
        .await?;
    Ok(mended)
}
