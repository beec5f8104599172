//! `GET /api/openapi.json`: what every route takes and answers, as OpenAPI 3.1.
//!
//! What lives here: one table of operations (`operations.rs`), the schemas of bodies (`schemas.json`), and the few lines that make a document of
//! both. Errors follow from the rows: whatever takes a body may answer 422, whatever needs a token 401, and so on. Tests hold the table
//! against the router, route by route and method by method, and real answers against the schemas; so neither can go its own way.
//!
//! A new route goes into `operations.rs`, its new documents into `schemas.json`. Read next: `operations.rs`, `../tests/openapi.rs`.

mod operation;
mod operations;

use std::sync::OnceLock;

use actix_web::{HttpResponse, http::header::ContentType};
use serde_json::{Map, Value, json};

use operation::{Also, Needs, Operation, Shape};
pub use operations::OPERATIONS;

const SCHEMAS: &str = include_str!("schemas.json");

/// What the parameters in paths, queries and headers mean.
const PARAMETERS: [(&str, &str); 24] = [
    ("store", "The store's id"),
    ("id", "The thing's id"),
    ("queue", "incoming, accepted or archived"),
    ("type", "The object's type, such as order"),
    ("token", "The object's number or other name"),
    ("name", "The message type"),
    ("version", "2 gives the second dialect"),
    ("page", "The page's number, up to 40"),
    ("after", "The former page's next"),
    ("next", "The same as after"),
    ("message", "The message type, in any spelling"),
    ("state", "The state"),
    ("filter_state", "The same as state"),
    ("start_date", "From this instant or day on (RFC 3339, UTC)"),
    ("end_date", "Up to this instant, or the end of this day"),
    ("message_id", "The message's or delivery's id"),
    ("mapping_id", "The mapping's id"),
    ("object", "The object, such as order/R123"),
    (
        "source",
        "Of the archive: the queue it left, incoming or accepted",
    ),
    ("consumer_class", "The mapping's name"),
    ("level", "info, warn or error"),
    ("reference_type", "The object's type"),
    ("reference_token", "The object's token, in any case"),
    (
        "Idempotency-Key",
        "1 to 255 visible ASCII characters; a repeat gets the first answer, for 24 hours",
    ),
];

/// `GET /api/openapi.json`
pub async fn show() -> HttpResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_string());
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(text.as_str())
}

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let path = paths
            .entry(operation.path)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(methods) = path {
            let verb = operation.verb.word().to_lowercase();
            methods.insert(verb, describe(operation));
        }
    }
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Integrator",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A messaging hub between a store and the applications around it. Paths below /api may end in .json or /; HEAD goes wherever GET does, except where a GET has an effect.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses(),
            "securitySchemes": {
                "augury": {"type": "apiKey", "in": "header", "name": "X-Augury-Token"},
                "hub": {"type": "apiKey", "in": "header", "name": "X-Hub-Access-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "signature": {"type": "apiKey", "in": "header", "name": "X-Spree-Webhook-Signature"},
            },
        },
    })
}

/// Every error has the same body; what differs is its status.
const ERRORS: [(u16, &str, &str); 12] = [
    (
        400,
        "BadRequest",
        "The body is not JSON, or the request cannot be read",
    ),
    (401, "Unauthorized", "The token is missing or invalid"),
    (403, "Forbidden", "The token lacks the scope"),
    (
        404,
        "NotFound",
        "There is no such thing, or it is another store's",
    ),
    (406, "NotAcceptable", "The body is not JSON"),
    (408, "TooSlow", "The body did not arrive in time"),
    (
        409,
        "InWork",
        "A request with the same key is still in work; Retry-After says when to ask again",
    ),
    (
        413,
        "TooLarge",
        "The body is larger than the most that is read",
    ),
    (415, "Unsupported", "A body of this type is not read here"),
    (
        422,
        "Invalid",
        "Some fields are wrong: errors says which and how",
    ),
    (
        500,
        "Failed",
        "The hub failed; its log has the reason under request_id",
    ),
    (503, "Unavailable", "Not now; Retry-After says when"),
];

fn responses() -> Value {
    let error = json!({"application/json": {"schema": reference("schemas", "Error")}});
    let one = |(status, name, description): (u16, &str, &str)| {
        let mut answer = json!({"description": description, "content": error});
        if let (409 | 503, Some(members)) = (status, answer.as_object_mut()) {
            let seconds = json!({"description": "Seconds", "schema": {"type": "integer"}});
            members.insert("headers".into(), json!({"Retry-After": seconds}));
        }
        (name.to_owned(), answer)
    };
    Value::Object(ERRORS.into_iter().map(one).collect())
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// The statuses of errors that an operation may answer.
fn errors_of(operation: &Operation) -> Vec<u16> {
    let mut errors = vec![500, 503];
    match operation.needs {
        Needs::Nobody => {}
        Needs::Signature | Needs::Token => errors.push(401),
        Needs::Push | Needs::Read | Needs::Admin | Needs::Operator => errors.extend([401, 403]),
    }
    if operation.path_parameters().next().is_some() || operation.path == "/push" {
        errors.push(404);
    }
    if operation.body.is_some() {
        errors.extend([400, 408, 413, 415, 422]);
    }
    if operation.path == "/push" {
        errors.push(406);
    }
    if !operation.query.is_empty() {
        errors.push(422);
    }
    // What is asked for may not be possible in the state that the thing is in.
    let acts = operation.verb != operation::Verb::Get && operation.needs != Needs::Nobody;
    if acts || operation.path == "/api/login" {
        errors.push(422);
    }
    if operation.path == "/api/login" {
        errors.push(401);
    }
    if operation.headers.contains(&"Idempotency-Key") {
        errors.push(409);
    }
    errors.sort_unstable();
    errors.dedup();
    errors
}

fn content_of(shape: Shape) -> Value {
    match shape {
        Shape::One(name) => json!({"application/json": {"schema": reference("schemas", name)}}),
        Shape::Many(name) => {
            let all = json!({"type": "array", "items": reference("schemas", name)});
            json!({"application/json": {"schema": all}})
        }
        Shape::Text => json!({"application/openmetrics-text": {"schema": {"type": "string"}}}),
    }
}

fn describe(operation: &Operation) -> Value {
    let mut answers: Map<String, Value> = Map::new();
    let own = (operation.status, operation.answer);
    for (status, shape) in [Some(own), operation.or].into_iter().flatten() {
        let done = json!({"description": "Done", "content": content_of(shape)});
        answers.insert(status.to_string(), done);
    }
    for status in errors_of(operation) {
        let known = ERRORS.iter().find(|(known, ..)| *known == status);
        if let Some((_, name, _)) = known {
            answers
                .entry(status.to_string())
                .or_insert_with(|| reference("responses", name));
        }
    }
    let mut described = json!({
        "summary": operation.summary,
        "operationId": id_of(operation),
        "tags": [tag_of(operation)],
        "security": security_of(operation.needs),
        "responses": answers,
    });
    let parameters = parameters_of(operation);
    if let Some(members) = described.as_object_mut() {
        if !parameters.is_empty() {
            members.insert("parameters".into(), Value::Array(parameters));
        }
        if let Some(name) = operation.body {
            members.insert("requestBody".into(), body_of(operation, name));
        }
    }
    described
}

fn body_of(operation: &Operation, name: &str) -> Value {
    let schema = json!({"schema": reference("schemas", name)});
    let mut content = json!({"application/json": schema});
    let other = match operation.also {
        Also::Nothing => None,
        Also::Form => Some(("application/x-www-form-urlencoded", schema)),
        Also::Lines => Some((
            "application/x-ndjson",
            json!({"schema": {"type": "string"}}),
        )),
    };
    if let (Some((kind, schema)), Some(kinds)) = (other, content.as_object_mut()) {
        kinds.insert(kind.to_owned(), schema);
    }
    json!({"required": true, "content": content})
}

fn parameters_of(operation: &Operation) -> Vec<Value> {
    let meaning = |name: &str| {
        let known = PARAMETERS.iter().find(|(known, _)| *known == name);
        known.map_or(
            "The store's id; a store's own token needs none",
            |(_, text)| *text,
        )
    };
    let one = |place: &str, name: &str, required: bool| {
        let kind = if name == "page" { "integer" } else { "string" };
        json!({"name": name, "in": place, "required": required, "description": meaning(name), "schema": {"type": kind}})
    };
    let path = operation
        .path_parameters()
        .map(|name| one("path", name, true));
    let query = operation.query.iter().map(|name| one("query", name, false));
    let headers = operation
        .headers
        .iter()
        .map(|name| one("header", name, false));
    path.chain(query).chain(headers).collect()
}

fn security_of(needs: Needs) -> Value {
    let role = match needs {
        Needs::Nobody => return json!([]),
        Needs::Signature => return json!([{"signature": []}]),
        Needs::Token => json!([]),
        Needs::Push => json!(["push"]),
        Needs::Read => json!(["read"]),
        Needs::Admin => json!(["admin"]),
        Needs::Operator => json!(["operator"]),
    };
    json!([{"augury": role}, {"hub": role}, {"bearer": role}])
}

/// `get_stores_store_mappings`: unique, and telling.
fn id_of(operation: &Operation) -> String {
    let path = operation
        .path
        .trim_start_matches("/api")
        .replace(['{', '}'], "");
    let words = path.split(['/', '.']).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    format!(
        "{}_{}",
        operation.verb.word().to_lowercase(),
        words.join("_")
    )
    .trim_end_matches('_')
    .to_owned()
}

/// What it is about: the first part of the path that is neither `api` nor a parameter, behind the store.
fn tag_of(operation: &Operation) -> &'static str {
    let path = operation.path.strip_prefix("/api/stores/{store}/");
    let path = path.unwrap_or_else(|| operation.path.trim_start_matches("/api"));
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    parts.next().unwrap_or("hub")
}
