//! `/api/stores/:store/{health,poll,probe,set_aside,backfills}`: how the polling of a store's shop fares, and asking for more.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    db::{Backfill, BackfillState, NewBackfill, PollJob, Pulse, PulseState, SetAsideRow},
    domain::{id::Id, key::StoreKey, store_object::Noun, time::Micros},
    sources::Found,
};

use super::{
    super::{
        auth::{Admin, InStore, Read},
        error::ApiError,
        extract::Body,
        fields::{Fields, Given, unknown},
        query::Query,
    },
    id_in_path,
};

/// Documents set aside that one page lists.
const PER_PAGE: usize = 100;

/// The heartbeat of a shop.
#[derive(Debug, Serialize)]
struct HealthDocument<'a> {
    state: &'static str,
    /// What the shop was found to be, else what was asked for; null for a store that is push only.
    source: Option<&'a str>,
    since: Option<Micros>,
    last_success_at: Option<Micros>,
    last_failure_at: Option<Micros>,
    failures: u32,
    last_error: Option<&'a str>,
    collections: Vec<CollectionDocument<'a>>,
    probe: Option<ProbeDocument<'a>>,
}

/// The heartbeat of a collection.
#[derive(Debug, Serialize)]
struct CollectionDocument<'a> {
    name: &'static str,
    state: &'static str,
    since: Option<Micros>,
    last_success_at: Option<Micros>,
    last_failure_at: Option<Micros>,
    failures: u32,
    last_error: Option<&'a str>,
    /// The newest change read, the shop's own time.
    mark: Option<Micros>,
}

/// What the last probe found out, step by step.
#[derive(Debug, Serialize)]
struct ProbeDocument<'a> {
    at: Micros,
    found: Option<&'a RawValue>,
    report: Option<&'a RawValue>,
}

fn word(state: PulseState) -> &'static str {
    match state {
        PulseState::Unknown => "unknown",
        PulseState::Up => "up",
        PulseState::Down => "down",
    }
}

/// `GET health`
pub async fn health(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    let state = call.hub().backend().poll_state(call.key()).await?;
    let is_polled = call.hub().is_polled(call.key());
    let silent = Pulse::default();
    let of = |name: &str| state.pulses.iter().find(|pulse| pulse.name == name);
    let shop = of("").filter(|_| is_polled).unwrap_or(&silent);
    let found = state.found.as_ref();
    let kind: Option<Found> = found
        .and_then(|row| row.found.as_deref())
        .and_then(|text| serde_json::from_str(text).ok());
    let asked = call.store.store.value.source.as_deref();
    let mark = |noun: Noun| {
        let mut cursors = state.cursors.iter();
        let live = cursors.find(|one| one.noun == noun && one.job == PollJob::Live);
        live.and_then(|cursor| cursor.mark)
    };
    let collections = Noun::ALL
        .into_iter()
        .filter(|_| is_polled)
        .filter_map(|noun| {
            let own = of(noun.collection());
            if own.is_none() && !state.cursors.iter().any(|one| one.noun == noun) {
                return None;
            }
            let own = own.unwrap_or(&silent);
            let is_down = shop.state == PulseState::Down;
            Some(CollectionDocument {
                name: noun.collection(),
                // Nothing can be said of a collection while its shop is away.
                state: word(if is_down { shop.state } else { own.state }),
                since: if is_down { shop.since } else { own.since },
                last_success_at: own.last_success_at,
                last_failure_at: own.last_failure_at,
                failures: own.failures,
                last_error: own.last_error.as_deref(),
                mark: mark(noun),
            })
        });
    Ok(HttpResponse::Ok().json(HealthDocument {
        state: word(shop.state),
        source: kind
            .as_ref()
            .map(Found::name)
            .or(asked)
            .filter(|_| is_polled),
        since: shop.since,
        last_success_at: shop.last_success_at,
        last_failure_at: shop.last_failure_at,
        failures: shop.failures,
        last_error: shop.last_error.as_deref(),
        collections: collections.collect(),
        probe: found.filter(|_| is_polled).map(|row| ProbeDocument {
            at: row.probed_at,
            found: row
                .found
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok()),
            report: serde_json::from_str(&row.report).ok(),
        }),
    }))
}

/// `POST poll`: 202, and all collections are polled now.
pub async fn poll(call: InStore<Admin>) -> Result<HttpResponse, ApiError> {
    must_be_polled(&call, "polled")?;
    call.hub().poll_now(call.key());
    Ok(HttpResponse::Accepted().json(serde_json::json!({"asked": true})))
}

/// `POST probe`: 202, and the shop is probed; `GET health` shows what came of it.
pub async fn probe(call: InStore<Admin>) -> Result<HttpResponse, ApiError> {
    must_be_polled(&call, "probed")?;
    call.hub().probe_now(call.key());
    Ok(HttpResponse::Accepted().json(serde_json::json!({"asked": true})))
}

fn must_be_polled(call: &InStore<Admin>, verb: &str) -> Result<(), ApiError> {
    if call.hub().is_polled(call.key()) {
        return Ok(());
    }
    Err(ApiError::not_possible(
        "store",
        verb,
        "it is push only: it has no api_url, or no source",
    ))
}

#[derive(Debug, Serialize)]
struct SetAsidePage {
    next: Option<String>,
    set_aside: Vec<SetAsideDocument>,
}

#[derive(Debug, Serialize)]
struct SetAsideDocument {
    object_type: String,
    token: String,
    why: String,
    /// `tried_again` with the next polls, or `left_alone` until it changes.
    fate: &'static str,
    occurrences: u64,
    first_at: Micros,
    last_at: Micros,
}

/// `GET set_aside`: documents that could not be read, newest first.
pub async fn set_aside(
    call: InStore<Read>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::read(request.query_string(), &["next"]);
    let before = query.parsed::<i64>("next");
    query.finish()?;
    let rows = call
        .hub()
        .backend()
        .set_aside_list(call.key(), before, PER_PAGE)
        .await?;
    let next = (rows.len() == PER_PAGE)
        .then(|| rows.last().map(|row| row.key.to_string()))
        .flatten();
    let document = |row: SetAsideRow| SetAsideDocument {
        object_type: row.noun,
        token: row.token,
        why: row.why,
        fate: if row.lasting {
            "left_alone"
        } else {
            "tried_again"
        },
        occurrences: row.occurrences,
        first_at: row.first_at,
        last_at: row.last_at,
    };
    Ok(HttpResponse::Ok().json(SetAsidePage {
        next,
        set_aside: rows.into_iter().map(document).collect(),
    }))
}

#[derive(Debug, Serialize)]
struct BackfillDocument {
    id: Id,
    state: &'static str,
    since: Micros,
    collections: Vec<&'static str>,
    per_minute: u32,
    documents: u64,
    messages: u64,
    requests: u64,
    created_at: Micros,
    ended_at: Option<Micros>,
}

fn document(backfill: &Backfill) -> BackfillDocument {
    let job = &backfill.job;
    BackfillDocument {
        id: backfill.id,
        state: match backfill.state {
            BackfillState::Running => "running",
            BackfillState::Done => "done",
            BackfillState::Stopped => "stopped",
        },
        since: job.since,
        collections: job.nouns.iter().map(|noun| noun.collection()).collect(),
        per_minute: job.per_minute,
        documents: backfill.documents,
        messages: backfill.messages,
        requests: backfill.requests,
        created_at: backfill.created_at,
        ended_at: backfill.ended_at,
    }
}

/// `POST backfills` `{"backfill":{"since","collections","per_minute"}}`: 202 with the job.
pub async fn begin(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    must_be_polled(&call, "backfilled")?;
    let mut fields = Fields::wrapped(body.json()?, "backfill", &[])?;
    let usual = call.hub().config().poll.backfill_per_minute;
    let wanted = read_backfill(&mut fields, call.key(), usual);
    fields.finish("backfill")?;
    let begun = call.hub().backfill_begin(wanted).await?;
    Ok(HttpResponse::Accepted().json(document(&begun)))
}

/// Reads a backfill of a store; `usual` is how many requests a minute it makes unless it says so.
pub fn read_backfill(fields: &mut Fields<'_>, store: StoreKey, usual: u32) -> NewBackfill {
    let since = fields.time("since").value();
    if since.is_none() {
        fields.note("since", "is missing");
    }
    let nouns = match fields.texts("collections") {
        Given::Value(names) => {
            let known: Vec<&str> = Noun::ALL.into_iter().map(Noun::collection).collect();
            let mut nouns = Vec::new();
            for name in &names {
                match Noun::of_collection(name) {
                    Some(noun) if !nouns.contains(&noun) => nouns.push(noun),
                    Some(_) => {}
                    None => fields.note("collections", unknown(name, &known)),
                }
            }
            if names.is_empty() {
                fields.note("collections", "must name at least one");
            }
            nouns
        }
        _ => vec![Noun::Order],
    };
    let per_minute = fields.count("per_minute", 6000).value().unwrap_or(usual);
    if per_minute == 0 {
        fields.note("per_minute", "must be at least 1");
    }
    NewBackfill {
        store,
        nouns,
        since: since.unwrap_or(Micros(0)),
        per_minute,
    }
}

/// `GET backfills`: newest first.
pub async fn backfills(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    let state = call.hub().backend().poll_state(call.key()).await?;
    let documents: Vec<_> = state.backfills.iter().map(document).collect();
    Ok(HttpResponse::Ok().json(documents))
}

async fn find<S>(call: &InStore<S>, request: &HttpRequest) -> Result<Backfill, ApiError> {
    let missing = || ApiError::not_found("backfill");
    let id = id_in_path(request).ok_or_else(missing)?;
    let state = call.hub().backend().poll_state(call.key()).await?;
    let mut backfills = state.backfills.into_iter();
    backfills.find(|one| one.id == id).ok_or_else(missing)
}

/// `GET backfills/:id`
pub async fn backfill(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let found = find(&call, &request).await?;
    Ok(HttpResponse::Ok().json(document(&found)))
}

/// `DELETE backfills/:id`: it stops; what it has said stays said.
pub async fn stop(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let found = find(&call, &request).await?;
    call.hub().backfill_stop(call.key(), found.key).await?;
    let after = find(&call, &request).await?;
    Ok(HttpResponse::Ok().json(document(&after)))
}
