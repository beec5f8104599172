//! Writing a whole database, table by table, for a copy, and reading it back.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::TryStreamExt;
use tokio_postgres::{Row, types::ToSql};

use super::{
    PostgresOptions, clock,
    codec::day_of,
    conn::{Conn, Tally},
    connect::Way,
    core::{self, Ground},
    fault::fault,
    open, partition,
};
use crate::db::{
    DbError, DbResult,
    copy::{Cell, Column, Kind, Mark, Page, Table, fingerprint},
};

/// How far a copy came; gone when it is finished.
const PROGRESS: &str =
    "CREATE TABLE copy_progress (step TEXT PRIMARY KEY, position TEXT, row_count BIGINT NOT NULL,
    fingerprint BIGINT NOT NULL, done BOOLEAN NOT NULL)";

/// The progress row that says which database is copied: its seal as `row_count`, its last number as `fingerprint`.
const SOURCE: &str = "(source)";

/// A database that is being filled.
pub(in crate::db) struct Target {
    conn: Arc<Conn>,
    ground: Ground,
}

/// What a table's columns are there: an object's two columns are one, the shard.
fn columns(table: &Table) -> Vec<Column> {
    let mut columns = table.columns.to_vec();
    if table.sharded {
        columns.truncate(columns.len().saturating_sub(2));
        columns.push(Column {
            name: "shard",
            kind: Kind::Int,
            value: "",
        });
    }
    columns
}

impl Target {
    /// Opens an empty database, or one that a copy of the same source was begun in.
    pub(in crate::db) fn open(url: &str, seal: i64, sequence: i64) -> DbResult<Self> {
        let ground = Ground::start()?;
        let way = Way::new(&PostgresOptions::new(url))?;
        let conn = ground.block(async move {
            let conn = core::single(&way, &Arc::new(Tally::default())).await?;
            open::prepare_for_copy(&conn, clock()).await?;
            begin(&conn, seal, sequence).await?;
            // Reading a whole table back takes as long as it takes.
            conn.batch("SET enable_seqscan = on; SET statement_timeout = 0")
                .await?;
            Ok(conn)
        })?;
        Ok(Self {
            conn: Arc::new(conn),
            ground,
        })
    }

    /// How far a step came.
    pub(in crate::db) fn mark(&self, table: &'static Table) -> DbResult<Mark> {
        let conn = Arc::clone(&self.conn);
        self.ground.block(async move {
            let rows: Vec<(Option<String>, i64, i64, bool)> = conn
                .rows_once(&format!(
                    "SELECT position, row_count, fingerprint, done FROM copy_progress WHERE step = '{}'",
                    table.step
                ))
                .await?;
            let mark = rows.into_iter().next();
            Ok(mark.map_or_else(Mark::default, |(position, rows, fingerprint, done)| Mark {
                position,
                rows,
                fingerprint,
                done,
            }))
        })
    }

    /// Writes a page, and how far the step came with it, in one transaction.
    pub(in crate::db) fn write(
        &self,
        table: &'static Table,
        page: &Page,
        mark: &Mark,
    ) -> DbResult<()> {
        let columns = columns(table);
        let bound = bind(&columns, &page.rows);
        let days = days(&columns, &page.rows);
        let (conn, count, mark) = (Arc::clone(&self.conn), page.rows.len(), mark.clone());
        self.ground.block(async move {
            if partition::is_cut(table.name) {
                partition::ensure_days(&conn, table.name, &days).await?;
            }
            conn.batch("BEGIN").await?;
            let work = async {
                let params: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|column| &**column as &(dyn ToSql + Sync)).collect();
                let written = if count == 0 { 0 } else { conn.run_once(&insert(table.name, &columns), &params).await? };
                if usize::try_from(written).ok() != Some(count) {
                    return Err(DbError::Internal(format!("{written} rows of {count} were written")));
                }
                let note = "INSERT INTO copy_progress (step, position, row_count, fingerprint, done) VALUES ($1, $2, $3, $4, $5)
                    ON CONFLICT (step) DO UPDATE SET position = excluded.position, row_count = excluded.row_count,
                    fingerprint = excluded.fingerprint, done = excluded.done";
                conn.run_once(note, &[&table.step, &mark.position, &mark.rows, &mark.fingerprint, &mark.done]).await?;
                conn.batch("COMMIT").await
            };
            if let Err(error) = work.await {
                // The connection may be gone, and the page with it.
                let _ = conn.batch("ROLLBACK").await;
                return Err(error);
            }
            Ok(())
        })
    }

    /// The number of a table's rows, and the sum of their fingerprints.
    pub(in crate::db) fn read_back(&self, table: &'static Table) -> DbResult<(i64, i64)> {
        let columns = columns(table);
        let conn = Arc::clone(&self.conn);
        self.ground.block(async move {
            let values: Vec<String> = columns.iter().map(read).collect();
            let text = format!("SELECT {} FROM {}", values.join(", "), table.name);
            let none: [i64; 0] = [];
            let rows = conn
                .client
                .query_raw(text.as_str(), none)
                .await
                .map_err(fault)?;
            let mut rows = std::pin::pin!(rows);
            let (mut count, mut sum) = (0, 0_i64);
            while let Some(row) = rows.try_next().await.map_err(fault)? {
                count += 1;
                sum = sum.wrapping_add(fingerprint(&cells(&row, &columns)?));
            }
            Ok((count, sum))
        })
    }

    /// Everything is there: numbers go on where the source's stopped, and hubs may start.
    pub(in crate::db) fn finish(&self, sequence: i64, registry_version: i64) -> DbResult<()> {
        let conn = Arc::clone(&self.conn);
        self.ground.block(async move {
            conn.batch(&format!(
                "BEGIN; SELECT setval('number', {next}, true); UPDATE meta SET value = {registry_version} WHERE name = 'registry_version';
                 DROP TABLE copy_progress; COMMIT; ANALYZE",
                next = sequence.max(1),
            ))
            .await
        })
    }
}

/// Begins a copy, or sees that the one that began is of this source as it is now.
async fn begin(conn: &Conn, seal: i64, sequence: i64) -> DbResult<()> {
    if open::copies(conn).await? {
        let source: Vec<(i64, i64)> = conn
            .rows_once(&format!(
                "SELECT row_count, fingerprint FROM copy_progress WHERE step = '{SOURCE}'"
            ))
            .await?;
        return match source.first() {
            Some(found) if *found == (seal, sequence) => Ok(()),
            _ => Err(DbError::Refused(
                "the copy that was begun into this database is of another one, or that one has changed since; begin again with an empty database".into(),
            )),
        };
    }
    let used: Vec<(bool,)> = conn
        .rows_once("SELECT (SELECT is_called FROM number) OR EXISTS (SELECT 1 FROM registry) OR EXISTS (SELECT 1 FROM node)")
        .await?;
    if !matches!(used[..], [(false,)]) {
        return Err(DbError::Refused(
            "the database to copy into is in use already; make an empty one".into(),
        ));
    }
    conn.batch(&format!(
        "BEGIN; {PROGRESS}; INSERT INTO copy_progress VALUES ('{SOURCE}', NULL, {seal}, {sequence}, TRUE);
         UPDATE meta SET value = {seal} WHERE name = 'seal'; COMMIT"
    ))
    .await
}

/// The columns' values as arrays.
fn bind(columns: &[Column], rows: &[Vec<Cell>]) -> Vec<Box<dyn ToSql + Sync + Send>> {
    let bound = |(at, column): (usize, &Column)| -> Box<dyn ToSql + Sync + Send> {
        let values = rows.iter().map(move |row| row.get(at));
        match column.kind {
            Kind::Int | Kind::Flag => Box::new(
                values
                    .map(|cell| match cell {
                        Some(Cell::Int(number)) => Some(*number),
                        _ => None,
                    })
                    .collect::<Vec<_>>(),
            ),
            Kind::Text => Box::new(
                values
                    .map(|cell| match cell {
                        Some(Cell::Text(text)) => Some(text.clone()),
                        _ => None,
                    })
                    .collect::<Vec<_>>(),
            ),
            Kind::Bytes => Box::new(
                values
                    .map(|cell| match cell {
                        Some(Cell::Bytes(bytes)) => Some(bytes.clone()),
                        _ => None,
                    })
                    .collect::<Vec<_>>(),
            ),
        }
    };
    columns.iter().enumerate().map(bound).collect()
}

/// The days that a page's rows fall on.
fn days(columns: &[Column], rows: &[Vec<Cell>]) -> BTreeSet<i32> {
    let Some(at) = columns.iter().position(|column| column.name == "day") else {
        return BTreeSet::new();
    };
    let today = day_of(clock().0);
    let day = |row: &Vec<Cell>| match row.get(at) {
        Some(Cell::Int(day)) => i32::try_from(*day).ok(),
        _ => None,
    };
    // A clock that jumped ahead makes no partitions; the default one takes such rows.
    rows.iter()
        .filter_map(day)
        .filter(|day| (0..=today).contains(day))
        .collect()
}

fn insert(name: &str, columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column.kind {
            Kind::Flag => format!("u.{} <> 0", column.name),
            _ => format!("u.{}", column.name),
        })
        .collect();
    let arrays: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let of = match column.kind {
                Kind::Int | Kind::Flag => "bigint",
                Kind::Text => "text",
                Kind::Bytes => "bytea",
            };
            format!("${}::{of}[]", at + 1)
        })
        .collect();
    format!(
        "INSERT INTO {name} ({names}) SELECT {values} FROM unnest({arrays}) AS u({names})",
        names = names.join(", "),
        values = values.join(", "),
        arrays = arrays.join(", "),
    )
}

fn read(column: &Column) -> String {
    match column.kind {
        Kind::Int => format!("{}::bigint", column.name),
        Kind::Flag => format!("{}::int::bigint", column.name),
        Kind::Text | Kind::Bytes => column.name.to_owned(),
    }
}

fn cells(row: &Row, columns: &[Column]) -> DbResult<Vec<Cell>> {
    let cell = |(at, column): (usize, &Column)| {
        Ok(match column.kind {
            Kind::Int | Kind::Flag => row
                .try_get::<_, Option<i64>>(at)
                .map_err(fault)?
                .map_or(Cell::Null, Cell::Int),
            Kind::Text => row
                .try_get::<_, Option<String>>(at)
                .map_err(fault)?
                .map_or(Cell::Null, Cell::Text),
            Kind::Bytes => row
                .try_get::<_, Option<Vec<u8>>>(at)
                .map_err(fault)?
                .map_or(Cell::Null, Cell::Bytes),
        })
    };
    columns.iter().enumerate().map(cell).collect()
}
