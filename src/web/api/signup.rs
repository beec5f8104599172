//! `POST integrations/:id/signup`: parameters and mappings from what a person filled in (a form or JSON).
//!
//! Signing up again is an update: values and switches change, and what a person has set in the mappings meanwhile (types, filters,
//! identifiers, options) stays. Parameters are written first, since mappings name them by key; should the second step fail, the values
//! are there and the form can be sent again.

use std::collections::{BTreeMap, HashMap};

use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::{
    db::EntityChange,
    domain::{
        integration::Integration,
        key::{IntegrationKey, ParameterKey},
        registry::{Entity, Entry, Mapping, Parameter, StoreSnapshot},
        scheduler::Scheduler,
        signup::{Plan, Signup, plan},
        time::Micros,
    },
};

use super::{
    super::{
        auth::{Admin, InStore},
        error::ApiError,
        extract::Body,
        fields::{Fields, Given},
        forms,
    },
    integrations, mappings,
};

/// `POST integrations/:id/signup`: 201 with the integration's mappings.
pub async fn create(
    call: InStore<Admin>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let entry = integrations::find(&call.store, &request)?;
    let raw = forms::document(&body, request.query_string())?;
    let mut fields = Fields::read(&raw, "", &["store_id", "id", "utf8"]);
    let signup = Signup {
        parameters: match fields.raw("parameters") {
            Given::Value(raw) => serde_json::from_str::<BTreeMap<String, Value>>(raw.get())
                .unwrap_or_else(|_| {
                    fields.note("parameters", "must be an object of names and values");
                    BTreeMap::new()
                }),
            Given::Absent | Given::Null => BTreeMap::new(),
        },
        enabled: fields.texts("enabled").value().unwrap_or_default(),
    };
    fields.finish("signup")?;
    let plan = plan_in(&call.store, entry, &signup)
        .map_err(|errors| ApiError::invalid("signup", errors))?;
    carry_out(&call, entry, plan).await?;
    let registry = call.hub().registry();
    let store = registry.stores.get(&call.key()).unwrap_or(&call.store);
    let documents: Vec<_> = store
        .mappings
        .values()
        .filter(|mapping| mapping.value.integration == Some(entry.key))
        .map(|mapping| mappings::entry_document(mapping, store))
        .collect();
    Ok(HttpResponse::Created().json(documents))
}

/// What a signup comes to in this store.
///
/// # Errors
/// All mistakes at once, each `field: sentence`.
pub fn plan_in(
    store: &StoreSnapshot,
    entry: &Entry<IntegrationKey, Integration>,
    signup: &Signup,
) -> Result<Plan, Vec<String>> {
    let known = |name: &str| {
        let mut own = store.parameters.values();
        own.any(|parameter| parameter.value.name == name)
    };
    plan(&entry.value, Some(entry.key), signup, &known)
}

async fn carry_out(
    call: &InStore<Admin>,
    entry: &Entry<IntegrationKey, Integration>,
    mut plan: Plan,
) -> Result<(), ApiError> {
    let values = value_changes(&call.store, &mut plan);
    if !values.is_empty() {
        call.caller.change(values).await?;
    }
    let registry = call.hub().registry();
    let store = registry.stores.get(&call.key()).unwrap_or(&call.store);
    let changes = mapping_changes(store, entry.key, plan, call.hub().now());
    log::debug!(store = store.store.key.0, integration = entry.key.0; "a signup makes {} changes", changes.len());
    call.caller.change(changes).await?;
    Ok(())
}

/// The first step: a plan's values as parameters. They are taken out of it.
pub fn value_changes(store: &StoreSnapshot, plan: &mut Plan) -> Vec<EntityChange> {
    std::mem::take(&mut plan.parameters)
        .into_iter()
        .map(|parameter| parameter_change(store, parameter))
        .collect()
}

/// The second step, in a store that has the values: mappings, which name their parameters by key, and schedulers.
pub fn mapping_changes(
    store: &StoreSnapshot,
    integration: IntegrationKey,
    plan: Plan,
    now: Micros,
) -> Vec<EntityChange> {
    let keys: HashMap<&str, ParameterKey> = store
        .parameters
        .values()
        .map(|own| (own.value.name.as_str(), own.key))
        .collect();
    let mut changes: Vec<EntityChange> = integrations::first_use(store, Some(integration))
        .into_iter()
        .collect();
    for planned in plan.mappings {
        let parameters = planned
            .parameters
            .iter()
            .filter_map(|name| keys.get(name.as_str()).copied())
            .collect();
        let mapping = Mapping {
            parameters,
            ..planned.mapping
        };
        changes.push(mapping_change(store, mapping));
    }
    changes.extend(plan.schedules.into_iter().filter_map(|planned| {
        let scheduler = Scheduler {
            schedule: planned.schedule,
            key: planned.key,
            payload: None,
            enabled: true,
            anchor: now,
        };
        scheduler_change(store, scheduler)
    }));
    changes
}

fn parameter_change(store: &StoreSnapshot, parameter: Parameter) -> EntityChange {
    let known = store
        .parameters
        .values()
        .find(|own| own.value.name == parameter.name);
    match known {
        Some(own) => EntityChange::Replace {
            key: own.key.0,
            entity: Entity::Parameter(Parameter {
                secret: own.value.secret,
                ..parameter
            }),
        },
        None => create_in(store, Entity::Parameter(parameter)),
    }
}

/// A mapping of this name is updated: what its operator set in it stays.
fn mapping_change(store: &StoreSnapshot, mapping: Mapping) -> EntityChange {
    let known = store
        .mappings
        .values()
        .find(|own| own.value.name == mapping.name);
    match known {
        Some(own) => EntityChange::Replace {
            key: own.key.0,
            entity: Entity::Mapping(Mapping {
                url: mapping.url,
                token: mapping.token,
                integration: mapping.integration,
                parameters: mapping.parameters,
                enabled: mapping.enabled,
                required: mapping.required,
                ..own.value.clone()
            }),
        },
        None => create_in(store, Entity::Mapping(mapping)),
    }
}

/// A scheduler that pushes the same at the same times is there already after an earlier signup.
fn scheduler_change(store: &StoreSnapshot, scheduler: Scheduler) -> Option<EntityChange> {
    let is_there = store
        .schedulers
        .values()
        .any(|own| own.value.key == scheduler.key && own.value.schedule == scheduler.schedule);
    (!is_there).then(|| create_in(store, Entity::Scheduler(scheduler)))
}

fn create_in(store: &StoreSnapshot, entity: Entity) -> EntityChange {
    EntityChange::Create {
        store: Some(store.store.key),
        subject: None,
        entity,
    }
}
