//! Bulk actions and replays: what is on its way, how far each is, undoing and stopping it.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::{
    db::{JobQuery, PageKey},
    domain::{
        id::Id,
        job::{Job, JobKind, JobState},
        registry::StoreSnapshot,
    },
    web::{
        api::jobs::queue_of,
        console::{
            go_to,
            html::{Foreign, Frame, Notice, When, hidden},
            links, ok,
            people::{Fields, Person, Post, Refusal},
        },
    },
};

use super::{
    bulk::{deliveries, title},
    queues::count_words,
};

/// Jobs on a page.
const ROWS: usize = 50;

/// `GET /console/actions`: all of a store, newest first.
pub async fn list(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    shown(person, &request, &JobKind::ALL, "actions").await
}

/// `GET /console/replays`: replays alone.
pub async fn replays(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    shown(person, &request, &[JobKind::Replay], "replays").await
}

async fn shown(
    person: Person,
    request: &HttpRequest,
    kinds: &[JobKind],
    path: &str,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let query = JobQuery {
        stores: Some(vec![store.store.key]),
        kinds: kinds.to_vec(),
        id: None,
        open: false,
        after: fields.get("after").parse().ok().map(PageKey),
        limit: ROWS,
    };
    let jobs = person.hub.backend().job_list(query).await?;
    let store_id = store.store.id.to_string();
    let address = |pairs: &[(&str, &str)]| {
        let own = [("store", store_id.as_str())];
        links::with(&format!("/console/{path}"), &[&own, pairs].concat())
    };
    let next = jobs
        .last()
        .filter(|_| jobs.len() == ROWS)
        .map(|job| job.key.to_string());
    let body = html! {
        div .head { h1 { "Actions" } span .muted { (Foreign(&store.store.value.name)) } }
        ul .tabs {
            @for (own, word) in [("actions", "All"), ("replays", "Sent again")] {
                li { a href=(links::with(&format!("/console/{own}"), &[("store", store_id.as_str())])) aria-current=[(own == path).then_some("page")] { (word) } }
            }
        }
        div #rows data-region="" {
            @if jobs.is_empty() {
                div .panel .empty {
                    p { "Nothing was done to many deliveries at once yet." }
                    p .muted { "Choose rows of a queue, or all that match its filters, and say what to do with them." }
                    a .button href=(links::queue(store.store.id, "accepted", &[])) { "To the queue" }
                }
            } @else {
                table .cards {
                    caption .unseen { "Actions on many deliveries, newest first" }
                    thead { tr { th scope="col" { "What" } th scope="col" { "State" } th .number scope="col" { "Done" } th .number scope="col" { "Of" } th scope="col" { "Which" } th scope="col" { "Asked by" } th scope="col" { "When" } } }
                    tbody { @for job in &jobs { (row(job, &store, &person)) } }
                }
            }
        }
        nav .pages aria-label="Pages of the list" {
            @if fields.some("after").is_some() { a href=(address(&[])) { "Newest" } }
            @if let Some(next) = &next { a .button rel="next" href=(address(&[("after", next)])) { "Older" } }
        }
    };
    let frame = Frame {
        title: "Actions",
        person: &person,
        store: Some(&store),
        place: "/actions",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}

fn row(job: &Job, store: &StoreSnapshot, person: &Person) -> Markup {
    let address = links::action(store.store.id, job.id);
    html! {
        tr id=(format!("j{}", job.id)) data-href=(address) {
            td { a href=(address) { (title(job.new.kind)) } }
            td { (state_words(job)) }
            td .number data-label="done" { (count_words(job.done)) }
            td .number data-label="of" { (count_words(job.new.count)) }
            td { (which(job, store)) }
            td data-label="by" { (Foreign(&job.new.who)) }
            td { (When { at: job.created_at, now: person.now }) }
        }
    }
}

/// How a job stands, in a word or three.
fn state_words(job: &Job) -> &'static str {
    match job.state {
        JobState::Waiting => "Begins soon",
        JobState::Running => "At work",
        JobState::Stopped if job.is_undone() => "Undone",
        JobState::Stopped => "Stopped",
        JobState::Done => "Done",
        JobState::Failed => "Failed",
    }
}

fn filters(job: &Job) -> Map<String, Value> {
    serde_json::from_str(&job.new.asked).unwrap_or_default()
}

/// Which deliveries: the filters as people chose them.
fn which(job: &Job, store: &StoreSnapshot) -> Markup {
    let filters = filters(job);
    html! {
        @if filters.is_empty() { "all of them" }
        @for (at, (name, value)) in filters.iter().enumerate() {
            @if at > 0 { ", " }
            @match value {
                Value::Array(ids) => { (deliveries(ids.len() as u64)) ", chosen one by one" }
                value => { (name) ": " (Foreign(&shown_value(name, value, store))) }
            }
        }
    }
}

fn shown_value(name: &str, value: &Value, store: &StoreSnapshot) -> String {
    let text = value.as_str().unwrap_or_default();
    let id = text.parse::<Id>().ok().filter(|_| name == "mapping_id");
    let mapping = id.and_then(|id| store.mappings.values().find(|entry| entry.id == id));
    mapping.map_or_else(|| text.to_owned(), |entry| entry.value.name.clone())
}

async fn find(person: &Person, id: &str, store: &StoreSnapshot) -> Result<Job, Refusal> {
    let missing = || Refusal::Missing("action");
    let query = JobQuery {
        stores: Some(vec![store.store.key]),
        kinds: JobKind::ALL.to_vec(),
        id: Some(id.parse().map_err(|_| missing())?),
        open: false,
        after: None,
        limit: 1,
    };
    let found = person.hub.backend().job_list(query).await?.pop();
    found.ok_or_else(missing)
}

/// `GET /console/actions/:id`, `/console/replays/:id`
pub async fn page(
    person: Person,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let job = find(&person, &id, &store).await?;
    let title = format!("{}: {}", title(job.new.kind), deliveries(job.new.count));
    let store_id = store.store.id.to_string();
    let body = html! {
        p .crumbs { a href=(links::with("/console/actions", &[("store", store_id.as_str())])) { "Actions" } }
        h1 { (title) }
        section .panel #progress data-region="" { (progress(&person, &store, &job)) }
        section .panel { (facts(&person, &store, &job)) }
    };
    let frame = Frame {
        title: &title,
        person: &person,
        store: Some(&store),
        place: "/actions",
        notice: Notice::of(fields.get("notice")),
        live: job.state.is_open(),
    };
    Ok(ok(frame.around(body)))
}

fn progress(person: &Person, store: &StoreSnapshot, job: &Job) -> Markup {
    let total = job.new.count.max(1);
    let word = match job.state {
        JobState::Waiting => Some("Undo"),
        JobState::Running => Some("Stop"),
        _ => None,
    };
    html! {
        p {
            strong { (state_words(job)) "." } " "
            @match job.state {
                JobState::Waiting => { "It begins " (When { at: job.new.begins_at, now: person.now }) ". Until then nothing is done." }
                JobState::Running => { "At most " (job.new.per_sec) " a second." }
                JobState::Stopped if job.is_undone() => { "Nothing was done." }
                JobState::Stopped => { "What was done stays done." }
                JobState::Done => { "It went through all of them." }
                JobState::Failed => { (Foreign(job.error.as_deref().unwrap_or_default())) " What was done stays done." }
            }
        }
        progress max=(total) value=((job.done + job.skipped).min(total)) aria-label="How far it is" {}
        dl .facts {
            dt { "Done" } dd { (count_words(job.done)) }
            dt { "Left" } dd { (count_words(job.left())) }
            dt { "Passed over" } dd { (count_words(job.skipped)) @if job.skipped > 0 { span .meta { " had gone on meanwhile, or cannot be sent" } } }
        }
        @if let Some(word) = word.filter(|_| person.changes(store.store.key)) {
            div .actions {
                form method="post" action=(links::action(store.store.id, job.id)) {
                    (hidden("form_token", &person.form_token))
                    button .main name="act" value="stop" { (word) }
                }
            }
        }
    }
}

fn facts(person: &Person, store: &StoreSnapshot, job: &Job) -> Markup {
    let filters = filters(job);
    let pairs: Vec<(&str, &str)> = filters
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect();
    let queue = match queue_of(job.new.kind) {
        crate::db::Queue::Archived => "archived",
        _ => "accepted",
    };
    html! {
        h2 { "Asked for" }
        dl .facts {
            dt { "By" } dd { (Foreign(&job.new.who)) ", " (When { at: job.created_at, now: person.now }) }
            dt { "Which" } dd { (which(job, store)) }
            @if let Some(at) = job.began_at { dt { "Began" } dd { (When { at, now: person.now }) } }
            @if let Some(at) = job.ended_at { dt { "Ended" } dd { (When { at, now: person.now }) } }
            dt { "Id" } dd .mono { (job.id) }
        }
        div .actions { a .button href=(links::queue(store.store.id, queue, &pairs)) { "See the queue" } }
    }
}

/// `POST /console/actions/:id`: undoes it before it began, stops it after.
pub async fn stop(
    post: Post,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let Post { person, .. } = post;
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    person.admin(store.store.key)?;
    let job = find(&person, &id, &store).await?;
    let stopped = person.hub.job_stop(&job, person.name()).await?;
    let notice = match stopped {
        Some(job) if job.is_undone() => "undone",
        Some(_) => "stopped",
        None => "gone",
    };
    Ok(go_to(&links::noticed(
        &links::action(store.store.id, job.id),
        notice,
    )))
}

/// On every page: what was asked for and has not begun, with the way to undo it.
pub fn waiting(person: &Person) -> Markup {
    html! {
        div #waiting data-region="" {
            @for job in &person.waiting {
                @if let Some(store) = person.registry.stores.get(&job.new.store) {
                    div .notice role="status" {
                        p {
                            a href=(links::action(store.store.id, job.id)) { (title(job.new.kind)) ": " (deliveries(job.new.count)) }
                            " begins " (When { at: job.new.begins_at, now: person.now }) "."
                        }
                        form method="post" action=(links::action(store.store.id, job.id)) {
                            (hidden("form_token", &person.form_token))
                            button name="act" value="stop" { "Undo" }
                        }
                    }
                }
            }
        }
    }
}
