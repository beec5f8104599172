//! Intake: what is pushed becomes durable.
//!
//! It gathers while the previous commit runs: the first message of a quiet hub is written at once, and under load every commit takes
//! along all that came during the one before. Each sender is answered after the commit of its messages.
//!
//! A message that nothing of its store waits before is routed in the very transaction that accepts it, by the function that the router
//! would use: one commit and one look into the database less. Everything else goes through the incoming queue.
//!
//! The bounds count messages and the bytes of their payloads, not mailbox entries (one push may carry a thousand), and cover tray and batch together: a
//! [`Reservation`] is made *before* anything is sent, so a full hub says so at once and nobody queues to hear it.
//! When the database is away, senders are told so and nothing is kept: whoever pushes has it still, and may try again.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{
    hub::AcceptError,
    router::decide,
    shared::{HeldKeys, Piece, Shared},
    tray::{Collect, Tray},
    vitals::{Guard, Office, Ping},
};
use crate::db::{Acceptance, Accepted, Admitted, AtOnce, DbError, DbResult};

/// Entries of the mailbox: a heartbeat, and that something lies on the tray. What lies there is bounded by [`Load`].
const MAILBOX: usize = 16;

/// Deliveries that one commit makes of what it accepts, about, before it leaves the rest to the router.
const MOST_DELIVERIES: u64 = 4096;

/// How much is between the door and the disk.
#[derive(Debug)]
pub struct Load {
    messages: Gauge,
    bytes: Gauge,
}

/// One bounded count.
#[derive(Debug)]
struct Gauge {
    taken: AtomicUsize,
    max: usize,
}

impl Gauge {
    fn new(max: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            max,
        }
    }

    /// Takes so much, unless that is too much. What is larger than the bound by itself is taken when nothing else is.
    fn take(&self, amount: usize) -> Option<()> {
        let fits = |taken: usize| {
            let after = taken.checked_add(amount)?;
            (taken == 0 || after <= self.max).then_some(after)
        };
        let order = Ordering::SeqCst;
        self.taken.fetch_update(order, order, fits).ok().map(|_| ())
    }

    fn give_back(&self, amount: usize) {
        self.taken.fetch_sub(amount, Ordering::SeqCst);
    }
}

impl Load {
    /// At most `max_messages`, and at most `max_bytes` of payloads.
    #[must_use]
    pub fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            messages: Gauge::new(max_messages),
            bytes: Gauge::new(max_bytes),
        }
    }

    /// Messages waiting now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.messages.taken.load(Ordering::SeqCst)
    }

    /// Room for `messages` of `bytes` together, or `None` when the hub is full. A batch larger than a bound is taken when nothing else waits.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, messages: usize, bytes: usize) -> Option<Reservation> {
        self.messages.take(messages)?;
        if self.bytes.take(bytes).is_none() {
            self.messages.give_back(messages);
            return None;
        }
        Some(Reservation {
            load: Arc::clone(self),
            messages,
            bytes,
        })
    }
}

/// Room taken until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    load: Arc<Load>,
    messages: usize,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.load.messages.give_back(self.messages);
        self.load.bytes.give_back(self.bytes);
    }
}

/// Messages to accept, with the room they take and where the answer goes.
#[derive(Debug)]
pub struct Submit {
    /// The messages.
    pub batch: Vec<Acceptance>,
    /// Their room; released after the commit, even when the sender has gone away.
    pub room: Reservation,
    /// Their idempotency keys, in work until the commit.
    pub keys: HeldKeys,
    /// A stop waits for it.
    pub piece: Piece,
    /// Where the answer goes; dropping it says that nobody knows.
    pub answer: oneshot::Sender<Result<Vec<Accepted>, AcceptError>>,
}

/// See the module.
pub struct Intake {
    shared: Arc<Shared>,
    guard: Guard,
    tray: Tray<Submit>,
    pending: VecDeque<Submit>,
    committing: bool,
}

impl Intake {
    /// An intake that is not started yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, guard: Guard, tray: Tray<Submit>) -> Self {
        Self {
            shared,
            guard,
            tray,
            pending: VecDeque::new(),
            committing: false,
        }
    }

    /// Takes up what lies on the tray, unless a commit runs: its end leads here.
    fn collect(&mut self, ctx: &mut Context<Self>) {
        if self.committing {
            return;
        }
        self.pending.extend(self.tray.take());
        self.commit(ctx);
    }

    fn commit(&mut self, ctx: &mut Context<Self>) {
        if self.committing || self.pending.is_empty() {
            return;
        }
        let mut batch = Vec::new();
        let mut answers = Vec::new();
        while let Some(submit) = self.pending.front() {
            if !batch.is_empty()
                && batch.len() + submit.batch.len() > self.shared.config.intake.batch_max
            {
                break;
            }
            let Some(submit) = self.pending.pop_front() else {
                break;
            };
            answers.push(Waiting {
                count: submit.batch.len(),
                answer: submit.answer,
                held: (submit.room, submit.keys),
                piece: submit.piece,
            });
            batch.extend(submit.batch);
        }
        self.committing = true;
        self.tray.hush();
        let admit = admit(Arc::clone(&self.shared), batch);
        ctx.spawn(admit.into_actor(self).map(move |mut outcome, act, ctx| {
            if let Ok(admitted) = &mut outcome {
                act.wake(admitted);
            }
            answer_all(answers, outcome.map(|admitted| admitted.answers));
            act.committing = false;
            act.collect(ctx);
        }));
    }

    /// Wakes whoever has something to do now.
    fn wake(&self, admitted: &mut Admitted) {
        let (shared, directory) = (&self.shared, &self.shared.directory);
        if admitted.routed > 0 {
            shared
                .metrics
                .routed(admitted.routed, admitted.deliveries, admitted.derived);
        }
        directory.hand_over(&admitted.endpoints, std::mem::take(&mut admitted.fresh));
        if admitted.left > 0 {
            directory.ring(Office::Router);
        }
    }
}

/// Accepts messages, and routes them in the same transaction where nothing waits before them. What the database refuses to route is
/// accepted all the same, and the router's to deal with.
async fn admit(shared: Arc<Shared>, batch: Vec<Acceptance>) -> DbResult<Admitted> {
    let (batch, now) = (Arc::new(batch), shared.now());
    let registry = shared.registry.current();
    let consumers = Arc::clone(&shared.consumers);
    let chunk = shared.config.router.fanout_chunk;
    let at_once = AtOnce {
        version: registry.version,
        decide: Box::new(move |incoming| decide(incoming, &registry, &consumers, chunk)),
        most_deliveries: MOST_DELIVERIES,
    };
    let admitted = shared
        .backend
        .incoming_admit(Arc::clone(&batch), at_once, now)
        .await;
    match admitted {
        Err(error) if !error.is_transient() => {
            log::error!(
                "{} pushes could not be routed at once: {error}",
                batch.len()
            );
            let answers = shared.backend.incoming_insert(batch.to_vec(), now).await?;
            Ok(Admitted {
                left: answers.len(),
                answers,
                ..Admitted::default()
            })
        }
        admitted => admitted,
    }
}

/// A sender whose messages are being written.
struct Waiting {
    count: usize,
    answer: oneshot::Sender<Result<Vec<Accepted>, AcceptError>>,
    /// Given back before the answer is out: whoever has it may use the same key again.
    held: (Reservation, HeldKeys),
    /// Given back after it: a stop waits for the answer.
    piece: Piece,
}

impl Waiting {
    fn answer(self, answer: Result<Vec<Accepted>, AcceptError>) {
        drop(self.held);
        // A sender that has gone away will push again; what was written is on disk all the same.
        self.answer.send(answer).ok();
        drop(self.piece);
    }
}

fn answer_all(waiting: Vec<Waiting>, outcome: DbResult<Vec<Accepted>>) {
    match outcome {
        Ok(accepted) => {
            let mut accepted = accepted.into_iter();
            for one in waiting {
                let own: Vec<Accepted> = accepted.by_ref().take(one.count).collect();
                one.answer(Ok(own));
            }
        }
        Err(error) => {
            log::error!("{} pushes were not taken: {error}", waiting.len());
            for one in waiting {
                one.answer(Err(AcceptError::Db(again(&error))));
            }
        }
    }
}

/// The same error for another sender.
fn again(error: &DbError) -> DbError {
    match error {
        DbError::Full => DbError::Full,
        DbError::Missing(what) => DbError::Missing(what),
        DbError::Unavailable(reason) => DbError::Unavailable(reason.clone()),
        other if other.is_transient() => DbError::Unavailable(other.to_string()),
        other => DbError::Internal(other.to_string()),
    }
}

impl Actor for Intake {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.guard.up();
        self.shared.changed.notify_waiters();
        self.collect(ctx);
    }
}

/// Senders learn of its end at once, and may try again.
impl Drop for Intake {
    fn drop(&mut self) {
        self.tray.close();
    }
}

impl Handler<Collect> for Intake {
    type Result = ();

    fn handle(&mut self, _: Collect, ctx: &mut Self::Context) {
        self.collect(ctx);
    }
}

impl Handler<Ping> for Intake {
    type Result = ();

    fn handle(&mut self, ping: Ping, ctx: &mut Self::Context) {
        self.guard.hear(ping);
        self.collect(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_load_says_so_until_room_is_given_back() {
        let load = Arc::new(Load::new(3, 1000));
        let two = load.reserve(2, 2).expect("room for two");
        assert!(load.reserve(2, 2).is_none());
        let one = load.reserve(1, 1).expect("room for one more");
        drop(two);
        assert_eq!(load.waiting(), 1);
        drop(one);
        assert!(load.reserve(3, 3).is_some());
    }

    #[test]
    fn a_few_large_messages_fill_it_too() {
        let load = Arc::new(Load::new(100, 1000));
        let large = load.reserve(1, 900).expect("room for it");
        assert!(load.reserve(1, 200).is_none());
        assert_eq!(load.waiting(), 1, "what was refused takes no room");
        assert!(load.reserve(1, 100).is_some());
        drop(large);
        assert!(load.reserve(1, 200).is_some());
    }

    #[test]
    fn a_batch_larger_than_the_bound_is_taken_when_nothing_waits() {
        let load = Arc::new(Load::new(3, 1000));
        let many = load.reserve(10, 5000).expect("nothing waits");
        assert!(load.reserve(1, 1).is_none());
        drop(many);
    }
}
