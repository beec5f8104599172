//! `/api/stores/:store/endpoints`: how each endpoint fares, and pausing it as a whole.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::{
    db::EntityChange,
    domain::{
        id::Id,
        key::EndpointKey,
        registry::{EndpointSettings, Entity, StoreSnapshot},
    },
};

use super::{
    super::{
        auth::{Admin, InStore, Read},
        error::ApiError,
    },
    id_in_path,
};

/// The answer to pausing and resuming.
#[derive(Debug, Serialize)]
struct PausedDocument {
    id: Id,
    paused: bool,
}

/// `GET endpoints`: one row per endpoint.
pub async fn list(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(call.hub().endpoint_states(call.key()).await))
}

/// `POST endpoints/:id/pause`: everything for it waits.
pub async fn pause(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    set(&call, &request, true).await
}

/// `POST endpoints/:id/resume`
pub async fn resume(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    set(&call, &request, false).await
}

async fn set(call: &InStore<Admin>, request: &HttpRequest, paused: bool) -> Result<HttpResponse, ApiError> {
    let id = id_in_path(request).ok_or_else(|| ApiError::not_found("endpoint"))?;
    let endpoint = find(&call.store, id).ok_or_else(|| ApiError::not_found("endpoint"))?;
    let settings = call.store.endpoints.get(&endpoint).cloned().unwrap_or_default();
    if settings.paused != paused {
        let entity = Entity::Endpoint(EndpointSettings { paused });
        let change = EntityChange::Create { store: Some(call.key()), subject: Some(endpoint.0), entity };
        call.hub().change_registry(vec![change]).await?;
    }
    Ok(HttpResponse::Ok().json(PausedDocument { id, paused }))
}

/// The endpoint with this id: that of a mapping which stands alone.
fn find(store: &StoreSnapshot, id: Id) -> Option<EndpointKey> {
    store.mappings.values().find(|entry| entry.id == id).map(|entry| store.endpoint_of(entry))
}
