//! What the writer knows besides the database: numbers it gives out, counters it gathers, rows it remembers.
//!
//! Everything here can be read again from the database, and is after a rollback ([`Session::forget`]): then nothing in
//! memory says what the disk does not.

use std::{collections::HashMap, sync::Arc};

use diesel::{connection::SimpleConnection, sqlite::SqliteConnection};

use super::{
    SqliteOptions,
    fault::fault,
    recent::Recent,
    statement::{Command, Question, statements},
};
use crate::{
    db::{DbError, DbResult, OwnerKind},
    domain::{
        delivery::WaitState,
        id::{Id, IdSeal},
        message::Message,
        time::Micros,
    },
};

statements! {
    /// A number of `meta`.
    MetaRead<'a> { name: &'a str } -> i64 = "SELECT value FROM meta WHERE name = ?1";
    /// Sets a number of `meta`.
    MetaWrite<'a> { name: &'a str, value: i64 } = "UPDATE meta SET value = ?2 WHERE name = ?1";
    /// Adds to a counter.
    CountAdd { store: i64, place: i64, n: i64 } =
        "INSERT INTO queue_count (store, place, n) VALUES (?1, ?2, ?3) ON CONFLICT (store, place) DO UPDATE SET n = n + excluded.n";
    /// The key of a store's message type.
    KindRead<'a> { store: i64, kind: &'a str } -> i64 = "SELECT key FROM message_type WHERE store = ?1 AND kind = ?2";
    /// A store's first message of a type.
    KindInsert<'a> { key: i64, store: i64, kind: &'a str } = "INSERT INTO message_type (key, store, kind) VALUES (?1, ?2, ?3)";
    /// Writes as much as a large message.
    ProbeFill { bytes: i64 } = "INSERT OR REPLACE INTO probe (key, body) VALUES (1, randomblob(?1))";
    /// Takes it out again.
    ProbeEmpty {} = "DELETE FROM probe WHERE key = 1";
    /// An owner's epoch.
    EpochRead { kind: i64, key: i64 } -> i64 = "SELECT epoch FROM owner WHERE kind = ?1 AND key = ?2";
    /// A new epoch of an owner.
    EpochWrite { kind: i64, key: i64, epoch: i64 } =
        "INSERT INTO owner (kind, key, epoch) VALUES (?1, ?2, ?3) ON CONFLICT (kind, key) DO UPDATE SET epoch = excluded.epoch";
}

/// Where a row is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Accepted(state) => i64::from(state.number()),
            Self::Incoming => 5,
            Self::Archived => 6,
        }
    }
}

/// The most types a store's types are remembered for before all are forgotten: a bound on memory, not on types.
const KINDS_REMEMBERED: usize = 10_000;

/// How much a probe writes: more than most messages hold.
const PROBE_BYTES: i64 = 1 << 20;

/// The writer's connection and memory; one per backend, owned by the writer's thread.
pub(super) struct Session {
    /// The one connection that writes.
    pub(super) conn: SqliteConnection,
    /// What it was opened with.
    pub(super) options: SqliteOptions,
    /// How ids are made.
    pub(super) seal: IdSeal,
    /// The registry's version as of the open transaction.
    pub(super) registry_version: i64,
    /// Transactions committed since the database was opened.
    pub(super) commits: u64,
    /// Up to which message the sweep has looked for old ones.
    pub(super) message_looked_at: i64,
    /// Up to which store the sweep has dropped old archived rows.
    pub(super) store_looked_at: i64,
    /// Up to which lane (endpoint and lane) the sweep has looked for lost heads.
    pub(super) lane_looked_at: (i64, i64),
    /// What readers find in memory.
    pub(super) recent: Arc<Recent>,
    /// Messages of the open transaction.
    fresh: Vec<Arc<Message>>,
    /// The open transaction erases messages: none is kept in memory.
    has_erased: bool,
    next: i64,
    written: i64,
    counts: HashMap<(i64, Place), i64>,
    kinds: HashMap<i64, HashMap<String, i64>>,
    epochs: HashMap<(i64, i64), i64>,
}

impl Session {
    /// A session on a connection whose tables are there.
    pub(super) fn new(mut conn: SqliteConnection, options: SqliteOptions) -> DbResult<Self> {
        let seal = IdSeal::new(meta(&mut conn, "seal")? as u64);
        let mut session = Self {
            conn,
            recent: Arc::new(Recent::new(options.recent_bytes)),
            fresh: Vec::new(),
            has_erased: false,
            options,
            seal,
            registry_version: 0,
            commits: 0,
            message_looked_at: i64::MIN,
            store_looked_at: i64::MIN,
            lane_looked_at: (i64::MIN, i64::MIN),
            next: 0,
            written: 0,
            counts: HashMap::new(),
            kinds: HashMap::new(),
            epochs: HashMap::new(),
        };
        session.forget()?;
        Ok(session)
    }

    /// Begins the transaction that the next commands share.
    pub(super) fn begin(&mut self) -> DbResult<()> {
        self.conn.batch_execute("BEGIN IMMEDIATE").map_err(fault)
    }

    /// Writes what was gathered in memory and commits.
    pub(super) fn commit(&mut self) -> DbResult<()> {
        for ((store, place), n) in std::mem::take(&mut self.counts) {
            if n != 0 {
                CountAdd {
                    store,
                    place: place.number(),
                    n,
                }
                .run(&mut self.conn)?;
            }
        }
        if self.next != self.written {
            MetaWrite {
                name: "sequence",
                value: self.next,
            }
            .run(&mut self.conn)?;
            self.written = self.next;
        }
        self.conn.batch_execute("COMMIT").map_err(fault)?;
        self.commits += 1;
        if std::mem::take(&mut self.has_erased) {
            self.fresh.clear();
            self.recent.clear();
        }
        self.recent.keep(&mut self.fresh);
        Ok(())
    }

    /// Rolls back, where SQLite has not done so by itself already, and reads again what memory held.
    pub(super) fn abandon(&mut self) -> DbResult<()> {
        // After SQLITE_FULL and some I/O errors the transaction is gone already, and this fails for that reason alone.
        let _ = self.conn.batch_execute("ROLLBACK");
        self.forget()
    }

    /// Keeps no message in memory: some of them are being erased.
    pub(super) fn forget_messages(&mut self) {
        self.fresh.clear();
        self.recent.clear();
    }

    fn forget(&mut self) -> DbResult<()> {
        self.fresh.clear();
        self.has_erased = false;
        self.counts.clear();
        self.kinds.clear();
        self.epochs.clear();
        self.next = meta(&mut self.conn, "sequence")?;
        self.written = self.next;
        self.registry_version = meta(&mut self.conn, "registry_version")?;
        Ok(())
    }

    /// The next number of the sequence.
    pub(super) fn next(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    /// The last number given out.
    pub(super) fn last(&self) -> i64 {
        self.next
    }

    /// Kept for readers once the open transaction is committed.
    pub(super) fn fresh(&mut self, message: Arc<Message>) {
        self.fresh.push(message);
    }

    /// A message was erased: nobody finds it in memory once the open transaction is committed.
    pub(super) fn erased(&mut self) {
        self.has_erased = true;
    }

    /// The id of row `seq`.
    pub(super) fn id(&self, seq: i64, at: Micros) -> Id {
        self.seal.seal(seq, at)
    }

    /// Counts `n` rows into (or, negative, out of) a place, written at the commit.
    pub(super) fn count(&mut self, store: i64, place: Place, n: i64) {
        *self.counts.entry((store, place)).or_insert(0) += n;
    }

    /// The key of a store's message type, which is written down the first time.
    pub(super) fn kind(&mut self, store: i64, kind: &str) -> DbResult<i64> {
        if let Some(key) = self.kinds.get(&store).and_then(|kinds| kinds.get(kind)) {
            return Ok(*key);
        }
        let key = match (KindRead { store, kind }).row(&mut self.conn)? {
            Some(key) => key,
            None => {
                let key = self.next();
                KindInsert { key, store, kind }.run(&mut self.conn)?;
                key
            }
        };
        if self.kinds.values().map(HashMap::len).sum::<usize>() >= KINDS_REMEMBERED {
            self.kinds.clear();
        }
        self.kinds
            .entry(store)
            .or_default()
            .insert(kind.to_owned(), key);
        Ok(key)
    }

    /// The current epoch of an owner; 0 when nobody ever owned it.
    pub(super) fn epoch(&mut self, kind: OwnerKind, key: i64) -> DbResult<i64> {
        let kind = owner_number(kind);
        if let Some(epoch) = self.epochs.get(&(kind, key)) {
            return Ok(*epoch);
        }
        let epoch = EpochRead { kind, key }.row(&mut self.conn)?.unwrap_or(0);
        self.epochs.insert((kind, key), epoch);
        Ok(epoch)
    }

    /// Starts an owner's next epoch.
    pub(super) fn owner_claim(&mut self, kind: OwnerKind, key: i64) -> DbResult<i64> {
        let epoch = self.epoch(kind, key)? + 1;
        let kind = owner_number(kind);
        EpochWrite { kind, key, epoch }.run(&mut self.conn)?;
        self.epochs.insert((kind, key), epoch);
        Ok(epoch)
    }

    /// Writes what is there already, to see whether writing works.
    pub(super) fn touch(&mut self) -> DbResult<()> {
        MetaWrite {
            name: "sequence",
            value: self.next,
        }
        .run(&mut self.conn)?;
        self.written = self.next;
        Ok(())
    }

    /// Writes something large, to see whether there is room.
    pub(super) fn probe_fill(&mut self) -> DbResult<()> {
        ProbeFill { bytes: PROBE_BYTES }.run(&mut self.conn)?;
        Ok(())
    }

    /// Takes it out again.
    pub(super) fn probe_empty(&mut self) -> DbResult<()> {
        ProbeEmpty {}.run(&mut self.conn)?;
        Ok(())
    }

    /// Starts the registry's next version, once per command.
    pub(super) fn registry_move(&mut self) -> DbResult<i64> {
        self.registry_version += 1;
        MetaWrite {
            name: "registry_version",
            value: self.registry_version,
        }
        .run(&mut self.conn)?;
        Ok(self.registry_version)
    }
}

/// A number of `meta`, which the migration put there.
pub(super) fn meta(conn: &mut SqliteConnection, name: &str) -> DbResult<i64> {
    MetaRead { name }
        .row(conn)?
        .ok_or_else(|| DbError::Corrupt(format!("the table meta has no row {name}")))
}

fn owner_number(kind: OwnerKind) -> i64 {
    match kind {
        OwnerKind::Router => 0,
        OwnerKind::Dispatcher => 1,
        OwnerKind::Poller => 2,
        OwnerKind::Scheduler => 3,
    }
}
