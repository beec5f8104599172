//! One connection: statements prepared once, counted, and told when it is gone.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio_postgres::{Client, Statement, types::ToSql};

use super::{
    fault::{fault, is_conflict},
    statement::{FromRow, Sql},
};
use crate::db::{DbError, DbResult};

/// What is bound to a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How many statements and transactions a backend has run since it was opened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Statements, `BEGIN` and `COMMIT` among them.
    pub(super) statements: AtomicU64,
    /// Transactions that wrote and were committed.
    pub(super) commits: AtomicU64,
    /// Transactions that were undone.
    pub(super) rollbacks: AtomicU64,
    /// Time spent in transactions that wrote, in microseconds.
    pub(super) writing_us: AtomicU64,
    /// Transactions that failed because nothing could be written, and how many of those were known when a probe last went well.
    failures: AtomicU64,
    healed: AtomicU64,
}

impl Tally {
    /// Notes a transaction that failed.
    pub(super) fn note_failure(&self, error: &DbError) {
        if error.is_transient() || matches!(error, DbError::Corrupt(_)) {
            self.failures.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Transactions that failed because nothing could be written.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// How many of them were known when a probe last went well.
    pub(super) fn healed(&self) -> u64 {
        self.healed.load(Ordering::Acquire)
    }

    /// A probe went well that began when so many were known.
    pub(super) fn heal(&self, known: u64) {
        self.healed.store(known, Ordering::Release);
    }
}

/// A connection of the pool.
pub(super) struct Conn {
    pub(super) client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
    pub(super) tally: Arc<Tally>,
    conflict: AtomicBool,
}

impl Conn {
    /// A fresh connection.
    pub(super) fn new(client: Client, tally: Arc<Tally>) -> Self {
        Self {
            client,
            prepared: Mutex::default(),
            tally,
            conflict: AtomicBool::new(false),
        }
    }

    /// All rows of a statement.
    pub(super) async fn rows<T: FromRow>(&self, sql: &Sql, params: Params<'_>) -> DbResult<Vec<T>> {
        self.rows_raw(sql, params)
            .await
            .map_err(|error| self.told(error))?
            .iter()
            .map(T::from_row)
            .collect()
    }

    /// The first row of a statement.
    pub(super) async fn row<T: FromRow>(
        &self,
        sql: &Sql,
        params: Params<'_>,
    ) -> DbResult<Option<T>> {
        self.rows_raw(sql, params)
            .await
            .map_err(|error| self.told(error))?
            .first()
            .map(T::from_row)
            .transpose()
    }

    /// Runs a statement; returns how many rows it changed.
    pub(super) async fn run(&self, sql: &Sql, params: Params<'_>) -> DbResult<u64> {
        let statement = self.prepare(sql).await.map_err(|error| self.told(error))?;
        self.count();
        self.client
            .execute(&statement, params)
            .await
            .map_err(|error| self.told(error))
    }

    /// Runs text without parameters.
    pub(super) async fn batch(&self, text: &str) -> DbResult<()> {
        self.count();
        self.client
            .batch_execute(text)
            .await
            .map_err(|error| self.told(error))
    }

    async fn rows_raw(
        &self,
        sql: &Sql,
        params: Params<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
        let statement = self.prepare(sql).await?;
        self.count();
        self.client.query(&statement, params).await
    }

    /// Runs a text of ours, planned for this once.
    pub(super) async fn run_once(&self, text: &str, params: Params<'_>) -> DbResult<u64> {
        self.count();
        self.client
            .execute(text, params)
            .await
            .map_err(|error| self.told(error))
    }

    /// The rows that a text of ours gives, planned for this once.
    pub(super) async fn rows_once<T: FromRow>(&self, text: &str) -> DbResult<Vec<T>> {
        self.count();
        let rows = self
            .client
            .query(text, &[])
            .await
            .map_err(|error| self.told(error))?;
        rows.iter().map(T::from_row).collect()
    }

    /// The numbers that a text of ours gives, planned for this once.
    pub(super) async fn numbers(&self, text: &str) -> DbResult<Vec<i64>> {
        let rows: Vec<(i64,)> = self.rows_once(text).await?;
        Ok(rows.into_iter().map(|(number,)| number).collect())
    }

    /// Whether the server undid something for another transaction's sake since this was last asked.
    pub(super) fn had_conflict(&self) -> bool {
        self.conflict.swap(false, Ordering::Relaxed)
    }

    fn told(&self, error: tokio_postgres::Error) -> DbError {
        if is_conflict(&error) {
            self.conflict.store(true, Ordering::Relaxed);
        }
        fault(error)
    }

    fn count(&self) {
        self.tally.statements.fetch_add(1, Ordering::Relaxed);
    }

    async fn prepare(&self, sql: &Sql) -> Result<Statement, tokio_postgres::Error> {
        let known = self
            .prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(sql.text)
            .cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        log::trace!("preparing {}", sql.name);
        let statement = self.client.prepare(sql.text).await?;
        self.prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(sql.text, statement.clone());
        Ok(statement)
    }
}
