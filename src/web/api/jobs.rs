//! `/api/stores/:store/{queues/accepted/retry, queues/accepted/archive, actions, replays}`: what is done to many deliveries at once.
//!
//! The filters are those of the queue's list, so what a list shows is what a job touches. A dry run counts and gives the key of the newest
//! row; sent along as `upper_id`, it keeps out whatever arrived since.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    db::{JobCount, JobGroup, JobQuery, JobQuestion, PageKey, Queue, QueueQuery},
    domain::{
        id::Id,
        job::{FASTEST, Job, JobKind, MOST_NAMED, NewJob},
        key::StoreKey,
        registry::StoreSnapshot,
        time::Micros,
    },
};

use super::{
    super::{
        auth::{Admin, InStore, Read},
        error::ApiError,
        extract::Body,
        fields::{Fields, Given},
        query::{PER_PAGE, PageAsked, Query, read_key, write_key},
    },
    id_in_path,
    places::{consumer_of, place_of},
    queues::{Asked, read},
};

/// The filters of a job, named as in lists.
const FILTERS: [&str; 6] = [
    "state",
    "mapping_id",
    "message",
    "object",
    "start_date",
    "end_date",
];
/// The longest time until a job begins.
const LONGEST_DELAY_SECS: u32 = 3_600;
/// Jobs of a store that may be waiting or running at a time.
pub const MOST_OPEN: usize = 50;
/// Actions upon what waits.
const ACTIONS: [JobKind; 2] = [JobKind::Retry, JobKind::Archive];

/// A job.
#[derive(Debug, Serialize)]
struct JobDocument<'a> {
    id: Id,
    kind: &'static str,
    state: &'static str,
    count: u64,
    done: u64,
    skipped: u64,
    left: u64,
    rate_per_sec: u32,
    filters: Option<&'a RawValue>,
    upper_id: String,
    by: &'a str,
    created_at: Micros,
    starts_at: Micros,
    began_at: Option<Micros>,
    ended_at: Option<Micros>,
    error: Option<&'a str>,
}

/// What a job would touch.
#[derive(Debug, Serialize)]
struct CountDocument {
    count: u64,
    upper_id: String,
    groups: Vec<GroupDocument>,
}

/// Rows of one mapping in the same state.
#[derive(Debug, Serialize)]
struct GroupDocument {
    consumer: Option<String>,
    mapping_id: Option<Id>,
    state: &'static str,
    count: u64,
}

/// `POST queues/accepted/retry`: tries waiting deliveries now.
pub async fn retry(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    begin(JobKind::Retry, &call, &body).await
}

/// `POST queues/accepted/archive`: archives waiting deliveries.
pub async fn archive(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    begin(JobKind::Archive, &call, &body).await
}

/// `POST replays`: sends archived deliveries again.
pub async fn replay(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    begin(JobKind::Replay, &call, &body).await
}

/// `GET actions`: newest first.
pub async fn actions(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    list(&call, &request, &ACTIONS, "actions").await
}

/// `GET replays`: newest first.
pub async fn replays(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    list(&call, &request, &[JobKind::Replay], "replays").await
}

/// `GET actions/:id`
pub async fn action(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let job = find(&call, &request, &ACTIONS).await?;
    Ok(HttpResponse::Ok().json(document(&job)))
}

/// `GET replays/:id`
pub async fn one_replay(
    call: InStore<Read>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let job = find(&call, &request, &[JobKind::Replay]).await?;
    Ok(HttpResponse::Ok().json(document(&job)))
}

/// `DELETE actions/:id`: undoes it before it began, stops it after.
pub async fn stop_action(
    call: InStore<Admin>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    stop(&call, &request, &ACTIONS).await
}

/// `DELETE replays/:id`: undoes it before it began, stops it after.
pub async fn stop_replay(
    call: InStore<Admin>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    stop(&call, &request, &[JobKind::Replay]).await
}

/// The queue that a kind of job acts on.
pub const fn queue_of(kind: JobKind) -> Queue {
    match kind {
        JobKind::Retry | JobKind::Archive => Queue::Accepted,
        JobKind::Replay => Queue::Archived,
    }
}

/// The question that no row answers.
pub fn nothing(store: StoreKey, kind: JobKind) -> JobQuestion {
    let query = QueueQuery {
        store,
        queue: queue_of(kind),
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
        limit: 0,
    };
    JobQuestion {
        kind,
        query,
        ids: Some(Vec::new()),
        upper: None,
    }
}

/// What a request for a job says.
struct Request {
    question: JobQuestion,
    asked: String,
    only_count: bool,
    per_sec: Option<u32>,
    delay_secs: Option<u32>,
}

fn read_request(
    kind: JobKind,
    body: &Body,
    types: &[String],
    store: &StoreSnapshot,
) -> Result<Request, ApiError> {
    let mut fields = Fields::read(body.json()?, "", &[]);
    let mut asked = Map::new();
    for name in FILTERS {
        if let Given::Value(text) = fields.text(name)
            && !text.trim().is_empty()
        {
            asked.insert(name.to_owned(), Value::from(text));
        }
    }
    let (question, problems) = read_filters(kind, &asked, types, store);
    fields.note_all(problems);
    let mut question = question.unwrap_or_else(|| nothing(store.store.key, kind));
    if let Given::Value(texts) = fields.texts("ids") {
        if !asked.is_empty() {
            fields.note("ids", "cannot stand beside filters");
        }
        if texts.is_empty() || texts.len() > MOST_NAMED {
            fields.note("ids", format_args!("must name 1 to {MOST_NAMED}"));
        }
        question.ids = Some(read_ids(&mut fields, &texts));
        // Named rows are meant whatever their state.
        question.query.reasons = None;
        // How many is enough for people: the rows themselves stand in what was chosen.
        asked.insert("ids".to_owned(), Value::from(texts.len()));
    }
    if let Given::Value(text) = fields.text("upper_id") {
        match read_key(text.trim()) {
            Some(key) => question.upper = Some(key.0),
            None => fields.note("upper_id", "is no key that a dry run gave"),
        }
    }
    let only_count = fields.truth("dry_run").value().unwrap_or(false);
    if asked.is_empty() && !only_count {
        let wanted =
            "must name ids or at least one filter, such as a state: all there is would be touched";
        fields.note("body", wanted);
    }
    let per_sec = fields.count("rate_per_sec", FASTEST).value();
    let delay_secs = fields.whole("delay_secs", 0, LONGEST_DELAY_SECS).value();
    fields.finish("request")?;
    Ok(Request {
        question,
        asked: Value::Object(asked).to_string(),
        only_count,
        per_sec,
        delay_secs,
    })
}

fn read_ids(fields: &mut Fields<'_>, texts: &[String]) -> Vec<Id> {
    let mut ids = Vec::new();
    for text in texts {
        match text.trim().parse() {
            Ok(id) => ids.push(id),
            Err(error) => {
                fields.note("ids", error);
                break;
            }
        }
    }
    ids
}

/// The question that filters come to; `None` for one that no row answers. And what is wrong with them.
fn read_filters(
    kind: JobKind,
    asked: &Map<String, Value>,
    types: &[String],
    store: &StoreSnapshot,
) -> (Option<JobQuestion>, Vec<String>) {
    let pairs: Vec<(&str, &str)> = asked
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect();
    let text = serde_urlencoded::to_string(pairs).unwrap_or_default();
    let mut query = Query::read(&text, &FILTERS);
    let page = PageAsked {
        number: 1,
        after: None,
    };
    let found = read(&mut query, queue_of(kind), page, types, store);
    let problems = match query.finish() {
        Ok(()) => Vec::new(),
        Err(error) => error.document().errors.to_vec(),
    };
    let question = match found {
        Asked::Rows(query) => Some(JobQuestion {
            kind,
            query: *query,
            ids: None,
            upper: None,
        }),
        Asked::Nothing => None,
    };
    (question, problems)
}

async fn begin(
    kind: JobKind,
    call: &InStore<Admin>,
    body: &Body,
) -> Result<HttpResponse, ApiError> {
    let types = call.hub().backend().message_types(call.key()).await?;
    let request = read_request(kind, body, &types, &call.store)?;
    let (hub, now) = (call.hub(), call.hub().now());
    let counted = hub.backend().job_count(request.question, now).await?;
    if request.only_count {
        return Ok(HttpResponse::Ok().json(count_document(&counted, &call.store)));
    }
    check_open(call).await?;
    let usual = &hub.config().jobs;
    let delay = request.delay_secs.map_or(usual.undo_secs, u64::from);
    let job = hub
        .job_begin(NewJob {
            store: call.key(),
            kind,
            count: counted.count(),
            chosen: counted.chosen,
            asked: request.asked,
            per_sec: request.per_sec.unwrap_or(usual.rate_per_sec),
            who: call.caller.name().to_owned(),
            begins_at: now.plus(Duration::from_secs(delay)),
        })
        .await?;
    Ok(HttpResponse::Accepted().json(document(&job)))
}

async fn check_open(call: &InStore<Admin>) -> Result<(), ApiError> {
    let open = JobQuery {
        open: true,
        limit: usize::from(u16::MAX),
        ..of_store(call, &JobKind::ALL)
    };
    if call.hub().backend().job_list(open).await?.len() < MOST_OPEN {
        return Ok(());
    }
    let reason = format!("{MOST_OPEN} of this store are waiting or running");
    Err(ApiError::not_possible("action", "begun", &reason))
}

fn of_store<S>(call: &InStore<S>, kinds: &[JobKind]) -> JobQuery {
    JobQuery {
        stores: Some(vec![call.key()]),
        kinds: kinds.to_vec(),
        id: None,
        open: false,
        after: None,
        limit: PER_PAGE,
    }
}

async fn list(
    call: &InStore<Read>,
    request: &HttpRequest,
    kinds: &[JobKind],
    name: &'static str,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::read(request.query_string(), &["after", "next"]);
    let after = query.page().after;
    query.finish()?;
    let asked = JobQuery {
        after,
        limit: PER_PAGE + 1,
        ..of_store(call, kinds)
    };
    let mut jobs = call.hub().backend().job_list(asked).await?;
    let more = jobs.len() > PER_PAGE;
    jobs.truncate(PER_PAGE);
    let last = jobs.last().map(|job| write_key(PageKey(job.key.0)));
    let documents: Vec<_> = jobs.iter().map(document).collect();
    Ok(
        HttpResponse::Ok()
            .json(serde_json::json!({name: documents, "next": last.filter(|_| more)})),
    )
}

async fn find<S>(
    call: &InStore<S>,
    request: &HttpRequest,
    kinds: &[JobKind],
) -> Result<Job, ApiError> {
    let what = if kinds.contains(&JobKind::Replay) {
        "replay"
    } else {
        "action"
    };
    let missing = || ApiError::not_found(what);
    let query = JobQuery {
        id: Some(id_in_path(request).ok_or_else(missing)?),
        ..of_store(call, kinds)
    };
    let found = call.hub().backend().job_list(query).await?.pop();
    found.ok_or_else(missing)
}

async fn stop(
    call: &InStore<Admin>,
    request: &HttpRequest,
    kinds: &[JobKind],
) -> Result<HttpResponse, ApiError> {
    let job = find(call, request, kinds).await?;
    let stopped = call.hub().job_stop(&job, call.caller.name()).await?;
    let after = match stopped {
        Some(after) => after,
        None => find(call, request, kinds).await?,
    };
    Ok(HttpResponse::Ok().json(document(&after)))
}

fn document(job: &Job) -> JobDocument<'_> {
    JobDocument {
        id: job.id,
        kind: job.new.kind.word(),
        state: job.state.word(),
        count: job.new.count,
        done: job.done,
        skipped: job.skipped,
        left: job.left(),
        rate_per_sec: job.new.per_sec,
        filters: serde_json::from_str(&job.new.asked).ok(),
        upper_id: write_key(PageKey(job.new.chosen.upper)),
        by: &job.new.who,
        created_at: job.created_at,
        starts_at: job.new.begins_at,
        began_at: job.began_at,
        ended_at: job.ended_at,
        error: job.error.as_deref(),
    }
}

fn count_document(counted: &JobCount, store: &StoreSnapshot) -> CountDocument {
    let group = |group: &JobGroup| {
        let (consumer, mapping_id) = consumer_of(store, Some(group.mapping));
        GroupDocument {
            consumer,
            mapping_id,
            state: place_of(group.location).state,
            count: group.count,
        }
    };
    CountDocument {
        count: counted.count(),
        upper_id: write_key(PageKey(counted.chosen.upper)),
        groups: counted.groups.iter().map(group).collect(),
    }
}
