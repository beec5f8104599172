use super::*;
use crate::domain::{
    key::{MappingKey, StoreKey},
    registry::{Entity, EntityRow, Mapping, Registry, Store},
    time::Micros,
};

/// A store with one mapping, `acme.send_order`.
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
    let mapping: Mapping = serde_json::from_str(
        r#"{"name":"acme.send_order","url":"http://x.example/","messages":["order:new"],"enabled":true}"#,
    )
    .unwrap();
    let rows = vec![
        row(1, "54d1c0aa84a81618ab000001", Entity::Store(store)),
        row(2, "54d1c0aa84a81618ab000002", Entity::Mapping(mapping)),
    ];
    Registry::default().apply(rows, 1).stores[&StoreKey(1)].clone()
}

fn asked(queue: Queue, text: &str) -> Result<Asked, Vec<String>> {
    let types = ["order:cancel", "order:canceled", "order:new"].map(str::to_owned);
    let mut query = Query::read(text, &FILTERS);
    let page = query.page();
    let asked = read(&mut query, queue, page, &types, &store());
    query
        .finish()
        .map(|()| asked)
        .map_err(|error| error.document().errors.to_vec())
}

fn rows(queue: Queue, text: &str) -> QueueQuery {
    match asked(queue, text) {
        Ok(Asked::Rows(query)) => *query,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn states_are_read_under_both_names() {
    for text in ["state=pending", "filter_state=Pending"] {
        assert_eq!(
            rows(Queue::Accepted, text).states,
            Some(vec![WaitState::Pending, WaitState::Held]),
            "{text}"
        );
    }
    assert_eq!(
        rows(Queue::Accepted, "state=held").states,
        Some(vec![WaitState::Held])
    );
    assert_eq!(rows(Queue::Accepted, "").states, None);
    assert_eq!(
        rows(Queue::Archived, "state=never_processed").reasons,
        Some(vec![ArchiveReason::NoSubscriber, ArchiveReason::NotWanted])
    );
    let errors = asked(Queue::Accepted, "state=broken").expect_err("no state");
    assert!(
        errors[0].starts_with("state: must be one of pending"),
        "{errors:?}"
    );
}

#[test]
fn the_archive_lists_completed_ones_unless_asked_for_more() {
    assert_eq!(
        rows(Queue::Archived, "").reasons,
        Some(vec![ArchiveReason::Completed])
    );
    assert_eq!(
        rows(Queue::Archived, "message=order:new").reasons,
        Some(vec![ArchiveReason::Completed])
    );
    let incoming = rows(Queue::Archived, "source=incoming");
    assert_eq!(
        (incoming.reasons, incoming.source),
        (None, Some(ArchivedSource::Incoming))
    );
    assert_eq!(rows(Queue::Archived, "object=order/R123").reasons, None);
    assert_eq!(
        rows(Queue::Archived, "message_id=54d1c0aa84a81618ab000003").reasons,
        None
    );
    assert_eq!(rows(Queue::Accepted, "source=accepted").source, None);
}

#[test]
fn a_filter_that_fits_nothing_here_gives_an_empty_page() {
    for (queue, text) in [
        (Queue::Archived, "state=parked"),
        (Queue::Accepted, "state=completed"),
        (Queue::Incoming, "state=failing"),
        (Queue::Incoming, "mapping_id=54d1c0aa84a81618ab000002"),
        (Queue::Accepted, "mapping_id=54d1c0aa84a81618ab000009"),
        (Queue::Accepted, "consumer_class=nobody.here"),
    ] {
        assert_eq!(asked(queue, text), Ok(Asked::Nothing), "{text}");
    }
}

#[test]
fn a_type_is_asked_for_in_all_its_spellings() {
    let canceled = Some(vec![
        "order:cancel".to_owned(),
        "order:canceled".to_owned(),
        "order:cancelled".to_owned(),
    ]);
    assert_eq!(
        rows(Queue::Accepted, "message=order:cancelled").kinds,
        canceled
    );
    assert_eq!(
        rows(Queue::Accepted, "message=order:new").kinds,
        Some(vec!["order:new".to_owned()])
    );
}

#[test]
fn a_mapping_is_named_by_id_or_name() {
    for text in [
        "mapping_id=54d1c0aa84a81618ab000002",
        "consumer_class=acme.send_order",
    ] {
        assert_eq!(
            rows(Queue::Accepted, text).mapping,
            Some(MappingKey(2)),
            "{text}"
        );
    }
}

#[test]
fn every_wrong_filter_is_told() {
    let errors = asked(
        Queue::Archived,
        "message_id=7&mapping_id=x&object=R123&source=away&start_date=yesterday&end_date=never&page=x&sort=up",
    )
    .expect_err("all wrong");
    let fields: Vec<&str> = errors
        .iter()
        .filter_map(|error| error.split(':').next())
        .collect();
    assert_eq!(
        fields,
        [
            "sort",
            "page",
            "message_id",
            "object",
            "source",
            "mapping_id",
            "start_date",
            "end_date"
        ]
    );
}
