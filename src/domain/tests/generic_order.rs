use serde_json::{Value, json};

use super::*;

fn order(form: Form, raw: Value) -> Value {
    serde_json::to_value(generic_order(form, &raw, Some("USD"))).unwrap()
}

fn tote() -> Value {
    json!({"id": 1, "quantity": 2, "price": "22.5", "variant_id": 311,
        "variant": {"id": 311, "name": "Tote", "sku": "TOTE", "option_values": []}})
}

fn tee() -> Value {
    json!({"id": 2, "quantity": 1, "price": "32.5", "variant_id": 322, "variant": {"id": 322, "name": "Tee", "sku": "TEE-M",
        "option_values": [{"name": "Medium", "presentation": "M", "option_type_name": "tshirt-size"},
            {"name": "Navy", "presentation": "Navy", "option_type_name": "tshirt-color"}]}})
}

fn spree_2_0() -> Value {
    json!({
        "id": 7, "number": "R77", "item_total": "77.5", "total": "87.38", "state": "complete", "adjustment_total": "9.88",
        "updated_at": "2015-03-02T14:22:47Z", "completed_at": "2015-03-02T14:05:31Z", "payment_total": "87.38",
        "email": "ada@example.org", "channel": null, "ship_total": "5.0", "tax_total": "4.88", "currency": "EUR",
        "ship_address": {"firstname": "Ada", "lastname": "Marsh", "address1": "4 Quay Road", "address2": "", "city": "Easton",
            "zipcode": "21601", "phone": "301", "state_name": null, "state": {"name": "Maryland", "abbr": "MD"}, "country": {"iso": "US"}},
        "line_items": [tote(), tee()],
        "payments": [{"id": 771, "amount": "87.38", "state": "completed", "payment_method": {"name": "Credit Card"}}],
        "shipments": [
            {"number": "H1", "cost": "5.0", "state": "ready", "tracking": null, "shipped_at": null, "stock_location_name": "default",
             "shipping_method": {"name": "UPS Ground"}, "inventory_units": [{"variant_id": 322}, {"variant_id": 311}]},
            {"number": "H2", "cost": "0.0", "state": "pending", "shipping_method": {"name": "UPS Ground"},
             "inventory_units": [{"variant_id": 311}]}],
        "adjustments": [{"label": "Tax", "amount": "4.88"}, {"label": "Nothing", "amount": "0.0"}, {"label": "Shipping", "amount": "5.0"}],
    })
}

#[test]
fn every_field_comes_from_its_place_and_amounts_are_numbers() {
    let generic = order(Form::Classic, spree_2_0());
    let tote = |quantity: u8| {
        json!({"name": "Tote", "sku": "TOTE", "external_ref": "", "quantity": quantity, "price": 22.5,
        "variant_id": 311, "options": {}})
    };
    let tee = json!({"name": "Tee", "sku": "TEE-M", "external_ref": "", "quantity": 1, "price": 32.5, "variant_id": 322,
        "options": {"tshirt-size": "Medium", "tshirt-color": "Navy"}});
    let shipment = |number: &str, cost: f64, status: &str, items: Value| {
        json!({"number": number, "cost": cost, "status": status,
        "stock_location": null, "shipping_method": "UPS Ground", "tracking": null, "updated_at": null, "shipped_at": null, "items": items})
    };
    assert_eq!(
        generic,
        json!({
            "number": "R77", "channel": "spree", "email": "ada@example.org", "currency": "EUR",
            "placed_on": "2015-03-02T14:05:31Z", "updated_at": "2015-03-02T14:22:47Z", "status": "complete",
            "totals": {"item": 77.5, "adjustment": 9.88, "tax": 4.88, "shipping": 5.0, "payment": 87.38, "order": 87.38},
            "line_items": [tote(2), tee],
            "adjustments": [{"name": "Tax", "value": 4.88}, {"name": "Nothing", "value": 0.0}, {"name": "Shipping", "value": 5.0}],
            "shipping_address": {"firstname": "Ada", "lastname": "Marsh", "address1": "4 Quay Road", "address2": "", "zipcode": "21601",
                "city": "Easton", "state": "Maryland", "country": "US", "phone": "301"},
            "billing_address": null,
            "payments": [{"number": 771, "status": "completed", "amount": 87.38, "payment_method": "Credit Card"}],
            "shipments": [shipment("H1", 5.0, "ready", json!([tee, tote(1)])), shipment("H2", 0.0, "pending", json!([tote(1)]))],
        })
    );
}

#[test]
fn members_stand_in_the_order_that_old_clients_saw() {
    let text = serde_json::to_string(&generic_order(Form::Classic, &spree_2_0(), None)).unwrap();
    assert!(
        text.starts_with(r#"{"number":"R77","channel":"spree","email":"#),
        "{text}"
    );
    assert!(
        text.contains(r#""options":{"tshirt-size":"Medium","tshirt-color":"Navy"}"#),
        "{text}"
    );
    assert!(text.contains(r#""shipping":5.0,"payment":87.38"#), "{text}");
}

#[test]
fn what_spree_1_3_lacks_is_worked_out() {
    let mut raw = spree_2_0();
    let members = raw.as_object_mut().unwrap();
    for missing in ["ship_total", "tax_total", "currency"] {
        members.remove(missing);
    }
    raw["adjustments"] = json!([{"label": "Tax", "amount": "4.80", "originator_type": "Spree::TaxRate"},
        {"label": "City tax", "amount": "0.08", "source_type": "Spree::TaxRate"}, {"label": "Shipping", "amount": "5.0"}]);
    raw["shipments"] = json!([{"number": "H1", "cost": "5.0", "state": "ready"}]);
    let generic = order(Form::Classic, raw);
    assert_eq!(generic["currency"], "USD");
    assert_eq!(generic["totals"]["tax"], 4.88);
    assert_eq!(generic["totals"]["shipping"], 5.0);
    assert_eq!(
        generic["shipments"][0]["items"], generic["line_items"],
        "one shipment holds everything"
    );
}

#[test]
fn from_2_2_on_adjustments_are_gathered_and_shipments_have_a_manifest() {
    let mut raw = spree_2_0();
    raw["adjustments"] = json!([]);
    raw["line_items"][0]["adjustments"] = json!([{"label": "Tax", "amount": "4.88"}]);
    raw["shipments"] = json!([{"number": "H1", "cost": "5.0", "state": "ready", "selected_shipping_rate": {"name": "DHL"},
        "manifest": [{"variant_id": 311, "quantity": 2}], "adjustments": [{"label": "Free shipping", "amount": "-5.0"}]}]);
    let generic = order(Form::Classic, raw);
    assert_eq!(
        generic["adjustments"],
        json!([{"name": "Tax", "value": 4.88}, {"name": "Free shipping", "value": -5.0}])
    );
    assert_eq!(generic["shipments"][0]["shipping_method"], "DHL");
    assert_eq!(generic["shipments"][0]["items"][0]["quantity"], 2);
    assert_eq!(
        generic["shipments"][0]["items"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn the_one_name_of_solidus_is_split_at_its_last_blank() {
    for (name, first, last) in [
        ("Ada Marsh", "Ada", "Marsh"),
        ("Maria del Mar", "Maria del", "Mar"),
        ("Ada", "Ada", ""),
    ] {
        let raw = json!({"ship_address": {"name": name, "country_iso": "US", "state": null, "state_name": "Maryland"}});
        let address = &order(Form::Classic, raw)["shipping_address"];
        assert_eq!(
            (&address["firstname"], &address["lastname"]),
            (&json!(first), &json!(last))
        );
        assert_eq!(
            (&address["country"], &address["state"]),
            (&json!("US"), &json!("Maryland"))
        );
    }
}

#[test]
fn the_admin_api_is_translated() {
    let raw = json!({
        "id": "or_1", "number": "R77", "email": "ada@example.org", "currency": "USD", "status": "placed", "canceled_at": null,
        "completed_at": "2026-08-03T09:14:20.507Z", "updated_at": "2026-08-03T09:14:20.512Z", "item_total": "45.0",
        "adjustment_total": "4.88", "tax_total": "4.88", "delivery_total": "5.0", "payment_total": "54.88", "total": "54.88",
        "items": [{"variant_id": "variant_tote", "quantity": 2, "name": "Tote", "price": "22.5",
            "option_values": [{"name": "m", "label": "M", "option_type_name": "size"}], "variant": {"sku": "TOTE"}}],
        "fulfillments": [{"number": "H1", "cost": "5.0", "status": "ready", "tracking": null, "fulfilled_at": null,
            "items": [{"item_id": "li_1", "variant_id": "variant_tote", "quantity": 2}],
            "delivery_method": {"name": "UPS"}, "stock_location": {"name": "Main"}}],
        "payments": [{"number": "PX", "status": "completed", "amount": "54.88", "payment_method": {"name": "Card"}}],
        "billing_address": {"first_name": "Ada", "last_name": "Marsh", "postal_code": "21401", "country_iso": "US", "state_name": null,
            "state_abbr": "MD", "address1": "12 Harbor Street", "address2": null, "city": "Annapolis", "phone": "301"},
    });
    let generic = order(Form::AdminV3, raw.clone());
    assert_eq!(generic["status"], "complete");
    assert_eq!(generic["channel"], "spree");
    assert_eq!(
        generic["totals"],
        json!({"item": 45.0, "adjustment": 4.88, "tax": 4.88, "shipping": 5.0, "payment": 54.88, "order": 54.88})
    );
    assert_eq!(generic["line_items"][0]["sku"], "TOTE");
    assert_eq!(generic["line_items"][0]["options"], json!({"size": "m"}));
    assert_eq!(generic["billing_address"]["state"], "MD");
    assert_eq!(generic["billing_address"]["zipcode"], "21401");
    assert_eq!(generic["shipments"][0]["stock_location"], "Main");
    assert_eq!(generic["shipments"][0]["items"][0]["quantity"], 2);
    assert_eq!(generic["payments"][0]["number"], "PX");
    for (status, canceled_at, expected) in [
        ("draft", Value::Null, "cart"),
        ("canceled", Value::Null, "canceled"),
        ("placed", json!("2026-08-04T09:00:00Z"), "canceled"),
    ] {
        let mut raw = raw.clone();
        raw["status"] = json!(status);
        raw["canceled_at"] = canceled_at;
        assert_eq!(order(Form::AdminV3, raw)["status"], expected);
    }
}

#[test]
fn an_odd_document_still_becomes_an_order() {
    for form in [Form::Classic, Form::AdminV3] {
        for raw in [
            json!({}),
            json!([]),
            json!({"total": [], "line_items": "x", "items": 3, "shipments": [null], "payments": [7]}),
        ] {
            let generic = order(form, raw);
            assert_eq!(generic["totals"]["order"], 0.0);
            assert_eq!(generic["line_items"], json!([]));
        }
    }
}
