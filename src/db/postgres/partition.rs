//! Days: tables that grow are cut by day, days are made ahead and dropped whole.
//!
//! Dropping a day costs the same however many rows it holds, and leaves nothing to vacuum. Both making and dropping need
//! a lock on the parent for a moment; they wait for it only briefly (`lock_timeout`) and are tried again by the next
//! sweep, because whoever waits in that queue makes everyone behind wait too. A default partition catches rows of days
//! that nobody made; `DETACH ... CONCURRENTLY` cannot be used beside one.

use std::time::Duration;

use super::{codec::{DAY, day_of}, conn::Conn, statement::statements};
use crate::{
    db::{DbError, DbResult},
    domain::time::Micros,
};

/// Tables that are cut by day and go with the archive's age.
pub(super) const ARCHIVE_TABLES: [&str; 5] = ["message", "object_message", "routing", "archived", "attempt"];

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
}

/// The partitions there are, by table and day.
pub(super) async fn partitions(conn: &Conn) -> DbResult<Vec<(String, i32)>> {
    conn.rows(&PARTITIONS, &[]).await
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
                log::warn!("the partition of day {day} of {table} could not be made now, the default partition serves: {error}");
                missing += 1;
            }
        }
    }
    Ok(missing)
}

async fn make(conn: &Conn, table: &str, day: i32) -> DbResult<()> {
    // Long payloads stay in their rows uncompressed up to a page: reading them back is what dispatching does.
    let target = if matches!(table, "message" | "attempt") { " WITH (toast_tuple_target = 8160)" } else { "" };
    let text = format!(
        "SET LOCAL lock_timeout = {LOCK_MILLIS};
         CREATE TABLE IF NOT EXISTS {table}_d{day} PARTITION OF {table} FOR VALUES FROM ({day}) TO ({next}){target}",
        next = day + 1,
    );
    in_transaction(conn, &text).await
}

/// The days of these tables whose every row is older than `age`, oldest first.
pub(super) async fn outlived(conn: &Conn, tables: &[&'static str], age: Duration, now: Micros) -> DbResult<Vec<(&'static str, i32)>> {
    let end = now.minus(age).0;
    let mut old: Vec<(&'static str, i32)> = partitions(conn)
        .await?
        .into_iter()
        .filter(|(_, day)| (i64::from(*day) + 1) * DAY <= end)
        .filter_map(|(name, day)| tables.iter().find(|table| **table == name).map(|table| (*table, day)))
        .collect();
    old.sort_unstable_by_key(|(table, day)| (*day, *table));
    Ok(old)
}

/// Drops a day. Rows that `keep` (a condition on them) selects move to the default partition first.
pub(super) async fn drop_day(conn: &Conn, table: &str, day: i32, keep: Option<&str>) -> DbResult<()> {
    let keep = keep.map_or(String::new(), |condition| format!("INSERT INTO {table} SELECT * FROM {table}_d{day} WHERE {condition};"));
    let text = format!(
        "SET LOCAL lock_timeout = {LOCK_MILLIS}; ALTER TABLE {table} DETACH PARTITION {table}_d{day}; {keep} DROP TABLE {table}_d{day}"
    );
    in_transaction(conn, &text).await
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
            conn.batch("ROLLBACK").await.map_err(|_| DbError::Unavailable("the connection was lost".into()))?;
            Err(error)
        }
    }
}
