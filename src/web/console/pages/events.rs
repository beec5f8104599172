//! Events: who said what, about which object.

use std::time::{Duration, Instant};

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
/// Events read at once while looking for words.
const STRIDE: usize = 200;
/// Events looked through for one page, at most.
const LOOKED_THROUGH: usize = 50_000;
/// How long one page looks, at most.
const PATIENCE: Duration = Duration::from_millis(400);

/// How far a search for words came.
struct Search {
    looked: usize,
    /// Where the events end that were looked through, when more are behind them.
    back_to: Option<Micros>,
}

/// `GET /console/events?level&reference_type&reference_token&q&after`
pub async fn page(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let (found, search) = find(&person, &store, &fields).await?;
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
        div #events data-region="rows" { (rows(&store, &fields, &found, search.as_ref(), person.now)) }
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

/// A page of events. With words: those that have them among as many as can be read in a bounded time, and how far that came; the
/// page's key leads on from there.
async fn find(
    person: &Person,
    store: &StoreSnapshot,
    fields: &Fields,
) -> Result<(EventPage, Option<Search>), Refusal> {
    let words = fields.get("q").to_lowercase();
    let mut query = EventQuery {
        store: store.store.key,
        level: Level::read(fields.get("level")),
        reference_type: fields.some("reference_type").map(str::to_lowercase),
        reference_token: fields.some("reference_token").map(str::to_owned),
        message: fields.get("message_id").parse::<Id>().ok(),
        after: fields.get("after").parse().ok().map(PageKey),
        skip: 0,
        limit: if words.is_empty() { ROWS } else { STRIDE },
    };
    let mut page = person.hub.backend().event_list(query.clone()).await?;
    if words.is_empty() {
        return Ok((page, None));
    }
    let begun = Instant::now();
    let (mut rows, mut looked, mut back_to) = (Vec::new(), 0, None);
    loop {
        looked += page.rows.len();
        back_to = page.rows.last().map(|row| row.last_at).or(back_to);
        rows.extend(page.rows.drain(..).filter(|event| has(event, &words)));
        if rows.len() > ROWS {
            // The page ends with its last row; what was found behind it is found again.
            rows.truncate(ROWS);
            page.next = rows.last().map(|row| PageKey(row.key.0));
            break;
        }
        let Some(next) = page.next else { break };
        if looked >= LOOKED_THROUGH || begun.elapsed() >= PATIENCE {
            break;
        }
        query.after = Some(next);
        page = person.hub.backend().event_list(query.clone()).await?;
    }
    page.rows = rows;
    let search = Search {
        looked,
        back_to: back_to.filter(|_| page.next.is_some()),
    };
    Ok((page, Some(search)))
}

/// Whether an event says these words, given in small letters.
fn has(event: &EventRow, words: &str) -> bool {
    [&event.subject, &event.description, &event.origin]
        .iter()
        .any(|text| text.to_lowercase().contains(words))
}

fn rows(
    store: &StoreSnapshot,
    fields: &Fields,
    found: &EventPage,
    search: Option<&Search>,
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
                @if narrowed { p { "Nothing matches" @if let Some(search) = search { " among " (search.looked) " events" @if let Some(at) = search.back_to { ", back to " (When { at, now }) } } "." } a .button href=(format!("/console/events?store={}", store.store.id)) { "Show all" } }
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
            @if let Some(Search { looked, back_to: Some(at) }) = search && found.rows.len() < ROWS { p .meta { (looked) " events were looked through, back to " (When { at: *at, now }) "." } }
        }
        @if let Some(next) = &next { nav .pages aria-label="Pages of the list" { a .button rel="next" href=(links::with("/console/events", &{ pairs.push(("after", next)); pairs })) { @if search.is_some() && found.rows.len() < ROWS { "Search further" } @else { "Older" } } } }
    }
}
