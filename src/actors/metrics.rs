//! What the node counts: the figures behind `/metrics`, in the Prometheus text format.
//!
//! Counters and histograms are written where things happen, batch-wise where there are batches; gauges (queue depths, what is in
//! flight) are read when somebody asks. Labels are bounded: outcomes, states and actors, never stores, endpoints or messages, whose number
//! nobody bounds; those have their own API.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{
    db::{Figures, SettleOutcome, Settled},
    domain::delivery::{Disposition, Settlement},
};

/// Upper bounds of latencies, in seconds: half a millisecond to an hour.
const LATENCY: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 180.0, 600.0,
    3600.0,
];

/// A label's value from a fixed set of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    queue: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Actor {
    actor: String,
}

/// Why a push was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The hub is full.
    Full,
    /// The same idempotency key is in work.
    InFlight,
    /// The hub is stopping, or its database is away.
    Unavailable,
}

/// What is read at the moment of asking.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Of the database.
    pub database: Figures,
    /// Messages that wait for the commit that makes them durable.
    pub waiting_for_disk: usize,
    /// Requests under way to endpoints.
    pub in_flight: usize,
    /// Dispatchers by state, as the API words it.
    pub dispatchers: Vec<(String, usize)>,
    /// Breakers by state, as the API words it.
    pub breakers: Vec<(String, usize)>,
    /// Restarts of actors, by kind of actor.
    pub restarts: Vec<(String, u32)>,
}

/// The counters of a node.
#[derive(Debug, Default)]
pub struct Metrics {
    accepted: Counter,
    refused: Family<Reason, Counter>,
    routed: Counter,
    deliveries: Counter,
    derived: Counter,
    attempts: Family<Outcome, Counter>,
    settled: Family<Outcome, Counter>,
    attempt_seconds: LatencyHistogram,
    delivered_seconds: LatencyHistogram,
    polls: Family<Outcome, Counter>,
    poll_messages: Counter,
    pulses: Family<State, Counter>,
}

#[derive(Debug)]
struct LatencyHistogram(Histogram);

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self(Histogram::new(LATENCY))
    }
}

impl Metrics {
    /// Messages are on disk.
    pub fn accepted(&self, messages: usize) {
        self.accepted
            .inc_by(u64::try_from(messages).unwrap_or(u64::MAX));
    }

    /// A push was refused.
    pub fn refused(&self, refusal: Refusal) {
        let reason = match refusal {
            Refusal::Full => "full",
            Refusal::InFlight => "in_flight",
            Refusal::Unavailable => "unavailable",
        };
        self.refused
            .get_or_create(&Reason {
                reason: Word(reason),
            })
            .inc();
    }

    /// A batch was routed: so many messages, deliveries accepted, messages derived.
    pub fn routed(&self, messages: usize, deliveries: u64, derived: u64) {
        self.routed
            .inc_by(u64::try_from(messages).unwrap_or(u64::MAX));
        self.deliveries.inc_by(deliveries);
        self.derived.inc_by(derived);
    }

    /// The outcome of an attempt was written, or not.
    pub fn settled(&self, settlement: &Settlement, settled: &Settled) {
        if settled.outcome != SettleOutcome::Written {
            return;
        }
        let outcome = Outcome {
            outcome: Word(disposition_word(&settlement.disposition)),
        };
        self.settled.get_or_create(&outcome).inc();
        let Some(attempt) = &settlement.attempt else {
            return;
        };
        let outcome = match (attempt.status, attempt.outcome.as_str()) {
            (_, "completed") => "completed",
            (_, "scheduled") => "scheduled",
            (Some(200..=299), _) => "unusable_answer",
            (Some(300..=399), _) => "http_3xx",
            (Some(400..=499), _) => "http_4xx",
            (Some(_), _) => "http_5xx",
            (None, _) => "no_answer",
        };
        self.attempts
            .get_or_create(&Outcome {
                outcome: Word(outcome),
            })
            .inc();
        let took = Duration::from_micros(u64::try_from(attempt.duration_us).unwrap_or(0));
        self.attempt_seconds.0.observe(took.as_secs_f64());
    }

    /// A page of a shop was read and written, with so many messages.
    pub fn polled(&self, messages: u64) {
        self.poll_messages.inc_by(messages);
        self.poll_outcome("ok");
    }

    /// A shop could not be polled, for this kind of reason ([`crate::sources::SourceError::kind`]).
    pub fn poll_failed(&self, kind: &'static str) {
        self.poll_outcome(kind);
    }

    fn poll_outcome(&self, outcome: &'static str) {
        let outcome = Outcome {
            outcome: Word(outcome),
        };
        self.polls.get_or_create(&outcome).inc();
    }

    /// A shop, or a collection of it, went down or came up.
    pub fn pulse_changed(&self, is_down: bool) {
        let state = if is_down { "down" } else { "up" }.to_owned();
        self.pulses.get_or_create(&State { state }).inc();
    }

    /// A delivery was completed so long after its message was accepted.
    pub fn delivered(&self, after: Duration) {
        self.delivered_seconds.0.observe(after.as_secs_f64());
    }

    /// Everything in the Prometheus text format (OpenMetrics 1.0).
    ///
    /// # Errors
    /// When the text cannot be formed; never seen.
    pub fn render(&self, snapshot: &Snapshot) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("integrator");
        registry.register(
            "messages_accepted",
            "Messages stored durably",
            self.accepted.clone(),
        );
        registry.register(
            "pushes_refused",
            "Pushes refused, by reason",
            self.refused.clone(),
        );
        registry.register(
            "messages_routed",
            "Messages that left the incoming queue",
            self.routed.clone(),
        );
        registry.register(
            "messages_derived",
            "Messages that consumers derived",
            self.derived.clone(),
        );
        registry.register(
            "deliveries_accepted",
            "Deliveries that routing made",
            self.deliveries.clone(),
        );
        registry.register(
            "deliveries_settled",
            "Deliveries by what became of them after an attempt",
            self.settled.clone(),
        );
        registry.register("attempts", "Attempts by outcome", self.attempts.clone());
        registry.register(
            "polls",
            "Pages read from shops, by outcome",
            self.polls.clone(),
        );
        registry.register(
            "messages_polled",
            "Messages made of what changed in shops",
            self.poll_messages.clone(),
        );
        registry.register(
            "shop_changes",
            "Shops and collections that went down or came up",
            self.pulses.clone(),
        );
        let seconds = Unit::Seconds;
        registry.register_with_unit(
            "attempt_duration",
            "How long attempts took",
            seconds.clone(),
            self.attempt_seconds.0.clone(),
        );
        registry.register_with_unit(
            "delivery_latency",
            "From acceptance of a message to the completion of a delivery",
            seconds,
            self.delivered_seconds.0.clone(),
        );
        register_snapshot(&mut registry, snapshot);
        let mut out = String::new();
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}

fn register_snapshot(registry: &mut Registry, snapshot: &Snapshot) {
    let gauge = |value: u64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge
    };
    let counter = |value: u64| {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        counter
    };
    let size = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let database = &snapshot.database;
    let queues = Family::<Queue, Gauge>::default();
    let stats = &database.queues;
    for (queue, n) in [
        ("incoming", stats.incoming),
        ("pending", stats.pending),
        ("failing", stats.failing),
        ("scheduled", stats.scheduled),
        ("parked", stats.parked),
        ("archived", stats.archived),
    ] {
        queues
            .get_or_create(&Queue { queue: Word(queue) })
            .set(i64::try_from(n).unwrap_or(i64::MAX));
    }
    registry.register(
        "queue_messages",
        "Messages and deliveries by queue and state",
        queues,
    );
    let oldest: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default();
    oldest.set(database.oldest_incoming_age.as_secs_f64());
    registry.register_with_unit(
        "oldest_incoming_age",
        "Age of the oldest message not yet routed",
        Unit::Seconds,
        oldest,
    );
    registry.register(
        "intake_waiting_messages",
        "Messages that wait for their commit",
        gauge(size(snapshot.waiting_for_disk)),
    );
    registry.register(
        "attempts_in_flight",
        "Requests under way to endpoints",
        gauge(size(snapshot.in_flight)),
    );
    let by_state = |counts: &[(String, usize)]| {
        let family = Family::<State, Gauge>::default();
        for (state, n) in counts {
            family
                .get_or_create(&State {
                    state: state.clone(),
                })
                .set(i64::try_from(*n).unwrap_or(i64::MAX));
        }
        family
    };
    registry.register(
        "dispatchers",
        "Dispatchers by state",
        by_state(&snapshot.dispatchers),
    );
    registry.register(
        "breakers",
        "Endpoints' breakers by state",
        by_state(&snapshot.breakers),
    );
    let restarts = Family::<Actor, Counter>::default();
    for (actor, n) in &snapshot.restarts {
        restarts
            .get_or_create(&Actor {
                actor: actor.clone(),
            })
            .inc_by(u64::from(*n));
    }
    registry.register(
        "actor_restarts",
        "Actors that had to be started anew, by kind",
        restarts,
    );
    registry.register(
        "db_commits",
        "Transactions committed",
        counter(database.commits),
    );
    registry.register(
        "db_commands",
        "Commands written, several to a transaction",
        counter(database.commands),
    );
    registry.register(
        "db_rollbacks",
        "Transactions abandoned",
        counter(database.rollbacks),
    );
    registry.register(
        "db_fsyncs",
        "Syncs asked of the operating system: one for each commit, two for each fold of the log into the file",
        counter(database.syncs),
    );
    let written: Counter<f64, std::sync::atomic::AtomicU64> = Counter::default();
    written.inc_by(database.writing.as_secs_f64());
    registry.register_with_unit(
        "db_writing",
        "Time spent in writing transactions, commits included",
        Unit::Seconds,
        written,
    );
}

fn disposition_word(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Completed { .. } => "completed",
        Disposition::Failing { .. } => "failing",
        Disposition::Parked { .. } => "parked",
        Disposition::Scheduled { .. } => "scheduled",
        Disposition::Held => "held",
        Disposition::Removed => "removed",
        Disposition::Postponed { .. } => "postponed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted_under_conventional_names() {
        let metrics = Metrics::default();
        metrics.accepted(3);
        metrics.routed(3, 5, 1);
        metrics.refused(Refusal::Full);
        metrics.delivered(Duration::from_millis(4));
        let restarts = vec![("dispatcher".to_owned(), 2)];
        let text = metrics
            .render(&Snapshot {
                restarts,
                in_flight: 7,
                ..Snapshot::default()
            })
            .unwrap();
        for line in [
            "integrator_messages_accepted_total 3",
            "integrator_deliveries_accepted_total 5",
            "integrator_pushes_refused_total{reason=\"full\"} 1",
            "integrator_delivery_latency_seconds_bucket{le=\"0.005\"} 1",
            "integrator_attempts_in_flight 7",
            "integrator_actor_restarts_total{actor=\"dispatcher\"} 2",
            "integrator_queue_messages{queue=\"parked\"} 0",
        ] {
            assert!(
                text.lines().any(|own| own == line),
                "{line} is missing in\n{text}"
            );
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
