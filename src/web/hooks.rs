//! `POST /hooks/spree/:store_id`: webhooks of Spree 4.6 and later, as hints to look now.
//!
//! A webhook is never the truth (see [`crate::wire::spree_webhook`]): it says which object to look at, and the poller asks the shop. So one
//! that is forged tells nothing and changes nothing, and one that is lost costs the time until the next poll. It must be signed with
//! the store's `webhook_secret` all the same: each costs a request to the shop.

use actix_web::{HttpRequest, HttpResponse};

use crate::{
    actors::{Hint, Hub},
    domain::{id::Id, key::StoreKey, registry::Registry},
    wire::spree_webhook::{
        self, OLD_SIGNATURE_HEADER, SIGNATURE_HEADER, SignatureHeaders, TIMESTAMP_HEADER,
    },
};

use super::{error::ApiError, extract::Body};

/// Takes a webhook: 202, also for one that came before and for one about something that is not polled.
///
/// # Errors
/// 404 for a store that is not there or has no secret, 401 for a signature that does not fit, 400 for a body that is no webhook.
pub async fn spree(request: HttpRequest, body: Body) -> Result<HttpResponse, ApiError> {
    let hub = request
        .app_data::<Hub>()
        .ok_or_else(|| ApiError::internal(&"the server was made without a hub"))?;
    let verified = match verify(&request, &body, hub, &hub.registry()) {
        Err(error) if error.may_be_out_of_date() && !hub.is_alone() => {
            let newest = hub.registry_before_refusing().await?;
            verify(&request, &body, hub, &newest)
        }
        verified => verified,
    };
    let key = verified?;
    let hint = spree_webhook::hint(&body.bytes).map_err(ApiError::not_json)?;
    let (event, hint) = match hint {
        spree_webhook::Hint::Object {
            event_id,
            noun,
            token,
        } => (event_id, Hint::Object(noun, token)),
        spree_webhook::Hint::Collection { event_id, noun } => (event_id, Hint::Collection(noun)),
        spree_webhook::Hint::Test | spree_webhook::Hint::Nothing => return Ok(taken()),
    };
    let is_new = event.is_empty() || hub.backend().hook_seen(key, event, hub.now()).await?;
    if is_new {
        hub.hint(key, hint);
    }
    Ok(taken())
}

/// The store that a webhook is for, if that store's shop has signed it.
fn verify(
    request: &HttpRequest,
    body: &Body,
    hub: &Hub,
    registry: &Registry,
) -> Result<StoreKey, ApiError> {
    let id: Option<Id> = request
        .match_info()
        .get("store")
        .and_then(|text| text.parse().ok());
    let store = registry
        .stores
        .values()
        .find(|store| Some(store.store.id) == id)
        .ok_or_else(ApiError::store_not_found)?;
    let key = store.store.key;
    let secret = store
        .store
        .value
        .webhook_secret
        .as_deref()
        .ok_or_else(ApiError::store_not_found)?;
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let headers = SignatureHeaders {
        signature: header(SIGNATURE_HEADER),
        timestamp: header(TIMESTAMP_HEADER),
        old_signature: header(OLD_SIGNATURE_HEADER),
    };
    spree_webhook::verify(secret.as_bytes(), headers, &body.bytes, hub.now())
        .map_err(|problem| ApiError::bad_signature(&problem))?;
    Ok(key)
}

fn taken() -> HttpResponse {
    HttpResponse::Accepted().json(serde_json::json!({"taken": true}))
}
