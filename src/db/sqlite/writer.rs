//! The one thread that writes, and the group commit that makes it fast.
//!
//! Callers put commands into a bounded channel. The writer takes everything that waits there into one transaction, commits
//! once (one fsync), and only then answers all of them. Idle, a command commits at once; under load the next
//! batch gathers while the former one commits, and a little longer the more there is to do (`gather.rs`).
//!
//! There are no savepoints: after `SQLITE_FULL` SQLite has rolled everything back by itself, and what came after a
//! savepoint would commit alone. So any unexpected error abandons the whole batch, whose commands are then tried one by
//! one, each in a transaction of its own; the one at fault gets the error. A command may refuse (`Missing`, `Taken`)
//! without harm to its batch, because it does so before it writes anything.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, sqlite::SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    fault::is_refusal,
    fold::{Folder, Folds},
    gather::Gather,
    session::Session,
};
use crate::db::{DbError, DbResult};

/// The most rows that the commands of one transaction may stand for, so that a transaction stays short.
const ROWS_PER_TRANSACTION: usize = 2048;

/// Commands that may wait; more callers than this wait for room.
const COMMANDS_WAITING: usize = 1024;

/// A command in the writer's channel.
trait Job: Send {
    /// How many rows it stands for, roughly.
    fn rows(&self) -> usize;
    /// Does its work in the open transaction and keeps the outcome. May be called again after a rollback.
    fn work(&mut self, session: &mut Session) -> DbResult<()>;
    /// Answers the caller: with the outcome kept, or with this error.
    fn answer(self: Box<Self>, error: Option<DbError>);
}

struct Call<T, F> {
    rows: usize,
    work: F,
    outcome: Option<DbResult<T>>,
    reply: oneshot::Sender<DbResult<T>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnMut(&mut Session) -> DbResult<T> + Send,
{
    fn rows(&self) -> usize {
        self.rows
    }

    fn work(&mut self, session: &mut Session) -> DbResult<()> {
        let work = &mut self.work;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(session)))
            .unwrap_or_else(|_| Err(DbError::Internal("a database command panicked".into())));
        match outcome {
            Err(error) if !is_refusal(&error) => Err(error),
            settled => {
                self.outcome = Some(settled);
                Ok(())
            }
        }
    }

    fn answer(self: Box<Self>, error: Option<DbError>) {
        let outcome = match error {
            Some(error) => Err(error),
            None => self.outcome.unwrap_or_else(|| {
                Err(DbError::Internal(
                    "a database command has no outcome".into(),
                ))
            }),
        };
        // A caller that stopped waiting needs no answer.
        let _ = self.reply.send(outcome);
    }
}

/// What the writer has done since it started; written by its thread alone.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) commits: AtomicU64,
    pub(super) commands: AtomicU64,
    pub(super) rollbacks: AtomicU64,
    pub(super) writing_us: AtomicU64,
    /// Commands that failed because nothing could be written, and how many of those were known when a probe last went well.
    failures: AtomicU64,
    healed: AtomicU64,
    pub(super) folds: Arc<Folds>,
}

impl Tally {
    /// Syncs asked of the system: one for each commit, and those of folding.
    pub(super) fn syncs(&self) -> u64 {
        let folds = self.folds.syncs.load(Ordering::Relaxed);
        self.commits.load(Ordering::Relaxed) + folds
    }

    fn note(&self, committed: bool, commands: usize, took: Duration) {
        let add = |counter: &AtomicU64, n: u64| counter.fetch_add(n, Ordering::Relaxed);
        add(
            &self.writing_us,
            u64::try_from(took.as_micros()).unwrap_or(0),
        );
        if committed {
            add(&self.commits, 1);
            add(&self.commands, u64::try_from(commands).unwrap_or(0));
        } else {
            add(&self.rollbacks, 1);
        }
    }
}

/// The writer's thread and the way to it. Dropping it lets the thread finish what waits, then close the database.
pub(super) struct Writer {
    sender: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    tally: Arc<Tally>,
}

impl Writer {
    /// Starts the thread, and with it the one that folds the log, on a connection of its own.
    pub(super) fn start(session: Session, folding: SqliteConnection) -> DbResult<Self> {
        let (sender, receiver) = mpsc::channel(COMMANDS_WAITING);
        let tally = Arc::new(Tally::default());
        let counted = Arc::clone(&tally);
        let folder = Folder::start(folding, Arc::clone(&tally.folds))?;
        let thread = thread::Builder::new()
            .name("db-writer".into())
            .spawn(move || run(session, receiver, &counted, folder))
            .map_err(|error| DbError::Unavailable(format!("no thread for the writer: {error}")))?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
            tally,
        })
    }

    /// What it has done so far.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Has `work` done in a transaction and returns its outcome after the commit.
    pub(super) async fn write<T, F>(&self, rows: usize, work: F) -> DbResult<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Session) -> DbResult<T> + Send + 'static,
    {
        let ended = || DbError::Unavailable("the writer of the database has ended".into());
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Call {
            rows,
            work,
            outcome: None,
            reply,
        });
        self.sender
            .as_ref()
            .ok_or_else(ended)?
            .send(job)
            .await
            .map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Writer {
    /// After a command failed because nothing could be written: tries with something large, for on a disk that is all but full
    /// small changes still find room. Nothing to do when none failed since the last time that went well.
    pub(super) async fn heal(&self) -> DbResult<()> {
        let known = self.tally.failures.load(Ordering::Acquire);
        if known == self.tally.healed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.write(0, Session::probe_fill).await?;
        self.write(0, Session::probe_empty).await?;
        self.tally.healed.store(known, Ordering::Release);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // Its panic, if it had one, was printed by the panic hook and told by `Farewell`.
            let _ = thread.join();
        }
    }
}

/// Tells of a writer that ends by a panic of its own (a command's is caught).
struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        if thread::panicking() {
            log::error!(
                "the database's writer panicked; nothing can be written until the program is restarted"
            );
        }
    }
}

fn run(
    mut session: Session,
    mut receiver: mpsc::Receiver<Box<dyn Job>>,
    tally: &Tally,
    mut folder: Folder,
) {
    let _farewell = Farewell;
    let mut batch = Vec::new();
    let (mut gather, mut last) = (Gather::default(), Instant::now());
    while let Some(first) = receiver.blocking_recv() {
        let pause = gather.pause(last.elapsed());
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        let mut rows = first.rows();
        batch.push(first);
        while rows < ROWS_PER_TRANSACTION {
            let Ok(next) = receiver.try_recv() else { break };
            rows += next.rows();
            batch.push(next);
        }
        let now = Instant::now();
        gather.note(rows, now.saturating_duration_since(last));
        last = now;
        write_batch(&mut session, std::mem::take(&mut batch), tally);
        folder.note(rows, &mut session.conn);
    }
    drop(folder);
    if let Err(error) = session
        .conn
        .batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")
    {
        log::warn!(
            "the database's log could not be folded in at the end, the next start will do it: {error}"
        );
    }
}

fn write_batch(session: &mut Session, mut batch: Vec<Box<dyn Job>>, tally: &Tally) {
    let began = Instant::now();
    let outcome = transaction(session, &mut batch);
    tally.note(outcome.is_ok(), batch.len(), began.elapsed());
    match outcome {
        Ok(()) => batch.into_iter().for_each(|job| job.answer(None)),
        Err(error) if batch.len() == 1 => {
            log::error!("a database transaction failed: {error}");
            if error.is_transient() || matches!(error, DbError::Corrupt(_)) {
                tally.failures.fetch_add(1, Ordering::AcqRel);
            }
            batch
                .into_iter()
                .for_each(|job| job.answer(Some(repeated(&error))));
        }
        Err(error) => {
            log::warn!(
                "a database transaction of {} commands failed, trying them one by one: {error}",
                batch.len()
            );
            for job in batch {
                write_batch(session, vec![job], tally);
            }
        }
    }
}

fn transaction(session: &mut Session, batch: &mut [Box<dyn Job>]) -> DbResult<()> {
    let outcome = session
        .begin()
        .and_then(|()| batch.iter_mut().try_for_each(|job| job.work(session)))
        .and_then(|()| session.commit());
    if outcome.is_err() {
        session.abandon()?;
    }
    outcome
}

/// The same error once more: errors are not `Clone`, because some carry what only one caller may have.
fn repeated(error: &DbError) -> DbError {
    match error {
        DbError::Unavailable(text) => DbError::Unavailable(text.clone()),
        DbError::Full => DbError::Full,
        DbError::Corrupt(text) => DbError::Corrupt(text.clone()),
        other => DbError::Internal(other.to_string()),
    }
}
