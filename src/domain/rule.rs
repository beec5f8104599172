//! Rules: consumers that an operator writes without code.
//!
//! *For these message types, with these filters, derive a message of that type whose payload takes these parts of the original.* A rule is
//! compiled once and then a pure function of a message, as the built-in consumers are; the bounds on ancestry keep rules, consumers and
//! endpoints from going in circles, and a rule that would take its own message is refused.
//!
//! The payload is a template, an object of member names and what they take:
//!
//! ```json
//! {"order_number": {"path": "payload.order.number"},
//!  "customer.email": {"path": "payload.order.email"},
//!  "skus": {"path": "payload.order.line_items.*.sku"},
//!  "channel": {"value": "warehouse"}}
//! ```
//!
//! - A name with dots builds objects: `customer.email` is `{"customer":{"email":...}}`.
//! - A **path without a star** finds one value, which is taken as it stands in the original, byte for byte, whatever it is (a whole object as
//!   well). When it finds nothing the member is left out; an object of which all members are left out is left out too.
//! - A **path with a star** finds many values and always gives an array, in the order of the document, also of one value or none.
//! - A **value** is taken as it is.
//!
//! Paths start at the message's root like those of filters, so `message` or `source` can be taken as well. A derived message is about what
//! its own type and payload say ([`super::reference::object_of`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    filter::{CompiledFilters, Filter, Verdict},
    id::Id,
    json::{Payload, PayloadLimits},
    lookup::{Found, PathId, PathSet, RootView, Scalar},
    message::{Message, NewMessage, Source},
    message_type::{MessageType, TypePattern},
    path::{Path, Segment},
    reference::object_of,
};

/// The most message types of one rule.
pub const MAX_MESSAGES: usize = 50;

/// The most members of a template.
pub const MAX_MEMBERS: usize = 100;

/// The deepest nesting that names with dots may build.
pub const MAX_NESTING: usize = 8;

/// The longest literal, in bytes of JSON.
pub const MAX_LITERAL_BYTES: usize = 16 * 1024;

/// The longest name of a rule, in bytes.
pub const MAX_NAME_BYTES: usize = 100;

/// A rule, as the API reads and writes it and the database keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, unique in its store: the source of what it derives.
    pub name: String,
    /// The types it looks at.
    pub messages: Vec<TypePattern>,
    /// Which of them it takes.
    #[serde(default, deserialize_with = "super::json::from_json_or_string")]
    pub filters: Vec<Filter>,
    /// The type it derives.
    pub message: MessageType,
    /// What the derived payload takes, by member.
    #[serde(default)]
    pub payload: BTreeMap<String, Part>,
    /// It is in force.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// What one member takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What this path finds in the original.
    Path(Path),
    /// This.
    Value(Value),
}

/// A rule ready for use.
#[derive(Debug, Clone)]
pub struct CompiledRule {
    name: String,
    messages: Vec<TypePattern>,
    paths: PathSet,
    filters: CompiledFilters,
    kind: MessageType,
    template: Template,
    limits: PayloadLimits,
}

/// A template as a tree.
#[derive(Debug, Clone)]
enum Template {
    Object(BTreeMap<String, Template>),
    /// The raw JSON of a literal.
    Literal(String),
    /// One value or none.
    One(PathId),
    /// An array of all values.
    Each(PathId),
}

/// What a rule makes of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleOutcome {
    /// It does not look at messages of this type.
    OtherType,
    /// A filter refused it.
    Refused {
        /// Which, counted from 0.
        index: usize,
    },
    /// It derives this.
    Derived {
        /// The type.
        kind: MessageType,
        /// The payload.
        payload: Payload,
    },
    /// The payload would be too large; nothing is derived, and an event should say so.
    Failed {
        /// Why, as a sentence.
        problem: String,
    },
}

impl Rule {
    /// Checks and compiles the rule. `limits` bound what it derives.
    ///
    /// # Errors
    /// All mistakes, each `field: sentence`.
    pub fn compile(&self, limits: PayloadLimits) -> Result<CompiledRule, Vec<String>> {
        let mut errors = Vec::new();
        let name = self.name.trim();
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            errors.push(format!(
                "name: must have 1 to {MAX_NAME_BYTES} bytes in one line"
            ));
        }
        if self.messages.is_empty() || self.messages.len() > MAX_MESSAGES {
            errors.push(format!(
                "messages: must be 1 to {MAX_MESSAGES} message types"
            ));
        }
        if let Some(own) = self.messages.iter().find(|own| own.matches(&self.message)) {
            errors.push(format!(
                "message: {} is taken by the rule itself ({own}), it would derive for ever",
                self.message
            ));
        }
        let mut paths = PathSet::new();
        let filters = CompiledFilters::compile(&self.filters, &mut paths)
            .map_err(|error| errors.push(error.to_string()))
            .unwrap_or_default();
        let template = self.template(&mut paths, &mut errors);
        if errors.is_empty() {
            Ok(CompiledRule {
                name: name.to_owned(),
                messages: self.messages.clone(),
                paths,
                filters,
                kind: self.message.clone(),
                template,
                limits,
            })
        } else {
            Err(errors)
        }
    }

    fn template(&self, paths: &mut PathSet, errors: &mut Vec<String>) -> Template {
        let mut root = BTreeMap::new();
        if self.payload.len() > MAX_MEMBERS {
            errors.push(format!("payload: has more than {MAX_MEMBERS} members"));
        }
        for (name, part) in self.payload.iter().take(MAX_MEMBERS) {
            let leaf = match part {
                Part::Path(path) if path.segments().contains(&Segment::Each) => {
                    Template::Each(paths.add(path))
                }
                Part::Path(path) => Template::One(paths.add(path)),
                Part::Value(value) => Template::Literal(value.to_string()),
            };
            if let Template::Literal(raw) = &leaf
                && raw.len() > MAX_LITERAL_BYTES
            {
                errors.push(format!(
                    "payload.{name}: is longer than {MAX_LITERAL_BYTES} bytes"
                ));
            }
            if let Err(problem) = place(&mut root, name, leaf) {
                errors.push(format!("payload.{name}: {problem}"));
            }
        }
        Template::Object(root)
    }
}

/// Puts a leaf where its dotted name says.
fn place(root: &mut BTreeMap<String, Template>, name: &str, leaf: Template) -> Result<(), String> {
    let parts: Vec<&str> = name.split('.').collect();
    if parts.iter().any(|part| part.trim().is_empty()) {
        return Err("has an empty part in its name".to_owned());
    }
    if parts.len() > MAX_NESTING || name.len() > 512 {
        return Err(format!(
            "has more than {MAX_NESTING} parts in its name or is too long"
        ));
    }
    // The protocol's own member, which every payload loses when it is accepted.
    if parts.first() == Some(&"parameters") {
        return Err("is the protocol's own member".to_owned());
    }
    let Some((last, objects)) = parts.split_last() else {
        return Err("has no name".to_owned());
    };
    let clash = || "stands beside a member that is no object or has the same name".to_owned();
    let mut at = root;
    for part in objects {
        let below = at
            .entry((*part).to_owned())
            .or_insert_with(|| Template::Object(BTreeMap::new()));
        let Template::Object(members) = below else {
            return Err(clash());
        };
        at = members;
    }
    match at.insert((*last).to_owned(), leaf) {
        None => Ok(()),
        Some(_) => Err(clash()),
    }
}

impl CompiledRule {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it looks at messages of this type. Cheap: asked for every message.
    #[must_use]
    pub fn wants(&self, kind: &MessageType) -> bool {
        self.messages.iter().any(|own| own.matches(kind))
    }

    /// What the rule makes of a message, without making it: the dry run, and the heart of [`CompiledRule::derive`].
    #[must_use]
    pub fn review(&self, message: &Message, store_id: Option<Id>) -> RuleOutcome {
        if !self.wants(&message.kind) {
            return RuleOutcome::OtherType;
        }
        let id = message.id.to_string();
        let store_id = store_id.map(|id| id.to_string());
        let parent_id = message.ancestry.map(|line| line.parent_id.to_string());
        let found = self.paths.lookup(&RootView {
            message: message.kind.as_str(),
            message_id: Some(&id),
            store_id: store_id.as_deref(),
            source: Some(message.source.label()),
            parent_id: parent_id.as_deref(),
            payload: &message.payload,
        });
        if let Verdict::Refused { index } = self.filters.matches(&found) {
            return RuleOutcome::Refused { index };
        }
        let mut text = String::new();
        // The root is an object even when every member is left out.
        if !write(&self.template, &found, &mut text, self.limits.bytes) {
            text = "{}".to_owned();
        }
        match Payload::parse(&text, self.limits) {
            Ok(payload) => RuleOutcome::Derived {
                kind: self.kind.clone(),
                payload,
            },
            Err(error) => RuleOutcome::Failed {
                problem: error.to_string(),
            },
        }
    }

    /// The message that the rule derives from this one, if it does.
    ///
    /// # Errors
    /// A sentence when the payload would be too large.
    pub fn derive(
        &self,
        message: &Message,
        store_id: Option<Id>,
    ) -> Result<Option<NewMessage>, String> {
        match self.review(message, store_id) {
            RuleOutcome::OtherType | RuleOutcome::Refused { .. } => Ok(None),
            RuleOutcome::Failed { problem } => Err(problem),
            RuleOutcome::Derived { kind, payload } => Ok(Some(NewMessage {
                store: message.store,
                about: object_of(&kind, &payload),
                kind,
                payload,
                source: Source::Consumer(self.name.clone()),
                ancestry: Some(message.descend()),
                test: message.test,
                extra: None,
            })),
        }
    }
}

/// Writes a value; says whether there is one. Stops soon after `most` bytes, and never shrinks below
/// them again: the reader refuses what is longer, so nothing is derived from half a payload.
fn write(template: &Template, found: &Found<'_>, out: &mut String, most: usize) -> bool {
    match template {
        Template::Literal(raw) => out.push_str(raw),
        Template::One(path) => match found.values(*path).first() {
            Some(value) => write_scalar(value, out),
            None => return false,
        },
        Template::Each(path) => {
            out.push('[');
            for (index, value) in found.values(*path).iter().enumerate() {
                if out.len() > most {
                    break;
                }
                if index > 0 {
                    out.push(',');
                }
                write_scalar(value, out);
            }
            out.push(']');
        }
        Template::Object(members) => {
            let start = out.len();
            out.push('{');
            for (name, member) in members {
                let before = out.len();
                if before > most {
                    break;
                }
                if before > start + 1 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                if !write(member, found, out, most) {
                    out.truncate(before);
                }
            }
            if out.len() == start + 1 {
                out.truncate(start);
                return false;
            }
            out.push('}');
        }
    }
    true
}

fn write_scalar(value: &Scalar<'_>, out: &mut String) {
    match value {
        Scalar::Null => out.push_str("null"),
        Scalar::Text(text) => out.push_str(&Value::from(&**text).to_string()),
        Scalar::Bool(_) | Scalar::Number(_) | Scalar::Composite(_) => out.push_str(value.as_text()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/rule.rs"]
mod tests;
