//! The state of the model, its steps, and the promises.

use std::collections::{BTreeMap, BTreeSet};

use integrator::domain::{
    delivery::{ArchiveReason, Disposition, Fence, Place, WaitState},
    key::MappingKey,
    routing::{Decision, RouteProgress},
};
use stateright::{Model, Property};

use super::rules::{FIRST_MAPPING, Rules, Word, message, next_chunk, settled, store};

/// How much happens at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The messages, in the order in which they are pushed, each after the one before was answered: the order each is about.
    pub orders: &'static [&'static str],
    /// Mappings that all take everything, each with an endpoint of its own.
    pub mappings: usize,
    /// `kill -9`.
    pub crashes: u8,
    /// Dispatchers and routers that are replaced while they still work.
    pub takeovers: u8,
    /// Times a person releases something parked.
    pub releases: u8,
    /// Failures after which a delivery is parked.
    pub failures: u32,
}

/// A delivery: message and mapping, by number.
type Key = (usize, usize);

/// A delivery's row, in the accepted queue or the archive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    place: Place,
    pos: u8,
    head: bool,
    attempts: u32,
    failures: u32,
    /// It has been parked at some time: later ones of its lane may have passed it.
    stepped_out: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Stage {
    Sent,
    Arrived,
    Ended(Word),
}

/// An attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flight {
    key: Key,
    stage: Stage,
    epoch: u8,
    attempts: u32,
    failures: u32,
    /// Whoever made it still lives and can write down how it ended.
    lives: bool,
}

/// A router's decision that is not written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decided {
    message: usize,
    up_to: Option<usize>,
    epoch: u8,
}

/// Everything, on disk and in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    // On disk.
    answered: usize,
    incoming: BTreeMap<usize, Option<usize>>,
    rows: BTreeMap<Key, Row>,
    positions: u8,
    router_epoch: u8,
    epochs: Vec<u8>,
    // In memory and on the wire.
    decided: Vec<Decided>,
    flights: Vec<Flight>,
    // What endpoints know: what arrived, in the order of first sight, and what they took.
    seen: Vec<Key>,
    taken: BTreeSet<Key>,
    // What happened, for the properties.
    repeated: bool,
    accepted_twice: bool,
    failed_by_a_stranger: bool,
    late_success: bool,
    // What may still happen.
    crashes: u8,
    takeovers: u8,
    releases: u8,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    Accept,
    Decide,
    Route(usize),
    Send(Key),
    Arrive(usize),
    End(usize, Word),
    Settle(usize),
    Crash,
    ReplaceDispatcher(usize),
    ReplaceRouter,
    Release(Key),
}

/// The model.
pub struct Life {
    bounds: Bounds,
    rules: Rules,
    /// What routing says of a message from a mapping on, and what settling says of an attempt after so many failures: both are asked
    /// once and looked up then, for there are hundreds of thousands of states.
    decisions: BTreeMap<(usize, Option<usize>), Decision>,
    dispositions: BTreeMap<(u32, Word), Disposition>,
}

impl Life {
    pub fn new(bounds: Bounds, rules: Rules) -> Self {
        let store = store(bounds.mappings);
        let mut decisions = BTreeMap::new();
        for (n, order) in bounds.orders.iter().enumerate() {
            let message = message(n, order);
            for up_to in (0..bounds.mappings).map(Some).chain([None]) {
                let decision = next_chunk(&message, up_to.map(key_of), &store);
                decisions.insert((n, up_to), decision);
            }
        }
        let mut dispositions = BTreeMap::new();
        // A mutant may fail a delivery more often than is allowed.
        for failures in 0..bounds.failures + 8 {
            for word in [Word::Taken, Word::Refused, Word::Silence] {
                let disposition = settled(&message(0, "R1"), failures, word, bounds.failures);
                dispositions.insert((failures, word), disposition);
            }
        }
        Self {
            decisions,
            dispositions,
            bounds,
            rules,
        }
    }

    fn holds_lane(&self, row: &Row) -> bool {
        matches!(row.place, Place::Waits(state) if (self.rules.holds_lane)(state))
    }

    /// The rows of a delivery's lane that hold it, first one first.
    fn lane(&self, state: &State, (message, mapping): Key) -> Vec<Key> {
        let order = self.bounds.orders[message];
        let mut lane: Vec<(u8, Key)> = state
            .rows
            .iter()
            .filter(|((of, to), row)| {
                *to == mapping && self.bounds.orders[*of] == order && self.holds_lane(row)
            })
            .map(|(key, row)| (row.pos, *key))
            .collect();
        lane.sort_unstable();
        lane.into_iter().map(|(_, key)| key).collect()
    }

    /// What the router's transaction does.
    fn route(&self, state: &mut State, decided: Decided) {
        // The fence, and the row it consumes.
        if decided.epoch != state.router_epoch
            || state.incoming.get(&decided.message) != Some(&decided.up_to)
        {
            return;
        }
        let Decision {
            deliveries,
            progress,
            ..
        } = &self.decisions[&(decided.message, decided.up_to)];
        for delivery in deliveries {
            let key = (decided.message, number_of(delivery.mapping));
            let head = self.lane(state, key).is_empty();
            let row = Row {
                place: Place::Waits(WaitState::Pending),
                pos: state.positions,
                head,
                attempts: 0,
                failures: 0,
                stepped_out: false,
            };
            state.positions += 1;
            state.accepted_twice |= state.rows.insert(key, row).is_some();
        }
        match progress {
            RouteProgress::Done => state.incoming.remove(&decided.message),
            RouteProgress::UpTo(mapping) => state
                .incoming
                .insert(decided.message, Some(number_of(*mapping))),
        };
    }

    /// What the settler's transaction does.
    fn settle(&self, state: &mut State, flight: Flight, word: Word) {
        let epoch = state.epochs[flight.key.1];
        let Some(row) = state.rows.get(&flight.key).cloned() else {
            return;
        };
        let Place::Waits(waits) = row.place else {
            return;
        };
        let disposition = &self.dispositions[&(flight.failures, word)];
        let fence = Fence {
            epoch: flight.epoch.into(),
            attempts: flight.attempts,
        };
        if disposition.needs_fence()
            && !(self.rules.fence_holds)(fence, epoch.into(), row.attempts, waits)
        {
            return;
        }
        let is_late = flight.epoch != epoch;
        state.failed_by_a_stranger |= is_late && disposition.needs_fence();
        state.late_success |= is_late && !disposition.needs_fence();
        let place = disposition.leads_to(waits);
        let parked = place == Place::Waits(WaitState::Parked);
        let after = Row {
            place,
            attempts: row.attempts + 1,
            failures: row.failures + u32::from(disposition.needs_fence()),
            stepped_out: row.stepped_out || parked,
            ..row
        };
        let leaves = !self.holds_lane(&after);
        state.rows.insert(
            flight.key,
            Row {
                head: row.head && !leaves,
                ..after
            },
        );
        if leaves && row.head {
            let next = self.lane(state, flight.key).first().copied();
            if let Some(next) = next.and_then(|key| state.rows.get_mut(&key)) {
                next.head = true;
            }
        }
    }

    /// A person releases a parked delivery: it goes to its lane's tail.
    fn release(&self, state: &mut State, key: Key) {
        let head = self.lane(state, key).is_empty();
        let pos = state.positions;
        state.positions += 1;
        if let Some(row) = state.rows.get_mut(&key) {
            row.place = Place::Waits(WaitState::Pending);
            row.failures = 0;
            row.pos = pos;
            row.head = head;
        }
    }

    fn may_send(&self, state: &State, key: Key, row: &Row) -> bool {
        let epoch = state.epochs[key.1];
        // What a dispatcher holds it does not read again.
        let held = |flight: &Flight| flight.key == key && flight.lives && flight.epoch == epoch;
        row.head && self.holds_lane(row) && !state.flights.iter().any(held)
    }
}

fn key_of(mapping: usize) -> MappingKey {
    MappingKey(FIRST_MAPPING + i64::try_from(mapping).unwrap())
}

fn number_of(mapping: MappingKey) -> usize {
    usize::try_from(mapping.0 - FIRST_MAPPING).unwrap()
}

impl Model for Life {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            answered: 0,
            incoming: BTreeMap::new(),
            rows: BTreeMap::new(),
            positions: 0,
            router_epoch: 1,
            epochs: vec![1; self.bounds.mappings],
            decided: Vec::new(),
            flights: Vec::new(),
            seen: Vec::new(),
            taken: BTreeSet::new(),
            repeated: false,
            accepted_twice: false,
            failed_by_a_stranger: false,
            late_success: false,
            crashes: self.bounds.crashes,
            takeovers: self.bounds.takeovers,
            releases: self.bounds.releases,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.answered < self.bounds.orders.len() {
            steps.push(Step::Accept);
        }
        let own = |one: &Decided| one.epoch == state.router_epoch;
        if !state.incoming.is_empty() && !state.decided.iter().any(own) {
            steps.push(Step::Decide);
        }
        steps.extend((0..state.decided.len()).map(Step::Route));
        for (key, row) in &state.rows {
            if self.may_send(state, *key, row) {
                steps.push(Step::Send(*key));
            }
            if state.releases > 0 && row.place == Place::Waits(WaitState::Parked) {
                steps.push(Step::Release(*key));
            }
        }
        for (at, flight) in state.flights.iter().enumerate() {
            match flight.stage {
                Stage::Sent => {
                    steps.push(Step::Arrive(at));
                    if flight.lives {
                        steps.push(Step::End(at, Word::Silence));
                    }
                }
                Stage::Arrived => {
                    // An answer that is lost on its way back is a failure like any other.
                    let words = [Word::Taken, Word::Refused];
                    steps.extend(words.map(|word| Step::End(at, word)));
                }
                Stage::Ended(_) => steps.push(Step::Settle(at)),
            }
        }
        if state.crashes > 0 {
            steps.push(Step::Crash);
        }
        if state.takeovers > 0 {
            steps.extend((0..self.bounds.mappings).map(Step::ReplaceDispatcher));
            steps.push(Step::ReplaceRouter);
        }
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        match step {
            Step::Accept => {
                state.incoming.insert(state.answered, None);
                state.answered += 1;
            }
            Step::Decide => {
                let (message, up_to) = state.incoming.first_key_value()?;
                let decided = Decided {
                    message: *message,
                    up_to: *up_to,
                    epoch: state.router_epoch,
                };
                state.decided.push(decided);
            }
            Step::Route(at) => {
                let decided = state.decided.remove(at);
                self.route(&mut state, decided);
            }
            Step::Send(key) => {
                let row = state.rows.get(&key)?;
                state.flights.push(Flight {
                    key,
                    stage: Stage::Sent,
                    epoch: state.epochs[key.1],
                    attempts: row.attempts,
                    failures: row.failures,
                    lives: true,
                });
            }
            Step::Arrive(at) => {
                let flight = state.flights.get_mut(at)?;
                flight.stage = Stage::Arrived;
                let (key, lives) = (flight.key, flight.lives);
                if state.seen.contains(&key) {
                    state.repeated = true;
                } else {
                    state.seen.push(key);
                }
                if !lives {
                    // The endpoint may act on it; nobody reads its answer.
                    state.flights.remove(at);
                }
            }
            Step::End(at, word) => {
                let flight = state.flights.get_mut(at)?;
                flight.stage = Stage::Ended(word);
                if word == Word::Taken {
                    state.taken.insert(flight.key);
                }
            }
            Step::Settle(at) => {
                let flight = state.flights.remove(at);
                if let Stage::Ended(word) = flight.stage {
                    self.settle(&mut state, flight, word);
                }
            }
            Step::Crash => {
                state.crashes -= 1;
                state.decided.clear();
                // What was on the wire may still arrive.
                state.flights.retain(|flight| flight.stage == Stage::Sent);
                state
                    .flights
                    .iter_mut()
                    .for_each(|flight| flight.lives = false);
                state.router_epoch += 1;
                state.epochs.iter_mut().for_each(|epoch| *epoch += 1);
            }
            Step::ReplaceDispatcher(mapping) => {
                state.takeovers -= 1;
                state.epochs[mapping] += 1;
            }
            Step::ReplaceRouter => {
                state.takeovers -= 1;
                state.router_epoch += 1;
            }
            Step::Release(key) => {
                state.releases -= 1;
                self.release(&mut state, key);
            }
        }
        state.flights.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(
                "what was answered is never lost",
                |life: &Life, state: &State| {
                    (0..state.answered).all(|message| {
                        state.incoming.contains_key(&message)
                            || (0..life.bounds.mappings)
                                .all(|mapping| state.rows.contains_key(&(message, mapping)))
                    })
                },
            ),
            Property::always("a mapping gets a message once", |_, state: &State| {
                !state.accepted_twice
            }),
            Property::always("an endpoint sees an object's messages in order", in_order),
            Property::always(
                "each lane has one head, its first",
                |life: &Life, state: &State| {
                    state
                        .rows
                        .iter()
                        .all(|(key, row)| row.head == (life.lane(state, *key).first() == Some(key)))
                },
            ),
            Property::always("what is completed was taken", |_, state: &State| {
                let done = Place::Archived(ArchiveReason::Completed);
                state
                    .rows
                    .iter()
                    .all(|(key, row)| row.place != done || state.taken.contains(key))
            }),
            Property::always(
                "only the owner's latest attempt can fail a delivery",
                |_, state: &State| !state.failed_by_a_stranger,
            ),
            Property::eventually(
                "everything is done or waits for a person",
                |life: &Life, state: &State| {
                    let over = |row: &Row| {
                        matches!(
                            row.place,
                            Place::Archived(_) | Place::Waits(WaitState::Parked)
                        )
                    };
                    state.answered == life.bounds.orders.len()
                        && state.incoming.is_empty()
                        && state.rows.values().all(over)
                },
            ),
            Property::sometimes("a repeat arrives", |_, state: &State| state.repeated),
        ];
        if self.bounds.takeovers > 0 {
            all.push(Property::sometimes(
                "a late success settles",
                |_, state: &State| state.late_success,
            ));
        }
        all
    }
}

/// First sights of one object's messages come in their order, but for those that had stepped out of their lane.
fn in_order(life: &Life, state: &State) -> bool {
    let orders = life.bounds.orders;
    let place = |key: Key| state.seen.iter().position(|seen| *seen == key);
    state.seen.iter().enumerate().all(|(at, (later, mapping))| {
        (0..*later)
            .filter(|earlier| orders[*earlier] == orders[*later])
            .all(|earlier| {
                let key = (earlier, *mapping);
                place(key).is_some_and(|first| first < at)
                    || state.rows.get(&key).is_some_and(|row| row.stepped_out)
            })
    })
}
