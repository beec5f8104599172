//! The embedded database: SQLite, one thread that writes, a few that read.
//!
//! What lives here: the tables' SQL, the group commit, the translation of rows into the domain's values. What does not:
//! decisions about messages, and anything another database could share (that is the trait above).
//!
//! A table is a state: `incoming` and `accepted` hold unfinished work only and stay small, `message`, `archived`,
//! `attempt` and `event` grow at their ends. One sequence numbers every row, and public ids are sealed from those numbers
//! (see [`crate::domain::id`]), so no table keeps ids or an index on them. `docs/database.md` has the tables, the
//! reasons and the figures.
//!
//! Everything that writes is a function on [`session::Session`], run by the writer's thread inside a transaction it
//! shares with whatever else was waiting; everything that reads is a function on a connection, run by a reader.
//!
//! Read next: `writer.rs` for the commit, `route.rs` and `settle.rs` for the two transitions that matter.

mod archive;
pub(super) mod codec;
pub(super) mod copying;
mod delivery;
mod detail;
mod due;
mod erasure;
mod event;
mod event_list;
mod fault;
mod fold;
mod gather;
mod incoming;
mod job;
mod known;
mod lists;
mod loops;
mod message;
mod objects;
mod open;
mod people;
mod person;
mod polling;
mod reader;
mod recent;
mod registry;
mod route;
mod session;
mod settle;
mod statement;
mod store_turns;
mod sweep;
#[cfg(test)]
mod tests;
mod timeline;
mod walk;
mod writer;

use std::sync::atomic::Ordering;
use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    Acceptance, Accepted, Admitted, AtOnce, AuditQuery, AuditRow, Backend, Backfill, BackfillState,
    Backlog, DbResult, Due, EndJob, EntityChange, Erasure, ErasureStep, EventPage, EventQuery,
    Figures, FoundRow, HeldMapping, JobCount, JobQuery, JobQuestion, JobStep, JobTurn, Learnt,
    LeftOut, LoopBounds, MessageDetail, NewAudit, NewBackfill, NewErasure, ObjectState, OwnerKind,
    PageKey, PollCommit, PollCursor, PollOutcome, PollState, Pulse, PushedTick, QueuePage,
    QueueQuery, QueueStats, RegistryDelta, RouteOutcome, Routed, RouterLease, ScheduleRun,
    SessionEnd, SessionRow, SetAsideRow, Settled, ShardSet, SweepBounds, SweepReport, Tick,
    Timeline, choosing::Counting,
};
use crate::domain::{
    delivery::{Attempt, Settlement},
    event::NewEvent,
    id::{Id, IdSeal},
    job::{Job, NewJob, Turn},
    key::{BackfillKey, DeliveryKey, EndpointKey, MappingKey, MessageKey, StoreKey},
    known_object::ObjectNews,
    message::Incoming,
    reference::ObjectRef,
    snapshot::Snapshot,
    store_object::Noun,
    time::Micros,
};

/// How the embedded database is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The database's file; its folder is made when missing. Two more files appear beside it while it is open, and
    /// `<path>.lock`, which keeps a second process out.
    pub path: PathBuf,
    /// Connections that read.
    pub readers: usize,
    /// Page cache of the writing connection, in KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reading connection, in KiB.
    pub reader_cache_kib: u32,
    /// How much of the file readers see through a memory map, in bytes; 0 for none. Through a map a failing disk is no error but the end
    /// of the process, and what was read once counts to its memory.
    pub mmap_bytes: u64,
    /// How much of the newest messages is kept in memory for those who read them next, in bytes.
    pub recent_bytes: usize,
    /// How deep and wide messages may descend from one another.
    pub loop_bounds: LoopBounds,
    /// How long what a mapping took counts as taken.
    pub claim_age: Duration,
}

impl SqliteOptions {
    /// The usual settings for this file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: 3,
            writer_cache_kib: 16_384,
            reader_cache_kib: 4096,
            mmap_bytes: 0,
            recent_bytes: 8 << 20,
            loop_bounds: LoopBounds {
                max_depth: 16,
                max_descendants: 10_000,
                max_per_object_hour: 1000,
            },
            claim_age: Duration::from_secs(90 * 86_400),
        }
    }
}

/// The embedded database. Dropping it lets what waits finish, folds the log into the file and frees the lock.
pub struct SqliteBackend {
    // Dropped in this order: readers first, so that the writer's last checkpoint finds nobody reading; the lock last.
    readers: reader::Readers,
    writer: writer::Writer,
    seal: IdSeal,
    recent: Arc<recent::Recent>,
    path: PathBuf,
    _lock: File,
}

impl SqliteBackend {
    /// Opens the database, making or upgrading its tables.
    ///
    /// # Errors
    /// [`DbError::Refused`] when another process holds it, when it is another program's or a newer version's;
    /// [`DbError::Corrupt`] when the file is damaged or no database; [`DbError::Unavailable`] when it cannot be read and
    /// written; [`DbError::Full`]. In every case an existing file is left as it was.
    pub fn open(options: SqliteOptions) -> DbResult<Self> {
        let lock = open::lock(&options.path)?;
        let conn = open::open_writer(&options)?;
        let readers = (0..options.readers.max(1))
            .map(|_| open::open_reader(&options))
            .collect::<DbResult<_>>()?;
        let path = options.path.clone();
        let folding = open::open_folder(&options)?;
        let session = session::Session::new(conn, options)?;
        let (seal, recent) = (session.seal, Arc::clone(&session.recent));
        Ok(Self {
            readers: reader::Readers::start(readers)?,
            writer: writer::Writer::start(session, folding)?,
            seal,
            recent,
            path,
            _lock: lock,
        })
    }

    /// Folds the log into the file, so that the file alone is the whole database. For the end of the program, which lets its
    /// actors go without dropping what they hold, this backend among it. Blocks.
    ///
    /// # Errors
    /// Those of the database; nothing is lost then, the next start does it.
    pub fn fold(&self) -> DbResult<()> {
        open::fold(&self.path)
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    async fn owner_claim(&self, kind: OwnerKind, key: i64) -> DbResult<i64> {
        self.writer
            .write(1, move |session| session.owner_claim(kind, key))
            .await
    }

    async fn registry_changes(&self, since: i64) -> DbResult<RegistryDelta> {
        let seal = self.seal;
        self.readers
            .read(move |conn| registry::changes(conn, seal, since))
            .await
    }

    async fn registry_change(
        &self,
        changes: Vec<EntityChange>,
        now: Micros,
    ) -> DbResult<RegistryDelta> {
        self.writer
            .write(changes.len(), move |session| {
                registry::change(session, &changes, now)
            })
            .await
    }

    async fn incoming_insert(
        &self,
        batch: Vec<Acceptance>,
        now: Micros,
    ) -> DbResult<Vec<Accepted>> {
        self.writer
            .write(batch.len(), move |session| {
                incoming::insert(session, &batch, now)
            })
            .await
    }

    async fn incoming_admit(
        &self,
        batch: Arc<Vec<Acceptance>>,
        at_once: AtOnce,
        now: Micros,
    ) -> DbResult<Admitted> {
        self.writer
            .write(batch.len(), move |session| {
                incoming::admit(session, &batch, &at_once, now)
            })
            .await
    }

    async fn incoming_waiting(
        &self,
        limit: usize,
        held: Vec<MessageKey>,
        _: ShardSet,
    ) -> DbResult<Vec<Incoming>> {
        let (seal, recent) = (self.seal, Arc::clone(&self.recent));
        let (waiting, unreadable) = self
            .readers
            .read(move |conn| incoming::waiting(conn, seal, &recent, limit, &held))
            .await?;
        if !unreadable.is_empty() {
            self.writer
                .write(unreadable.len(), move |session| {
                    incoming::archive_unreadable(session, &unreadable)
                })
                .await?;
        }
        Ok(waiting)
    }

    async fn incoming_route(
        &self,
        batch: Vec<Routed>,
        registry_version: i64,
        lease: RouterLease,
        now: Micros,
    ) -> DbResult<RouteOutcome> {
        let epoch = lease.newest();
        let rows = batch.iter().map(|routed| 1 + routed.deliveries.len()).sum();
        self.writer
            .write(rows, move |session| {
                route::route(session, &batch, registry_version, epoch, now)
            })
            .await
    }

    async fn accepted_due(
        &self,
        endpoint: EndpointKey,
        now: Micros,
        limit: usize,
        but: LeftOut,
    ) -> DbResult<Due> {
        let (seal, recent) = (self.seal, Arc::clone(&self.recent));
        let (due, unreadable) = self
            .readers
            .read(move |conn| due::due(conn, seal, &recent, endpoint, now, limit, &but))
            .await?;
        if !unreadable.is_empty() {
            let archive = move |session: &mut session::Session| {
                unreadable.iter().try_for_each(|(store, seq)| {
                    archive::archive_unreadable(session, *store, *seq, now)
                })
            };
            self.writer.write(1, archive).await?;
        }
        Ok(due)
    }

    async fn accepted_settle(
        &self,
        batch: Arc<Vec<Settlement>>,
        now: Micros,
    ) -> DbResult<Vec<Settled>> {
        self.writer
            .write(batch.len(), move |session| {
                settle::settle(session, &batch, now)
            })
            .await
    }

    async fn accepted_endpoints(&self) -> DbResult<Vec<EndpointKey>> {
        self.readers.read(due::endpoints).await
    }

    async fn accepted_release(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
        now: Micros,
    ) -> DbResult<EndpointKey> {
        let person = person.to_owned();
        self.writer
            .write(1, move |session| {
                person::release(session, store, delivery, &person, now)
            })
            .await
    }

    async fn accepted_archive(
        &self,
        store: StoreKey,
        delivery: DeliveryKey,
        person: &str,
        now: Micros,
    ) -> DbResult<EndpointKey> {
        let person = person.to_owned();
        self.writer
            .write(1, move |session| {
                person::archive(session, store, delivery, &person, now)
            })
            .await
    }

    async fn accepted_tidy(
        &self,
        mapping: MappingKey,
        what: HeldMapping,
        limit: usize,
        now: Micros,
    ) -> DbResult<usize> {
        let rows = self
            .readers
            .read(move |conn| person::tidy_rows(conn, mapping, what, limit))
            .await?;
        self.writer
            .write(rows.len(), move |session| {
                person::tidy(session, &rows, what, now)
            })
            .await
    }

    async fn accepted_backlog(&self, endpoint: EndpointKey, most: usize) -> DbResult<Backlog> {
        self.readers
            .read(move |conn| known::backlog(conn, endpoint, most))
            .await
    }

    async fn object_state(
        &self,
        store: StoreKey,
        kind: &str,
        token: &str,
    ) -> DbResult<Option<ObjectState>> {
        let (kind, token) = (kind.to_owned(), token.to_owned());
        self.readers
            .read(move |conn| known::state(conn, store, &kind, &token))
            .await
    }

    async fn object_merge(&self, news: ObjectNews, now: Micros) -> DbResult<Learnt> {
        self.writer
            .write(news.objects.len(), move |session| {
                known::learn(session, &news, None, now)
            })
            .await
    }

    async fn schedule_runs(&self) -> DbResult<Vec<ScheduleRun>> {
        self.readers.read(known::runs).await
    }

    async fn schedule_push(
        &self,
        store: StoreKey,
        epoch: i64,
        ticks: Vec<Tick>,
        now: Micros,
    ) -> DbResult<Vec<PushedTick>> {
        self.writer
            .write(ticks.len(), move |session| {
                known::push(session, store, epoch, &ticks, now)
            })
            .await
    }

    async fn queue_list(&self, query: QueueQuery) -> DbResult<QueuePage> {
        let seal = self.seal;
        self.readers
            .read(move |conn| lists::list(conn, seal, &query))
            .await
    }

    async fn figures(&self, now: Micros) -> DbResult<Figures> {
        let (queues, oldest) = self.readers.read(lists::totals).await?;
        let tally = self.writer.tally();
        Ok(Figures {
            queues,
            oldest_incoming_age: oldest.map_or(Duration::ZERO, |at| now.since(at)),
            commits: tally.commits.load(Ordering::Relaxed),
            commands: tally.commands.load(Ordering::Relaxed),
            rollbacks: tally.rollbacks.load(Ordering::Relaxed),
            syncs: tally.syncs(),
            writing: Duration::from_micros(tally.writing_us.load(Ordering::Relaxed)),
        })
    }

    async fn queue_stats(&self, store: StoreKey) -> DbResult<QueueStats> {
        self.readers
            .read(move |conn| lists::stats(conn, store))
            .await
    }

    async fn message_types(&self, store: StoreKey) -> DbResult<Vec<String>> {
        self.readers
            .read(move |conn| lists::message_types(conn, store))
            .await
    }

    async fn message_detail(&self, store: StoreKey, id: Id) -> DbResult<MessageDetail> {
        let seal = self.seal;
        self.readers
            .read(move |conn| detail::detail(conn, seal, store, id))
            .await
    }

    async fn attempt_list(&self, store: StoreKey, delivery: DeliveryKey) -> DbResult<Vec<Attempt>> {
        self.readers
            .read(move |conn| detail::attempts(conn, store, delivery))
            .await
    }

    async fn event_list(&self, query: EventQuery) -> DbResult<EventPage> {
        let seal = self.seal;
        self.readers
            .read(move |conn| event_list::list(conn, seal, &query))
            .await
    }

    async fn timeline(
        &self,
        store: StoreKey,
        object: ObjectRef,
        before: Option<PageKey>,
        limit: usize,
    ) -> DbResult<Timeline> {
        let seal = self.seal;
        self.readers
            .read(move |conn| timeline::timeline(conn, seal, store, &object, before, limit))
            .await
    }

    async fn ping(&self) -> DbResult<()> {
        self.readers
            .read(|conn| session::meta(conn, "sequence"))
            .await?;
        self.writer.write(0, session::Session::touch).await?;
        self.writer.heal().await
    }

    async fn event_insert(&self, events: Vec<NewEvent>, now: Micros) -> DbResult<()> {
        let insert = move |session: &mut session::Session| {
            events.iter().try_for_each(|event| {
                event::event_store(session, event, event::Repeat::ByWords, now).map(|_| ())
            })
        };
        self.writer.write(1, insert).await
    }

    async fn snapshot_versions(
        &self,
        store: StoreKey,
        noun: Noun,
        tokens: Vec<String>,
    ) -> DbResult<Vec<Option<String>>> {
        self.readers
            .read(move |conn| polling::versions(conn, store, noun, &tokens))
            .await
    }

    async fn snapshot_list(
        &self,
        store: StoreKey,
        noun: Noun,
        tokens: Vec<String>,
    ) -> DbResult<Vec<Option<Snapshot>>> {
        self.readers
            .read(move |conn| polling::snapshots(conn, store, noun, &tokens))
            .await
    }

    async fn snapshot_erase(&self, store: StoreKey, noun: Noun, token: String) -> DbResult<bool> {
        self.writer
            .write(1, move |session| {
                polling::erase(session, store, noun, &token)
            })
            .await
    }

    async fn poll_commit(&self, commit: PollCommit, now: Micros) -> DbResult<PollOutcome> {
        self.writer
            .write(1 + commit.objects.len() * 2, move |session| {
                polling::commit(session, &commit, now)
            })
            .await
    }

    async fn poll_state(&self, store: StoreKey) -> DbResult<PollState> {
        let seal = self.seal;
        self.readers
            .read(move |conn| polling::state(conn, seal, store))
            .await
    }

    async fn poll_pulse(
        &self,
        store: StoreKey,
        epoch: i64,
        pulses: Vec<Pulse>,
        events: Vec<NewEvent>,
        now: Micros,
    ) -> DbResult<bool> {
        self.writer
            .write(pulses.len() + events.len(), move |session| {
                polling::pulse(session, store, epoch, &pulses, &events, now)
            })
            .await
    }

    async fn poll_found(
        &self,
        store: StoreKey,
        epoch: i64,
        found: FoundRow,
        restart: Vec<PollCursor>,
    ) -> DbResult<bool> {
        self.writer
            .write(1, move |session| {
                polling::found(session, store, epoch, &found, &restart)
            })
            .await
    }

    async fn backfill_insert(&self, backfill: NewBackfill, now: Micros) -> DbResult<Backfill> {
        self.writer
            .write(1, move |session| {
                polling::backfill_insert(session, &backfill, now)
            })
            .await
    }

    async fn backfill_end(
        &self,
        store: StoreKey,
        key: BackfillKey,
        state: BackfillState,
        now: Micros,
    ) -> DbResult<bool> {
        self.writer
            .write(1, move |session| {
                polling::backfill_end(session, store, key, state, now)
            })
            .await
    }

    async fn set_aside_list(
        &self,
        store: StoreKey,
        before: Option<i64>,
        limit: usize,
    ) -> DbResult<Vec<SetAsideRow>> {
        self.readers
            .read(move |conn| polling::set_aside_list(conn, store, before, limit))
            .await
    }

    async fn hook_seen(&self, store: StoreKey, event: String, now: Micros) -> DbResult<bool> {
        self.writer
            .write(1, move |session| {
                polling::hook_seen(session, store, &event, now)
            })
            .await
    }

    async fn poll_forget(&self, store: StoreKey, limit: usize) -> DbResult<usize> {
        self.writer
            .write(limit, move |session| polling::forget(session, store, limit))
            .await
    }

    async fn session_insert(&self, row: SessionRow) -> DbResult<()> {
        self.writer
            .write(1, move |session| people::session_insert(session, &row))
            .await
    }

    async fn session_find(&self, digest: String) -> DbResult<Option<SessionRow>> {
        self.readers
            .read(move |conn| people::session_find(conn, digest.clone()))
            .await
    }

    async fn session_end(&self, end: SessionEnd) -> DbResult<()> {
        self.writer
            .write(1, move |session| people::session_end(session, &end))
            .await
    }

    async fn audit_insert(&self, changes: Vec<NewAudit>, now: Micros) -> DbResult<()> {
        self.writer
            .write(changes.len(), move |session| {
                people::audit_insert(session, &changes, now)
            })
            .await
    }

    async fn audit_list(&self, query: AuditQuery) -> DbResult<Vec<AuditRow>> {
        self.readers
            .read(move |conn| people::audit_list(conn, &query))
            .await
    }

    async fn job_count(&self, question: JobQuestion, now: Micros) -> DbResult<JobCount> {
        let seal = self.seal;
        let (store, kind) = (question.query.store, question.kind);
        let chosen = self
            .readers
            .read(move |conn| job::chosen(conn, seal, &question, now))
            .await?;
        let mut counting = Counting::of(store, kind, chosen);
        // Piece by piece, so that others read in between.
        loop {
            let (counted, more) = self
                .readers
                .read(move |conn| {
                    let more = job::go_on(&mut counting, conn)?;
                    Ok((counting, more))
                })
                .await?;
            counting = counted;
            if !more {
                return Ok(counting.finish());
            }
        }
    }

    async fn job_create(&self, new: NewJob, now: Micros) -> DbResult<Job> {
        self.writer
            .write(1, move |session| job::create(session, &new, now))
            .await
    }

    async fn job_list(&self, query: JobQuery) -> DbResult<Vec<Job>> {
        let seal = self.seal;
        self.readers
            .read(move |conn| job::list(conn, seal, &query))
            .await
    }

    async fn job_step(&self, turn: JobTurn, now: Micros) -> DbResult<JobStep> {
        let (seal, key) = (self.seal, turn.job);
        let found = self
            .readers
            .read(move |conn| {
                let Some(job) = job::read(conn, seal, key)? else {
                    return Ok(None);
                };
                let Turn::Step(rows) = job.turn(now) else {
                    return Ok(None);
                };
                let picked = job::pick(
                    conn,
                    job.new.store,
                    job.new.kind,
                    &job.new.chosen,
                    job.cursor,
                    rows,
                )?;
                Ok(Some((job, picked)))
            })
            .await?;
        let Some((job, picked)) = found else {
            return Ok(JobStep::Nothing);
        };
        self.writer
            .write(picked.rows(), move |session| {
                job::step(session, &job, &picked, &turn, now)
            })
            .await
    }

    async fn job_end(&self, end: EndJob, now: Micros) -> DbResult<Option<Job>> {
        self.writer
            .write(1, move |session| job::end(session, &end, now))
            .await
    }

    async fn erasure_insert(&self, erasure: NewErasure, now: Micros) -> DbResult<Erasure> {
        self.writer
            .write(1, move |session| erasure::insert(session, &erasure, now))
            .await
    }

    async fn erasure_step(&self, limit: usize, now: Micros) -> DbResult<ErasureStep> {
        let next = self
            .readers
            .read(move |conn| erasure::next(conn, limit))
            .await?;
        match next {
            None => Ok(ErasureStep::Idle),
            Some(next) => {
                let step =
                    move |session: &mut session::Session| erasure::step(session, &next, limit, now);
                self.writer.write(limit, step).await
            }
        }
    }

    async fn erasure_list(
        &self,
        store: StoreKey,
        before: Option<PageKey>,
        limit: usize,
    ) -> DbResult<Vec<Erasure>> {
        let seal = self.seal;
        self.readers
            .read(move |conn| erasure::list(conn, seal, store, before, limit))
            .await
    }

    async fn sweep(&self, bounds: SweepBounds, now: Micros) -> DbResult<SweepReport> {
        self.writer
            .write(bounds.rows, move |session| {
                sweep::sweep(session, bounds, now)
            })
            .await
    }
}

impl SqliteBackend {
    /// The backend behind a shared pointer, as the actors hold it.
    #[must_use]
    pub fn shared(self) -> Arc<dyn Backend> {
        Arc::new(self)
    }
}
