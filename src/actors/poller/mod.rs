//! Poller: asks one store's shop what changed, on its schedule, and watches whether it answers.
//!
//! The actor is a shell with a timer around [`Desk::turn`]: a turn looks at what others ask for ([`door`]), polls the collections that
//! are due, does a piece of a backfill, and says when it wants the next turn. Turns of a store follow one another, so one shop never
//! has two polls at a time. Everything that must survive is in the database, written page by page ([`crate::db::Backend::poll_commit`]):
//! a poller that is lost, or a process that is killed, is followed by one that goes on from the last page.
//!
//! `entry.rs` says how a shop is entered, `desk.rs` does the work, `beat.rs` decides what counts as down, `door.rs` takes wishes.
//!
//! Read next: `desk.rs`.

mod beat;
mod desk;
mod door;
mod entry;

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use self::desk::{Desk, Next};
use super::{
    bell::{Ringing, Wake},
    shared::Shared,
    vitals::{Guard, Ping},
};
use crate::domain::{key::StoreKey, registry::Registry};

pub use door::{Hint, PollDoor};
pub use entry::Entry;

/// Looks at least so often, for wake-ups that were lost.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Which stores are polled, in order of key.
pub fn polled(registry: &Registry) -> impl Iterator<Item = StoreKey> + '_ {
    registry
        .stores
        .iter()
        .filter(|(_, store)| Entry::of(&store.store.value).is_some())
        .map(|(key, _)| *key)
}

/// See the module.
pub struct Poller {
    shared: Arc<Shared>,
    guard: Guard,
    ringing: Ringing,
    /// Away while a turn is under way.
    desk: Option<Desk>,
    rung: bool,
    timer: Option<SpawnHandle>,
}

impl Poller {
    /// A poller that is not started yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, store: StoreKey, guard: Guard, ringing: Ringing) -> Self {
        Self {
            desk: Some(Desk::new(Arc::clone(&shared), store)),
            shared,
            guard,
            ringing,
            rung: false,
            timer: None,
        }
    }

    fn run(&mut self, ctx: &mut Context<Self>) {
        if self.guard.is_superseded() {
            ctx.stop();
            return;
        }
        if self.shared.is_stopping() {
            return;
        }
        let Some(mut desk) = self.desk.take() else {
            self.rung = true;
            return;
        };
        self.rung = false;
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let turn = async move {
            let next = desk.turn().await;
            (desk, next)
        };
        ctx.spawn(turn.into_actor(self).map(|(desk, next), act, ctx| {
            act.desk = Some(desk);
            match next {
                Next::Retire => {
                    act.guard.retire();
                    ctx.stop();
                }
                Next::In(pause) => {
                    let pause = if act.rung { Duration::ZERO } else { pause };
                    act.timer = Some(ctx.run_later(pause.min(LOOK_AGAIN), Self::run));
                }
            }
        }));
    }
}

impl Actor for Poller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.guard.up();
        self.shared.changed.notify_waiters();
        self.run(ctx);
    }
}

impl Handler<Wake> for Poller {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.ringing.answer();
        self.run(ctx);
    }
}

impl Handler<Ping> for Poller {
    type Result = ();

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) {
        self.guard.hear(ping);
    }
}
