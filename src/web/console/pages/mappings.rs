//! Mappings: who gets which messages. Registering one, changing it, and trying its conditions on the last messages.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Value, value::to_raw_value};

use crate::{
    db::{DbError, EntityChange, Queue, QueueQuery},
    domain::{
        filter::{CompiledFilters, Verdict},
        id::Id,
        key::MappingKey,
        lookup::{PathSet, RootView},
        message::Message,
        registry::{Entity, Entry, Mapping, StoreSnapshot},
    },
    web::{
        api::mapping_fields::{By, READ_ONLY, read},
        console::{
            audit, go_to,
            html::{Foreign, Frame, Mark, Notice, Problems, When, hidden},
            links, ok,
            people::{Fields, Person, Post, Refusal},
        },
        fields,
    },
};

use super::{
    mapping_form::{body_of, form, problems_of, stored_as_fields},
    queues::object_link,
};

/// Messages on which conditions are tried.
const TRIED: usize = 100;

/// `GET /console/mappings`
pub async fn list(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let new = format!("/console/mappings/new?store={}", store.store.id);
    let body = html! {
        div .head { h1 { "Mappings" } @if person.changes(store.store.key) { a .button .main href=(new) { "Register an application" } } }
        @if store.mappings.is_empty() { div .panel .empty { p { "Nobody listens yet. A mapping says which messages go to which address." } @if person.changes(store.store.key) { a .button .main href=(new) { "Register an application" } } } }
        @else { table .cards {
            thead { tr { th scope="col" { "Mapping" } th scope="col" { "State" } th scope="col" { "Messages" } th scope="col" { "Address" } th scope="col" { "Changed" } } }
            tbody { @for entry in store.mappings.values() { tr {
                td { a href=(address(&store, entry.id)) { (Foreign(&entry.value.name)) } }
                td { (state_of(&entry.value)) }
                td .mono { @for pattern in &entry.value.messages { (Foreign(&pattern_text(pattern))) " " } }
                td .mono { (Foreign(&entry.value.url)) }
                td { (When { at: entry.updated_at, now: person.now }) }
            } } }
        } }
    };
    let frame = Frame {
        title: "Mappings",
        person: &person,
        store: Some(&store),
        place: "/mappings",
        notice: Notice::of(fields.get("notice")),
        live: false,
    };
    Ok(ok(frame.around(body)))
}

pub fn pattern_text(pattern: &crate::domain::message_type::TypePattern) -> String {
    serde_json::to_value(pattern)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn state_of(mapping: &Mapping) -> Markup {
    html! { @if mapping.enabled { span .state .s-done { (Mark::Completed.shape()) "Enabled" } } @else { span .state .s-held { (Mark::Held.shape()) "Disabled" } } }
}

fn address(store: &StoreSnapshot, id: Id) -> String {
    format!("/console/mappings/{id}?store={}", store.store.id)
}

/// `GET /console/mappings/new`
pub async fn new(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    person.admin(store.store.key)?;
    let on = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let typed = Fields(vec![
        on("messages", fields.get("messages")),
        on("enabled", "true"),
        on("retries_allowed", "true"),
        on("ordered", "true"),
    ]);
    edit_page(
        &person,
        &store,
        None,
        &typed,
        &Problems::default(),
        None,
        None,
    )
    .await
}

/// `POST /console/mappings/new`
pub async fn create(post: Post, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let store = post
        .person
        .store(Fields::read(request.query_string()).some("store"))?;
    save(post, store, None).await
}

fn find<'a>(store: &'a StoreSnapshot, id: &str) -> Result<&'a Entry<MappingKey, Mapping>, Refusal> {
    let id: Id = id.parse().map_err(|_| Refusal::Missing("mapping"))?;
    store
        .mappings
        .values()
        .find(|entry| entry.id == id)
        .ok_or(Refusal::Missing("mapping"))
}

/// `GET /console/mappings/:id`
pub async fn page(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let entry = find(&store, &place)?;
    edit_page(
        &person,
        &store,
        Some(entry),
        &stored_as_fields(&entry.value),
        &Problems::default(),
        Notice::of(fields.get("notice")),
        None,
    )
    .await
}

/// `POST /console/mappings/:id` with `action=save`, `try` or `delete`.
pub async fn act(
    post: Post,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let store = post
        .person
        .store(Fields::read(request.query_string()).some("store"))?;
    let entry = find(&store, &place)?.clone();
    if post.fields.get("action") == "delete" {
        post.person.admin(store.store.key)?;
        if entry.value.required {
            return Err(Refusal::Forbidden(
                "lifting \"required\" from this mapping first",
            ));
        }
        audit::change(
            &post.person,
            vec![EntityChange::Delete { key: entry.key.0 }],
        )
        .await?;
        return Ok(go_to(&links::noticed(
            &format!("/console/mappings?store={}", store.store.id),
            "deleted",
        )));
    }
    save(post, store, Some(entry)).await
}

async fn save(
    post: Post,
    store: Arc<StoreSnapshot>,
    entry: Option<Entry<MappingKey, Mapping>>,
) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    person.admin(store.store.key)?;
    let stored = entry.as_ref().map(|entry| &entry.value);
    let raw = to_raw_value(&body_of(&fields, &store, stored))
        .map_err(|error| Refusal::failed(&error, false))?;
    let mut reader = fields::Fields::read(&raw, "", &READ_ONLY);
    let by = if person.is_operator() {
        By::Operator
    } else {
        By::Admin
    };
    let mapping = read(&mut reader, stored, &store, by);
    if let Err(error) = reader.finish("mapping") {
        return edit_page(
            &person,
            &store,
            entry.as_ref(),
            &fields,
            &problems_of(&error),
            None,
            None,
        )
        .await;
    }
    if fields.get("action") == "try" {
        let tried = try_on_last(&person, &store, &mapping).await?;
        return edit_page(
            &person,
            &store,
            entry.as_ref(),
            &fields,
            &Problems::default(),
            None,
            Some(tried),
        )
        .await;
    }
    let entity = Entity::Mapping(mapping);
    let change = match &entry {
        Some(entry) => EntityChange::Replace {
            key: entry.key.0,
            entity,
        },
        None => EntityChange::Create {
            store: Some(store.store.key),
            subject: None,
            entity,
        },
    };
    match audit::change(&person, vec![change]).await {
        Ok(delta) => {
            let id = delta
                .rows
                .first()
                .map_or_else(|| entry.as_ref().map(|entry| entry.id), |row| Some(row.id));
            let back = id.map_or_else(
                || format!("/console/mappings?store={}", store.store.id),
                |id| address(&store, id),
            );
            Ok(go_to(&links::noticed(
                &back,
                if entry.is_some() { "saved" } else { "created" },
            )))
        }
        Err(DbError::Taken { .. }) => {
            let mut problems = Problems::default();
            problems.add("name", "A mapping of this name is there already.");
            edit_page(
                &person,
                &store,
                entry.as_ref(),
                &fields,
                &problems,
                None,
                None,
            )
            .await
        }
        Err(error) => Err(error.into()),
    }
}

#[allow(clippy::too_many_arguments, reason = "the parts of one page")]
async fn edit_page(
    person: &Person,
    store: &StoreSnapshot,
    entry: Option<&Entry<MappingKey, Mapping>>,
    typed: &Fields,
    problems: &Problems,
    notice: Option<Notice>,
    tried: Option<Markup>,
) -> Result<HttpResponse, Refusal> {
    let may = person.changes(store.store.key);
    let id = entry.map(|entry| entry.id.to_string()).unwrap_or_default();
    let action = entry.map_or_else(
        || format!("/console/mappings/new?store={}", store.store.id),
        |entry| address(store, entry.id),
    );
    let paths = recent_paths(person, store).await?;
    let title = entry.map_or("Register an application", |entry| entry.value.name.as_str());
    let body = html! {
        p .crumbs { a href=(format!("/console/mappings?store={}", store.store.id)) { "Mappings" } }
        div .head { h1 { (Foreign(title)) } @if let Some(entry) = entry { (state_of(&entry.value)) } }
        @if let Some(tried) = tried { (tried) }
        @if entry.is_some() {
            div .actions {
                a .button href=(links::queue(store.store.id, "accepted", &[("mapping_id", &id)])) { "What waits for it" }
                a .button href=(links::queue(store.store.id, "archived", &[("mapping_id", &id)])) { "What it got" }
                a .button href=(format!("/console/test?store={}", store.store.id)) { "Push a test" }
            }
        }
        @if may {
            section .panel { (form(person, store, &action, typed, problems, entry.is_some(), &paths)) }
            @if let Some(entry) = entry.filter(|entry| !entry.value.required) {
                details { summary { "Delete this mapping" } p { "What waits for it is archived with that reason. It stays named in old deliveries." }
                    form method="post" action=(address(store, entry.id)) { (hidden("form_token", &person.form_token)) button .danger name="action" value="delete" { "Delete " (Foreign(&entry.value.name)) } } }
            }
        } @else if let Some(entry) = entry {
            section .panel { dl .facts { dt { "Address" } dd .mono { (Foreign(&entry.value.url)) } dt { "Messages" } dd { @for pattern in &entry.value.messages { (Foreign(&pattern_text(pattern))) " " } } } p .muted { "You may look, not change." } }
        }
    };
    Ok(ok(Frame {
        title,
        person,
        store: Some(store),
        place: "/mappings",
        notice,
        live: false,
    }
    .around(body)))
}

/// The newest messages of a store, through the archive's and the accepted queue's rows.
pub async fn last_messages(
    person: &Person,
    store: &StoreSnapshot,
    limit: usize,
) -> Result<Vec<Message>, Refusal> {
    let mut ids: Vec<Id> = Vec::new();
    for queue in [Queue::Incoming, Queue::Accepted, Queue::Archived] {
        let query = QueueQuery {
            store: store.store.key,
            queue,
            kinds: None,
            states: None,
            reasons: None,
            source: None,
            from: None,
            until: None,
            message: None,
            mapping: None,
            object: None,
            after: None,
            skip: 0,
            limit,
        };
        for row in person.hub.backend().queue_list(query).await?.rows {
            let id = if row.mapping.is_some() {
                row.parent_id.unwrap_or(row.id)
            } else {
                row.id
            };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(id.second()));
    let mut messages = Vec::new();
    for id in ids.into_iter().take(limit) {
        match person
            .hub
            .backend()
            .message_detail(store.store.key, id)
            .await
        {
            Ok(detail) => messages.push(detail.message),
            Err(DbError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(messages)
}

/// Paths of the newest message's payload, for whoever writes a filter.
pub async fn recent_paths(person: &Person, store: &StoreSnapshot) -> Result<Vec<String>, Refusal> {
    let newest = last_messages(person, store, 1).await?.pop();
    let payload: Value = newest
        .and_then(|message| serde_json::from_str(message.payload.as_str()).ok())
        .unwrap_or_default();
    let mut paths = Vec::new();
    gather("payload", &payload, &mut paths);
    Ok(paths)
}

fn gather(path: &str, value: &Value, paths: &mut Vec<String>) {
    if paths.len() >= 60 {
        return;
    }
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| gather(&format!("{path}.{name}"), value, paths)),
        Value::Array(_) | Value::Null => {}
        _ => paths.push(path.to_owned()),
    }
}

/// Which of the last messages the mapping would take, and why it would refuse the others.
async fn try_on_last(
    person: &Person,
    store: &StoreSnapshot,
    mapping: &Mapping,
) -> Result<Markup, Refusal> {
    let messages = last_messages(person, store, TRIED).await?;
    let mut paths = PathSet::new();
    let filters = CompiledFilters::compile(&mapping.filters, &mut paths)
        .map_err(|error| Refusal::Unreadable(error.to_string()))?;
    let (mut taken, mut other_type, mut refused) = (Vec::new(), 0, 0);
    for message in &messages {
        if !mapping
            .messages
            .iter()
            .any(|pattern| pattern.matches(&message.kind))
        {
            other_type += 1;
            continue;
        }
        let root = RootView {
            message: message.kind.as_str(),
            message_id: None,
            store_id: None,
            source: None,
            parent_id: None,
            payload: &message.payload,
        };
        match filters.matches(&paths.lookup(&root)) {
            Verdict::Passed => taken.push(message),
            Verdict::Refused { .. } => refused += 1,
        }
    }
    Ok(html! {
        div .notice role="status" { div {
            p { strong { (taken.len()) " of the last " (messages.len()) " messages match" } ". " (other_type) " are of other types, " (refused) " are refused by filters. Nothing was saved or sent." }
            ul .family { @for message in taken.iter().take(5) { li { a href=(links::message(store.store.id, message.id)) { (Foreign(message.kind.as_str())) } " " @if let Some(object) = &message.about.primary { (object_link(store.store.id, object)) } } } }
        } }
    })
}
