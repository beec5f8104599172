//! Parameters: values sent along with service requests. Secret ones can be written and never read.

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    db::{DbError, EntityChange},
    domain::{
        key::ParameterKey,
        parameter::DataType,
        registry::{Entity, Entry, Parameter, StoreSnapshot},
    },
    web::{
        api::parameters::{as_declared, read},
        console::{
            audit, go_to,
            html::{
                Foreign, Frame, Notice, Problems, When, check_box, hidden, text_area, text_field,
            },
            links, ok,
            people::{Fields, Person, Post, Refusal},
        },
        fields,
    },
};

use super::mapping_form::problems_of;

const TYPES: [(&str, DataType); 5] = [
    ("string", DataType::String),
    ("integer", DataType::Integer),
    ("float", DataType::Float),
    ("boolean", DataType::Boolean),
    ("list", DataType::List),
];

/// `GET /console/parameters?edit=`
pub async fn list(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let edited = fields
        .get("edit")
        .parse()
        .ok()
        .map(ParameterKey)
        .and_then(|key| store.parameters.get(&key));
    let typed = edited
        .map(|entry| stored_as_fields(&entry.value))
        .unwrap_or_default();
    Ok(show(
        &person,
        &store,
        edited,
        &typed,
        &Problems::default(),
        Notice::of(fields.get("notice")),
    ))
}

fn stored_as_fields(parameter: &Parameter) -> Fields {
    let value = match (&parameter.value, parameter.secret) {
        (_, true) => String::new(),
        (Value::String(text), _) => text.clone(),
        (other, _) => other.to_string(),
    };
    let kind = TYPES
        .iter()
        .find(|(_, kind)| *kind == parameter.data_type)
        .map_or("string", |(word, _)| word);
    let mut pairs = vec![
        ("name".into(), parameter.name.clone()),
        ("data_type".into(), kind.into()),
        ("value".into(), value),
    ];
    if parameter.secret {
        pairs.push(("secret".into(), "true".into()));
    }
    Fields(pairs)
}

fn show(
    person: &Person,
    store: &StoreSnapshot,
    edited: Option<&Entry<ParameterKey, Parameter>>,
    typed: &Fields,
    problems: &Problems,
    notice: Option<Notice>,
) -> HttpResponse {
    let may = person.changes(store.store.key);
    let address = format!("/console/parameters?store={}", store.store.id);
    let body = html! {
        div .head { h1 { "Parameters" } span .muted { (Foreign(&store.store.value.name)) } }
        @if store.parameters.is_empty() { div .panel .empty { p { "None yet. An application's settings, such as " code { "mail.from" } " or an API key, are parameters: mappings choose which they send along." } } }
        @else { (table(person, store, &address, may)) }
        @if may { section .panel { (form(person, edited, typed, problems, &address)) } }
    };
    ok(Frame {
        title: "Parameters",
        person,
        store: Some(store),
        place: "/parameters",
        notice,
        live: false,
    }
    .around(body))
}

fn table(person: &Person, store: &StoreSnapshot, address: &str, may: bool) -> Markup {
    html! {
        table .cards {
            thead { tr { th scope="col" { "Name" } th scope="col" { "Value" } th scope="col" { "Type" } th scope="col" { "Sent by" } th scope="col" { "Changed" } th scope="col" { span .unseen { "Actions" } } } }
            tbody { @for entry in store.parameters.values() { tr {
                td .mono { (Foreign(&entry.value.name)) }
                td { @if entry.value.secret { span .muted { "secret" } } @else { (Foreign(&entry.value.value.as_str().map_or_else(|| entry.value.value.to_string(), str::to_owned))) } }
                td data-label="type" { (TYPES.iter().find(|(_, kind)| *kind == entry.value.data_type).map_or("", |(word, _)| word)) }
                td data-label="sent by" { @for mapping in store.mappings.values().filter(|mapping| mapping.value.parameters.contains(&entry.key)) { (Foreign(&mapping.value.name)) " " } }
                td { (When { at: entry.updated_at, now: person.now }) }
                td { @if may { div .actions {
                    a .button href=(format!("{address}&edit={}#name", entry.key)) { "Edit" }
                    form method="post" action=(address) { (hidden("form_token", &person.form_token)) (hidden("key", &entry.key.to_string())) button .danger name="action" value="delete" { "Delete" } }
                } } }
            } } }
        }
    }
}

fn form(
    person: &Person,
    edited: Option<&Entry<ParameterKey, Parameter>>,
    typed: &Fields,
    problems: &Problems,
    address: &str,
) -> Markup {
    let secret = typed.0.is_empty() || typed.some("secret").is_some();
    html! {
        h2 { @match edited { Some(entry) => { "Edit " (Foreign(&entry.value.name)) } None => { "Add a parameter" } } }
        form method="post" action=(address) {
            (problems.summary())
            (hidden("form_token", &person.form_token))
            @if let Some(entry) = edited { (hidden("key", &entry.key.to_string())) }
            (text_field("name", "Name", "text", typed.get("name"), "Application and name, such as mail.from", problems))
            div .field { label for="data_type" { "Type" } select #data_type name="data_type" { @for (word, _) in TYPES { option value=(word) selected[typed.get("data_type") == word] { (word) } } } }
            (text_area("value", "Value", 3, typed.raw("value"), if edited.is_some_and(|entry| entry.value.secret) { "It is secret and not shown. Leave this empty to keep it." } else { "A list is a JSON array." }, problems))
            (check_box("secret", "true", "Secret: never shown again, and masked wherever it turns up", secret))
            div .actions { button .main name="action" value="save" { "Save" } @if edited.is_some() { a .button href=(address) { "Cancel" } } }
        }
    }
}

/// `POST /console/parameters` with `action=save` or `delete`.
pub async fn act(post: Post, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let query = Fields::read(request.query_string());
    let store = person.store(query.some("store"))?;
    person.admin(store.store.key)?;
    let address = format!("/console/parameters?store={}", store.store.id);
    let edited = fields
        .get("key")
        .parse()
        .ok()
        .map(ParameterKey)
        .and_then(|key| store.parameters.get(&key));
    if fields.get("action") == "delete" {
        let key = edited.ok_or(Refusal::Missing("parameter"))?.key;
        audit::change(&person, vec![EntityChange::Delete { key: key.0 }]).await?;
        return Ok(go_to(&links::noticed(&address, "deleted")));
    }
    let secret = fields.some("secret").is_some();
    let keeps =
        edited.is_some_and(|entry| entry.value.secret) && fields.raw("value").is_empty() && secret;
    let mut body = json!({ "name": fields.get("name"), "data_type": fields.get("data_type"), "secret": secret });
    if !keeps && let Some(members) = body.as_object_mut() {
        members.insert("value".into(), Value::from(fields.raw("value")));
    }
    let raw = to_raw_value(&body).map_err(|error| Refusal::failed(&error, false))?;
    let mut reader = fields::Fields::read(&raw, "", &[]);
    let stored = edited.map(|entry| &entry.value);
    let parameter = read(&mut reader, stored);
    let parameter = as_declared(&mut reader, parameter, stored, &store);
    if let Err(error) = reader.finish("parameter") {
        return Ok(show(
            &person,
            &store,
            edited,
            &fields,
            &problems_of(&error),
            None,
        ));
    }
    let entity = Entity::Parameter(parameter);
    let change = match edited {
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
        Ok(_) => Ok(go_to(&links::noticed(&address, "saved"))),
        Err(DbError::Taken { .. }) => {
            let mut problems = Problems::default();
            problems.add("name", "A parameter of this name is there already.");
            Ok(show(&person, &store, edited, &fields, &problems, None))
        }
        Err(error) => Err(error.into()),
    }
}
