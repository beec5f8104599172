use proptest::prelude::*;
use serde_json::json;

use super::*;

fn integration() -> Integration {
    serde_json::from_value(json!({
        "name": "acme", "url": "https://ep.example.org/", "category": "mail", "token": "endpoint-token",
        "services": [
            {
                "name": "send_order", "path": "/send_order",
                "requires": {"parameters": [
                    {"name": "api_key", "data_type": "password"},
                    {"name": "acme.speed", "data_type": "string", "allowed": ["slow", "fast"], "default": "slow"},
                    {"name": "batch", "data_type": "integer", "optional": true},
                    {"name": "copy", "data_type": "boolean", "enables": ["copy_to"]},
                    {"name": "copy_to", "data_type": "string"},
                    {"name": "names", "data_type": "list", "optional": true}
                ]},
                "recommends": {
                    "messages": ["order:new"],
                    "identifiers": {"number": "payload.order.number"},
                    "filters": [{"path": "payload.order.status", "operator": "eq", "value": "complete"}],
                    "options": {"retries_allowed": false}
                }
            },
            {
                "name": "poll", "path": "/poll", "required": true,
                "recommends": {"messages": ["acme:*", "acme:poll"], "schedule": {"count": 5, "interval": "minutes"}}
            },
            {
                "name": "extra", "path": "/",
                "requires": {"parameters": [{"name": "region"}]},
                "recommends": {"messages": ["user:new"], "options": {"dialect": "2"}}
            }
        ]
    }))
    .unwrap()
}

fn signup(parameters: Value, enabled: &[&str]) -> Signup {
    Signup {
        parameters: serde_json::from_value(parameters).unwrap(),
        enabled: enabled.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn made(parameters: Value, enabled: &[&str]) -> Plan {
    plan(
        &integration(),
        Some(IntegrationKey(7)),
        &signup(parameters, enabled),
        &|_| false,
    )
    .unwrap()
}

fn refused(parameters: Value, enabled: &[&str]) -> Vec<String> {
    plan(&integration(), None, &signup(parameters, enabled), &|_| {
        false
    })
    .unwrap_err()
}

fn value<'a>(plan: &'a Plan, name: &str) -> Option<&'a Value> {
    plan.parameters
        .iter()
        .find(|parameter| parameter.name == name)
        .map(|parameter| &parameter.value)
}

#[test]
fn values_become_prefixed_typed_secret_parameters() {
    let plan = made(
        json!({"api_key": "k-1", "acme.batch": "10", "names": "[{\"Ground\":\"GND\"}]"}),
        &["send_order"],
    );
    assert_eq!(value(&plan, "acme.api_key"), Some(&json!("k-1")));
    assert_eq!(value(&plan, "acme.batch"), Some(&json!(10)));
    assert_eq!(
        value(&plan, "acme.names"),
        Some(&json!([{"Ground": "GND"}]))
    );
    assert_eq!(value(&plan, "acme.speed"), Some(&json!("slow")));
    assert_eq!(value(&plan, "acme.copy"), Some(&json!(false)));
    assert_eq!(value(&plan, "acme.copy_to"), None);
    assert!(plan.parameters.iter().all(|parameter| parameter.secret));
}

#[test]
fn services_become_mappings_and_those_not_chosen_disabled_ones() {
    let plan = made(json!({"api_key": "k"}), &["acme.send_order", ""]);
    let [send, poll, extra] = &plan.mappings[..] else {
        panic!("{:?}", plan.mappings)
    };
    assert_eq!(send.mapping.name, "acme.send_order");
    assert_eq!(send.mapping.url, "https://ep.example.org/send_order");
    assert_eq!(send.mapping.token, "endpoint-token");
    assert_eq!(send.mapping.integration, Some(IntegrationKey(7)));
    assert!(send.mapping.enabled && !send.mapping.required);
    assert!(!send.mapping.options.retries_allowed);
    assert_eq!(send.mapping.filters.len(), 1);
    assert_eq!(send.mapping.identifiers.iter().count(), 1);
    assert_eq!(send.parameters[..2], ["acme.api_key", "acme.speed"]);
    assert!(poll.mapping.enabled && poll.mapping.required);
    assert!(!extra.mapping.enabled);
    assert_eq!(extra.mapping.url, "https://ep.example.org/");
    assert_eq!(
        extra.mapping.options.dialect,
        crate::domain::registry::Dialect::Two
    );
}

#[test]
fn a_recommended_schedule_pushes_the_first_whole_type() {
    let plan = made(json!({}), &[]);
    assert_eq!(plan.schedules.len(), 1);
    assert_eq!(plan.schedules[0].key.as_str(), "acme:poll");
    assert_eq!(plan.schedules[0].mapping, "acme.poll");
}

#[test]
fn only_chosen_services_need_their_values() {
    assert!(plan(&integration(), None, &signup(json!({}), &[]), &|_| false).is_ok());
    assert_eq!(
        refused(json!({}), &["send_order", "extra"]),
        [
            "parameters.api_key: is needed by the service send_order",
            "parameters.region: is needed by the service extra"
        ]
    );
}

#[test]
fn a_value_matters_only_when_its_check_box_is_ticked() {
    assert_eq!(
        refused(json!({"api_key": "k", "copy": "1"}), &["send_order"]),
        ["parameters.copy_to: is needed by the service send_order"]
    );
    assert!(
        value(
            &made(
                json!({"api_key": "k", "copy": "on", "copy_to": "a@b"}),
                &["send_order"]
            ),
            "acme.copy_to"
        )
        .is_some()
    );
}

#[test]
fn a_wrong_value_is_told_by_field_and_not_repeated() {
    let errors = refused(
        json!({"api_key": ["s3cret"], "batch": "s3cret", "speed": "s3cret", "colour": "s3cret"}),
        &["send_order", "nothing"],
    );
    for field in [
        "api_key: must be a text",
        "batch: must be a whole",
        "speed: must be one of slow, fast",
        "colour: is not a",
    ] {
        assert!(
            errors.iter().any(|error| error.contains(field)),
            "{field} {errors:?}"
        );
    }
    assert!(
        errors
            .iter()
            .any(|error| error == "enabled: acme has no service nothing")
    );
    assert!(!errors.join(" ").contains("s3cret"));
    assert!(!errors.join(" ").contains("is needed"), "{errors:?}");
}

#[test]
fn signing_up_again_keeps_what_is_left_out_or_masked() {
    let again = signup(json!({"api_key": "***", "batch": 3}), &["send_order"]);
    let plan = plan(&integration(), None, &again, &|name| name != "acme.batch").unwrap();
    let names: Vec<_> = plan
        .parameters
        .iter()
        .map(|own| own.name.as_str())
        .collect();
    assert_eq!(names, ["acme.batch"]);
}

#[test]
fn a_name_given_with_and_without_prefix_is_refused() {
    let errors = refused(
        json!({"api_key": "a", "acme.api_key": "b"}),
        &["send_order"],
    );
    assert!(errors[0].contains("twice"), "{errors:?}");
}

#[test]
fn an_integration_without_services_cannot_be_signed_up_for() {
    let mut pending = integration();
    pending.services.clear();
    let errors = plan(&pending, None, &Signup::default(), &|_| false).unwrap_err();
    assert_eq!(errors, ["services: acme has none yet"]);
}

proptest! {
    #[test]
    fn a_name_is_prefixed_once(name in "[a-z.]{1,12}") {
        let whole = whole_name("acme", &name);
        prop_assert!(whole.starts_with("acme."));
        prop_assert_eq!(whole_name("acme", &whole), whole.clone());
        prop_assert_eq!(whole_name("acme", short_name("acme", &whole)), whole);
    }
}
