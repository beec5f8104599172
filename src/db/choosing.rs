//! Which rows a job touches, as far as that can be said without a connection: what a question chooses, how what was found is
//! counted, and where a step's rows end. The walks that find them are each backend's own.

use std::collections::BTreeMap;

use super::{
    ArchivedSource, JobCount, JobGroup, JobQuestion, Locator, Queue, QueueQuery,
    walk::ROWS_EXAMINED,
};
use crate::domain::{
    delivery::{ArchiveReason, WaitState},
    job::{Chosen, JobKind, Stepped},
    key::{MappingKey, StoreKey},
};

/// Keys that are looked at in one statement.
pub(in crate::db) const NAMED_AT_ONCE: usize = 500;

/// The next few named keys above one.
fn named_above(keys: &[i64], above: i64) -> &[i64] {
    let begin = keys.partition_point(|key| *key <= above);
    let end = keys.len().min(begin + NAMED_AT_ONCE);
    keys.get(begin..end).unwrap_or_default()
}

/// Those of a choice's named keys that are looked at next above one; `None` when it names none and its filters say.
pub(in crate::db) fn next_named(chosen: &Chosen, above: i64) -> Option<&[i64]> {
    chosen.keys.as_deref().map(|keys| named_above(keys, above))
}

/// The states that a question leaves for what would be done; `None` when it is about rows that wait no more.
pub(in crate::db) fn states_of(question: &JobQuestion) -> Option<Vec<WaitState>> {
    match question.kind {
        JobKind::Replay => None,
        JobKind::Retry | JobKind::Archive => {
            let states = question.query.states.as_deref().unwrap_or(&WaitState::ALL);
            let states = states.iter().copied();
            Some(
                states
                    .filter(|state| question.kind.acts_on(*state))
                    .collect(),
            )
        }
    }
}

/// A choice as a list's filters: of the queue that the kind acts on.
pub(in crate::db) fn query_of(store: StoreKey, kind: JobKind, chosen: &Chosen) -> QueueQuery {
    QueueQuery {
        store,
        queue: match kind {
            JobKind::Replay => Queue::Archived,
            JobKind::Retry | JobKind::Archive => Queue::Accepted,
        },
        kinds: chosen.kinds.clone(),
        states: chosen.states.clone(),
        reasons: chosen.reasons.clone(),
        source: (kind == JobKind::Replay).then_some(ArchivedSource::Accepted),
        from: chosen.from,
        until: chosen.until,
        message: None,
        mapping: chosen.mapping,
        object: None,
        after: None,
        skip: 0,
        limit: 0,
    }
}

/// Rows that a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::db) struct Picked {
    /// Their keys, ascending.
    pub(in crate::db) keys: Vec<i64>,
    /// Up to which key everything was looked at.
    pub(in crate::db) up_to: i64,
    /// Nothing is left behind them.
    pub(in crate::db) is_last: bool,
}

impl Picked {
    /// At most `limit` rows of those found above `above`, in any order; `stop` is the lowest key at which a walk stopped
    /// looking.
    pub(in crate::db) fn of(
        chosen: &Chosen,
        above: i64,
        limit: usize,
        mut keys: Vec<i64>,
        stop: Option<i64>,
    ) -> Self {
        if let Some(stop) = stop {
            keys.retain(|key| *key <= stop);
        }
        keys.sort_unstable();
        keys.dedup();
        let is_full = keys.len() >= limit;
        keys.truncate(limit);
        let end = match next_named(chosen, above) {
            Some(named) => {
                let is_all = chosen.keys.as_ref().and_then(|keys| keys.last()) == named.last();
                named.last().copied().filter(|_| !is_all)
            }
            None => stop,
        };
        let (up_to, is_last) = match (keys.last(), end) {
            (Some(last), _) if is_full => (*last, false),
            (_, Some(end)) => (end, false),
            (_, None) => (chosen.upper.max(above), true),
        };
        Self {
            keys,
            up_to,
            is_last,
        }
    }

    /// How many rows a step over them writes, roughly.
    pub(in crate::db) fn rows(&self) -> usize {
        1 + 4 * self.keys.len()
    }

    /// The step that did `done` of them.
    pub(in crate::db) fn stepped(&self, done: u64) -> Stepped {
        let found = u64::try_from(self.keys.len()).unwrap_or(u64::MAX);
        Stepped {
            up_to: self.up_to,
            done,
            skipped: found.saturating_sub(done),
            is_last: self.is_last,
        }
    }
}

/// Rows of one mapping in one place, among those that one piece of counting looked at.
#[derive(Debug, Clone, Copy)]
pub(in crate::db) struct Piece {
    /// `None`: of a message.
    pub(in crate::db) mapping: Option<i64>,
    /// The number of their state or reason.
    pub(in crate::db) place: i64,
    /// How many match.
    pub(in crate::db) n: i64,
    /// The newest that was looked at.
    pub(in crate::db) last: i64,
    /// How many were looked at.
    pub(in crate::db) looked: i64,
}

/// Counting what a question is about, a piece at a time, so that others read in between.
pub(in crate::db) struct Counting {
    pub(in crate::db) store: StoreKey,
    pub(in crate::db) kind: JobKind,
    pub(in crate::db) chosen: Chosen,
    /// The walk that is counted now.
    pub(in crate::db) walk: usize,
    /// Above which key.
    pub(in crate::db) above: i64,
    groups: BTreeMap<(i64, i64), u64>,
}

impl Counting {
    /// Nothing is counted yet.
    pub(in crate::db) fn of(store: StoreKey, kind: JobKind, chosen: Chosen) -> Self {
        Self {
            store,
            kind,
            walk: 0,
            above: chosen.above,
            chosen,
            groups: BTreeMap::new(),
        }
    }

    /// The column that says where a row is.
    pub(in crate::db) fn place(&self) -> &'static str {
        match self.kind {
            JobKind::Replay => "reason",
            JobKind::Retry | JobKind::Archive => "state",
        }
    }

    /// Takes in what was found above `above` by the walk at work, one of `walks`, and moves on; whether more is left.
    pub(in crate::db) fn add(&mut self, found: &[Piece], walks: usize) -> bool {
        for piece in found {
            let key = (piece.mapping.unwrap_or(0), piece.place);
            *self.groups.entry(key).or_default() += piece.n.max(0).cast_unsigned();
        }
        match next_named(&self.chosen, self.above) {
            Some([.., end]) => {
                self.above = *end;
                return true;
            }
            Some([]) => return false,
            None => {}
        }
        let looked: i64 = found.iter().map(|piece| piece.looked).sum();
        match found.iter().map(|piece| piece.last).max() {
            Some(last) if looked >= i64::try_from(ROWS_EXAMINED).unwrap_or(i64::MAX) => {
                self.above = last;
            }
            _ => {
                self.walk += 1;
                self.above = self.chosen.above;
            }
        }
        self.walk < walks
    }

    /// What was counted.
    pub(in crate::db) fn finish(self) -> JobCount {
        let kind = self.kind;
        let group = |((mapping, place), count): ((i64, i64), u64)| JobGroup {
            mapping: MappingKey(mapping),
            location: location(kind, place),
            count,
        };
        let groups = self.groups.into_iter();
        JobCount {
            chosen: self.chosen,
            groups: groups.filter(|(_, count)| *count > 0).map(group).collect(),
        }
    }
}

/// Where rows with this number of a state or reason are; one that nobody knows is parked, or unreadable.
fn location(kind: JobKind, place: i64) -> Locator {
    let number = i32::try_from(place).ok();
    match kind {
        JobKind::Replay => {
            let reason = number.and_then(ArchiveReason::from_number);
            Locator::Archived(reason.unwrap_or(ArchiveReason::Unreadable))
        }
        JobKind::Retry | JobKind::Archive => {
            let state = number.and_then(WaitState::from_number);
            Locator::Accepted(state.unwrap_or(WaitState::Parked))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Micros;

    fn chosen(keys: Option<Vec<i64>>) -> Chosen {
        Chosen {
            keys,
            kinds: None,
            states: None,
            reasons: None,
            mapping: None,
            from: None,
            until: None,
            above: 0,
            upper: 900,
            asked_at: Micros(0),
        }
    }

    #[test]
    fn a_full_step_ends_with_its_last_row() {
        let picked = Picked::of(&chosen(None), 10, 2, vec![30, 20, 40, 20], None);
        assert_eq!((picked.keys, picked.up_to), (vec![20, 30], 30));
        assert!(!picked.is_last);
    }

    #[test]
    fn a_step_goes_no_further_than_the_walk_that_stopped_first() {
        let picked = Picked::of(&chosen(None), 10, 9, vec![30, 20, 40], Some(35));
        assert_eq!((picked.keys, picked.up_to), (vec![20, 30], 35));
        assert!(!picked.is_last);
    }

    #[test]
    fn the_last_step_ends_where_the_choice_does() {
        let picked = Picked::of(&chosen(None), 10, 9, vec![30, 20], None);
        assert_eq!((picked.up_to, picked.is_last), (900, true));
        let picked = Picked::of(&chosen(Some(vec![20, 30])), 10, 9, vec![30, 20], None);
        assert_eq!((picked.up_to, picked.is_last), (900, true));
    }

    #[test]
    fn named_keys_are_looked_at_some_at_a_time() {
        let many = chosen(Some((1..=700).collect()));
        let first = Picked::of(&many, 0, 900, vec![7], None);
        assert_eq!((first.up_to, first.is_last), (500, false));
        let second = Picked::of(&many, first.up_to, 900, vec![], None);
        assert_eq!((second.up_to, second.is_last), (900, true));
    }

    #[test]
    fn counting_goes_on_in_a_walk_that_looked_at_all_it_may() {
        let all = i64::try_from(ROWS_EXAMINED).unwrap();
        let piece = |n, last, looked| Piece {
            mapping: Some(4),
            place: 0,
            n,
            last,
            looked,
        };
        let mut counting = Counting::of(StoreKey(1), JobKind::Retry, chosen(None));
        assert!(counting.add(&[piece(5, 70, all)], 2));
        assert_eq!((counting.walk, counting.above), (0, 70));
        assert!(counting.add(&[piece(1, 90, 3)], 2));
        assert_eq!((counting.walk, counting.above), (1, 0));
        assert!(!counting.add(&[], 2));
        assert_eq!(counting.finish().count(), 6);
    }
}
