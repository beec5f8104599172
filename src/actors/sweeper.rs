//! Sweeper: upkeep in small steps, so that none of them is felt.
//!
//! It erases what somebody asked to have erased, lets the database drop what is too old and mend what should not be broken, releases what a mapping held while it was
//! disabled, archives what waits for a mapping that is gone, and looks for endpoints that have deliveries waiting and nobody
//! to post them: should a wake-up and a restart both be lost, this finds it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use actix::prelude::*;

use super::{
    bell::{Ringing, Wake},
    dispatcher::Forget,
    shared::Shared,
    vitals::{Guard, Ping},
};
use crate::{
    db::{DbResult, ErasureStep, HeldMapping, SweepBounds, SweepReport},
    domain::{
        key::{DeliveryKey, EndpointKey, MappingKey},
        time::Micros,
    },
};

/// Between two rounds with nothing to do.
const REST: Duration = Duration::from_secs(60);
/// Between two steps when something is left.
const BREATH: Duration = Duration::from_millis(20);
/// Rows of each kind in one step: a few milliseconds of the writer.
const ROWS: usize = 100;
/// Messages that one step of an erasure looks at.
const ERASED_AT_ONCE: usize = 200;

/// A clock that goes ahead of the time that passed by more than this was set, not running.
const LEAP: Duration = Duration::from_secs(3_600);
/// For so long nothing is dropped for its age after that: somebody may set the clock right again.
const DOUBT: Duration = Duration::from_secs(3_600);

/// Notices that the clock was set ahead. What seems old then may not be.
#[derive(Debug, Default)]
struct ClockWatch {
    seen: Option<(Instant, Micros)>,
    doubt_until: Option<Instant>,
}

impl ClockWatch {
    /// Whether ages can be believed, at this moment of the clock that nobody sets and this of the one that tells the time of day.
    fn is_trusted(&mut self, moment: Instant, now: Micros) -> bool {
        if let Some((before, then)) = self.seen {
            let ahead = now
                .since(then)
                .saturating_sub(moment.saturating_duration_since(before));
            if ahead > LEAP {
                log::warn!(
                    "the clock was set ahead by {} s; for an hour nothing is dropped for its age",
                    ahead.as_secs()
                );
                self.doubt_until = Some(moment + DOUBT);
            }
        }
        self.seen = Some((moment, now));
        self.doubt_until.is_none_or(|until| moment >= until)
    }
}

/// Whether something is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ran {
    Done,
    MoreLeft,
}

/// See the module.
pub struct Sweeper {
    shared: Arc<Shared>,
    guard: Guard,
    ringing: Ringing,
    working: bool,
    clock: ClockWatch,
    timer: Option<SpawnHandle>,
}

impl Sweeper {
    /// A sweeper that is not started yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, guard: Guard, ringing: Ringing) -> Self {
        Self {
            shared,
            guard,
            ringing,
            working: false,
            clock: ClockWatch::default(),
            timer: None,
        }
    }

    fn run(&mut self, ctx: &mut Context<Self>) {
        if self.working || self.guard.is_superseded() || self.shared.is_stopping() {
            return;
        }
        self.working = true;
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let ages = self.clock.is_trusted(Instant::now(), self.shared.now());
        ctx.spawn(
            run_once(Arc::clone(&self.shared), ages)
                .into_actor(self)
                .map(|ran, act, ctx| {
                    act.working = false;
                    let pause = match ran {
                        Ok(Ran::Done) if next_tidying(&act.shared).is_none() => REST,
                        Ok(Ran::MoreLeft | Ran::Done) => BREATH,
                        Err(error) => {
                            log::warn!("upkeep waits: {error}");
                            REST / 10
                        }
                    };
                    act.timer = Some(ctx.run_later(pause, Self::run));
                }),
        );
    }
}

async fn run_once(shared: Arc<Shared>, ages_are_trusted: bool) -> DbResult<Ran> {
    let _piece = shared.work.begin();
    if erase_some(&shared).await? == Ran::MoreLeft {
        return Ok(Ran::MoreLeft);
    }
    if tidy_some(&shared).await? == Ran::MoreLeft {
        return Ok(Ran::MoreLeft);
    }
    if forget_some(&shared).await? == Ran::MoreLeft {
        return Ok(Ran::MoreLeft);
    }
    let days = |days: u64| Duration::from_secs(days.saturating_mul(86_400));
    let retention = &shared.config.retention;
    let bounds = SweepBounds {
        rows: ROWS,
        archived_age: days(retention.archived_days),
        event_age: days(retention.events_days),
    };
    let report = if ages_are_trusted {
        shared.backend.sweep(bounds, shared.now()).await?
    } else {
        SweepReport::default()
    };
    if report.given_back > 0 {
        log::debug!(
            "the database gave {} bytes back to the disk",
            report.given_back
        );
    }
    if report.lanes > 0 {
        log::error!(
            "{} lanes had no head and were mended: a defect of the hub",
            report.lanes
        );
    }
    for endpoint in shared.backend.accepted_endpoints().await? {
        if report.lanes > 0 || shared.directory.seat(endpoint).is_none() {
            shared.directory.ring_dispatcher(endpoint);
        }
    }
    Ok(if report.more {
        Ran::MoreLeft
    } else {
        Ran::Done
    })
}

/// One step of what was asked to be erased. Dispatchers forget what they have read of it.
async fn erase_some(shared: &Shared) -> DbResult<Ran> {
    let step = shared
        .backend
        .erasure_step(ERASED_AT_ONCE, shared.now())
        .await?;
    let ErasureStep::Worked { archived } = step else {
        return Ok(Ran::Done);
    };
    let mut by_endpoint: BTreeMap<EndpointKey, Vec<DeliveryKey>> = BTreeMap::new();
    for (endpoint, delivery) in archived {
        by_endpoint.entry(endpoint).or_default().push(delivery);
    }
    for (endpoint, deliveries) in by_endpoint {
        match shared.directory.seat(endpoint) {
            // A dispatcher that ends meanwhile forgets everything.
            Some(seat) => drop(seat.address.send(Forget(deliveries)).await),
            None => shared.directory.ring_dispatcher(endpoint),
        }
    }
    Ok(Ran::MoreLeft)
}

/// Takes mappings off the list until one has much to do.
async fn tidy_some(shared: &Shared) -> DbResult<Ran> {
    while let Some((mapping, what)) = next_tidying(shared) {
        if shared
            .backend
            .accepted_tidy(mapping, what, ROWS, shared.now())
            .await?
            > 0
        {
            for endpoint in shared.backend.accepted_endpoints().await? {
                shared.directory.ring_dispatcher(endpoint);
            }
            return Ok(Ran::MoreLeft);
        }
        shared
            .tidying
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|one| *one != (mapping, what));
    }
    Ok(Ran::Done)
}

/// What is known of deleted stores' shops goes, a step at a time.
async fn forget_some(shared: &Shared) -> DbResult<Ran> {
    loop {
        let next = shared
            .forgetting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .first()
            .copied();
        let Some(store) = next else {
            return Ok(Ran::Done);
        };
        if shared.backend.poll_forget(store, ROWS).await? > 0 {
            return Ok(Ran::MoreLeft);
        }
        shared
            .forgetting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|one| *one != store);
    }
}

fn next_tidying(shared: &Shared) -> Option<(MappingKey, HeldMapping)> {
    shared
        .tidying
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .first()
        .copied()
}

impl Actor for Sweeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.guard.up();
        self.shared.changed.notify_waiters();
        self.run(ctx);
    }
}

impl Handler<Wake> for Sweeper {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.ringing.answer();
        self.run(ctx);
    }
}

impl Handler<Ping> for Sweeper {
    type Result = ();

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) {
        self.guard.hear(ping);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_clock_was_set_ahead_nothing_is_old_for_an_hour() {
        let (start, day) = (Instant::now(), Duration::from_secs(86_400));
        let minute = Duration::from_secs(60);
        let mut clock = ClockWatch::default();
        let noon = Micros(0).plus(day * 20_000);
        assert!(clock.is_trusted(start, noon));
        assert!(clock.is_trusted(start + minute, noon.plus(minute)));
        let leapt = noon.plus(day * 400);
        assert!(!clock.is_trusted(start + minute * 2, leapt));
        assert!(!clock.is_trusted(start + minute * 30, leapt.plus(minute * 28)));
        // Set right again meanwhile: backwards is no reason to drop anything.
        assert!(!clock.is_trusted(start + minute * 31, noon.plus(minute * 31)));
        assert!(clock.is_trusted(start + minute * 63, noon.plus(minute * 63)));
    }
}
