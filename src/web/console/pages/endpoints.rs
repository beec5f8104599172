//! Endpoints: how each fares, and pausing it as a whole.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use crate::{
    actors::{BreakerState, DispatcherState, EndpointState},
    db::{Backlog, EntityChange},
    domain::{
        key::{EndpointKey, MappingKey},
        registry::{EndpointSettings, Entity, StoreSnapshot},
        time::Micros,
    },
    web::console::{
        audit, go_to,
        html::{Foreign, Frame, Mark, Notice, When, hidden},
        links, ok,
        people::{Fields, Person, Post, Refusal},
    },
};

use super::queues::count_words;

/// The name people know an endpoint by: that of its integration, or of its mapping.
pub fn endpoint_name(store: &StoreSnapshot, endpoint: EndpointKey) -> String {
    if let Some(integration) = store.integration_of(endpoint) {
        return integration.value.name.clone();
    }
    let own = store.mapping_name(MappingKey(endpoint.0));
    let served = || {
        store
            .mappings
            .values()
            .find(|entry| store.endpoint_of(entry) == endpoint)
            .map(|entry| entry.value.name.as_str())
    };
    own.or_else(served)
        .unwrap_or("an endpoint that is gone")
        .to_owned()
}

/// An endpoint's health as a shape and a word.
pub fn health(endpoint: &EndpointState) -> Markup {
    let (mark, class, word) = match (endpoint.state, endpoint.breaker) {
        (DispatcherState::Paused, _) => (Mark::Held, "s-failing", "Paused"),
        (DispatcherState::BreakerOpen, _) | (_, BreakerState::Open) => {
            (Mark::Parked, "s-parked", "Answers nobody; held")
        }
        (_, BreakerState::Probing) => (Mark::Sending, "s-failing", "One message probes it"),
        (DispatcherState::AskedToWait, _) => (Mark::Scheduled, "s-scheduled", "Asked us to wait"),
        (DispatcherState::DatabaseAway, _) => {
            (Mark::Failing, "s-failing", "The hub's database is away")
        }
        (DispatcherState::Starting, _) => (Mark::Pending, "s-pending", "Starting"),
        (DispatcherState::Absent, _) => (Mark::NotSent, "muted", "Idle"),
        (DispatcherState::Running, BreakerState::Closed)
            if endpoint.last_failed_at > endpoint.last_completed_at =>
        {
            (Mark::Failing, "s-failing", "Last try failed")
        }
        (DispatcherState::Running, BreakerState::Closed) => (Mark::Completed, "s-done", "Well"),
    };
    html! { span .state .(class) { (mark.shape()) (word) } }
}

/// `GET /console/endpoints`
pub async fn list(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let endpoints = person.hub.endpoint_states(store.store.key).await;
    let mut cards = Vec::new();
    for endpoint in &endpoints {
        let backlog = backlog_of(&person, endpoint).await?;
        cards.push(card(&person, &store, endpoint, backlog, person.now));
    }
    let body = html! {
        div .head { h1 { "Endpoints" } span .muted { (Foreign(&store.store.value.name)) } }
        @if endpoints.is_empty() {
            div .panel .empty { p { "No application is connected yet." } a .button .main href=(format!("/console/integrations/new?store={}", store.store.id)) { "Connect an application" } }
        }
        @for card in &cards { (card) }
    };
    let frame = Frame {
        title: "Endpoints",
        person: &person,
        store: Some(&store),
        place: "/endpoints",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}

/// What waits for an endpoint is counted up to this.
const MOST_COUNTED: usize = 1_000;

/// What waits for an endpoint.
///
/// # Errors
/// Those of the database.
pub async fn backlog_of(person: &Person, endpoint: &EndpointState) -> Result<Backlog, Refusal> {
    let backend = person.hub.backend();
    Ok(backend
        .accepted_backlog(endpoint.endpoint, MOST_COUNTED)
        .await?)
}

/// How much waits, as far as it was counted.
pub fn waiting_words(backlog: &Backlog) -> String {
    let counted = count_words(backlog.waiting);
    if backlog.waiting >= MOST_COUNTED as u64 {
        format!("{counted}+")
    } else {
        counted
    }
}

/// How long 95 of 100 of the last attempts took at most.
pub fn p95_words(endpoint: &EndpointState) -> String {
    endpoint.p95.map_or_else(
        || "-".to_owned(),
        |took| {
            if took < Duration::from_secs(1) {
                format!("{} ms", took.as_millis())
            } else {
                format!("{:.1} s", took.as_secs_f64())
            }
        },
    )
}

/// Whether it is left alone for a while, and a person may say "now".
fn is_left_alone(endpoint: &EndpointState) -> bool {
    matches!(
        endpoint.state,
        DispatcherState::BreakerOpen | DispatcherState::AskedToWait
    ) || endpoint.breaker == BreakerState::Open
}

fn card(
    person: &Person,
    store: &StoreSnapshot,
    endpoint: &EndpointState,
    backlog: Backlog,
    now: Micros,
) -> Markup {
    let name = endpoint_name(store, endpoint.endpoint);
    let key = endpoint.endpoint.to_string();
    let paused = store
        .endpoints
        .get(&endpoint.endpoint)
        .is_some_and(|settings| settings.paused);
    let served: Vec<_> = store
        .mappings
        .values()
        .filter(|entry| store.endpoint_of(entry) == endpoint.endpoint)
        .collect();
    let ids: Vec<String> = served.iter().map(|entry| entry.id.to_string()).collect();
    html! {
        section .panel id=(format!("e{key}")) data-region="" {
            div .head { h2 { (Foreign(&name)) } (health(endpoint)) }
            div .columns {
                dl .facts {
                    dt { "Waiting" } dd { (waiting_words(&backlog)) @if let Some(at) = backlog.oldest_at { ", the oldest since " (When { at, now }) } }
                    dt { "Answers within" } dd { (p95_words(endpoint)) @if endpoint.p95.is_some() { span .muted { " (95 of 100 of the last attempts)" } } }
                    dt { "In flight" } dd { (endpoint.in_flight) " requests, " (endpoint.window) " about to go" }
                    dt { "Completed" } dd { (count_words(endpoint.completed)) @if let Some(at) = endpoint.last_completed_at { ", last " (When { at, now }) } }
                    dt { "Failed" } dd { (count_words(endpoint.failed)) @if let Some(at) = endpoint.last_failed_at { ", last " (When { at, now }) } }
                    @if let Some(error) = &endpoint.last_error { dt { "Last error" } dd { (Foreign(error)) } }
                }
                dl .facts {
                    @if let Some(at) = endpoint.paused_until { dt { "Left alone until" } dd { (When { at, now }) } }
                    @if let Some(at) = endpoint.next_due_at { dt { "Next due" } dd { (When { at, now }) } }
                    dt { "Restarts" } dd { (endpoint.restarts) @if let Some(end) = &endpoint.last_end { ", the dispatcher " (end.how) " " (When { at: end.at, now }) } }
                    dt { "Mappings" } dd { @for entry in &served { a href=(format!("/console/mappings/{}?store={}", entry.id, store.store.id)) { (Foreign(&entry.value.name)) } " " } }
                }
            }
            div .actions {
                @if let Some(id) = ids.first() { a .button href=(links::queue(store.store.id, "accepted", &[("mapping_id", id)])) { "What waits for it" } }
                @if person.changes(store.store.key) {
                    form method="post" action=(format!("/console/endpoints?store={}", store.store.id)) {
                        (hidden("form_token", &person.form_token)) (hidden("endpoint", &key))
                        @if is_left_alone(endpoint) && !paused { button .main name="action" value="probe" { "Probe now" } }
                        @if paused { button .main name="action" value="resume" { "Resume" } } @else { button name="action" value="pause" { "Pause" } }
                    }
                }
            }
        }
    }
}

/// `POST /console/endpoints` with `action=pause`, `resume` or `probe`.
pub async fn act(post: Post, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let query = Fields::read(request.query_string());
    let store = person.store(query.some("store"))?;
    person.admin(store.store.key)?;
    let endpoint = fields
        .get("endpoint")
        .parse()
        .map(EndpointKey)
        .ok()
        .filter(|key| person.registry.endpoints.get(key) == Some(&store.store.key));
    let endpoint = endpoint.ok_or(Refusal::Missing("endpoint"))?;
    let list = format!("/console/endpoints?store={}", store.store.id);
    if fields.get("action") == "probe" {
        person.hub.probe_endpoint(endpoint);
        let subject = format!("endpoint {}", endpoint_name(&store, endpoint));
        audit::note(&person, Some(store.store.key), "probed", subject).await?;
        return Ok(go_to(&links::noticed(&list, "tries")));
    }
    let (paused, said) = match fields.get("action") {
        "pause" => (true, "paused"),
        "resume" => (false, "resumed"),
        _ => {
            return Err(Refusal::Unreadable(
                "The form says neither pause, resume nor probe".into(),
            ));
        }
    };
    let settings = EndpointSettings { paused };
    let change = EntityChange::Create {
        store: Some(store.store.key),
        subject: Some(endpoint.0),
        entity: Entity::Endpoint(settings),
    };
    audit::change(&person, vec![change]).await?;
    Ok(go_to(&links::noticed(&list, said)))
}
