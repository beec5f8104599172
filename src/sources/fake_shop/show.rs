//! How each version writes its documents.

use serde_json::{Value, json};

use super::{
    Flavor,
    stock::{Article, Customer, Oddity, Sale, Stock},
};

fn money(cents: i64) -> String {
    let text = format!("{}.{:02}", cents / 100, cents % 100);
    // Decimal columns lose their last zero in JSON.
    text.strip_suffix('0').map_or(text.clone(), str::to_owned)
}

const SHIPPING_CENTS: i64 = 500;

fn total(sale: &Sale) -> i64 {
    sale.item_cents + SHIPPING_CENTS
}

fn paid(sale: &Sale) -> i64 {
    if sale.payment_state == "paid" {
        total(sale)
    } else {
        0
    }
}

/// A list's row.
pub(super) fn row(stock: &Stock, flavor: Flavor, sale: &Sale) -> Value {
    let mut row = match flavor {
        Flavor::PlatformV2 => return resource(stock, sale),
        Flavor::AdminV3 => admin(stock, sale),
        Flavor::Connector | Flavor::OldConnector => document(stock, flavor, sale),
        _ => top_level(stock, flavor, sale),
    };
    spoil(&mut row, sale.oddity);
    row
}

fn spoil(row: &mut Value, oddity: Oddity) {
    match oddity {
        Oddity::None => {}
        Oddity::NoNumber => {
            row.as_object_mut().map(|row| row.remove("number"));
        }
        Oddity::NoTime => {
            if let Some(at) = row.get_mut("updated_at") {
                *at = json!("yesterday");
            }
        }
        Oddity::NotAnObject => *row = json!("an order"),
        Oddity::WrongTypes => {
            if let Some(row) = row.as_object_mut() {
                for member in ["total", "email", "special_instructions"] {
                    row.insert(member.to_owned(), json!([{"odd": true}]));
                }
                for member in [
                    "line_items",
                    "shipments",
                    "payments",
                    "ship_address",
                    "items",
                ] {
                    row.insert(member.to_owned(), json!("odd"));
                }
            }
        }
    }
}

fn top_level(stock: &Stock, flavor: Flavor, sale: &Sale) -> Value {
    let time = |at| stock.text(at);
    let mut row = json!({
        "id": sale.id,
        "number": sale.number,
        "item_total": money(sale.item_cents),
        "total": money(total(sale)),
        "state": sale.state,
        "adjustment_total": money(SHIPPING_CENTS),
        "user_id": sale.id % 1000,
        "created_at": time(sale.created_at),
        "updated_at": time(sale.updated_at),
        "completed_at": sale.completed_at.map(time),
        "payment_total": money(paid(sale)),
        "shipment_state": sale.shipment_state,
        "payment_state": sale.payment_state,
        "email": sale.email,
        "special_instructions": sale.note,
        "channel": "spree",
    });
    if let (true, Some(row)) = (flavor != Flavor::Spree13, row.as_object_mut()) {
        row.insert("currency".to_owned(), json!("USD"));
        row.insert("ship_total".to_owned(), json!(money(SHIPPING_CENTS)));
        if flavor == Flavor::Solidus {
            row.insert("covered_by_store_credit".to_owned(), json!(false));
        }
    }
    row
}

/// The whole order, but of the Platform API and the Admin API.
pub(super) fn document(stock: &Stock, flavor: Flavor, sale: &Sale) -> Value {
    let mut order = top_level(stock, flavor, sale);
    let address = match flavor {
        Flavor::Solidus => {
            json!({"id": 901, "name": "Ada Marsh", "address1": "4 Quay Road", "address2": "", "city": "Easton",
            "zipcode": "21601", "phone": "301-555-0142", "state": {"name": "Maryland"}, "country_iso": "US"})
        }
        _ => {
            json!({"id": 901, "firstname": "Ada", "lastname": "Marsh", "address1": "4 Quay Road", "address2": "", "city": "Easton",
            "zipcode": "21601", "phone": "301-555-0142", "state": {"name": "Maryland"}, "country": {"iso": "US"}})
        }
    };
    let mut shipment = json!({"id": sale.id, "number": format!("H{}", sale.id), "cost": money(SHIPPING_CENTS), "tracking": null,
        "shipped_at": null, "state": sale.shipment_state, "order_id": sale.number, "shipping_method": {"name": "UPS Ground"}});
    if let Some(shipment) = shipment.as_object_mut() {
        match flavor {
            Flavor::Spree13 => {}
            Flavor::Spree20 | Flavor::Connector | Flavor::OldConnector => {
                shipment.insert(
                    "inventory_units".to_owned(),
                    json!([{"id": 1, "variant_id": 311, "state": "on_hand"}]),
                );
            }
            _ => {
                shipment.insert(
                    "manifest".to_owned(),
                    json!([{"variant_id": 311, "quantity": 1}]),
                );
            }
        }
    }
    let shipments = if sale.completed_at.is_some() {
        vec![shipment]
    } else {
        Vec::new()
    };
    let rest = json!({
        "bill_address": address,
        "ship_address": address,
        "line_items": [{"id": sale.id * 10, "quantity": 1, "price": money(sale.item_cents), "variant_id": 311,
            "variant": {"id": 311, "name": "Canvas Tote", "sku": "TOTE", "option_values": []}}],
        "payments": [{"id": sale.id, "amount": money(total(sale)), "payment_method": {"id": 1, "name": "Credit Card"},
            "state": if sale.payment_state == "paid" { "completed" } else { "pending" }}],
        "shipments": shipments,
        "adjustments": [{"id": sale.id, "label": "Shipping", "amount": money(SHIPPING_CENTS)}],
    });
    if let (Some(order), Value::Object(rest)) = (order.as_object_mut(), rest) {
        order.extend(rest);
    }
    spoil(&mut order, sale.oddity);
    order
}

/// JSON:API, without what belongs to it.
fn resource(stock: &Stock, sale: &Sale) -> Value {
    let mut attributes = top_level(stock, Flavor::PlatformV2, sale);
    if let Some(attributes) = attributes.as_object_mut() {
        // Every attribute whose name has an id in it is missing.
        attributes.retain(|name, _| name != "id" && !name.ends_with("_id"));
        attributes.insert("shipment_total".to_owned(), json!(money(SHIPPING_CENTS)));
        attributes.remove("ship_total");
        attributes.insert(
            "canceled_at".to_owned(),
            json!(sale.canceled_at.map(|at| stock.text(at))),
        );
    }
    spoil(&mut attributes, sale.oddity);
    let id = sale.id.to_string();
    json!({"id": id, "type": "order", "attributes": attributes, "relationships": {
        "line_items": {"data": [{"id": format!("{id}0"), "type": "line_item"}]},
        "payments": {"data": [{"id": id, "type": "payment"}]},
        "shipments": {"data": [{"id": id, "type": "shipment"}]},
        "billing_address": {"data": {"id": "901", "type": "address"}},
        "shipping_address": {"data": {"id": "901", "type": "address"}},
    }})
}

/// What belongs to a sale in JSON:API.
pub(super) fn included(sale: &Sale) -> Vec<Value> {
    let id = sale.id.to_string();
    vec![
        json!({"id": format!("{id}0"), "type": "line_item", "attributes": {"quantity": 1, "price": money(sale.item_cents)},
            "relationships": {"variant": {"data": {"id": "311", "type": "variant"}}}}),
        json!({"id": id, "type": "payment", "attributes": {"amount": money(total(sale)), "state": sale.payment_state}}),
        json!({"id": id, "type": "shipment", "attributes": {"number": format!("H{id}"), "cost": money(SHIPPING_CENTS), "state": sale.shipment_state}}),
    ]
}

/// What all sales share in JSON:API.
pub(super) fn included_once() -> Vec<Value> {
    vec![
        json!({"id": "311", "type": "variant", "attributes": {"name": "Canvas Tote", "sku": "TOTE"}}),
        json!({"id": "901", "type": "address", "attributes": {"firstname": "Ada", "lastname": "Marsh", "city": "Easton", "zipcode": "21601"}}),
    ]
}

/// The Admin API's order, with everything expanded.
pub(super) fn admin(stock: &Stock, sale: &Sale) -> Value {
    let time = |at| stock.text(at);
    let status = match sale.state {
        "complete" => "placed",
        "canceled" => "canceled",
        _ => "draft",
    };
    let address = json!({"id": "addr_s", "first_name": "Ada", "last_name": "Marsh", "address1": "4 Quay Road", "address2": null,
        "postal_code": "21601", "city": "Easton", "phone": "301-555-0142", "country_iso": "US", "state_name": "Maryland"});
    json!({
        "id": format!("or_{}", sale.id), "number": sale.number, "email": sale.email, "currency": "USD", "status": status,
        "customer_note": sale.note, "fulfillment_status": sale.shipment_state, "payment_status": sale.payment_state,
        "item_total": money(sale.item_cents), "delivery_total": money(SHIPPING_CENTS), "tax_total": "0.0", "adjustment_total": "0.0",
        "total": money(total(sale)), "payment_total": money(paid(sale)), "completed_at": sale.completed_at.map(time),
        "canceled_at": sale.canceled_at.map(time), "created_at": time(sale.created_at), "updated_at": time(sale.updated_at),
        "items": [{"id": "li_1", "variant_id": "variant_tote", "quantity": 1, "name": "Canvas Tote", "price": money(sale.item_cents),
            "option_values": [], "variant": {"id": "variant_tote", "sku": "TOTE"}}],
        "fulfillments": [{"id": format!("ful_{}", sale.id), "number": format!("H{}", sale.id), "tracking": null, "cost": money(SHIPPING_CENTS),
            "status": sale.shipment_state, "fulfilled_at": null, "items": [{"item_id": "li_1", "variant_id": "variant_tote", "quantity": 1}],
            "delivery_method": {"name": "UPS Ground"}, "stock_location": {"name": "Main warehouse"}}],
        "payments": [{"id": "py_1", "number": format!("P{}", sale.id), "amount": money(total(sale)), "status": "completed",
            "payment_method": {"name": "Credit Card"}}],
        "billing_address": address, "shipping_address": address, "adjustments": [],
    })
}

/// A user.
pub(super) fn customer(stock: &Stock, flavor: Flavor, customer: &Customer) -> Value {
    let attributes = json!({"id": customer.id, "email": customer.email, "sign_in_count": customer.visits,
        "created_at": stock.text(customer.created_at), "updated_at": stock.text(customer.updated_at)});
    as_resource(flavor, "user", customer.id, attributes)
}

/// A product.
pub(super) fn article(stock: &Stock, flavor: Flavor, article: &Article) -> Value {
    let attributes = json!({"id": article.id, "name": "Canvas Tote", "sku": article.sku, "price": money(article.price_cents),
        "created_at": stock.text(article.created_at), "updated_at": stock.text(article.updated_at),
        "variants": [], "master": {"id": article.id, "sku": article.sku, "price": money(article.price_cents), "is_master": true}});
    as_resource(flavor, "product", article.id, attributes)
}

fn as_resource(flavor: Flavor, kind: &str, id: u64, mut attributes: Value) -> Value {
    if flavor != Flavor::PlatformV2 {
        return attributes;
    }
    if let Some(attributes) = attributes.as_object_mut() {
        attributes.remove("id");
    }
    json!({"id": id.to_string(), "type": kind, "attributes": attributes})
}
