//! The generic order: one shape for every shop's orders, as endpoint applications of 2013 know it.
//!
//! Field by field from the raw document (WIRE E.3). What the raw document lacks is null (totals: 0.0), a field of a wrong
//! type counts as lacking: an odd order still becomes a message. Amounts are numbers with the digits that the shop wrote.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{decimal::Decimal, store_object::Form};

/// An order, or a cart, as every endpoint application reads it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GenericOrder {
    number: Value,
    channel: Value,
    email: Value,
    currency: Value,
    placed_on: Value,
    updated_at: Value,
    status: Value,
    totals: Totals,
    line_items: Vec<Item>,
    adjustments: Vec<Adjustment>,
    shipping_address: Option<Address>,
    billing_address: Option<Address>,
    payments: Vec<Payment>,
    shipments: Vec<Shipment>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Totals {
    item: Decimal,
    adjustment: Decimal,
    tax: Decimal,
    shipping: Decimal,
    payment: Decimal,
    order: Decimal,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Item {
    name: Value,
    sku: Value,
    external_ref: &'static str,
    quantity: Value,
    price: Decimal,
    variant_id: Value,
    options: Options,
}

/// Option type and value names in the shop's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Options(Vec<(String, Value)>);

impl Options {
    pub(crate) fn read(option_values: &Value) -> Self {
        let pairs = list(option_values).iter().filter_map(|value| {
            let kind = value.get("option_type_name")?.as_str()?;
            Some((kind.to_owned(), of(value, "name").clone()))
        });
        Self(pairs.collect())
    }
}

impl Serialize for Options {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(kind, value)| (kind, value)))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Adjustment {
    name: Value,
    value: Decimal,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Address {
    firstname: Value,
    lastname: Value,
    address1: Value,
    address2: Value,
    zipcode: Value,
    city: Value,
    state: Value,
    country: Value,
    phone: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Payment {
    number: Value,
    status: Value,
    amount: Decimal,
    payment_method: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Shipment {
    number: Value,
    cost: Decimal,
    status: Value,
    stock_location: Value,
    shipping_method: Value,
    tracking: Value,
    updated_at: Value,
    shipped_at: Value,
    items: Vec<Item>,
}

/// The generic order of a raw one. `currency` is the store's own, for shops that name none (Spree 1.3).
#[must_use]
pub fn generic_order(form: Form, raw: &Value, currency: Option<&str>) -> GenericOrder {
    match form {
        Form::Classic => classic(raw, currency),
        Form::AdminV3 => admin_v3(raw, currency),
    }
}

fn classic(raw: &Value, currency: Option<&str>) -> GenericOrder {
    let line_items: Vec<Item> = list(of(raw, "line_items"))
        .iter()
        .map(classic_item)
        .collect();
    let raw_shipments = list(of(raw, "shipments"));
    let adjustments = classic_adjustments(raw);
    let tax = amount(raw, "tax_total")
        .or(|| {
            two(
                amount(raw, "included_tax_total"),
                amount(raw, "additional_tax_total"),
            )
        })
        .or(|| {
            Decimal::sum(
                list(of(raw, "adjustments"))
                    .iter()
                    .filter(|a| is_tax(a))
                    .map(|a| amount(a, "amount")),
            )
        });
    let shipping = amount(raw, "ship_total")
        .or(|| amount(raw, "shipment_total"))
        .or(|| {
            Decimal::sum(
                raw_shipments
                    .iter()
                    .map(|shipment| amount(shipment, "cost")),
            )
        });
    GenericOrder {
        number: of(raw, "number").clone(),
        channel: or(of(raw, "channel"), "spree"),
        email: of(raw, "email").clone(),
        currency: currency_of(raw, currency),
        placed_on: of(raw, "completed_at").clone(),
        updated_at: of(raw, "updated_at").clone(),
        status: of(raw, "state").clone(),
        totals: Totals {
            item: amount(raw, "item_total").or(Decimal::zero),
            adjustment: amount(raw, "adjustment_total").or(Decimal::zero),
            tax,
            shipping,
            payment: amount(raw, "payment_total").or(Decimal::zero),
            order: amount(raw, "total").or(Decimal::zero),
        },
        shipments: raw_shipments
            .iter()
            .map(|shipment| Shipment {
                number: of(shipment, "number").clone(),
                cost: amount(shipment, "cost"),
                status: of(shipment, "state").clone(),
                // Null even where the shop names one: what recorded messages show.
                stock_location: Value::Null,
                shipping_method: first([
                    of(of(shipment, "shipping_method"), "name"),
                    of(of(shipment, "selected_shipping_rate"), "name"),
                ]),
                tracking: of(shipment, "tracking").clone(),
                updated_at: Value::Null,
                shipped_at: of(shipment, "shipped_at").clone(),
                items: shipped_items(shipment, &line_items, raw_shipments.len()),
            })
            .collect(),
        line_items,
        adjustments,
        shipping_address: classic_address(of(raw, "ship_address")),
        billing_address: classic_address(of(raw, "bill_address")),
        payments: list(of(raw, "payments"))
            .iter()
            .map(|payment| Payment {
                number: of(payment, "id").clone(),
                status: of(payment, "state").clone(),
                amount: amount(payment, "amount"),
                payment_method: of(of(payment, "payment_method"), "name").clone(),
            })
            .collect(),
    }
}

fn classic_item(raw: &Value) -> Item {
    let variant = of(raw, "variant");
    Item {
        name: of(variant, "name").clone(),
        sku: of(variant, "sku").clone(),
        external_ref: "",
        quantity: of(raw, "quantity").clone(),
        price: amount(raw, "price"),
        variant_id: first([of(raw, "variant_id"), of(variant, "id")]),
        options: Options::read(of(variant, "option_values")),
    }
}

/// From 2.2 on tax and promotions stand on line items and shipments, before on the order: all of them, in that order.
fn classic_adjustments(raw: &Value) -> Vec<Adjustment> {
    let parts = ["line_items", "shipments"]
        .into_iter()
        .flat_map(|part| list(of(raw, part)));
    std::iter::once(raw)
        .chain(parts)
        .flat_map(|holder| list(of(holder, "adjustments")))
        .map(|adjustment| Adjustment {
            name: of(adjustment, "label").clone(),
            value: amount(adjustment, "amount"),
        })
        .collect()
}

fn is_tax(adjustment: &Value) -> bool {
    ["originator_type", "source_type"]
        .into_iter()
        .any(|member| of(adjustment, member).as_str() == Some("Spree::TaxRate"))
}

/// The manifest (2.2 and later), else the inventory units in their order, else everything if there is but one shipment.
fn shipped_items(shipment: &Value, line_items: &[Item], shipments: usize) -> Vec<Item> {
    let mut quantities: Vec<(&Value, i64)> = Vec::new();
    if let Value::Array(manifest) = of(shipment, "manifest") {
        for entry in manifest {
            quantities.push((
                of(entry, "variant_id"),
                of(entry, "quantity").as_i64().unwrap_or(0),
            ));
        }
    } else if let Value::Array(units) = of(shipment, "inventory_units") {
        for unit in units {
            let variant = of(unit, "variant_id");
            // Later versions count in the unit; before, each unit is one piece.
            let pieces = of(unit, "quantity").as_i64().unwrap_or(1);
            match quantities.iter_mut().find(|(known, _)| *known == variant) {
                Some((_, quantity)) => *quantity += pieces,
                None => quantities.push((variant, pieces)),
            }
        }
    } else if shipments == 1 {
        return line_items.to_vec();
    }
    joined(quantities, line_items)
}

fn joined(quantities: Vec<(&Value, i64)>, line_items: &[Item]) -> Vec<Item> {
    quantities
        .into_iter()
        .filter_map(|(variant, quantity)| {
            let item = line_items.iter().find(|item| item.variant_id == *variant)?;
            Some(Item {
                quantity: quantity.into(),
                ..item.clone()
            })
        })
        .collect()
}

fn classic_address(raw: &Value) -> Option<Address> {
    raw.is_object().then(|| {
        let (first_name, last_name) = names(raw);
        Address {
            firstname: first_name,
            lastname: last_name,
            address1: of(raw, "address1").clone(),
            address2: of(raw, "address2").clone(),
            zipcode: of(raw, "zipcode").clone(),
            city: of(raw, "city").clone(),
            state: first([of(of(raw, "state"), "name"), of(raw, "state_name")]),
            country: first([of(of(raw, "country"), "iso"), of(raw, "country_iso")]),
            phone: of(raw, "phone").clone(),
        }
    })
}

/// Two names, or Solidus' one name split at its last blank.
fn names(raw: &Value) -> (Value, Value) {
    let two = (of(raw, "firstname"), of(raw, "lastname"));
    match of(raw, "name").as_str().map(str::trim) {
        Some(name) if two.0.is_null() && two.1.is_null() => match name.rsplit_once(' ') {
            Some((front, back)) => (front.trim_end().into(), back.into()),
            None => (name.into(), "".into()),
        },
        _ => (two.0.clone(), two.1.clone()),
    }
}

fn admin_v3(raw: &Value, currency: Option<&str>) -> GenericOrder {
    let line_items: Vec<Item> = list(of(raw, "items")).iter().map(v3_item).collect();
    GenericOrder {
        number: of(raw, "number").clone(),
        channel: first([of(of(raw, "channel"), "name"), &Value::from("spree")]),
        email: of(raw, "email").clone(),
        currency: currency_of(raw, currency),
        placed_on: of(raw, "completed_at").clone(),
        updated_at: of(raw, "updated_at").clone(),
        status: v3_status(raw),
        totals: Totals {
            item: amount(raw, "item_total").or(Decimal::zero),
            adjustment: amount(raw, "adjustment_total").or(Decimal::zero),
            tax: amount(raw, "tax_total").or(Decimal::zero),
            shipping: amount(raw, "delivery_total").or(Decimal::zero),
            payment: amount(raw, "payment_total").or(Decimal::zero),
            order: amount(raw, "total").or(Decimal::zero),
        },
        adjustments: list(of(raw, "adjustments"))
            .iter()
            .map(|adjustment| Adjustment {
                name: of(adjustment, "label").clone(),
                value: amount(adjustment, "amount"),
            })
            .collect(),
        shipping_address: v3_address(of(raw, "shipping_address")),
        billing_address: v3_address(of(raw, "billing_address")),
        payments: list(of(raw, "payments"))
            .iter()
            .map(|payment| Payment {
                number: of(payment, "number").clone(),
                status: of(payment, "status").clone(),
                amount: amount(payment, "amount"),
                payment_method: of(of(payment, "payment_method"), "name").clone(),
            })
            .collect(),
        shipments: list(of(raw, "fulfillments"))
            .iter()
            .map(|fulfillment| Shipment {
                number: of(fulfillment, "number").clone(),
                cost: amount(fulfillment, "cost"),
                status: of(fulfillment, "status").clone(),
                stock_location: of(of(fulfillment, "stock_location"), "name").clone(),
                shipping_method: of(of(fulfillment, "delivery_method"), "name").clone(),
                tracking: of(fulfillment, "tracking").clone(),
                updated_at: Value::Null,
                shipped_at: of(fulfillment, "fulfilled_at").clone(),
                items: joined(
                    list(of(fulfillment, "items"))
                        .iter()
                        .map(|item| {
                            (
                                of(item, "variant_id"),
                                of(item, "quantity").as_i64().unwrap_or(0),
                            )
                        })
                        .collect(),
                    &line_items,
                ),
            })
            .collect(),
        line_items,
    }
}

fn v3_item(raw: &Value) -> Item {
    Item {
        name: first([of(raw, "name"), of(of(raw, "variant"), "product_name")]),
        sku: of(of(raw, "variant"), "sku").clone(),
        external_ref: "",
        quantity: of(raw, "quantity").clone(),
        price: amount(raw, "price"),
        variant_id: of(raw, "variant_id").clone(),
        options: Options::read(of(raw, "option_values")),
    }
}

fn v3_status(raw: &Value) -> Value {
    if !of(raw, "canceled_at").is_null() {
        return "canceled".into();
    }
    match of(raw, "status").as_str() {
        Some("draft") => "cart".into(),
        Some("placed") => "complete".into(),
        _ => of(raw, "status").clone(),
    }
}

fn v3_address(raw: &Value) -> Option<Address> {
    raw.is_object().then(|| Address {
        firstname: of(raw, "first_name").clone(),
        lastname: of(raw, "last_name").clone(),
        address1: of(raw, "address1").clone(),
        address2: of(raw, "address2").clone(),
        zipcode: of(raw, "postal_code").clone(),
        city: of(raw, "city").clone(),
        state: first([of(raw, "state_name"), of(raw, "state_abbr")]),
        country: of(raw, "country_iso").clone(),
        phone: of(raw, "phone").clone(),
    })
}

static NULL: Value = Value::Null;

/// The member, or null: of anything, so that an odd document is read as far as it goes.
pub(crate) fn of<'a>(object: &'a Value, member: &str) -> &'a Value {
    object.get(member).unwrap_or(&NULL)
}

/// The elements of an array; none of anything else.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn amount(object: &Value, member: &str) -> Decimal {
    Decimal::read(of(object, member))
}

fn or(value: &Value, otherwise: &str) -> Value {
    if value.is_null() {
        otherwise.into()
    } else {
        value.clone()
    }
}

/// The first that is there and not empty; else null.
fn first<'a>(values: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut there = values.into_iter().filter(|value| !value.is_null());
    there
        .find(|value| value.as_str() != Some(""))
        .cloned()
        .unwrap_or_default()
}

fn two(one: Decimal, other: Decimal) -> Decimal {
    if one.is_some() || other.is_some() {
        Decimal::sum([one, other])
    } else {
        one
    }
}

fn currency_of(raw: &Value, currency: Option<&str>) -> Value {
    match (of(raw, "currency"), currency) {
        (Value::Null, Some(currency)) => currency.into(),
        (given, _) => given.clone(),
    }
}

#[cfg(test)]
#[path = "tests/generic_order.rs"]
mod tests;
