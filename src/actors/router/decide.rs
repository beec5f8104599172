//! Deciding about one message: what consumers derive from it, what it says to people, and who gets it. Plain functions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Map, Value};

use crate::{
    consumers::Consumer,
    db::Routed,
    domain::{
        event::{Level, NewEvent},
        id::Id,
        message::{Incoming, Message, NewMessage, Source},
        registry::Registry,
        routing::{RouteProgress, route},
        rule::CompiledRule,
        settle::cut,
    },
};

/// The longest subject of an event made of a message, in characters.
const SUBJECT_CHARS: usize = 300;
/// The longest description, in characters.
const DESCRIPTION_CHARS: usize = 10_000;

/// Decides about one message, in chunks of at most `fanout_chunk` mappings. Consumers and notifications come with the first chunk.
///
/// A message of a store that is gone reaches nobody; one that makes this code panic reaches nobody either, and an event says so.
pub fn decide(
    incoming: &Incoming,
    registry: &Registry,
    consumers: &[Box<dyn Consumer>],
    fanout_chunk: usize,
) -> Routed {
    let message = &incoming.message;
    let mut routed = Routed {
        message: message.key,
        store: message.store,
        deliveries: Vec::new(),
        skipped: Vec::new(),
        derived: Vec::new(),
        events: Vec::new(),
        progress: RouteProgress::Done,
    };
    let Some(store) = registry.stores.get(&message.store) else {
        return routed;
    };
    if incoming.routed_up_to.is_none() {
        for consumer in consumers {
            match review(consumer.as_ref(), message) {
                Ok(derived) => routed.derived.extend(derived),
                Err(reason) => {
                    let subject = format!(
                        "{} could not review {}",
                        consumer.name(),
                        message.kind.as_str()
                    );
                    routed.events.push(own_event(message, subject, reason));
                }
            }
        }
        for rule in store.compiled_rules.iter() {
            match apply(rule, message, store.store.id) {
                Ok(derived) => routed.derived.extend(derived),
                Err(reason) => {
                    let subject = format!(
                        "the rule {} could not review {}",
                        rule.name(),
                        message.kind.as_str()
                    );
                    routed.events.push(own_event(message, subject, reason));
                }
            }
        }
        routed.events.extend(notification_event(message));
    }
    // Matching is pure, so a panic leaves nothing half done behind.
    match catch_unwind(AssertUnwindSafe(|| route(incoming, store, fanout_chunk))) {
        Ok(decision) => {
            routed.deliveries = decision.deliveries;
            routed.skipped = decision.skipped;
            routed.progress = decision.progress;
        }
        Err(_) => {
            log::error!(store = message.store.0, message_id:% = message.id; "routing a message panicked; nobody gets it");
            let subject = format!("{} could not be routed", message.kind.as_str());
            routed.events.push(own_event(
                message,
                subject,
                "a defect of the hub; no mapping got it".into(),
            ));
        }
    }
    routed
}

fn review(consumer: &dyn Consumer, message: &Message) -> Result<Vec<NewMessage>, String> {
    let reviewed = catch_unwind(AssertUnwindSafe(|| {
        if consumer.wants(message.kind.canonical()) {
            consumer.review(message)
        } else {
            Ok(Vec::new())
        }
    }));
    match reviewed {
        Ok(Ok(derived)) => Ok(derived),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            log::error!(store = message.store.0, message_id:% = message.id; "consumer {} panicked", consumer.name());
            Err("a defect of the hub; the message was routed without it".into())
        }
    }
}

/// What a rule derives. Rules are pure, so a panic leaves nothing half done behind.
fn apply(rule: &CompiledRule, message: &Message, store: Id) -> Result<Option<NewMessage>, String> {
    if !rule.wants(&message.kind) {
        return Ok(None);
    }
    catch_unwind(AssertUnwindSafe(|| rule.derive(message, Some(store)))).unwrap_or_else(|_| {
        log::error!(store = message.store.0, message_id:% = message.id; "the rule {} panicked", rule.name());
        Err("a defect of the hub; the message was routed without it".into())
    })
}

fn own_event(message: &Message, subject: String, description: String) -> NewEvent {
    NewEvent {
        store: message.store,
        level: Level::Error,
        subject: cut(&subject, SUBJECT_CHARS),
        description: cut(&description, DESCRIPTION_CHARS),
        reference: message.about.primary.clone(),
        message: Some(message.key),
        delivery: None,
        origin: "integrator".into(),
        attributes: None,
        announce: None,
    }
}

/// A `notification:<level>` message from outside is an entry for people too. The hub's own ones were made of such an entry.
fn notification_event(message: &Message) -> Option<NewEvent> {
    if message.kind.noun() != "notification" || matches!(message.source, Source::Hub(_)) {
        return None;
    }
    let level = message
        .kind
        .as_str()
        .split(':')
        .nth(1)
        .and_then(Level::read)
        .unwrap_or(Level::Info);
    let mut members: Map<String, Value> =
        serde_json::from_str(message.payload.as_str()).unwrap_or_default();
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => text,
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let (subject, description) = (text("subject"), text("description"));
    let subject = if subject.trim().is_empty() {
        message.kind.as_str().to_owned()
    } else {
        subject
    };
    let attributes = (!members.is_empty()).then(|| Value::Object(members).to_string());
    Some(NewEvent {
        store: message.store,
        level,
        subject: cut(&subject, SUBJECT_CHARS),
        description: cut(&description, DESCRIPTION_CHARS),
        reference: message.about.primary.clone(),
        message: Some(message.key),
        delivery: None,
        origin: message.source.label().to_owned(),
        attributes: attributes.filter(|text| text.len() <= DESCRIPTION_CHARS),
        announce: None,
    })
}
