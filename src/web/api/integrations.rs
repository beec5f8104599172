//! `/api/stores/:store/integrations`: endpoint applications, known by their address.
//!
//! A new one is *pending* until its `endpoint.json` was read in the background, or for as long as that is unusable (`error_messages`
//! says why). Signing up turns its services into mappings. Those whose `store_id` is null are *global*: offered to every store, and changed by
//! the operator alone (`global_integrations.rs`).

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::{
    db::EntityChange,
    domain::{
        id::Id,
        integration::{Integration, IntegrationState, Service, ServicesFrom, join},
        key::{IntegrationKey, SchedulerKey},
        registry::{
            EndpointSettings, Entity, EntityRow, Entry, Integrations, Mapping, Registry,
            SigningSecrets, StoreSnapshot,
        },
        scheduler::Scheduler,
        signup::{PlannedSchedule, schedules_of},
        time::Micros,
    },
    wire::endpoint_json,
};

use super::{
    super::{
        auth::{Admin, Caller, InStore, Read},
        error::ApiError,
        extract::Body,
        fields::{Fields, Given, MASK, is_masked},
        forms,
    },
    id_in_path,
    mapping_fields::read_secret,
    mappings,
    stores::only_row,
};

/// Members of our own answers that a request may hold and that change nothing.
pub(super) const READ_ONLY: [&str; 11] = [
    "id",
    "_id",
    "store_id",
    "state",
    "error_messages",
    "warnings",
    "services_from",
    "read_at",
    "created_at",
    "updated_at",
    "icon_address",
];

/// An integration. Clients of 2013 make the picture's address of `url` and `icon_url`.
#[derive(Debug, Serialize)]
pub struct IntegrationDocument {
    id: Id,
    name: String,
    display: Option<String>,
    description: Option<String>,
    help: Option<String>,
    url: String,
    category: String,
    /// Masked; empty when none is sent.
    token: &'static str,
    /// Masked; as many masks as there are secrets.
    signing_secret: Option<SigningSecrets>,
    state: IntegrationState,
    error_messages: Vec<String>,
    warnings: Vec<String>,
    icon_url: Option<String>,
    /// Null: it is offered to every store.
    store_id: Option<Id>,
    services: Vec<Service>,
    /// `nowhere`, `endpoint_json`, `hand`.
    services_from: &'static str,
    /// When endpoint.json was last read.
    read_at: Option<Micros>,
    created_at: Micros,
    updated_at: Micros,
}

/// `GET integrations`: its own, oldest first, then the global ones. (Clients before August 2013 ask with `?global=1` for the same.)
pub async fn list(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    let documents = call
        .store
        .offered()
        .map(|entry| document(entry, &call.store));
    Ok(HttpResponse::Ok().json(documents.collect::<Vec<_>>()))
}

/// `POST integrations`, as JSON, as a form or in the query: 201, pending until its description was read.
pub async fn create(
    call: InStore<Admin>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let raw = forms::document(&body, request.query_string())?;
    let mut fields = Fields::wrapped(&raw, "integration", &READ_ONLY)?;
    let integration = read(&mut fields, None);
    note_clash(
        &mut fields,
        &call.caller.registry,
        Offered::ToItsStore,
        &integration,
    );
    fields.finish("integration")?;
    let change = EntityChange::Create {
        store: Some(call.key()),
        subject: None,
        entity: Entity::Integration(Box::new(integration)),
    };
    let row = only_row(call.caller.change(vec![change]).await?.rows)?;
    Ok(HttpResponse::Created().json(row_document(row, &call.caller.registry)?))
}

/// `GET integrations/:id`
pub async fn show(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(document(find(&call.store, &request)?, &call.store)))
}

/// `PUT integrations/:id`. A new address or token goes to its mappings too, and a new address has the description read anew.
pub async fn update(
    call: InStore<Admin>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    changeable(&call, entry)?;
    let written = replace(&call.caller, entry, &request, &body).await?;
    Ok(HttpResponse::Ok().json(written))
}

/// A global integration is the operator's.
fn changeable(
    call: &InStore<Admin>,
    entry: &Entry<IntegrationKey, Integration>,
) -> Result<(), ApiError> {
    if call.store.globals.contains_key(&entry.key) {
        call.caller.operator()?;
    }
    Ok(())
}

/// Writes what a request says of an integration, and what follows from it for mappings of every store that uses it.
pub(super) async fn replace(
    caller: &Caller,
    entry: &Entry<IntegrationKey, Integration>,
    request: &HttpRequest,
    body: &Body,
) -> Result<IntegrationDocument, ApiError> {
    let raw = forms::document(body, request.query_string())?;
    let mut fields = Fields::wrapped(&raw, "integration", &READ_ONLY)?;
    let integration = read(&mut fields, Some(&entry.value));
    let offered = match caller.registry.globals.contains_key(&entry.key) {
        true => Offered::ToAll,
        false => Offered::ToItsStore,
    };
    note_clash(&mut fields, &caller.registry, offered, &integration);
    fields.finish("integration")?;
    let moved = integration.url != entry.value.url;
    let changes = changes_of(&caller.registry, entry, integration);
    let rows = caller.change(changes).await?.rows;
    let row = rows
        .into_iter()
        .next()
        .ok_or_else(|| ApiError::internal(&"nothing came back from a change"))?;
    if moved {
        caller.hub.survey(entry.key);
    }
    row_document(row, &caller.registry)
}

/// What an integration's new form changes: itself, and what follows in the mappings of every store that uses it.
pub fn changes_of(
    registry: &Registry,
    before: &Entry<IntegrationKey, Integration>,
    after: Integration,
) -> Vec<EntityChange> {
    let mut changes = vec![EntityChange::Replace {
        key: before.key.0,
        entity: Entity::Integration(Box::new(after.clone())),
    }];
    for store in registry.stores.values() {
        changes.extend(mappings_after(store, before, &after));
    }
    changes
}

/// What a changed integration changes in its mappings: those that still have its former address or token.
fn mappings_after(
    store: &StoreSnapshot,
    before: &Entry<IntegrationKey, Integration>,
    after: &Integration,
) -> Vec<EntityChange> {
    let (old, url) = (&before.value, &after.url);
    let below = |mapping: &Mapping| {
        let root = join(&old.url, "");
        mapping.url.strip_prefix(&root).map(str::to_owned)
    };
    store
        .mappings
        .values()
        .filter(|mapping| mapping.value.integration == Some(before.key))
        .filter_map(|mapping| {
            let mut value = mapping.value.clone();
            if let Some(path) = below(&value) {
                value.url = join(url, &path);
            }
            if value.token == old.token {
                value.token.clone_from(&after.token);
            }
            (value != mapping.value).then_some(EntityChange::Replace {
                key: mapping.key.0,
                entity: Entity::Mapping(value),
            })
        })
        .collect()
}

/// `DELETE integrations/:id`: its mappings go with it, and what waits for them is archived as removed. Of a global one only this store's mappings
/// go: it stays offered (WIRE A.2).
pub async fn delete(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    let changes = removal_of(&call.store, entry.key);
    if !changes.is_empty() {
        call.caller.change(changes).await?;
    }
    Ok(HttpResponse::Ok().json(document(entry, &call.store)))
}

/// What removing an integration from a store deletes: its mappings, and itself unless it is offered to every store.
pub fn removal_of(store: &StoreSnapshot, key: IntegrationKey) -> Vec<EntityChange> {
    let itself = EntityChange::Delete { key: key.0 };
    let is_own = !store.globals.contains_key(&key);
    let itself = is_own.then_some(itself);
    itself
        .into_iter()
        .chain(removed_mappings(store, key))
        .collect()
}

/// What removes a store's mappings of an integration, and the schedulers that its services asked for.
pub(super) fn removed_mappings(
    store: &StoreSnapshot,
    key: IntegrationKey,
) -> impl Iterator<Item = EntityChange> {
    let of = move |mapping: &&Entry<_, Mapping>| mapping.value.integration == Some(key);
    let own = store.mappings.values().filter(of);
    let integration = store.integration(key).map(|entry| &entry.value);
    let planned = integration.into_iter().flat_map(schedules_of);
    let schedulers = planned.filter_map(move |planned| scheduler_of(store, &planned));
    own.map(|mapping| mapping.key.0)
        .chain(schedulers.map(|own| own.key.0))
        .map(|key| EntityChange::Delete { key })
}

/// The scheduler that a store has for what a service asked for.
fn scheduler_of<'a>(
    store: &'a StoreSnapshot,
    planned: &PlannedSchedule,
) -> Option<&'a Entry<SchedulerKey, Scheduler>> {
    let mut all = store.schedulers.values();
    all.find(|own| own.value.key == planned.key && own.value.schedule == planned.schedule)
}

/// Whose an integration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// One store's.
    ToItsStore,
    /// Everybody's.
    ToAll,
}

/// Names are the prefix of parameters and mappings, so a store's own integration and a global one cannot share one.
pub(super) fn note_clash(
    fields: &mut Fields<'_>,
    registry: &Registry,
    offered: Offered,
    integration: &Integration,
) {
    let has_name = |all: &Integrations| {
        let mut all = all.values();
        all.any(|entry| entry.value.name == integration.name)
    };
    match offered {
        Offered::ToItsStore if has_name(&registry.globals) => {
            fields.note("name", "is that of an integration offered to every store");
        }
        Offered::ToItsStore => {}
        Offered::ToAll => {
            let stores = registry.stores.values();
            let holders = stores.filter(|store| has_name(&store.integrations)).count();
            if holders > 0 {
                let problem =
                    format!("is that of an integration of its own in {holders} of the stores");
                fields.note("name", problem);
            }
        }
    }
}

/// What a store's first mapping of a global integration takes besides itself: the store's own endpoint of it.
pub(super) fn first_use(
    store: &StoreSnapshot,
    integration: Option<IntegrationKey>,
) -> Option<EntityChange> {
    let key = integration.filter(|key| store.globals.contains_key(key))?;
    (!store.shared_endpoints.contains_key(&key)).then(|| EntityChange::Create {
        store: Some(store.store.key),
        subject: Some(key.0),
        entity: Entity::Endpoint(EndpointSettings::default()),
    })
}

/// `POST integrations/:id/refresh`: has the description read anew, in the background.
pub async fn refresh(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    changeable(&call, entry)?;
    read_anew(&call.caller, entry)?;
    Ok(HttpResponse::Accepted().json(document(entry, &call.store)))
}

/// Has an integration's description read anew, in the background.
pub(super) fn read_anew(
    caller: &Caller,
    entry: &Entry<IntegrationKey, Integration>,
) -> Result<(), ApiError> {
    if entry.value.services_from == ServicesFrom::Hand {
        return Err(ApiError::not_possible(
            "integration",
            "refreshed",
            "its services were entered by hand; set them to null to have endpoint.json read",
        ));
    }
    caller.hub.survey(entry.key);
    Ok(())
}

/// `GET` or `POST integrations/:id/enable_mappings`. (A GET with a side effect, which clients of 2013 send.)
pub async fn enable_mappings(
    call: InStore<Admin>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    switch(&call, &request, true).await
}

/// `GET` or `POST integrations/:id/disable_mappings`: required ones stay enabled.
pub async fn disable_mappings(
    call: InStore<Admin>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    switch(&call, &request, false).await
}

async fn switch(
    call: &InStore<Admin>,
    request: &HttpRequest,
    enabled: bool,
) -> Result<HttpResponse, ApiError> {
    let key = find(&call.store, request)?.key;
    let changes = switching_of(&call.store, key, enabled, call.hub().now());
    if !changes.is_empty() {
        call.caller.change(changes).await?;
    }
    let registry = call.hub().registry();
    let store = registry.stores.get(&call.key()).unwrap_or(&call.store);
    let documents: Vec<_> = store
        .mappings
        .values()
        .filter(|mapping| mapping.value.integration == Some(key))
        .map(|mapping| mappings::entry_document(mapping, store))
        .collect();
    Ok(HttpResponse::Ok().json(documents))
}

/// What switching an integration's mappings on or off changes: required ones stay enabled, and what a service asked to be pushed
/// on a schedule goes with its mapping.
pub fn switching_of(
    store: &StoreSnapshot,
    key: IntegrationKey,
    enabled: bool,
    now: Micros,
) -> Vec<EntityChange> {
    let own = store.mappings.values();
    let switched: Vec<_> = own
        .filter(|mapping| mapping.value.integration == Some(key))
        .filter(|mapping| mapping.value.enabled != enabled && (enabled || !mapping.value.required))
        .collect();
    let mut changes: Vec<EntityChange> = switched
        .iter()
        .map(|mapping| EntityChange::Replace {
            key: mapping.key.0,
            entity: Entity::Mapping(Mapping {
                enabled,
                ..mapping.value.clone()
            }),
        })
        .collect();
    let integration = store.integration(key).map(|entry| &entry.value);
    for planned in integration.into_iter().flat_map(schedules_of) {
        if !switched.iter().any(|own| own.value.name == planned.mapping) {
            continue;
        }
        match scheduler_of(store, &planned) {
            Some(own) if own.value.enabled != enabled => changes.push(EntityChange::Replace {
                key: own.key.0,
                entity: Entity::Scheduler(Scheduler {
                    enabled,
                    ..own.value.clone()
                }),
            }),
            None if enabled => changes.push(EntityChange::Create {
                store: Some(store.store.key),
                subject: None,
                entity: Entity::Scheduler(Scheduler {
                    schedule: planned.schedule,
                    key: planned.key,
                    payload: None,
                    enabled,
                    anchor: now,
                }),
            }),
            _ => {}
        }
    }
    changes
}

/// The integration in the path: the store's own, or a global one.
pub(super) fn find<'a>(
    store: &'a StoreSnapshot,
    request: &HttpRequest,
) -> Result<&'a Entry<IntegrationKey, Integration>, ApiError> {
    let id = id_in_path(request);
    store
        .offered()
        .find(|entry| Some(entry.id) == id)
        .ok_or_else(|| ApiError::not_found("integration"))
}

/// Reads an integration over what is stored of it.
pub fn read(fields: &mut Fields<'_>, stored: Option<&Integration>) -> Integration {
    let of = |pick: fn(&Integration) -> Option<String>| stored.and_then(pick);
    let mut text = |name: &'static str, stored: Option<String>| {
        fields
            .text(name)
            .or_stored(stored)
            .filter(|text| !text.trim().is_empty())
    };
    let name = text("name", of(|own| Some(own.name.clone())));
    let url = text("url", of(|own| Some(own.url.clone())));
    let category = text("category", of(|own| Some(own.category.clone())));
    let display = text("display", of(|own| own.display.clone()));
    let description = text("description", of(|own| own.description.clone()));
    let help = text("help", of(|own| own.help.clone()));
    let icon_url = text("icon_url", of(|own| own.icon_url.clone()));
    let token = match fields.text("token") {
        Given::Value(text) if is_masked(&text) => of(|own| Some(own.token.clone())),
        given => given.or_stored(of(|own| Some(own.token.clone()))),
    };
    let stored_part = stored.cloned();
    let mut integration = Integration {
        name: name.unwrap_or_default().trim().to_owned(),
        display,
        description,
        help,
        url: url.unwrap_or_default().trim().to_owned(),
        category: category.unwrap_or_default(),
        token: token.unwrap_or_default().trim().to_owned(),
        signing_secret: read_secret(fields, stored.and_then(|own| own.signing_secret.clone())),
        icon_url,
        services: Vec::new(),
        error_messages: Vec::new(),
        warnings: Vec::new(),
        services_from: ServicesFrom::Nowhere,
    };
    if let Some(own) = stored_part {
        integration.services = own.services;
        integration.error_messages = own.error_messages;
        integration.warnings = own.warnings;
        integration.services_from = own.services_from;
        if own.name != integration.name && !integration.services.is_empty() {
            fields.note(
                "name",
                "cannot be changed any more: parameters and mappings begin with it",
            );
        }
    }
    read_services(fields, &mut integration);
    let mistakes = integration.mistakes();
    fields.note_all(mistakes);
    integration
}

/// Services entered by hand: in any of the spellings of endpoint.json. Null has the file read; our own answer sent back changes nothing.
fn read_services(fields: &mut Fields<'_>, integration: &mut Integration) {
    let raw = match fields.raw("services") {
        Given::Absent => return,
        Given::Null => {
            if integration.services_from == ServicesFrom::Hand {
                integration.services.clear();
                integration.services_from = ServicesFrom::Nowhere;
            }
            return;
        }
        Given::Value(raw) => raw,
    };
    let value: serde_json::Value = match serde_json::from_str(raw.get()) {
        // Old clients send structures as JSON inside a text.
        Ok(serde_json::Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
        Ok(value) => value,
        Err(error) => return fields.note("services", error),
    };
    let known = serde_json::to_value(&integration.services).unwrap_or_default();
    if value == known {
        return;
    }
    let read = endpoint_json::read_services(&value);
    if !read.error_messages.is_empty() {
        return fields.note_all(read.error_messages);
    }
    integration.services = read.services;
    integration.error_messages = Vec::new();
    integration.warnings = read.warnings;
    integration.services_from = ServicesFrom::Hand;
}

/// An integration as it was written.
pub(super) fn row_document(
    row: EntityRow,
    registry: &Registry,
) -> Result<IntegrationDocument, ApiError> {
    let Entity::Integration(value) = row.entity else {
        return Err(ApiError::internal(
            &"an integration was written, something else came back",
        ));
    };
    let store = row.store.and_then(|key| registry.stores.get(&key));
    let entry = Entry {
        key: IntegrationKey(row.key),
        id: row.id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        value: *value,
    };
    Ok(of_store(&entry, store.map(|store| store.store.id)))
}

fn document(
    entry: &Entry<IntegrationKey, Integration>,
    store: &StoreSnapshot,
) -> IntegrationDocument {
    let is_own = store.integrations.contains_key(&entry.key);
    of_store(entry, is_own.then_some(store.store.id))
}

/// An integration as shown, of this store or of all.
pub(super) fn of_store(
    entry: &Entry<IntegrationKey, Integration>,
    store_id: Option<Id>,
) -> IntegrationDocument {
    let own = entry.value.clone();
    let (services_from, read_at) = match own.services_from {
        ServicesFrom::Nowhere => ("nowhere", None),
        ServicesFrom::EndpointJson { read_at } => ("endpoint_json", Some(read_at)),
        ServicesFrom::Hand => ("hand", None),
    };
    IntegrationDocument {
        id: entry.id,
        state: own.state(),
        name: own.name,
        display: own.display,
        description: own.description,
        help: own.help,
        url: own.url,
        category: own.category,
        token: if own.token.is_empty() { "" } else { MASK },
        signing_secret: own.signing_secret.map(|secrets| secrets.masked()),
        error_messages: own.error_messages,
        warnings: own.warnings,
        icon_url: own.icon_url,
        store_id,
        services: own.services,
        services_from,
        read_at,
        created_at: entry.created_at,
        updated_at: entry.updated_at,
    }
}
