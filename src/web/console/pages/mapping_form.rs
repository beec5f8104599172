//! The form of a mapping, and how its fields become what the API reads.

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::{
    domain::registry::{Mapping, StoreSnapshot},
    web::{
        ApiError,
        console::{
            html::{Problems, check_box, hidden, text_area, text_field},
            people::{Fields, Person},
        },
    },
};

/// What an API error says, field by field.
pub fn problems_of(error: &ApiError) -> Problems {
    let mut problems = Problems::default();
    let document = error.document();
    for sentence in document.errors {
        let field = sentence.split([':', '.', '[']).next().unwrap_or_default();
        problems.add(field, sentence.clone());
    }
    if problems.is_empty() {
        problems.add("name", document.error);
    }
    problems
}

/// A stored mapping as the form shows it.
pub fn stored_as_fields(mapping: &Mapping) -> Fields {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let body = serde_json::to_value(mapping).unwrap_or_default();
    let lines = |value: Option<&Value>| {
        value
            .and_then(Value::as_array)
            .map(|items| items.iter().map(text).collect::<Vec<_>>().join("\n"))
            .unwrap_or_default()
    };
    let filters = body
        .get("filters")
        .and_then(Value::as_array)
        .map(|items| items.iter().map(filter_line).collect::<Vec<_>>().join("\n"))
        .unwrap_or_default();
    let identifiers = mapping
        .identifiers
        .iter()
        .map(|(name, path)| format!("{name} = {}", path.as_str()))
        .collect::<Vec<_>>()
        .join("\n");
    let options = body.get("options").cloned().unwrap_or_default();
    let option = |name: &str| {
        options
            .get(name)
            .filter(|value| !value.is_null())
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
            .unwrap_or_default()
    };
    let mut pairs: Vec<(String, String)> = vec![
        ("name".into(), mapping.name.clone()),
        ("url".into(), mapping.url.clone()),
        ("messages".into(), lines(body.get("messages"))),
        ("filters".into(), filters),
        ("identifiers".into(), identifiers),
    ];
    for name in [
        "dialect",
        "concurrency",
        "rate_per_sec",
        "timeout_secs",
        "deadline_secs",
    ] {
        pairs.push((name.into(), option(name)));
    }
    for (name, on) in [
        ("enabled", mapping.enabled),
        ("retries_allowed", mapping.options.retries_allowed),
        ("ordered", mapping.options.ordered),
        ("accept_any_body", mapping.options.accept_any_body),
    ] {
        if on {
            pairs.push((name.into(), "true".into()));
        }
    }
    pairs.extend(
        mapping
            .parameters
            .iter()
            .map(|key| ("parameters".into(), key.to_string())),
    );
    Fields(pairs)
}

/// A filter as a line: `payload.order.status eq complete`.
pub fn filter_line(filter: &Value) -> String {
    let part = |name: &str| {
        filter
            .get(name)
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
            .unwrap_or_default()
    };
    [part("path"), part("operator"), part("value")]
        .join(" ")
        .trim_end()
        .to_owned()
}

/// What a form's fields mean as a body of the API.
pub fn body_of(fields: &Fields, store: &StoreSnapshot, stored: Option<&Mapping>) -> Value {
    let lines = |name: &str| {
        fields
            .raw(name)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let messages: Vec<String> = fields
        .raw("messages")
        .split([',', '\n', ' ', '\r'])
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect();
    let kept = stored
        .and_then(|stored| serde_json::to_value(&stored.filters).ok())
        .and_then(|value| value.as_array().cloned())
        .unwrap_or_default();
    let filters: Vec<Value> = lines("filters")
        .iter()
        .map(|line| read_filter(line, &kept))
        .collect();
    let identifiers: Map<String, Value> = lines("identifiers")
        .iter()
        .map(|line| {
            line.split_once('=')
                .map_or((line.clone(), Value::from("")), |(name, path)| {
                    (name.trim().to_owned(), Value::from(path.trim()))
                })
        })
        .collect();
    let parameters: Vec<String> = fields
        .all("parameters")
        .filter_map(|key| key.parse().ok())
        .filter_map(|key| store.parameters.get(&crate::domain::key::ParameterKey(key)))
        .map(|entry| entry.id.to_string())
        .collect();
    let mut options = Map::new();
    for name in ["retries_allowed", "ordered", "accept_any_body"] {
        options.insert(name.into(), Value::from(fields.some(name).is_some()));
    }
    if let Some(dialect) = fields.some("dialect") {
        options.insert("dialect".into(), Value::from(dialect));
    }
    for name in [
        "concurrency",
        "rate_per_sec",
        "timeout_secs",
        "deadline_secs",
    ] {
        let value = fields.get(name);
        let number = serde_json::from_str::<Value>(value)
            .ok()
            .filter(Value::is_number);
        options.insert(
            name.into(),
            if value.is_empty() {
                Value::Null
            } else {
                number.unwrap_or_else(|| Value::from(value))
            },
        );
    }
    if let Some(secret) = fields.some("signing_secret") {
        options.insert("signing_secret".into(), Value::from(secret));
    }
    let mut body = json!({
        "name": fields.get("name"), "url": fields.get("url"), "messages": messages, "filters": filters, "identifiers": identifiers,
        "parameters": parameters, "options": options, "enabled": fields.some("enabled").is_some(),
    });
    // An empty field keeps a stored token: it is never shown, so it cannot be sent back.
    if let (Some(members), true) = (
        body.as_object_mut(),
        stored.is_none() || fields.some("token").is_some() || fields.some("no_token").is_some(),
    ) {
        members.insert(
            "token".into(),
            Value::from(if fields.some("no_token").is_some() {
                ""
            } else {
                fields.raw("token")
            }),
        );
    }
    body
}

/// A line as a filter. A stored filter with the same line is kept as it is, with what the line does not show.
pub fn read_filter(line: &str, kept: &[Value]) -> Value {
    if let Some(filter) = kept.iter().find(|filter| filter_line(filter) == line) {
        return filter.clone();
    }
    let mut parts = line.splitn(3, char::is_whitespace);
    let (path, operator) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    match parts
        .next()
        .map(str::trim)
        .filter(|value| !value.is_empty())
    {
        Some(value) => json!({ "path": path, "operator": operator, "value": value }),
        None => json!({ "path": path, "operator": operator }),
    }
}

/// The form; `typed` is what stands in it. `paths` are those of a recent message, offered below the filters.
pub fn form(
    person: &Person,
    store: &StoreSnapshot,
    action: &str,
    typed: &Fields,
    problems: &Problems,
    existing: bool,
    paths: &[String],
) -> Markup {
    html! {
        form method="post" action=(action) {
            (problems.summary())
            (hidden("form_token", &person.form_token))
            (text_field("name", "Name", "text", typed.get("name"), "Application and service, such as warehouse.ship", problems))
            (text_field("url", "Address", "text", typed.get("url"), "The service's whole address. Messages are posted there.", problems))
            (text_field("token", "Token", "password", typed.raw("token"), if existing { "Sent in X-Augury-Token. It is not shown; leave this empty to keep it." } else { "Sent in X-Augury-Token. Empty: none is sent." }, problems))
            @if existing { (check_box("no_token", "true", "Send no token any more", typed.some("no_token").is_some())) }
            (text_area("messages", "Messages", 3, typed.raw("messages"), "One type a line: order:new, order:*, or * for all.", problems))
            details open[!typed.get("filters").is_empty() || !typed.get("identifiers").is_empty()] {
                summary { "Filters and identifiers" }
                (text_area("filters", "Filters", 3, typed.raw("filters"), "One a line, all must hold: payload.order.totals.order gt 300. Operators: eq, neq, gt, lt, begin, contains, end, present, empty, match.", problems))
                (text_area("identifiers", "Identifiers", 2, typed.raw("identifiers"), "What makes a message unique for this mapping, one a line: order = payload.order.number", problems))
                @if !paths.is_empty() { details { summary .meta { "Paths of the newest message" } ul .mono { @for path in paths { li { (crate::web::console::html::Foreign(path)) } } } } }
            }
            @if !store.parameters.is_empty() {
                fieldset { legend { "Parameters sent along" }
                    @for entry in store.parameters.values() { (check_box("parameters", &entry.key.to_string(), &entry.value.name, typed.all("parameters").any(|key| key == entry.key.to_string()))) }
                }
            }
            details {
                summary { "Options" }
                div .field { label for="dialect" { "Dialect" } select #dialect name="dialect" { option value="1" selected[typed.get("dialect") != "2"] { "1: message, message_id, payload (2013)" } option value="2" selected[typed.get("dialect") == "2"] { "2: request_id, objects at the root" } } }
                (check_box("retries_allowed", "true", "Failures are tried again (else parked at once)", typed.some("retries_allowed").is_some()))
                (check_box("ordered", "true", "What concerns one object stays in order", typed.some("ordered").is_some()))
                (check_box("accept_any_body", "true", "A success may have a body that is no JSON", typed.some("accept_any_body").is_some()))
                (text_field("concurrency", "Requests at once, at most", "text", typed.get("concurrency"), "Empty: as the hub is configured.", problems))
                (text_field("rate_per_sec", "Requests a second, at most", "text", typed.get("rate_per_sec"), "", problems))
                (text_field("timeout_secs", "Seconds for an answer", "text", typed.get("timeout_secs"), "", problems))
                (text_field("deadline_secs", "Seconds until a failing delivery is parked", "text", typed.get("deadline_secs"), "", problems))
                (text_field("signing_secret", "Signing secret", "password", "", "Standard Webhooks. Not shown; empty keeps it.", problems))
            }
            (check_box("enabled", "true", "Enabled: takes new messages", typed.some("enabled").is_some()))
            div .actions { button .main name="action" value="save" { "Save" } button name="action" value="try" { "Which of the last 100 would match?" } }
        }
    }
}
