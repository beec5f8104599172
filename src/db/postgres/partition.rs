//! Days: tables that grow are cut by day, days are made ahead and dropped whole.
//!
//! Dropping a day costs the same however many rows it holds, and leaves nothing to vacuum. Both making and dropping need
//! a lock on the parent for a moment; they wait for it only briefly (`lock_timeout`) and are tried again by the next
//! sweep, because whoever waits in that queue makes everyone behind wait too. A default partition catches rows of days
//! that nobody made; `DETACH ... CONCURRENTLY` cannot be used beside one.

use std::time::Duration;

use super::{
    codec::{DAY, day_of},
    conn::Conn,
    statement::statements,
};
use crate::{
    db::{DbError, DbResult},
    domain::time::Micros,
};

/// Tables that are cut by day and go with the archive's age.
pub(super) const ARCHIVE_TABLES: [&str; 5] = [
    "message",
    "object_message",
    "routing",
    "archived",
    "attempt",
];

/// Tables that are cut by day and go with the events' age.
pub(super) const EVENT_TABLES: [&str; 1] = ["event"];

/// Days made ahead.
const DAYS_AHEAD: i32 = 7;

/// How long a lock on a parent is waited for.
const LOCK_MILLIS: u64 = 200;

statements! {
    /// The partitions there are: table and day.
    PARTITIONS = "SELECT parent.relname::text, substring(child.relname::text from '_d([0-9]+)$')::int
        FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class parent ON parent.oid = i.inhparent
        JOIN pg_catalog.pg_class child ON child.oid = i.inhrelid
        WHERE parent.relkind = 'p' AND parent.relnamespace = current_schema()::regnamespace AND child.relname ~ '_d[0-9]+$'";
    /// Days that were taken out of their tables and not dropped yet.
    DETACHED = "SELECT regexp_replace(c.relname::text, '_d[0-9]+$', ''), substring(c.relname::text from '_d([0-9]+)$')::int
        FROM pg_catalog.pg_class c WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace
        AND c.relname ~ '^(message|object_message|routing|archived|attempt|event)_d[0-9]+$'";
}

/// The partitions there are, by table and day.
pub(super) async fn partitions(conn: &Conn) -> DbResult<Vec<(String, i32)>> {
    conn.rows(&PARTITIONS, &[]).await
}

/// Days that were taken out of their tables and not dropped yet.
pub(super) async fn detached(conn: &Conn) -> DbResult<Vec<(String, i32)>> {
    conn.rows(&DETACHED, &[]).await
}

/// Makes the partitions of yesterday to a week ahead that are missing; returns how many are missing still, because a
/// lock was not to be had or the default partition holds rows of such a day.
pub(super) async fn ensure(conn: &Conn, now: Micros) -> DbResult<usize> {
    let there = partitions(conn).await?;
    let today = day_of(now.0);
    let mut missing = 0;
    for day in today.saturating_sub(1)..=today.saturating_add(DAYS_AHEAD) {
        for table in ARCHIVE_TABLES.iter().chain(&EVENT_TABLES) {
            if day < 0 || there.iter().any(|(name, at)| name == table && *at == day) {
                continue;
            }
            if let Err(error) = make(conn, table, day).await {
                log::warn!(
                    "the partition of day {day} of {table} could not be made now, the default partition serves: {error}"
                );
                missing += 1;
            }
        }
    }
    Ok(missing)
}

/// Whether a table is cut by day.
pub(super) fn is_cut(table: &str) -> bool {
    ARCHIVE_TABLES.contains(&table) || EVENT_TABLES.contains(&table)
}

/// Makes the partitions of these days of a table that are missing.
pub(super) async fn ensure_days(
    conn: &Conn,
    table: &str,
    days: &std::collections::BTreeSet<i32>,
) -> DbResult<()> {
    let there = partitions(conn).await?;
    for day in days {
        if !there.iter().any(|(name, at)| name == table && at == day) {
            make(conn, table, *day).await?;
        }
    }
    Ok(())
}

async fn make(conn: &Conn, table: &str, day: i32) -> DbResult<()> {
    // Long payloads stay in their rows uncompressed up to a page: reading them back is what dispatching does.
    let target = if matches!(table, "message" | "attempt") {
        " WITH (toast_tuple_target = 8160)"
    } else {
        ""
    };
    let text = format!(
        "SET LOCAL lock_timeout = {LOCK_MILLIS};
         CREATE TABLE IF NOT EXISTS {table}_d{day} PARTITION OF {table} FOR VALUES FROM ({day}) TO ({next}){target}",
        next = day + 1,
    );
    in_transaction(conn, &text).await
}

/// The days of these tables whose every row is older than `age`, oldest first.
pub(super) async fn outlived(
    conn: &Conn,
    tables: &[&'static str],
    age: Duration,
    now: Micros,
) -> DbResult<Vec<(&'static str, i32)>> {
    let end = now.minus(age).0;
    let mut old: Vec<(&'static str, i32)> = partitions(conn)
        .await?
        .into_iter()
        .filter(|(_, day)| (i64::from(*day) + 1) * DAY <= end)
        .filter_map(|(name, day)| {
            tables
                .iter()
                .find(|table| **table == name)
                .map(|table| (*table, day))
        })
        .collect();
    old.sort_unstable_by_key(|(table, day)| (*day, *table));
    Ok(old)
}

/// Takes a day out of its table, rows to be kept moved to the default partition first, and drops what is left. Returns
/// how many rows each store lost, where they are counted.
pub(super) async fn drop_day(
    conn: &Conn,
    table: &'static str,
    day: i32,
    kept: &Kept,
) -> DbResult<Vec<(i64, i64)>> {
    // The lock on the parent is held for as long as moving a few rows takes; counting and dropping need none.
    conn.batch(&format!("BEGIN; SET LOCAL lock_timeout = {LOCK_MILLIS}"))
        .await?;
    let detach = async {
        conn.batch(&format!(
            "ALTER TABLE {table} DETACH PARTITION {table}_d{day}"
        ))
        .await?;
        if let Some((store, key, stores, keys)) = kept.of(table) {
            let of_store = store.map_or(String::new(), |store| format!(" AND k.store = t.{store}"));
            let text = format!(
                "INSERT INTO {table} SELECT t.* FROM {table}_d{day} t WHERE EXISTS
                 (SELECT 1 FROM unnest($1::bigint[], $2::bigint[]) AS k(store, key) WHERE k.key = t.{key}{of_store})"
            );
            conn.run_once(&text, &[stores, keys]).await?;
        }
        conn.batch("COMMIT").await
    };
    if let Err(error) = detach.await {
        conn.batch("ROLLBACK").await?;
        return Err(error);
    }
    drop_detached(conn, table, day).await
}

/// Drops a day that was taken out of its table, by this step or by one that was cut short.
pub(super) async fn drop_detached(conn: &Conn, table: &str, day: i32) -> DbResult<Vec<(i64, i64)>> {
    let lost: Vec<(i64, i64)> = if table == "archived" {
        conn.rows_once(&format!(
            "SELECT store, count(*) FROM {table}_d{day} GROUP BY store ORDER BY store"
        ))
        .await?
    } else {
        Vec::new()
    };
    conn.batch("BEGIN").await?;
    let drop = async {
        if !lost.is_empty() {
            let (stores, ns): (Vec<i64>, Vec<i64>) =
                lost.iter().map(|(store, n)| (*store, -n)).unzip();
            let places = vec![6; stores.len()];
            conn.run(&super::tx::COUNT_ADD, &[&stores, &places, &ns])
                .await?;
        }
        conn.batch(&format!("DROP TABLE {table}_d{day}")).await?;
        conn.batch("COMMIT").await
    };
    if let Err(error) = drop.await {
        conn.batch("ROLLBACK").await?;
        return Err(error);
    }
    Ok(lost)
}

/// What unfinished work still refers to: by store, messages and deliveries.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) message_stores: Vec<i64>,
    pub(super) messages: Vec<i64>,
    pub(super) delivery_stores: Vec<i64>,
    pub(super) deliveries: Vec<i64>,
}

/// Columns of store and key, and the stores and keys of what is kept.
type KeptRows<'a> = (
    Option<&'static str>,
    &'static str,
    &'a Vec<i64>,
    &'a Vec<i64>,
);

impl Kept {
    /// The columns of store (where there is one) and key by which rows of a table are kept, and which.
    fn of(&self, table: &str) -> Option<KeptRows<'_>> {
        match table {
            "message" => Some((Some("store"), "seq", &self.message_stores, &self.messages)),
            "routing" | "object_message" => {
                Some((None, "message", &self.message_stores, &self.messages))
            }
            "attempt" => Some((
                Some("store"),
                "delivery",
                &self.delivery_stores,
                &self.deliveries,
            )),
            _ => None,
        }
    }
}

async fn in_transaction(conn: &Conn, text: &str) -> DbResult<()> {
    conn.batch("BEGIN").await?;
    let done = async {
        conn.batch(text).await?;
        conn.batch("COMMIT").await
    };
    match done.await {
        Ok(()) => Ok(()),
        Err(error) => {
            conn.batch("ROLLBACK")
                .await
                .map_err(|_| DbError::Unavailable("the connection was lost".into()))?;
            Err(error)
        }
    }
}
