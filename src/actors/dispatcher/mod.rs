//! Dispatcher: posts one endpoint's deliveries. One endpoint, one actor, so that a sick endpoint harms nobody else.
//!
//! ```text
//!          wake-up or timer
//!                |
//!   read due heads of lanes -> Window -> (gates: paused? asked to wait? breaker? pace?) -> post -> settle
//!                ^                                                                                   |
//!                `------------------- the lane's next delivery became its head ----------------------'
//! ```
//!
//! [`Dispatcher::pump`] is the whole logic: begin what may begin, read more when little is left, set the timer to when something
//! can happen next. Wake-ups, the timer, ended attempts and written outcomes all lead there. Order within a lane is the database's:
//! it gives out heads only, and what is held is not given out again.
//!
//! A dispatcher that has read all that is due need not read what is accepted now: Intake hands over what it has just written.
//!
//! Attempts are tasks of their own on the actor's thread: an actor polls all its futures whenever one stirs, which at hundreds of requests
//! would cost more than the requests. They end with the actor's life. What they have to tell lies on a tray until the actor takes up all of it,
//! and their outcomes go straight to the Settler: what an endpoint answered is written down even if its dispatcher fell over meanwhile.
//!
//! Read next: `window.rs`, `breaker.rs` and `attempt.rs`, which know no actor.

mod attempt;
mod breaker;
mod cell;
mod handlers;
mod pace;
mod prepared;
mod report;
mod shares;
mod shown;
mod window;

use std::{collections::HashMap, rc::Rc, sync::Arc, sync::atomic::Ordering, time::Duration};

use actix::prelude::*;

use self::{
    attempt::{Circumstances, Plan},
    breaker::{Allows, Breaker},
    pace::Pace,
    prepared::Preparations,
    report::Report,
    shares::Shares,
    window::Window,
};
use super::{
    backoff::Backoff,
    bell::Ringing,
    shared::Shared,
    transport::{self, Transport},
    tray::Tray,
    vitals::{End, Guard, Office},
};
use crate::{
    db::{DbResult, Due, LeftOut, OwnerKind},
    domain::{
        delivery::Delivery,
        key::{DeliveryKey, EndpointKey},
        registry::Registry,
        time::Micros,
    },
};

pub use breaker::BreakerState;
pub use cell::{DispatcherState, EndpointCell, EndpointState};
pub use report::{Note, Reply, Told};

/// Entries of the mailbox: a wake-up, a heartbeat, that something lies on the tray, and what people did to single deliveries.
const MAILBOX: usize = 64;
/// Looks by itself after so long, for wake-ups that were lost.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Between two looks whether the database is back.
const DATABASE_PAUSE: Duration = Duration::from_millis(500);
/// A delivery whose outcome the database refuses is left alone for so long.
const SET_ASIDE: Duration = Duration::from_secs(300);

/// Forget deliveries that were read and not begun: somebody else dealt with them.
#[derive(Debug, Clone)]
pub struct Forget(pub Vec<DeliveryKey>);

impl Message for Forget {
    type Result = ();
}

/// Nothing is left to do for this endpoint: end.
#[derive(Debug, Clone, Copy)]
pub struct Retire;

impl Message for Retire {
    type Result = ();
}

/// A task that ends with its holder.
struct Task(actix_rt::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug, Clone, Copy)]
enum Life {
    Starting,
    Serving { epoch: i64 },
}

/// Whether deliveries may begin now.
enum Gate {
    Open,
    Shut {
        state: DispatcherState,
        until: Option<Micros>,
    },
}

/// See the module.
pub struct Dispatcher {
    shared: Arc<Shared>,
    endpoint: EndpointKey,
    guard: Guard,
    ringing: Ringing,
    tray: Tray<Told>,
    transport: Rc<dyn Transport>,
    cell: Arc<EndpointCell>,
    life: Life,
    window: Window,
    shares: Shares,
    tasks: HashMap<DeliveryKey, Task>,
    breaker: Breaker,
    preparations: Preparations,
    pace: Pace,
    /// The endpoint asked to be left alone until then.
    asked_to_wait: Option<Micros>,
    /// When a delivery that was not due at the last read will be.
    next_due_at: Option<Micros>,
    /// The newest delivery that was ever in the window.
    newest: DeliveryKey,
    /// Something may be due that the last read did not see.
    more: bool,
    reading: bool,
    timer: Option<(Micros, SpawnHandle)>,
    database: Backoff,
    restarts: Backoff,
    /// This life began by starting over: it waits first.
    pause_before_claim: Option<Duration>,
    born_at: Micros,
}

impl Dispatcher {
    /// A dispatcher that is not started yet. Call it on the thread where it will live: its connections belong there.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        endpoint: EndpointKey,
        guard: Guard,
        ringing: Ringing,
        tray: Tray<Told>,
    ) -> Self {
        let dispatch = &shared.config.dispatch;
        let supervision = &shared.config.supervision;
        Self {
            endpoint,
            transport: transport::of_this_thread(&shared.transport),
            cell: shared.directory.cell(endpoint),
            life: Life::Starting,
            window: Window::new(dispatch.window.max(dispatch.concurrency)),
            shares: Shares::default(),
            tasks: HashMap::new(),
            breaker: Breaker::new(
                dispatch.breaker_failures,
                Duration::from_secs(dispatch.breaker_open_secs),
                Duration::from_secs(dispatch.breaker_max_secs),
            ),
            preparations: Preparations::default(),
            pace: Pace::default(),
            asked_to_wait: None,
            next_due_at: None,
            newest: DeliveryKey(i64::MIN),
            more: true,
            reading: false,
            timer: None,
            database: Backoff::for_database(),
            restarts: Backoff::new(
                Duration::from_millis(supervision.backoff_base_ms),
                Duration::from_secs(supervision.backoff_max_secs),
            ),
            pause_before_claim: None,
            born_at: shared.now(),
            guard,
            ringing,
            tray,
            shared,
        }
    }

    fn claim(&mut self, ctx: &mut Context<Self>) {
        let (backend, key) = (Arc::clone(&self.shared.backend), self.endpoint.0);
        let claim = async move { backend.owner_claim(OwnerKind::Dispatcher, key).await };
        ctx.spawn(claim.into_actor(self).map(|claimed, act, ctx| match claimed {
            Ok(epoch) => {
                act.database.succeed();
                act.life = Life::Serving { epoch };
                act.born_at = act.shared.now();
                act.guard.up();
                act.shared.changed.notify_waiters();
                act.more = true;
                act.pump(ctx);
            }
            Err(error) => {
                log::error!(endpoint = act.endpoint.0; "a dispatcher cannot take its lease: {error}");
                let pause = act.database.fail();
                ctx.run_later(pause, Self::claim);
            }
        }));
    }

    /// Begins what may begin, reads more when little is left, and sets the timer to when something can happen next.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if !self.take_up_told() {
            ctx.stop();
            return;
        }
        let Life::Serving { epoch } = self.life else {
            return;
        };
        if self.guard.is_superseded() || self.guard.is_retired() {
            return;
        }
        let now = self.shared.now();
        if self.cell.take_probe() {
            self.breaker.hurry(now);
            self.asked_to_wait = None;
        }
        let settler = self.shared.directory.vitals(Office::Settler).generation();
        if self.window.let_go(settler, now) > 0 || self.next_due_at.is_some_and(|due| due <= now) {
            self.more = true;
        }
        let registry = self.shared.registry.current();
        self.more |= self
            .shares
            .refresh(&registry, self.endpoint, &mut self.window);
        let (state, mut look_at) = match self.gate(&registry, now) {
            Gate::Shut { state, until } => {
                if state == DispatcherState::Paused {
                    self.window.forget_waiting();
                    self.more = true;
                }
                (state, until)
            }
            Gate::Open => {
                let look_at = self.begin_some(&registry, epoch, now);
                self.read_some(now, ctx);
                (DispatcherState::Running, look_at)
            }
        };
        // What is due already waits for room, and whatever makes room leads here.
        if let Some(due) = self
            .next_due_at
            .filter(|due| *due > now && state == DispatcherState::Running)
        {
            look_at = Some(look_at.map_or(due, |at| at.min(due)));
        }
        self.arm(look_at, now, ctx);
        self.tell(state, look_at);
        self.offer_to_retire(&registry);
    }

    fn gate(&self, registry: &Registry, now: Micros) -> Gate {
        let shut = |state, until| Gate::Shut { state, until };
        if self.shared.is_closing() {
            return shut(DispatcherState::Running, None);
        }
        if attempt::is_paused(self.endpoint, registry) {
            return shut(DispatcherState::Paused, None);
        }
        if !self
            .shared
            .leases
            .owns(OwnerKind::Dispatcher, self.endpoint.0)
        {
            // The lease may have ended: another node may post from now on.
            return shut(
                DispatcherState::DatabaseAway,
                Some(now.plus(DATABASE_PAUSE)),
            );
        }
        if self.shared.database_away.load(Ordering::SeqCst) {
            return shut(
                DispatcherState::DatabaseAway,
                Some(now.plus(DATABASE_PAUSE)),
            );
        }
        if let Some(until) = self.asked_to_wait.filter(|until| now < *until) {
            return shut(DispatcherState::AskedToWait, Some(until));
        }
        match self.breaker.allows(now) {
            Allows::NothingUntil(until) => shut(DispatcherState::BreakerOpen, Some(until)),
            Allows::NothingNow => shut(DispatcherState::BreakerOpen, None),
            Allows::All | Allows::Probe { .. } => Gate::Open,
        }
    }

    /// Begins attempts up to the limits. Returns when a limit of pace allows the next.
    fn begin_some(&mut self, registry: &Registry, epoch: i64, now: Micros) -> Option<Micros> {
        let mut look_at: Option<Micros> = None;
        while self.window.in_flight() < self.shared.config.dispatch.concurrency {
            let other_than = match self.breaker.allows(now) {
                Allows::All => None,
                Allows::Probe { not_lane } => not_lane,
                Allows::NothingUntil(_) | Allows::NothingNow => break,
            };
            let pace = &mut self.pace;
            let mut permits = |window: &Window, one: &Delivery| {
                let store = registry.stores.get(&one.message.store);
                let Some(mapping) = store.and_then(|store| store.mappings.get(&one.mapping)) else {
                    return true;
                };
                let options = &mapping.value.options;
                let most = options
                    .concurrency
                    .and_then(|most| usize::try_from(most).ok());
                if most.is_some_and(|most| window.in_flight_of(one.mapping) >= most.max(1)) {
                    return false;
                }
                let Some(rate) = options.rate_per_sec else {
                    return true;
                };
                match pace.take(one.mapping, rate, now) {
                    Ok(()) => true,
                    Err(at) => {
                        look_at = Some(look_at.map_or(at, |known| known.min(at)));
                        false
                    }
                }
            };
            let is_other = |one: &Delivery| other_than.is_none() || one.lane != other_than;
            let first = self
                .window
                .begin_first(|window, one| is_other(one) && permits(window, one));
            // A probe from the same lane is better than none.
            let first = match (first, other_than) {
                (None, Some(_)) => self.window.begin_first(&mut permits),
                (first, _) => first,
            };
            let Some(delivery) = first else { break };
            self.begin(delivery, registry, epoch, now);
        }
        look_at
    }

    fn begin(&mut self, delivery: Delivery, registry: &Registry, epoch: i64, now: Micros) {
        let key = delivery.key;
        let report = Report {
            shared: Arc::clone(&self.shared),
            tray: self.tray.clone(),
            piece: self.shared.work.begin(),
            accepted_at: delivery.message.accepted_at,
        };
        let plan = attempt::plan_safely(
            &delivery,
            registry,
            &self.shared.config,
            now,
            &mut self.preparations,
        );
        match plan {
            Plan::Without(disposition) => {
                let settlement = attempt::without(&delivery, epoch, disposition);
                let settler = self.shared.directory.vitals(Office::Settler).generation();
                self.window.settle(key, settler);
                report.settle(settlement);
            }
            Plan::Post(order) => {
                self.breaker.begin(key, delivery.lane);
                let posting = order
                    .outgoing()
                    .map(|outgoing| (outgoing.timeout, self.transport.post(outgoing)));
                let attempt = async move {
                    let posted = match posting {
                        Some((timeout, posting)) => attempt::perform(timeout, posting).await,
                        None => order.unsent(),
                    };
                    let ended_at = report.shared.now();
                    let random = rand::random::<f64>();
                    let at = Circumstances {
                        epoch,
                        started_at: now,
                        ended_at,
                        random,
                    };
                    let concluded = attempt::conclude(&delivery, &order, posted, at);
                    report.conclude(concluded);
                };
                self.tasks.insert(key, Task(actix_rt::spawn(attempt)));
            }
        }
    }

    fn read_some(&mut self, now: Micros, ctx: &mut Context<Self>) {
        let low = self.shared.config.dispatch.concurrency;
        let room = self.window.room();
        self.more |= self.shares.let_in(&self.window);
        if !self.more
            || self.reading
            || room == 0
            || self.shares.waiting_freely(&self.window) >= low
        {
            return;
        }
        // Cleared before the read: whatever comes while it runs asks for another.
        self.reading = true;
        self.more = false;
        self.next_due_at = None;
        let (backend, endpoint) = (Arc::clone(&self.shared.backend), self.endpoint);
        let but = LeftOut {
            deliveries: self.window.held(),
            mappings: self.shares.left_out(),
        };
        let read = async move { backend.accepted_due(endpoint, now, room, but).await };
        ctx.spawn(read.into_actor(self).map(move |due, act, ctx| {
            act.reading = false;
            act.take_in(due, room, ctx);
        }));
    }

    fn take_in(&mut self, due: DbResult<Due>, asked: usize, ctx: &mut Context<Self>) {
        match due {
            Ok(due) => {
                self.database.succeed();
                self.more |= due.more || due.deliveries.len() >= asked;
                self.note_due(due.next_due_at);
                self.hold(due.deliveries);
                self.pump(ctx);
            }
            Err(error) => {
                log::error!(endpoint = self.endpoint.0; "deliveries cannot be read: {error}");
                self.reading = true;
                ctx.run_later(self.database.fail(), |act, ctx| {
                    act.reading = false;
                    act.more = true;
                    act.pump(ctx);
                });
            }
        }
    }

    /// Puts deliveries into the window, as far as the shares of their mappings allow.
    fn hold(&mut self, deliveries: Vec<Delivery>) {
        let newest = deliveries.iter().map(|one| one.key).max();
        self.newest = self.newest.max(newest.unwrap_or(self.newest));
        let count = deliveries.len();
        let admitted = self.shares.admit(&self.window, deliveries);
        self.more |= admitted.len() < count;
        self.window.take_in(admitted);
    }

    fn note_due(&mut self, due_at: Option<Micros>) {
        self.next_due_at = match (self.next_due_at, due_at) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
    }

    /// Sets the timer, unless one goes off earlier anyhow.
    fn arm(&mut self, look_at: Option<Micros>, now: Micros, ctx: &mut Context<Self>) {
        let latest = now.plus(LOOK_AGAIN);
        let at = look_at.map_or(latest, |at| {
            at.clamp(now.plus(Duration::from_millis(1)), latest)
        });
        match self.timer {
            Some((armed, _)) if armed <= at && armed > now => return,
            Some((_, handle)) => {
                ctx.cancel_future(handle);
            }
            None => {}
        }
        let handle = ctx.run_later(at.since(now), |act, ctx| {
            act.timer = None;
            act.more = true;
            act.pump(ctx);
        });
        self.timer = Some((at, handle));
    }

    fn tell(&self, state: DispatcherState, look_at: Option<Micros>) {
        let is_waiting = matches!(
            state,
            DispatcherState::AskedToWait | DispatcherState::BreakerOpen
        );
        self.cell.tell(|told| {
            told.state = state;
            told.breaker = self.breaker.state();
            told.in_flight = self.window.in_flight();
            told.waiting = self.window.waiting();
            told.settling = self.window.settling();
            told.paused_until = look_at.filter(|_| is_waiting);
            told.next_due_at = self.next_due_at;
        });
    }

    /// An endpoint without a live mapping that has nothing waiting needs no dispatcher; one is started when it is woken again.
    fn offer_to_retire(&self, registry: &Registry) {
        let is_idle =
            self.window.is_empty() && !self.more && !self.reading && self.next_due_at.is_none();
        if is_idle && !registry.endpoints.contains_key(&self.endpoint) {
            self.shared
                .directory
                .offer_to_retire(self.endpoint, self.guard.generation);
        }
    }
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if self.guard.is_retired() {
            // Somebody still held its address when it was told to end.
            ctx.run_later(DATABASE_PAUSE, |_, ctx| ctx.stop());
            return;
        }
        self.cell
            .tell(|told| told.state = DispatcherState::Starting);
        match self.pause_before_claim.take() {
            None => self.claim(ctx),
            Some(pause) => {
                ctx.run_later(pause, Self::claim);
            }
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.tasks.clear();
        if self.guard.is_retired() {
            self.cell.tell(|told| told.state = DispatcherState::Absent);
        }
    }
}

impl Supervised for Dispatcher {
    /// The soft ring of supervision: the same value starts over, with an empty window and a new epoch. What it learned
    /// about the endpoint (breaker, pace) stays.
    fn restarting(&mut self, _: &mut Self::Context) {
        if self.guard.is_retired() {
            return;
        }
        let longest = Duration::from_secs(self.shared.config.supervision.backoff_max_secs);
        if self.shared.now().since(self.born_at) > longest.saturating_mul(2) {
            self.restarts.succeed();
        }
        self.pause_before_claim = Some(self.restarts.fail());
        self.guard
            .vitals
            .count_restart(self.shared.now(), End::Stopped);
        self.life = Life::Starting;
        self.tasks.clear();
        self.breaker.forget_probe(self.shared.now());
        self.window = Window::new(
            self.shared
                .config
                .dispatch
                .window
                .max(self.shared.config.dispatch.concurrency),
        );
        self.reading = false;
        self.more = true;
        self.timer = None;
        self.next_due_at = None;
        self.ringing.answer();
    }
}
