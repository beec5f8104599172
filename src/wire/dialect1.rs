//! Dialect 1, the protocol of 2013: `message`, `message_id` and `payload` out; an object of known members back.
//!
//! What an endpoint answers is judged by its bytes, never by its content type: real endpoints say `text/html` over JSON and
//! JSON over HTML. Reading is lenient member by member: what can be read is kept, and each thing that cannot is told in a
//! sentence ([`ServiceAnswer::complaints`]), so that one odd notification loses no message.

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use url::Url;

use crate::domain::{
    delivery::Delivery,
    event::Level,
    id::Id,
    json::{Payload, PayloadLimits},
    mask,
    message_type::MessageType,
    parameter::ReturnedParameter,
    reference::{About, ObjectRef, object_of},
    registry::Parameter,
    settle::{AskAgain, BODY_BYTES, Body, Notification, ReturnedMessage, ServiceAnswer, cut},
};

/// Root members that a message's further members may not replace.
pub const RESERVED: [&str; 9] = [
    "message",
    "message_id",
    "payload",
    "store_id",
    "source",
    "origin",
    "reference_type",
    "reference_token",
    "idempotency_key",
];

/// Most messages taken from one answer; more of them fail the attempt, so that none is lost.
pub const MAX_MESSAGES: usize = 1_000;

/// Most notifications taken from one answer; the rest is told in one sentence.
const MAX_NOTIFICATIONS: usize = 100;

/// How much of an answer's further members is kept, in bytes of JSON.
pub(super) const RESULT_BYTES: usize = 64 * 1024;

/// How much of a body that is no JSON is handed on, in bytes: enough that its secrets are covered before it is cut to what is kept.
const TEXT_BYTES: usize = BODY_BYTES + mask::LONGEST + 1;

/// The longest subject of a notification, in characters; what is longer goes on in the description.
const SUBJECT_CHARS: usize = 300;

/// The longest description, in characters.
const DESCRIPTION_CHARS: usize = 10_000;

/// The body of a service request: the message as it was accepted, with the mapping's parameters inside its payload.
///
/// Shape (WIRE B.1): `{"message","message_id","store_id","source",...,"payload":{...,"parameters":[{"name","value"}]}}`. The payload's
/// own members are copied byte for byte, nothing is parsed. `parameters` is what [`parameter_array`] gives.
#[must_use]
pub fn request_body(delivery: &Delivery, store_id: Id, parameters: &str) -> Bytes {
    let message = &delivery.message;
    let mut body = Vec::with_capacity(message.payload.len() + parameters.len() + 192);
    body.extend_from_slice(b"{\"message\":\"");
    // A message type holds letters, digits and `:_-.` only, so it needs no escaping; nor do ids.
    body.extend_from_slice(message.kind.as_str().as_bytes());
    body.extend_from_slice(b"\",\"message_id\":\"");
    write_id(&mut body, delivery.id);
    body.extend_from_slice(b"\",\"store_id\":\"");
    write_id(&mut body, store_id);
    body.extend_from_slice(b"\",\"source\":");
    body.extend_from_slice(json_text(message.source.label()).as_bytes());
    if let Some(inner) = message.extra.as_deref().and_then(members_of) {
        body.push(b',');
        body.extend_from_slice(inner.as_bytes());
    }
    body.extend_from_slice(b",\"payload\":");
    message.payload.write_with_parameters(&mut body, parameters);
    body.push(b'}');
    body.into()
}

fn write_id(body: &mut Vec<u8>, id: Id) {
    body.extend_from_slice(id.to_string().as_bytes());
}

pub(super) fn json_text(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// What stands between the braces of a raw object, if anything.
fn members_of(object: &str) -> Option<&str> {
    let inner = object.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    (!inner.is_empty()).then_some(inner)
}

/// The parameters of a mapping as JSON: `[{"name","value"}]`.
#[must_use]
pub fn parameter_array<'a>(parameters: impl Iterator<Item = &'a Parameter>) -> String {
    let mut array = String::from("[");
    for parameter in parameters {
        if array.len() > 1 {
            array.push(',');
        }
        array.push_str("{\"name\":");
        array.push_str(&json_text(&parameter.name));
        array.push_str(",\"value\":");
        array.push_str(&parameter.value.to_string());
        array.push('}');
    }
    array.push(']');
    array
}

/// Reads the body of an answer of any status. `asked` is the address that was posted to: a relative `update_url` is
/// resolved against it (RFC 3986, 5.2).
#[must_use]
pub fn read_answer(body: &[u8], asked: &Url) -> ServiceAnswer {
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
            Reader {
                answer: &mut answer,
                asked,
            }
            .read(members);
        }
        // JSON, but no object: `"ok"`, `[]`, `true`. A success all the same; kept as the result.
        Err(_) if serde_json::from_str::<serde_json::Value>(text).is_ok() => {
            answer.body = Body::Json;
            answer.result = Some(bounded_member("answer", text.trim()));
        }
        Err(_) => answer.body = Body::Other(start_of(text)),
    }
    answer
}

/// The beginning of a body that is no JSON.
pub(super) fn start_of(text: &str) -> String {
    mask::beginning(text, TEXT_BYTES).to_owned()
}

/// An object's members in order, values unread.
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    members.push((name.0, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A member's name, borrowed where the source needs no unescaping.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .rev()
            .find(|(own, _)| own == name)
            .map(|(_, value)| *value)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(text_of)
    }

    /// The members not in `known` as a raw object; `None` when there are none.
    pub(super) fn others(&self, known: &[&str]) -> Option<String> {
        let mut object = String::new();
        for (name, value) in &self.0 {
            if known.contains(&name.as_ref()) {
                continue;
            }
            object.push(if object.is_empty() { '{' } else { ',' });
            object.push_str(&json_text(name));
            object.push(':');
            object.push_str(value.get());
        }
        (!object.is_empty()).then(|| object + "}")
    }
}

/// A text, or the text of a number or boolean; nothing for null and nested values.
pub(super) fn text_of(raw: &RawValue) -> Option<String> {
    match serde_json::from_str(raw.get()).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Any value as text for people: texts as they are, the rest as JSON, null as nothing.
pub(super) fn shown(raw: &RawValue) -> String {
    match raw.get() {
        "null" => String::new(),
        json => text_of(raw).unwrap_or_else(|| json.to_owned()),
    }
}

/// `{name: raw}` if that is small enough, else `{name: "cut, N bytes"}`.
pub(super) fn bounded_member(name: &str, raw: &str) -> String {
    if raw.len() > RESULT_BYTES {
        format!("{{{}:\"left out, {} bytes\"}}", json_text(name), raw.len())
    } else {
        format!("{{{}:{raw}}}", json_text(name))
    }
}

struct Reader<'r> {
    answer: &'r mut ServiceAnswer,
    asked: &'r Url,
}

impl Reader<'_> {
    fn read(&mut self, members: Members<'_>) {
        let inline = members.get("payload").is_some() && members.get("message").is_some();
        if let Some(raw) = members.get("messages") {
            self.each(raw, "messages", MAX_MESSAGES, Self::read_message);
        }
        if inline
            && let Some(object) = members.others(&[
                "messages",
                "notifications",
                "parameters",
                "delay",
                "update_url",
            ])
        {
            match RawValue::from_string(object) {
                Ok(raw) => self.read_message("message", &raw),
                Err(error) => self.complain(format!("message: {error}")),
            }
        }
        if let Some(raw) = members.get("notifications") {
            self.each(
                raw,
                "notifications",
                MAX_NOTIFICATIONS,
                Self::read_notification,
            );
        }
        if let Some(raw) = members.get("parameters") {
            self.each(raw, "parameters", MAX_MESSAGES, Self::read_parameter);
        }
        self.read_ask_again(&members);
        self.answer.summary = ["error", "summary", "text", "exception"]
            .iter()
            .find_map(|name| members.text(name));
        let mut known = vec!["message_id", "messages", "notifications", "parameters"];
        if self.answer.ask_again.is_some() {
            known.extend(["delay", "update_url"]);
        }
        if inline {
            known.extend(["message", "payload"]);
        }
        self.answer.result = members.others(&known).map(|object| {
            if object.len() > RESULT_BYTES {
                bounded_member("answer", &object)
            } else {
                object
            }
        });
    }

    fn complain(&mut self, sentence: String) {
        self.answer.complaints.push(cut(&sentence, 1_000));
    }

    /// Reads an array item by item; a single object counts as an array of one, null as none.
    fn each(
        &mut self,
        raw: &RawValue,
        name: &str,
        most: usize,
        read: fn(&mut Self, &str, &RawValue),
    ) {
        match raw.get().as_bytes().first() {
            Some(b'n') => {}
            Some(b'{') => read(self, name, raw),
            Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
                Ok(items) => {
                    if items.len() > most {
                        self.complain(format!(
                            "{name}: {} items, the first {most} were taken",
                            items.len()
                        ));
                    }
                    for (index, item) in items.into_iter().take(most).enumerate() {
                        read(self, &format!("{name}[{index}]"), item);
                    }
                }
                Err(error) => self.complain(format!("{name}: {error}")),
            },
            _ => self.complain(format!("{name}: expected an array")),
        }
    }

    fn read_message(&mut self, place: &str, raw: &RawValue) {
        match message_of(raw) {
            Ok(message) => self.answer.messages.push(message),
            Err(reason) => self.complain(format!("{place}: {reason}")),
        }
    }

    fn read_notification(&mut self, place: &str, raw: &RawValue) {
        let Ok(members) = serde_json::from_str::<Members<'_>>(raw.get()) else {
            // Some endpoints send bare texts.
            match text_of(raw) {
                Some(text) => self.answer.notifications.push(notification(
                    Level::Info,
                    &text,
                    String::new(),
                    None,
                    None,
                )),
                None => self.complain(format!(
                    "{place}: expected an object with level, subject and description"
                )),
            }
            return;
        };
        let level = members.text("level").map_or(Level::Info, |word| {
            Level::read(&word).unwrap_or(Level::Warn)
        });
        let subject = members.get("subject").map(shown).unwrap_or_default();
        let description = members.get("description").map(shown).unwrap_or_default();
        let reference = members
            .text("reference_type")
            .zip(members.text("reference_token"))
            .and_then(|(kind, token)| ObjectRef::new(&kind, &token).ok());
        let attributes = members
            .others(&[
                "level",
                "subject",
                "description",
                "reference_type",
                "reference_token",
            ])
            .map(|object| {
                if object.len() > RESULT_BYTES {
                    bounded_member("attributes", &object)
                } else {
                    object
                }
            });
        self.answer.notifications.push(notification(
            level,
            &subject,
            description,
            reference,
            attributes,
        ));
    }

    fn read_parameter(&mut self, place: &str, raw: &RawValue) {
        match serde_json::from_str::<ReturnedParameter>(raw.get()) {
            Ok(parameter) if parameter.name.trim().is_empty() => {
                self.complain(format!("{place}: name: is empty"))
            }
            Ok(parameter) => self.answer.parameters.push(parameter),
            Err(_) => self.complain(format!("{place}: expected an object with name and value")),
        }
    }

    fn read_ask_again(&mut self, members: &Members<'_>) {
        let delay = members
            .text("delay")
            .and_then(|text| text.trim().parse::<f64>().ok());
        let address = members
            .text("update_url")
            .filter(|text| !text.trim().is_empty());
        if delay.is_none() && address.is_none() {
            return;
        }
        let update_url = match address.map(|address| self.asked.join(address.trim())) {
            None => None,
            Some(Ok(url)) => Some(url.to_string()),
            Some(Err(error)) => {
                self.complain(format!(
                    "update_url: {error}; the same address is asked again"
                ));
                None
            }
        };
        let delay_secs = delay.unwrap_or(0.0).clamp(0.0, 30.0 * 86_400.0);
        self.answer.ask_again = Some(AskAgain {
            delay: Duration::from_secs_f64(delay_secs),
            update_url,
        });
    }
}

fn notification(
    level: Level,
    subject: &str,
    mut description: String,
    reference: Option<ObjectRef>,
    attributes: Option<String>,
) -> Notification {
    let mut line = subject.trim().to_owned();
    if line.chars().count() > SUBJECT_CHARS {
        description = if description.is_empty() {
            line.clone()
        } else {
            format!("{line}\n{description}")
        };
        line = cut(&line, SUBJECT_CHARS);
    }
    Notification {
        level,
        subject: line,
        description: cut(&description, DESCRIPTION_CHARS),
        reference,
        attributes,
    }
}

/// Reads `{message, payload, ...extra}`.
fn message_of(raw: &RawValue) -> Result<ReturnedMessage, String> {
    let members: Members<'_> = serde_json::from_str(raw.get())
        .map_err(|_| "expected an object with message and payload".to_owned())?;
    let kind = members.text("message").ok_or("message: is missing")?;
    let kind = MessageType::parse(&kind).map_err(|error| format!("message: {error}"))?;
    let payload = match members.get("payload") {
        Some(raw) => {
            Payload::parse_raw(raw, PayloadLimits::default()).map_err(|error| error.to_string())?
        }
        None => Payload::empty(),
    };
    let about = match (
        members.text("reference_type"),
        members.text("reference_token"),
    ) {
        (Some(kind), Some(token)) => {
            About::given(&kind, &token).map_err(|error| error.to_string())?
        }
        _ => object_of(&kind, &payload),
    };
    Ok(ReturnedMessage {
        kind,
        payload,
        about,
        extra: members.others(&RESERVED),
    })
}

#[cfg(test)]
#[path = "tests/dialect1.rs"]
mod tests;
