//! What every call needs: the pool, how ids are made, and the runtime that connections live on.

use std::{sync::Arc, thread};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    PostgresOptions,
    conn::{Conn, Tally},
    hint::Hints,
    pool::{Lent, Pool},
    tx::{Kinds, Work, transact},
};
use crate::{
    db::{DbError, DbResult},
    domain::id::IdSeal,
};

/// The inside of a backend, shared by the calls in flight.
pub(super) struct Core {
    pub(super) pool: Arc<Pool>,
    pub(super) options: PostgresOptions,
    pub(super) seal: IdSeal,
    pub(super) kinds: Kinds,
    pub(super) hints: Arc<Hints>,
    pub(super) tally: Arc<Tally>,
    /// Where mending lanes goes on.
    pub(super) lane_looked_at: std::sync::Mutex<(i64, i64)>,
    /// The shard from which the next look into the incoming queue goes on.
    pub(super) looks_from: std::sync::atomic::AtomicU8,
}

/// A thread with an event loop of its own; dropping it ends what runs there.
pub(super) struct Ground {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ground {
    /// Starts the thread.
    pub(super) fn start() -> DbResult<Self> {
        let no_thread = |error: std::io::Error| {
            DbError::Unavailable(format!("no thread for the database's connections: {error}"))
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_thread)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("db-postgres".into())
            .spawn(move || {
                // Ends when asked to, and when nobody is left who could ask.
                let _ = runtime.block_on(stopped);
            })
            .map_err(no_thread)?;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Runs a task there and waits for its outcome; a caller that stops waiting does not stop the task.
    pub(super) async fn on<T: Send + 'static>(
        &self,
        task: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> DbResult<T> {
        match self.handle.spawn(task).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => {
                Err(DbError::Internal("a database command panicked".into()))
            }
            Err(_) => Err(DbError::Unavailable("the database was closed".into())),
        }
    }

    /// Runs a task there and blocks the calling thread until it is done.
    pub(super) fn block<T: Send + 'static>(
        &self,
        task: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> DbResult<T> {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.handle
            .spawn(async move { drop(sender.send(task.await)) });
        receiver
            .recv()
            .unwrap_or_else(|_| Err(DbError::Internal("the database could not be opened".into())))
    }

    /// Runs a task there, for its effects.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self
            .thread
            .take()
            .filter(|thread| thread.thread().id() != thread::current().id())
        {
            // Its panic, if it had one, was printed by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Core {
    /// Does work in a transaction.
    pub(super) async fn write<T>(self: Arc<Self>, work: impl Work<T>) -> DbResult<T> {
        transact(&self, work).await
    }

    /// Borrows a connection for statements that only read, each of its own moment.
    pub(super) async fn read(&self) -> DbResult<Lent> {
        self.pool.lend().await
    }

    /// Opens a reading transaction, so that all that follows is of one moment. End it with [`Core::close`].
    pub(super) async fn snapshot(&self) -> DbResult<Lent> {
        let lent = self.pool.lend().await?;
        lent.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        Ok(lent)
    }

    /// Ends a reading transaction and gives its connection back.
    pub(super) async fn close(lent: Lent) -> DbResult<()> {
        lent.batch("COMMIT").await?;
        lent.done();
        Ok(())
    }
}

/// A connection on its own, for opening the database.
pub(super) async fn single(way: &super::connect::Way, tally: &Arc<Tally>) -> DbResult<Conn> {
    Ok(Conn::new(way.connect().await?, Arc::clone(tally)))
}
