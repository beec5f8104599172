use super::*;
use crate::{
    domain::{
        key::{IntegrationKey, StoreKey},
        registry::{Entity, EntityRow, Entry, Parameter, Registry, Store},
        time::Micros,
    },
    web::error::ApiError,
};

const STORE: &str = "54d1c0aa84a81618ab000001";
const PARAMETER: &str = "54d1c0aa84a81618ab000002";

/// A store with one parameter.
fn store() -> std::sync::Arc<StoreSnapshot> {
    let row = |key, id: &str, entity| EntityRow {
        key,
        id: id.parse().unwrap(),
        store: Some(StoreKey(1)),
        subject: None,
        entity,
        created_at: Micros(0),
        updated_at: Micros(0),
        deleted: false,
        version: 1,
    };
    let store = Store {
        name: "shop".into(),
        api_url: None,
        api_key: None,
        source: None,
        version: None,
        webhook_secret: None,
    };
    let parameter = Parameter {
        name: "acme.key".into(),
        data_type: Default::default(),
        value: "k".into(),
        secret: true,
    };
    let rows = vec![
        row(1, STORE, Entity::Store(store)),
        row(2, PARAMETER, Entity::Parameter(parameter)),
    ];
    Registry::default().apply(rows, 1).stores[&StoreKey(1)].clone()
}

fn read_by(by: By, text: &str, stored: Option<&Mapping>) -> Result<Mapping, Vec<String>> {
    let told = |error: ApiError| error.document().errors.to_vec();
    let raw = RawValue::from_string(text.to_owned()).unwrap();
    let mut fields = Fields::wrapped(&raw, "mapping", &READ_ONLY).map_err(told)?;
    let mapping = read(&mut fields, stored, &store(), by);
    fields.finish("mapping").map(|()| mapping).map_err(told)
}

fn read_text(text: &str) -> Result<Mapping, Vec<String>> {
    read_by(By::Admin, text, None)
}

/// As the browser client of 2013 sends it: the whole object, two members as JSON in a text.
const WHOLE: &str = r#"{"mapping":{
    "id":"54d1c0aa84a81618ab000009","name":"acme.send_order","url":"https://ep.example.org/send_order","integration_id":null,
    "enabled":true,"required":false,
    "identifiers":"{\"order_number\": \"payload.order.number\"}",
    "filters":"[{\"path\": \"payload.order.status\", \"operator\": \"eq\", \"value\": \"complete\"}]",
    "options":{"retries_allowed":false},"messages":["order:new"],
    "parameters":["54d1c0aa84a81618ab000002"],"token":"0123456789abcdef0123456789abcdef"}}"#;

#[test]
fn the_whole_object_of_an_old_client_is_read() {
    let mapping = read_text(WHOLE).unwrap();
    assert_eq!(
        mapping
            .identifiers
            .iter()
            .map(|(name, path)| (name, path.as_str()))
            .collect::<Vec<_>>(),
        [("order_number", "payload.order.number")]
    );
    assert_eq!(
        mapping.filters[0].to_string(),
        "payload.order.status eq complete"
    );
    assert_eq!(mapping.parameters, [ParameterKey(2)]);
    assert_eq!(
        (mapping.options.retries_allowed, mapping.options.ordered),
        (false, true)
    );
    let objects = WHOLE
        .replace(r#""{\"order_number\": \"payload.order.number\"}""#, r#"{"order_number": "payload.order.number"}"#)
        .replace(
            r#""[{\"path\": \"payload.order.status\", \"operator\": \"eq\", \"value\": \"complete\"}]""#,
            r#"[{"path": "payload.order.status", "operator": "eq", "value": "complete"}]"#,
        );
    assert_eq!(read_text(&objects), Ok(mapping));
}

#[test]
fn a_mapping_of_june_2013_is_read_too() {
    let mapping = read_text(
        r#"{"mapping":{"name":"old","url":"https://ep.example.org/x","event_key":{"a":"b"},"event_details":{},
            "formatted_filters":[{"x":1}],"options":{"allow_retries":false},"keys":["spree:order:import"],"parameters":null,
            "identifiers":"","filters":null,"token":"t"}}"#,
    )
    .unwrap();
    assert_eq!(
        mapping
            .messages
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["spree:order:import"]
    );
    assert!(!mapping.options.retries_allowed && mapping.enabled && !mapping.required);
    assert!(mapping.identifiers.is_empty() && mapping.filters.is_empty());
}

#[test]
fn what_is_left_out_keeps_its_value_and_null_takes_it_away() {
    let mut stored = read_text(WHOLE).unwrap();
    stored.options.concurrency = Some(3);
    stored.options.signing_secret = Some(SigningSecrets::One("a signing secret".into()));
    let changed = read_by(
        By::Admin,
        r#"{"mapping":{"token":"***","options":{"ordered":false,"signing_secret":"***"}}}"#,
        Some(&stored),
    )
    .unwrap();
    let mut expected = stored.clone();
    expected.options.ordered = false;
    assert_eq!(changed, expected);
    let cleared = read_by(
        By::Admin,
        r#"{"mapping":{"token":null,"filters":null,"options":{"concurrency":null}}}"#,
        Some(&stored),
    )
    .unwrap();
    assert_eq!(
        (
            cleared.token.as_str(),
            cleared.filters.len(),
            cleared.options.concurrency
        ),
        ("", 0, None)
    );
    assert_eq!(
        cleared.options.signing_secret,
        Some(SigningSecrets::One("a signing secret".into()))
    );
}

#[test]
fn each_wrong_field_has_its_sentence() {
    for (member, said) in [
        (r#""name":"""#, "name: must not be empty"),
        (
            r#""url":"ep.example.org/x""#,
            "url: must be an address such as https://example.com/path",
        ),
        (
            r#""messages":[]"#,
            "messages: name at least one message type, such as order:new",
        ),
        (
            r#""messages":["order:new","order"]"#,
            "messages[1]: has no colon, expected noun:verb in lower case such as order:new",
        ),
        (
            r#""parameters":["54d1c0aa84a81618ab000001"]"#,
            "parameters[0]: is no parameter of this store",
        ),
        (
            r#""identifiers":{"n":"a..b"}"#,
            "identifiers.n: segment 2 of the path is empty, a dot stands only between two names",
        ),
        (
            r#""identifiers":"{\"n\":""#,
            "identifiers: EOF while parsing a value",
        ),
        (
            r#""filters":[{"path":"payload.x","operator":"equals"}]"#,
            "filters[0].operator: unknown variant `equals`",
        ),
        (
            r#""filters":[{"path":"payload.x","operator":"gt","value":"many"}]"#,
            "filters[0].value: must be a number for the operator gt",
        ),
        (
            r#""filters":[{"path":"payload.x","operator":"match","value":"("}]"#,
            "filters[0].value: is no regular expression",
        ),
        (
            r#""options":{"retries":true}"#,
            "options.retries: is unknown",
        ),
        (
            r#""options":{"concurency":2}"#,
            "options.concurency: is unknown, did you mean concurrency?",
        ),
        (
            r#""options":{"concurrency":0}"#,
            "options.concurrency: must be a whole number from 1 to 1000",
        ),
        (
            r#""options":{"rate_per_sec":-1}"#,
            "options.rate_per_sec: must be a number above 0",
        ),
        (
            r#""options":{"retry_schedule":[]}"#,
            "options.retry_schedule: must be an array of 1 to 50 delays in whole seconds",
        ),
        (
            r#""options":{"dialect":"3"}"#,
            "options.dialect: must be \"1\" or \"2\"",
        ),
        (
            r#""options":[]"#,
            "options: must be an object, found an array",
        ),
        (
            r#""required":true,"enabled":false"#,
            "enabled: a required mapping cannot be disabled",
        ),
        (
            r#""integration_id":"54d1c0aa84a81618ab000001""#,
            "integration_id: is no integration that this store can use",
        ),
        (
            r#""token":"***""#,
            "token: is masked, give the token itself",
        ),
        (
            r#""enabeld":true"#,
            "enabeld: is unknown, did you mean enabled?",
        ),
    ] {
        let errors = read_text(&format!(
            r#"{{"mapping":{{"name":"a.b","url":"http://x.example/","messages":["a:b"],{member}}}}}"#
        ))
        .expect_err(said);
        assert!(
            errors.len() == 1 && errors[0].starts_with(said),
            "{member}: {errors:?}"
        );
    }
    assert_eq!(
        read_text(r#"{"mapping":{}}"#),
        Err([
            "name: is missing",
            "url: is missing",
            "messages: name at least one message type, such as order:new"
        ]
        .map(str::to_owned)
        .to_vec())
    );
}

#[test]
fn only_the_operator_lifts_a_requirement() {
    let stored = Mapping {
        required: true,
        ..read_text(WHOLE).unwrap()
    };
    let lift = r#"{"mapping":{"required":false,"enabled":false}}"#;
    assert_eq!(
        read_by(By::Admin, lift, Some(&stored)),
        Err(vec!["required: only the operator may lift this".to_owned()])
    );
    assert!(!read_by(By::Operator, lift, Some(&stored)).unwrap().required);
    assert_eq!(
        read_by(By::Admin, r#"{"mapping":{"enabled":false}}"#, Some(&stored)),
        Err(vec![
            "enabled: a required mapping cannot be disabled".to_owned()
        ])
    );
}

#[test]
fn the_token_of_an_application_offered_to_all_goes_nowhere_else() {
    let key = IntegrationKey(77);
    let stored = Mapping {
        integration: Some(key),
        ..read_text(r#"{"mapping": {"name": "a.b", "url": "http://app.example/b", "messages": ["order:new"], "token": "of the operator"}}"#)
            .expect("a mapping")
    };
    let application = r#"{"name": "a", "url": "http://app.example", "category": "other", "token": "of the operator"}"#;
    let mut store = (*store()).clone();
    let globals = std::sync::Arc::make_mut(&mut store.globals);
    let own = Entity::from_json("integration", application).unwrap();
    let Entity::Integration(own) = own else {
        panic!("{own:?}")
    };
    globals.insert(
        key,
        Entry {
            key,
            id: STORE.parse().unwrap(),
            created_at: Micros(0),
            updated_at: Micros(0),
            value: *own,
        },
    );
    let moved = |token: &str| Mapping {
        url: "http://thief.example/".into(),
        token: token.into(),
        ..stored.clone()
    };
    assert!(takes_away_a_token(
        &stored,
        &moved("of the operator"),
        &store
    ));
    assert!(!takes_away_a_token(&stored, &moved("my own"), &store));
    assert!(!takes_away_a_token(&stored, &stored, &store));
}
