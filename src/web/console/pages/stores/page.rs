//! A store's page: how its shop fares, its tokens, its settings, and the forms of all of them.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Map, Value, value::to_raw_value};

use crate::{
    db::EntityChange,
    domain::{
        id::Id,
        registry::{Entity, StoreSnapshot},
    },
    web::{
        api::polling::read_backfill,
        console::{
            audit, go_to,
            html::{Foreign, Frame, Notice, Problems, When, delete_fold, hidden},
            links, ok,
            pages::{mapping_form::problems_of, queues::count_words},
            people::{Fields, Person, Post, Refusal},
        },
        fields,
    },
};

use super::{
    form::{read_form, source_words, store_fields, stored_as_fields},
    shop::{Shop, backfill_form, backfills, findings, pulses, set_aside},
    tokens,
};

/// Which of the page's forms was refused, and how.
#[derive(Default)]
struct Refused {
    typed: Fields,
    save: Option<Problems>,
    backfill: Option<Problems>,
    delete: Option<Problems>,
}

/// `GET /console/stores/:id`
pub async fn page(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(Some(&place))?;
    let notice = Notice::of(fields.get("notice"));
    show(&person, &store, &Refused::default(), notice).await
}

async fn show(
    person: &Person,
    store: &StoreSnapshot,
    refused: &Refused,
    notice: Option<Notice>,
) -> Result<HttpResponse, Refusal> {
    let may = person.changes(store.store.key);
    let address = format!("/console/stores/{}", store.store.id);
    let own = &store.store.value;
    let shop = Shop::read(person, store).await?;
    let none = Problems::default();
    let typed = refused.save.as_ref().map(|_| refused.typed.clone());
    let typed = typed.unwrap_or_else(|| stored_as_fields(own));
    let problems = refused.save.as_ref().unwrap_or(&none);
    let begun = refused.backfill.as_ref().map(|_| refused.typed.clone());
    let body = html! {
        p .crumbs { a href="/console/stores" { "Stores" } }
        h1 { (Foreign(&own.name)) }
        div .columns {
            section .panel #about data-region="" { (about(person, store, &shop).await?) }
            section .panel { (tokens::section(person, store, &address, may)) }
        }
        @if shop.polled {
            section .panel {
                div .head { h2 { "Its shop" } @if may { div .actions { form method="post" action=(address) { (hidden("form_token", &person.form_token)) button name="action" value="poll" { "Poll now" } button name="action" value="probe" { "Ask again which shop it is" } } } } }
                div #pulse data-region="" { (pulses(&shop, person.now)) (set_aside(&shop, person.now)) }
                details .fold { summary { "What the probe found" } div #probe data-region="" { (findings(&shop, person.now)) } }
            }
            section .panel {
                h2 { "Backfills" }
                div #backfills data-region="" { (backfills(person, &shop, &address, may)) }
                @if may { (backfill_form(person, &shop, &address, begun.as_ref().unwrap_or(&Fields::default()), refused.backfill.as_ref().unwrap_or(&none))) }
            }
        }
        @if may { section .panel #change {
            h2 { "Change" }
            form method="post" action=(address) { (problems.summary()) (hidden("form_token", &person.form_token)) (store_fields(&typed, Some(own), problems)) button .main name="action" value="save" { "Save" } }
        } }
        @if person.is_operator() {
            @let what = format!("Its {} mappings, {} parameters and {} tokens go with it, and what waits is archived as removed. This cannot be undone.", store.mappings.len(), store.parameters.len(), store.tokens.len());
            (delete_fold(&address, &person.form_token, &own.name, &what, refused.delete.as_ref().unwrap_or(&none)))
        }
    };
    Ok(ok(Frame {
        title: &own.name,
        person,
        store: Some(store),
        place: "/stores",
        notice,
        live: true,
    }
    .around(body)))
}

async fn about(person: &Person, store: &StoreSnapshot, shop: &Shop) -> Result<Markup, Refusal> {
    let stats = person.hub.backend().queue_stats(store.store.key).await?;
    let (own, id) = (&store.store.value, store.store.id);
    let waiting = stats.pending + stats.failing + stats.scheduled + stats.parked;
    Ok(html! {
        h2 { "About it" }
        dl .facts {
            dt { "Id" } dd .mono data-copy="" { (id) }
            dt { "API" } dd { @match &own.api_url { Some(url) => { (Foreign(url)) } None => { "none: it pushes" } } }
            dt { "Kind" } dd { @match (own.source.as_deref(), shop.found_words()) {
                (Some("auto"), Some(found)) => { (found) ", found out" }
                (source, _) => { (source_words(source.unwrap_or("none"))) }
            } }
            dt { "API key" } dd { @if own.api_key.is_some() { "set, kept secret" } @else { "none" } }
            dt { "Since" } dd { (When { at: store.store.created_at, now: person.now }) }
            dt { "Waiting" } dd { a href=(links::queue(id, "accepted", &[])) { (count_words(waiting)) } }
            dt { "Archived" } dd { a href=(links::queue(id, "archived", &[])) { (count_words(stats.archived)) } }
            dt { "Applications" } dd { a href=(format!("/console/integrations?store={id}")) { (store.integrations.len()) " integrations" } ", " a href=(format!("/console/mappings?store={id}")) { (store.mappings.len()) " mappings" } }
        }
    })
}

/// `POST /console/stores/:id` with `action=save`, `token`, `revoke`, `poll`, `probe`, `backfill`, `stop_backfill` or `delete`.
pub async fn act(post: Post, place: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let store = person.store(Some(&place))?;
    person.admin(store.store.key)?;
    let address = format!("/console/stores/{}", store.store.id);
    let key = store.store.key;
    match fields.get("action") {
        "token" => tokens::create(&person, &store, &fields, &address).await,
        "revoke" => tokens::revoke(&person, &store, &fields, &address).await,
        "poll" => {
            must_be_polled(&person, &store)?;
            person.hub.poll_now(key);
            note(&person, &store, "polled").await?;
            Ok(go_to(&links::noticed(&address, "polled")))
        }
        "probe" => {
            must_be_polled(&person, &store)?;
            person.hub.probe_now(key);
            note(&person, &store, "probed").await?;
            let back = match fields.get("back") {
                "begin" => format!("{address}/begin"),
                _ => address,
            };
            Ok(go_to(&links::noticed(&back, "probed")))
        }
        "backfill" => begin_backfill(&person, &store, fields, &address).await,
        "stop_backfill" => stop_backfill(&person, &store, &fields, &address).await,
        "delete" => delete(&person, &store, fields).await,
        _ => save(&person, &store, fields, &address).await,
    }
}

fn must_be_polled(person: &Person, store: &StoreSnapshot) -> Result<(), Refusal> {
    if person.hub.is_polled(store.store.key) {
        Ok(())
    } else {
        Err(Refusal::Unreadable(
            "This store is push only: it has no API, or no kind".into(),
        ))
    }
}

async fn note(person: &Person, store: &StoreSnapshot, action: &str) -> Result<(), Refusal> {
    let subject = format!("store {}", store.store.value.name);
    audit::note(person, Some(store.store.key), action, subject).await
}

async fn save(
    person: &Person,
    store: &StoreSnapshot,
    fields: Fields,
    address: &str,
) -> Result<HttpResponse, Refusal> {
    match read_form(&fields, Some(&store.store.value))? {
        Ok(changed) => {
            let change = EntityChange::Replace {
                key: store.store.key.0,
                entity: Entity::Store(changed),
            };
            audit::change(person, vec![change]).await?;
            Ok(go_to(&links::noticed(address, "saved")))
        }
        Err(problems) => {
            let refused = Refused {
                typed: fields,
                save: Some(problems),
                ..Refused::default()
            };
            show(person, store, &refused, None).await
        }
    }
}

async fn begin_backfill(
    person: &Person,
    store: &StoreSnapshot,
    fields: Fields,
    address: &str,
) -> Result<HttpResponse, Refusal> {
    must_be_polled(person, store)?;
    let mut body = Map::new();
    if let Some(since) = fields.some("since") {
        // A date alone is its first moment.
        let whole = if since.contains('T') {
            since.to_owned()
        } else {
            format!("{since}T00:00:00Z")
        };
        body.insert("since".into(), Value::from(whole));
    }
    let collections: Vec<&str> = fields.all("collections").collect();
    body.insert("collections".into(), Value::from(collections));
    if let Some(text) = fields.some("per_minute") {
        let number = text.parse::<u32>().map(Value::from);
        body.insert("per_minute".into(), number.unwrap_or_else(|_| text.into()));
    }
    let raw = to_raw_value(&body).map_err(|error| Refusal::failed(&error, false))?;
    let mut reader = fields::Fields::read(&raw, "", &[]);
    let usual = person.hub.config().poll.backfill_per_minute;
    let wanted = read_backfill(&mut reader, store.store.key, usual);
    if let Err(error) = reader.finish("backfill") {
        let refused = Refused {
            typed: fields,
            backfill: Some(problems_of(&error)),
            ..Refused::default()
        };
        return show(person, store, &refused, None).await;
    }
    let since = wanted.since;
    person.hub.backfill_begin(wanted).await?;
    let day = since.date().format("%Y-%m-%d");
    let subject = format!("backfill of {} since {day}", store.store.value.name);
    audit::note(person, Some(store.store.key), "begun", subject).await?;
    Ok(go_to(&links::noticed(address, "begun")))
}

async fn stop_backfill(
    person: &Person,
    store: &StoreSnapshot,
    fields: &Fields,
    address: &str,
) -> Result<HttpResponse, Refusal> {
    let id: Option<Id> = fields.get("backfill").parse().ok();
    let state = person.hub.backend().poll_state(store.store.key).await?;
    let backfill = state.backfills.iter().find(|one| Some(one.id) == id);
    let backfill = backfill.ok_or(Refusal::Missing("backfill"))?;
    let stopped = person
        .hub
        .backfill_stop(store.store.key, backfill.key)
        .await?;
    if !stopped {
        return Ok(go_to(&links::noticed(address, "gone")));
    }
    let subject = format!("backfill of {}", store.store.value.name);
    audit::note(person, Some(store.store.key), "stopped", subject).await?;
    Ok(go_to(&links::noticed(address, "stopped")))
}

async fn delete(
    person: &Person,
    store: &StoreSnapshot,
    fields: Fields,
) -> Result<HttpResponse, Refusal> {
    person.operator()?;
    if fields.get("confirm") != store.store.value.name.trim() {
        let mut problems = Problems::default();
        problems.add("confirm", "This is not its name. Nothing was deleted.");
        let refused = Refused {
            delete: Some(problems),
            ..Refused::default()
        };
        return show(person, store, &refused, None).await;
    }
    let change = EntityChange::Delete {
        key: store.store.key.0,
    };
    audit::change(person, vec![change]).await?;
    Ok(go_to(&links::noticed("/console/stores", "deleted")))
}
