//! Foreman: takes stored jobs forward, a step at a time, and tells the dispatchers concerned.
//!
//! A step is one transaction that ends with the job's cursor, and says itself when the next may be (`next_at`, in the job's row); so a
//! crash neither skips nor repeats a delivery, the speed asked for holds across a restart, and any node may make any step. Jobs take
//! turns: each round makes one step of every job that is due.

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
    vitals::{Guard, Ping},
};
use crate::{
    db::{DbError, DbResult, EndJob, JobQuery, JobStep, JobTurn, PageKey},
    domain::{
        job::{Job, JobEnd, JobKind, ReplayTarget, Turn},
        key::{DeliveryKey, EndpointKey, JobKey},
        registry::Registry,
        time::Micros,
    },
};

/// Open jobs that are read at once.
const JOBS_AT_ONCE: usize = 500;
/// Steps of a job that may fail in a row, for reasons that waiting does not mend, before it is given up.
const TRIES: u32 = 5;

/// Steps in a row that failed.
type Failures = HashMap<JobKey, u32>;

/// See the module.
pub struct Foreman {
    shared: Arc<Shared>,
    guard: Guard,
    ringing: Ringing,
    failures: Failures,
    turns: Turns,
}

impl Foreman {
    /// A foreman that is not started yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, guard: Guard, ringing: Ringing) -> Self {
        Self {
            shared,
            guard,
            ringing,
            failures: Failures::new(),
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
        let work = run_once(Arc::clone(&self.shared), std::mem::take(&mut self.failures));
        ctx.spawn(work.into_actor(self).map(|(failures, ran), act, ctx| {
            act.failures = failures;
            if let Err(error) = &ran {
                log::warn!("stored jobs wait: {error}");
            }
            match act.turns.end(&ran, act.shared.now()) {
                None => act.look(ctx),
                Some(pause) => act.turns.wait(ctx.run_later(pause, Self::look)),
            }
        }));
    }
}

/// Makes a step of every job that is due; gives when the next one will be.
async fn run_once(
    shared: Arc<Shared>,
    mut failures: Failures,
) -> (Failures, DbResult<Option<Micros>>) {
    let _piece = shared.work.begin();
    let ran = round(&shared, &mut failures).await;
    (failures, ran)
}

async fn round(shared: &Shared, failures: &mut Failures) -> DbResult<Option<Micros>> {
    let mut next: Option<Micros> = None;
    let mut after = None;
    loop {
        let open = JobQuery {
            stores: None,
            kinds: JobKind::ALL.to_vec(),
            id: None,
            open: true,
            after,
            limit: JOBS_AT_ONCE,
        };
        let jobs = shared.backend.job_list(open).await?;
        after = jobs.last().map(|job| PageKey(job.key.0));
        let is_last = jobs.len() < JOBS_AT_ONCE;
        for job in jobs {
            if shared.is_stopping() {
                return Ok(next);
            }
            let again = match job.turn(shared.now()) {
                Turn::Over => None,
                Turn::NotBefore(at) => Some(at),
                Turn::Step(_) => step(shared, &job, failures).await?,
            };
            next = [next, again].into_iter().flatten().min();
        }
        // However many wait for their time, those behind them have their turn.
        if is_last {
            return Ok(next);
        }
    }
}

/// Makes a job's step; gives when the next one may be.
async fn step(shared: &Shared, job: &Job, failures: &mut Failures) -> DbResult<Option<Micros>> {
    let registry = shared.registry.current();
    let turn = JobTurn {
        job: job.key,
        targets: match job.new.kind {
            JobKind::Replay => targets(&registry, job),
            JobKind::Retry | JobKind::Archive => Vec::new(),
        },
        registry_version: registry.version,
    };
    let now = shared.now();
    match shared.backend.job_step(turn, now).await {
        Ok(JobStep::Stepped { job, touched }) => {
            failures.remove(&job.key);
            tell(shared, touched);
            if !job.state.is_open() {
                log::info!(done = job.done, skipped = job.skipped; "the {} in bulk {} is {}", job.new.kind.word(), job.id, job.state.word());
                return Ok(None);
            }
            Ok(Some(job.next_at))
        }
        Ok(JobStep::Nothing) => Ok(None),
        Ok(JobStep::RegistryMoved) => {
            shared.refresh_registry().await?;
            Ok(Some(now))
        }
        Err(error) if error.is_transient() => Err(error),
        Err(error) => {
            let failed = failures.entry(job.key).or_insert(0);
            *failed += 1;
            log::error!(
                "a step of the {} in bulk {} failed: {error}",
                job.new.kind.word(),
                job.id
            );
            if *failed < TRIES {
                return Ok(Some(now.plus(Duration::from_secs(1))));
            }
            failures.remove(&job.key);
            give_up(shared, job, &error).await?;
            Ok(None)
        }
    }
}

async fn give_up(shared: &Shared, job: &Job, error: &DbError) -> DbResult<()> {
    let why = match error {
        DbError::Unreadable { table, .. } => format!("A row of {table} cannot be read."),
        _ => "The database refused a step; the log has the reason.".to_owned(),
    };
    let end = EndJob {
        store: job.new.store,
        job: job.key,
        end: JobEnd::Failed(why),
        who: None,
    };
    shared.backend.job_end(end, shared.now()).await?;
    Ok(())
}

/// The live mappings of the job's store that take messages.
fn targets(registry: &Registry, job: &Job) -> Vec<ReplayTarget> {
    let Some(store) = registry.stores.get(&job.new.store) else {
        return Vec::new();
    };
    store
        .mappings
        .values()
        .filter(|entry| entry.value.enabled)
        .map(|entry| ReplayTarget {
            mapping: entry.key,
            endpoint: store.endpoint_of(entry),
            ordered: entry.value.options.ordered,
        })
        .collect()
}

/// What dispatchers have read of these deliveries is out of date.
fn tell(shared: &Shared, touched: Vec<(EndpointKey, DeliveryKey)>) {
    let mut by_endpoint: BTreeMap<EndpointKey, Vec<DeliveryKey>> = BTreeMap::new();
    for (endpoint, delivery) in touched {
        by_endpoint.entry(endpoint).or_default().push(delivery);
    }
    for (endpoint, deliveries) in by_endpoint {
        shared.directory.forget(endpoint, deliveries);
    }
}

impl Actor for Foreman {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.guard.up();
        self.shared.changed.notify_waiters();
        self.look(ctx);
    }
}

impl Handler<Wake> for Foreman {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.ringing.answer();
        self.look(ctx);
    }
}

impl Handler<Ping> for Foreman {
    type Result = ();

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) {
        self.guard.hear(ping);
    }
}
