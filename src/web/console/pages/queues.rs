//! A queue: filters in the address, pages by key, rows to act on.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::{
    db::{Queue, QueuePage, QueueQuery, QueueRow},
    domain::{id::Id, reference::ObjectRef, registry::StoreSnapshot, time::Micros},
    web::{
        api::queues::{Asked, read},
        console::{
            go_to,
            html::{Foreign, Frame, Mark, Notice, When, hidden, mark_of, plain},
            links, ok,
            people::{Fields, Person, Refusal},
        },
        query::{PageAsked, Query, write_key},
    },
};

/// Filters that an address may carry, named as in the API.
pub const FILTERS: [&str; 9] = [
    "state",
    "message",
    "mapping_id",
    "consumer_class",
    "object",
    "message_id",
    "start_date",
    "end_date",
    "source",
];
/// Rows on a page.
const ROWS: usize = 50;

/// The queue of this name.
pub fn queue_of(name: &str) -> Option<(Queue, &'static str)> {
    match name {
        "incoming" => Some((Queue::Incoming, "incoming")),
        "accepted" => Some((Queue::Accepted, "accepted")),
        "archived" => Some((Queue::Archived, "archived")),
        _ => None,
    }
}

/// What a question's filters come to: a query of the database, nothing that could be there, or complaints.
pub enum Question {
    /// These rows.
    Rows(Box<QueueQuery>),
    /// No row can match.
    Nothing,
    /// These filters make no sense.
    Wrong(Vec<String>),
}

/// Reads the filters the way the API does.
pub fn question(
    fields: &Fields,
    queue: Queue,
    types: &[String],
    store: &StoreSnapshot,
) -> Question {
    let pairs: Vec<_> = fields
        .0
        .iter()
        .filter(|(name, _)| FILTERS.contains(&name.as_str()) || name == "after")
        .collect();
    let text = serde_urlencoded::to_string(&pairs).unwrap_or_default();
    let known: Vec<&str> = FILTERS.iter().copied().chain(["after"]).collect();
    let mut query = Query::read(&text, &known);
    let PageAsked { after, .. } = query.page();
    let asked = read(
        &mut query,
        queue,
        PageAsked { number: 1, after },
        types,
        store,
    );
    if let Err(error) = query.finish() {
        return Question::Wrong(error.document().errors.to_vec());
    }
    match asked {
        Asked::Nothing => Question::Nothing,
        Asked::Rows(mut rows) => {
            rows.limit = ROWS;
            // The API's archive shows completed ones unless asked otherwise; people see all of it, with the reason.
            if fields.some("state").is_none() {
                rows.reasons = None;
            }
            Question::Rows(rows)
        }
    }
}

/// `GET /console/queues/:queue`
pub async fn page(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let (queue, name) = queue_of(&place).ok_or(Refusal::Missing("queue"))?;
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let backend = person.hub.backend();
    let types = backend.message_types(store.store.key).await?;
    let stats = backend.queue_stats(store.store.key).await?;
    let (found, wrong) = match question(&fields, queue, &types, &store) {
        Question::Rows(query) => (backend.queue_list(*query).await?, Vec::new()),
        Question::Nothing => (nothing(), Vec::new()),
        Question::Wrong(problems) => (nothing(), problems),
    };
    let tabs = [
        ("incoming", "Incoming", stats.incoming),
        (
            "accepted",
            "Accepted",
            stats.pending + stats.failing + stats.scheduled + stats.parked,
        ),
        ("archived", "Archived", stats.archived),
    ];
    let body = html! {
        div .head { h1 { "Queues" } span .muted { (Foreign(&store.store.value.name)) } }
        ul .tabs {
            @for (path, word, count) in tabs {
                li { a href=(links::queue(store.store.id, path, &[])) aria-current=[(path == name).then_some("page")] { (word) " " span .badge id=(format!("tab-{path}")) data-region="" { (count_words(count)) } } }
            }
        }
        (filters(&fields, queue, name, &types, &store))
        @if !wrong.is_empty() {
            div .notice .bad role="alert" { div { p { "These filters could not be read:" } ul { @for problem in &wrong { li { (Foreign(problem)) } } } } }
        }
        (rows(&person, &store, queue, name, &fields, &found))
    };
    let frame = Frame {
        title: &format!("{name} queue"),
        person: &person,
        store: Some(&store),
        place: "/queues/accepted",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}

fn nothing() -> QueuePage {
    QueuePage {
        rows: Vec::new(),
        next: None,
        matching: 0,
        counted_up_to: 0,
    }
}

/// A count with separators: `1,204,331`.
pub fn count_words(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn filters(
    fields: &Fields,
    queue: Queue,
    name: &str,
    types: &[String],
    store: &StoreSnapshot,
) -> Markup {
    let states: &[(&str, &str)] = match queue {
        Queue::Incoming => &[],
        Queue::Accepted => &[
            ("pending", "Pending"),
            ("failing", "Failing"),
            ("scheduled", "Scheduled"),
            ("parked", "Parked"),
            ("held", "Held: mapping disabled"),
        ],
        Queue::Archived => &[
            ("completed", "Completed"),
            ("never_processed", "Not sent: nobody wanted it"),
            ("archived", "Archived or removed"),
        ],
    };
    let chosen = FILTERS.iter().filter(|name| fields.some(name).is_some());
    html! {
        form .filters method="get" action=(format!("/console/queues/{name}")) data-filters="" {
            (hidden("store", &store.store.id.to_string()))
            @if !states.is_empty() {
                label { "State" select name="state" { option value="" { "any" } @for (value, word) in states { option value=(value) selected[fields.get("state") == *value] { (word) } } } }
            }
            label { "Message" select name="message" {
                option value="" { "any" }
                @if let Some(asked) = fields.some("message").filter(|asked| !types.iter().any(|kind| kind == asked)) { option selected { (asked) } }
                @for kind in types.iter().take(300) { option selected[fields.get("message") == kind] { (kind) } }
            } }
            @if queue != Queue::Incoming {
                label { "To" select name="mapping_id" {
                    option value="" { "any" }
                    @for entry in store.mappings.values() { option value=(entry.id) selected[fields.get("mapping_id") == entry.id.to_string()] { (plain(&entry.value.name)) } }
                } }
            }
            label { "Object" input name="object" value=(fields.get("object")) placeholder="order/R123" size="14" autocomplete="off" spellcheck="false"; }
            label { "From" input name="start_date" value=(fields.get("start_date")) placeholder="2026-03-02 14:00" size="16" autocomplete="off"; }
            label { "Until" input name="end_date" value=(fields.get("end_date")) placeholder="2026-03-02" size="16" autocomplete="off"; }
            button { "Filter" }
        }
        ul .chips aria-label="Filters in force" {
            @for filter in chosen {
                li { a href=(without(fields, name, filter)) title="Remove this filter" { (filter) ": " (Foreign(&shown_filter(fields, filter, store))) " \u{d7}" } }
            }
        }
    }
}

fn shown_filter(fields: &Fields, filter: &str, store: &StoreSnapshot) -> String {
    let value = fields.get(filter);
    let mapping = value
        .parse::<Id>()
        .ok()
        .filter(|_| filter == "mapping_id")
        .and_then(|id| store.mappings.values().find(|entry| entry.id == id));
    mapping.map_or_else(|| value.to_owned(), |entry| entry.value.name.clone())
}

/// The same question without one filter (and from its first page).
fn without(fields: &Fields, queue: &str, filter: &str) -> String {
    let pairs: Vec<(&str, &str)> = kept(fields)
        .into_iter()
        .filter(|(name, _)| *name != filter)
        .collect();
    links::with(&format!("/console/queues/{queue}"), &pairs)
}

/// Store and filters of an address, without the page's key and notices.
pub fn kept(fields: &Fields) -> Vec<(&str, &str)> {
    fields
        .0
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| *name == "store" || FILTERS.contains(name))
        .collect()
}

fn rows(
    person: &Person,
    store: &StoreSnapshot,
    queue: Queue,
    name: &str,
    fields: &Fields,
    found: &QueuePage,
) -> Markup {
    let may = person.changes(store.store.key) && queue != Queue::Incoming;
    let narrowed = FILTERS.iter().any(|name| fields.some(name).is_some());
    let mut further = kept(fields);
    let next = found.next.map(write_key);
    if let Some(next) = &next {
        further.push(("after", next));
    }
    html! {
        div #rows data-region="rows" {
            @if found.rows.is_empty() {
                (empty(queue, narrowed, name, fields))
            } @else {
                form #bulk method="post" action=(links::with(&format!("/console/queues/{name}"), &kept(fields))) {
                    (hidden("form_token", &person.form_token))
                    (hidden("step", "count"))
                    p .muted #match { (matching(found)) }
                    table .cards {
                        caption .unseen { "Rows of the " (name) " queue, newest first" }
                        thead { tr {
                            @if may { th scope="col" { span .unseen { "Choose" } input #all type="checkbox" aria-label="Choose all rows of this page" hidden; } }
                            th scope="col" { "State" } th scope="col" { "Message" }
                            th scope="col" { "Object" }
                            @if queue != Queue::Incoming { th scope="col" { "To" } th .number scope="col" { "Tries" } }
                            th scope="col" { @if queue == Queue::Archived { "Done" } @else { "Since" } }
                            @if queue != Queue::Incoming { th scope="col" { @if queue == Queue::Archived { "Reason" } @else { "Last error, next" } } }
                        } }
                        tbody { @for row in &found.rows { (one_row(row, store, queue, may, person.now)) } }
                    }
                    @if may {
                        div .actions {
                            @if queue == Queue::Archived {
                                button name="action" value="replay" { "Send again..." }
                            } @else {
                                button name="action" value="retry" { "Try now..." }
                                button name="action" value="archive" { "Archive..." }
                            }
                            label .check { input type="radio" name="which" value="checked" checked; span { "checked rows" } }
                            label .check { input type="radio" name="which" value="all"; span { "all that match" } }
                        }
                    }
                }
                nav .pages aria-label="Pages of the list" {
                    @if fields.some("after").is_some() { a href=(links::with(&format!("/console/queues/{name}"), &kept(fields))) { "Newest" } }
                    @if next.is_some() { a .button href=(links::with(&format!("/console/queues/{name}"), &further)) rel="next" { "Older" } }
                }
            }
        }
    }
}

fn matching(found: &QueuePage) -> String {
    let more = if found.matching >= found.counted_up_to && found.counted_up_to > 0 {
        "+"
    } else {
        ""
    };
    match found.matching {
        1 => "1 match".to_owned(),
        count => format!("{}{more} match", count_words(count as u64)),
    }
}

fn empty(queue: Queue, narrowed: bool, name: &str, fields: &Fields) -> Markup {
    html! {
        div .panel .empty {
            @if narrowed || fields.some("after").is_some() {
                p { "Nothing matches." }
                a .button href=(links::with(&format!("/console/queues/{name}"), &[("store", fields.get("store"))])) { "Show all" }
            } @else {
                p { @match queue {
                    Queue::Incoming => "Nothing waits to be routed. Messages stay here for a moment only.",
                    Queue::Accepted => "Nothing waits. Everything that was accepted is delivered, or needs nobody.",
                    Queue::Archived => "Nothing has been delivered yet. Push a test message to see one on its way.",
                } }
                @if queue == Queue::Archived { a .button href=(links::with("/console/test", &[("store", fields.get("store"))])) { "Push a test message" } }
            }
        }
    }
}

fn one_row(row: &QueueRow, store: &StoreSnapshot, queue: Queue, may: bool, now: Micros) -> Markup {
    let mark = mark_of(row.location);
    let address = links::message(store.store.id, row.id);
    html! {
        tr id=(format!("r{}", row.id)) data-href=(address) {
            @if may { td { @if row.mapping.is_some() { input type="checkbox" name="id" value=(row.id) aria-label=(format!("Choose {} {}", row.kind, row.id)); } } }
            td { (mark.show()) }
            td { a href=(address) { (Foreign(&row.kind)) } }
            td { @if let Some(object) = &row.object { (object_link(store.store.id, object)) } }
            @if queue != Queue::Incoming {
                td data-label="to" { @if let Some(key) = row.mapping { (Foreign(store.mapping_name(key).unwrap_or("a mapping that is gone"))) } }
                td .number data-label="tries" { @if row.mapping.is_some() { (row.attempts) } }
            }
            td { (When { at: row.completed_at.filter(|_| queue == Queue::Archived).unwrap_or(row.created_at), now }) }
            @if queue == Queue::Archived { td { (reason_words(row)) } }
            @if queue == Queue::Accepted {
                td {
                    @if let Some(error) = &row.last_error { (Foreign(error)) }
                    span .meta { (next_words(row, now)) }
                }
            }
        }
    }
}

/// The object with a link to its page.
pub fn object_link(store: Id, object: &ObjectRef) -> Markup {
    html! { a href=(links::object(store, object)) { (Foreign(&object.to_string())) } }
}

fn next_words(row: &QueueRow, now: Micros) -> Markup {
    html! {
        @match (mark_of(row.location), row.due_at) {
            (Mark::Parked, _) => { "next: a person" }
            (Mark::Held, _) => { "next: when its mapping is enabled" }
            (Mark::Failing, Some(at)) => { "next try " (When { at, now }) }
            (Mark::Scheduled, Some(at)) => { "asked again " (When { at, now }) }
            _ => {}
        }
    }
}

fn reason_words(row: &QueueRow) -> Markup {
    use crate::{db::Locator, domain::delivery::ArchiveReason as Reason};
    let words = match row.location {
        Locator::Archived(Reason::Completed) => "",
        Locator::Archived(Reason::NoSubscriber) => "nobody listens to this type",
        Locator::Archived(Reason::NotWanted) => "filters, or duplicates, refused it everywhere",
        Locator::Archived(Reason::Archived) => "a person archived it",
        Locator::Archived(Reason::Removed) => "its mapping was deleted",
        Locator::Archived(Reason::Unreadable) => "could not be read any more",
        _ => "",
    };
    html! { (words) @if let Some(error) = &row.last_error { span .meta { (Foreign(error)) } } }
}

/// `GET /console/go?q=`: 24 hex digits are a message, `order/R123` or `R123` an object, else words among events.
pub async fn go(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let asked = fields.get("q");
    if let Ok(id) = asked.parse::<Id>() {
        return Ok(go_to(&links::message(store.store.id, id)));
    }
    let object = match asked.split_once('/') {
        Some((kind, token)) => ObjectRef::new(kind, token).ok(),
        None if looks_like_order(asked) => ObjectRef::new("order", asked).ok(),
        None => None,
    };
    let id = store.store.id.to_string();
    Ok(go_to(&match object {
        Some(object) => links::object(store.store.id, &object),
        None => links::with("/console/events", &[("store", id.as_str()), ("q", asked)]),
    }))
}

/// A letter or two and then digits: `R123456789`.
fn looks_like_order(text: &str) -> bool {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    text.len() - digits.len() <= 3
        && digits.len() >= 2
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 1_204_331].map(count_words),
            ["0", "999", "1,000", "1,204,331"]
        );
    }

    #[test]
    fn order_numbers_are_recognised() {
        assert!(
            looks_like_order("R123")
                && looks_like_order("1234")
                && !looks_like_order("refused")
                && !looks_like_order("")
        );
    }
}
