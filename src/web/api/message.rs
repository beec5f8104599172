//! One message or delivery: everything about it, its attempts, and what a person may do with it.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, value::RawValue};

use crate::{
    db::{ChildRow, DbError, DeliveryDetail, Locator, MessageDetail},
    domain::{
        delivery::Attempt,
        id::Id,
        lookup::{PathSet, RootView},
        message::Message,
        path::Path,
        registry::StoreSnapshot,
    },
    wire::hub_api::{
        ActionMarkDocument, AttemptDocument, AttemptListDocument, ChildDocument, MessageDocument,
        QueueRowDocument, SentDocument,
    },
};

use super::{
    super::{
        auth::{Admin, InStore, Read},
        error::ApiError,
        extract::{Body, Kind},
        fields::Fields,
    },
    id_in_path, notifications,
    places::{
        can_attempt, consumer_of, destination_of, icon_of, origin_of, place_of, skip_document,
        why_not,
    },
};

/// `GET messages/:id`
pub async fn show(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let detail = find(&call, &request).await?;
    Ok(HttpResponse::Ok().json(document(detail, &call.store)))
}

/// `PUT messages/:id` with `attempt_now=true` or `archive=true`, as a form or as JSON.
pub async fn act(
    call: InStore<Admin>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let action = read_action(&body)?;
    let detail = find(&call, &request).await?;
    let location = detail.location;
    let refuse = |location| {
        let verb = match action {
            Action::AttemptNow => "attempted",
            Action::Archive => "archived",
        };
        ApiError::not_possible("message", verb, why_not(location))
    };
    let possible = match action {
        Action::AttemptNow => can_attempt(location),
        Action::Archive => matches!(location, Locator::Accepted(_)),
    };
    let Some(delivery) = detail.delivery.filter(|_| possible) else {
        return Err(refuse(location));
    };
    let person = call.caller.name();
    let outcome = match action {
        Action::AttemptNow => call.hub().release(call.key(), delivery.key, person).await,
        Action::Archive => call.hub().archive(call.key(), delivery.key, person).await,
    };
    let detail = find(&call, &request).await?;
    match outcome {
        Ok(()) => Ok(HttpResponse::Ok().json(document(detail, &call.store))),
        // It went on while we looked.
        Err(DbError::Missing(_)) => Err(refuse(detail.location)),
        Err(error) => Err(error.into()),
    }
}

/// `GET messages/:id/attempts`: oldest first; none for a message that is no delivery.
pub async fn attempts(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let detail = find(&call, &request).await?;
    let kept = call.hub().config().dispatch.kept_body_bytes;
    let attempts = match &detail.delivery {
        Some(delivery) => {
            call.hub()
                .backend()
                .attempt_list(call.key(), delivery.key)
                .await?
        }
        None => Vec::new(),
    };
    let sent = body_sent(&detail, call.store.store.id, kept);
    Ok(HttpResponse::Ok().json(AttemptListDocument {
        message_id: detail.id,
        kept_body_bytes: kept,
        attempts: attempts
            .into_iter()
            .map(|attempt| attempt_document(attempt, &sent))
            .collect(),
    }))
}

async fn find<S>(call: &InStore<S>, request: &HttpRequest) -> Result<MessageDetail, ApiError> {
    let id = id_in_path(request).ok_or_else(|| ApiError::not_found("message"))?;
    match call.hub().backend().message_detail(call.key(), id).await {
        Err(DbError::Missing(_)) => Err(ApiError::not_found("message")),
        other => Ok(other?),
    }
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    AttemptNow,
    Archive,
}

fn read_action(body: &Body) -> Result<Action, ApiError> {
    // Clients of 2013 send a form; some tools send a form and call it nothing.
    let json = body.kind == Kind::Json && body.bytes.trim_ascii_start().starts_with(b"{");
    let form = body.kind == Kind::Form || (body.kind == Kind::Json && !json);
    if !json && !form {
        return Err(body.unsupported("application/json and application/x-www-form-urlencoded"));
    }
    let object;
    let raw = if json {
        body.json()?
    } else {
        let pairs: BTreeMap<String, String> =
            serde_urlencoded::from_bytes(&body.bytes).map_err(ApiError::broken_request)?;
        object =
            serde_json::value::to_raw_value(&pairs).map_err(|error| ApiError::internal(&error))?;
        &object
    };
    // Backbone sends the whole model along: of our own answers only these two could mean something.
    let mut fields = Fields::read(raw, "", &[]);
    let attempt_now = fields.truth("attempt_now").value().unwrap_or(false);
    let archive = fields.truth("archive").value().unwrap_or(false);
    if attempt_now == archive {
        fields.note("body", "must say either attempt_now=true or archive=true");
    }
    fields.finish("request")?;
    Ok(if attempt_now {
        Action::AttemptNow
    } else {
        Action::Archive
    })
}

/// The detail as clients know it.
fn document(detail: MessageDetail, store: &StoreSnapshot) -> MessageDocument {
    let MessageDetail {
        id,
        message,
        delivery,
        location,
        created_at,
        parent,
        children,
        skipped,
        events,
    } = detail;
    let parent_id = parent.map(|parent| parent.id).or_else(|| {
        message
            .ancestry
            .filter(|_| delivery.is_none())
            .map(|line| line.parent_id)
    });
    let object = message.about.primary.clone();
    let (behind, replay_of) = delivery.as_ref().map_or((None, None), |delivery| {
        (delivery.behind, delivery.replay_of)
    });
    let marks = delivery.iter().flat_map(|delivery| &delivery.jobs);
    let actions = marks
        .map(|mark| ActionMarkDocument {
            id: mark.id,
            kind: mark.kind.word(),
        })
        .collect();
    let result = delivery
        .as_ref()
        .and_then(|delivery| delivery.result.clone());
    let mut attributes: BTreeMap<String, Value> = message
        .extra
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    attributes.insert("_id".to_owned(), Value::from(id.to_string()));
    MessageDocument {
        references: shop_id(&message)
            .or_else(|| object.as_ref().map(|object| object.token().to_owned())),
        reference_type: object.as_ref().map(|object| object.kind().to_owned()),
        reference_token: object.as_ref().map(|object| object.token().to_owned()),
        row: row(
            id, &message, delivery, location, created_at, parent_id, store,
        ),
        message_id: id,
        attributes,
        result: result.and_then(|text| RawValue::from_string(text).ok()),
        test: message.test,
        payload: message.payload,
        behind,
        replay_of,
        actions,
        children: children
            .into_iter()
            .map(|child| child_document(child, store))
            .collect(),
        skipped: skipped
            .into_iter()
            .map(|skip| skip_document(skip, store))
            .collect(),
        notifications: events
            .into_iter()
            .map(|event| notifications::document(event, store))
            .collect(),
    }
}

fn row(
    id: Id,
    message: &Message,
    delivery: Option<DeliveryDetail>,
    location: Locator,
    created_at: crate::domain::time::Micros,
    parent_id: Option<Id>,
    store: &StoreSnapshot,
) -> QueueRowDocument {
    let (consumer, mapping_id) =
        consumer_of(store, delivery.as_ref().map(|delivery| delivery.mapping));
    let remote = delivery.is_some();
    let icon = icon_of(store, delivery.as_ref().map(|delivery| delivery.mapping));
    let (due_at, attempted_at, completed_at, attempts, last_error) = match delivery {
        Some(own) => (
            own.due_at,
            own.attempted_at,
            own.completed_at,
            own.attempts,
            own.last_error,
        ),
        None => (None, None, None, 0, None),
    };
    QueueRowDocument {
        id,
        message: message.kind.to_string(),
        place: place_of(location),
        destination_name: consumer.as_deref().map(destination_of),
        consumer,
        mapping_id,
        created_at,
        completed_at,
        attempt_at: due_at.or(attempted_at),
        attempted_at,
        next_attempt: due_at,
        attempts,
        last_error,
        can_attempt: can_attempt(location),
        is_consumer_remote: remote,
        integration_icon_url: icon,
        locked_at: None,
        parent_id: parent_id.map_or_else(String::new, |id| id.to_string()),
        object: message.about.primary.as_ref().map(ToString::to_string),
        origin: origin_of(&message.source),
    }
}

fn child_document(child: ChildRow, store: &StoreSnapshot) -> ChildDocument {
    let place = place_of(child.location);
    ChildDocument {
        id: child.id,
        message: child.kind,
        state: place.state,
        location: place.queue_name,
        reason: place.reason,
        consumer: consumer_of(store, child.mapping).0,
    }
}

/// The object's id in the shop, from the payload: `payload.order.id`, else that of the raw document beside it.
fn shop_id(message: &Message) -> Option<String> {
    let object = message.about.primary.as_ref()?;
    let mut set = PathSet::new();
    let mut paths = vec![set.add(&Path::parse(&format!("payload.{}.id", object.kind())).ok()?)];
    if object.kind() == message.kind.noun() {
        paths.push(set.add(&Path::parse("payload.original.id").ok()?));
    }
    let root = RootView {
        message: message.kind.as_str(),
        message_id: None,
        store_id: None,
        source: None,
        parent_id: None,
        payload: &message.payload,
    };
    let found = set.lookup(&root);
    let text = paths
        .into_iter()
        .flat_map(|path| found.values(path))
        .map(|value| value.as_text())
        .find(|text| !text.is_empty())?;
    Some(text.chars().take(255).collect())
}

/// What was posted, without the parameters that go along: secrets are among them.
fn body_sent(detail: &MessageDetail, store: Id, kept: usize) -> (String, bool) {
    let message = &detail.message;
    let extra = message
        .extra
        .as_deref()
        .and_then(|text| text.strip_prefix('{')?.strip_suffix('}'))
        .unwrap_or_default();
    let mut text = format!(
        r#"{{"message":{},"message_id":"{}","store_id":"{store}","source":{}{}{extra},"payload":{}}}"#,
        Value::from(message.kind.as_str()),
        detail.id,
        Value::from(message.source.label()),
        if extra.is_empty() { "" } else { "," },
        message.payload.as_str()
    );
    let cut = text.len() > kept;
    if cut {
        let end = (0..=kept)
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        text.truncate(end);
    }
    (text, cut)
}

fn attempt_document(attempt: Attempt, (sent, sent_cut): &(String, bool)) -> AttemptDocument {
    let headers =
        |text: String| RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    let body_cut =
        attempt.answer_bytes > i64::try_from(attempt.answer_body.len()).unwrap_or(i64::MAX);
    let answered = attempt.status.is_some();
    AttemptDocument {
        number: attempt.number,
        started_at: attempt.started_at,
        duration_ms: attempt.duration_us as f64 / 1000.0,
        url: attempt.url,
        status: attempt.status,
        outcome: attempt.outcome,
        error: attempt.error,
        request: SentDocument {
            headers: headers(attempt.request_headers),
            body: sent.clone().into(),
            body_bytes: attempt.request_bytes,
            body_cut: *sent_cut,
        },
        answer: answered.then(|| SentDocument {
            headers: headers(attempt.answer_headers),
            body: attempt.answer_body.into(),
            body_bytes: attempt.answer_bytes,
            body_cut,
        }),
    }
}

#[cfg(test)]
#[path = "tests/message.rs"]
mod tests;
