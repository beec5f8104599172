//! `/api/stores/:store/rules`: consumers that an operator writes without code, and what they would have made of recent messages.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    actors::Hub,
    db::{DbError, EntityChange, Queue, QueueQuery},
    domain::{
        id::Id,
        json::PayloadLimits,
        key::RuleKey,
        registry::{Entity, EntityRow, Entry, StoreSnapshot},
        rule::{CompiledRule, Rule, RuleOutcome},
        time::Micros,
    },
};

use super::{
    super::{
        auth::{Admin, InStore, Read},
        error::ApiError,
        extract::Body,
    },
    id_in_path,
    stores::only_row,
};

const READ_ONLY: [&str; 5] = ["id", "_id", "store_id", "created_at", "updated_at"];
/// Rows of each queue that a dry run looks through.
const LOOKED_AT: usize = 200;
/// Messages that a dry run tells of.
const TOLD: usize = 25;

#[derive(Debug, Serialize)]
struct RuleDocument {
    id: Id,
    store_id: Id,
    #[serde(flatten)]
    rule: Rule,
    created_at: Micros,
    updated_at: Micros,
}

/// What a rule would have made of recent messages.
#[derive(Debug, Serialize)]
pub struct DryRunDocument {
    /// Messages looked at.
    pub looked_at: usize,
    /// What became of those of the rule's types, newest first.
    pub results: Vec<DryResultDocument>,
}

/// What it would have made of one.
#[derive(Debug, Serialize)]
pub struct DryResultDocument {
    /// The message's id.
    pub message_id: Id,
    /// Its type.
    pub message: String,
    /// `derived`, `refused`, `failed`.
    pub outcome: &'static str,
    /// Which filter refused it, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<usize>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it would have derived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<DerivedDocument>,
}

/// A message that would have been derived.
#[derive(Debug, Serialize)]
pub struct DerivedDocument {
    /// Its type.
    pub message: String,
    /// Its payload.
    pub payload: crate::domain::json::Payload,
}

/// `GET rules`: oldest first.
pub async fn list(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    let documents = call
        .store
        .rules
        .values()
        .map(|entry| document(entry, &call.store));
    Ok(HttpResponse::Ok().json(documents.collect::<Vec<_>>()))
}

/// `POST rules`: 201.
pub async fn create(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    let (rule, _) = read_body(body.json()?, None)?;
    let change = EntityChange::Create {
        store: Some(call.key()),
        subject: None,
        entity: Entity::Rule(rule),
    };
    let row = only_row(call.caller.change(vec![change]).await?.rows)?;
    Ok(HttpResponse::Created().json(row_document(row, &call.store)?))
}

/// `GET rules/:id`
pub async fn show(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(document(find(&call.store, &request)?, &call.store)))
}

/// `PUT rules/:id`
pub async fn update(
    call: InStore<Admin>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    let (rule, _) = read_body(body.json()?, Some(&entry.value))?;
    let change = EntityChange::Replace {
        key: entry.key.0,
        entity: Entity::Rule(rule),
    };
    let row = only_row(call.caller.change(vec![change]).await?.rows)?;
    Ok(HttpResponse::Ok().json(row_document(row, &call.store)?))
}

/// `DELETE rules/:id`
pub async fn delete(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    call.caller
        .change(vec![EntityChange::Delete { key: entry.key.0 }])
        .await?;
    Ok(HttpResponse::Ok().json(document(entry, &call.store)))
}

/// `POST rules/dry_run` with a rule as for creating one: what it would have made of recent messages. Nothing is stored or derived.
pub async fn dry_run(call: InStore<Read>, body: Body) -> Result<HttpResponse, ApiError> {
    let (_, rule) = read_body(body.json()?, None)?;
    Ok(HttpResponse::Ok().json(try_out(call.hub(), &call.store, &rule).await?))
}

/// `POST rules/:id/dry_run`: the same with a stored rule, enabled or not.
pub async fn dry_run_stored(
    call: InStore<Read>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    let rule = compile(&entry.value)?;
    Ok(HttpResponse::Ok().json(try_out(call.hub(), &call.store, &rule).await?))
}

/// Tries a rule on a store's recent messages.
///
/// # Errors
/// Those of the database.
pub async fn try_out(
    hub: &Hub,
    store: &StoreSnapshot,
    rule: &CompiledRule,
) -> Result<DryRunDocument, DbError> {
    let (backend, key) = (hub.backend(), store.store.key);
    let mut recent: Vec<(Micros, Id)> = Vec::new();
    for queue in [Queue::Incoming, Queue::Accepted, Queue::Archived] {
        let page = backend
            .queue_list(QueueQuery {
                store: key,
                queue,
                kinds: None,
                states: None,
                reasons: None,
                source: None,
                from: None,
                until: None,
                message: None,
                mapping: None,
                object: None,
                after: None,
                skip: 0,
                limit: LOOKED_AT,
            })
            .await?;
        recent.extend(page.rows.into_iter().filter_map(|row| {
            // A delivery's parent is its message.
            let message = match row.mapping {
                Some(_) => row.parent_id?,
                None => row.id,
            };
            Some((row.created_at, message))
        }));
    }
    recent.sort_by_key(|(at, id)| (std::cmp::Reverse(*at), id.to_string()));
    let mut seen = BTreeSet::new();
    recent.retain(|(_, id)| seen.insert(id.to_string()));
    let mut told = DryRunDocument {
        looked_at: 0,
        results: Vec::new(),
    };
    for (_, id) in recent {
        if told.results.len() >= TOLD {
            break;
        }
        // It may have gone since it was listed.
        let Ok(detail) = backend.message_detail(key, id).await else {
            continue;
        };
        told.looked_at += 1;
        let message = &detail.message;
        let mut result = DryResultDocument {
            message_id: message.id,
            message: message.kind.to_string(),
            outcome: "derived",
            filter: None,
            problem: None,
            derived: None,
        };
        match rule.review(message, Some(store.store.id)) {
            RuleOutcome::OtherType => continue,
            RuleOutcome::Refused { index } => {
                result.outcome = "refused";
                result.filter = Some(index);
            }
            RuleOutcome::Failed { problem } => {
                result.outcome = "failed";
                result.problem = Some(problem);
            }
            RuleOutcome::Derived { kind, payload } => {
                result.derived = Some(DerivedDocument {
                    message: kind.to_string(),
                    payload,
                });
            }
        }
        told.results.push(result);
    }
    Ok(told)
}

/// Reads `{"rule":{...}}` over what is stored, and compiles it.
fn read_body(raw: &RawValue, stored: Option<&Rule>) -> Result<(Rule, CompiledRule), ApiError> {
    let wrong = |problem: String| ApiError::invalid("rule", vec![problem]);
    let mut outer: Map<String, Value> = serde_json::from_str(raw.get())
        .map_err(|_| wrong("rule: is missing, the body must be {\"rule\": {...}}".into()))?;
    let given = match (outer.remove("rule"), outer.keys().next()) {
        (Some(Value::Object(given)), None) => given,
        _ => {
            return Err(wrong(
                "rule: is missing, the body must be {\"rule\": {...}}".into(),
            ));
        }
    };
    read(given, stored)
}

/// Reads a rule's members over what is stored of it, and compiles it.
///
/// # Errors
/// 422 with what is wrong.
pub fn read(
    given: Map<String, Value>,
    stored: Option<&Rule>,
) -> Result<(Rule, CompiledRule), ApiError> {
    let wrong = |problem: String| ApiError::invalid("rule", vec![problem]);
    let mut whole = match stored.map(serde_json::to_value) {
        Some(Ok(Value::Object(stored))) => stored,
        _ => Map::new(),
    };
    whole.extend(
        given
            .into_iter()
            .filter(|(name, _)| !READ_ONLY.contains(&name.as_str())),
    );
    let text = Value::Object(whole).to_string();
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let rule: Rule = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let place = error.path().to_string();
        let said = error.into_inner().to_string();
        let said = said
            .rsplit_once(" at line ")
            .map_or(said.as_str(), |(said, _)| said);
        wrong(if place == "." {
            format!("rule: {said}")
        } else {
            format!("{place}: {said}")
        })
    })?;
    let compiled = compile(&rule)?;
    Ok((rule, compiled))
}

fn compile(rule: &Rule) -> Result<CompiledRule, ApiError> {
    rule.compile(PayloadLimits::default())
        .map_err(|errors| ApiError::invalid("rule", errors))
}

fn find<'a>(
    store: &'a StoreSnapshot,
    request: &HttpRequest,
) -> Result<&'a Entry<RuleKey, Rule>, ApiError> {
    let id = id_in_path(request);
    store
        .rules
        .values()
        .find(|entry| Some(entry.id) == id)
        .ok_or_else(|| ApiError::not_found("rule"))
}

fn row_document(row: EntityRow, store: &StoreSnapshot) -> Result<RuleDocument, ApiError> {
    let Entity::Rule(value) = row.entity else {
        return Err(ApiError::internal(
            &"a rule was written, something else came back",
        ));
    };
    let entry = Entry {
        key: RuleKey(row.key),
        id: row.id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        value,
    };
    Ok(document(&entry, store))
}

fn document(entry: &Entry<RuleKey, Rule>, store: &StoreSnapshot) -> RuleDocument {
    RuleDocument {
        id: entry.id,
        store_id: store.store.id,
        rule: entry.value.clone(),
        created_at: entry.created_at,
        updated_at: entry.updated_at,
    }
}
