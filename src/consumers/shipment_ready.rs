//! Derives `shipment:ready`.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Consumer, ReviewError};
use crate::domain::{
    json::{Payload, PayloadLimits},
    message::{Message, NewMessage, Source},
    message_type::MessageType,
    reference::object_of,
};

/// Derives one `shipment:ready` with `{shipment, order, original}` for each shipment in status `ready` of an order.
///
/// *When*: from `order:new` and `order:updated`, each time such a shipment is shown, as the original hub did: a warehouse that wants
/// each shipment once gives its mapping the identifier `payload.shipment.number`. The shipment is the one inside the order, with
/// `order_number`, `email` and `shipping_address` added from the order where it lacks them (the shape in WIRE E.2).
/// *When not*: the order is canceled or a cart; the shipment is in any other status.
#[derive(Debug, Clone, Copy)]
pub struct ShipmentReady;

#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    order: Option<&'a RawValue>,
    #[serde(borrow)]
    original: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Order<'a> {
    #[serde(default)]
    status: Value,
    #[serde(borrow, default)]
    number: Option<&'a RawValue>,
    #[serde(borrow, default)]
    email: Option<&'a RawValue>,
    #[serde(borrow, default)]
    shipping_address: Option<&'a RawValue>,
    #[serde(borrow, default)]
    shipments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Shipment<'a> {
    #[serde(default)]
    status: Value,
    #[serde(borrow, default)]
    order_number: Option<&'a RawValue>,
    #[serde(borrow, default)]
    email: Option<&'a RawValue>,
    #[serde(borrow, default)]
    shipping_address: Option<&'a RawValue>,
}

impl Consumer for ShipmentReady {
    fn name(&self) -> &'static str {
        "shipment_ready"
    }

    fn wants(&self, canonical_kind: &str) -> bool {
        matches!(canonical_kind, "order:new" | "order:updated")
    }

    fn review(&self, message: &Message) -> Result<Vec<NewMessage>, ReviewError> {
        let text = message.payload.as_str();
        if !text.contains("\"ready\"") {
            return Ok(Vec::new());
        }
        let broken = |error: serde_json::Error| ReviewError(format!("payload: {error}"));
        let seen: Seen<'_> = serde_json::from_str(text).map_err(broken)?;
        let Some(raw_order) = seen.order.filter(|order| order.get().starts_with('{')) else {
            return Ok(Vec::new());
        };
        let order: Order<'_> = serde_json::from_str(raw_order.get()).map_err(broken)?;
        if matches!(
            order.status.as_str(),
            Some("canceled" | "cancelled" | "cart")
        ) {
            return Ok(Vec::new());
        }
        let Some(shipments) = order.shipments.filter(|list| list.get().starts_with('[')) else {
            return Ok(Vec::new());
        };
        let shipments: Vec<&RawValue> = serde_json::from_str(shipments.get()).map_err(broken)?;
        let mut derived = Vec::new();
        for raw in shipments
            .into_iter()
            .filter(|shipment| shipment.get().starts_with('{'))
        {
            let shipment: Shipment<'_> = serde_json::from_str(raw.get()).map_err(broken)?;
            if shipment.status.as_str() == Some("ready") {
                derived.push(derive(
                    message,
                    raw,
                    &shipment,
                    raw_order,
                    &order,
                    seen.original,
                )?);
            }
        }
        Ok(derived)
    }
}

fn derive(
    message: &Message,
    raw: &RawValue,
    shipment: &Shipment<'_>,
    raw_order: &RawValue,
    order: &Order<'_>,
    original: Option<&RawValue>,
) -> Result<NewMessage, ReviewError> {
    let mut text = String::with_capacity(message.payload.len() + raw.get().len() + 64);
    text.push_str("{\"shipment\":");
    // The last brace of an object is its last byte: raw values carry no white space around them.
    text.push_str(raw.get().strip_suffix('}').unwrap_or(raw.get()));
    for (name, own, from_order) in [
        ("order_number", shipment.order_number, order.number),
        ("email", shipment.email, order.email),
        (
            "shipping_address",
            shipment.shipping_address,
            order.shipping_address,
        ),
    ] {
        if let (None, Some(value)) = (own, from_order) {
            text.push_str(&format!(",\"{name}\":{}", value.get()));
        }
    }
    text.push_str("},\"order\":");
    text.push_str(raw_order.get());
    if let Some(original) = original {
        text.push_str(",\"original\":");
        text.push_str(original.get());
    }
    text.push('}');
    let kind =
        MessageType::parse("shipment:ready").map_err(|error| ReviewError(error.to_string()))?;
    let payload = Payload::parse(
        &text,
        PayloadLimits {
            bytes: usize::MAX,
            ..PayloadLimits::default()
        },
    )
    .map_err(|error| ReviewError(error.to_string()))?;
    Ok(NewMessage {
        store: message.store,
        about: object_of(&kind, &payload),
        kind,
        payload,
        source: Source::Consumer("shipment_ready".into()),
        ancestry: Some(message.descend()),
        test: message.test,
        extra: None,
    })
}
