//! A message or delivery: the verdict on top, then its family, its attempts, its payload.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use maud::{Markup, html};

use crate::{
    db::{DbError, DeliveryDetail, EventRow, Locator, MessageDetail},
    domain::{
        delivery::{ArchiveReason, Attempt, SkipReason, WaitState},
        event::Level,
        id::Id,
        message::Source,
        registry::StoreSnapshot,
        time::Micros,
    },
    web::console::{
        audit, go_to,
        html::{
            Foreign, Frame, Mark, Notice, Passage, When, diff_table, hidden, json_tree, mark_of,
            span_words,
        },
        links, ok,
        people::{Fields, Person, Post, Refusal},
        words::advice,
    },
};

use super::{bulk::title, queues::object_link};

/// JSON up to this many bytes is drawn at once, larger on demand.
const DRAWN_BYTES: usize = 64 * 1024;
/// Attempts that stand on the page; older ones are counted.
const ATTEMPTS: usize = 20;

/// `GET /console/messages/:id`
pub async fn page(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let (store, detail) = find(&person, &place, fields.some("store")).await?;
    let attempts = match &detail.delivery {
        Some(delivery) => {
            person
                .hub
                .backend()
                .attempt_list(store.store.key, delivery.key)
                .await?
        }
        None => Vec::new(),
    };
    let title = format!(
        "{} {}",
        detail.message.kind.as_str(),
        detail
            .message
            .about
            .primary
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    );
    let whole = fields.get("payload") == "whole";
    let body = html! {
        p .crumbs { a href=(links::queue(store.store.id, queue_name(detail.location), &[])) { (queue_name(detail.location)) } " / " (Foreign(detail.message.kind.as_str())) }
        div #verdict data-region="" { (verdict(&person, &store, &detail, &attempts)) }
        div .side {
            div {
                div #attempts data-region="" { (attempts_part(&detail, &attempts, person.now)) }
                (payload_part(&store, &detail, whole))
            }
            div {
                section .panel #family data-region="" { (family(&store, &detail)) }
                section .panel { (facts(&store, &detail, person.now)) }
                section .panel #events data-region="" { (events_part(&detail.events, person.now)) }
            }
        }
    };
    let frame = Frame {
        title: &title,
        person: &person,
        store: Some(&store),
        place: "/queues/accepted",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}

/// The message of an id; without a store, in whichever of the person's stores it is.
async fn find(
    person: &Person,
    id: &str,
    store: Option<&str>,
) -> Result<(std::sync::Arc<StoreSnapshot>, MessageDetail), Refusal> {
    let id: Id = id.parse().map_err(|_| Refusal::Missing("message"))?;
    let stores = match store {
        Some(store) => vec![person.store(Some(store))?],
        None => person.stores(),
    };
    for store in stores.into_iter().take(50) {
        match person
            .hub
            .backend()
            .message_detail(store.store.key, id)
            .await
        {
            Ok(detail) => return Ok((store, detail)),
            Err(DbError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::Missing("message"))
}

fn queue_name(location: Locator) -> &'static str {
    match location {
        Locator::Incoming => "incoming",
        Locator::Accepted(_) => "accepted",
        Locator::Routed | Locator::Archived(_) => "archived",
    }
}

/// The name of whom a delivery goes to.
fn consumer(store: &StoreSnapshot, delivery: Option<&DeliveryDetail>) -> String {
    delivery
        .and_then(|delivery| store.mapping_name(delivery.mapping))
        .unwrap_or("a mapping that is gone")
        .to_owned()
}

fn verdict(
    person: &Person,
    store: &StoreSnapshot,
    detail: &MessageDetail,
    attempts: &[Attempt],
) -> Markup {
    let to = consumer(store, detail.delivery.as_ref());
    let mark = mark_of(detail.location);
    let last = attempts.last();
    let failed = last.and_then(|attempt| advice(&attempt.outcome, attempt.status));
    let waiting = matches!(detail.location, Locator::Accepted(_));
    let tone = match mark {
        Mark::Parked => "bad",
        Mark::Failing => "warn",
        Mark::Completed => "good",
        _ => "",
    };
    html! {
        div .notice .verdict .(tone) {
            h1 {
                span .state .(mark.class()) { (mark.shape()) (mark.word()) }
                @match detail.location {
                    Locator::Routed => { " - routed to " (detail.children.iter().filter(|child| child.mapping.is_some()).count()) " mappings" },
                    Locator::Incoming => { " - waits to be routed" },
                    Locator::Archived(ArchiveReason::NoSubscriber) => { " - nobody listens to " (Foreign(detail.message.kind.as_str())) },
                    Locator::Archived(ArchiveReason::NotWanted) => { " - every mapping refused it" },
                    _ => { " at " (Foreign(&to)) },
                }
            }
            @if let Some(delivery) = &detail.delivery {
                @if let (true, Some(error)) = (waiting, &delivery.last_error) { p { strong { (Foreign(error)) } } }
                p { (next_step(store, detail, delivery, person.now)) }
            }
            @if let (true, Some(advice)) = (waiting, failed) {
                dl .facts {
                    dt { "What it means" } dd { (advice.means) }
                    dt { "What to do" } dd { (advice.todo) }
                    @if advice.perhaps_done { dt { "Careful" } dd { "It may have been carried out all the same: look there for message_id " code { (detail.id) } "." } }
                }
            }
            (actions(person, store, detail))
        }
    }
}

/// "once", "twice", "7 times".
fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

fn next_step(
    store: &StoreSnapshot,
    detail: &MessageDetail,
    delivery: &DeliveryDetail,
    now: Micros,
) -> Markup {
    html! {
        @match (detail.location, delivery.due_at, delivery.behind) {
            (Locator::Accepted(WaitState::Pending), _, Some(first)) => { "Not sent yet: an earlier step about the same object goes first, " a href=(links::message(store.store.id, first)) { "see it" } "." }
            (Locator::Accepted(WaitState::Pending), ..) => { "It goes out as soon as the endpoint has room." }
            (Locator::Accepted(WaitState::Failing), Some(at), _) => { "Tried " (times(delivery.attempts)) ". Tried again " (When { at, now }) "." }
            (Locator::Accepted(WaitState::Scheduled), Some(at), _) => { "The endpoint works on it and is asked again " (When { at, now }) "." }
            (Locator::Accepted(WaitState::Parked), ..) => { "Tried " (times(delivery.attempts)) ". It is not tried again by itself: it needs a person." }
            (Locator::Accepted(WaitState::Held), ..) => { "Its mapping is disabled. It goes out when that is enabled." }
            (Locator::Archived(ArchiveReason::Completed), ..) => {
                "Taken"
                @if let Some(at) = delivery.completed_at { " " (When { at, now }) }
                " after " (delivery.attempts) @if delivery.attempts == 1 { " attempt." } @else { " attempts." }
            }
            (Locator::Archived(ArchiveReason::Archived), ..) => { "A person archived it. It was not delivered." }
            (Locator::Archived(ArchiveReason::Removed), ..) => { "Its mapping was deleted before it was delivered." }
            _ => {}
        }
    }
}

fn actions(person: &Person, store: &StoreSnapshot, detail: &MessageDetail) -> Markup {
    let may = person.changes(store.store.key);
    let waiting = matches!(detail.location, Locator::Accepted(_));
    let held = detail.location == Locator::Accepted(WaitState::Held);
    let address = links::message(store.store.id, detail.id);
    let mapping = detail
        .delivery
        .as_ref()
        .and_then(|delivery| store.mappings.get(&delivery.mapping));
    let store_id = store.store.id.to_string();
    html! {
        div .actions {
            @if may && waiting {
                @if !held {
                    form method="post" action=(address) { (hidden("form_token", &person.form_token)) button .main name="action" value="retry" { "Try now" } }
                }
                form method="post" action=(address) { (hidden("form_token", &person.form_token)) button name="action" value="archive" { "Archive" } }
            }
            @if may && matches!(detail.location, Locator::Archived(_)) && detail.delivery.is_some() {
                form method="post" action=(links::queue(store.store.id, "archived", &[])) {
                    (hidden("form_token", &person.form_token)) (hidden("which", "checked")) (hidden("id", &detail.id.to_string()))
                    button name="action" value="replay" { "Send again..." }
                }
            }
            @if may {
                a .button href=(links::with("/console/test", &[("store", store_id.as_str()), ("from", &detail.id.to_string())])) { "Edit and push" }
            }
            @if let Some(mapping) = mapping {
                a .button href=(format!("/console/mappings/{}?store={}", mapping.id, store.store.id)) { "Open mapping" }
                @if !mapping.value.parameters.is_empty() { a .button href=(format!("/console/parameters?store={}", store.store.id)) { "Edit parameters" } }
            }
        }
    }
}

fn attempts_part(detail: &MessageDetail, attempts: &[Attempt], now: Micros) -> Markup {
    let hidden_ones = attempts.len().saturating_sub(ATTEMPTS);
    html! {
        @if detail.delivery.is_some() {
            section .panel {
                div .head { h2 { "Attempts" } span .muted { (attempts.len()) } }
                @if attempts.is_empty() { p .muted { "Not tried yet." } }
                @for (at, attempt) in attempts.iter().rev().take(ATTEMPTS).enumerate() { (one_attempt(detail, attempt, at == 0, now)) }
                @if hidden_ones > 0 { p .muted { (hidden_ones) " older attempts are in the API: messages/" (detail.id) "/attempts" } }
            }
        }
    }
}

fn one_attempt(detail: &MessageDetail, attempt: &Attempt, open: bool, now: Micros) -> Markup {
    let good = matches!(attempt.outcome.as_str(), "completed" | "scheduled");
    // The verdict on top has said it of the last one.
    let waiting = matches!(detail.location, Locator::Accepted(_));
    let duration =
        std::time::Duration::from_micros(u64::try_from(attempt.duration_us).unwrap_or(0));
    html! {
        details .fold id=(format!("attempt-{}", attempt.number)) open[open] {
            summary {
                strong { "Attempt " (attempt.number) } " "
                (When { at: attempt.started_at, now }) " "
                @if good { span .s-done { (attempt.status.map_or_else(String::new, |status| status.to_string())) } }
                @else { span .s-failing { (attempt.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string())) } }
                " in " (span_words(duration))
            }
            @if !attempt.error.is_empty() { p { (Foreign(&attempt.error)) } }
            @if let (false, Some(advice)) = (open && waiting, advice(&attempt.outcome, attempt.status)) { p .muted { (advice.means) " " (advice.todo) } }
            p .meta { "POST " code { (Foreign(&attempt.url)) } ", " (attempt.request_bytes) " bytes sent, " (attempt.answer_bytes) " bytes received" }
            @if !attempt.answer_body.is_empty() {
                h3 { "Answer" }
                (json_tree(&attempt.answer_body))
                @if attempt.answer_bytes > attempt.answer_body.len() as i64 { p .meta { "Cut: " (attempt.answer_bytes) " bytes came." } }
            }
            details { summary { "Headers" } (headers("Sent", &attempt.request_headers)) (headers("Received", &attempt.answer_headers)) }
            details {
                summary { "As curl" }
                pre data-copy="" tabindex="0" { (Passage(&curl(detail, attempt), 30_000)) }
            }
        }
    }
}

fn headers(title: &str, text: &str) -> Markup {
    let read: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).unwrap_or_default();
    html! {
        @if !read.is_empty() {
            h3 { (title) }
            dl .facts .mono { @for (name, value) in read.iter().take(100) { dt { (Foreign(name)) } dd { (Foreign(value.as_str().unwrap_or_default())) } } }
        }
    }
}

/// The request as a command line, with the token left to the shell and quotes that no payload can leave.
fn curl(detail: &MessageDetail, attempt: &Attempt) -> String {
    let body = format!(
        r#"{{"message":"{}","message_id":"{}","payload":{}}}"#,
        detail.message.kind.as_str(),
        detail.id,
        detail.message.payload.as_str()
    );
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    format!(
        "curl -sS -X POST {} \\\n  -H 'Content-Type: application/json' \\\n  -H \"X-Augury-Token: $TOKEN\" \\\n  --data-binary {}",
        quoted(&attempt.url),
        quoted(&body)
    )
}

fn payload_part(store: &StoreSnapshot, detail: &MessageDetail, whole: bool) -> Markup {
    let payload = detail.message.payload.as_str();
    let address = links::message(store.store.id, detail.id);
    html! {
        section .panel #payload {
            div .head {
                h2 { "Payload" }
                div .actions {
                    label .unseen for="find" { "Find in the payload" }
                    input #find type="search" placeholder="Find" data-find="#payload-tree" hidden;
                    button type="button" data-copy-from=(format!("/console/messages/{}/raw?store={}", detail.id, store.store.id)) hidden { "Copy" }
                    a href=(format!("/console/messages/{}/raw?store={}", detail.id, store.store.id)) { "Raw" }
                }
            }
            @if let Some(diff) = diff_table(payload) { (diff) }
            div #payload-tree {
                @if payload.len() > DRAWN_BYTES && !whole {
                    p { "It is large: " (payload.len() / 1024) " KB. " a href=(format!("{address}&payload=whole#payload")) { "Show it here" } }
                } @else { (json_tree(payload)) }
            }
            @if let Some(extra) = &detail.message.extra { h3 { "Further members" } (json_tree(extra)) }
            @if let Some(result) = detail.delivery.as_ref().and_then(|delivery| delivery.result.as_ref()) { h3 { "What the endpoint answered besides" } (json_tree(result)) }
        }
    }
}

fn family(store: &StoreSnapshot, detail: &MessageDetail) -> Markup {
    let own = html! {
        span .state .(mark_of(detail.location).class()) { (mark_of(detail.location).shape()) }
        " " span aria-current="page" { (Foreign(detail.message.kind.as_str())) @if let Some(delivery) = &detail.delivery { " to " (Foreign(store.mapping_name(delivery.mapping).unwrap_or("a mapping that is gone"))) } }
    };
    let children = html! {
        @if !detail.children.is_empty() || !detail.skipped.is_empty() {
            ul {
                @for child in detail.children.iter().take(100) {
                    li {
                        (mark_of(child.location).show()) " "
                        a href=(links::message(store.store.id, child.id)) {
                            @if let Some(mapping) = child.mapping { (Foreign(store.mapping_name(mapping).unwrap_or("a mapping that is gone"))) } @else { (Foreign(&child.kind)) }
                        }
                    }
                }
                @for skip in detail.skipped.iter().take(50) {
                    li {
                        (Mark::NotSent.show()) " to " (Foreign(store.mapping_name(skip.mapping).unwrap_or("a mapping that is gone")))
                        span .meta { @match &skip.reason {
                            SkipReason::Filtered(filter) => { "filtered: " (Foreign(filter)) }
                            SkipReason::Duplicate(what) => { "had it before: " (Foreign(what)) }
                            SkipReason::Disabled => { "its mapping is disabled" }
                        } }
                    }
                }
            }
        }
    };
    html! {
        h2 { "Family" }
        ul .family {
            @if let Some(parent) = &detail.parent {
                li { a href=(links::message(store.store.id, parent.id)) { (Foreign(&parent.kind)) } ul { li { (own) (children) } } }
            } @else { li { (own) (children) } }
        }
    }
}

fn facts(store: &StoreSnapshot, detail: &MessageDetail, now: Micros) -> Markup {
    html! {
        h2 { "About it" }
        dl .facts {
            dt { "Object" } dd { @match &detail.message.about.primary { Some(object) => { (object_link(store.store.id, object)) } None => { span .muted { "none: in no lane" } } } }
            dt { "Message id" } dd { code data-copy="" { (detail.id) } }
            dt { "Came from" } dd { (source_words(&detail.message.source)) @if detail.message.test { " (a test)" } }
            dt { "Accepted" } dd { (When { at: detail.message.accepted_at, now }) }
            @if let Some(first) = detail.delivery.as_ref().and_then(|delivery| delivery.replay_of) { dt { "Sends again" } dd { a href=(links::message(store.store.id, first)) { (first) } } }
            @for mark in detail.delivery.iter().flat_map(|delivery| &delivery.jobs) { dt { "In bulk" } dd { a href=(links::action(store.store.id, mark.id)) { (title(mark.kind)) } } }
        }
    }
}

/// Where a message came from, in words.
pub fn source_words(source: &Source) -> Markup {
    html! { @match source {
        Source::Poller => { "the shop's API" }
        Source::Push(name) => { "a push by " (Foreign(name)) }
        Source::Consumer(name) => { "the rule " (Foreign(name)) }
        Source::Endpoint(name) => { "the answer of " (Foreign(name)) }
        Source::Scheduler => { "a schedule" }
        Source::Person(name) => { (Foreign(name)) }
        Source::Hub(name) => { "the hub" @if !name.is_empty() { ", about " (Foreign(name)) } }
    } }
}

fn events_part(events: &[EventRow], now: Micros) -> Markup {
    html! {
        h2 { "Notifications" }
        @if events.is_empty() { p .muted { "None." } }
        ul .family { @for event in events.iter().take(20) { li { (level_mark(event.level)) " " (Foreign(&event.subject)) @if event.occurrences > 1 { " (" (event.occurrences) " times)" } span .meta { (When { at: event.last_at, now }) } @if !event.description.is_empty() { details { summary { "More" } pre { (Passage(&event.description, 4_000)) } } } } } }
    }
}

/// A level's shape and word.
pub fn level_mark(level: Level) -> Markup {
    let (mark, word) = match level {
        Level::Info => (Mark::Completed, "Info"),
        Level::Warn => (Mark::Failing, "Warning"),
        Level::Error => (Mark::Parked, "Error"),
    };
    let class = if level == Level::Info {
        "muted"
    } else {
        mark.class()
    };
    html! { span .state .(class) { @if level == Level::Info { (Mark::Pending.shape()) } @else { (mark.shape()) } (word) } }
}

/// `GET /console/messages/:id/raw`: the payload, byte for byte.
pub async fn raw(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let (_, detail) = find(&person, &place, fields.some("store")).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox; frame-ancestors 'none'",
        ))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(detail.message.payload.as_str().to_owned()))
}

/// `POST /console/messages/:id` with `action=retry` or `archive`.
pub async fn act(
    post: Post,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let query = Fields::read(request.query_string());
    let (store, detail) = find(&person, &place, query.some("store")).await?;
    person.admin(store.store.key)?;
    let address = links::message(store.store.id, detail.id);
    let Some(delivery) = detail
        .delivery
        .filter(|_| matches!(detail.location, Locator::Accepted(_)))
    else {
        return Ok(go_to(&links::noticed(&address, "gone")));
    };
    let (outcome, done, said) = match fields.get("action") {
        "retry" => (
            person
                .hub
                .release(store.store.key, delivery.key, person.name())
                .await,
            "tried now",
            "tried",
        ),
        "archive" => (
            person
                .hub
                .archive(store.store.key, delivery.key, person.name())
                .await,
            "archived",
            "archived",
        ),
        _ => {
            return Err(Refusal::Unreadable(
                "The form says neither retry nor archive".into(),
            ));
        }
    };
    match outcome {
        Ok(()) => {
            audit::note(
                &person,
                Some(store.store.key),
                done,
                format!("delivery {} of {}", detail.id, detail.message.kind.as_str()),
            )
            .await?;
            Ok(go_to(&links::noticed(&address, said)))
        }
        Err(DbError::Missing(_)) => Ok(go_to(&links::noticed(&address, "gone"))),
        Err(error) => Err(error.into()),
    }
}
