//! The generic product: the shape in which `product:new` and `product:update` carry it.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    decimal::Decimal,
    generic_order::{Options, amount, list, of},
};

/// A product with its variants.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GenericProduct {
    id: Value,
    name: Value,
    description: Value,
    sku: Value,
    price: Decimal,
    cost_price: Decimal,
    available_on: Value,
    permalink: Value,
    meta_description: Value,
    meta_keywords: Value,
    updated_at: Value,
    properties: Properties,
    options: Vec<Value>,
    variants: Vec<Variant>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Variant {
    name: Value,
    sku: Value,
    price: Decimal,
    options: Options,
}

#[derive(Debug, Clone, PartialEq)]
struct Properties(Vec<(String, Value)>);

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The generic product of a raw one, of any version: where names differ, whichever is there.
#[must_use]
pub fn generic_product(raw: &Value) -> GenericProduct {
    let master = of(raw, "master");
    let either = |member: &str| match (of(raw, member), of(master, member)) {
        (Value::Null, inner) => inner.clone(),
        (own, _) => own.clone(),
    };
    let variants = list(of(raw, "variants")).iter();
    GenericProduct {
        id: of(raw, "id").clone(),
        name: of(raw, "name").clone(),
        description: of(raw, "description").clone(),
        sku: product_sku(raw),
        price: amount(raw, "price").or(|| amount(master, "price")),
        cost_price: amount(raw, "cost_price").or(|| amount(master, "cost_price")),
        available_on: of(raw, "available_on").clone(),
        permalink: match of(raw, "permalink") {
            Value::Null => either("slug"),
            permalink => permalink.clone(),
        },
        meta_description: of(raw, "meta_description").clone(),
        meta_keywords: of(raw, "meta_keywords").clone(),
        updated_at: of(raw, "updated_at").clone(),
        properties: Properties(
            list(of(raw, "product_properties"))
                .iter()
                .filter_map(|property| {
                    let name = of(property, "property_name").as_str()?;
                    Some((name.to_owned(), of(property, "value").clone()))
                })
                .collect(),
        ),
        options: list(of(raw, "option_types"))
            .iter()
            .map(|kind| of(kind, "name").clone())
            .collect(),
        variants: variants
            .filter(|variant| of(variant, "is_master") != &Value::Bool(true))
            .map(|variant| Variant {
                name: of(variant, "name").clone(),
                sku: of(variant, "sku").clone(),
                price: amount(variant, "price"),
                options: Options::read(of(variant, "option_values")),
            })
            .collect(),
    }
}

/// A product's SKU: its own, its master's, or its default variant's; null when it has none.
#[must_use]
pub fn product_sku(raw: &Value) -> Value {
    let places = [
        of(raw, "sku"),
        of(of(raw, "master"), "sku"),
        of(of(raw, "default_variant"), "sku"),
        of(of(raw, "primary_variant"), "sku"),
    ];
    let filled = |sku: &&Value| sku.as_str().is_some_and(|sku| !sku.trim().is_empty());
    places.into_iter().find(filled).cloned().unwrap_or_default()
}
