//! Events: who said what, about which object.

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use crate::{
    db::{EventPage, EventQuery, EventRow, PageKey},
    domain::{event::Level, id::Id, registry::StoreSnapshot, time::Micros},
    web::console::{
        html::{Foreign, Frame, Notice, Passage, When, hidden},
        links, ok,
        people::{Fields, Person, Refusal},
    },
};

use super::{message::level_mark, queues::object_link};

const ROWS: usize = 50;
/// Events looked through for a text before a page is given up as "no more among these".
const LOOKED_THROUGH: usize = 2_000;

/// `GET /console/events?level&reference_type&reference_token&q&after`
pub async fn page(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let (found, looked) = find(&person, &store, &fields).await?;
    let body = html! {
        div .head { h1 { "Events" } span .muted { (Foreign(&store.store.value.name)) } }
        form .filters method="get" action="/console/events" data-filters="" {
            (hidden("store", &store.store.id.to_string()))
            label { "Level" select name="level" { option value="" { "any" } @for level in [Level::Error, Level::Warn, Level::Info] { option value=(level.word()) selected[fields.get("level") == level.word()] { (level.word()) } } } }
            label { "Object's type" input name="reference_type" value=(fields.get("reference_type")) placeholder="order" size="10" autocomplete="off"; }
            label { "Object" input name="reference_token" value=(fields.get("reference_token")) placeholder="R123" size="14" autocomplete="off"; }
            label { "Words" input name="q" value=(fields.get("q")) size="20" autocomplete="off"; }
            button { "Filter" }
        }
        div #events data-region="rows" { (rows(&store, &fields, &found, looked, person.now)) }
    };
    let frame = Frame {
        title: "Events",
        person: &person,
        store: Some(&store),
        place: "/events",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}

/// A page of events; with words, those among the next [`LOOKED_THROUGH`] that have them, and whether that was all.
async fn find(
    person: &Person,
    store: &StoreSnapshot,
    fields: &Fields,
) -> Result<(EventPage, Option<usize>), Refusal> {
    let words = fields.get("q").to_lowercase();
    let mut query = EventQuery {
        store: store.store.key,
        level: Level::read(fields.get("level")),
        reference_type: fields.some("reference_type").map(str::to_lowercase),
        reference_token: fields.some("reference_token").map(str::to_owned),
        message: fields.get("message_id").parse::<Id>().ok(),
        after: fields.get("after").parse().ok().map(PageKey),
        skip: 0,
        limit: if words.is_empty() { ROWS } else { 200 },
    };
    let mut page = person.hub.backend().event_list(query.clone()).await?;
    if words.is_empty() {
        return Ok((page, None));
    }
    let has = |event: &EventRow| {
        [&event.subject, &event.description, &event.origin]
            .iter()
            .any(|text| text.to_lowercase().contains(&words))
    };
    let mut looked = page.rows.len();
    let mut rows: Vec<EventRow> = page.rows.drain(..).filter(has).collect();
    while rows.len() < ROWS && looked < LOOKED_THROUGH && page.next.is_some() {
        query.after = page.next;
        page = person.hub.backend().event_list(query.clone()).await?;
        looked += page.rows.len();
        rows.extend(page.rows.drain(..).filter(has));
    }
    page.rows = rows;
    Ok((page, Some(looked)))
}

fn rows(
    store: &StoreSnapshot,
    fields: &Fields,
    found: &EventPage,
    looked: Option<usize>,
    now: Micros,
) -> Markup {
    let filters = [
        "store",
        "level",
        "reference_type",
        "reference_token",
        "q",
        "message_id",
    ];
    let mut pairs: Vec<(&str, &str)> = filters
        .iter()
        .map(|name| (*name, fields.get(name)))
        .collect();
    let narrowed = pairs.iter().skip(1).any(|(_, value)| !value.is_empty());
    let next = found.next.map(|key| key.0.to_string());
    html! {
        @if found.rows.is_empty() {
            div .panel .empty {
                @if narrowed { p { "Nothing matches" @if let Some(looked) = looked { " among the last " (looked) " events" } "." } a .button href=(format!("/console/events?store={}", store.store.id)) { "Show all" } }
                @else { p { "Nothing was said yet. Applications' notifications, and the hub's own alarms, appear here." } }
            }
        } @else {
            table .cards {
                caption .unseen { "Events, newest first" }
                thead { tr { th scope="col" { "Time" } th scope="col" { "Level" } th scope="col" { "Object" } th scope="col" { "What" } th scope="col" { "Who" } } }
                tbody { @for event in &found.rows { tr id=(format!("v{}", event.id)) {
                    td { (When { at: event.last_at, now }) }
                    td { (level_mark(event.level)) }
                    td { @if let Some(object) = &event.reference { (object_link(store.store.id, object)) } }
                    td {
                        @match event.message_id { Some(id) => { a href=(links::message(store.store.id, id)) { (Foreign(&event.subject)) } } None => { (Foreign(&event.subject)) } }
                        @if event.occurrences > 1 { " (" (event.occurrences) " times)" }
                        @if !event.description.is_empty() { details { summary .meta { "More" } pre { (Passage(&event.description, 4_000)) } } }
                    }
                    td data-label="by" { (Foreign(&event.origin)) }
                } } }
            }
            @if let Some(next) = &next { nav .pages aria-label="Pages of the list" { a .button rel="next" href=(links::with("/console/events", &{ pairs.push(("after", next)); pairs })) { "Older" } } }
        }
    }
}
