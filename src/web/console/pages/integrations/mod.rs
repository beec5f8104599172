//! Integrations: endpoint applications known by their address. The list; registering one; its page (`page.rs`) with services
//! and settings as a form made from its endpoint.json (`settings.rs`), and what the forms do (`deeds.rs`).
//!
//! A new one is *pending* until its endpoint.json was read in the background; the page follows that by itself. Everything goes
//! through the API's own readers and changes, so that both refuse and do the same things.

mod deeds;
mod page;
mod settings;

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use serde_json::value::to_raw_value;

use crate::{
    actors::EndpointState,
    db::{DbError, EntityChange},
    domain::{
        id::Id,
        integration::{Integration, IntegrationState, ServicesFrom},
        key::{EndpointKey, IntegrationKey},
        registry::{Entity, Entry, StoreSnapshot},
    },
    web::{
        api::integrations::read,
        console::{
            audit, go_to,
            html::{Foreign, Frame, Mark, Notice, Problems, When, hidden, rail, text_field},
            links, ok,
            pages::{endpoints::health, mapping_form::problems_of},
            people::{Fields, Person, Post, Refusal},
        },
        fields,
    },
};

pub use deeds::act;
pub use page::page;

/// The steps of connecting an application.
const STEPS: [&str; 3] = ["Address", "Services and settings", "Try it"];

/// The page of an integration.
fn address(store: &StoreSnapshot, id: Id) -> String {
    format!("/console/integrations/{id}?store={}", store.store.id)
}

fn find(store: &StoreSnapshot, id: &str) -> Result<Entry<IntegrationKey, Integration>, Refusal> {
    let id: Id = id.parse().map_err(|_| Refusal::Missing("integration"))?;
    store
        .offered()
        .find(|entry| entry.id == id)
        .cloned()
        .ok_or(Refusal::Missing("integration"))
}

/// Its state as a shape and a word.
fn state_of(integration: &Integration) -> Markup {
    let (mark, word) = match (integration.state(), integration.services_from) {
        (IntegrationState::Ready, _) => (Mark::Completed, "Ready"),
        (IntegrationState::Pending, ServicesFrom::Nowhere) => (Mark::Sending, "Being read"),
        (IntegrationState::Pending, _) => (Mark::Failing, "Pending: it cannot be used yet"),
    };
    html! { span .state .(mark.class()) { (mark.shape()) (word) } }
}

/// What an integration's dispatcher is doing for this store; of a global one each store has its own.
fn endpoint_of<'a>(
    endpoints: &'a [EndpointState],
    store: &StoreSnapshot,
    key: IntegrationKey,
) -> Option<&'a EndpointState> {
    let shared = store.shared_endpoints.get(&key).copied();
    let own = shared.unwrap_or(EndpointKey(key.0));
    endpoints.iter().find(|endpoint| endpoint.endpoint == own)
}

/// Whether it is offered to every store: only operators change it then.
fn is_global(store: &StoreSnapshot, key: IntegrationKey) -> bool {
    store.globals.contains_key(&key)
}

/// `GET /console/integrations`
pub async fn list(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let endpoints = person.hub.endpoint_states(store.store.key).await;
    let may = person.changes(store.store.key);
    let new = format!("/console/integrations/new?store={}", store.store.id);
    let body = html! {
        div .head { h1 { "Integrations" } @if may && store.offered().next().is_some() { a .button .main href=(new) { "Connect an application" } } }
        div #integrations data-region="" {
            @if store.offered().next().is_none() { div .panel .empty {
                p { "No application is connected. Paste the address of one: it describes itself, and you choose what it gets." }
                @if may { a .button .main href=(new) { "Connect an application" } }
            } } @else { (table(&person, &store, &endpoints)) }
        }
        p .meta { "An application without endpoint.json can also be registered " a href=(format!("/console/mappings/new?store={}", store.store.id)) { "as a single mapping" } "." }
    };
    let frame = Frame {
        title: "Integrations",
        person: &person,
        store: Some(&store),
        place: "/integrations",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}

fn table(person: &Person, store: &StoreSnapshot, endpoints: &[EndpointState]) -> Markup {
    html! {
        table .cards {
            thead { tr { th scope="col" { "Application" } th scope="col" { "State" } th scope="col" { "Health" } th .number scope="col" { "Services on" } th scope="col" { "Last use" } th scope="col" { "Address" } th scope="col" { "Category" } } }
            tbody { @for entry in store.offered() {
                @let own = &entry.value;
                @let endpoint = endpoint_of(endpoints, store, entry.key);
                @let on = store.mappings.values().filter(|mapping| mapping.value.integration == Some(entry.key) && mapping.value.enabled).count();
                tr {
                    td { a href=(address(store, entry.id)) { (Foreign(own.display.as_deref().unwrap_or(&own.name))) } @if own.display.is_some() { span .meta { (Foreign(&own.name)) } } @if is_global(store, entry.key) { span .meta { "offered to every store" } } }
                    td { (state_of(own)) }
                    td { @if let Some(endpoint) = endpoint { (health(endpoint)) } @else { span .muted { "-" } } }
                    td .number data-label="services on" { (on) " of " (own.services.len()) }
                    td data-label="last use" { @match endpoint.and_then(|endpoint| endpoint.last_completed_at) { Some(at) => { (When { at, now: person.now }) } None => { "-" } } }
                    td .mono { (Foreign(&own.url)) }
                    td { (Foreign(&own.category)) }
                }
            } }
        }
    }
}

/// `GET /console/integrations/new`
pub async fn new(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let store = person.store(Fields::read(request.query_string()).some("store"))?;
    person.admin(store.store.key)?;
    Ok(form_page(
        &person,
        &store,
        &Fields::default(),
        &Problems::default(),
    ))
}

fn form_page(
    person: &Person,
    store: &StoreSnapshot,
    typed: &Fields,
    problems: &Problems,
) -> HttpResponse {
    let body = html! {
        p .crumbs { a href=(format!("/console/integrations?store={}", store.store.id)) { "Integrations" } }
        h1 { "Connect an application" }
        (rail(&STEPS, 0))
        section .panel {
            form method="post" action=(format!("/console/integrations/new?store={}", store.store.id)) {
                (problems.summary()) (hidden("form_token", &person.form_token))
                (text_field("url", "Address", "url", typed.get("url"), "The application's own address, such as https://ship.example. Its endpoint.json is read there.", problems))
                (text_field("token", "Token", "password", "", "Sent with every message in X-Augury-Token. Empty: none is sent.", problems))
                details open[!typed.get("name").is_empty() || !problems.is_empty()] { summary { "Name and category" }
                    (text_field("name", "Name", "text", typed.get("name"), "Small letters, digits, - and _. Its parameters and mappings begin with it. Empty: made from the address.", problems))
                    (text_field("category", "Category", "text", typed.get("category"), "Groups applications, such as shipping. Empty: other.", problems))
                }
                button .main { "Read it" }
            }
        }
    };
    ok(Frame {
        title: "Connect an application",
        person,
        store: Some(store),
        place: "/integrations",
        notice: None,
        live: false,
    }
    .around(body))
}

/// A name made from an address: its last part, else the first of its host's.
fn name_of(url: &str, store: &StoreSnapshot) -> String {
    let parsed = url::Url::parse(url.trim()).ok();
    let last = parsed
        .as_ref()
        .and_then(|url| url.path_segments()?.rfind(|part| !part.is_empty()))
        .map(str::to_owned);
    let host = parsed.as_ref().and_then(|url| match url.host()? {
        url::Host::Domain(name) => name
            .split('.')
            .find(|part| *part != "www")
            .map(str::to_owned),
        _ => None,
    });
    let name: String = last
        .or(host)
        .unwrap_or_default()
        .to_ascii_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .take(40)
        .collect();
    let name = if name.is_empty() {
        "app".to_owned()
    } else {
        name
    };
    let taken = |name: &str| store.offered().any(|entry| entry.value.name == name);
    // A store has fewer integrations than there are numbers, so one is free.
    let mut numbered = (2..).map(|number| format!("{name}_{number}"));
    if taken(&name) {
        numbered.find(|other| !taken(other)).unwrap_or(name)
    } else {
        name
    }
}

/// `POST /console/integrations/new`
pub async fn create(post: Post, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let store: Arc<StoreSnapshot> =
        person.store(Fields::read(request.query_string()).some("store"))?;
    person.admin(store.store.key)?;
    let name = fields.some("name").map(str::to_owned);
    let name = name.unwrap_or_else(|| name_of(fields.get("url"), &store));
    let category = fields.some("category").unwrap_or("other");
    let body = serde_json::json!({ "name": name, "url": fields.get("url"), "category": category, "token": fields.get("token") });
    let raw = to_raw_value(&body).map_err(|error| Refusal::failed(&error, false))?;
    let mut reader = fields::Fields::read(&raw, "", &[]);
    let integration = read(&mut reader, None);
    if let Err(error) = reader.finish("integration") {
        return Ok(form_page(&person, &store, &fields, &problems_of(&error)));
    }
    let change = EntityChange::Create {
        store: Some(store.store.key),
        subject: None,
        entity: Entity::Integration(Box::new(integration)),
    };
    match audit::change(&person, vec![change]).await {
        Ok(delta) => {
            let row = delta.rows.first();
            let row = row.ok_or_else(|| Refusal::failed(&"a new integration has no row", false))?;
            Ok(go_to(&address(&store, row.id)))
        }
        Err(DbError::Taken { .. }) => {
            let mut problems = Problems::default();
            problems.add("name", "An application of this name is there already.");
            Ok(form_page(&person, &store, &fields, &problems))
        }
        Err(error) => Err(error.into()),
    }
}

/// The link to push a test.
fn test_link(store: &StoreSnapshot) -> String {
    links::with("/console/test", &[("store", &store.store.id.to_string())])
}
