//! A shop with customers: orders that are placed, changed, made ready, and sometimes canceled.

use std::collections::VecDeque;

use serde_json::{Value, json};

/// What happens to an order next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Place,
    Pack,
    Change,
    Cancel,
}

/// The shop. Its days are all alike: the same orders come in the same sequence, so that a demo can be repeated.
#[derive(Debug)]
pub struct Shop {
    next_number: u64,
    agenda: VecDeque<(u64, Step)>,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            next_number: 1001,
            agenda: VecDeque::new(),
        }
    }
}

const CUSTOMERS: [&str; 5] = ["ada", "grace", "edsger", "barbara", "tony"];
const GOODS: [(&str, &str, f64); 4] = [
    ("TW-TOTE", "Canvas Tote", 22.5),
    ("TW-MUG", "Harbor Mug", 14.0),
    ("TW-TEE", "Harbor Tee", 32.5),
    ("TW-LAMP", "Storm Lamp", 129.0),
];

impl Shop {
    /// The messages of the next moment: a new order every other time, and something happening to an older one.
    pub fn step(&mut self) -> Vec<String> {
        if self.agenda.len() < 6 {
            let number = self.next_number;
            self.next_number += 1;
            self.agenda.push_back((number, Step::Place));
            self.agenda.push_back((
                number,
                if number.is_multiple_of(7) {
                    Step::Cancel
                } else {
                    Step::Pack
                },
            ));
            if number.is_multiple_of(3) {
                self.agenda.push_back((number, Step::Change));
            }
        }
        self.agenda
            .pop_front()
            .map(|(number, step)| message(number, step).to_string())
            .into_iter()
            .collect()
    }
}

fn message(number: u64, step: Step) -> Value {
    let before = order(number, Step::Place);
    match step {
        Step::Place => json!({"message": "order:new", "payload": {"order": before}}),
        Step::Pack | Step::Change | Step::Cancel => {
            json!({"message": "order:updated", "payload": {"order": order(number, step), "previous": before}})
        }
    }
}

fn order(number: u64, step: Step) -> Value {
    let pick = |count: usize, salt: u64| {
        usize::try_from((number * 2_654_435_761 + salt) >> 3).unwrap_or(0) % count
    };
    let (sku, name, price) = GOODS[pick(GOODS.len(), 5)];
    let customer = CUSTOMERS[pick(CUSTOMERS.len(), 11)];
    let quantity = 1 + pick(3, 17);
    let item_total = price * f64::from(u8::try_from(quantity).unwrap_or(1));
    let status = if matches!(step, Step::Cancel) {
        "canceled"
    } else {
        "complete"
    };
    let shipment = match step {
        Step::Place => "pending",
        Step::Pack | Step::Change => "ready",
        Step::Cancel => "canceled",
    };
    json!({
        "number": format!("R{number}"), "channel": "spree", "email": format!("{customer}@example.org"), "currency": "USD",
        "status": status,
        "totals": {"item": item_total, "adjustment": 5.0, "tax": 0.0, "shipping": 5.0, "payment": item_total + 5.0, "order": item_total + 5.0},
        "line_items": [{"name": name, "sku": sku, "external_ref": "", "quantity": quantity, "price": price, "variant_id": 300 + number % 9, "options": {}}],
        "adjustments": [{"name": "Shipping", "value": 5.0}],
        "shipping_address": {"firstname": customer, "lastname": "Marsh", "address1": "4 Quay Road", "address2": "", "zipcode": "21601",
            "city": "Easton", "state": "Maryland", "country": "US", "phone": "301-555-0142"},
        "payments": [{"number": number, "status": "completed", "amount": item_total + 5.0, "payment_method": "Credit Card"}],
        "shipments": [{"number": format!("H{number}"), "cost": 5.0, "status": shipment, "shipping_method": "UPS Ground", "tracking": null,
            "items": [{"name": name, "sku": sku, "quantity": quantity, "price": price}]}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_placed_before_anything_happens_to_them() {
        let mut shop = Shop::default();
        let mut placed = Vec::new();
        for text in (0..200).flat_map(|_| shop.step()) {
            let message: Value = serde_json::from_str(&text).unwrap();
            let number = message["payload"]["order"]["number"]
                .as_str()
                .unwrap()
                .to_owned();
            match message["message"].as_str().unwrap() {
                "order:new" => placed.push(number),
                _ => assert!(placed.contains(&number), "{number}"),
            }
        }
        assert!(placed.len() > 50);
    }

    #[test]
    fn some_orders_are_canceled_and_some_are_dear() {
        let orders: Vec<Value> = (1001..1101)
            .map(|number| {
                order(
                    number,
                    if number.is_multiple_of(7) {
                        Step::Cancel
                    } else {
                        Step::Pack
                    },
                )
            })
            .collect();
        assert!(orders.iter().any(|order| order["status"] == "canceled"));
        assert!(
            orders
                .iter()
                .any(|order| order["totals"]["order"].as_f64() > Some(300.0))
        );
    }
}
