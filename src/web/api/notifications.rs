//! `/api/stores/:store/notifications`: what was said about objects, newest first.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::{
    db::{EventQuery, EventRow},
    domain::{event::Level, id::Id, registry::StoreSnapshot},
    wire::hub_api::{NotificationDocument, NotificationPageDocument},
};

use super::super::{
    auth::{InStore, Read},
    error::ApiError,
    query::{PER_PAGE, Query, pages_of, write_key},
};

const FILTERS: [&str; 7] = [
    "level",
    "reference_type",
    "reference_token",
    "message_id",
    "page",
    "after",
    "next",
];

/// `GET notifications`
pub async fn list(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut query = Query::read(request.query_string(), &FILTERS);
    let page = query.page();
    let level = query.text("level").map(Level::read);
    if level == Some(None) {
        query.note("level", "must be info, warn or error");
    }
    let events = EventQuery {
        store: call.key(),
        level: level.flatten(),
        reference_type: query.text("reference_type").map(str::to_lowercase),
        reference_token: query
            .text("reference_token")
            .map(crate::domain::reference::fold),
        message: query.parsed::<Id>("message_id"),
        after: page.after,
        skip: page.skip(),
        limit: PER_PAGE,
    };
    query.finish()?;
    let events = call.hub().backend().event_list(events).await?;
    Ok(HttpResponse::Ok().json(NotificationPageDocument {
        page: page.number,
        pages: pages_of(events.matching),
        next: events.next.map(write_key),
        notifications: events
            .rows
            .into_iter()
            .map(|row| document(row, &call.store))
            .collect(),
    }))
}

/// An event as a notification. Its further members stand among the attributes, where they cannot hide ours.
pub fn document(row: EventRow, store: &StoreSnapshot) -> NotificationDocument {
    let further: Option<BTreeMap<String, Value>> = row
        .attributes
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok());
    let mut attributes = further.unwrap_or_default();
    attributes.insert("_id".to_owned(), Value::from(row.id.to_string()));
    attributes.insert("level".to_owned(), Value::from(row.level.word()));
    attributes.insert("origin".to_owned(), Value::from(row.origin));
    NotificationDocument {
        id: row.id,
        store_id: store.store.id,
        message_id: row.message_id,
        attributes,
        level: row.level,
        subject: row.subject,
        description: row.description,
        occurrences: row.occurrences,
        logged_on: row.first_at,
        last_update: row.last_at,
        reference_type: row
            .reference
            .as_ref()
            .map(|object| object.kind().to_owned()),
        reference_id: None,
        reference_token: row
            .reference
            .as_ref()
            .map(|object| object.token().to_owned()),
    }
}
