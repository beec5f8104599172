//! Who gets a message: mappings compiled for matching, and the decision itself.
//!
//! [`Subscriptions`] is one store's mappings. For each message type it keeps a [`Route`]: the mappings that subscribe to that
//! type in order of key, with all paths of their filters and identifiers in one [`PathSet`], so that a message is walked once
//! however many mappings look at it. Routes are compiled when a type is first seen. [`route`] is a pure function from a message and a
//! store's subscriptions to candidates; whether a candidate's identifier values were claimed before is the database's answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    delivery::{Claim, NewDelivery, SkipReason},
    filter::{Filter, FilterSet, Verdict, Verdicts},
    identifier::CompiledIdentifiers,
    key::{EndpointKey, MappingKey},
    lookup::{Found, PathSet, RootView},
    message::Incoming,
    message_type::MessageType,
    reference::lane_hash,
    registry::{Entry, Mapping, StoreSnapshot},
};

/// Types whose routes are kept compiled per store; beyond it they are compiled for each message.
const ROUTES_KEPT: usize = 1_000;

/// One mapping that subscribes to a message's type and does not get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The mapping.
    pub mapping: MappingKey,
    /// Why not.
    pub reason: SkipReason,
}

/// How far the fan-out of a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteProgress {
    /// This was all of it: the message leaves the incoming queue.
    Done,
    /// More mappings follow after this one: the incoming row notes it and stays.
    UpTo(MappingKey),
}

/// Who gets a message, or one chunk of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Candidates; the database drops those whose claim another delivery holds.
    pub deliveries: Vec<NewDelivery>,
    /// Who subscribes and does not get it.
    pub skipped: Vec<Skip>,
    /// Whether more chunks follow.
    pub progress: RouteProgress,
}

/// One store's mappings, compiled.
#[derive(Default)]
pub struct Subscriptions {
    mappings: Vec<Subscriber>,
    routes: Mutex<HashMap<String, Arc<Route>>>,
}

impl std::fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriptions")
            .field("mappings", &self.mappings.len())
            .finish()
    }
}

#[derive(Clone)]
struct Subscriber {
    key: MappingKey,
    endpoint: EndpointKey,
    mapping: Arc<Mapping>,
}

struct Route {
    paths: PathSet,
    filters: FilterSet,
    candidates: Vec<Candidate>,
}

struct Candidate {
    subscriber: Subscriber,
    conditions: Conditions,
    identifiers: CompiledIdentifiers,
}

enum Conditions {
    Compiled(Box<[usize]>),
    /// The stored filters do not compile (only a database edited by hand has such): the mapping gets nothing, with this reason.
    Broken(String),
}

impl Subscriptions {
    /// The subscriptions of a store, as of its snapshot.
    #[must_use]
    pub fn compile(store: &StoreSnapshot) -> Self {
        let mappings = store
            .mappings
            .values()
            .map(|entry: &Entry<MappingKey, Mapping>| Subscriber {
                key: entry.key,
                endpoint: store.endpoint_of(entry),
                mapping: Arc::new(entry.value.clone()),
            })
            .collect();
        Self {
            mappings,
            routes: Mutex::default(),
        }
    }

    fn route_of(&self, kind: &MessageType) -> Arc<Route> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(kind.canonical()) {
            return Arc::clone(route);
        }
        let route = Arc::new(self.compile_route(kind));
        if routes.len() < ROUTES_KEPT {
            routes.insert(kind.canonical().to_owned(), Arc::clone(&route));
        }
        route
    }

    fn compile_route(&self, kind: &MessageType) -> Route {
        let mut paths = PathSet::new();
        let mut filters = FilterSet::default();
        let candidates = self
            .mappings
            .iter()
            .filter(|subscriber| {
                subscriber
                    .mapping
                    .messages
                    .iter()
                    .any(|pattern| pattern.matches(kind))
            })
            .map(|subscriber| Candidate {
                conditions: filters
                    .add(&subscriber.mapping.filters, &mut paths)
                    .map_or_else(
                        |error| Conditions::Broken(error.to_string()),
                        Conditions::Compiled,
                    ),
                identifiers: CompiledIdentifiers::compile(
                    &subscriber.mapping.identifiers,
                    &mut paths,
                ),
                subscriber: subscriber.clone(),
            })
            .collect();
        Route {
            paths,
            filters,
            candidates,
        }
    }
}

/// Decides which mappings of its store get a message: at most `chunk` deliveries, going on after
/// [`Incoming::routed_up_to`]. `store_id` is the store's public id, which paths may name.
#[must_use]
pub fn route(incoming: &Incoming, store: &StoreSnapshot, chunk: usize) -> Decision {
    let message = &incoming.message;
    let route = store.subscriptions.route_of(&message.kind);
    let mut decision = Decision {
        deliveries: Vec::new(),
        skipped: Vec::new(),
        progress: RouteProgress::Done,
    };
    if route.candidates.is_empty() {
        return decision;
    }
    let (id, store_id) = (message.id.to_string(), store.store.id.to_string());
    let parent_id = message.ancestry.map(|line| line.parent_id.to_string());
    let found = route.paths.lookup(&RootView {
        message: message.kind.as_str(),
        message_id: Some(&id),
        store_id: Some(&store_id),
        source: Some(message.source.label()),
        parent_id: parent_id.as_deref(),
        payload: &message.payload,
    });
    let lane = message
        .about
        .primary
        .as_ref()
        .map(|object| lane_hash(message.store.0, object));
    let mut verdicts = route.filters.verdicts();
    let mut last = None;
    for candidate in &route.candidates {
        let key = candidate.subscriber.key;
        if incoming.routed_up_to.is_some_and(|done| key <= done) {
            continue;
        }
        if decision.deliveries.len() + decision.skipped.len() >= chunk.max(1) {
            decision.progress = last.map_or(RouteProgress::Done, RouteProgress::UpTo);
            break;
        }
        match candidate.judge(&found, &mut verdicts, lane) {
            Ok(delivery) => decision.deliveries.push(delivery),
            Err(reason) => decision.skipped.push(Skip {
                mapping: key,
                reason,
            }),
        }
        last = Some(key);
    }
    decision
}

impl Candidate {
    fn judge(
        &self,
        found: &Found<'_>,
        verdicts: &mut Verdicts<'_>,
        lane: Option<i64>,
    ) -> Result<NewDelivery, SkipReason> {
        let mapping = &self.subscriber.mapping;
        if !mapping.enabled {
            return Err(SkipReason::Disabled);
        }
        match &self.conditions {
            Conditions::Broken(reason) => return Err(SkipReason::Filtered(reason.clone())),
            Conditions::Compiled(filters) => {
                if let Verdict::Refused { index } = verdicts.judge(filters, found) {
                    let text = mapping
                        .filters
                        .get(index)
                        .map_or_else(String::new, describe);
                    return Err(SkipReason::Filtered(text));
                }
            }
        }
        let claim = self.identifiers.claim(found).map(|key| Claim {
            key,
            text: self.identifiers.describe(found),
        });
        Ok(NewDelivery {
            mapping: self.subscriber.key,
            endpoint: self.subscriber.endpoint,
            lane: lane.filter(|_| mapping.options.ordered),
            claim,
        })
    }
}

/// A filter as one line for people, such as `payload.order.status eq complete`.
fn describe(filter: &Filter) -> String {
    let value = filter.value.as_ref().map_or("", |value| value.as_text());
    let text = format!(
        "{} {} {value}",
        filter.path.as_str(),
        filter.operator.as_str()
    );
    let end = text.trim_end();
    end.chars().take(200).collect()
}

#[cfg(test)]
#[path = "tests/routing.rs"]
mod tests;
