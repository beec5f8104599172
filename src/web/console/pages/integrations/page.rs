//! An integration's page: its state, services and settings, its endpoint's health, its address and services for editing.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::{
    db::Backlog,
    domain::{
        integration::{Integration, IntegrationState, ServicesFrom},
        key::IntegrationKey,
        registry::{Entry, StoreSnapshot},
    },
    web::console::{
        html::{
            Foreign, Frame, Mark, Notice, Passage, Problems, When, check_box, delete_fold, hidden,
            rail, text_area, text_field,
        },
        links, ok,
        pages::{
            endpoints::{backlog_of, health, p95_words, waiting_words},
            queues::count_words,
        },
        people::{Fields, Person, Refusal},
    },
};

use super::{
    STEPS, address, endpoint_of, find, is_global,
    settings::{self, complaints, is_connected},
    state_of, test_link,
};

/// Which of the page's forms was refused, and how.
#[derive(Default)]
pub struct Refused {
    /// What stood in it.
    pub typed: Fields,
    /// The form of services and settings.
    pub signup: Option<Problems>,
    /// That of its address.
    pub edit: Option<Problems>,
    /// That of services by hand.
    pub services: Option<Problems>,
    /// The fold that removes it.
    pub delete: Option<Problems>,
}

/// `GET /console/integrations/:id?edit=services`
pub async fn page(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let entry = find(&store, &place)?;
    let notice = Notice::of(fields.get("notice"));
    if fields.get("edit") == "services" {
        person.admin(store.store.key)?;
        let refused = Refused::default();
        return Ok(by_hand(&person, &store, &entry, &refused));
    }
    show(&person, &store, &entry, &Refused::default(), notice).await
}

/// The page.
///
/// # Errors
/// Those of the database.
pub async fn show(
    person: &Person,
    store: &StoreSnapshot,
    entry: &Entry<IntegrationKey, Integration>,
    refused: &Refused,
    notice: Option<Notice>,
) -> Result<HttpResponse, Refusal> {
    let own = &entry.value;
    let may = person.changes(store.store.key);
    let action = address(store, entry.id);
    let connected = is_connected(store, entry.key);
    let ready = own.state() == IntegrationState::Ready;
    let none = Problems::default();
    let waiting = own.services_from == ServicesFrom::Nowhere;
    let step = match (ready, connected) {
        (_, true) => 2,
        _ => 1,
    };
    let typed = refused.signup.as_ref().map(|_| &refused.typed);
    let title = own.display.as_deref().unwrap_or(&own.name);
    let body = html! {
        p .crumbs { a href=(format!("/console/integrations?store={}", store.store.id)) { "Integrations" } }
        h1 { (Foreign(title)) }
        @if !connected { (rail(&STEPS, step)) }
        div #state data-region="" data-refresh=[waiting.then_some("1")] {
            p { (state_of(own)) }
            @if waiting { p .muted { "Its endpoint.json is being read at " span .mono { (Foreign(&own.url)) } "." } }
            (complaints(own))
        }
        div .columns {
            section .panel #about data-region="" { (about(person, store, entry).await?) }
            section .panel #health data-region="" { (endpoint(person, store, entry).await?) }
        }
        // Services that arrive while the page is open appear; a form that a hand is on stays.
        div #settings data-region="" {
            @if !own.services.is_empty() { section .panel {
                h2 { "Services and settings" }
                @if may { (settings::form(person, store, entry, &action, typed, refused.signup.as_ref().unwrap_or(&none))) }
                @else { ul { @for service in &own.services { li { (Foreign(&service.name)) } } } p .muted { "You may look, not change." } }
            } }
        }
        @if may {
            section .panel { h2 { "Do" } (deeds(person, store, entry, &action, connected)) @if !is_global(store, entry.key) || person.is_operator() { (edit(person, own, &action, refused)) } }
            @let mappings = store.mappings.values().filter(|mapping| mapping.value.integration == Some(entry.key)).count();
            @let what = match is_global(store, entry.key) {
                true => format!("It is offered to every store, and stays so. This store's {mappings} mappings of it go, and what waits for them is archived as removed."),
                false => format!("Its {mappings} mappings go with it, and what waits for them is archived as removed. Its parameters stay."),
            };
            (delete_fold(&action, &person.form_token, &own.name, &what, refused.delete.as_ref().unwrap_or(&none)))
        }
    };
    Ok(ok(Frame {
        title,
        person,
        store: Some(store),
        place: "/integrations",
        notice,
        live: true,
    }
    .around(body)))
}

async fn about(
    person: &Person,
    store: &StoreSnapshot,
    entry: &Entry<IntegrationKey, Integration>,
) -> Result<Markup, Refusal> {
    let own = &entry.value;
    Ok(html! {
        h2 { "About it" }
        @if let Some(text) = &own.description { p { (Passage(text, 1_000)) } }
        dl .facts {
            dt { "Name" } dd .mono { (Foreign(&own.name)) }
            dt { "Address" } dd .mono { (Foreign(&own.url)) }
            dt { "Category" } dd { (Foreign(&own.category)) }
            @if is_global(store, entry.key) { dt { "Offered to" } dd { "every store; operators change it" } }
            dt { "Token" } dd { @if own.token.is_empty() { "none is sent" } @else { "set, kept secret" } }
            dt { "Described by" } dd { @match own.services_from {
                ServicesFrom::Nowhere => { "nothing yet" }
                ServicesFrom::Hand => { "hand" }
                ServicesFrom::EndpointJson { read_at } => { "its endpoint.json, read " (When { at: read_at, now: person.now }) }
            } }
            @if is_connected(store, entry.key) { dt { "Mappings" } dd { @for mapping in store.mappings.values().filter(|mapping| mapping.value.integration == Some(entry.key)) { a href=(format!("/console/mappings/{}?store={}", mapping.id, store.store.id)) { (Foreign(&mapping.value.name)) } " " @if !mapping.value.enabled { "(off) " } } } }
            @if let Some(help) = &own.help { dt { "Help" } dd { (Passage(help, 1_000)) } }
        }
    })
}

async fn endpoint(
    person: &Person,
    store: &StoreSnapshot,
    entry: &Entry<IntegrationKey, Integration>,
) -> Result<Markup, Refusal> {
    let endpoints = person.hub.endpoint_states(store.store.key).await;
    let endpoint = endpoint_of(&endpoints, store, entry.key);
    let backlog = match endpoint {
        Some(endpoint) => backlog_of(person, endpoint).await?,
        None => Backlog::default(),
    };
    let (key, now) = (entry.key, person.now);
    Ok(html! {
        h2 { "How it fares" }
        @match endpoint {
            Some(endpoint) => {
                p { (health(endpoint)) }
                dl .facts {
                    dt { "Waiting" } dd { (waiting_words(&backlog)) @if let Some(at) = backlog.oldest_at { ", the oldest since " (When { at, now }) } }
                    dt { "Answers within" } dd { (p95_words(endpoint)) }
                    dt { "Completed" } dd { (count_words(endpoint.completed)) @if let Some(at) = endpoint.last_completed_at { ", last " (When { at, now }) } }
                    dt { "Failed" } dd { (count_words(endpoint.failed)) @if let Some(at) = endpoint.last_failed_at { ", last " (When { at, now }) } }
                    @if let Some(error) = &endpoint.last_error { dt { "Last error" } dd { (Foreign(error)) } }
                }
                p { a href=(format!("/console/endpoints?store={}#e{key}", store.store.id)) { "All about its endpoint" } }
            }
            None => { p .muted { "Nothing was sent to it yet." } }
        }
    })
}

fn deeds(
    person: &Person,
    store: &StoreSnapshot,
    entry: &Entry<IntegrationKey, Integration>,
    action: &str,
    connected: bool,
) -> Markup {
    let hand = entry.value.services_from == ServicesFrom::Hand;
    html! {
        div .actions {
            form method="post" action=(action) {
                (hidden("form_token", &person.form_token))
                @if hand { button name="action" value="described" { "Use its endpoint.json again" } } @else { button name="action" value="refresh" { "Read it again" } }
                @if connected { button name="action" value="enable" { "Switch all services on" } button name="action" value="disable" { "Switch them off" } }
            }
            a .button href=(format!("{action}&edit=services")) { "Edit services by hand" }
            @if connected { a .button href=(links::queue(store.store.id, "accepted", &[])) { "What waits" } a .button href=(test_link(store)) { "Push a test" } }
        }
        @if connected { p .meta { "Switched off, what waits for a service is held, and required services stay on." } }
    }
}

fn edit(person: &Person, own: &Integration, action: &str, refused: &Refused) -> Markup {
    let none = Problems::default();
    let problems = refused.edit.as_ref().unwrap_or(&none);
    let value = |name: &str, stored: &str| match refused.edit {
        Some(_) => refused.typed.get(name).to_owned(),
        None => stored.to_owned(),
    };
    html! {
        details .fold open[refused.edit.is_some()] { summary { "Change address, token or texts" }
            form method="post" action=(action) {
                (problems.summary()) (hidden("form_token", &person.form_token))
                (text_field("url", "Address", "url", &value("url", &own.url), "A new one goes to its mappings too, and its endpoint.json is read there.", problems))
                (text_field("token", "Token", "password", "", "Not shown; leave this empty to keep it. A new one goes to its mappings too.", problems))
                @if !own.token.is_empty() { (check_box("no_token", "true", "Send no token any more", false)) }
                (text_field("display", "Name for people", "text", &value("display", own.display.as_deref().unwrap_or_default()), "", problems))
                (text_field("category", "Category", "text", &value("category", &own.category), "", problems))
                button .main name="action" value="save" { "Save" }
            }
        }
    }
}

/// The page on which services are edited by hand.
pub fn by_hand(
    person: &Person,
    store: &StoreSnapshot,
    entry: &Entry<IntegrationKey, Integration>,
    refused: &Refused,
) -> HttpResponse {
    let own = &entry.value;
    let action = address(store, entry.id);
    let none = Problems::default();
    let problems = refused.services.as_ref().unwrap_or(&none);
    let text = match refused.services {
        Some(_) => refused.typed.raw("services").to_owned(),
        None => serde_json::to_string_pretty(&own.services).unwrap_or_default(),
    };
    let body = html! {
        p .crumbs { a href=(format!("/console/integrations?store={}", store.store.id)) { "Integrations" } " / " a href=(action) { (Foreign(&own.name)) } }
        h1 { "Services of " (Foreign(&own.name)) }
        @if own.services_from != ServicesFrom::Hand { div .notice .warn { span .s-failing { (Mark::Failing.shape()) } p { "Saved by hand, its endpoint.json is no longer read until you say so." } } }
        section .panel {
            form method="post" action=(action) {
                (problems.summary()) (hidden("form_token", &person.form_token))
                (text_area("services", "Services", 24, &text, "An array as in endpoint.json: name, path, requires.parameters, recommends.messages and the like.", problems))
                div .actions { button .main name="action" value="services" { "Save services" } a .button href=(action) { "Cancel" } }
            }
        }
    };
    ok(Frame {
        title: "Services by hand",
        person,
        store: Some(store),
        place: "/integrations",
        notice: None,
        live: false,
    }
    .around(body))
}
