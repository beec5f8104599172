//! Settler: writes finished attempts in batches.
//!
//! Like Intake it gathers while the previous commit runs. Finished attempts are facts about the outside world (an endpoint was posted to), so
//! they are not given up while the process lives: when the database is away they wait here, tried again with growing pauses, and
//! dispatchers begin no new attempts meanwhile ([`Shared::database_away`]). So what waits here is bounded by
//! what was in flight when the database went away.
//!
//! A batch that the database refuses for another reason goes one by one, so that one settlement that cannot be written
//! holds up no other; its dispatcher is told and sets that delivery aside for a while.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use actix::prelude::*;

use super::{
    backoff::Backoff,
    dispatcher::{Note, Reply},
    shared::{Piece, Shared},
    tray::{Collect, Tray},
    vitals::{Guard, Office, Ping},
};
use crate::{
    db::{DbError, SettleOutcome, Settled},
    domain::{
        delivery::{Disposition, Settlement},
        time::Micros,
    },
};

/// Entries of the mailbox: a heartbeat, and that something lies on the tray.
const MAILBOX: usize = 16;

/// Most settlements in one transaction.
const BATCH: usize = 512;

/// A finished attempt to write.
#[derive(Debug)]
pub struct Settle {
    /// What to write.
    pub settlement: Settlement,
    /// Whose it is.
    pub sender: Sender,
}

impl Settle {
    fn apart(self) -> (Settlement, Sender) {
        (self.settlement, self.sender)
    }
}

/// Who is told of an outcome.
#[derive(Debug)]
pub struct Sender {
    /// Where the outcome goes.
    pub reply: Reply,
    /// A stop waits for it.
    pub piece: Piece,
    /// When the message was accepted: where its latency begins.
    pub accepted_at: Micros,
}

/// See the module.
pub struct Settler {
    shared: Arc<Shared>,
    guard: Guard,
    tray: Tray<Settle>,
    pending: VecDeque<Settle>,
    committing: bool,
    backoff: Backoff,
}

impl Settler {
    /// A settler that is not started yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, guard: Guard, tray: Tray<Settle>) -> Self {
        Self {
            shared,
            guard,
            tray,
            pending: VecDeque::new(),
            committing: false,
            backoff: Backoff::for_database(),
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
        self.committing = true;
        self.tray.hush();
        let batch: Vec<Settle> = self
            .pending
            .drain(..self.pending.len().min(BATCH))
            .collect();
        let work = write(Arc::clone(&self.shared), batch);
        ctx.spawn(work.into_actor(self).map(|unwritten, act, ctx| {
            act.committing = false;
            if unwritten.is_empty() {
                act.backoff.succeed();
                act.shared.database_away.store(false, Ordering::SeqCst);
                act.collect(ctx);
                return;
            }
            act.shared.database_away.store(true, Ordering::SeqCst);
            for settle in unwritten.into_iter().rev() {
                act.pending.push_front(settle);
            }
            let pause = act.backoff.fail();
            act.committing = true;
            ctx.run_later(pause, |act, ctx| {
                act.committing = false;
                act.collect(ctx);
            });
        }));
    }
}

/// Writes a batch and answers its senders. Returns what could not be written because the database is away.
async fn write(shared: Arc<Shared>, batch: Vec<Settle>) -> Vec<Settle> {
    let (settlements, senders): (Vec<Settlement>, Vec<Sender>) =
        batch.into_iter().map(Settle::apart).unzip();
    let settlements = Arc::new(settlements);
    let written = shared
        .backend
        .accepted_settle(Arc::clone(&settlements), shared.now())
        .await;
    match written {
        Ok(outcomes) => {
            finish(&shared, &settlements, senders, outcomes).await;
            Vec::new()
        }
        Err(error) if error.is_transient() => {
            log::error!(
                "{} finished attempts wait to be written: {error}",
                senders.len()
            );
            together(settlements, senders)
        }
        Err(error) => {
            log::error!(
                "{} settlements were refused together and go one by one: {error}",
                senders.len()
            );
            write_one_by_one(shared, together(settlements, senders)).await
        }
    }
}

/// Settlements that were not written, with their senders.
fn together(settlements: Arc<Vec<Settlement>>, senders: Vec<Sender>) -> Vec<Settle> {
    // The database may still hold the batch when it answers, and lets go of it right after.
    let settlements = Arc::try_unwrap(settlements).unwrap_or_else(|shared| (*shared).clone());
    settlements
        .into_iter()
        .zip(senders)
        .map(|(settlement, sender)| Settle { settlement, sender })
        .collect()
}

async fn write_one_by_one(shared: Arc<Shared>, batch: Vec<Settle>) -> Vec<Settle> {
    let mut rest = VecDeque::from(batch);
    while let Some(settle) = rest.pop_front() {
        let (settlement, sender) = settle.apart();
        let alone = Arc::new(vec![settlement]);
        match shared
            .backend
            .accepted_settle(Arc::clone(&alone), shared.now())
            .await
        {
            Ok(outcomes) => finish(&shared, &alone, vec![sender], outcomes).await,
            Err(error) if error.is_transient() => {
                let mut unwritten = together(alone, vec![sender]);
                unwritten.extend(rest);
                return unwritten;
            }
            Err(error) => {
                for settle in together(alone, vec![sender]) {
                    refuse(settle, &error);
                }
            }
        }
    }
    Vec::new()
}

fn refuse(settle: Settle, error: &DbError) {
    let delivery = settle.settlement.key.0;
    log::error!(store = settle.settlement.store.0, delivery; "an attempt's outcome cannot be written: {error}");
    settle.sender.reply.answer(Note::Refused);
}

async fn finish(
    shared: &Shared,
    settlements: &[Settlement],
    senders: Vec<Sender>,
    outcomes: Vec<Settled>,
) {
    let new_messages = outcomes.iter().any(|settled| settled.messages > 0);
    let registry_moved = outcomes.iter().any(|settled| settled.registry_moved);
    for ((settlement, sender), settled) in settlements.iter().zip(senders).zip(outcomes) {
        // A dispatcher that was replaced meanwhile reads the truth from the database.
        let Sender {
            reply,
            piece,
            accepted_at,
        } = sender;
        let is_success = matches!(settlement.disposition, Disposition::Completed { .. });
        if is_success && settled.outcome == SettleOutcome::Written {
            shared.metrics.delivered(shared.now().since(accepted_at));
        }
        shared.metrics.settled(settlement, &settled);
        log_outcome(settlement, &settled);
        reply.answer(Note::Settled(settled));
        drop(piece);
    }
    if new_messages {
        shared.directory.ring(Office::Router);
    }
    if registry_moved && let Err(error) = shared.refresh_registry().await {
        log::warn!("saved parameters are read a little later: {error}");
    }
}

/// A failure is logged once, here, where its outcome is on disk: what needs a person as a warning, what is retried for those who look closely.
fn log_outcome(settlement: &Settlement, settled: &Settled) {
    if settled.outcome != SettleOutcome::Written {
        return;
    }
    let (store, delivery) = (settlement.store.0, settlement.key.0);
    let attempt = settlement
        .attempt
        .as_ref()
        .map_or(0, |attempt| attempt.number);
    match &settlement.disposition {
        Disposition::Parked { error } => {
            log::warn!(store, delivery, attempt; "a delivery is parked and waits for a person: {error}");
        }
        Disposition::Failing { error, .. } => {
            log::debug!(store, delivery, attempt; "a delivery failed and is tried again: {error}");
        }
        _ => {}
    }
}

impl Actor for Settler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.shared.database_away.store(false, Ordering::SeqCst);
        self.guard.up();
        self.shared.changed.notify_waiters();
        self.collect(ctx);
    }
}

impl Handler<Collect> for Settler {
    type Result = ();

    fn handle(&mut self, _: Collect, ctx: &mut Self::Context) {
        self.collect(ctx);
    }
}

impl Handler<Ping> for Settler {
    type Result = ();

    fn handle(&mut self, ping: Ping, ctx: &mut Self::Context) {
        self.guard.hear(ping);
        self.collect(ctx);
    }
}
