//! A few connections that only read, each on a thread of its own, behind one bounded channel.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use diesel::{connection::SimpleConnection, sqlite::SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::fault::fault;
use crate::db::{DbError, DbResult};

/// Questions that may wait; more callers than this wait for room.
const QUESTIONS_WAITING: usize = 256;

type Task = Box<dyn FnOnce(&mut SqliteConnection) + Send>;

/// The readers' threads and the way to them. Dropping it lets them finish what waits, then close.
pub(super) struct Readers {
    sender: Option<mpsc::Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts a thread for each connection.
    pub(super) fn start(connections: Vec<SqliteConnection>) -> DbResult<Self> {
        let (sender, receiver) = mpsc::channel::<Task>(QUESTIONS_WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::new();
        for (number, conn) in connections.into_iter().enumerate() {
            let receiver = Arc::clone(&receiver);
            let thread = thread::Builder::new()
                .name(format!("db-reader-{number}"))
                .spawn(move || run(conn, &receiver))
                .map_err(|error| {
                    DbError::Unavailable(format!("no thread for a reader: {error}"))
                })?;
            threads.push(thread);
        }
        Ok(Self {
            sender: Some(sender),
            threads,
        })
    }

    /// Asks `question` in a transaction, so that all it reads is of one moment: that of its first statement.
    pub(super) async fn read<T, F>(&self, question: F) -> DbResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> DbResult<T> + Send + 'static,
    {
        let ended = || DbError::Unavailable("the readers of the database have ended".into());
        let (reply, answer) = oneshot::channel();
        let task: Task = Box::new(move |conn| {
            let outcome = catch_unwind(AssertUnwindSafe(|| snapshot(conn, question)))
                .unwrap_or_else(|_| Err(DbError::Internal("a database question panicked".into())));
            if outcome.is_err() {
                // Fails when the transaction is gone already, which is what is wanted.
                let _ = conn.batch_execute("ROLLBACK");
            }
            // A caller that stopped waiting needs no answer.
            let _ = reply.send(outcome);
        });
        self.sender
            .as_ref()
            .ok_or_else(ended)?
            .send(task)
            .await
            .map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            // A question's panic is caught inside.
            let _ = thread.join();
        }
    }
}

fn snapshot<T>(
    conn: &mut SqliteConnection,
    question: impl FnOnce(&mut SqliteConnection) -> DbResult<T>,
) -> DbResult<T> {
    conn.batch_execute("BEGIN").map_err(fault)?;
    let outcome = question(conn)?;
    conn.batch_execute("COMMIT").map_err(fault)?;
    Ok(outcome)
}

fn run(mut conn: SqliteConnection, receiver: &Mutex<mpsc::Receiver<Task>>) {
    loop {
        // Whoever holds the lock waits for the next question; the others wait for the lock.
        let task = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        match task {
            Some(task) => task(&mut conn),
            None => return,
        }
    }
}
