//! `/api/stores/:store/endpoints`: how each endpoint fares, and pausing it as a whole.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::{
    actors::{BreakerState, DispatcherState, EndpointState, LastEnd},
    db::{Backlog, EntityChange},
    domain::{
        id::Id,
        key::EndpointKey,
        registry::{EndpointSettings, Entity, StoreSnapshot},
        time::Micros,
    },
};

use super::{
    super::{
        auth::{Admin, InStore, Read},
        error::ApiError,
    },
    id_in_path,
};

/// An endpoint: what was set for it, and how its dispatcher fares (counters count since the process started).
#[derive(Debug, Serialize)]
struct EndpointDocument<'a> {
    id: Id,
    name: String,
    url: String,
    enabled: bool,
    paused: bool,
    state: DispatcherState,
    breaker: BreakerState,
    in_flight: usize,
    window: usize,
    settling: usize,
    paused_until: Option<Micros>,
    next_due_at: Option<Micros>,
    completed: u64,
    failed: u64,
    last_completed_at: Option<Micros>,
    last_failed_at: Option<Micros>,
    last_error: Option<&'a str>,
    /// Deliveries that wait in the database, counted up to a bound.
    waiting: u64,
    /// The bound: so many or more wait when it is reached.
    waiting_counted_up_to: usize,
    /// When the oldest of them was accepted.
    oldest_waiting_at: Option<Micros>,
    /// For how many seconds it has waited.
    oldest_waiting_secs: Option<u64>,
    /// Attempts a minute, averaged over the last ones.
    rate_per_min: f64,
    restarts: u32,
    last_end: Option<&'a LastEnd>,
}

/// What waits for an endpoint is counted up to this.
const MOST_COUNTED: usize = 1_000;

/// The answer to pausing and resuming.
#[derive(Debug, Serialize)]
struct PausedDocument {
    id: Id,
    paused: bool,
}

/// `GET endpoints`: one row per endpoint.
pub async fn list(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    let states = call.hub().endpoint_states(call.key()).await;
    let mut rows = Vec::with_capacity(states.len());
    for state in &states {
        let backlog = call
            .hub()
            .backend()
            .accepted_backlog(state.endpoint, MOST_COUNTED)
            .await?;
        rows.extend(document(state, backlog, &call.store, call.hub().now()));
    }
    Ok(HttpResponse::Ok().json(rows))
}

/// An endpoint with its name; `None` when it has been deleted since.
fn document<'a>(
    state: &'a EndpointState,
    backlog: Backlog,
    store: &StoreSnapshot,
    now: Micros,
) -> Option<EndpointDocument<'a>> {
    let mapping = store
        .mappings
        .values()
        .find(|entry| store.endpoint_of(entry) == state.endpoint)?;
    let integration = store.integration_of(state.endpoint);
    Some(EndpointDocument {
        id: integration.map_or(mapping.id, |own| own.id),
        name: integration.map_or_else(|| mapping.value.name.clone(), |own| own.value.name.clone()),
        url: integration.map_or_else(|| mapping.value.url.clone(), |own| own.value.url.clone()),
        enabled: store
            .mappings
            .values()
            .any(|entry| entry.value.enabled && store.endpoint_of(entry) == state.endpoint),
        paused: store
            .endpoints
            .get(&state.endpoint)
            .is_some_and(|settings| settings.paused),
        state: state.state,
        breaker: state.breaker,
        in_flight: state.in_flight,
        window: state.window,
        settling: state.settling,
        paused_until: state.paused_until,
        next_due_at: state.next_due_at,
        completed: state.completed,
        failed: state.failed,
        last_completed_at: state.last_completed_at,
        last_failed_at: state.last_failed_at,
        last_error: state.last_error.as_deref(),
        waiting: backlog.waiting,
        waiting_counted_up_to: MOST_COUNTED,
        oldest_waiting_at: backlog.oldest_at,
        oldest_waiting_secs: backlog.oldest_at.map(|at| now.since(at).as_secs()),
        rate_per_min: state.rate_per_min,
        restarts: state.restarts,
        last_end: state.last_end.as_ref(),
    })
}

/// `POST endpoints/:id/pause`: everything for it waits.
pub async fn pause(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    set(&call, &request, true).await
}

/// `POST endpoints/:id/resume`
pub async fn resume(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    set(&call, &request, false).await
}

async fn set(
    call: &InStore<Admin>,
    request: &HttpRequest,
    paused: bool,
) -> Result<HttpResponse, ApiError> {
    let id = id_in_path(request).ok_or_else(|| ApiError::not_found("endpoint"))?;
    let endpoint = find(&call.store, id).ok_or_else(|| ApiError::not_found("endpoint"))?;
    let settings = call
        .store
        .endpoints
        .get(&endpoint)
        .cloned()
        .unwrap_or_default();
    if settings.paused != paused {
        let entity = Entity::Endpoint(EndpointSettings { paused });
        let change = EntityChange::Create {
            store: Some(call.key()),
            subject: Some(endpoint.0),
            entity,
        };
        call.caller.change(vec![change]).await?;
    }
    Ok(HttpResponse::Ok().json(PausedDocument { id, paused }))
}

/// The endpoint with this id: an integration's (of a global one, the store's own), or that of a mapping.
fn find(store: &StoreSnapshot, id: Id) -> Option<EndpointKey> {
    let own = store.integrations.values().find(|entry| entry.id == id);
    let global = || store.globals.values().find(|entry| entry.id == id);
    let of_global = || store.shared_endpoints.get(&global()?.key).copied();
    own.map(|entry| entry.key.into())
        .or_else(of_global)
        .or_else(|| {
            store
                .mappings
                .values()
                .find(|entry| entry.id == id)
                .map(|entry| store.endpoint_of(entry))
        })
}
