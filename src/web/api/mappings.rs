//! `/api/stores/:store/mappings`: who gets which messages. Names are unique in a store.

use actix_web::{HttpRequest, HttpResponse};

use crate::{
    db::EntityChange,
    domain::{
        id::Id,
        key::MappingKey,
        registry::{Entity, EntityRow, Entry, Mapping, Principal, StoreSnapshot},
        time::Micros,
    },
    wire::hub_api::MappingDocument,
};

use super::{
    super::{
        auth::{Admin, InStore, Read},
        error::ApiError,
        extract::Body,
        fields::{Fields, MASK},
    },
    id_in_path,
    integrations::first_use,
    mapping_fields::{By, READ_ONLY, read},
};

/// `GET mappings`: oldest first.
pub async fn list(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(
        call.store
            .mappings
            .values()
            .map(|entry| entry_document(entry, &call.store))
            .collect::<Vec<_>>(),
    ))
}

/// `POST mappings`: 201.
pub async fn create(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::wrapped(body.json()?, "mapping", &READ_ONLY)?;
    let mapping = read(&mut fields, None, &call.store, by(&call));
    fields.finish("mapping")?;
    let first_use = first_use(&call.store, mapping.integration);
    let change = EntityChange::Create {
        store: Some(call.key()),
        subject: None,
        entity: Entity::Mapping(mapping),
    };
    let row = write(&call, first_use, change).await?;
    Ok(HttpResponse::Created().json(row_document(row, &call.store)?))
}

/// `GET mappings/:id`
pub async fn show(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(entry_document(find(&call.store, &request)?, &call.store)))
}

/// `PUT mappings/:id`
pub async fn update(
    call: InStore<Admin>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    let mut fields = Fields::wrapped(body.json()?, "mapping", &READ_ONLY)?;
    let mapping = read(&mut fields, Some(&entry.value), &call.store, by(&call));
    fields.finish("mapping")?;
    let first_use = first_use(&call.store, mapping.integration);
    let change = EntityChange::Replace {
        key: entry.key.0,
        entity: Entity::Mapping(mapping),
    };
    let row = write(&call, first_use, change).await?;
    Ok(HttpResponse::Ok().json(row_document(row, &call.store)?))
}

/// `DELETE mappings/:id`: what waits for it is archived as removed.
pub async fn delete(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    if entry.value.required {
        return Err(ApiError::invalid_field(
            "request",
            "mapping",
            "is required and cannot be deleted",
        ));
    }
    call.caller
        .change(vec![EntityChange::Delete { key: entry.key.0 }])
        .await?;
    Ok(HttpResponse::Ok().json(entry_document(entry, &call.store)))
}

/// Writes a mapping and what has to be there before it. Returns the mapping's row.
async fn write(
    call: &InStore<Admin>,
    first_use: Option<EntityChange>,
    change: EntityChange,
) -> Result<EntityRow, ApiError> {
    let changes = first_use.into_iter().chain([change]).collect();
    let rows = call.caller.change(changes).await?.rows;
    rows.into_iter()
        .next_back()
        .ok_or_else(|| ApiError::internal(&"nothing came back from a change"))
}

fn by<S>(call: &InStore<S>) -> By {
    match call.caller.principal {
        Principal::Operator => By::Operator,
        Principal::Store { .. } => By::Admin,
    }
}

fn find<'a>(
    store: &'a StoreSnapshot,
    request: &HttpRequest,
) -> Result<&'a Entry<MappingKey, Mapping>, ApiError> {
    let id = id_in_path(request);
    store
        .mappings
        .values()
        .find(|entry| Some(entry.id) == id)
        .ok_or_else(|| ApiError::not_found("mapping"))
}

/// A mapping of a store as shown.
pub(super) fn entry_document(
    entry: &Entry<MappingKey, Mapping>,
    store: &StoreSnapshot,
) -> MappingDocument {
    document(
        entry.id,
        entry.created_at,
        entry.updated_at,
        entry.value.clone(),
        store,
    )
}

fn row_document(row: EntityRow, store: &StoreSnapshot) -> Result<MappingDocument, ApiError> {
    match row.entity {
        Entity::Mapping(mapping) => Ok(document(
            row.id,
            row.created_at,
            row.updated_at,
            mapping,
            store,
        )),
        other => Err(ApiError::internal(&format_args!(
            "a mapping was written, a {} came back",
            other.kind()
        ))),
    }
}

/// The mapping as shown: its secrets masked, parameters that were deleted meanwhile left out.
fn document(
    id: Id,
    created_at: Micros,
    updated_at: Micros,
    mapping: Mapping,
    store: &StoreSnapshot,
) -> MappingDocument {
    let mut options = mapping.options;
    options.signing_secret = options.signing_secret.map(|secrets| secrets.masked());
    MappingDocument {
        id,
        name: mapping.name,
        url: mapping.url,
        token: if mapping.token.is_empty() { "" } else { MASK },
        integration_id: mapping
            .integration
            .and_then(|key| store.integration(key))
            .map(|entry| entry.id),
        messages: mapping.messages,
        parameters: mapping
            .parameters
            .iter()
            .filter_map(|key| store.parameters.get(key))
            .map(|entry| entry.id)
            .collect(),
        identifiers: mapping.identifiers,
        filters: mapping.filters,
        options,
        enabled: mapping.enabled,
        required: mapping.required,
        created_at,
        updated_at,
    }
}
