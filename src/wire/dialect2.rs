//! Dialect 2, the protocol of 2014 (Wombat, FlowLink): `request_id`, objects under their singular names and flat `parameters` out;
//! objects under plural names back.
//!
//! Messages are kept in the form of the first dialect, so a request translates. The rules, in this order; `noun` is the first part of the
//! message's type (`order` of `order:new`):
//!
//! 1. Members `original`, `previous` and `diff` stay behind: they are the first dialect's additions to an object.
//! 2. **The payload has the noun as an object**, or has no scalars at all: each member goes to the root under its own
//!    name, the noun first, because some applications take the first object they see.
//! 3. **A poll** (a type whose last part is `poll`, or whose first part is `get`): members go to the root as they are. With an empty payload the request is
//!    `request_id` and `parameters` alone.
//! 4. **A flat payload** (`{"sku","quantity"}` of `stock:actual`, a bare product) is the object itself, under the noun's name.
//! 5. Names: `user` goes out as `customer`, `return_authorization` as `return`, the flat payload of `stock:*` as `inventory` with `product_id`
//!    beside `sku`; not where the payload has a member of that name already.
//! 6. An object that goes to the root without an `id` gets one in front: its `number`, else `sku`, `email`, `token`, `<noun>_number`. A
//!    shipment, payment or return with `order_number` and no `order_id` gets that too. Nothing inside an object is touched.
//! 7. Root members `request_id` and `parameters` are the protocol's; payload members of these names stay behind.
//!
//! Parameters lose the integration's prefix (`acme.api_key` is `api_key`) and keep their values as they are configured: an
//! application that wants `"1"` for true has a parameter of type string.

mod plural;

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

pub use plural::singular;

use super::dialect1::{Members, RESULT_BYTES, bounded_member, json_text, shown, start_of, text_of};
use crate::domain::{
    delivery::Delivery,
    id::Id,
    json::{Payload, PayloadLimits},
    message_type::MessageType,
    parameter::ReturnedParameter,
    registry::Parameter,
    settle::{Body, ReturnedObject, ServiceAnswer},
    signup::short_name,
};

/// Most objects taken from one answer or push.
pub const MAX_OBJECTS: usize = 10_000;

/// Most parameters taken from one answer.
const MAX_PARAMETERS: usize = 1_000;

/// The longest id of an object, in bytes.
pub const MAX_ID_BYTES: usize = 255;

/// What the first dialect puts beside an object and this one has no place for.
const LEFT_BEHIND: [&str; 5] = ["original", "previous", "diff", "request_id", "parameters"];

/// Objects that have another name here.
const RENAMED: [(&str, &str); 2] = [("user", "customer"), ("return_authorization", "return")];

/// What an object is named by when it has no `id`.
const NAMED_BY: [&str; 4] = ["number", "sku", "email", "token"];

/// Headers of a request besides `Content-Type` and `User-Agent`, which both dialects share. An empty token sends no
/// token header: applications without a key refuse a request that has one (WIRE B.7). The first builds of this dialect still read
/// `X-Augury-Token`.
#[must_use]
pub fn headers(token: &str, store_id: Id) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("Accept", "application/json".to_owned()),
        ("X-Hub-Store", store_id.to_string()),
    ];
    if !token.is_empty() {
        headers.push(("X-Hub-Token", token.to_owned()));
        headers.push(("X-Augury-Token", token.to_owned()));
    }
    headers
}

/// The body of a service request: see the rules above. `parameters` is what [`parameter_object`] gives.
#[must_use]
pub fn request_body(delivery: &Delivery, parameters: &str) -> Bytes {
    let message = &delivery.message;
    let id = delivery.id.to_string();
    body_of(&id, &message.kind, &message.payload, parameters)
}

/// The body with a literal id and parameters, for samples and tests of mappings.
#[must_use]
pub fn body_of(request_id: &str, kind: &MessageType, payload: &Payload, parameters: &str) -> Bytes {
    let mut root = Root::new(request_id, payload.len());
    write_objects(&mut root, kind, payload);
    root.member("parameters", parameters);
    root.end()
}

/// The objects of a request: members of its root that are objects with an id. Whatever cannot be read is none.
#[must_use]
pub fn objects_of(body: &[u8]) -> Vec<ReturnedObject> {
    let Ok(members) = serde_json::from_slice::<Members<'_>>(body) else {
        return Vec::new();
    };
    once(&members)
        .into_iter()
        .filter(|(name, _)| *name != "parameters")
        .filter_map(|(name, value)| read_object(name, value).ok())
        .collect()
}

/// The body as it grows.
struct Root(Vec<u8>);

impl Root {
    fn new(request_id: &str, size: usize) -> Self {
        let mut body = Vec::with_capacity(size + 256);
        body.extend_from_slice(b"{\"request_id\":");
        body.extend_from_slice(json_text(request_id).as_bytes());
        Self(body)
    }

    fn member(&mut self, name: &str, raw: &str) {
        self.0.push(b',');
        self.0.extend_from_slice(json_text(name).as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(raw.as_bytes());
    }

    fn end(mut self) -> Bytes {
        self.0.push(b'}');
        self.0.into()
    }
}

fn write_objects(root: &mut Root, kind: &MessageType, payload: &Payload) {
    // A stored payload is an object; anything else has no members.
    let members: Members<'_> =
        serde_json::from_str(payload.as_str()).unwrap_or(Members(Vec::new()));
    let noun = kind.noun();
    let kept: Vec<(&str, &RawValue)> = once(&members)
        .into_iter()
        .filter(|(name, _)| !LEFT_BEHIND.contains(name))
        .collect();
    let has = |name: &str| kept.iter().any(|(own, _)| *own == name);
    let has_noun = kept
        .iter()
        .any(|(name, value)| *name == noun && is_object(value));
    let has_scalars = kept.iter().any(|(_, value)| !is_nested(value));
    if !has_noun && has_scalars && !is_poll(kind) {
        let name = match renamed(noun) {
            "stock" => "inventory",
            name => name,
        };
        let text = object_text(&kept);
        let extra = (name == "inventory")
            .then_some(("product_id", "sku"))
            .filter(|(name, _)| !has(name));
        return root.member(name, &named(&text, noun, extra));
    }
    // The noun first, the rest in its order.
    let (first, rest): (Vec<_>, Vec<_>) = kept.iter().copied().partition(|(name, _)| *name == noun);
    for (name, value) in first.into_iter().chain(rest) {
        let target = match renamed(name) {
            other if other != name && has(other) => name,
            other => other,
        };
        if is_object(value) {
            root.member(target, &named(value.get(), name, None));
        } else {
            root.member(target, value.get());
        }
    }
}

/// Members by name, each once with its last value.
fn once<'m>(members: &'m Members<'_>) -> Vec<(&'m str, &'m RawValue)> {
    let mut seen: Vec<(&str, &RawValue)> = Vec::new();
    for (name, value) in &members.0 {
        match seen.iter_mut().find(|(own, _)| own == name) {
            Some(own) => own.1 = value,
            None => seen.push((name, value)),
        }
    }
    seen
}

fn renamed(name: &str) -> &str {
    RENAMED
        .iter()
        .find(|(own, _)| *own == name)
        .map_or(name, |(_, other)| other)
}

fn is_poll(kind: &MessageType) -> bool {
    let text = kind.canonical();
    text.ends_with(":poll") || text.starts_with("get:") || text.starts_with("get_")
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

fn is_nested(raw: &RawValue) -> bool {
    raw.get().starts_with(['{', '['])
}

fn object_text(members: &[(&str, &RawValue)]) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&json_text(name));
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    text
}

/// An object with the members in front that this dialect needs and it lacks: `id`, `order_id`, and `extra` (a name, and the member
/// whose value it takes). Everything else byte for byte.
fn named<'a>(raw: &'a str, noun: &str, extra: Option<(&str, &str)>) -> Cow<'a, str> {
    let Ok(members) = serde_json::from_str::<Members<'_>>(raw) else {
        return Cow::Borrowed(raw);
    };
    let scalar = |name: &str| {
        members
            .get(name)
            .filter(|value| !is_nested(value) && !matches!(value.get(), "null" | "\"\""))
    };
    let mut added = String::new();
    let mut add = |name: &str, value: &RawValue| {
        added.push_str(&format!("{}:{},", json_text(name), value.get()));
    };
    if members.get("id").is_none_or(|value| value.get() == "null") {
        let own_number = format!("{noun}_number");
        let id = NAMED_BY
            .iter()
            .copied()
            .chain([own_number.as_str()])
            .find_map(scalar);
        if let Some(value) = id {
            add("id", value);
        }
    }
    if noun != "order"
        && members.get("order_id").is_none()
        && let Some(value) = scalar("order_number")
    {
        add("order_id", value);
    }
    if let Some(value) = extra.and_then(|(_, from)| scalar(from)) {
        add(extra.map_or("", |(name, _)| name), value);
    }
    if added.is_empty() {
        return Cow::Borrowed(raw);
    }
    let inner = raw.get(1..).unwrap_or("}");
    if inner.trim_start().starts_with('}') {
        added.pop();
    }
    Cow::Owned(format!("{{{added}{inner}"))
}

/// The parameters of a mapping as JSON: `{"api_key":"k",...}`. `integration` is the prefix that they lose, the part of the mapping's name
/// before the dot. A name that was stored with the prefix wins over the same name without.
#[must_use]
pub fn parameter_object<'a>(
    integration: &str,
    parameters: impl Iterator<Item = &'a Parameter>,
) -> String {
    let mut object = serde_json::Map::new();
    let mut prefixed = Vec::new();
    for parameter in parameters {
        let short = short_name(integration, &parameter.name);
        if short == parameter.name {
            object
                .entry(short)
                .or_insert_with(|| parameter.value.clone());
        } else {
            prefixed.push((short.to_owned(), parameter.value.clone()));
        }
    }
    object.extend(prefixed);
    serde_json::Value::Object(object).to_string()
}

/// Reads the body of an answer of any status.
#[must_use]
pub fn read_answer(body: &[u8]) -> ServiceAnswer {
    let mut answer = ServiceAnswer::default();
    if body.iter().all(u8::is_ascii_whitespace) {
        return answer;
    }
    let text = match std::str::from_utf8(body) {
        Ok(text) => text.trim_start_matches('\u{feff}'),
        Err(_) => {
            answer.body = Body::Other(start_of(&String::from_utf8_lossy(body)));
            return answer;
        }
    };
    match serde_json::from_str::<Members<'_>>(text) {
        Ok(members) => {
            answer.body = Body::Json;
            read_members(&mut answer, &members);
        }
        Err(_) if serde_json::from_str::<serde_json::Value>(text).is_ok() => {
            answer.body = Body::Json;
            answer.result = Some(bounded_member("answer", text.trim()));
        }
        Err(_) => answer.body = Body::Other(start_of(text)),
    }
    answer
}

fn read_members(answer: &mut ServiceAnswer, members: &Members<'_>) {
    let mut known = vec!["request_id", "summary", "parameters"];
    answer.summary = members
        .get("summary")
        .or_else(|| members.get("error"))
        .map(shown)
        .filter(|summary| !summary.is_empty());
    if let Some(raw) = members.get("parameters") {
        read_parameters(answer, raw);
    }
    for (name, value) in once(members) {
        if known.contains(&name) || !value.get().starts_with('[') {
            continue;
        }
        let before = answer.objects.len();
        read_objects(name, value, &mut answer.objects, &mut answer.complaints);
        if answer.objects.len() > before {
            known.push(name);
        }
    }
    // The summary stands in the result as well, for people, and beside it everything that is no object.
    known.retain(|name| *name != "summary");
    answer.result = members.others(&known).map(|object| {
        if object.len() > RESULT_BYTES {
            bounded_member("answer", &object)
        } else {
            object
        }
    });
}

fn read_parameters(answer: &mut ServiceAnswer, raw: &RawValue) {
    let complain = |answer: &mut ServiceAnswer, sentence: &str| {
        answer.complaints.push(format!("parameters: {sentence}"));
    };
    match serde_json::from_str::<serde_json::Value>(raw.get()) {
        Ok(serde_json::Value::Object(object)) => {
            if object.len() > MAX_PARAMETERS {
                complain(answer, "too many, the first 1000 were taken");
            }
            for (name, value) in object.into_iter().take(MAX_PARAMETERS) {
                if name.trim().is_empty() {
                    complain(answer, "a name is empty");
                } else {
                    answer.parameters.push(ReturnedParameter { name, value });
                }
            }
        }
        // Some applications moved over half-way and still return the first dialect's array.
        Ok(serde_json::Value::Array(items)) => {
            for item in items.into_iter().take(MAX_PARAMETERS) {
                match serde_json::from_value::<ReturnedParameter>(item) {
                    Ok(parameter) if !parameter.name.trim().is_empty() => {
                        answer.parameters.push(parameter);
                    }
                    _ => complain(answer, "expected an object with name and value"),
                }
            }
        }
        Ok(serde_json::Value::Null) => {}
        _ => complain(answer, "expected an object"),
    }
}

/// Reads an array of objects with ids under the (plural) `name`. An array in which no object has an id, such as a backtrace, is
/// none and gives nothing; of one in which some have, those without are told.
pub(super) fn read_objects(
    name: &str,
    raw: &RawValue,
    objects: &mut Vec<ReturnedObject>,
    complaints: &mut Vec<String>,
) {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return;
    };
    let kind = singular(name);
    let mut problems = Vec::new();
    let mut found = 0;
    for (index, item) in items.into_iter().enumerate() {
        if objects.len() >= MAX_OBJECTS {
            problems.push(format!(
                "{name}: more than {MAX_OBJECTS} objects, the rest was left out"
            ));
            break;
        }
        match read_object(&kind, item) {
            Ok(object) => {
                found += 1;
                objects.push(object);
            }
            Err(problem) => problems.push(format!("{name}[{index}]: {problem}")),
        }
    }
    if found > 0 {
        complaints.extend(problems.into_iter().take(20));
    }
}

/// Reads one object with its id.
pub(super) fn read_object(kind: &str, raw: &RawValue) -> Result<ReturnedObject, String> {
    if !is_object(raw) {
        return Err("must be an object".to_owned());
    }
    let members: Members<'_> =
        serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let id = members
        .get("id")
        .filter(|id| {
            id.get()
                .starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
        })
        .and_then(text_of)
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
        .ok_or("id: is missing")?;
    if id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
        return Err(format!(
            "id: must be at most {MAX_ID_BYTES} bytes without control characters"
        ));
    }
    // The one reader that everything behind it uses; only its verdict is wanted here.
    Payload::parse_raw(raw, PayloadLimits::default()).map_err(|error| error.to_string())?;
    Ok(ReturnedObject {
        kind: kind.to_owned(),
        id,
        raw: raw.get().to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/dialect2.rs"]
mod tests;
