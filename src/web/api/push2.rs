//! `POST /push`: objects pushed in the second dialect (WIRE B.5). Clients look at the status only, and want exactly 202.
//!
//! The store is named by `X-Hub-Store`; without that header it is the token's own.

use actix_web::{HttpResponse, http::StatusCode};

use crate::{
    actors::Hint,
    domain::{
        key::StoreKey, known_object::ObjectNews, message::Source, settle::ReturnedObject,
        store_object::Noun,
    },
    wire::push2::{self, PushError},
};

use super::super::{
    auth::{Caller, Pushing},
    error::ApiError,
    extract::{Body, Kind},
};

/// `POST /push`: 202 with how many objects came under each name.
pub async fn push(
    Pushing { caller, store }: Pushing,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    if body.kind != Kind::Json {
        return Ok(not_acceptable("The body must be application/json."));
    }
    let push = match push2::read(&body.bytes) {
        Ok(push) => push,
        Err(error @ PushError::NotJson { .. }) => return Ok(not_acceptable(&error.to_string())),
        Err(PushError::Shape { errors }) => return Err(ApiError::invalid("push", errors)),
    };
    let counts = push.answer();
    if caller.hub.is_polled(store.store.key) {
        // A polled store's own API is the truth: the push says what is worth a look.
        look_at(&caller, store.store.key, &push.objects);
    } else if !push.objects.is_empty() {
        caller
            .hub
            .learn(ObjectNews {
                store: store.store.key,
                source: Source::Push(caller.name().to_owned()),
                ancestry: None,
                test: false,
                objects: push.objects,
                sent: Vec::new(),
            })
            .await?;
    }
    Ok(HttpResponse::Accepted()
        .content_type("application/json")
        .body(counts))
}

/// Has the poller look at these objects now; at everything when one is of a kind that the shop's API has no list of.
fn look_at(caller: &Caller, store: StoreKey, objects: &[ReturnedObject]) {
    for object in objects {
        match Noun::ALL
            .into_iter()
            .find(|noun| noun.name() == object.kind)
        {
            // These go by the same token in both dialects: an order's number, a product's SKU.
            Some(noun @ (Noun::Order | Noun::Cart | Noun::Product)) => {
                caller
                    .hub
                    .hint(store, Hint::Object(noun, object.id.clone()));
            }
            Some(noun) => caller.hub.hint(store, Hint::Collection(noun)),
            None => caller.hub.poll_now(store),
        }
    }
}

fn not_acceptable(sentence: &str) -> HttpResponse {
    HttpResponse::build(StatusCode::NOT_ACCEPTABLE)
        .json(serde_json::json!({"error": sentence, "errors": [sentence]}))
}
