//! Derives `order:canceled`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Consumer, ReviewError};
use crate::domain::{
    json::{Payload, PayloadLimits},
    message::{Message, NewMessage, Source},
    message_type::MessageType,
    reference::object_of,
};

/// Derives `order:canceled` with `{order, original}` from an order message whose order is canceled.
///
/// *When*: from `order:new` whose `payload.order.status` is `canceled`; from `order:updated` when it is canceled now and nothing in the
/// message says that it was before: `previous.status` is another one, or `diff.state` came from another one, or there is
/// neither (somebody pushed the bare order: better told twice than never, identifiers can drop repeats).
/// *When not*: from `order:canceled` itself (pollers send that alone for an order newly canceled); from an update of an
/// order that was canceled before; from carts.
#[derive(Debug, Clone, Copy)]
pub struct OrderCanceled;

#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    order: Option<&'a RawValue>,
    #[serde(borrow)]
    original: Option<&'a RawValue>,
    #[serde(default)]
    previous: Option<Status>,
    #[serde(default)]
    diff: Option<Diff>,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    status: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
struct Diff {
    #[serde(default)]
    state: Option<serde_json::Value>,
}

impl Consumer for OrderCanceled {
    fn name(&self) -> &'static str {
        "order_canceled"
    }

    fn wants(&self, canonical_kind: &str) -> bool {
        matches!(canonical_kind, "order:new" | "order:updated")
    }

    fn review(&self, message: &Message) -> Result<Vec<NewMessage>, ReviewError> {
        // Most orders are not canceled: look for the word before reading anything.
        if !message.payload.as_str().contains("cancel") {
            return Ok(Vec::new());
        }
        let seen: Seen<'_> = serde_json::from_str(message.payload.as_str())
            .map_err(|error| ReviewError(format!("payload: {error}")))?;
        let Some(order) = seen.order else {
            return Ok(Vec::new());
        };
        let status: Status = serde_json::from_str(order.get()).unwrap_or_default();
        if !is_canceled(status.status.as_ref()) || seen.was_canceled() {
            return Ok(Vec::new());
        }
        let mut text = format!("{{\"order\":{}", order.get());
        if let Some(original) = seen.original {
            text.push_str(",\"original\":");
            text.push_str(original.get());
        }
        text.push('}');
        let kind =
            MessageType::parse("order:canceled").map_err(|error| ReviewError(error.to_string()))?;
        let payload = Payload::parse(
            &text,
            PayloadLimits {
                bytes: usize::MAX,
                ..PayloadLimits::default()
            },
        )
        .map_err(|error| ReviewError(error.to_string()))?;
        Ok(vec![NewMessage {
            store: message.store,
            about: object_of(&kind, &payload),
            kind,
            payload,
            source: Source::Consumer(self.name().into()),
            ancestry: Some(message.descend()),
            test: message.test,
            extra: None,
        }])
    }
}

impl Seen<'_> {
    fn was_canceled(&self) -> bool {
        let before = self
            .previous
            .as_ref()
            .and_then(|previous| previous.status.as_ref());
        let from = self
            .diff
            .as_ref()
            .and_then(|diff| diff.state.as_ref())
            .and_then(|state| state.get(0));
        is_canceled(before.or(from))
    }
}

fn is_canceled(status: Option<&serde_json::Value>) -> bool {
    let word = status
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    word.eq_ignore_ascii_case("canceled") || word.eq_ignore_ascii_case("cancelled")
}
