//! Acting on many deliveries: first a page that counts, then the deed.
//!
//! The count is of exactly what will be touched: rows that were checked, or all that match the filters and are not newer than
//! the newest one counted. When the same question has more rows at the time of the deed, it is asked again.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::{
    db::{DbError, Queue, QueueRow},
    domain::{id::Id, key::DeliveryKey, registry::StoreSnapshot},
    web::console::{
        audit,
        html::{Foreign, Frame, When, hidden, mark_of},
        links, ok,
        people::{Fields, Person, Post, Refusal},
    },
};

use super::queues::{Question, can_retry, count_words, kept, question, queue_of};

/// Rows that one bulk action touches at most; the page says so and how many are left.
const MOST: usize = 1_000;

/// Which action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Retry,
    Archive,
}

impl Action {
    fn of(word: &str) -> Result<Self, Refusal> {
        match word {
            "retry" => Ok(Self::Retry),
            "archive" => Ok(Self::Archive),
            _ => Err(Refusal::Unreadable(
                "The form says neither retry nor archive".into(),
            )),
        }
    }

    fn word(self) -> &'static str {
        if self == Self::Retry {
            "retry"
        } else {
            "archive"
        }
    }

    fn title(self) -> &'static str {
        if self == Self::Retry {
            "Try now"
        } else {
            "Archive"
        }
    }
}

/// `POST /console/queues/:queue` with the filters in the address, `which` and `id` in the form, and `step` `count` or `do`.
pub async fn act(
    post: Post,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let (queue, _) = queue_of(&place)
        .filter(|(queue, _)| *queue == Queue::Accepted)
        .ok_or(Refusal::Missing("queue to act on"))?;
    let query = Fields::read(request.query_string());
    let store = person.store(query.some("store"))?;
    person.admin(store.store.key)?;
    let action = Action::of(fields.get("action"))?;
    let bound = fields.get("bound").parse::<i64>().ok();
    let (rows, more) = chosen(&person, &store, queue, &query, &fields, action, bound).await?;
    let counted = fields.get("count").parse::<usize>().ok();
    if fields.get("step") == "do" && counted.is_some_and(|counted| rows.len() <= counted) {
        return carry_out(&person, &store, &query, action, rows).await;
    }
    Ok(ok(frame(&person, &store, action).around(count_page(
        &person, &store, &query, &fields, action, &rows, more,
    ))))
}

fn frame<'a>(person: &'a Person, store: &'a StoreSnapshot, action: Action) -> Frame<'a> {
    Frame {
        title: action.title(),
        person,
        store: Some(store),
        place: "/queues/accepted",
        notice: None,
        live: false,
    }
}

/// The rows that the action would touch, and whether there are more than it takes at once.
async fn chosen(
    person: &Person,
    store: &StoreSnapshot,
    queue: Queue,
    query: &Fields,
    fields: &Fields,
    action: Action,
    bound: Option<i64>,
) -> Result<(Vec<QueueRow>, bool), Refusal> {
    let backend = person.hub.backend();
    let types = backend.message_types(store.store.key).await?;
    let fits = |row: &QueueRow| action == Action::Archive || can_retry(row);
    if fields.get("which") != "all" {
        let mut rows = Vec::new();
        for id in fields
            .all("id")
            .take(MOST)
            .filter_map(|id| id.parse::<Id>().ok())
        {
            let only = Fields(vec![("message_id".into(), id.to_string())]);
            if let Question::Rows(query) = question(&only, queue, &types, store) {
                rows.extend(
                    backend
                        .queue_list(*query)
                        .await?
                        .rows
                        .into_iter()
                        .filter(|row| row.id == id && fits(row)),
                );
            }
        }
        return Ok((rows, false));
    }
    let mut pairs = query.clone();
    pairs.0.retain(|(name, _)| name != "after");
    let Question::Rows(mut asked) = question(&pairs, queue, &types, store) else {
        return Ok((Vec::new(), false));
    };
    asked.limit = 200;
    let mut rows = Vec::new();
    loop {
        let page = backend.queue_list((*asked).clone()).await?;
        rows.extend(
            page.rows
                .into_iter()
                .filter(|row| fits(row) && bound.is_none_or(|bound| row.page_key.0 <= bound)),
        );
        match page.next {
            Some(_) if rows.len() > MOST => {
                rows.truncate(MOST);
                return Ok((rows, true));
            }
            Some(next) => asked.after = Some(next),
            None => {
                let more = rows.len() > MOST;
                rows.truncate(MOST);
                return Ok((rows, more));
            }
        }
    }
}

fn count_page(
    person: &Person,
    store: &StoreSnapshot,
    query: &Fields,
    fields: &Fields,
    action: Action,
    rows: &[QueueRow],
    more: bool,
) -> Markup {
    let mut by_mapping: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *by_mapping
            .entry(
                row.mapping
                    .and_then(|key| store.mapping_name(key))
                    .unwrap_or("a mapping that is gone"),
            )
            .or_default() += 1;
    }
    let bound = rows
        .iter()
        .map(|row| row.page_key.0)
        .max()
        .unwrap_or(0)
        .to_string();
    let back = links::with("/console/queues/accepted", &kept(query));
    let grew = fields.get("step") == "do";
    html! {
        p .crumbs { a href=(back) { "Back to the queue" } }
        h1 { (action.title()) ": " (count_words(rows.len() as u64)) @if rows.len() == 1 { " delivery" } @else { " deliveries" } }
        @if grew { div .notice .warn role="alert" { p { "More match now than when you were asked. Please look again." } } }
        @if rows.is_empty() { p { "None of them can be " (if action == Action::Retry { "tried" } else { "archived" }) " now." } a .button href=(back) { "Back" } }
        @else {
            @if more { div .notice .warn { p { "More match than are done at once: these are the newest " (MOST) ". Repeat it for the rest." } } }
            section .panel {
                h2 { "To whom" }
                ul { @for (name, count) in by_mapping { li { (Foreign(name)) ": " (count) } } }
                h2 { "For example" }
                ul .family { @for row in rows.iter().take(5) { li { (mark_of(row.location).show()) " " a href=(links::message(store.store.id, row.id)) { (Foreign(&row.kind)) } " " @if let Some(object) = &row.object { (Foreign(&object.to_string())) } " " span .meta { (When { at: row.created_at, now: person.now }) } } } }
                p { @if action == Action::Retry { "Each goes to the end of its lane and is tried at once, within the endpoint's limits, its failures counted anew." } @else { "Each leaves the queue undelivered. What it claimed is free again." } }
                form method="post" action=(back) {
                    (hidden("form_token", &person.form_token)) (hidden("step", "do")) (hidden("action", action.word()))
                    (hidden("which", fields.get("which"))) (hidden("bound", &bound)) (hidden("count", &rows.len().to_string()))
                    @if fields.get("which") != "all" { @for row in rows { (hidden("id", &row.id.to_string())) } }
                    div .actions { button .main { (action.title()) " (" (rows.len()) ")" } a .button href=(back) { "Do nothing" } }
                }
            }
        }
    }
}

async fn carry_out(
    person: &Person,
    store: &StoreSnapshot,
    query: &Fields,
    action: Action,
    rows: Vec<QueueRow>,
) -> Result<HttpResponse, Refusal> {
    let (mut done, mut gone) = (0usize, 0usize);
    for row in &rows {
        let detail = match person
            .hub
            .backend()
            .message_detail(store.store.key, row.id)
            .await
        {
            Ok(detail) => detail,
            Err(DbError::Missing(_)) => {
                gone += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Some(key) = detail.delivery.map(|delivery| delivery.key) else {
            continue;
        };
        match one(person, store, action, key).await {
            Ok(()) => done += 1,
            Err(DbError::Missing(_)) => gone += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let deed = if action == Action::Retry {
        "tried now"
    } else {
        "archived"
    };
    audit::note(
        person,
        Some(store.store.key),
        deed,
        format!("{done} deliveries in bulk"),
    )
    .await?;
    let back = links::with("/console/queues/accepted", &kept(query));
    Ok(ok(frame(person, store, action).around(html! {
        h1 { (count_words(done as u64)) " " (deed) }
        @if gone > 0 { p { (gone) " had gone on meanwhile, so nothing was done to them." } }
        p { a .button .main href=(back) { "Back to the queue" } }
    })))
}

async fn one(
    person: &Person,
    store: &StoreSnapshot,
    action: Action,
    key: DeliveryKey,
) -> Result<(), DbError> {
    match action {
        Action::Retry => {
            person
                .hub
                .release(store.store.key, key, person.name())
                .await
        }
        Action::Archive => {
            person
                .hub
                .archive(store.store.key, key, person.name())
                .await
        }
    }
}
