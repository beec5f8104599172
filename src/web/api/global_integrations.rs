//! `/api/integrations`: the applications that the hub offers to every store. The operator makes, changes and removes them; stores see them among
//! their own (with `store_id` null), sign up for them, and have mappings, parameters and an endpoint of their own.

use actix_web::{HttpRequest, HttpResponse};

use crate::{
    db::EntityChange,
    domain::{
        integration::Integration,
        key::IntegrationKey,
        registry::{Entity, Entry},
    },
};

use super::{
    super::{auth::Caller, error::ApiError, extract::Body, fields::Fields, forms},
    id_in_path,
    integrations::{
        Offered, READ_ONLY, note_clash, of_store, read, read_anew, removed_mappings, replace,
        row_document,
    },
    stores::only_row,
};

/// `GET /api/integrations`: oldest first.
pub async fn list(caller: Caller) -> Result<HttpResponse, ApiError> {
    caller.operator()?;
    let globals = caller.registry.globals.values();
    let documents: Vec<_> = globals.map(|entry| of_store(entry, None)).collect();
    Ok(HttpResponse::Ok().json(documents))
}

/// `POST /api/integrations`: 201, pending until its description was read.
pub async fn create(
    caller: Caller,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    caller.operator()?;
    let raw = forms::document(&body, request.query_string())?;
    let mut fields = Fields::wrapped(&raw, "integration", &READ_ONLY)?;
    let integration = read(&mut fields, None);
    note_clash(&mut fields, &caller.registry, Offered::ToAll, &integration);
    fields.finish("integration")?;
    let change = EntityChange::Create {
        store: None,
        subject: None,
        entity: Entity::Integration(Box::new(integration)),
    };
    let row = only_row(caller.change(vec![change]).await?.rows)?;
    Ok(HttpResponse::Created().json(row_document(row, &caller.registry)?))
}

/// `GET /api/integrations/:id`
pub async fn show(caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.operator()?;
    Ok(HttpResponse::Ok().json(of_store(find(&caller, &request)?, None)))
}

/// `PUT /api/integrations/:id`: a new address or token goes to the mappings of all stores.
pub async fn update(
    caller: Caller,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    caller.operator()?;
    let entry = find(&caller, &request)?;
    Ok(HttpResponse::Ok().json(replace(&caller, entry, &request, &body).await?))
}

/// `DELETE /api/integrations/:id`: the mappings of all stores go with it, and what waits for them is archived as removed.
pub async fn delete(caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.operator()?;
    let entry = find(&caller, &request)?;
    let mut changes = vec![EntityChange::Delete { key: entry.key.0 }];
    for store in caller.registry.stores.values() {
        changes.extend(removed_mappings(store, entry.key));
        let endpoint = store.shared_endpoints.get(&entry.key);
        changes.extend(endpoint.map(|own| EntityChange::Delete { key: own.0 }));
    }
    caller.change(changes).await?;
    Ok(HttpResponse::Ok().json(of_store(entry, None)))
}

/// `POST /api/integrations/:id/refresh`: 202, its description is read anew.
pub async fn refresh(caller: Caller, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    caller.operator()?;
    let entry = find(&caller, &request)?;
    read_anew(&caller, entry)?;
    Ok(HttpResponse::Accepted().json(of_store(entry, None)))
}

fn find<'a>(
    caller: &'a Caller,
    request: &HttpRequest,
) -> Result<&'a Entry<IntegrationKey, Integration>, ApiError> {
    let id = id_in_path(request);
    let mut globals = caller.registry.globals.values();
    globals
        .find(|entry| Some(entry.id) == id)
        .ok_or_else(|| ApiError::not_found("integration"))
}
