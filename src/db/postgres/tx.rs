//! A transaction that writes: begun with its first statement, counters and commit in one flight, tried again when the
//! server undid it for another one's sake.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    PostgresOptions,
    conn::{Conn, Params},
    core::Core,
    hint::Hint,
    statement::{FromRow, Sql, statements},
};
use crate::{
    db::DbResult,
    domain::{
        delivery::WaitState,
        id::{Id, IdSeal},
        message::NewMessage,
        time::Micros,
    },
};

statements! {
    /// The next numbers of the sequence.
    NUMBERS = "SELECT nextval('number') FROM generate_series(1, $1::bigint)";
    /// Adds to counters, in one order for everyone. The writer is the connection's process, so that two connections
    /// rarely want the same row.
    COUNT_ADD = "INSERT INTO queue_count (store, place, writer, n)
        SELECT u.store, u.place, pg_backend_pid() & 31, u.n FROM unnest($1::bigint[], $2::int[], $3::bigint[]) AS u(store, place, n)
        ORDER BY 1, 2 ON CONFLICT (store, place, writer) DO UPDATE SET n = queue_count.n + excluded.n";
    /// The keys of message types.
    KINDS_READ = "SELECT t.store, t.kind, t.key FROM unnest($1::bigint[], $2::text[]) AS u(store, kind)
        JOIN message_type t ON t.store = u.store AND t.kind = u.kind";
    /// Types that their stores have for the first time.
    KINDS_INSERT = "INSERT INTO message_type (key, store, kind)
        SELECT nextval('number'), u.store, u.kind FROM unnest($1::bigint[], $2::text[]) AS u(store, kind) ORDER BY 2, 3
        ON CONFLICT (store, kind) DO NOTHING";
}

/// How often the same work is tried when the server undid it for another transaction.
const TRIES: u32 = 4;

/// The most types that are remembered before all are forgotten: a bound on memory, not on types.
const KINDS_REMEMBERED: usize = 10_000;

/// Lanes that one transaction locks singly; one with more takes them all. The server's table of locks has room for 64
/// locks for each connection it allows (`max_locks_per_transaction`), all transactions together.
const LANES_LOCKED_SINGLY: usize = 256;

/// Where a row is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the accepted queue, in this state.
    Accepted(WaitState),
    /// In the incoming queue.
    Incoming,
    /// In the archive.
    Archived,
}

impl Place {
    /// The number the counters' table stores.
    pub(super) fn number(self) -> i32 {
        match self {
            Self::Accepted(state) => state.number(),
            Self::Incoming => 5,
            Self::Archived => 6,
        }
    }
}

/// The message types this process has met.
#[derive(Default)]
pub(super) struct Kinds(Mutex<HashMap<i64, HashMap<String, i64>>>);

impl Kinds {
    fn get(&self, store: i64, kind: &str) -> Option<i64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&store)?
            .get(kind)
            .copied()
    }

    fn learn(&self, rows: Vec<(i64, String, i64)>) {
        if rows.is_empty() {
            return;
        }
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.values().map(HashMap::len).sum::<usize>() >= KINDS_REMEMBERED {
            kinds.clear();
        }
        for (store, kind, key) in rows {
            kinds.entry(store).or_default().insert(kind, key);
        }
    }
}

/// What opens a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// Nothing was sent yet.
    Waits(&'static str),
    /// It is open.
    Open,
}

/// A transaction.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Conn,
    core: &'a Core,
    opening: Opening,
    counts: BTreeMap<(i64, i32), i64>,
    hints: Hint,
    /// Types learnt inside: known to others after the commit.
    kinds: Vec<(i64, String, i64)>,
}

impl<'a> Tx<'a> {
    /// What the backend was opened with.
    pub(super) fn options(&self) -> &'a PostgresOptions {
        &self.core.options
    }

    /// How ids are made.
    pub(super) fn seal(&self) -> IdSeal {
        self.core.seal
    }

    /// The id of row `seq`.
    pub(super) fn id(&self, seq: i64, at: Micros) -> Id {
        self.core.seal.seal(seq, at)
    }

    /// The transaction will change up to so many lanes; called before its first statement. Whoever locks lanes singly
    /// shares this lock, whoever takes them all has it alone.
    pub(super) fn lanes(&mut self, most: usize) -> bool {
        let singly = most <= LANES_LOCKED_SINGLY;
        self.opening = Opening::Waits(if singly {
            "BEGIN; SELECT pg_advisory_xact_lock_shared(1229874530, 1)"
        } else {
            "BEGIN; SELECT pg_advisory_xact_lock(1229874530, 1)"
        });
        singly
    }

    /// The transaction is a node's beat, of which there is one at a time; called before its first statement.
    pub(super) fn alone(&mut self) {
        self.opening = Opening::Waits("BEGIN; SELECT pg_advisory_xact_lock(1229874530, 3)");
    }

    /// All rows of a statement.
    pub(super) async fn rows<T: FromRow>(
        &mut self,
        sql: &Sql,
        params: Params<'_>,
    ) -> DbResult<Vec<T>> {
        let Opening::Waits(begin) = self.opening else {
            return self.conn.rows(sql, params).await;
        };
        self.opening = Opening::Open;
        // Both are on their way before the first answer comes.
        let (begun, rows) = tokio::join!(self.conn.batch(begin), self.conn.rows(sql, params));
        begun?;
        rows
    }

    /// The first row of a statement.
    pub(super) async fn row<T: FromRow>(
        &mut self,
        sql: &Sql,
        params: Params<'_>,
    ) -> DbResult<Option<T>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Runs a statement; returns how many rows it changed.
    pub(super) async fn run(&mut self, sql: &Sql, params: Params<'_>) -> DbResult<u64> {
        let Opening::Waits(begin) = self.opening else {
            return self.conn.run(sql, params).await;
        };
        self.opening = Opening::Open;
        let (begun, changed) = tokio::join!(self.conn.batch(begin), self.conn.run(sql, params));
        begun?;
        changed
    }

    /// The next `n` numbers of the sequence, rising.
    pub(super) async fn numbers(&mut self, n: usize) -> DbResult<std::vec::IntoIter<i64>> {
        if n == 0 {
            return Ok(Vec::new().into_iter());
        }
        let rows: Vec<(i64,)> = self
            .rows(&NUMBERS, &[&i64::try_from(n).unwrap_or(i64::MAX)])
            .await?;
        Ok(rows
            .into_iter()
            .map(|(number,)| number)
            .collect::<Vec<_>>()
            .into_iter())
    }

    /// Counts `n` rows into (or, negative, out of) a place, written at the commit.
    pub(super) fn count(&mut self, store: i64, place: Place, n: i64) {
        *self.counts.entry((store, place.number())).or_insert(0) += n;
    }

    /// Tells the other nodes, after the commit, that there may be something to do.
    pub(super) fn hint(&mut self, hint: Hint) {
        self.hints.add(hint);
    }

    /// Learns the keys of these messages' types, writing down new ones at once and for good, outside the transaction:
    /// called before its first statement.
    pub(super) async fn learn_kinds<'m>(
        &mut self,
        messages: impl Iterator<Item = &'m NewMessage>,
    ) -> DbResult<()> {
        let mut unknown: Vec<(i64, &str)> = messages
            .map(|message| (message.store.0, message.kind.as_str()))
            .filter(|(store, kind)| self.core.kinds.get(*store, kind).is_none())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        unknown.dedup();
        let (stores, kinds): (Vec<i64>, Vec<&str>) = unknown.into_iter().unzip();
        self.conn.run(&KINDS_INSERT, &[&stores, &kinds]).await?;
        self.core
            .kinds
            .learn(self.conn.rows(&KINDS_READ, &[&stores, &kinds]).await?);
        Ok(())
    }

    /// The same for messages that come to light inside the transaction: types that are new become known with its commit.
    pub(super) async fn learn_kinds_inside<'m>(
        &mut self,
        messages: impl Iterator<Item = &'m NewMessage>,
    ) -> DbResult<()> {
        let mut unknown: Vec<(i64, &str)> = messages
            .filter(|message| self.kind(message).is_err())
            .map(|message| (message.store.0, message.kind.as_str()))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        unknown.dedup();
        let (stores, kinds): (Vec<i64>, Vec<&str>) = unknown.into_iter().unzip();
        self.run(&KINDS_INSERT, &[&stores, &kinds]).await?;
        let rows = self.rows(&KINDS_READ, &[&stores, &kinds]).await?;
        self.kinds.extend(rows);
        Ok(())
    }

    /// The key of a type that was learnt.
    pub(super) fn kind(&self, message: &NewMessage) -> DbResult<i64> {
        let (store, kind) = (message.store.0, message.kind.as_str());
        let inside = |(of, name, _): &&(i64, String, i64)| *of == store && name == kind;
        let key = self
            .core
            .kinds
            .get(store, kind)
            .or_else(|| self.kinds.iter().find(inside).map(|(.., key)| *key));
        key.ok_or_else(|| {
            crate::db::DbError::Unavailable("a message type was forgotten meanwhile".into())
        })
    }

    async fn commit(mut self) -> DbResult<Hint> {
        let counts: Vec<_> = std::mem::take(&mut self.counts)
            .into_iter()
            .filter(|(_, n)| *n != 0)
            .collect();
        if counts.is_empty() {
            if self.opening == Opening::Open {
                self.conn.batch("COMMIT").await?;
                self.conn.tally.commits.fetch_add(1, Ordering::Relaxed);
            }
            self.core.kinds.learn(self.kinds);
            return Ok(self.hints);
        }
        let stores: Vec<i64> = counts.iter().map(|((store, _), _)| *store).collect();
        let places: Vec<i32> = counts.iter().map(|((_, place), _)| *place).collect();
        let ns: Vec<i64> = counts.iter().map(|(_, n)| *n).collect();
        let params: Params<'_> = &[&stores, &places, &ns];
        // If the counters fail, the server turns the commit into a rollback.
        let (counted, committed) =
            tokio::join!(self.conn.run(&COUNT_ADD, params), self.conn.batch("COMMIT"));
        counted?;
        committed?;
        self.conn.tally.commits.fetch_add(1, Ordering::Relaxed);
        self.core.kinds.learn(self.kinds);
        Ok(self.hints)
    }
}

/// Work inside a transaction, which may be called again after a rollback.
pub(super) trait Work<T>:
    for<'t> Fn(&'t mut Tx<'_>) -> BoxFuture<'t, DbResult<T>> + Send + Sync + 'static
{
}

impl<T, F> Work<T> for F where
    F: for<'t> Fn(&'t mut Tx<'_>) -> BoxFuture<'t, DbResult<T>> + Send + Sync + 'static
{
}

/// Does the work in a transaction and commits.
pub(super) async fn transact<T>(core: &std::sync::Arc<Core>, work: impl Work<T>) -> DbResult<T> {
    let lent = core.pool.lend().await?;
    let mut tries = 0;
    loop {
        tries += 1;
        let begun = std::time::Instant::now();
        let mut tx = Tx {
            conn: &lent,
            core,
            opening: Opening::Waits("BEGIN"),
            counts: BTreeMap::new(),
            hints: Hint::default(),
            kinds: Vec::new(),
        };
        let worked = std::panic::AssertUnwindSafe(work(&mut tx))
            .catch_unwind()
            .await;
        let worked = worked.unwrap_or_else(|_| {
            Err(crate::db::DbError::Internal(
                "a database command panicked".into(),
            ))
        });
        let opened = tx.opening == Opening::Open;
        let tally = &core.tally;
        let outcome = match worked {
            Ok(value) => tx.commit().await.map(|hints| (value, hints)),
            Err(error) => Err(error),
        };
        tally.writing_us.fetch_add(
            u64::try_from(begun.elapsed().as_micros()).unwrap_or(0),
            Ordering::Relaxed,
        );
        let error = match outcome {
            Ok((value, hints)) => {
                lent.done();
                core.hints.tell(hints);
                return Ok(value);
            }
            Err(error) => error,
        };
        tally.rollbacks.fetch_add(1, Ordering::Relaxed);
        if opened && lent.batch("ROLLBACK").await.is_err() {
            tally.note_failure(&error);
            return Err(error);
        }
        if lent.had_conflict() && tries < TRIES {
            log::debug!("a transaction gave way to another one and is tried again: {error}");
            continue;
        }
        tally.note_failure(&error);
        lent.done();
        return Err(error);
    }
}
