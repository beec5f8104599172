//! Stores: the list; adding one (`adding.rs`); its page (`page.rs`) with how its shop fares (`shop.rs`) and its tokens.
//!
//! The forms go through the API's own readers, so both refuse the same things. What was asked of the shop (poll, probe,
//! backfill) goes to its poller by the hub, and the page follows what comes of it.

mod adding;
mod form;
mod page;
mod shop;
mod tokens;

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use maud::html;

use crate::{
    db::Pulse,
    domain::registry::StoreSnapshot,
    web::console::{
        html::{Foreign, Frame, Notice, When},
        ok,
        people::{Fields, Person, Refusal},
    },
};

pub use adding::{begin, create, new};
pub use page::{act, page};
pub use shop::pulse_mark;

/// Stores whose pulse is read for one page; more are listed without.
const PULSES: usize = 200;

/// The heartbeat of a store's shop: nothing for one that is push only.
///
/// # Errors
/// Those of the database.
pub async fn pulse_of(person: &Person, store: &StoreSnapshot) -> Result<Option<Pulse>, Refusal> {
    if !person.hub.is_polled(store.store.key) {
        return Ok(None);
    }
    let state = person.hub.backend().poll_state(store.store.key).await?;
    let whole = state.pulses.into_iter().find(|pulse| pulse.name.is_empty());
    Ok(Some(whole.unwrap_or_default()))
}

/// `GET /console/stores`
pub async fn list(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let mut rows: Vec<(Arc<StoreSnapshot>, Option<Pulse>)> = Vec::new();
    for (at, store) in person.stores().into_iter().enumerate() {
        let pulse = if at < PULSES {
            pulse_of(&person, &store).await?
        } else {
            None
        };
        rows.push((store, pulse));
    }
    let body = html! {
        div .head { h1 { "Stores" } @if person.is_operator() && !rows.is_empty() { a .button .main href="/console/stores/new" { "Add a store" } } }
        @if rows.is_empty() { div .panel .empty { p { "No store yet. A store is a shop whose messages travel through this hub." } @if person.is_operator() { a .button .main href="/console/stores/new" { "Add a store" } } } }
        @else { div #stores data-region="" { table .cards {
            thead { tr { th scope="col" { "Store" } th scope="col" { "Pulse" } th scope="col" { "Last answer" } th scope="col" { "API" } th .number scope="col" { "Mappings" } th .number scope="col" { "Tokens" } th scope="col" { "Since" } } }
            tbody { @for (store, pulse) in &rows { tr {
                td { a href=(format!("/console/stores/{}", store.store.id)) { (Foreign(&store.store.value.name)) } }
                td { @match pulse { Some(pulse) => { (pulse_mark(Some(pulse))) } None => { span .muted { "push only" } } } }
                td data-label="last answer" { @match pulse.as_ref().and_then(|pulse| pulse.last_success_at) { Some(at) => { (When { at, now: person.now }) } None => { "-" } } }
                td data-label="API" { @match &store.store.value.api_url { Some(url) => { (Foreign(url)) } None => { "-" } } }
                td .number data-label="mappings" { (store.mappings.len()) }
                td .number data-label="tokens" { (store.tokens.len()) }
                td { (When { at: store.store.created_at, now: person.now }) }
            } } }
        } } }
        @if rows.len() > PULSES { p .meta { "The pulse of the first " (PULSES) " stores by name." } }
    };
    let frame = Frame {
        title: "Stores",
        person: &person,
        store: None,
        place: "/stores",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}
