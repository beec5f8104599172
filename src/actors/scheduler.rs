//! Scheduler: pushes what schedules say, for all stores of the node.
//!
//! A tick is noted in the same transaction as the message it pushes, so no crash loses or repeats one. What was missed while the
//! program was down is made up for once ([`Schedule::due`](crate::domain::schedule::Schedule::due)). Each store's schedules have a lease
//! of their own: this actor serves the stores whose lease its node has, which on one node are all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;

use super::{
    bell::{Ringing, Wake},
    shared::Shared,
    turns::Turns,
    vitals::{Guard, Office, Ping},
};
use crate::{
    db::{DbResult, OwnerKind, PushedTick, Tick},
    domain::{
        key::{SchedulerKey, StoreKey},
        registry::{Registry, StoreSnapshot},
        schedule::Due,
        time::Micros,
    },
};

/// Most ticks of a store in one transaction.
const MOST_TICKS: usize = 500;

/// Which stores have schedules, in order of key.
pub fn scheduled(registry: &Registry) -> impl Iterator<Item = StoreKey> + '_ {
    registry
        .stores
        .iter()
        .filter(|(_, store)| !store.schedulers.is_empty())
        .map(|(key, _)| *key)
}

/// What an actor of this office remembers between two looks.
#[derive(Default)]
struct Known {
    epochs: HashMap<StoreKey, i64>,
    /// Newest ticks; `None` before they were read.
    last: Option<HashMap<SchedulerKey, Micros>>,
}

/// See the module.
pub struct Scheduler {
    shared: Arc<Shared>,
    guard: Guard,
    ringing: Ringing,
    known: Known,
    turns: Turns,
}

impl Scheduler {
    /// A scheduler that is not started yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, guard: Guard, ringing: Ringing) -> Self {
        Self {
            shared,
            guard,
            ringing,
            known: Known::default(),
            turns: Turns::new(),
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.guard.is_superseded() || self.shared.is_stopping() {
            return;
        }
        if !self.turns.begin(ctx) {
            return;
        }
        let work = run_once(Arc::clone(&self.shared), std::mem::take(&mut self.known));
        ctx.spawn(work.into_actor(self).map(|(known, ran), act, ctx| {
            act.known = known;
            if let Err(error) = &ran {
                log::error!("schedules wait: {error}");
            }
            match act.turns.end(&ran, act.shared.now()) {
                None => act.look(ctx),
                Some(pause) => act.turns.wait(ctx.run_later(pause, Self::look)),
            }
        }));
    }
}

/// Pushes what is due; gives when something will be.
async fn run_once(shared: Arc<Shared>, mut known: Known) -> (Known, DbResult<Option<Micros>>) {
    let _piece = shared.work.begin();
    let ran = push_due(&shared, &mut known).await;
    (known, ran)
}

async fn push_due(shared: &Shared, known: &mut Known) -> DbResult<Option<Micros>> {
    let owns = |store: StoreKey| shared.leases.owns(OwnerKind::Scheduler, store.0);
    let held = known.epochs.len();
    known.epochs.retain(|store, _| owns(*store));
    if known.epochs.len() < held {
        // Another node may push from now on: what was read is out of date when they come back.
        known.last = None;
    }
    let last = match &mut known.last {
        Some(last) => last,
        last => {
            let runs = shared.backend.schedule_runs().await?;
            last.insert(runs.iter().map(|run| (run.scheduler, run.tick)).collect())
        }
    };
    let (registry, now) = (shared.registry.current(), shared.now());
    let mut next: Option<Micros> = None;
    let mut due: BTreeMap<StoreKey, Vec<Tick>> = BTreeMap::new();
    let own = |store: &&Arc<StoreSnapshot>| owns(store.store.key);
    for store in registry.stores.values().filter(own) {
        for (key, entry) in &store.schedulers {
            let scheduler = &entry.value;
            if !scheduler.enabled {
                continue;
            }
            let store = store.store.key;
            let coming = match scheduler
                .schedule
                .due(scheduler.anchor, last.get(key).copied(), now)
            {
                Due::NotYet { next } => next,
                Due::Now { tick, missed, next } => {
                    let ticks = due.entry(store).or_default();
                    if ticks.len() < MOST_TICKS {
                        ticks.push(Tick {
                            scheduler: *key,
                            tick,
                            missed,
                            message: scheduler.message(store),
                        });
                        next
                    } else {
                        Some(now)
                    }
                }
            };
            next = match (next, coming) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
    }
    let mut pushed_any = false;
    for (store, ticks) in due {
        let epoch = match known.epochs.get(&store) {
            Some(epoch) => *epoch,
            None => {
                let epoch = shared
                    .backend
                    .owner_claim(OwnerKind::Scheduler, store.0)
                    .await?;
                known.epochs.insert(store, epoch);
                epoch
            }
        };
        let pushed = shared
            .backend
            .schedule_push(store, epoch, ticks.clone(), now)
            .await?;
        for (tick, pushed) in ticks.iter().zip(pushed) {
            match pushed {
                PushedTick::Pushed => pushed_any = true,
                PushedTick::Known => {}
                PushedTick::Fenced => {
                    // Somebody else has them: what was read is out of date.
                    known.epochs.remove(&store);
                    known.last = None;
                    return Ok(Some(now.plus(Duration::from_secs(1))));
                }
            }
            if let Some(last) = &mut known.last {
                let newest = last.entry(tick.scheduler).or_insert(tick.tick);
                *newest = (*newest).max(tick.tick);
            }
        }
    }
    if pushed_any {
        shared.directory.ring(Office::Router);
    }
    Ok(next)
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.guard.up();
        self.shared.changed.notify_waiters();
        self.look(ctx);
    }
}

impl Handler<Wake> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.ringing.answer();
        self.look(ctx);
    }
}

impl Handler<Ping> for Scheduler {
    type Result = ();

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) {
        self.guard.hear(ping);
    }
}
