//! Two nodes on one database: what they do to the same lanes, and what they tell each other.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    db::{DbError, ErasureStep, NewErasure, SettleOutcome, postgres::Hint},
    domain::{erasure::ErasureSubject, reference::ObjectRef},
};

/// A dispatcher whose node has not heard of a mapping yet would archive what is for it.
#[tokio::test]
async fn a_mapping_that_another_node_made_is_not_taken_for_a_deleted_one() {
    let shop = Shop::start(Micros(1_800_000_000_000_000)).await;
    let body = r#"{"name":"acme.send_order","url":"http://endpoint.example","messages":["order:new"],"enabled":true}"#;
    let create = EntityChange::Create {
        store: Some(shop.store),
        subject: None,
        entity: Entity::from_json("mapping", body).unwrap(),
    };
    let made = shop.db.registry_change(vec![create], shop.now).await;
    let mapping = made.unwrap().rows.remove(0).key;
    let keys = shop.push(&orders(1)).await;
    let mut routed = shop.routed(keys[0], "R0");
    routed.deliveries[0].mapping = MappingKey(mapping);
    let (batch, now) = (vec![routed], shop.now);
    let outcome = shop
        .db
        .incoming_route(batch, shop.version + 1, shop.router.clone(), now)
        .await;
    assert!(matches!(outcome, Ok(RouteOutcome::Done { .. })));
    let head = shop.due().await.remove(0);
    let remove = || {
        let mut settlement = shop.settlement(&head, Disposition::Removed);
        settlement.attempt = None;
        shop.db.accepted_settle(Arc::new(vec![settlement]), now)
    };
    let settled = remove().await.unwrap().remove(0);
    assert!(settled.registry_moved && settled.lane_moved, "{settled:?}");
    assert_eq!(shop.due().await[..], *std::slice::from_ref(&head));
    let delete = EntityChange::Delete { key: mapping };
    shop.db.registry_change(vec![delete], now).await.unwrap();
    let settled = remove().await.unwrap().remove(0);
    assert_eq!(settled.outcome, SettleOutcome::Written);
    assert_eq!(shop.due().await, []);
}

/// The last settlement of a lane and a new delivery into it must not miss each other: the lane would have rows and no head.
#[tokio::test]
async fn a_lane_never_loses_its_head_to_a_race() {
    let url = cluster().database();
    let one = Arc::new(Shop::at(&url, Micros(1_800_000_000_000_000)).await);
    let other = open(&url);
    const DELIVERIES: usize = 150;
    let pusher = {
        let shop = Arc::clone(&one);
        tokio::spawn(async move {
            for _ in 0..DELIVERIES {
                shop.deliver(&["R1".to_owned(), "R2".to_owned()]).await;
            }
        })
    };
    let (mut done, mut last) = (0, 0);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while done < 2 * DELIVERIES {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{done} were delivered, then a lane stood still"
        );
        let due = other
            .accepted_due(ENDPOINT, one.now, 10, Vec::new().into())
            .await
            .unwrap()
            .deliveries;
        for delivery in &due {
            assert!(
                delivery.message.about.primary.as_ref().unwrap().token() != "R1"
                    || delivery.key.0 > last,
                "out of order"
            );
            if delivery.message.about.primary.as_ref().unwrap().token() == "R1" {
                last = delivery.key.0;
            }
        }
        let batch = due
            .iter()
            .map(|delivery| one.settlement(delivery, Disposition::Completed { result: None }))
            .collect();
        let settled = other
            .accepted_settle(Arc::new(batch), one.now)
            .await
            .unwrap();
        done += settled
            .iter()
            .filter(|settled| settled.outcome == SettleOutcome::Written)
            .count();
    }
    pusher.await.unwrap();
    let stats = one.db.queue_stats(one.store).await.unwrap();
    assert_eq!((stats.pending, stats.archived), (0, 2 * DELIVERIES as u64));
}

#[tokio::test]
async fn what_one_node_writes_wakes_the_others() {
    let url = cluster().database();
    let (sender, heard) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let mut options = PostgresOptions::new(&url);
    options.on_hint = Some(Arc::new(move |hint: Hint| {
        drop(sender.lock().unwrap().send(hint))
    }));
    let listening = PostgresBackend::open(options).unwrap();
    // The first hint says that it listens now.
    let first = tokio::task::spawn_blocking(move || {
        heard
            .recv_timeout(Duration::from_secs(60))
            .map(|hint| (hint, heard))
    });
    let (hint, heard) = first.await.unwrap().unwrap();
    assert!(hint.all);
    let shop = Shop::at(&url, Micros(1_800_000_000_000_000)).await;
    shop.deliver(&orders(1)).await;
    let wait = move || {
        let mut whole = Hint::default();
        while !(whole.incoming && whole.registry && whole.endpoints.contains(&ENDPOINT.0)) {
            whole.add(heard.recv_timeout(Duration::from_secs(60)).unwrap());
        }
    };
    tokio::task::spawn_blocking(wait).await.unwrap();
    drop(listening);
}

/// Steps of several nodes are taken one after the other, and none is counted twice.
#[tokio::test]
async fn two_nodes_erase_the_same_once() {
    let url = cluster().database();
    let one = Shop::at(&url, Micros(1_800_000_000_000_000)).await;
    let other = open(&url);
    for _ in 0..20 {
        one.deliver(&["R1".to_owned()]).await;
    }
    one.push(&vec!["R1".to_owned(); 10]).await;
    let new = NewErasure {
        store: one.store,
        subject: ErasureSubject::Object(ObjectRef::new("order", "R1").unwrap()),
        who: "Ann".into(),
    };
    one.db.erasure_insert(new, one.now).await.unwrap();
    let mut archived = 0;
    for _ in 0..100 {
        let steps = tokio::join!(
            one.db.erasure_step(4, one.now),
            other.erasure_step(4, one.now)
        );
        let steps = [steps.0.unwrap(), steps.1.unwrap()];
        for step in &steps {
            if let ErasureStep::Worked { archived: more } = step {
                archived += more.len();
            }
        }
        if steps == [ErasureStep::Idle, ErasureStep::Idle] {
            break;
        }
    }
    let done = one.db.erasure_list(one.store, None, 10).await.unwrap();
    assert!(done[0].done_at.is_some());
    let rows = done[0].rows;
    assert_eq!((rows.objects, rows.messages, rows.deliveries), (1, 30, 20));
    assert_eq!(archived, 20);
    let stats = one.db.queue_stats(one.store).await.unwrap();
    assert_eq!((stats.incoming, stats.pending, stats.archived), (0, 0, 30));
}

/// After a write failed, small changes prove nothing.
#[tokio::test]
async fn after_a_failed_write_something_large_must_find_room() {
    let url = cluster().database();
    let db = open(&url);
    cluster().sql(&url, "ALTER TABLE probe RENAME TO full_disk");
    db.ping().await.unwrap();
    db.core.tally.note_failure(&DbError::Full);
    assert!(db.ping().await.is_err());
    cluster().sql(&url, "ALTER TABLE full_disk RENAME TO probe");
    db.ping().await.unwrap();
    assert_eq!(cluster().sql(&url, "SELECT count(*) FROM probe"), "0");
}
