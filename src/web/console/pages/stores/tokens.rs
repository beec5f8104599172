//! A store's tokens: each is shown once, when it is made.

use actix_web::HttpResponse;
use maud::{Markup, html};

use crate::{
    db::EntityChange,
    domain::{
        key::{StoreKey, TokenKey},
        registry::{Entity, Scope, StoreSnapshot},
    },
    web::{
        api::tokens::make,
        console::{
            audit, go_to,
            html::{Foreign, Frame, Mark, Problems, When, check_box, hidden, text_field},
            links, ok,
            people::{Fields, Person, Refusal},
        },
    },
};

/// The longest name, in characters.
const LONGEST_NAME: usize = 100;

/// The store's tokens, and the form that makes one.
pub fn section(person: &Person, store: &StoreSnapshot, address: &str, may: bool) -> Markup {
    html! {
        h2 { "Tokens" }
        @if store.tokens.is_empty() { p .muted { "None: nobody can push." } }
        ul .needs { @for entry in store.tokens.values() { li {
            span .grows { strong { (Foreign(&entry.value.name)) } span .meta { @for scope in &entry.value.scopes { (crate::web::scope_word(*scope)) ", " } "made " (When { at: entry.created_at, now: person.now }) @if !entry.value.alive(person.now) { " " (Mark::Failing.shape()) "expired" } } }
            @if may { form method="post" action=(address) { (hidden("form_token", &person.form_token)) (hidden("token", &entry.key.to_string())) button .danger name="action" value="revoke" { "Revoke" } } }
        } } }
        @if may {
            details .fold { summary { "Make a token" }
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

/// Makes a token of a store and gives its text.
///
/// # Errors
/// Those of the database.
pub async fn issue(
    person: &Person,
    store: StoreKey,
    name: &str,
    scopes: Vec<Scope>,
) -> Result<String, Refusal> {
    let (text, token) = make(name, scopes, None);
    let change = EntityChange::Create {
        store: Some(store),
        subject: None,
        entity: Entity::Token(token),
    };
    audit::change(person, vec![change]).await?;
    Ok(text)
}

/// Makes the token that the form asks for, and shows it.
///
/// # Errors
/// 400 without a scope.
pub async fn create(
    person: &Person,
    store: &StoreSnapshot,
    fields: &Fields,
    address: &str,
) -> Result<HttpResponse, Refusal> {
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
        .take(LONGEST_NAME)
        .collect();
    let text = issue(person, store.store.key, &name, scopes).await?;
    let shown = secret(&text, &store.store.id.to_string());
    Ok(page(
        person,
        "The token is made",
        &html! {
            h1 { "The token is made" }
            (shown)
            p { a .button .main href=(address) { "I have kept it" } }
        },
    ))
}

/// Takes a token back: it works no more from the next request on.
///
/// # Errors
/// 404 when the store has no such token.
pub async fn revoke(
    person: &Person,
    store: &StoreSnapshot,
    fields: &Fields,
    address: &str,
) -> Result<HttpResponse, Refusal> {
    let key = fields
        .get("token")
        .parse()
        .map(TokenKey)
        .ok()
        .filter(|key| store.tokens.contains_key(key))
        .ok_or(Refusal::Missing("token"))?;
    audit::change(person, vec![EntityChange::Delete { key: key.0 }]).await?;
    Ok(go_to(&links::noticed(address, "deleted")))
}

/// A token's text, this once.
pub fn secret(text: &str, store: &str) -> Markup {
    html! {
        div .notice .warn { p { "This token is shown now and never again. Only its hash is kept." } }
        p .secret data-copy="" { (text) }
        dl .facts { dt { "Store" } dd .mono { (store) } dt { "Header" } dd .mono { "X-Augury-Token" } }
    }
}

/// A page that shows a secret.
pub fn page(person: &Person, title: &str, body: &Markup) -> HttpResponse {
    ok(Frame {
        title,
        person,
        store: None,
        place: "/stores",
        notice: None,
        live: false,
    }
    .around(body.clone()))
}
