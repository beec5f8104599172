//! `/api/stores/:store/objects/:type/:token`: everything that happened to one object, newest last.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    db::TimelineEntry,
    domain::{reference::ObjectRef, registry::StoreSnapshot},
    wire::hub_api::{ObjectDocument, TimelineDocument, TimelineEntryDocument, TimelineWhat},
};

use super::{
    super::{
        auth::{InStore, Read},
        error::ApiError,
        query::{Query, write_key},
    },
    notifications,
    places::{consumer_of, origin_of, place_of, skip_document},
};

/// Messages (with all that belongs to them) of one page.
const PER_PAGE: usize = 50;

/// `GET objects/:type/:token`, with `after` the older entries.
pub async fn timeline(
    call: InStore<Read>,
    path: web::Path<(String, String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::read(request.query_string(), &["after", "next"]);
    let page = query.page();
    query.finish()?;
    let (_, kind, token) = path.into_inner();
    let object = ObjectRef::new(&kind, &token)
        .map_err(|error| ApiError::invalid("object", vec![error.to_string()]))?;
    let timeline = call
        .hub()
        .backend()
        .timeline(call.key(), object.clone(), page.after, PER_PAGE)
        .await?;
    Ok(HttpResponse::Ok().json(TimelineDocument {
        object: ObjectDocument {
            kind: object.kind().to_owned(),
            token: object.token().to_owned(),
            store_id: call.store.store.id,
        },
        timeline: timeline
            .entries
            .into_iter()
            .map(|entry| document(entry, &call.store))
            .collect(),
        next: timeline.older.map(write_key),
    }))
}

fn document(entry: TimelineEntry, store: &StoreSnapshot) -> TimelineEntryDocument {
    let at = entry.at();
    let what = match entry {
        TimelineEntry::Message(message) => TimelineWhat::Message {
            id: message.id,
            message: message.kind,
            place: place_of(message.location),
            parent_id: message
                .parent_id
                .map_or_else(String::new, |id| id.to_string()),
            origin: origin_of(&message.source),
            skipped: message
                .skipped
                .into_iter()
                .map(|skip| skip_document(skip, store))
                .collect(),
        },
        TimelineEntry::Delivery {
            id,
            message_id,
            kind,
            mapping,
            location,
            attempts,
            due_at,
            last_error,
            at: _,
            completed_at,
        } => TimelineWhat::Delivery {
            id,
            parent_id: message_id,
            message: kind,
            consumer: consumer_of(store, Some(mapping)).0,
            place: place_of(location),
            attempts,
            next_attempt: due_at,
            last_error,
            completed_at,
        },
        TimelineEntry::Attempt {
            delivery_id,
            mapping,
            attempt,
        } => TimelineWhat::Attempt {
            delivery_id,
            consumer: consumer_of(store, Some(mapping)).0,
            number: attempt.number,
            duration_ms: attempt.duration_us as f64 / 1000.0,
            status: attempt.status,
            outcome: attempt.outcome,
            error: attempt.error,
        },
        TimelineEntry::Event(event) => {
            TimelineWhat::Event(Box::new(notifications::document(event, store)))
        }
    };
    TimelineEntryDocument { at, what }
}

#[cfg(test)]
#[path = "tests/objects.rs"]
mod tests;
