//! Schedules: noting ticks with what they push, in one transaction.

use std::collections::BTreeMap;

use super::{
    conn::Conn, message::messages_store, owner::kind_number, statement::statements, tx::Tx,
};
use crate::{
    db::{DbResult, OwnerKind, PushedTick, ScheduleRun, Tick},
    domain::{
        key::{SchedulerKey, StoreKey},
        message::NewMessage,
        time::Micros,
    },
};

statements! {
    /// The epoch of a store's schedules, which nobody else moves or pushes with until the transaction ends.
    SCHEDULER_EPOCH = "SELECT epoch FROM owner WHERE kind = $1 AND key = $2 FOR UPDATE";
    /// The newest ticks; one row for each scheduler.
    RUNS_READ = "SELECT scheduler, store, tick, ran_at, missed FROM schedule_run";
    /// The newest ticks of some schedulers.
    RUNS_OF = "SELECT scheduler, tick FROM schedule_run WHERE scheduler = ANY ($1::bigint[])";
    /// Notes ticks.
    RUNS_WRITE = "INSERT INTO schedule_run (scheduler, store, tick, ran_at, missed)
        SELECT u.scheduler, $2::bigint, u.tick, $5::bigint, u.missed FROM unnest($1::bigint[], $3::bigint[], $4::bigint[]) AS u(scheduler, tick, missed)
        ORDER BY 1 ON CONFLICT (scheduler) DO UPDATE SET tick = excluded.tick, ran_at = excluded.ran_at, missed = excluded.missed";
}

/// The newest tick of every scheduler.
pub(super) async fn runs(conn: &Conn) -> DbResult<Vec<ScheduleRun>> {
    let rows: Vec<(i64, i64, i64, i64, i64)> = conn.rows(&RUNS_READ, &[]).await?;
    Ok(rows
        .into_iter()
        .map(|(scheduler, store, tick, ran_at, missed)| ScheduleRun {
            scheduler: SchedulerKey(scheduler),
            store: StoreKey(store),
            tick: Micros(tick),
            ran_at: Micros(ran_at),
            missed: u64::try_from(missed).unwrap_or(0),
        })
        .collect())
}

/// Notes ticks and pushes their messages.
pub(super) async fn push(
    tx: &mut Tx<'_>,
    store: StoreKey,
    epoch: i64,
    ticks: &[Tick],
    now: Micros,
) -> DbResult<Vec<PushedTick>> {
    tx.learn_kinds(ticks.iter().map(|tick| &tick.message))
        .await?;
    let held: Option<(i64,)> = tx
        .row(
            &SCHEDULER_EPOCH,
            &[&kind_number(OwnerKind::Scheduler), &store.0],
        )
        .await?;
    if held.map_or(0, |(now,)| now) != epoch {
        return Ok(vec![PushedTick::Fenced; ticks.len()]);
    }
    let schedulers: Vec<i64> = ticks.iter().map(|tick| tick.scheduler.0).collect();
    let rows: Vec<(i64, i64)> = tx.rows(&RUNS_OF, &[&schedulers]).await?;
    let mut newest: BTreeMap<i64, i64> = rows.into_iter().collect();
    let mut noted: BTreeMap<i64, &Tick> = BTreeMap::new();
    let mut messages: Vec<&NewMessage> = Vec::new();
    let mut pushed = Vec::with_capacity(ticks.len());
    for tick in ticks {
        let scheduler = tick.scheduler.0;
        if newest.get(&scheduler).is_some_and(|at| tick.tick.0 <= *at) {
            pushed.push(PushedTick::Known);
            continue;
        }
        newest.insert(scheduler, tick.tick.0);
        noted.insert(scheduler, tick);
        messages.push(&tick.message);
        pushed.push(PushedTick::Pushed);
    }
    if noted.is_empty() {
        return Ok(pushed);
    }
    let keys: Vec<i64> = noted.keys().copied().collect();
    let at: Vec<i64> = noted.values().map(|tick| tick.tick.0).collect();
    let missed: Vec<i64> = noted
        .values()
        .map(|tick| i64::try_from(tick.missed).unwrap_or(i64::MAX))
        .collect();
    tx.run(&RUNS_WRITE, &[&keys, &store.0, &at, &missed, &now.0])
        .await?;
    let seqs = tx.numbers(messages.len()).await?;
    let numbered: Vec<(i64, &NewMessage)> = seqs.zip(messages).collect();
    messages_store(tx, &numbered, now).await?;
    Ok(pushed)
}
