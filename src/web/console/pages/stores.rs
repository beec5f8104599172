//! Stores: adding one, its tokens, its counts.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    db::EntityChange,
    domain::{
        key::{StoreKey, TokenKey},
        registry::{Entity, Scope, StoreSnapshot},
    },
    web::{
        api::{stores::read, tokens::make},
        console::{
            audit, go_to,
            html::{Foreign, Frame, Mark, Notice, Problems, When, check_box, hidden, text_field},
            links, ok,
            people::{Fields, Person, Post, Refusal},
        },
        fields,
    },
};

use super::{mapping_form::problems_of, queues::count_words};

/// `GET /console/stores`
pub async fn list(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    show_list(
        &person,
        &Fields::default(),
        &Problems::default(),
        Notice::of(fields.get("notice")),
    )
    .await
}

async fn show_list(
    person: &Person,
    typed: &Fields,
    problems: &Problems,
    notice: Option<Notice>,
) -> Result<HttpResponse, Refusal> {
    let stores = person.stores();
    let body = html! {
        h1 { "Stores" }
        @if stores.is_empty() { div .panel .empty { p { "No store yet. A store is a shop whose messages travel through this hub." } } }
        @else { table .cards {
            thead { tr { th scope="col" { "Store" } th scope="col" { "Id" } th scope="col" { "API" } th .number scope="col" { "Mappings" } th .number scope="col" { "Tokens" } th scope="col" { "Since" } } }
            tbody { @for store in &stores { tr {
                td { a href=(format!("/console/stores/{}", store.store.id)) { (Foreign(&store.store.value.name)) } }
                td .mono { (store.store.id) }
                td data-label="API" { @match &store.store.value.api_url { Some(url) => { (Foreign(url)) } None => { span .muted { "push only" } } } }
                td .number data-label="mappings" { (store.mappings.len()) }
                td .number data-label="tokens" { (store.tokens.len()) }
                td { (When { at: store.store.created_at, now: person.now }) }
            } } }
        } }
        @if person.is_operator() {
            section .panel {
                h2 { "Add a store" }
                form method="post" action="/console/stores" {
                    (problems.summary()) (hidden("form_token", &person.form_token))
                    (store_fields(typed, problems))
                    button .main { "Add the store" }
                }
            }
        }
    };
    Ok(ok(Frame {
        title: "Stores",
        person,
        store: None,
        place: "/stores",
        notice,
        live: false,
    }
    .around(body)))
}

fn store_fields(typed: &Fields, problems: &Problems) -> Markup {
    html! {
        (text_field("name", "Name", "text", typed.get("name"), "For people.", problems))
        (text_field("api_url", "Shop's API", "url", typed.get("api_url"), "Such as https://shop.example/api/. Empty: the store is push only.", problems))
        (text_field("api_key", "API key", "password", "", "Kept secret; not shown again.", problems))
        (text_field("version", "Version", "text", typed.get("version"), "The shop's version, such as 2.0, if you know it.", problems))
    }
}

fn store_body(fields: &Fields) -> Value {
    let mut body = json!({ "name": fields.get("name"), "api_url": fields.some("api_url"), "version": fields.some("version") });
    if let (Some(members), Some(key)) = (body.as_object_mut(), fields.some("api_key")) {
        members.insert("api_key".into(), Value::from(key));
    }
    body
}

/// `POST /console/stores`: makes a store and a first token, which is shown this once.
pub async fn create(post: Post) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    person.operator()?;
    let raw = to_raw_value(&store_body(&fields)).map_err(|error| Refusal::failed(&error, false))?;
    let mut reader = fields::Fields::read(&raw, "", &[]);
    let store = read(&mut reader, None);
    if let Err(error) = reader.finish("store") {
        return show_list(&person, &fields, &problems_of(&error), None).await;
    }
    let delta = audit::change(
        &person,
        vec![EntityChange::Create {
            store: None,
            subject: None,
            entity: Entity::Store(store),
        }],
    )
    .await?;
    let row = delta
        .rows
        .first()
        .ok_or_else(|| Refusal::failed(&"a new store has no row", false))?;
    let (text, token) = make("first token", vec![Scope::Admin], None);
    audit::change(
        &person,
        vec![EntityChange::Create {
            store: Some(StoreKey(row.key)),
            subject: None,
            entity: Entity::Token(token),
        }],
    )
    .await?;
    Ok(secret_page(
        &person,
        "The store is made",
        &text,
        &format!("/console/stores/{}", row.id),
        &row.id.to_string(),
    ))
}

/// Shows a token's text, this once.
fn secret_page(person: &Person, title: &str, text: &str, back: &str, store: &str) -> HttpResponse {
    let body = html! {
        h1 { (title) }
        div .notice .warn { p { "This token is shown now and never again. Only its hash is kept." } }
        p .secret data-copy="" { (text) }
        dl .facts { dt { "Store" } dd .mono { (store) } dt { "Header" } dd .mono { "X-Augury-Token" } }
        p { a .button .main href=(back) { "I have kept it" } }
    };
    ok(Frame {
        title,
        person,
        store: None,
        place: "/stores",
        notice: None,
        live: false,
    }
    .around(body))
}

/// `GET /console/stores/:id`
pub async fn page(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(Some(&place))?;
    show(
        &person,
        &store,
        None,
        &Problems::default(),
        Notice::of(fields.get("notice")),
    )
    .await
}

async fn show(
    person: &Person,
    store: &StoreSnapshot,
    typed: Option<&Fields>,
    problems: &Problems,
    notice: Option<Notice>,
) -> Result<HttpResponse, Refusal> {
    let stats = person.hub.backend().queue_stats(store.store.key).await?;
    let may = person.changes(store.store.key);
    let address = format!("/console/stores/{}", store.store.id);
    let own = &store.store.value;
    let text =
        |name: &str, value: &Option<String>| (name.to_owned(), value.clone().unwrap_or_default());
    let stored = Fields(vec![
        ("name".into(), own.name.clone()),
        text("api_url", &own.api_url),
        text("version", &own.version),
    ]);
    let body = html! {
        p .crumbs { a href="/console/stores" { "Stores" } }
        h1 { (Foreign(&own.name)) }
        div .columns {
            section .panel {
                h2 { "About it" }
                dl .facts {
                    dt { "Id" } dd .mono data-copy="" { (store.store.id) }
                    dt { "API" } dd { @match &own.api_url { Some(url) => { (Foreign(url)) } None => { "none: it pushes" } } }
                    dt { "Since" } dd { (When { at: store.store.created_at, now: person.now }) }
                    dt { "Waiting" } dd { a href=(links::queue(store.store.id, "accepted", &[])) { (count_words(stats.pending + stats.failing + stats.scheduled + stats.parked)) } }
                    dt { "Archived" } dd { a href=(links::queue(store.store.id, "archived", &[])) { (count_words(stats.archived)) } }
                }
            }
            section .panel {
                h2 { "Tokens" }
                @if store.tokens.is_empty() { p .muted { "None: nobody can push." } }
                ul .needs { @for entry in store.tokens.values() { li {
                    span { strong { (Foreign(&entry.value.name)) } span .meta { @for scope in &entry.value.scopes { (crate::web::scope_word(*scope)) " " } ", made " (When { at: entry.created_at, now: person.now }) @if !entry.value.alive(person.now) { " " (Mark::Failing.shape()) "expired" } } }
                    @if may { form method="post" action=(address) { (hidden("form_token", &person.form_token)) (hidden("token", &entry.key.to_string())) button .danger name="action" value="revoke" { "Revoke" } } }
                } } }
                @if may {
                    details { summary { "Make a token" }
                        form method="post" action=(address) {
                            (hidden("form_token", &person.form_token))
                            (text_field("token_name", "Name", "text", "", "Who will use it.", &Problems::default()))
                            (check_box("scopes", "push", "push: sends messages", true)) (check_box("scopes", "read", "read: sees queues and timelines", false)) (check_box("scopes", "admin", "admin: everything in this store", false))
                            button .main name="action" value="token" { "Make it" }
                        }
                    }
                }
            }
        }
        @if may { section .panel {
            h2 { "Change" }
            form method="post" action=(address) { (problems.summary()) (hidden("form_token", &person.form_token)) (store_fields(typed.unwrap_or(&stored), problems)) button .main name="action" value="save" { "Save" } }
        } }
    };
    Ok(ok(Frame {
        title: &own.name,
        person,
        store: Some(store),
        place: "/stores",
        notice,
        live: false,
    }
    .around(body)))
}

/// `POST /console/stores/:id` with `action=save`, `token` or `revoke`.
pub async fn act(post: Post, place: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let store = person.store(Some(&place))?;
    person.admin(store.store.key)?;
    let address = format!("/console/stores/{}", store.store.id);
    match fields.get("action") {
        "token" => {
            let scopes: Vec<Scope> = [
                ("push", Scope::Push),
                ("read", Scope::Read),
                ("admin", Scope::Admin),
            ]
            .into_iter()
            .filter(|(word, _)| fields.all("scopes").any(|scope| scope == *word))
            .map(|(_, scope)| scope)
            .collect();
            if scopes.is_empty() {
                return Err(Refusal::Unreadable(
                    "A token needs at least one scope".into(),
                ));
            }
            let name: String = fields
                .some("token_name")
                .unwrap_or("token")
                .chars()
                .filter(|c| !c.is_control())
                .take(100)
                .collect();
            let (text, token) = make(&name, scopes, None);
            audit::change(
                &person,
                vec![EntityChange::Create {
                    store: Some(store.store.key),
                    subject: None,
                    entity: Entity::Token(token),
                }],
            )
            .await?;
            Ok(secret_page(
                &person,
                "The token is made",
                &text,
                &address,
                &store.store.id.to_string(),
            ))
        }
        "revoke" => {
            let key = fields
                .get("token")
                .parse()
                .map(TokenKey)
                .ok()
                .filter(|key| store.tokens.contains_key(key))
                .ok_or(Refusal::Missing("token"))?;
            audit::change(&person, vec![EntityChange::Delete { key: key.0 }]).await?;
            Ok(go_to(&links::noticed(&address, "deleted")))
        }
        _ => {
            let raw = to_raw_value(&store_body(&fields))
                .map_err(|error| Refusal::failed(&error, false))?;
            let mut reader = fields::Fields::read(&raw, "", &[]);
            let changed = read(&mut reader, Some(&store.store.value));
            if let Err(error) = reader.finish("store") {
                return show(&person, &store, Some(&fields), &problems_of(&error), None).await;
            }
            audit::change(
                &person,
                vec![EntityChange::Replace {
                    key: store.store.key.0,
                    entity: Entity::Store(changed),
                }],
            )
            .await?;
            Ok(go_to(&links::noticed(&address, "saved")))
        }
    }
}
