//! `/api/stores/:store/schedulers`: what is pushed at an interval or by the calendar, with its last and next run.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    db::{EntityChange, ScheduleRun},
    domain::{
        id::Id,
        json::{Payload, PayloadLimits},
        key::SchedulerKey,
        message_type::MessageType,
        registry::{Entity, EntityRow, Entry, StoreSnapshot},
        schedule::{Due, Schedule, ScheduleFields},
        scheduler::Scheduler,
        time::Micros,
    },
};

use super::{
    super::{
        auth::{Admin, InStore, Read},
        error::ApiError,
        extract::Body,
        fields::{Fields, Given},
        forms,
    },
    id_in_path,
    stores::only_row,
};

const READ_ONLY: [&str; 9] = [
    "id",
    "_id",
    "store_id",
    "created_at",
    "updated_at",
    "last_run",
    "next_run",
    "missed",
    "description",
];

#[derive(Debug, Serialize)]
struct SchedulerDocument {
    id: Id,
    store_id: Id,
    #[serde(flatten)]
    schedule: Schedule,
    key: MessageType,
    payload: Option<Box<RawValue>>,
    enabled: bool,
    /// In words.
    description: String,
    /// When it last pushed.
    last_run: Option<Micros>,
    /// When it pushes next; null when it is off.
    next_run: Option<Micros>,
    /// Ticks that were missed before the last run and not made up for.
    missed: u64,
    created_at: Micros,
    updated_at: Micros,
}

type Runs = HashMap<SchedulerKey, ScheduleRun>;

async fn runs<S>(call: &InStore<S>) -> Result<Runs, ApiError> {
    let runs = call.hub().backend().schedule_runs().await?;
    Ok(runs.into_iter().map(|run| (run.scheduler, run)).collect())
}

/// `GET schedulers`: oldest first.
pub async fn list(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    let (runs, now) = (runs(&call).await?, call.hub().now());
    let documents = call
        .store
        .schedulers
        .values()
        .map(|entry| document(entry, &call.store, &runs, now));
    Ok(HttpResponse::Ok().json(documents.collect::<Vec<_>>()))
}

/// `POST schedulers`: 201.
pub async fn create(
    call: InStore<Admin>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let raw = forms::document(&body, request.query_string())?;
    let mut fields = Fields::wrapped(&raw, "scheduler", &READ_ONLY)?;
    let scheduler = read(&mut fields, None, call.hub().now());
    fields.finish("scheduler")?;
    let change = EntityChange::Create {
        store: Some(call.key()),
        subject: None,
        entity: Entity::Scheduler(scheduler.ok_or_else(nothing)?),
    };
    let row = only_row(call.caller.change(vec![change]).await?.rows)?;
    Ok(HttpResponse::Created().json(row_document(row, &call, &Runs::new())?))
}

/// `GET schedulers/:id`
pub async fn show(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let (runs, now) = (runs(&call).await?, call.hub().now());
    let entry = find(&call.store, &request)?;
    Ok(HttpResponse::Ok().json(document(entry, &call.store, &runs, now)))
}

/// `PUT schedulers/:id`: a new schedule counts from now.
pub async fn update(
    call: InStore<Admin>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    let raw = forms::document(&body, request.query_string())?;
    let mut fields = Fields::wrapped(&raw, "scheduler", &READ_ONLY)?;
    let scheduler = read(&mut fields, Some(&entry.value), call.hub().now());
    fields.finish("scheduler")?;
    let change = EntityChange::Replace {
        key: entry.key.0,
        entity: Entity::Scheduler(scheduler.ok_or_else(nothing)?),
    };
    let row = only_row(call.caller.change(vec![change]).await?.rows)?;
    let runs = runs(&call).await?;
    Ok(HttpResponse::Ok().json(row_document(row, &call, &runs)?))
}

/// `DELETE schedulers/:id`
pub async fn delete(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let (runs, now) = (runs(&call).await?, call.hub().now());
    let entry = find(&call.store, &request)?;
    call.caller
        .change(vec![EntityChange::Delete { key: entry.key.0 }])
        .await?;
    Ok(HttpResponse::Ok().json(document(entry, &call.store, &runs, now)))
}

fn nothing() -> ApiError {
    ApiError::internal(&"a scheduler without faults could not be read")
}

fn find<'a>(
    store: &'a StoreSnapshot,
    request: &HttpRequest,
) -> Result<&'a Entry<SchedulerKey, Scheduler>, ApiError> {
    let id = id_in_path(request);
    store
        .schedulers
        .values()
        .find(|entry| Some(entry.id) == id)
        .ok_or_else(|| ApiError::not_found("scheduler"))
}

/// Reads a scheduler over what is stored of it; `None` when something was noted.
pub fn read(fields: &mut Fields<'_>, stored: Option<&Scheduler>, now: Micros) -> Option<Scheduler> {
    let schedule = read_schedule(fields, stored.map(|stored| &stored.schedule));
    let key = match fields.text("key") {
        Given::Value(text) => match MessageType::parse(text.trim()) {
            Ok(key) => Some(key),
            Err(error) => {
                fields.note("key", error);
                None
            }
        },
        Given::Absent if stored.is_some() => stored.map(|stored| stored.key.clone()),
        Given::Absent | Given::Null => {
            fields.note(
                "key",
                "is missing, expected a message type such as hub:poll",
            );
            None
        }
    };
    let payload = match fields.raw("payload") {
        Given::Absent => stored.and_then(|stored| stored.payload.clone()),
        Given::Null => None,
        Given::Value(raw) => {
            // A text that holds JSON is read as that JSON.
            let text =
                serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
            match Payload::parse(&text, PayloadLimits::default()) {
                Ok(payload) => Some(payload.as_str().to_owned()),
                Err(error) => {
                    fields.note_all([error.to_string()]);
                    None
                }
            }
        }
    };
    let enabled = fields
        .truth("enabled")
        .value()
        .unwrap_or_else(|| stored.is_none_or(|stored| stored.enabled));
    let schedule = schedule?;
    let anchor = match stored {
        Some(stored) if stored.schedule == schedule && stored.enabled => stored.anchor,
        _ => now,
    };
    Some(Scheduler {
        schedule,
        key: key?,
        payload,
        enabled,
        anchor,
    })
}

fn read_schedule(fields: &mut Fields<'_>, stored: Option<&Schedule>) -> Option<Schedule> {
    let mut any = false;
    let mut texts = |name: &'static str, fields: &mut Fields<'_>| {
        let given = fields.text(name);
        any |= given != Given::Absent;
        given.value()
    };
    let (interval, cron, time_zone) = (
        texts("interval", fields),
        texts("cron", fields),
        texts("time_zone", fields),
    );
    let count = match fields.raw("count") {
        Given::Absent | Given::Null => None,
        Given::Value(raw) => serde_json::from_str(raw.get()).ok(),
    };
    if !any && count.is_none() && stored.is_some() {
        return stored.cloned();
    }
    let read = ScheduleFields {
        count,
        interval,
        cron,
        time_zone,
    };
    match read.check() {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            fields.note_all([error.to_string()]);
            None
        }
    }
}

fn row_document<S>(
    row: EntityRow,
    call: &InStore<S>,
    runs: &Runs,
) -> Result<SchedulerDocument, ApiError> {
    let Entity::Scheduler(value) = row.entity else {
        return Err(ApiError::internal(
            &"a scheduler was written, something else came back",
        ));
    };
    let entry = Entry {
        key: SchedulerKey(row.key),
        id: row.id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        value,
    };
    Ok(document(&entry, &call.store, runs, call.hub().now()))
}

fn document(
    entry: &Entry<SchedulerKey, Scheduler>,
    store: &StoreSnapshot,
    runs: &Runs,
    now: Micros,
) -> SchedulerDocument {
    let own = &entry.value;
    let run = runs.get(&entry.key);
    let next = match own.schedule.due(own.anchor, run.map(|run| run.tick), now) {
        Due::NotYet { next } => next,
        Due::Now { tick, .. } => Some(tick),
    };
    SchedulerDocument {
        id: entry.id,
        store_id: store.store.id,
        description: own.schedule.describe(),
        schedule: own.schedule.clone(),
        key: own.key.clone(),
        payload: own
            .payload
            .clone()
            .and_then(|text| RawValue::from_string(text).ok()),
        enabled: own.enabled,
        last_run: run.map(|run| run.ran_at),
        next_run: next.filter(|_| own.enabled),
        missed: run.map_or(0, |run| run.missed),
        created_at: entry.created_at,
        updated_at: entry.updated_at,
    }
}
