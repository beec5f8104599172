use super::*;
use crate::{
    db::{EventRow, ParentRow},
    domain::{
        delivery::WaitState,
        event::Level,
        json::{Payload, PayloadLimits},
        key::{DeliveryKey, EndpointKey, EventKey, MappingKey, MessageKey, StoreKey},
        message::Source,
        message_type::MessageType,
        reference::{About, ObjectRef},
        registry::{Entity, EntityRow, Mapping, Registry, Store},
        time::Micros,
    },
};
use serde_json::json;

fn id(last: u8) -> Id {
    format!("55f2a0b784a8160c7b0000{last:02x}").parse().unwrap()
}

fn store() -> std::sync::Arc<StoreSnapshot> {
    let row = |key, id, entity| EntityRow {
        key,
        id,
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
    let mapping: Mapping = serde_json::from_str(
        r#"{"name":"acme.send_order","url":"http://x.example/","messages":["order:new"],"enabled":true}"#,
    )
    .unwrap();
    Registry::default()
        .apply(
            vec![
                row(1, id(1), Entity::Store(store)),
                row(2, id(2), Entity::Mapping(mapping)),
            ],
            1,
        )
        .stores[&StoreKey(1)]
        .clone()
}

const PAYLOAD: &str = r#"{"order": {"number":"R71", "total":10.50},"original":{"id":1412}}"#;

fn message() -> Message {
    Message {
        key: MessageKey(10),
        id: id(10),
        store: StoreKey(1),
        kind: MessageType::parse("order:new").unwrap(),
        payload: Payload::parse(PAYLOAD, PayloadLimits::default()).unwrap(),
        about: About {
            primary: Some(ObjectRef::new("order", "R71").unwrap()),
            also: Vec::new(),
        },
        source: Source::Push("shop".into()),
        ancestry: None,
        test: false,
        extra: Some(r#"{"channel":"web"}"#.into()),
        accepted_at: Micros(1_425_305_160_000_000),
    }
}

fn failing() -> MessageDetail {
    MessageDetail {
        id: id(11),
        message: message(),
        delivery: Some(DeliveryDetail {
            key: DeliveryKey(11),
            mapping: MappingKey(2),
            endpoint: EndpointKey(2),
            attempts: 3,
            due_at: Some(Micros(1_425_306_600_000_000)),
            attempted_at: Some(Micros(1_425_305_200_000_000)),
            last_error: Some("500 Rejected".into()),
            result: Some(r#"{"booked": 7.00}"#.into()),
            completed_at: None,
            behind: None,
            replay_of: None,
            jobs: Vec::new(),
        }),
        location: Locator::Accepted(WaitState::Failing),
        created_at: Micros(1_425_305_160_000_000),
        parent: Some(ParentRow {
            id: id(10),
            kind: "order:new".into(),
        }),
        children: Vec::new(),
        skipped: Vec::new(),
        events: vec![EventRow {
            key: EventKey(12),
            id: id(12),
            level: Level::Error,
            subject: "Rejected".into(),
            description: "No such carrier".into(),
            reference: Some(ObjectRef::new("order", "R71").unwrap()),
            message_id: Some(id(11)),
            origin: "acme.send_order".into(),
            attributes: Some(r#"{"backtrace":["a"],"_id":"forged"}"#.into()),
            occurrences: 3,
            first_at: Micros(1_425_305_220_000_000),
            last_at: Micros(1_425_306_000_000_000),
        }],
    }
}

#[test]
fn a_failing_delivery_has_every_member_that_clients_read() {
    let text = serde_json::to_string(&document(failing(), &store())).unwrap();
    let shown: Value = serde_json::from_str(&text).unwrap();
    for (member, expected) in [
        ("id", json!(id(11).to_string())),
        ("message", json!("order:new")),
        ("state", json!("failing")),
        ("consumer", json!("acme.send_order")),
        ("created_at", json!("2015-03-02T14:06:00.000Z")),
        ("completed_at", json!(null)),
        ("attempt_at", json!("2015-03-02T14:30:00.000Z")),
        ("next_attempt", json!("2015-03-02T14:30:00.000Z")),
        ("is_consumer_remote", json!(true)),
        ("destination_name", json!("acme")),
        ("integration_icon_url", json!(null)),
        ("locked_at", json!(null)),
        ("source", json!("accepted")),
        ("queue_name", json!("accepted")),
        ("parent_id", json!(id(10).to_string())),
        ("attempts", json!(3)),
        ("last_error", json!("500 Rejected")),
        ("can_attempt", json!(true)),
        ("references", json!("1412")),
        ("reference_token", json!("R71")),
        ("object", json!("order/R71")),
        ("children", json!([])),
        ("skipped", json!([])),
        (
            "attributes",
            json!({"_id": id(11).to_string(), "channel": "web"}),
        ),
    ] {
        assert_eq!(shown.get(member), Some(&expected), "{member}");
    }
    let notification = &shown["notifications"][0];
    assert_eq!(notification["occurrences"], 3);
    assert_eq!(notification["attributes"]["_id"], json!(id(12).to_string()));
    assert_eq!(notification["attributes"]["backtrace"], json!(["a"]));
    assert!(
        text.contains(PAYLOAD),
        "the payload keeps its bytes: {text}"
    );
    assert!(
        text.contains(r#"{"booked": 7.00}"#),
        "the result keeps its bytes: {text}"
    );
}

#[test]
fn a_message_of_its_own_has_no_parent_and_lists_its_deliveries() {
    let child = ChildRow {
        id: id(11),
        kind: "order:new".into(),
        location: Locator::Accepted(WaitState::Held),
        mapping: Some(MappingKey(2)),
    };
    let detail = MessageDetail {
        id: id(10),
        delivery: None,
        location: Locator::Routed,
        parent: None,
        children: vec![child],
        events: Vec::new(),
        ..failing()
    };
    let shown = serde_json::to_value(document(detail, &store())).unwrap();
    assert_eq!(
        (&shown["parent_id"], &shown["state"], &shown["can_attempt"]),
        (&json!(""), &json!("routed"), &json!(false))
    );
    assert_eq!(
        shown["children"],
        json!([{"id": id(11).to_string(), "message": "order:new", "state": "pending", "location": "accepted",
            "reason": "mapping_disabled", "consumer": "acme.send_order"}])
    );
    assert_eq!(shown["consumer"], json!(null));
}

#[test]
fn an_action_is_read_from_a_form_or_from_json() {
    let body = |kind, bytes: &'static [u8]| Body::of(kind, bytes);
    assert_eq!(
        read_action(&body(Kind::Form, b"attempt_now=true")).unwrap(),
        Action::AttemptNow
    );
    assert_eq!(
        read_action(&body(Kind::Form, b"archive=true")).unwrap(),
        Action::Archive
    );
    assert_eq!(
        read_action(&body(Kind::Json, b"{\"attempt_now\":true}")).unwrap(),
        Action::AttemptNow
    );
    assert_eq!(
        read_action(&body(Kind::Json, b"archive=true")).unwrap(),
        Action::Archive
    );
    for (kind, bytes) in [
        (Kind::Form, &b"attempt_now=true&archive=true"[..]),
        (Kind::Form, b""),
        (Kind::Json, b"{}"),
        (Kind::Form, b"attempt_noww=true"),
    ] {
        assert!(read_action(&Body::of(kind, bytes)).is_err(), "{bytes:?}");
    }
}

#[test]
fn what_was_sent_is_told_up_to_the_limit_and_never_within_a_letter() {
    let mut detail = failing();
    detail.message.payload = Payload::parse(r#"{"x":"ää"}"#, PayloadLimits::default()).unwrap();
    let (whole, cut) = body_sent(&detail, id(1), 1_000);
    assert!(
        !cut && whole.ends_with(r#","payload":{"x":"ää"}}"#),
        "{whole}"
    );
    assert!(whole.contains(r#""channel":"web""#), "{whole}");
    let (short, cut) = body_sent(&detail, id(1), whole.len() - 5);
    assert!(cut && short.ends_with('ä') && short.len() < whole.len());
}
