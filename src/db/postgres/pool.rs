//! A few connections, lent one transaction at a time.
//!
//! Connections live on the backend's own runtime, because their tasks must outlive whoever asks: the actors' event loops
//! come and go, and a caller that stops waiting must not leave a transaction half sent.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    conn::{Conn, Tally},
    connect::Way,
};
use crate::db::{DbError, DbResult};

/// How long after a failed attempt to connect everyone is told so at once, doubled each time: a server that comes back
/// is not met by a crowd, and callers get their 503 without waiting.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MOST: Duration = Duration::from_secs(2);

/// The pool.
pub(super) struct Pool {
    way: Way,
    free: Mutex<Vec<Conn>>,
    lent: Arc<Semaphore>,
    away: Mutex<Away>,
    wait: Duration,
    tally: Arc<Tally>,
}

/// What is known of a server that does not answer.
#[derive(Default)]
struct Away {
    until: Option<Instant>,
    pause: Duration,
}

/// A borrowed connection. It goes back with [`Lent::done`]; dropped without, it is closed, and the server undoes what was
/// open on it.
pub(super) struct Lent {
    conn: Option<Conn>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.conn
            .as_ref()
            .expect("taken only by `done`, which consumes the loan")
    }
}

impl Lent {
    /// Gives the connection back; there must be no transaction open on it.
    pub(super) fn done(mut self) {
        if let Some(conn) = self.conn.take().filter(|conn| !conn.client.is_closed()) {
            self.pool
                .free
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(conn);
        }
    }
}

impl Pool {
    /// A pool of at most `size` connections, made when needed; borrowers wait for one at most `wait`.
    pub(super) fn new(way: Way, size: usize, wait: Duration, tally: Arc<Tally>) -> Self {
        Self {
            way,
            free: Mutex::default(),
            lent: Arc::new(Semaphore::new(size.max(1))),
            away: Mutex::default(),
            wait,
            tally,
        }
    }

    /// Borrows a connection.
    ///
    /// # Errors
    /// [`DbError::Unavailable`] when the server does not answer or all connections stay busy for too long.
    pub(super) async fn lend(self: &Arc<Self>) -> DbResult<Lent> {
        let busy = |_| DbError::Unavailable("all connections to the database are busy".into());
        let permit = tokio::time::timeout(self.wait, Arc::clone(&self.lent).acquire_owned())
            .await
            .map_err(busy)?;
        let permit = permit.map_err(|_| DbError::Unavailable("the database was closed".into()))?;
        loop {
            let free = self
                .free
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(conn) = free else { break };
            if !conn.client.is_closed() {
                return Ok(Lent {
                    conn: Some(conn),
                    pool: Arc::clone(self),
                    _permit: permit,
                });
            }
        }
        self.ask_away()?;
        match self.way.connect().await {
            Ok(client) => {
                *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Away::default();
                let conn = Conn::new(client, Arc::clone(&self.tally));
                Ok(Lent {
                    conn: Some(conn),
                    pool: Arc::clone(self),
                    _permit: permit,
                })
            }
            Err(error) => {
                self.note_away();
                Err(error)
            }
        }
    }

    fn ask_away(&self) -> DbResult<()> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        match away.until {
            Some(until) if Instant::now() < until => Err(DbError::Unavailable(
                "it did not answer a moment ago".into(),
            )),
            _ => Ok(()),
        }
    }

    fn note_away(&self) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.pause = (away.pause * 2).clamp(BACKOFF_FIRST, BACKOFF_MOST);
        away.until = Some(Instant::now() + away.pause);
    }
}
