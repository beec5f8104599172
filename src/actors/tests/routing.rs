//! The router: what is configured is in force, fan-outs are whole, nothing vanishes.

use super::rig::{Act, Rig, Stage, counts, until};
use crate::db::{EntityChange, EventQuery};
use crate::domain::{
    json::{Payload, PayloadLimits},
    message::{NewMessage, Source},
    message_type::MessageType,
    reference::About,
};

#[actix_web::test]
async fn a_mapping_made_before_a_push_gets_it_and_one_deleted_before_does_not() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    for round in 0..20 {
        let name = format!("m{round}");
        let mapping = rig.mapping(&name, "order:new").await;
        rig.push(&format!("R{round}")).await;
        rig.until_archived(round + 1).await;
        rig.hub
            .change_registry(vec![EntityChange::Delete { key: mapping.0 }])
            .await
            .expect("deleted");
        assert_eq!(
            rig.stage.orders_at(&format!("/{name}")),
            [format!("R{round}")]
        );
    }
}

#[actix_web::test]
async fn a_wide_fan_out_in_chunks_reaches_everyone_once_and_in_order() {
    let rig = Rig::start_with(Stage::new(|_, _| Act::Answer(200)), |config| {
        config.router.fanout_chunk = 3
    })
    .await;
    for mapping in 0..10 {
        rig.mapping(&format!("m{mapping}"), "order:*").await;
    }
    let first = rig.push("R1").await;
    let second = rig.push("R1").await;
    rig.until_archived(20).await;
    assert!(first != second);
    let paths: Vec<String> = rig.stage.seen().into_iter().map(|seen| seen.path).collect();
    assert!(
        counts(&paths).values().all(|count| *count == 2),
        "{paths:?}"
    );
}

#[actix_web::test]
async fn a_message_nobody_wants_is_archived() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    rig.mapping("acme", "product:new").await;
    rig.push("R1").await;
    rig.until_archived(1).await;
    assert!(rig.stage.seen().is_empty());
}

#[actix_web::test]
async fn a_pushed_notification_is_an_entry_for_people_and_a_message_like_any_other() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    rig.mapping("mail", "notification:error").await;
    let text = r#"{"subject":"No stock","description":"of ROR-1","sku":"ROR-1"}"#;
    let message = NewMessage {
        store: rig.store,
        kind: MessageType::parse("notification:error").expect("a type"),
        payload: Payload::parse(text, PayloadLimits::default()).expect("a payload"),
        about: About::given("product", "ROR-1").expect("a reference"),
        source: Source::Push("shop".into()),
        ancestry: None,
        test: false,
        extra: None,
    };
    rig.hub
        .accept(vec![crate::db::Acceptance {
            message,
            idempotency: None,
        }])
        .await
        .expect("accepted");
    rig.until_archived(1).await;
    let event = until("the event is there", || async {
        let query = EventQuery {
            store: rig.store,
            level: None,
            reference_type: Some("product".into()),
            reference_token: Some("ror-1".into()),
            message: None,
            after: None,
            skip: 0,
            limit: 5,
        };
        rig.hub
            .backend()
            .event_list(query)
            .await
            .expect("events")
            .rows
            .pop()
    })
    .await;
    assert_eq!(
        (
            event.subject.as_str(),
            event.description.as_str(),
            event.origin.as_str()
        ),
        ("No stock", "of ROR-1", "shop")
    );
    assert_eq!(event.attributes.as_deref(), Some(r#"{"sku":"ROR-1"}"#));
}
