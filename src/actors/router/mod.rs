//! Router: asks the consumers, matches mappings, and hands deliveries to the accepted queue.
//!
//! One loop per node, over the routing shards that the node owns by its last heartbeat (all 64 where there is one node). What is
//! about one object is in one shard, so it is routed by one node, in order; when shards come and go the loop goes on with the others. It reads as many incoming messages as there are, up to `router.batch_max`, so batches grow with the load and a
//! single message is never kept waiting for company. While one batch commits, the next is read and decided:
//!
//! ```text
//! read 1 | decide 1 | commit 1 ................. | commit 2 .......
//!                   | read 2 | decide 2 |        | read 3 | ...
//! ```
//!
//! Order within a lane is kept because batches commit in the order in which they were read. A message whose fan-out needs several
//! transactions would be overtaken by later ones of its store, so those are put back, and the next batch is read only after its commit.
//!
//! Each decision is made with one snapshot of the registry; the database refuses it when the registry has moved, and then
//! the snapshot is refreshed and the batch decided anew. So what was configured before a message was routed is in force for it.
//!
//! Read next: `decide.rs` for one message's decision.

mod decide;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;

use super::{
    backoff::Backoff,
    bell::{Ringing, Wake},
    shared::Shared,
    vitals::{Guard, Ping},
};
use crate::{
    db::{DbError, RouteOutcome, Routed, RouterLease},
    domain::{
        key::{MessageKey, StoreKey},
        message::Incoming,
        routing::RouteProgress,
        time::Micros,
    },
};

pub use decide::decide;

/// Looks by itself after so long, for wake-ups that were lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A message whose decision the database refuses is left alone for so long.
const SET_ASIDE: Duration = Duration::from_secs(300);

/// How soon the router goes on after some of its shards were taken: no failure, but the same answer at once would come again and again.
const AFTER_FENCE: Duration = Duration::from_millis(50);

/// How soon the router asks again what is this node's, before the node's first heartbeat was answered.
const FIRST_BEAT: Duration = Duration::from_millis(10);

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// Nothing waits any more.
    Idle,
    /// The database is away, or refused.
    Failed,
    /// Another router owns some of the work now.
    Fenced,
}

/// The loop's body, without an actor around it.
pub struct Routing {
    shared: Arc<Shared>,
    /// The shards that are routed here, each under the epoch that was taken for it.
    lease: RefCell<RouterLease>,
    /// Messages whose decision the database refuses, and until when they are left alone: to read them again at once would stop
    /// all others. Later messages of their lanes overtake them.
    set_aside: RefCell<HashMap<MessageKey, Micros>>,
}

/// A batch that was read and decided.
struct Batch {
    incoming: Vec<Incoming>,
    routed: Vec<Routed>,
    version: i64,
    /// What was held when it was read.
    lease: RouterLease,
    /// As much as a batch can hold: more may wait.
    is_full: bool,
}

impl Batch {
    fn keys(&self) -> Vec<MessageKey> {
        self.incoming
            .iter()
            .map(|incoming| incoming.message.key)
            .collect()
    }

    fn is_whole(&self) -> bool {
        self.routed
            .iter()
            .all(|routed| routed.progress == RouteProgress::Done)
    }
}

impl Routing {
    /// Takes the leases on the shards that are this node's now, each with a new epoch. There may be none yet.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn claim(shared: Arc<Shared>) -> Result<Self, DbError> {
        let routing = Self {
            shared,
            lease: RefCell::default(),
            set_aside: RefCell::default(),
        };
        routing.keep_up().await?;
        Ok(routing)
    }

    /// Follows the node's heartbeats: shards that are new are taken, together, with a new epoch; those that are another node's are left.
    async fn keep_up(&self) -> Result<RouterLease, DbError> {
        let owned = self.shared.leases.shards();
        let mut lease = self.lease.borrow().only(owned);
        let new = owned.without(lease.shards());
        if !new.is_empty() {
            lease = lease.with(&self.shared.backend.router_claim(new).await?);
        }
        self.lease.replace(lease.clone());
        Ok(lease)
    }

    /// Some epoch has moved on: all are taken anew with the next look.
    pub fn start_over(&self) {
        self.lease.replace(RouterLease::default());
    }

    /// Routes until nothing waits.
    pub async fn run_once(&self) -> Ran {
        self.route_all().await.unwrap_or_else(|error| {
            log::error!("routing waits: {error}");
            Ran::Failed
        })
    }

    async fn route_all(&self) -> Result<Ran, DbError> {
        let mut next = self.read_and_decide(Vec::new()).await?;
        while !next.incoming.is_empty() && !self.shared.is_stopping() {
            let _piece = self.shared.work.begin();
            let (committed, following) = if next.is_full && next.is_whole() {
                let (committed, following) =
                    futures_util::join!(self.commit(&next), self.read_and_decide(next.keys()));
                (committed?, Some(following))
            } else {
                (self.commit(&next).await?, None)
            };
            next = match (committed, following) {
                (Committed::Fenced, _) => return Ok(Ran::Fenced),
                (Committed::Written, Some(Ok(batch))) if !batch.incoming.is_empty() => batch,
                // Nothing was read meanwhile, or with a registry that is out of date, or before this batch's commit
                // derived messages of its own.
                _ => self.read_and_decide(Vec::new()).await?,
            };
        }
        Ok(Ran::Idle)
    }

    async fn read_and_decide(&self, mut held: Vec<MessageKey>) -> Result<Batch, DbError> {
        let now = self.shared.now();
        self.set_aside.borrow_mut().retain(|_, until| now < *until);
        held.extend(self.set_aside.borrow().keys());
        let limit = self.shared.config.router.batch_max;
        let lease = self.keep_up().await?;
        let incoming = match lease.shards() {
            none if none.is_empty() => Vec::new(),
            shards => {
                let backend = &self.shared.backend;
                backend.incoming_waiting(limit, held, shards).await?
            }
        };
        let is_full = incoming.len() >= limit;
        let registry = self.shared.registry.current();
        let mut batch = Batch {
            incoming: Vec::new(),
            routed: Vec::new(),
            version: registry.version,
            lease,
            is_full,
        };
        let mut unfinished: HashSet<StoreKey> = HashSet::new();
        for one in incoming {
            if unfinished.contains(&one.message.store) {
                continue;
            }
            let chunk = self.shared.config.router.fanout_chunk;
            let routed = decide(&one, &registry, &self.shared.consumers, chunk);
            if routed.progress != RouteProgress::Done {
                unfinished.insert(one.message.store);
            }
            batch.routed.push(routed);
            batch.incoming.push(one);
        }
        Ok(batch)
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, DbError> {
        let now = self.shared.now();
        let routed = batch.routed.clone();
        match self
            .shared
            .backend
            .incoming_route(routed, batch.version, batch.lease.clone(), now)
            .await
        {
            Ok(RouteOutcome::Done {
                endpoints,
                accepted,
                derived,
            }) => {
                self.shared
                    .metrics
                    .routed(batch.routed.len(), accepted, derived);
                for endpoint in endpoints {
                    self.shared.directory.ring_dispatcher(endpoint);
                }
                Ok(Committed::Written)
            }
            Ok(RouteOutcome::RegistryMoved) => {
                self.shared.refresh_registry().await?;
                Ok(Committed::RegistryMoved)
            }
            Ok(RouteOutcome::Fenced) => Ok(Committed::Fenced),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                log::error!(
                    "{} routed messages were refused together and go one by one: {error}",
                    batch.routed.len()
                );
                self.commit_one_by_one(batch).await
            }
        }
    }

    /// Something in the batch cannot be written: the rest must not wait for it.
    async fn commit_one_by_one(&self, batch: &Batch) -> Result<Committed, DbError> {
        for routed in &batch.routed {
            let (key, now) = (routed.message, self.shared.now());
            match self
                .shared
                .backend
                .incoming_route(
                    vec![routed.clone()],
                    batch.version,
                    batch.lease.clone(),
                    now,
                )
                .await
            {
                Ok(RouteOutcome::Done {
                    endpoints,
                    accepted,
                    derived,
                }) => {
                    self.shared.metrics.routed(1, accepted, derived);
                    endpoints
                        .into_iter()
                        .for_each(|endpoint| self.shared.directory.ring_dispatcher(endpoint));
                }
                Ok(RouteOutcome::RegistryMoved) => {
                    self.shared.refresh_registry().await?;
                    return Ok(Committed::RegistryMoved);
                }
                Ok(RouteOutcome::Fenced) => return Ok(Committed::Fenced),
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    log::error!(
                        "message {key} cannot be routed and is left alone for a while: {error}"
                    );
                    self.set_aside.borrow_mut().insert(key, now.plus(SET_ASIDE));
                }
            }
        }
        Ok(Committed::Written)
    }
}

enum Committed {
    Written,
    RegistryMoved,
    Fenced,
}

enum Life {
    Starting,
    Resting,
    Working { woken_meanwhile: bool },
}

/// The actor around [`Routing`].
pub struct Router {
    shared: Arc<Shared>,
    guard: Guard,
    ringing: Ringing,
    routing: Option<std::rc::Rc<Routing>>,
    life: Life,
    backoff: Backoff,
    timer: Option<SpawnHandle>,
}

impl Router {
    /// A router that is not started yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, guard: Guard, ringing: Ringing) -> Self {
        let backoff = Backoff::for_database();
        Self {
            shared,
            guard,
            ringing,
            routing: None,
            life: Life::Starting,
            backoff,
            timer: None,
        }
    }

    fn claim(&mut self, ctx: &mut Context<Self>) {
        if self.guard.is_superseded() {
            // It would fence its successor off.
            return;
        }
        if self.shared.leases.is_unknown() {
            ctx.run_later(FIRST_BEAT, Self::claim);
            return;
        }
        let claim = Routing::claim(Arc::clone(&self.shared));
        ctx.spawn(
            claim
                .into_actor(self)
                .map(|claimed, act, ctx| match claimed {
                    Ok(routing) => {
                        act.backoff.succeed();
                        act.routing = Some(routing.into());
                        act.life = Life::Resting;
                        act.guard.up();
                        act.shared.changed.notify_waiters();
                        act.look(ctx);
                    }
                    Err(error) => {
                        log::error!("the router cannot take its leases: {error}");
                        let pause = act.backoff.fail();
                        ctx.run_later(pause, Self::claim);
                    }
                }),
        );
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.guard.is_superseded() || self.shared.is_stopping() {
            return;
        }
        match &mut self.life {
            Life::Starting => return,
            Life::Working { woken_meanwhile } => {
                *woken_meanwhile = true;
                return;
            }
            Life::Resting => {
                self.life = Life::Working {
                    woken_meanwhile: false,
                }
            }
        }
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(routing) = self.routing.clone() else {
            return;
        };
        let run = async move { routing.run_once().await };
        ctx.spawn(run.into_actor(self).map(Self::after));
    }

    fn after(ran: Ran, act: &mut Self, ctx: &mut Context<Self>) {
        let was_woken = matches!(
            act.life,
            Life::Working {
                woken_meanwhile: true
            }
        );
        act.life = Life::Resting;
        match ran {
            Ran::Idle => {
                act.backoff.succeed();
                if was_woken {
                    act.look(ctx);
                } else {
                    act.timer = Some(ctx.run_later(LOOK_AGAIN, Self::look));
                }
            }
            Ran::Failed => {
                let pause = act.backoff.fail();
                act.timer = Some(ctx.run_later(pause, Self::look));
            }
            Ran::Fenced => {
                // Nothing of the batch was written. Another node has taken some of its shards; what is left goes on.
                log::debug!("another router has taken over some of what was being routed");
                if let Some(routing) = &act.routing {
                    routing.start_over();
                }
                act.timer = Some(ctx.run_later(AFTER_FENCE, Self::look));
            }
        }
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        self.claim(ctx);
    }
}

impl Supervised for Router {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.life = Life::Starting;
        self.routing = None;
        self.timer = None;
        self.ringing.answer();
    }
}

impl Handler<Wake> for Router {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.ringing.answer();
        self.look(ctx);
    }
}

impl Handler<Ping> for Router {
    type Result = ();

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) {
        self.guard.hear(ping);
    }
}
