use serde_json::json;

use super::*;

fn integration() -> Integration {
    serde_json::from_value(json!({
        "name": "acme", "url": "https://ep.example.org/app/", "category": "mail", "token": "secret-token",
        "icon_url": "/acme.png",
        "services": [{"name": "send_order", "path": "/send_order"}]
    }))
    .unwrap()
}

#[test]
fn it_is_ready_with_services_and_without_errors() {
    let mut own = integration();
    assert_eq!(own.state(), IntegrationState::Ready);
    own.error_messages.push("services: is empty".into());
    assert_eq!(own.state(), IntegrationState::Pending);
    own.error_messages.clear();
    own.services.clear();
    assert_eq!(own.state(), IntegrationState::Pending);
}

#[test]
fn a_broken_description_leaves_the_services_that_were_known() {
    let mut own = integration();
    own.describe(
        EndpointDescription {
            error_messages: vec!["endpoint.json: is not JSON".into()],
            ..EndpointDescription::default()
        },
        Micros(5),
    );
    assert_eq!(own.services.len(), 1);
    assert_eq!(own.state(), IntegrationState::Pending);
    assert_eq!(
        own.services_from,
        ServicesFrom::EndpointJson { read_at: Micros(5) }
    );
}

#[test]
fn another_name_than_the_registered_one_is_told() {
    let mut own = integration();
    own.display = Some("Mine".into());
    own.describe(
        EndpointDescription {
            name: Some("other".into()),
            display: Some("Theirs".into()),
            services: vec![Service::default()],
            ..EndpointDescription::default()
        },
        Micros(5),
    );
    assert_eq!(own.name, "acme");
    assert_eq!(own.display.as_deref(), Some("Mine"));
    assert!(own.warnings[0].contains("other"), "{:?}", own.warnings);
}

#[test]
fn addresses_are_joined_with_one_slash() {
    assert_eq!(
        integration().icon_address().unwrap(),
        "https://ep.example.org/app/acme.png"
    );
    assert_eq!(
        join("https://ep.example.org", "/"),
        "https://ep.example.org/"
    );
    let mut own = integration();
    own.icon_url = Some("https://cdn.example.org/a.png".into());
    assert_eq!(own.icon_address().unwrap(), "https://cdn.example.org/a.png");
}

#[test]
fn a_service_is_found_by_its_short_and_its_whole_name() {
    let own = integration();
    assert!(own.service("send_order").is_some());
    assert!(own.service("acme.send_order").is_some());
    assert!(own.service("send").is_none());
}

#[test]
fn allowed_values_are_a_list_or_a_pattern() {
    let values: Allowed = serde_json::from_value(json!(["slow", "fast"])).unwrap();
    assert_eq!(values.check(&json!("slow")), Ok(()));
    assert_eq!(
        values.check(&json!("s3cret")).unwrap_err(),
        "must be one of slow, fast"
    );
    let pattern: Allowed = serde_json::from_value(json!("^[^@]+@[^@]+$")).unwrap();
    assert_eq!(pattern.check(&json!("a@b")), Ok(()));
    assert!(pattern.check(&json!("ab")).is_err());
    assert_eq!(pattern.check(&json!([{"a": "b"}])), Ok(()));
}

#[test]
fn the_token_is_not_shown_by_debug() {
    assert!(!format!("{:?}", integration()).contains("secret-token"));
}

#[test]
fn what_an_operator_gave_is_checked_by_field() {
    assert_eq!(integration().mistakes(), Vec::<String>::new());
    let mut wrong = integration();
    wrong.name = "Acme Inc".into();
    wrong.category = " ".into();
    wrong.token = "a\r\nX-Other: b".into();
    for url in [
        "ftp://ep.example.org",
        "ep.example.org",
        "https://me:pw@ep.example.org",
        "https://ep.example.org/?a=b",
        "",
    ] {
        wrong.url = url.into();
        let fields: Vec<_> = wrong
            .mistakes()
            .iter()
            .map(|mistake| mistake.split(':').next().unwrap().to_owned())
            .collect();
        assert_eq!(fields, ["name", "url", "category", "token"], "{url}");
    }
    assert!(!wrong.mistakes().join(" ").contains("X-Other"));
}
