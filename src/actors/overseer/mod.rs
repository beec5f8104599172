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
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;

use self::arbiters::{Arbiters, ThreadKey};
use super::{
    backoff::Backoff,
    directory::OverseerDoor,
    dispatcher::Retire,
    poller, scheduler,
    shared::Shared,
    vitals::{End, Ended, Guard, Office, Ping, Vitals},
};
use crate::{
    db::{NodeBeat, NodeView, OwnerKind, ShardSet, owner_of_shard},
    domain::{
        event::{Level, NewEvent},
        key::{EndpointKey, StoreKey},
    },
};

pub use watch::{OnFatal, Watch, exit_process};

/// How often a node says that it lives, where there may be several.
const NODE_BEAT: Duration = Duration::from_secs(1);

/// The registry is read anew with every so many of them.
const BEATS_PER_LOOK: u64 = 5;

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
    /// A heartbeat of the node is under way.
    beating: bool,
    /// Endpoints without a live mapping that have something waiting.
    extra: HashSet<EndpointKey>,
    /// Endpoints that are another node's by rights: released as soon as their dispatchers have ended.
    giving_up: HashSet<EndpointKey>,
    /// Stores whose schedules are this node's.
    scheduled: HashSet<i64>,
    /// Heartbeats of the node that were answered, where there may be several.
    beats: u64,
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
            beating: false,
            extra: HashSet::new(),
            giving_up: HashSet::new(),
            scheduled: HashSet::new(),
            beats: 0,
        }
    }

    fn fill(&mut self, office: Office, ctx: &mut Context<Self>) {
        if self.shared.is_stopping() || self.holders.get(&office).is_some_and(|holder| holder.is_up)
        {
            return;
        }
        let owner = match office {
            Office::Dispatcher(endpoint) => Some((OwnerKind::Dispatcher, endpoint.0)),
            Office::Poller(store) => Some((OwnerKind::Poller, store.0)),
            _ => None,
        };
        if owner.is_some_and(|(kind, key)| !self.shared.leases.owns(kind, key)) {
            // Another node's: should it become this one's again, it starts afresh.
            self.holders.remove(&office);
            return;
        }
        if let Office::Dispatcher(endpoint) = office
            && self.giving_up.contains(&endpoint)
        {
            // Still this node's in the database, and about to be another's: whoever rings must not keep it here.
            self.holders.remove(&office);
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

    /// The next heartbeat of the node, where there may be several nodes.
    fn beat_again(&mut self, ctx: &mut Context<Self>) {
        let leases = &self.shared.leases;
        if !leases.is_everything() && !self.shared.is_stopping() {
            self.beat_node(ctx);
        }
    }

    /// Says that this node lives, and asks for what it would serve: routing shards, the endpoints of live mappings, and those with
    /// deliveries waiting (the Sweeper finds them).
    fn beat_node(&mut self, ctx: &mut Context<Self>) {
        if self.beating {
            return;
        }
        self.beating = true;
        let endpoints = self
            .shared
            .registry
            .current()
            .endpoints
            .keys()
            .copied()
            .collect::<HashSet<_>>();
        let mut wanted: Vec<(OwnerKind, i64)> = endpoints
            .union(&self.extra)
            .map(|endpoint| (OwnerKind::Dispatcher, endpoint.0))
            .collect();
        // An endpoint that has just lost its last mapping is still served until its dispatcher has nothing to do.
        let seated = self.holders.keys().filter_map(|office| match office {
            Office::Dispatcher(endpoint)
                if !endpoints.contains(endpoint) && !self.extra.contains(endpoint) =>
            {
                Some(endpoint.0)
            }
            _ => None,
        });
        wanted.extend(seated.map(|endpoint| (OwnerKind::Dispatcher, endpoint)));
        let shards = ShardSet::ALL.iter();
        wanted.extend(shards.map(|shard| (OwnerKind::Router, owner_of_shard(shard))));
        let registry = self.shared.registry.current();
        wanted.extend(poller::polled(&registry).map(|store| (OwnerKind::Poller, store.0)));
        wanted.extend(scheduler::scheduled(&registry).map(|store| (OwnerKind::Scheduler, store.0)));
        let (backend, asked_at) = (Arc::clone(&self.shared.backend), Instant::now());
        let beat = async move { backend.node_beat(NodeBeat { wanted }).await };
        ctx.spawn(beat.into_actor(self).map(move |view, act, ctx| {
            act.beating = false;
            match view {
                Ok(view) => act.take_in(&view, asked_at, ctx),
                Err(error) => {
                    log::warn!("the node's heartbeat failed: {error}");
                    if act.shared.leases.is_unknown() {
                        ctx.run_later(NODE_BEAT, Self::beat_node);
                    }
                }
            }
        }));
    }

    /// Starts what this node owns now, and ends what it does not own any more.
    fn take_in(&mut self, view: &NodeView, asked_at: Instant, ctx: &mut Context<Self>) {
        // Empty, too, when the lease had run out meanwhile, and the Router with it.
        let before = self.shared.leases.shards();
        self.shared.leases.note(view, asked_at);
        self.ring_router(before);
        let dispatcher = |(kind, key): &(OwnerKind, i64)| {
            (*kind == OwnerKind::Dispatcher).then_some(EndpointKey(*key))
        };
        let owned: HashSet<EndpointKey> = view.owned.iter().filter_map(dispatcher).collect();
        let give_up: HashSet<EndpointKey> = view.give_up.iter().filter_map(dispatcher).collect();
        self.giving_up.clone_from(&give_up);
        for endpoint in owned.difference(&give_up) {
            let office = Office::Dispatcher(*endpoint);
            if !self.holders.contains_key(&office) {
                self.fill(office, ctx);
            }
        }
        self.fill_pollers(ctx);
        self.ring_scheduler(view);
        if view.lease.is_none() {
            // No further heartbeat asks for those that were wished for during this one.
            for endpoint in std::mem::take(&mut self.extra) {
                self.ensure(endpoint, ctx);
            }
            return;
        }
        self.read_registry_now_and_then();
        let served: Vec<EndpointKey> = self
            .holders
            .keys()
            .filter_map(|office| match office {
                Office::Dispatcher(endpoint) => Some(*endpoint),
                _ => None,
            })
            .collect();
        for endpoint in served {
            if !owned.contains(&endpoint) || give_up.contains(&endpoint) {
                self.let_go(endpoint);
            }
        }
        let ended = |endpoint: &&EndpointKey| {
            !self
                .shared
                .directory
                .vitals(Office::Dispatcher(**endpoint))
                .is_alive()
        };
        let mut released: Vec<(OwnerKind, i64)> = self
            .giving_up
            .iter()
            .filter(ended)
            .map(|endpoint| (OwnerKind::Dispatcher, endpoint.0))
            .collect();
        // Whoever takes a shard or a poller next fences this node's off with its epoch.
        released.extend(
            view.give_up
                .iter()
                .filter(|(kind, _)| *kind != OwnerKind::Dispatcher),
        );
        if !released.is_empty() {
            let backend = Arc::clone(&self.shared.backend);
            actix_rt::spawn(async move {
                if let Err(error) = backend.owner_release(released).await {
                    log::warn!("what is another node's is given up a little later: {error}");
                }
            });
        }
    }

    /// The Router looks when its shards are others than before: what waits in them belongs to nobody else now.
    fn ring_router(&mut self, before: ShardSet) {
        if self.shared.leases.shards() != before {
            self.shared.directory.ring(Office::Router);
        }
    }

    /// The Scheduler looks when the stores whose schedules are this node's are others than before.
    fn ring_scheduler(&mut self, view: &NodeView) {
        let scheduled = view
            .owned
            .iter()
            .filter_map(|(kind, key)| (*kind == OwnerKind::Scheduler).then_some(*key));
        let scheduled: HashSet<i64> = scheduled.collect();
        if scheduled != self.scheduled {
            self.scheduled = scheduled;
            self.shared.directory.ring(Office::Scheduler);
        }
    }

    /// Should another node's word that the registry has changed have been lost.
    fn read_registry_now_and_then(&mut self) {
        self.beats += 1;
        if !self.beats.is_multiple_of(BEATS_PER_LOOK) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        actix_rt::spawn(async move {
            if let Err(error) = shared.refresh_registry().await {
                log::warn!("a change of the registry is read a little later: {error}");
            }
        });
    }

    /// Starts the dispatcher of an endpoint that has none. One that is about to be filled again after a pause keeps its pause.
    fn ensure(&mut self, endpoint: EndpointKey, ctx: &mut Context<Self>) {
        let office = Office::Dispatcher(endpoint);
        if !self.holders.contains_key(&office) {
            self.fill(office, ctx);
            if !self.holders.contains_key(&office) {
                // Not this node's, or not yet: the next heartbeat asks for it.
                self.extra.insert(endpoint);
            }
        }
    }

    /// Ends the dispatcher of an endpoint that another node serves from now on. What it was sending is sent again there.
    fn let_go(&mut self, endpoint: EndpointKey) {
        let office = Office::Dispatcher(endpoint);
        let Some(seat) = self.shared.directory.seat(endpoint) else {
            return;
        };
        self.shared.directory.set_seat(endpoint, None);
        if seat.address.try_send(Retire).is_err() {
            self.shared.directory.set_seat(endpoint, Some(seat));
        } else if let Some(holder) = self.holders.remove(&office) {
            self.arbiters.leave(holder.thread);
        }
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
        self.beat_node(ctx);
        ctx.run_interval(NODE_BEAT, Self::beat_again);
        let every = Duration::from_secs(self.shared.config.supervision.heartbeat_secs);
        self.watch.beat();
        ctx.run_interval(every, Self::tick);
    }
}

impl Handler<Ensure> for Overseer {
    type Result = ();

    fn handle(&mut self, ensure: Ensure, ctx: &mut Self::Context) {
        self.ensure(ensure.0, ctx);
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
                self.extra.remove(&offer.endpoint);
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
