//! Adding a store, in steps: the shop's address and key, the token, what the probe found, the first order.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::{
    db::{EntityChange, PulseState},
    domain::{
        key::StoreKey,
        message::Message,
        registry::{Entity, Scope, StoreSnapshot},
    },
    web::console::{
        audit,
        html::{Foreign, Frame, Mark, Notice, Problems, hidden, rail},
        links, ok,
        pages::{mappings::last_messages, queues::object_link},
        people::{Fields, Person, Post, Refusal},
    },
};

use super::{
    form::{read_form, store_fields},
    shop::{Asked, Shop, findings},
    tokens,
};

const STEPS: [&str; 4] = ["Shop", "Token", "What answers", "First order"];
/// Messages that the last step shows.
const SHOWN: usize = 5;
/// Messages that are read for it.
const READ: usize = 20;

/// `GET /console/stores/new`
pub async fn new(person: Person) -> Result<HttpResponse, Refusal> {
    person.operator()?;
    Ok(form_page(&person, &Fields::default(), &Problems::default()))
}

fn form_page(person: &Person, typed: &Fields, problems: &Problems) -> HttpResponse {
    let body = html! {
        p .crumbs { a href="/console/stores" { "Stores" } }
        h1 { "Add a store" }
        (rail(&STEPS, 0))
        section .panel {
            form method="post" action="/console/stores" {
                (problems.summary()) (hidden("form_token", &person.form_token))
                (store_fields(typed, None, problems))
                button .main { "Add the store" }
            }
        }
    };
    ok(Frame {
        title: "Add a store",
        person,
        store: None,
        place: "/stores",
        notice: None,
        live: false,
    }
    .around(body))
}

/// `POST /console/stores`: makes a store and a first token, which is shown this once.
pub async fn create(post: Post) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    person.operator()?;
    let store = match read_form(&fields, None)? {
        Ok(store) => store,
        Err(problems) => return Ok(form_page(&person, &fields, &problems)),
    };
    let polled = store.api_url.is_some() && store.source.is_some();
    let change = EntityChange::Create {
        store: None,
        subject: None,
        entity: Entity::Store(store),
    };
    let delta = audit::change(&person, vec![change]).await?;
    let row = delta
        .rows
        .first()
        .ok_or_else(|| Refusal::failed(&"a new store has no row", false))?;
    let text = tokens::issue(
        &person,
        StoreKey(row.key),
        "first token",
        vec![Scope::Admin],
    )
    .await?;
    let page = format!("/console/stores/{}", row.id);
    let next = if polled {
        format!("{page}/begin")
    } else {
        page
    };
    let body = html! {
        h1 { "The store is made" }
        (rail(if polled { &STEPS } else { STEPS.get(..2).unwrap_or_default() }, 1))
        p { "Programs that push to this store, or read it, show this token." @if polled { " The hub itself asks the shop with the shop's own key." } }
        (tokens::secret(&text, &row.id.to_string()))
        p { a .button .main href=(next) { "I have kept it" } }
    };
    Ok(tokens::page(&person, "The store is made", &body))
}

/// `GET /console/stores/:id/begin`: what the probe found, then the first messages.
pub async fn begin(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(Some(&place))?;
    let shop = Shop::read(&person, &store).await?;
    let asked = shop.asked();
    let up = shop
        .pulse()
        .is_some_and(|pulse| pulse.state == PulseState::Up);
    let address = format!("/console/stores/{}", store.store.id);
    let step = if asked == Asked::Known && up { 3 } else { 2 };
    let arrived = if step == 3 {
        arrived(&person, &store).await?
    } else {
        Vec::new()
    };
    // As long as one waits for something to happen, the page asks every second.
    let waits = shop.polled && arrived.is_empty();
    let body = html! {
        p .crumbs { a href="/console/stores" { "Stores" } " / " a href=(address) { (Foreign(&store.store.value.name)) } }
        h1 { "Add a store: " (Foreign(&store.store.value.name)) }
        div #begin data-region="" data-refresh=[waits.then_some("1")] {
            (rail(&STEPS, step))
            @if !shop.polled { div .panel .empty { p { "This store is push only: nothing is polled." } a .button .main href=(address) { "To the store" } } }
            @else {
                section .panel { h2 { "What answers" } (findings(&shop, person.now)) }
                @if asked == Asked::Known && !up { p .state .s-sending { (Mark::Sending.shape()) "It is polled for the first time..." } }
                @if step == 3 { (first_order(&store, &arrived)) }
            }
        }
        @if shop.polled { div .actions {
            @if person.changes(store.store.key) {
                form method="post" action=(address) { (hidden("form_token", &person.form_token)) (hidden("back", "begin")) button name="action" value="probe" { "Ask again" } }
                a .button href=(format!("{address}#change")) { "Correct address or key" }
            }
            a .button href=(address) { "To the store" }
        } }
    };
    let frame = Frame {
        title: "Add a store",
        person: &person,
        store: Some(&store),
        place: "/stores",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}

/// The newest messages about what is in the shop.
async fn arrived(person: &Person, store: &StoreSnapshot) -> Result<Vec<Message>, Refusal> {
    let mut messages = last_messages(person, store, READ).await?;
    // The hub's own words about the shop are no news of the shop.
    messages.retain(|message| message.kind.noun() != "notification");
    messages.truncate(SHOWN);
    Ok(messages)
}

/// What arrived so far, and what to do for something to arrive.
fn first_order(store: &StoreSnapshot, arrived: &[Message]) -> Markup {
    let id = store.store.id;
    html! {
        section .panel {
            h2 { "First order" }
            @if arrived.is_empty() {
                p { "The shop is polled from now on. What is there already is no news: place or change an order in the shop, and it appears here with the next poll." }
                p .muted { "To tell the past as well, begin a backfill on the store's page." }
            } @else {
                p .state .s-done { (Mark::Completed.shape()) "Messages arrive." }
                ul .family { @for message in arrived { li { a href=(links::message(id, message.id)) { (Foreign(message.kind.as_str())) } " " @if let Some(object) = &message.about.primary { (object_link(id, object)) } } } }
                @if store.mappings.is_empty() { p { "Nobody gets them yet. " a href=(format!("/console/integrations/new?store={id}")) { "Connect an application" } } }
            }
        }
    }
}
