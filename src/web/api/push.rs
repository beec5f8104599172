//! The way in: `POST messages` and `POST messages/batch`. An answer of success is sent after the commit.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header::ContentType};
use serde_json::value::RawValue;

use crate::{
    actors::AcceptError,
    db::{Acceptance, Accepted, IdempotencyKey},
    domain::{json::PayloadLimits, message::Source},
    wire::hub_api::{BatchDocument, BatchItemDocument, pushed_document},
};

use super::{
    super::{
        auth::{InStore, Push},
        error::ApiError,
        extract::{Body, Kind, read_json},
        fields::kind_of,
    },
    pushed::{Pushed, Pusher, check_key, digest_of, digest_of_key},
};

/// The most messages of one batch.
pub const MAX_BATCH: usize = 1_000;

const HEADER: &str = "Idempotency-Key";

/// `POST messages`: 201 with what was sent and its id.
pub async fn one(
    call: InStore<Push>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let header = key_in_header(&request)?;
    let pusher = pusher(&call);
    // One look at the whole body does for most; others find the words for what is wrong.
    let pushed = match body.json_text().and_then(|text| pusher.read_common(text)) {
        Some(pushed) => pushed,
        None => pusher.read(body.json()?)?,
    };
    let sent = pushed.message.clone();
    let acceptance = acceptance(&call, pushed, header)?;
    let accepted = call.hub().accept(vec![acceptance]).await?;
    let mut answer = HttpResponse::Created();
    let id = match accepted.first() {
        Some(Accepted::New { id, .. }) => *id,
        Some(Accepted::Repeated { id }) => {
            answer.insert_header(("Idempotency-Replayed", "true"));
            *id
        }
        Some(Accepted::KeyReused) => return Err(key_reused()),
        None => {
            return Err(ApiError::internal(
                &"one message was given to accept, no answer came back",
            ));
        }
    };
    Ok(answer
        .content_type(ContentType::json())
        .body(pushed_document(
            sent.kind.as_str(),
            sent.payload.as_str(),
            sent.extra.as_deref(),
            id,
        )))
}

/// `POST messages/batch`: 200 with an answer for each item, in order. All good ones are accepted in one call; when that
/// fails, none was, and the whole request fails with it.
pub async fn batch(
    call: InStore<Push>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let header = key_in_header(&request)?;
    let pusher = pusher(&call);
    let items = items_of(&body)?;
    if items.len() > MAX_BATCH {
        return Err(ApiError::invalid_field(
            "batch",
            "messages",
            format_args!("{} given, at most {MAX_BATCH} are accepted", items.len()),
        ));
    }
    let mut good = Vec::with_capacity(items.len());
    let outcomes: Vec<Result<(), ApiError>> = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let pushed = pusher.read(item?)?;
            // One key for the whole batch is one for each of its items.
            let key = header.as_ref().map(|key| format!("{key}#{index}"));
            good.push(acceptance(&call, pushed, key)?);
            Ok(())
        })
        .collect();
    let mut accepted = accept_all(&call, good).await?.into_iter();
    let results = outcomes
        .into_iter()
        .map(|outcome| match outcome.map(|()| accepted.next()) {
            Ok(Some(Some(Accepted::New { id, .. } | Accepted::Repeated { id }))) => {
                Ok(BatchItemDocument::Accepted { message_id: id })
            }
            Ok(Some(Some(Accepted::KeyReused))) => Ok(refused(&key_reused())),
            Ok(Some(None)) => Ok(refused(&ApiError::in_flight())),
            Ok(None) => Err(ApiError::internal(
                &"fewer answers than messages came back from accepting a batch",
            )),
            Err(error) => Ok(refused(&error)),
        });
    Ok(HttpResponse::Ok().json(BatchDocument {
        results: results.collect::<Result<_, _>>()?,
    }))
}

/// Accepts a batch. Messages whose key is in work right now (`None`) are taken out, and the others are accepted without them.
async fn accept_all<S>(
    call: &InStore<S>,
    batch: Vec<Acceptance>,
) -> Result<Vec<Option<Accepted>>, ApiError> {
    let mut outcomes: Vec<Option<Accepted>> = vec![None; batch.len()];
    let mut left: Vec<(usize, Acceptance)> = batch.into_iter().enumerate().collect();
    while !left.is_empty() {
        // Payloads are shared, so this copies little.
        let attempt = left
            .iter()
            .map(|(_, acceptance)| acceptance.clone())
            .collect();
        match call.hub().accept(attempt).await {
            Ok(accepted) => {
                for ((place, _), one) in left.iter().zip(accepted) {
                    if let Some(outcome) = outcomes.get_mut(*place) {
                        *outcome = Some(one);
                    }
                }
                break;
            }
            Err(AcceptError::InFlight { positions }) if !positions.is_empty() => {
                let mut place = 0;
                left.retain(|_| {
                    place += 1;
                    !positions.contains(&(place - 1))
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(outcomes)
}

fn pusher<S>(call: &InStore<S>) -> Pusher {
    let bytes = call.hub().config().server.max_body_bytes;
    Pusher {
        store: call.key(),
        source: Source::Push(call.caller.name().to_owned()),
        limits: PayloadLimits {
            bytes,
            ..PayloadLimits::default()
        },
    }
}

/// The items of a batch; one that is not even JSON is an error of its own where lines separate them.
fn items_of(body: &Body) -> Result<Vec<Result<&RawValue, ApiError>>, ApiError> {
    match body.kind {
        Kind::Lines => Ok(body
            .bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .map(read_json)
            .collect()),
        Kind::Json => {
            let raw = body.json()?;
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| {
                ApiError::invalid_field(
                    "batch",
                    "body",
                    format_args!("must be an array of messages, found {}", kind_of(raw)),
                )
            })?;
            Ok(items.into_iter().map(Ok).collect())
        }
        Kind::Form | Kind::Other => {
            Err(body.unsupported("application/json and application/x-ndjson"))
        }
    }
}

fn key_in_header(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let Some(value) = request.headers().get(HEADER) else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default();
    check_key(key).map_err(|problem| ApiError::invalid_field("request", HEADER, problem))?;
    Ok(Some(key.to_owned()))
}

/// The message with its key; an item's own key goes before the header's.
fn acceptance<S>(
    call: &InStore<S>,
    pushed: Pushed,
    header: Option<String>,
) -> Result<Acceptance, ApiError> {
    let Pushed {
        message,
        idempotency_key,
    } = pushed;
    if let Some(key) = &idempotency_key {
        check_key(key)
            .map_err(|problem| ApiError::invalid_field("message", "idempotency_key", problem))?;
    }
    let hours = call.hub().config().retention.idempotency_hours;
    let idempotency = idempotency_key.or(header).map(|key| IdempotencyKey {
        token: call.caller.token_key(),
        key: digest_of_key(message.store, &key),
        body: digest_of(&message),
        expires_at: call
            .hub()
            .now()
            .plus(Duration::from_secs(hours.saturating_mul(3600))),
    });
    Ok(Acceptance {
        message,
        idempotency,
    })
}

fn key_reused() -> ApiError {
    ApiError::invalid_field("request", HEADER, "was used before with another body")
}

fn refused(error: &ApiError) -> BatchItemDocument {
    let document = error.document();
    BatchItemDocument::Refused {
        error: document.error.to_owned(),
        errors: document.errors.to_vec(),
    }
}
