//! The three queues as lists see them: what is counted, what a query asks for, and by which way it is found.

use super::{
    ArchivedSource, Queue, QueueQuery, QueueStats,
    walk::{all_of, among},
};
use crate::domain::{
    delivery::{ArchiveReason, WaitState},
    key::MappingKey,
};

/// Messages about one object that a list looks through, newest first.
pub(in crate::db) const OBJECT_MESSAGES: usize = 1000;

/// Counters of places, added up: waiting deliveries by the number of their state, 5 for incoming messages, 6 for the archive.
pub(in crate::db) fn stats_of<N: Into<i64>>(
    counts: impl IntoIterator<Item = (N, i64)>,
) -> QueueStats {
    let mut stats = QueueStats::default();
    for (place, n) in counts {
        let n = u64::try_from(n).unwrap_or(0);
        match place.into() {
            5 => stats.incoming = n,
            6 => stats.archived = n,
            state => match i32::try_from(state).ok().and_then(WaitState::from_number) {
                Some(WaitState::Pending | WaitState::Held) => stats.pending += n,
                Some(WaitState::Failing) => stats.failing += n,
                Some(WaitState::Scheduled) => stats.scheduled = n,
                Some(WaitState::Parked) => stats.parked = n,
                None => log::error!("rows are counted in an unknown place {state}"),
            },
        }
    }
    stats
}

/// A queue's table, and the column that says when its rows were made.
pub(in crate::db) fn table_of(queue: Queue) -> (&'static str, &'static str) {
    match queue {
        Queue::Incoming => ("incoming", "accepted_at"),
        Queue::Accepted => ("accepted", "created_at"),
        Queue::Archived => ("archived", "created_at"),
    }
}

/// By what a queue's rows are found: all of a store, or those of one state, mapping, reason or type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Way {
    /// All.
    Store,
    /// Waiting deliveries in a state other than pending.
    State(WaitState),
    /// Archived deliveries of a mapping.
    Mapping(MappingKey),
    /// What was archived for a reason other than success.
    Reason(ArchiveReason),
    /// What was archived of a type, by its key.
    Kind(i64),
}

impl Way {
    /// What the index is entered by.
    pub(in crate::db) fn enter(self, query: &QueueQuery) -> String {
        let store = format!("store = {}", query.store);
        match self {
            Self::Store => store,
            Self::State(state) => {
                format!("{store} AND state = {0} AND state <> 0", state.number())
            }
            Self::Mapping(mapping) => format!("mapping = {mapping}"),
            Self::Reason(reason) => {
                format!("{store} AND reason = {0} AND reason <> 0", reason.number())
            }
            Self::Kind(kind) => format!("kind = {kind}"),
        }
    }
}

/// Whether a reason can be found by the index of those that are not a success.
fn is_indexed(reason: ArchiveReason) -> bool {
    reason != ArchiveReason::Completed
}

/// The ways that find a queue's rows: by the narrowest index that the query's filters allow. `kinds`: the keys of its types.
pub(in crate::db) fn ways(query: &QueueQuery, kinds: Option<&[i64]>) -> Vec<Way> {
    match query.queue {
        Queue::Incoming => {}
        Queue::Accepted => {
            let states = query.states.as_deref().unwrap_or_default();
            if !states.is_empty() && !states.contains(&WaitState::Pending) {
                return states.iter().copied().map(Way::State).collect();
            }
        }
        Queue::Archived => {
            if let Some(mapping) = query.mapping {
                return vec![Way::Mapping(mapping)];
            }
            let not_success = || {
                let reasons = ArchiveReason::ALL.into_iter();
                reasons.filter(|reason| is_indexed(*reason)).collect()
            };
            let reasons: Option<Vec<_>> = match (&query.reasons, query.source) {
                (Some(reasons), _) => Some(reasons.clone()),
                (None, Some(ArchivedSource::Incoming)) => Some(not_success()),
                (None, _) => None,
            };
            if let Some(reasons) =
                reasons.filter(|reasons| reasons.iter().all(|reason| is_indexed(*reason)))
            {
                return reasons.into_iter().map(Way::Reason).collect();
            }
            if let Some(kinds) = kinds {
                return kinds.iter().copied().map(Way::Kind).collect();
            }
        }
    }
    vec![Way::Store]
}

/// The condition that finds rows of the query's store whose keys are known.
pub(in crate::db) fn by_key(query: &QueueQuery, keys: &[i64]) -> String {
    all_of(&[
        format!("store = {}", query.store),
        among("seq", keys.iter().copied()),
    ])
}

/// Everything the query asks for besides the store and the range of keys.
pub(in crate::db) fn filter(query: &QueueQuery, kinds: Option<&[i64]>) -> String {
    let (_, made) = table_of(query.queue);
    let mut conditions = Vec::new();
    if let Some(kinds) = kinds {
        conditions.push(among("kind", kinds.iter().copied()));
    }
    if let Some(from) = query.from {
        conditions.push(format!("{made} >= {}", from.0));
    }
    if let Some(until) = query.until {
        conditions.push(format!("{made} < {}", until.0));
    }
    match (query.queue, query.mapping) {
        (Queue::Incoming, Some(_)) => conditions.push("FALSE".into()),
        (_, Some(mapping)) => conditions.push(format!("mapping = {mapping}")),
        (_, None) => {}
    }
    if let (Queue::Accepted, Some(states)) = (query.queue, &query.states) {
        let numbers = states.iter().map(|state| i64::from(state.number()));
        conditions.push(among("state", numbers));
    }
    if query.queue == Queue::Archived {
        if let Some(reasons) = &query.reasons {
            let numbers = reasons.iter().map(|reason| i64::from(reason.number()));
            conditions.push(among("reason", numbers));
        }
        match query.source {
            Some(ArchivedSource::Incoming) => conditions.push("mapping IS NULL".into()),
            Some(ArchivedSource::Accepted) => conditions.push("mapping IS NOT NULL".into()),
            None => {}
        }
    }
    all_of(&conditions)
}
