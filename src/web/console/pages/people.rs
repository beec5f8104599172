//! People: who may sign in, and as what. Operators only.

use actix_web::{HttpRequest, HttpResponse};
use maud::html;

use crate::{
    db::{DbError, EntityChange, SessionEnd},
    domain::{
        key::AccountKey,
        registry::{Account, Entity, Role},
    },
    web::console::{
        audit, go_to,
        html::{Foreign, Frame, Notice, Problems, When, check_box, hidden, text_field},
        ok,
        people::{Fields, Person, Post, Refusal, check_name, check_new_password, hash_password},
    },
};

const ROLES: [(&str, Role, &str); 3] = [
    ("operator", Role::Operator, "everything, in every store"),
    (
        "store_admin",
        Role::StoreAdmin,
        "everything within their own stores",
    ),
    ("viewer", Role::Viewer, "reads everything, changes nothing"),
];

/// `GET /console/people`
pub async fn page(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    person.operator()?;
    let fields = Fields::read(request.query_string());
    Ok(show(
        &person,
        &Fields::default(),
        &Problems::default(),
        Notice::of(fields.get("notice")),
    ))
}

fn show(
    person: &Person,
    typed: &Fields,
    problems: &Problems,
    notice: Option<Notice>,
) -> HttpResponse {
    let registry = &person.registry;
    let body = html! {
        h1 { "People" }
        table .cards {
            thead { tr { th scope="col" { "Name" } th scope="col" { "Role" } th scope="col" { "Stores" } th scope="col" { "Since" } th scope="col" { span .unseen { "Actions" } } } }
            tbody { @for entry in registry.accounts.values() { tr {
                td { (Foreign(&entry.value.name)) @if entry.key == person.account.key { " (you)" } }
                td { (entry.value.role.word()) }
                td { @match entry.value.role {
                    Role::StoreAdmin => { @for key in &entry.value.stores { @if let Some(store) = registry.stores.get(key) { (Foreign(&store.store.value.name)) " " } } }
                    _ => { "all" }
                } }
                td { (When { at: entry.created_at, now: person.now }) }
                td { @if entry.key != person.account.key {
                    form method="post" action="/console/people" { (hidden("form_token", &person.form_token)) (hidden("account", &entry.key.to_string())) button .danger name="action" value="delete" { "Remove" } }
                } }
            } } }
        }
        section .panel {
            h2 { "Add a person" }
            form method="post" action="/console/people" {
                (problems.summary())
                (hidden("form_token", &person.form_token))
                (text_field("name", "Name", "text", typed.get("name"), "They sign in with it.", problems))
                (text_field("new_password", "First password", "password", "", "At least 10 characters. They change it on their own page.", problems))
                (text_field("again", "The same again", "password", "", "", problems))
                fieldset { legend { "Role" }
                    @for (word, role, means) in ROLES { label .check { input type="radio" name="role" value=(word) checked[typed.get("role") == word || (typed.get("role").is_empty() && role == Role::Viewer)]; span { (role.word()) ": " (means) } } }
                }
                fieldset { legend { "A store admin's stores" }
                    @for store in person.stores().iter().take(200) { (check_box("stores", &store.store.key.to_string(), &store.store.value.name, typed.all("stores").any(|key| key == store.store.key.to_string()))) }
                }
                button .main name="action" value="create" { "Add" }
            }
        }
    };
    ok(Frame {
        title: "People",
        person,
        store: None,
        place: "/people",
        notice,
        live: false,
    }
    .around(body))
}

/// `POST /console/people` with `action=create` or `delete`.
pub async fn act(post: Post) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    person.operator()?;
    match fields.get("action") {
        "delete" => {
            let key = fields
                .get("account")
                .parse()
                .map(AccountKey)
                .map_err(|_| Refusal::Missing("account"))?;
            if key == person.account.key || !person.registry.accounts.contains_key(&key) {
                return Err(Refusal::Missing("account that could be removed"));
            }
            audit::change(&person, vec![EntityChange::Delete { key: key.0 }]).await?;
            person
                .hub
                .backend()
                .session_end(SessionEnd::Others {
                    account: key,
                    keep: String::new(),
                })
                .await?;
            Ok(go_to("/console/people?notice=deleted"))
        }
        _ => create(&person, &fields).await,
    }
}

async fn create(person: &Person, fields: &Fields) -> Result<HttpResponse, Refusal> {
    let mut problems = Problems::default();
    let name = fields.get("name").to_lowercase();
    check_name(&name, &mut problems);
    check_new_password(fields, &mut problems);
    let role = ROLES
        .iter()
        .find(|(word, ..)| *word == fields.get("role"))
        .map(|(_, role, _)| *role);
    let stores: Vec<_> = fields
        .all("stores")
        .filter_map(|key| key.parse().ok())
        .map(crate::domain::key::StoreKey)
        .filter(|key| person.registry.stores.contains_key(key))
        .collect();
    match role {
        None => problems.add("role", "Choose a role."),
        Some(Role::StoreAdmin) if stores.is_empty() => {
            problems.add("stores", "A store admin needs a store.")
        }
        Some(_) => {}
    }
    let (Some(role), true) = (role, problems.is_empty()) else {
        return Ok(show(person, fields, &problems, None));
    };
    let password = hash_password(fields.raw("new_password").to_owned())
        .await
        .ok_or_else(|| Refusal::failed(&"a password could not be hashed", true))?;
    let stores = if role == Role::StoreAdmin {
        stores
    } else {
        Vec::new()
    };
    let entity = Entity::Account(Account {
        name,
        password,
        role,
        stores,
    });
    match audit::change(
        person,
        vec![EntityChange::Create {
            store: None,
            subject: None,
            entity,
        }],
    )
    .await
    {
        Ok(_) => Ok(go_to("/console/people?notice=created")),
        Err(DbError::Taken { .. }) => {
            problems.add("name", "Somebody has this name already.");
            Ok(show(person, fields, &problems, None))
        }
        Err(error) => Err(error.into()),
    }
}
