use super::*;
use crate::{
    db::{EventRow, Locator, MessageRef, Skip},
    domain::{
        delivery::{Attempt, SkipReason, WaitState},
        event::Level,
        id::Id,
        key::{EventKey, MappingKey, StoreKey},
        message::Source,
        registry::{Entity, EntityRow, Registry, Store},
        time::Micros,
    },
};
use serde_json::json;

fn id(last: u8) -> Id {
    format!("55f2a0b784a8160c7b0000{last:02x}").parse().unwrap()
}

fn store() -> std::sync::Arc<StoreSnapshot> {
    let store = Store {
        name: "shop".into(),
        api_url: None,
        api_key: None,
        source: None,
        version: None,
        webhook_secret: None,
    };
    let row = EntityRow {
        key: 1,
        id: id(1),
        store: None,
        subject: None,
        entity: Entity::Store(store),
        created_at: Micros(0),
        updated_at: Micros(0),
        deleted: false,
        version: 1,
    };
    Registry::default().apply(vec![row], 1).stores[&StoreKey(1)].clone()
}

#[test]
fn each_entry_says_what_it_is_and_when() {
    let entries = [
        TimelineEntry::Message(MessageRef {
            key: 1,
            id: id(2),
            kind: "order:new".into(),
            source: Source::Poller,
            parent_id: None,
            location: Locator::Routed,
            at: Micros(0),
            skipped: vec![Skip {
                mapping: MappingKey(9),
                reason: SkipReason::Filtered("payload.x eq 1".into()),
            }],
        }),
        TimelineEntry::Delivery {
            id: id(3),
            message_id: id(2),
            kind: "order:new".into(),
            mapping: MappingKey(9),
            location: Locator::Accepted(WaitState::Parked),
            attempts: 1,
            due_at: None,
            last_error: Some("500".into()),
            at: Micros(1_000_000),
            completed_at: None,
        },
        TimelineEntry::Attempt {
            delivery_id: id(3),
            mapping: MappingKey(9),
            attempt: Attempt {
                number: 1,
                started_at: Micros(2_000_000),
                duration_us: 1_500,
                url: "http://x.example/".into(),
                status: Some(500),
                outcome: "status_500".into(),
                error: "500".into(),
                request_headers: "{}".into(),
                request_bytes: 2,
                answer_headers: "{}".into(),
                answer_body: String::new(),
                answer_bytes: 0,
            },
        },
        TimelineEntry::Event(EventRow {
            key: EventKey(4),
            id: id(4),
            level: Level::Error,
            subject: "Rejected".into(),
            description: String::new(),
            reference: None,
            message_id: Some(id(3)),
            origin: "acme".into(),
            attributes: None,
            occurrences: 1,
            first_at: Micros(3_000_000),
            last_at: Micros(3_000_000),
        }),
    ];
    let store = store();
    let shown: Vec<_> = entries
        .map(|entry| serde_json::to_value(document(entry, &store)).unwrap())
        .into();
    let words: Vec<_> = shown
        .iter()
        .map(|entry| {
            (
                entry["entry"].as_str().unwrap(),
                entry["at"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        words,
        [
            ("message", "1970-01-01T00:00:00.000Z"),
            ("delivery", "1970-01-01T00:00:01.000Z"),
            ("attempt", "1970-01-01T00:00:02.000Z"),
            ("event", "1970-01-01T00:00:03.000Z"),
        ]
    );
    assert_eq!(shown[0]["skipped"][0]["detail"], "payload.x eq 1");
    assert_eq!(
        (&shown[0]["state"], &shown[0]["origin"]["kind"]),
        (&json!("routed"), &json!("poller"))
    );
    assert_eq!(
        (&shown[1]["state"], &shown[1]["parent_id"]),
        (&json!("parked"), &json!(id(2).to_string()))
    );
    assert_eq!(
        (&shown[2]["duration_ms"], &shown[2]["status"]),
        (&json!(1.5), &json!(500))
    );
    assert_eq!(
        (&shown[3]["level"], &shown[3]["subject"]),
        (&json!("error"), &json!("Rejected"))
    );
}
