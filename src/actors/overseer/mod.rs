//! Overseer: fills every office of the node, notices when its holder ends, and fills it again, for ever.
//!
//! Two rings. The soft one is actix's `Supervised`: an actor that stops itself starts over as the same value. It does not survive a
//! panic, cannot help a thread that is blocked and knows no pause, so the hard ring is here: each office has a factory
//! ([`topology::start`]), each actor a guard whose `Drop` reports its end (a panic included), and each is asked for a heartbeat. Where one is
//! missing for `supervision.hang_secs` the actor's thread is blocked: all that lived on it starts anew on a fresh thread,
//! with a new epoch, so that what is left on the old one is fenced off should it ever come back.
//!
//! Restarts pause longer each time an office's holders keep ending soon, up to a cap, and never give up. Each is counted, logged,
//! visible in [`super::Hub::endpoint_states`], and for an endpoint told as an event of its store.
//!
//! If the Overseer itself ends or hangs there is nobody to mend anything: the process exits with an error, and whoever started it starts
//! it again. Everything accepted is on disk.

mod arbiters;
mod topology;
mod watch;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;

use self::arbiters::{Arbiters, ThreadKey};
use super::{
    backoff::Backoff,
    directory::OverseerDoor,
    dispatcher::Retire,
    poller,
    shared::Shared,
    vitals::{End, Ended, Guard, Office, Ping, Vitals},
};
use crate::domain::{
    event::{Level, NewEvent},
    key::{EndpointKey, StoreKey},
};

pub use watch::{OnFatal, Watch, exit_process};

/// Entries of the mailbox.
const MAILBOX: usize = 1024;

/// See to it that this endpoint has a dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct Ensure(pub EndpointKey);

impl Message for Ensure {
    type Result = ();
}

/// A dispatcher has nothing to do any more.
#[derive(Debug, Clone, Copy)]
pub struct MayRetire {
    /// Its endpoint.
    pub endpoint: EndpointKey,
    /// Which dispatcher it is.
    pub generation: u64,
}

impl Message for MayRetire {
    type Result = ();
}

/// See to it that every store that is polled has a poller.
#[derive(Debug, Clone, Copy)]
pub struct LookAfterPollers;

impl Message for LookAfterPollers {
    type Result = ();
}

/// End all actors and threads of the node.
#[derive(Debug, Clone, Copy)]
pub struct StopAll;

impl Message for StopAll {
    type Result = ();
}

/// The holder of an office, as the Overseer knows it.
struct Holder {
    vitals: Arc<Vitals>,
    thread: ThreadKey,
    ping: Recipient<Ping>,
    /// The oldest heartbeat not answered yet, and when it was asked for.
    asked: Option<(u64, Instant)>,
    started_at: Instant,
    is_up: bool,
    backoff: Backoff,
}

/// See the module.
pub struct Overseer {
    shared: Arc<Shared>,
    arbiters: Arbiters,
    holders: HashMap<Office, Holder>,
    beat: u64,
    last_tick: Instant,
    watch: Watch,
}

impl Overseer {
    /// An overseer that is not started yet. `watch` ends the process when the Overseer ends or hangs.
    #[must_use]
    pub fn new(shared: Arc<Shared>, watch: Watch) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = match shared.config.dispatch.threads {
            0 => cores(),
            threads => threads,
        };
        Self {
            arbiters: Arbiters::new(threads),
            holders: HashMap::new(),
            beat: 0,
            last_tick: Instant::now(),
            shared,
            watch,
        }
    }

    fn fill(&mut self, office: Office, ctx: &mut Context<Self>) {
        if self.shared.is_stopping() || self.holders.get(&office).is_some_and(|holder| holder.is_up)
        {
            return;
        }
        let vitals = self.shared.directory.vitals(office);
        let guard = Guard::new(office, Arc::clone(&vitals), ctx.address().recipient());
        let (thread, on) = self.arbiters.place(office);
        let ping = topology::start(office, guard, &self.shared, &on);
        let supervision = &self.shared.config.supervision;
        let backoff = self.holders.get(&office).map_or_else(
            || {
                Backoff::new(
                    Duration::from_millis(supervision.backoff_base_ms),
                    Duration::from_secs(supervision.backoff_max_secs),
                )
            },
            |former| former.backoff,
        );
        let holder = Holder {
            vitals,
            thread,
            ping,
            asked: None,
            started_at: Instant::now(),
            is_up: true,
            backoff,
        };
        self.holders.insert(office, holder);
    }

    /// The office is vacant through no wish of ours: fills it again after a pause.
    fn fill_again(&mut self, office: Office, how: End, ctx: &mut Context<Self>) {
        let Some(holder) = self.holders.get_mut(&office) else {
            return;
        };
        if !holder.is_up {
            return;
        }
        holder.is_up = false;
        holder.asked = None;
        self.arbiters.leave(holder.thread);
        let longest = Duration::from_secs(self.shared.config.supervision.backoff_max_secs);
        if holder.started_at.elapsed() > longest.saturating_mul(2) {
            holder.backoff.succeed();
        }
        let pause = holder.backoff.fail();
        holder.vitals.count_restart(self.shared.now(), how);
        self.shared.changed.notify_waiters();
        let restarts = holder.vitals.restarts();
        log::error!(restarts, pause_ms = pause.as_millis() as u64; "the {office} {how}; it starts again");
        self.tell_store(office, how);
        ctx.run_later(pause, move |act, ctx| act.fill(office, ctx));
    }

    fn tell_store(&self, office: Office, how: End) {
        let (store, subject, description) = match office {
            Office::Dispatcher(endpoint) => {
                let Some((store, names)) = self.served_by(endpoint) else {
                    return;
                };
                let description = format!(
                    "The dispatcher of {names} {how}. Nothing is lost: what it was sending is sent again."
                );
                (store, "the hub restarted a dispatcher", description)
            }
            Office::Poller(store) => {
                let description = format!(
                    "The poller of this store {how}. Nothing is lost: it goes on from the last page that was written."
                );
                (store, "the hub restarted the poller", description)
            }
            _ => return,
        };
        let event = NewEvent {
            store,
            level: Level::Error,
            subject: subject.into(),
            description,
            reference: None,
            message: None,
            delivery: None,
            origin: "integrator".into(),
            attributes: None,
            announce: None,
        };
        let (backend, now) = (Arc::clone(&self.shared.backend), self.shared.now());
        actix_rt::spawn(async move {
            if let Err(error) = backend.event_insert(vec![event], now).await {
                log::warn!("a restart could not be noted as an event: {error}");
            }
        });
    }

    /// An endpoint's store, and the names of some of its mappings.
    fn served_by(&self, endpoint: EndpointKey) -> Option<(StoreKey, String)> {
        let registry = self.shared.registry.current();
        let store = registry.endpoints.get(&endpoint).copied()?;
        let snapshot = registry.stores.get(&store);
        let names: Vec<&str> = snapshot
            .into_iter()
            .flat_map(|store| {
                store
                    .mappings
                    .values()
                    .filter(|mapping| store.endpoint_of(mapping) == endpoint)
            })
            .map(|mapping| mapping.value.name.as_str())
            .take(5)
            .collect();
        Some((store, names.join(", ")))
    }

    /// Looks whether everyone answered, and asks anew.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.watch.beat();
        if self.shared.is_stopping() {
            return;
        }
        let supervision = &self.shared.config.supervision;
        let (every, hang) = (
            Duration::from_secs(supervision.heartbeat_secs),
            Duration::from_secs(supervision.hang_secs),
        );
        // After a sleep of the whole machine nobody has had the time to answer.
        if self.last_tick.elapsed() > every.saturating_mul(2) {
            self.holders
                .values_mut()
                .for_each(|holder| holder.asked = None);
        }
        self.last_tick = Instant::now();
        self.beat += 1;
        let mut blocked: Vec<ThreadKey> = Vec::new();
        for holder in self.holders.values_mut().filter(|holder| holder.is_up) {
            match holder.asked {
                Some((beat, _)) if holder.vitals.heard() >= beat => holder.asked = None,
                Some((_, since)) if since.elapsed() >= hang => {
                    if !blocked.contains(&holder.thread) {
                        blocked.push(holder.thread);
                    }
                    continue;
                }
                Some(_) => continue,
                None => {}
            }
            // A mailbox that stays full for that long counts as no answer.
            holder.ping.try_send(Ping(self.beat)).ok();
            holder.asked = Some((self.beat, Instant::now()));
        }
        for thread in blocked {
            self.leave_thread(thread, ctx);
        }
        // Should a wish for one have been lost.
        self.fill_pollers(ctx);
    }

    fn leave_thread(&mut self, thread: ThreadKey, ctx: &mut Context<Self>) {
        self.arbiters.abandon(thread);
        let on_it = |(office, holder): (&Office, &Holder)| {
            (holder.is_up && holder.thread == thread).then_some(*office)
        };
        let offices: Vec<Office> = self.holders.iter().filter_map(on_it).collect();
        log::error!(
            "a thread is blocked; {} actors on it are replaced",
            offices.len()
        );
        for office in offices {
            // Fenced from this moment on, not only when its successor starts.
            self.shared.directory.vitals(office).succeed();
            self.fill_again(office, End::Hung, ctx);
        }
    }

    /// Endpoints that need a dispatcher from the start: those of live mappings, and those with deliveries waiting.
    fn fill_dispatchers(&mut self, ctx: &mut Context<Self>) {
        let endpoints: Vec<EndpointKey> = self
            .shared
            .registry
            .current()
            .endpoints
            .keys()
            .copied()
            .collect();
        for endpoint in endpoints {
            self.fill(Office::Dispatcher(endpoint), ctx);
        }
        // Those without a live mapping are found by the Sweeper's first round.
    }
}

impl Overseer {
    /// A poller for each store that is polled and has none. One that is about to be filled again after a pause keeps its pause.
    fn fill_pollers(&mut self, ctx: &mut Context<Self>) {
        let registry = self.shared.registry.current();
        for store in poller::polled(&registry) {
            let office = Office::Poller(store);
            if !self.holders.contains_key(&office) {
                self.fill(office, ctx);
            }
        }
    }
}

impl Actor for Overseer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let door = OverseerDoor {
            ensure: ctx.address().recipient(),
            may_retire: ctx.address().recipient(),
            look_after_pollers: ctx.address().recipient(),
        };
        self.shared.directory.set_overseer(Some(door));
        for office in Office::FIXED {
            self.fill(office, ctx);
        }
        self.fill_dispatchers(ctx);
        self.fill_pollers(ctx);
        let every = Duration::from_secs(self.shared.config.supervision.heartbeat_secs);
        self.watch.beat();
        ctx.run_interval(every, Self::tick);
    }
}

impl Handler<Ensure> for Overseer {
    type Result = ();

    fn handle(&mut self, ensure: Ensure, ctx: &mut Self::Context) {
        let office = Office::Dispatcher(ensure.0);
        // One that is about to be filled again after a pause keeps its pause.
        if !self.holders.contains_key(&office) {
            self.fill(office, ctx);
        }
    }
}

impl Handler<MayRetire> for Overseer {
    type Result = ();

    fn handle(&mut self, offer: MayRetire, _: &mut Self::Context) {
        let office = Office::Dispatcher(offer.endpoint);
        let is_current = self
            .holders
            .get(&office)
            .is_some_and(|holder| holder.vitals.generation() == offer.generation);
        if !is_current
            || self
                .shared
                .registry
                .current()
                .endpoints
                .contains_key(&offer.endpoint)
        {
            return;
        }
        if let Some(seat) = self.shared.directory.seat(offer.endpoint) {
            // The seat goes first: whoever wakes this endpoint from now on has a new dispatcher started.
            self.shared.directory.set_seat(offer.endpoint, None);
            if seat.address.try_send(Retire).is_err() {
                self.shared.directory.set_seat(offer.endpoint, Some(seat));
            } else if let Some(holder) = self.holders.remove(&office) {
                self.arbiters.leave(holder.thread);
            }
        }
    }
}

impl Handler<LookAfterPollers> for Overseer {
    type Result = ();

    fn handle(&mut self, _: LookAfterPollers, ctx: &mut Self::Context) {
        self.fill_pollers(ctx);
    }
}

impl Handler<Ended> for Overseer {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Self::Context) {
        let Ended {
            office,
            generation,
            how,
        } = ended;
        let is_current = self
            .holders
            .get(&office)
            .is_some_and(|holder| holder.vitals.generation() == generation);
        if !is_current || self.shared.is_stopping() {
            return;
        }
        if how == End::Retired {
            // Its store is not polled any more; should it be again by now, it gets a new one.
            if let Some(holder) = self.holders.remove(&office) {
                self.arbiters.leave(holder.thread);
            }
            self.shared.directory.remove_bell(office);
            self.fill_pollers(ctx);
            return;
        }
        self.fill_again(office, how, ctx);
    }
}

impl Handler<StopAll> for Overseer {
    type Result = ();

    fn handle(&mut self, _: StopAll, ctx: &mut Self::Context) {
        self.watch.disarm();
        self.shared.directory.set_overseer(None);
        self.holders.clear();
        self.arbiters.stop_all();
        ctx.stop();
        // The Overseer's own thread ends too, once the answer to this is out.
        Arbiter::current().stop();
    }
}
