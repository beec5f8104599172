//! Rules: consumers that are written without code, and what they would make of recent messages.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::{
    db::{DbError, EntityChange},
    domain::{
        id::Id,
        key::RuleKey,
        registry::{Entity, Entry, StoreSnapshot},
        rule::{Part, Rule},
    },
    web::{
        api::rules::{DryResultDocument, DryRunDocument, read, try_out},
        console::{
            audit, go_to,
            html::{
                Foreign, Frame, Mark, Notice, Passage, Problems, When, check_box, delete_fold,
                hidden, text_area, text_field,
            },
            links, ok,
            people::{Fields, Person, Post, Refusal},
        },
    },
};

use super::{
    mapping_form::{filter_line, problems_of, read_filter},
    mappings::{pattern_text, recent_paths},
};

type Stored = Entry<RuleKey, Rule>;

fn address(store: &StoreSnapshot, id: Id) -> String {
    format!("/console/rules/{id}?store={}", store.store.id)
}

fn find(store: &StoreSnapshot, id: &str) -> Result<Stored, Refusal> {
    let id: Id = id.parse().map_err(|_| Refusal::Missing("rule"))?;
    let mut entries = store.rules.values();
    entries
        .find(|entry| entry.id == id)
        .cloned()
        .ok_or(Refusal::Missing("rule"))
}

fn state_of(rule: &Rule) -> Markup {
    html! { @if rule.enabled { span .state .s-done { (Mark::Completed.shape()) "In force" } } @else { span .state .s-held { (Mark::Held.shape()) "Off" } } }
}

/// `GET /console/rules`
pub async fn list(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let new = format!("/console/rules/new?store={}", store.store.id);
    let may = person.changes(store.store.key);
    let body = html! {
        div .head { h1 { "Rules" } @if may && !store.rules.is_empty() { a .button .main href=(new) { "Add a rule" } } }
        @if store.rules.is_empty() { div .panel .empty { p { "None yet. A rule derives a message from others without code: from each " code { "order:new" } " above 300 an " code { "order:large" } " with the parts you choose." } @if may { a .button .main href=(new) { "Add a rule" } } } }
        @else { table .cards {
            thead { tr { th scope="col" { "Rule" } th scope="col" { "State" } th scope="col" { "From" } th scope="col" { "Only if" } th scope="col" { "Derives" } th scope="col" { "Changed" } } }
            tbody { @for entry in store.rules.values() { tr {
                td { a href=(address(&store, entry.id)) { (Foreign(&entry.value.name)) } }
                td { (state_of(&entry.value)) }
                td .mono { @for pattern in &entry.value.messages { (Foreign(&pattern_text(pattern))) " " } }
                td .mono { @for line in filter_lines(&entry.value) { div { (Foreign(&line)) } } }
                td .mono { (Foreign(entry.value.message.as_str())) }
                td { (When { at: entry.updated_at, now: person.now }) }
            } } }
        } }
    };
    let frame = Frame {
        title: "Rules",
        person: &person,
        store: Some(&store),
        place: "/rules",
        notice: Notice::of(fields.get("notice")),
        live: false,
    };
    Ok(ok(frame.around(body)))
}

/// `GET /console/rules/new`
pub async fn new(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let store = person.store(Fields::read(request.query_string()).some("store"))?;
    person.admin(store.store.key)?;
    let typed = Fields(vec![("enabled".to_owned(), "true".to_owned())]);
    edit_page(&person, &store, None, Shown::default_for(&typed)).await
}

/// `POST /console/rules/new`
pub async fn create(post: Post, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    save(post, &request, None).await
}

/// `GET /console/rules/:id`
pub async fn page(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let entry = find(&store, &place)?;
    let typed = stored_as_fields(&entry.value);
    let shown = Shown {
        notice: Notice::of(fields.get("notice")),
        ..Shown::default_for(&typed)
    };
    edit_page(&person, &store, Some(&entry), shown).await
}

/// `POST /console/rules/:id` with `action=save`, `try` or `delete`.
pub async fn act(
    post: Post,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let store = post
        .person
        .store(Fields::read(request.query_string()).some("store"))?;
    let entry = find(&store, &place)?;
    if post.fields.get("action") != "delete" {
        return save(post, &request, Some(entry)).await;
    }
    let Post { person, fields } = post;
    person.admin(store.store.key)?;
    if fields.get("confirm") != entry.value.name.trim() {
        let typed = stored_as_fields(&entry.value);
        let mut shown = Shown::default_for(&typed);
        shown
            .problems
            .add("confirm", "This is not its name. Nothing was deleted.");
        return edit_page(&person, &store, Some(&entry), shown).await;
    }
    audit::change(&person, vec![EntityChange::Delete { key: entry.key.0 }]).await?;
    let list = format!("/console/rules?store={}", store.store.id);
    Ok(go_to(&links::noticed(&list, "deleted")))
}

fn filter_lines(rule: &Rule) -> Vec<String> {
    let filters = serde_json::to_value(&rule.filters).unwrap_or_default();
    let items = filters.as_array().cloned().unwrap_or_default();
    items.iter().map(filter_line).collect()
}

/// A member of the template as a line: `number = payload.order.number`, `channel = "warehouse"`.
fn part_line((name, part): (&String, &Part)) -> String {
    match part {
        Part::Path(path) => format!("{name} = {}", path.as_str()),
        Part::Value(value) => format!("{name} = {value}"),
    }
}

/// A line as a member of the template: what is JSON is a value, anything else a path.
fn read_part(line: &str) -> (String, Value) {
    let (name, text) = line.split_once('=').unwrap_or((line, ""));
    let (name, text) = (name.trim().to_owned(), text.trim());
    match serde_json::from_str::<Value>(text) {
        Ok(value) => (name, json!({ "value": value })),
        Err(_) => (name, json!({ "path": text })),
    }
}

fn stored_as_fields(rule: &Rule) -> Fields {
    let messages: Vec<String> = rule.messages.iter().map(pattern_text).collect();
    let parts: Vec<String> = rule.payload.iter().map(part_line).collect();
    let mut pairs = vec![
        ("name".to_owned(), rule.name.clone()),
        ("messages".to_owned(), messages.join("\n")),
        ("filters".to_owned(), filter_lines(rule).join("\n")),
        ("message".to_owned(), rule.message.to_string()),
        ("payload".to_owned(), parts.join("\n")),
    ];
    if rule.enabled {
        pairs.push(("enabled".to_owned(), "true".to_owned()));
    }
    Fields(pairs)
}

/// What a form's fields mean as a body of the API.
fn body_of(fields: &Fields, stored: Option<&Rule>) -> Map<String, Value> {
    let lines = |name: &str| -> Vec<String> {
        let lines = fields.raw(name).lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let kept = stored.and_then(|rule| serde_json::to_value(&rule.filters).ok());
    let kept = kept
        .and_then(|value| value.as_array().cloned())
        .unwrap_or_default();
    let filters: Vec<Value> = lines("filters")
        .iter()
        .map(|line| read_filter(line, &kept))
        .collect();
    let payload: Map<String, Value> = lines("payload")
        .iter()
        .map(|line| read_part(line))
        .collect();
    Map::from_iter([
        ("name".to_owned(), Value::from(fields.get("name"))),
        ("messages".to_owned(), Value::from(lines("messages"))),
        ("filters".to_owned(), Value::from(filters)),
        ("message".to_owned(), Value::from(fields.get("message"))),
        ("payload".to_owned(), Value::from(payload)),
        (
            "enabled".to_owned(),
            Value::from(fields.some("enabled").is_some()),
        ),
    ])
}

async fn save(
    post: Post,
    request: &HttpRequest,
    entry: Option<Stored>,
) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let store = person.store(Fields::read(request.query_string()).some("store"))?;
    person.admin(store.store.key)?;
    let stored = entry.as_ref().map(|entry| &entry.value);
    let mut shown = Shown::default_for(&fields);
    let (rule, compiled) = match read(body_of(&fields, stored), stored) {
        Ok(read) => read,
        Err(error) => {
            shown.problems = problems_of(&error);
            return edit_page(&person, &store, entry.as_ref(), shown).await;
        }
    };
    if fields.get("action") == "try" {
        let tried = try_out(&person.hub, &store, &compiled).await?;
        shown.tried = Some(dry_run(&store, &tried));
        return edit_page(&person, &store, entry.as_ref(), shown).await;
    }
    let entity = Entity::Rule(rule);
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
            let id = delta.rows.first().map(|row| row.id);
            let back = id.map_or_else(
                || format!("/console/rules?store={}", store.store.id),
                |id| address(&store, id),
            );
            let said = if entry.is_some() { "saved" } else { "created" };
            Ok(go_to(&links::noticed(&back, said)))
        }
        Err(DbError::Taken { .. }) => {
            shown
                .problems
                .add("name", "A rule of this name is there already.");
            edit_page(&person, &store, entry.as_ref(), shown).await
        }
        Err(error) => Err(error.into()),
    }
}

/// What stands on the page of a rule.
struct Shown<'a> {
    typed: &'a Fields,
    problems: Problems,
    notice: Option<Notice>,
    tried: Option<Markup>,
}

impl<'a> Shown<'a> {
    fn default_for(typed: &'a Fields) -> Self {
        Self {
            typed,
            problems: Problems::default(),
            notice: None,
            tried: None,
        }
    }
}

async fn edit_page(
    person: &Person,
    store: &StoreSnapshot,
    entry: Option<&Stored>,
    shown: Shown<'_>,
) -> Result<HttpResponse, Refusal> {
    let may = person.changes(store.store.key);
    let action = entry.map_or_else(
        || format!("/console/rules/new?store={}", store.store.id),
        |entry| address(store, entry.id),
    );
    let title = entry.map_or("Add a rule", |entry| entry.value.name.as_str());
    let paths = recent_paths(person, store).await?;
    let body = html! {
        p .crumbs { a href=(format!("/console/rules?store={}", store.store.id)) { "Rules" } }
        div .head { h1 { (Foreign(title)) } @if let Some(entry) = entry { (state_of(&entry.value)) } }
        @if let Some(tried) = &shown.tried { (tried) }
        @if may {
            section .panel { (form(person, &action, &shown, &paths)) }
            @if let Some(entry) = entry { (delete_fold(&action, &person.form_token, &entry.value.name, "It derives nothing any more. What it has derived stays.", &shown.problems)) }
        } @else if let Some(entry) = entry {
            section .panel { dl .facts {
                dt { "From" } dd .mono { @for pattern in &entry.value.messages { (Foreign(&pattern_text(pattern))) " " } }
                dt { "Only if" } dd .mono { @for line in filter_lines(&entry.value) { div { (Foreign(&line)) } } }
                dt { "Derives" } dd .mono { (Foreign(entry.value.message.as_str())) }
                dt { "With" } dd .mono { @for part in &entry.value.payload { div { (Foreign(&part_line(part))) } } }
            } p .muted { "You may look, not change." } }
        }
    };
    Ok(ok(Frame {
        title,
        person,
        store: Some(store),
        place: "/rules",
        notice: shown.notice,
        live: false,
    }
    .around(body)))
}

fn form(person: &Person, action: &str, shown: &Shown<'_>, paths: &[String]) -> Markup {
    let (typed, problems) = (shown.typed, &shown.problems);
    html! {
        form method="post" action=(action) {
            (problems.summary()) (hidden("form_token", &person.form_token))
            (text_field("name", "Name", "text", typed.get("name"), "For people; it is named as the source of what it derives.", problems))
            (text_area("messages", "From messages", 2, typed.raw("messages"), "One type a line: order:new, order:*, or * for all.", problems))
            (text_area("filters", "Only if", 2, typed.raw("filters"), "One condition a line, all must hold: payload.order.totals.order gt 300.", problems))
            (text_field("message", "Derive", "text", typed.get("message"), "The type of the derived message, such as order:large.", problems))
            (text_area("payload", "With", 5, typed.raw("payload"), "One member a line: order.number = payload.order.number takes what stands there, a path with * an array of all; channel = \"warehouse\" is that very value, as JSON.", problems))
            @if !paths.is_empty() { details { summary .meta { "Paths of the newest message" } ul .mono { @for path in paths { li { (Foreign(path)) } } } } }
            (check_box("enabled", "true", "In force", typed.some("enabled").is_some()))
            div .actions { button .main name="action" value="save" { "Save" } button name="action" value="try" { "What would it have made of recent messages?" } }
        }
    }
}

/// What a dry run told.
fn dry_run(store: &StoreSnapshot, tried: &DryRunDocument) -> Markup {
    let derived = (tried.results.iter())
        .filter(|one| one.outcome == "derived")
        .count();
    html! {
        section .panel role="status" {
            h2 { "Dry run" }
            p { strong { (derived) " of " (tried.looked_at) " recent messages" } " would have become one. Nothing was saved or sent." }
            @if !tried.results.is_empty() { table .cards {
                thead { tr { th scope="col" { "Message" } th scope="col" { "Outcome" } th scope="col" { "Payload" } } }
                tbody { @for one in &tried.results { tr {
                    td { a href=(links::message(store.store.id, one.message_id)) { (Foreign(&one.message)) } }
                    td { (outcome(one)) }
                    td { @if let Some(derived) = &one.derived { code { (Passage(derived.payload.as_str(), 400)) } } @else { "-" } }
                } } }
            } } @else { p .muted { "None of them is of its types." } }
        }
    }
}

fn outcome(one: &DryResultDocument) -> Markup {
    html! { @match (&one.derived, one.filter, &one.problem) {
        (Some(derived), ..) => { span .state .s-done { (Mark::Completed.shape()) (Foreign(&derived.message)) } }
        (None, Some(filter), _) => { span .state .muted { (Mark::NotSent.shape()) "Refused by condition " (filter + 1) } }
        (None, None, Some(problem)) => { span .state .s-failing { (Mark::Failing.shape()) "Failed" } span .meta { (Foreign(problem)) } }
        (None, None, None) => { "-" }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_sent_back_as_shown_changes_nothing() {
        let body = json!({
            "name": "large", "messages": ["order:new", "cart:*"], "message": "order:large", "enabled": true,
            "filters": [{"path": "payload.order.totals.order", "operator": "gt", "value": "300"}],
            "payload": {"order.number": {"path": "payload.order.number"}, "channel": {"value": "warehouse"}, "lines": {"value": [1, null]}},
        });
        let (rule, _) = read(body.as_object().cloned().expect("an object"), None).expect("a rule");
        let again = body_of(&stored_as_fields(&rule), Some(&rule));
        let (same, _) = read(again, Some(&rule)).expect("a rule");
        assert_eq!(same, rule);
    }

    #[test]
    fn what_is_json_is_a_value_and_anything_else_a_path() {
        let read = |line| read_part(line).1;
        assert_eq!(read("a = payload.x.*.y"), json!({"path": "payload.x.*.y"}));
        assert_eq!(read("a = \"b = c\""), json!({"value": "b = c"}));
        assert_eq!(read("a = 5"), json!({"value": 5}));
    }
}
