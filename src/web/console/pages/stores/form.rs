//! The form of a store, and how its fields become what the API reads.

use maud::{Markup, html};
use serde_json::{Map, Value, value::to_raw_value};

use crate::{
    domain::registry::Store,
    web::{
        api::stores::read,
        console::{
            html::{Problems, check_box, select_field, text_field},
            pages::mapping_form::problems_of,
            people::{Fields, Refusal},
        },
        fields,
    },
};

/// Kinds of shops, as the API names them, in words for people.
const SOURCES: [(&str, &str); 7] = [
    ("auto", "find it out"),
    ("hub_connector", "Spree with the hub connector"),
    ("spree_v1", "Spree 1.3 to 4.4"),
    ("solidus", "Solidus"),
    ("spree_platform_v2", "Spree 4.3 to 5.3, Platform API"),
    ("spree_admin_v3", "Spree 5.5 and later, Admin API"),
    ("none", "none: it pushes, and is not polled"),
];

/// A kind's words for people; the word itself when it is none of them.
pub fn source_words(source: &str) -> &str {
    SOURCES
        .iter()
        .find(|(word, _)| *word == source)
        .map_or(source, |(_, words)| words)
}

/// The fields, with what stands in them. `stored`: the store they change.
pub fn store_fields(typed: &Fields, stored: Option<&Store>, problems: &Problems) -> Markup {
    let keeps = |secret: Option<&Option<String>>, otherwise: &'static str| match secret {
        Some(Some(_)) => "Kept secret and not shown. Leave this empty to keep it.",
        _ => otherwise,
    };
    html! {
        (text_field("name", "Name", "text", typed.get("name"), "For people.", problems))
        (text_field("api_url", "Shop's API", "url", typed.get("api_url"), "Such as https://shop.example/api/. Empty: the store is push only.", problems))
        (text_field("api_key", "API key", "password", "", keeps(stored.map(|own| &own.api_key), "An admin's key, a secret key sk_..., or client_id:client_secret of an OAuth application. Kept secret; not shown again."), problems))
        (select_field("source", "Kind of shop", SOURCES, typed.some("source").unwrap_or("auto"), "The hub finds it out with at most eight reading requests.", problems))
        details open[!typed.get("version").is_empty() || stored.is_some_and(|own| own.webhook_secret.is_some())] {
            summary { "More" }
            (text_field("version", "Version", "text", typed.get("version"), "The shop's version, such as 2.0, if you know it.", problems))
            (text_field("webhook_secret", "Secret of its webhooks", "password", "", keeps(stored.map(|own| &own.webhook_secret), "Spree 4.6 and later signs webhooks: give the endpoint's secret, and let Spree post to /hooks/spree/ and this store's id."), problems))
            @if stored.is_some_and(|own| own.api_key.is_some()) { (check_box("no_api_key", "true", "Forget the API key", false)) }
            @if stored.is_some_and(|own| own.webhook_secret.is_some()) { (check_box("no_webhook_secret", "true", "Forget the secret of its webhooks", false)) }
        }
    }
}

/// A stored store as the form shows it: without its secrets.
pub fn stored_as_fields(store: &Store) -> Fields {
    let text =
        |name: &str, value: &Option<String>| (name.to_owned(), value.clone().unwrap_or_default());
    Fields(vec![
        ("name".into(), store.name.clone()),
        text("api_url", &store.api_url),
        (
            "source".into(),
            store.source.clone().unwrap_or_else(|| "none".into()),
        ),
        text("version", &store.version),
    ])
}

/// What a form's fields mean as a body of the API.
fn store_body(fields: &Fields) -> Value {
    let text = |name: &str| fields.some(name).map_or(Value::Null, Value::from);
    let mut body = Map::new();
    body.insert("name".into(), Value::from(fields.get("name")));
    body.insert("api_url".into(), text("api_url"));
    body.insert("version".into(), text("version"));
    match fields.get("source") {
        // A form of before, or one made by hand, keeps the kind.
        "" => {}
        "none" => {
            body.insert("source".into(), Value::Null);
        }
        source => {
            body.insert("source".into(), Value::from(source));
        }
    }
    for (name, drop) in [
        ("api_key", "no_api_key"),
        ("webhook_secret", "no_webhook_secret"),
    ] {
        // An empty field keeps a stored secret: it is never shown, so it cannot be sent back.
        if fields.some(drop).is_some() {
            body.insert(name.into(), Value::Null);
        } else if let Some(secret) = fields.some(name) {
            body.insert(name.into(), Value::from(secret));
        }
    }
    Value::Object(body)
}

/// Reads the form over what is stored; the outer error is the hub's, the inner one the form's.
///
/// # Errors
/// The form's problems by field.
pub fn read_form(
    fields: &Fields,
    stored: Option<&Store>,
) -> Result<Result<Store, Problems>, Refusal> {
    let raw = to_raw_value(&store_body(fields)).map_err(|error| Refusal::failed(&error, false))?;
    let mut reader = fields::Fields::read(&raw, "", &[]);
    let store = read(&mut reader, stored);
    Ok(match reader.finish("store") {
        Ok(()) => Ok(store),
        Err(error) => Err(problems_of(&error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Store {
        Store {
            name: "Tidewater".into(),
            api_url: Some("http://shop/api/".into()),
            api_key: Some("k-123".into()),
            source: Some("auto".into()),
            version: None,
            webhook_secret: Some("w-456".into()),
        }
    }

    fn with(store: &Store, more: &[(&str, &str)]) -> Store {
        let mut fields = stored_as_fields(store);
        fields.0.extend(
            more.iter()
                .map(|(name, value)| ((*name).into(), (*value).into())),
        );
        read_form(&fields, Some(store))
            .expect("readable")
            .expect("no problem")
    }

    #[test]
    fn a_form_sent_back_as_shown_changes_nothing() {
        assert_eq!(with(&stored(), &[]), stored());
    }

    #[test]
    fn secrets_are_replaced_or_forgotten_on_request_only() {
        let renewed = with(&stored(), &[("api_key", "k-789")]);
        assert_eq!(renewed.api_key.as_deref(), Some("k-789"));
        let forgotten = with(&stored(), &[("no_webhook_secret", "true")]);
        assert_eq!(
            (forgotten.webhook_secret, forgotten.api_key),
            (None, stored().api_key)
        );
    }

    #[test]
    fn a_store_without_a_kind_is_push_only_and_stays_so() {
        let silent = Store {
            source: None,
            ..stored()
        };
        assert_eq!(with(&silent, &[]), silent);
    }
}
