//! Folding the log into the database's file, beside the writer.
//!
//! SQLite would do it inside whichever commit finds the log long, and everybody who waits for that commit would wait for two more fsyncs
//! and thousands of pages. So a thread with a connection of its own does it meanwhile. Under load the writer is always
//! ahead of it by some pages, and the log begins anew only when all of it is folded: once it has grown to [`LONG_PAGES`], the writer
//! folds the rest itself, which is little.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender},
    },
    thread::{self, JoinHandle},
};

use diesel::sqlite::SqliteConnection;

use super::statement::{Question, statements};
use crate::db::{DbError, DbResult};

/// Pages written to the log, about, after which it is folded.
const FOLD_PAGES: usize = 2000;
/// Pages in the log at which the writer folds what is left.
const LONG_PAGES: i64 = 8000;
/// Pages that a transaction of few rows touches, about.
const PAGES_OF_ANY: usize = 8;
/// What SQLite asks of the system for one fold: to sync the log, then the file.
const SYNCS_OF_FOLD: u64 = 2;

statements! {
    /// Folds as much as can be without making anybody wait: whether it was hindered, pages in the log, pages folded.
    Fold {} -> (i64, i64, i64) = "PRAGMA wal_checkpoint(PASSIVE)";
}

/// What folding has done.
#[derive(Debug, Default)]
pub(super) struct Folds {
    /// Pages in the log after the last fold; 0 when all of them were folded.
    left: AtomicU64,
    /// Syncs asked of the system.
    pub(super) syncs: AtomicU64,
}

impl Folds {
    fn fold(&self, conn: &mut SqliteConnection) -> DbResult<()> {
        let (_, pages, folded) = (Fold {}).row(conn)?.unwrap_or((0, 0, 0));
        let left = if folded < pages { pages } else { 0 };
        self.left
            .store(u64::try_from(left).unwrap_or(0), Ordering::Relaxed);
        self.syncs.fetch_add(SYNCS_OF_FOLD, Ordering::Relaxed);
        Ok(())
    }
}

/// The thread that folds, as the writer has it. Dropping it waits for the end of what it does.
pub(super) struct Folder {
    nudge: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    folds: Arc<Folds>,
    /// Pages written since the last nudge, about.
    pages: usize,
}

impl Folder {
    /// Starts the thread on a connection of its own.
    pub(super) fn start(mut conn: SqliteConnection, folds: Arc<Folds>) -> DbResult<Self> {
        let (nudge, nudged) = mpsc::sync_channel(1);
        let counted = Arc::clone(&folds);
        let thread = thread::Builder::new()
            .name("db-folder".into())
            .spawn(move || {
                while nudged.recv().is_ok() {
                    if let Err(error) = counted.fold(&mut conn) {
                        log::warn!("the database's log could not be folded in, the next time it will be tried again: {error}");
                    }
                }
            })
            .map_err(|error| DbError::Unavailable(format!("no thread for the database's log: {error}")))?;
        Ok(Self {
            nudge: Some(nudge),
            thread: Some(thread),
            folds,
            pages: 0,
        })
    }

    /// Notes a transaction of so many rows, and has the log folded when it is due.
    pub(super) fn note(&mut self, rows: usize, writer: &mut SqliteConnection) {
        self.pages += PAGES_OF_ANY + rows;
        if self.pages < FOLD_PAGES {
            return;
        }
        self.pages = 0;
        let left = i64::try_from(self.folds.left.load(Ordering::Relaxed)).unwrap_or(0);
        if left > LONG_PAGES
            && let Err(error) = self.folds.fold(writer)
        {
            log::warn!("the database's log could not be folded in: {error}");
        }
        // One that still has a nudge to answer needs no other.
        if let Some(nudge) = &self.nudge {
            let _ = nudge.try_send(());
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.nudge = None;
        if let Some(thread) = self.thread.take() {
            // Its panic, if it had one, was printed by the panic hook.
            let _ = thread.join();
        }
    }
}
