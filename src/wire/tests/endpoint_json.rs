use serde_json::{Value, json};

use super::*;
use crate::domain::{
    message_type::TypePattern,
    registry::Dialect,
    schedule::{Interval, Schedule},
};

fn described(document: &Value) -> EndpointDescription {
    read(document.to_string().as_bytes())
}

/// A document with one service that has these members besides name and path.
fn service(members: Value) -> EndpointDescription {
    let mut service = json!({"name": "poll", "path": "/poll"});
    for (name, value) in members.as_object().unwrap() {
        service[name] = value.clone();
    }
    described(&json!({"name": "acme", "services": [service]}))
}

fn warned(description: &EndpointDescription, about: &str) {
    assert!(
        description
            .warnings
            .iter()
            .any(|warning| warning.contains(about)),
        "{about} is not in {:?}",
        description.warnings
    );
}

#[test]
fn a_clean_document_is_read_without_a_word_and_written_as_it_was() {
    let services = json!([{
        "name": "mail_order", "path": "/mail_order", "description": "Mails orders", "required": true,
        "requires": {
            "parameters": [
                {"name": "api_key", "description": "Key", "data_type": "password"},
                {"name": "order.from", "description": "Sender", "data_type": "string", "allowed": "^[^@]+@[^@]+$", "optional": true},
                {"name": "speed", "description": "Speed", "data_type": "string", "allowed": ["slow", "fast"], "default": "slow"},
                {"name": "copy", "description": "Copy?", "data_type": "boolean", "enables": ["copy_to"]},
                {"name": "copy_to", "description": "To", "data_type": "string", "depends_on": "copy"},
                {"name": "batch", "description": "n", "data_type": "integer", "default": 10},
                {"name": "names", "description": "Names", "data_type": "list"}
            ]
        },
        "recommends": {
            "messages": ["order:new", "order:*"],
            "identifiers": {"number": "payload.order.number"},
            "filters": [
                {"path": "payload.order.status", "operator": "eq", "value": "complete"},
                {"path": "payload.order.items.*.sku", "operator": "eq", "value": "A", "match_rule": "any"}
            ],
            "options": {"retries_allowed": false},
            "schedule": {"count": 30, "interval": "minutes"}
        }
    }]);
    let description = described(&json!({
        "name": "mailer", "display": "Mailer", "description": "Mails", "help": "https://help.example.org",
        "icon_url": "mailer.png", "services": services
    }));
    assert_eq!(description.error_messages, Vec::<String>::new());
    assert_eq!(description.warnings, Vec::<String>::new());
    assert_eq!(description.name.as_deref(), Some("mailer"));
    assert_eq!(
        serde_json::to_value(&description.services).unwrap(),
        services
    );
    let back: Vec<Service> = serde_json::from_value(services).unwrap();
    assert_eq!(back, description.services);
}

#[test]
fn every_older_spelling_is_understood_and_told() {
    let description = described(&json!({
        "name": "legacy",
        "consumers": [{
            "name": "get_things", "path": "get_things",
            "requires": {
                "sku": "what it is about",
                "paramaters": [{"name": "legacy.access_key", "value": "The key"}, "bare"],
                "humanizers": {"200": "Sent to {{email}}"}
            },
            "reccomends": {
                "keys": ["thing:poll"],
                "event_key": {"number": "payload.order.actual.number"},
                "events_key": {}, "event_details": {},
                "options": {"allow_retries": "false"}
            },
            "produces": {"messages": [{"message": "thing:new", "schema": "/thing.json"}]}
        }]
    }));
    assert_eq!(description.error_messages, Vec::<String>::new());
    let own = &description.services[0];
    assert_eq!(own.path, "/get_things");
    assert_eq!(own.requires.other["sku"], "what it is about");
    assert!(!own.requires.other.contains_key("humanizers"));
    let names: Vec<_> = own
        .requires
        .parameters
        .iter()
        .map(|own| own.name.as_str())
        .collect();
    assert_eq!(names, ["legacy.access_key", "bare"]);
    assert_eq!(own.requires.parameters[0].description, "The key");
    assert_eq!(own.requires.parameters[0].data_type, FieldType::String);
    assert_eq!(
        own.recommends.messages,
        [TypePattern::parse("thing:poll").unwrap()]
    );
    assert_eq!(own.recommends.options.retries_allowed, Some(false));
    assert!(own.recommends.identifiers.is_empty());
    for about in [
        "consumers",
        "paramaters",
        "reccomends",
        "keys",
        "event_key",
        "events_key",
        "allow_retries",
        "value",
    ] {
        warned(&description, about);
    }
}

#[test]
fn contains_with_a_regular_expression_becomes_match() {
    let description = service(json!({"recommends": {"filters": [
        {"path": "message", "operator": "contains", "value": "((notification:error)|(notification:warn))"},
        {"path": "message", "operator": "contains", "value": "a|b"}
    ]}}));
    let written = serde_json::to_value(&description.services[0].recommends.filters).unwrap();
    assert_eq!(written[0]["operator"], "match");
    assert_eq!(written[1]["operator"], "contains");
    warned(&description, "filters[0]");
}

#[test]
fn a_type_may_be_missing_a_password_or_a_checkbox() {
    let description = service(json!({"requires": {"parameters": [
        {"name": "a"}, {"name": "b", "data_type": "password"}, {"name": "c", "data_type": "checkbox", "default": "1"},
        {"name": "d", "data_type": "colour"}, {"name": "e", "data_type": "integer", "default": "many"}
    ]}}));
    let own = &description.services[0].requires.parameters;
    let kinds: Vec<_> = own.iter().map(|own| own.data_type).collect();
    assert_eq!(
        kinds,
        [
            FieldType::String,
            FieldType::Password,
            FieldType::Boolean,
            FieldType::String,
            FieldType::Integer
        ]
    );
    assert_eq!(own[2].default, Some(json!(true)));
    assert_eq!(own[4].default, None);
    warned(&description, "colour");
    warned(&description, "e.default");
    assert_eq!(description.warnings.len(), 2);
}

#[test]
fn a_schedule_is_read_with_its_count_as_text() {
    let description =
        service(json!({"recommends": {"schedule": {"count": "15", "interval": "minutes"}}}));
    assert_eq!(
        description.services[0].recommends.schedule,
        Some(Schedule::every(15, Interval::Minutes).unwrap())
    );
    warned(
        &service(json!({"recommends": {"schedule": {"count": 1, "interval": "blinks"}}})),
        "interval:",
    );
}

#[test]
fn identifiers_and_filters_may_be_json_in_a_text() {
    let description = service(json!({"recommends": {
        "identifiers": "{\"n\":\"payload.order.number\"}",
        "filters": "[{\"path\":\"payload.a\",\"operator\":\"present\"}]"
    }}));
    assert_eq!(description.warnings, Vec::<String>::new());
    assert_eq!(
        description.services[0]
            .recommends
            .identifiers
            .iter()
            .count(),
        1
    );
    assert_eq!(description.services[0].recommends.filters.len(), 1);
}

#[test]
fn what_makes_it_unusable_is_said_in_plain_words() {
    for (body, expected) in [
        ("<html><body>login</body></html>", "web page"),
        ("{\"name\": }", "not JSON"),
        ("[]", "must be an object"),
        ("{\"name\":\"a\"}", "services: is missing"),
        ("{\"name\":\"a\",\"services\":[]}", "services: is empty"),
        ("{\"name\":\"a\",\"services\":{}}", "must be an array"),
        (
            "{\"name\":\"a\",\"services\":[{\"name\":\"x\"}]}",
            "none of them can be used",
        ),
    ] {
        let description = read(body.as_bytes());
        assert!(
            description
                .error_messages
                .iter()
                .any(|error| error.contains(expected)),
            "{body}: {:?}",
            description.error_messages
        );
    }
    assert!(read(b"\xff\xfe").error_messages[0].contains("UTF-8"));
    assert!(read(&vec![b' '; MAX_BYTES + 1]).error_messages[0].contains("bytes"));
}

#[test]
fn one_bad_service_does_not_take_the_others_along() {
    let description = described(&json!({"name": "acme", "services": [
        {"name": "good", "path": "/good"},
        {"name": "no_path"},
        {"name": "Bad Name", "path": "/x"},
        {"name": "elsewhere", "path": "http://other.example.org/x"},
        {"name": "good", "path": "/again"},
        7
    ]}));
    assert_eq!(description.error_messages, Vec::<String>::new());
    assert_eq!(description.services.len(), 1);
    assert_eq!(description.warnings.len(), 5, "{:?}", description.warnings);
}

#[test]
fn what_cannot_be_used_of_a_service_is_left_out_with_a_word() {
    let description = service(json!({
        "requires": {"parameters": [{"name": "a", "allowed": "(?!x)"}, {"name": "has blanks"}], "count": 3},
        "recommends": {
            "messages": ["order:new", "Order New", 7],
            "identifiers": {"n": "payload..number", "ok": "payload.id"},
            "filters": [{"path": "payload.a", "operator": "like", "value": "x"}, {"path": "payload.a", "operator": "present"}]
        }
    }));
    let own = &description.services[0];
    assert_eq!(own.requires.parameters[0].allowed, None);
    assert_eq!(own.recommends.messages.len(), 1);
    assert_eq!(own.recommends.identifiers.iter().count(), 1);
    assert_eq!(own.recommends.filters.len(), 1);
    for about in [
        "a.allowed",
        "parameters[1].name",
        "count",
        "Order New",
        "identifiers.n",
        "filters[0]",
    ] {
        warned(&description, about);
    }
}

#[test]
fn services_entered_by_hand_are_read_alike() {
    let list = json!([{"name": "add_order", "path": "/add_order", "recommends": {"messages": "order:new", "options": {"dialect": "2"}}}]);
    for given in [list.clone(), json!({"services": list})] {
        let description = read_services(&given);
        assert_eq!(description.warnings, Vec::<String>::new());
        assert_eq!(description.services[0].recommends.messages.len(), 1);
        assert_eq!(
            description.services[0].recommends.options.dialect,
            Some(Dialect::Two)
        );
    }
    assert!(!read_services(&json!("x")).error_messages.is_empty());
}

#[test]
fn a_flood_of_oddities_is_bounded() {
    let services: Vec<Value> = (0..500)
        .map(|n| json!({"name": format!("s{n}"), "path": "/s", "requires": {"parameters": [7, 7, 7]}}))
        .collect();
    let description = described(&json!({"name": "acme", "services": services}));
    assert_eq!(description.services.len(), MAX_SERVICES);
    assert!(description.warnings.len() <= 101);
}

proptest::proptest! {
    #[test]
    fn no_json_makes_the_reader_panic(
        name in "(services|consumers)", inner in "(requires|recommends|name|path|identifiers|filters|messages|schedule)",
        value in "(null|1|\"x\"|\\[\\]|\\[1\\]|\\{\\}|\\{\"parameters\":[{\"name\":1}]\\}|\\{\"filters\":\\[\\[\\]\\]\\})",
    ) {
        let body = format!("{{\"{name}\":[{{\"name\":\"a\",\"path\":\"/\",\"{inner}\":{value}}}]}}");
        let _ = read(body.as_bytes());
    }
}
