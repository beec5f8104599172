//! Documents that a shop would push.

use serde_json::{Value, json};

/// A generic order.
pub fn order(number: &str, status: &str) -> Value {
    json!({
        "number": number, "channel": "spree", "email": "ada@example.org", "currency": "USD", "status": status,
        "totals": {"item": 45.0, "adjustment": 5.0, "tax": 0.0, "shipping": 5.0, "payment": 50.0, "order": 50.0},
        "line_items": [{"name": "Canvas Tote", "sku": "TW-TOTE", "quantity": 2, "price": 22.5}],
        "shipments": [],
    })
}
