//! `/api/stores/:store/queues`: counts, and pages of the three queues.
//!
//! A filter that can match nothing in the queue it is used on (a waiting state in the archive) gives an empty page, since
//! clients carry filters from one queue to the next. The archive lists *completed* deliveries unless a filter asks for more:
//! `source`, `state`, `object` and `message_id` do.

use actix_web::{HttpRequest, HttpResponse};

use crate::{
    db::{ArchivedSource, Queue, QueuePage, QueueQuery},
    domain::{
        delivery::{ArchiveReason, WaitState},
        id::Id,
        message_type::MessageType,
        reference::ObjectRef,
        registry::StoreSnapshot,
    },
    wire::hub_api::{QueuePageDocument, QueueStatsDocument},
};

use super::{
    super::{
        auth::{InStore, Read},
        error::ApiError,
        query::{Bound, PER_PAGE, PageAsked, Query, pages_of, write_key},
    },
    places::row_document,
};

const FILTERS: [&str; 13] = [
    "page",
    "after",
    "next",
    "message",
    "state",
    "filter_state",
    "start_date",
    "end_date",
    "message_id",
    "mapping_id",
    "object",
    "source",
    "consumer_class",
];

/// `GET queues`: how many messages each queue and state holds.
pub async fn stats(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    let stats = call.hub().backend().queue_stats(call.key()).await?;
    Ok(HttpResponse::Ok().json(QueueStatsDocument {
        incoming: stats.incoming,
        archived: stats.archived,
        pending: stats.pending,
        failing: stats.failing,
        scheduled: stats.scheduled,
        parked: stats.parked,
    }))
}

/// `GET available_messages`: the types this store has had.
pub async fn available_messages(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(call.hub().backend().message_types(call.key()).await?))
}

/// `GET queues/:queue`: 25 rows, newest first.
pub async fn list(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let queue = match request.match_info().get("queue") {
        Some("incoming") => Queue::Incoming,
        Some("accepted") => Queue::Accepted,
        Some("archived") => Queue::Archived,
        _ => return Err(ApiError::not_found("queue")),
    };
    let mut query = Query::read(request.query_string(), &FILTERS);
    let page = query.page();
    let types = call.hub().backend().message_types(call.key()).await?;
    let asked = read(&mut query, queue, page, &types, &call.store);
    query.finish()?;
    let found = match asked {
        Asked::Rows(query) => call.hub().backend().queue_list(*query).await?,
        Asked::Nothing => QueuePage {
            rows: Vec::new(),
            next: None,
            matching: 0,
            counted_up_to: 0,
        },
    };
    Ok(HttpResponse::Ok().json(QueuePageDocument {
        page: page.number,
        pages: pages_of(found.matching),
        next: found.next.map(write_key),
        available_messages: types,
        available_consumers: call
            .store
            .mappings
            .values()
            .map(|entry| [entry.value.name.clone(), entry.value.name.clone()])
            .collect(),
        messages: found
            .rows
            .into_iter()
            .map(|row| row_document(row, &call.store))
            .collect(),
    }))
}

/// What the filters come to.
#[derive(Debug, PartialEq)]
pub enum Asked {
    /// These rows.
    Rows(Box<QueueQuery>),
    /// Rows that cannot be in this queue.
    Nothing,
}

/// Reads the filters; what is wrong is noted in `query`.
pub fn read(
    query: &mut Query,
    queue: Queue,
    page: PageAsked,
    types: &[String],
    store: &StoreSnapshot,
) -> Asked {
    let message = query.parsed::<Id>("message_id");
    let object = read_object(query);
    let source = read_source(query, queue);
    let state = query
        .text("state")
        .or_else(|| query.text("filter_state"))
        .map(str::to_lowercase);
    let narrowed = source.is_some() || message.is_some() || object.is_some();
    let (states, reasons) = match state.as_deref() {
        None if queue == Queue::Archived && !narrowed => {
            (None, Some(vec![ArchiveReason::Completed]))
        }
        None => (None, None),
        Some(state) => match read_state(state) {
            Some((states, reasons)) => (Some(states), Some(reasons)),
            None => {
                let known = "pending, held, failing, scheduled, parked, completed, never_processed, archived";
                query.note("state", format_args!("must be one of {known}"));
                (None, None)
            }
        },
    };
    let mapping = read_mapping(query, store);
    let asked = QueueQuery {
        store: store.store.key,
        queue,
        kinds: query.text("message").map(|text| spellings(text, types)),
        states: states.clone().filter(|_| queue == Queue::Accepted),
        reasons: reasons.filter(|_| queue == Queue::Archived),
        source,
        from: query.time("start_date", Bound::From),
        until: query.time("end_date", Bound::Until),
        message,
        mapping: mapping.flatten(),
        object,
        after: page.after,
        skip: page.skip(),
        limit: PER_PAGE,
    };
    let impossible = mapping == Some(None)
        || (mapping.is_some() && queue == Queue::Incoming)
        || asked.states.as_deref() == Some(&[])
        || asked.reasons.as_deref() == Some(&[])
        || (queue == Queue::Incoming
            && states.is_some_and(|states| !states.contains(&WaitState::Pending)));
    if impossible {
        Asked::Nothing
    } else {
        Asked::Rows(Box::new(asked))
    }
}

/// The states and reasons that a word stands for.
fn read_state(word: &str) -> Option<(Vec<WaitState>, Vec<ArchiveReason>)> {
    let states: Vec<_> = WaitState::ALL
        .into_iter()
        .filter(|state| state.word() == word)
        .collect();
    let reasons: Vec<_> = ArchiveReason::ALL
        .into_iter()
        .filter(|reason| reason.state_word() == word)
        .collect();
    match word {
        "held" => Some((vec![WaitState::Held], Vec::new())),
        _ if states.is_empty() && reasons.is_empty() => None,
        _ => Some((states, reasons)),
    }
}

/// The mapping asked for, by id or name. `Some(None)`: there is none such.
fn read_mapping(
    query: &mut Query,
    store: &StoreSnapshot,
) -> Option<Option<crate::domain::key::MappingKey>> {
    let by_id = query.text("mapping_id").map(str::to_owned);
    let by_name = query.text("consumer_class").map(str::to_owned);
    if by_id.is_none() && by_name.is_none() {
        return None;
    }
    let id = by_id.as_deref().map(str::parse::<Id>);
    if matches!(id, Some(Err(_))) {
        query.note("mapping_id", "expected an id of 24 hex digits");
    }
    let fits = |entry: &&crate::domain::registry::Entry<_, crate::domain::registry::Mapping>| {
        id.as_ref().is_none_or(|id| id.as_ref() == Ok(&entry.id))
            && by_name
                .as_ref()
                .is_none_or(|name| *name == entry.value.name)
    };
    Some(store.mappings.values().find(fits).map(|entry| entry.key))
}

fn read_object(query: &mut Query) -> Option<ObjectRef> {
    let text = query.text("object")?.to_owned();
    match text
        .split_once('/')
        .map(|(kind, token)| ObjectRef::new(kind, token))
    {
        Some(Ok(object)) => Some(object),
        Some(Err(error)) => {
            query.note("object", error);
            None
        }
        None => {
            query.note("object", "must be a type and a token, such as order/R123");
            None
        }
    }
}

fn read_source(query: &mut Query, queue: Queue) -> Option<ArchivedSource> {
    let source = match query.text("source")? {
        "incoming" => ArchivedSource::Incoming,
        "accepted" => ArchivedSource::Accepted,
        _ => {
            query.note("source", "must be incoming or accepted");
            return None;
        }
    };
    (queue == Queue::Archived).then_some(source)
}

/// All spellings of a type: those that this store has had, and the one asked for.
fn spellings(text: &str, types: &[String]) -> Vec<String> {
    let mut kinds = vec![text.to_owned()];
    if let Ok(asked) = MessageType::parse(text) {
        let same = |kind: &&String| {
            MessageType::parse(kind).is_ok_and(|kind| kind.canonical() == asked.canonical())
        };
        kinds.extend(types.iter().filter(same).cloned());
    }
    kinds.sort();
    kinds.dedup();
    kinds
}

#[cfg(test)]
#[path = "tests/queues.rs"]
mod tests;
