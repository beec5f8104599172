use super::*;
use crate::domain::{
    id::IdSeal,
    json::Payload,
    json::PayloadLimits,
    key::{MessageKey, StoreKey},
    message::{Message, Source},
    reference::object_of,
    registry::{Entity, EntityRow, Registry, Store},
    time::Micros,
};

fn row(key: i64, entity: Entity, version: i64) -> EntityRow {
    EntityRow {
        key,
        id: IdSeal::new(1).seal(key, Micros(0)),
        store: Some(StoreKey(1)),
        subject: None,
        entity,
        created_at: Micros(0),
        updated_at: Micros(0),
        deleted: false,
        version,
    }
}

fn mapping(json: serde_json::Value) -> Entity {
    let mut mapping = serde_json::json!({"name": "m", "url": "http://sink.example/", "messages": ["order:new"], "enabled": true});
    mapping
        .as_object_mut()
        .unwrap()
        .extend(json.as_object().unwrap().clone());
    Entity::from_json("mapping", &mapping.to_string()).unwrap()
}

fn registry(mappings: Vec<serde_json::Value>) -> Registry {
    let shop = Store {
        name: "shop".into(),
        api_url: None,
        api_key: None,
        source: None,
        version: None,
        webhook_secret: None,
    };
    let mut rows = vec![row(1, Entity::Store(shop), 1)];
    rows.extend(
        mappings
            .into_iter()
            .enumerate()
            .map(|(at, json)| row(10 + at as i64, mapping(json), 1)),
    );
    Registry::default().apply(rows, 1)
}

fn incoming(kind: &str, payload: serde_json::Value) -> Incoming {
    let kind = MessageType::parse(kind).unwrap();
    let payload = Payload::parse(&payload.to_string(), PayloadLimits::default()).unwrap();
    let message = Message {
        key: MessageKey(5),
        id: IdSeal::new(1).seal(5, Micros(0)),
        store: StoreKey(1),
        about: object_of(&kind, &payload),
        kind,
        payload,
        source: Source::Poller,
        ancestry: None,
        test: false,
        extra: None,
        accepted_at: Micros(0),
    };
    Incoming {
        message: message.into(),
        routed_up_to: None,
    }
}

fn order(status: &str) -> serde_json::Value {
    serde_json::json!({"order": {"number": "R1", "status": status}})
}

fn decide(registry: &Registry, incoming: &Incoming, chunk: usize) -> Decision {
    route(incoming, &registry.stores[&StoreKey(1)], chunk)
}

fn keys(decision: &Decision) -> Vec<i64> {
    decision
        .deliveries
        .iter()
        .map(|delivery| delivery.mapping.0)
        .collect()
}

#[test]
fn only_mappings_of_the_type_get_a_message_in_any_of_its_spellings() {
    let registry = registry(vec![
        serde_json::json!({"messages": ["order:canceled"]}),
        serde_json::json!({"messages": ["order:*"]}),
        serde_json::json!({"messages": ["user:new"]}),
        serde_json::json!({"messages": ["order:cancel"]}),
    ]);
    let decision = decide(
        &registry,
        &incoming("order:cancelled", order("canceled")),
        100,
    );
    assert_eq!(keys(&decision), [10, 11, 13]);
    assert_eq!(decision.skipped, []);
    assert_eq!(decision.progress, RouteProgress::Done);
}

#[test]
fn a_refused_message_says_which_filter_refused_it() {
    let filters = serde_json::json!({"filters": [{"path": "payload.order.status", "operator": "eq", "value": "complete"}]});
    let registry = registry(vec![filters]);
    assert_eq!(
        keys(&decide(
            &registry,
            &incoming("order:new", order("complete")),
            9
        )),
        [10]
    );
    let decision = decide(&registry, &incoming("order:new", order("cart")), 9);
    let reason = SkipReason::Filtered("payload.order.status eq complete".into());
    assert_eq!(
        decision.skipped,
        [Skip {
            mapping: MappingKey(10),
            reason
        }]
    );
}

#[test]
fn a_disabled_mapping_is_skipped_for_that_reason() {
    let registry = registry(vec![serde_json::json!({"enabled": false})]);
    let decision = decide(&registry, &incoming("order:new", order("complete")), 9);
    assert_eq!(
        decision.skipped,
        [Skip {
            mapping: MappingKey(10),
            reason: SkipReason::Disabled
        }]
    );
}

#[test]
fn the_lane_is_the_object_s_unless_the_mapping_wants_no_order() {
    let registry = registry(vec![
        serde_json::json!({}),
        serde_json::json!({"options": {"ordered": false}}),
    ]);
    let one = decide(&registry, &incoming("order:new", order("complete")), 9);
    let two = decide(&registry, &incoming("order:new", order("cart")), 9);
    assert!(one.deliveries[0].lane.is_some());
    assert_eq!(one.deliveries[0].lane, two.deliveries[0].lane);
    assert_eq!(one.deliveries[1].lane, None);
}

#[test]
fn identifier_values_are_claimed_and_told() {
    let identifiers = serde_json::json!({"identifiers": {"order_number": "payload.order.number"}});
    let registry = registry(vec![identifiers]);
    let decision = decide(&registry, &incoming("order:new", order("complete")), 9);
    assert_eq!(
        decision.deliveries[0].claim.as_ref().unwrap().text,
        "order_number=R1"
    );
}

#[test]
fn a_wide_fan_out_goes_on_where_the_last_chunk_ended() {
    let registry = registry((0..7).map(|_| serde_json::json!({})).collect());
    let mut message = incoming("order:new", order("complete"));
    let (mut seen, mut chunks) = (Vec::new(), 0);
    loop {
        let decision = decide(&registry, &message, 3);
        seen.extend(keys(&decision));
        chunks += 1;
        match decision.progress {
            RouteProgress::Done => break,
            RouteProgress::UpTo(last) => message.routed_up_to = Some(last),
        }
    }
    assert_eq!((seen, chunks), ((10..17).collect(), 3));
}

#[test]
fn a_changed_mapping_is_in_force_in_the_next_snapshot_only() {
    let before = registry(vec![serde_json::json!({})]);
    let after = before.apply(
        vec![row(
            10,
            mapping(serde_json::json!({"messages": ["user:new"]})),
            2,
        )],
        2,
    );
    let message = incoming("order:new", order("complete"));
    assert_eq!(keys(&decide(&before, &message, 9)), [10]);
    assert_eq!(keys(&decide(&after, &message, 9)), Vec::<i64>::new());
}
