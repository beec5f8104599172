//! Known objects, schedules and backlogs.

use std::sync::Arc;

use super::setup::*;
use crate::{
    db::{OwnerKind, PushedTick, Tick},
    domain::{
        key::{SchedulerKey, StoreKey},
        known_object::ObjectNews,
        message::Source,
        settle::ReturnedObject,
    },
};

fn news(store: StoreKey, raws: &[&str]) -> ObjectNews {
    let object = |raw: &&str| ReturnedObject {
        kind: "order".into(),
        id: "R1".into(),
        raw: (*raw).into(),
    };
    ObjectNews {
        store,
        source: Source::Push("shop".into()),
        ancestry: None,
        test: false,
        objects: raws.iter().map(object).collect(),
        sent: Vec::new(),
    }
}

pub(in crate::db) async fn pushed_objects_are_merged_and_told_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let first = news(
        hub.store,
        &[r#"{"id":"R1","total":1}"#, r#"{"id":"R1","paid":true}"#],
    );
    let learnt = hub.db.object_merge(first.clone(), T0).await.unwrap();
    assert_eq!((learnt.messages, learnt.unchanged), (2, 0));
    let learnt = hub.db.object_merge(first, at(1)).await.unwrap();
    assert_eq!((learnt.messages, learnt.unchanged), (0, 2));
    let hub = hub.again(rig).await;
    let state = hub.db.object_state(hub.store, "order", "R1").await.unwrap();
    let state = state.expect("it is known");
    assert_eq!(state.raw, r#"{"id":"R1","total":1,"paid":true}"#);
    assert_eq!(state.updated_at, T0, "the repeat changed nothing");
    let other = new_store(&*hub.db, "Other").await;
    assert_eq!(
        hub.db.object_state(other, "order", "R1").await.unwrap(),
        None,
        "stores know nothing of each other"
    );
    let waiting = hub.waiting(10, Vec::new()).await;
    let kinds: Vec<&str> = waiting
        .iter()
        .map(|one| one.message.kind.as_str())
        .collect();
    assert_eq!(kinds, ["order:new", "order:updated"]);
}

pub(in crate::db) async fn returned_objects_are_merged_with_the_settlement(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let read = hub.due(T0).await.remove(0);
    let mut settlement = hub.settlement(&read, completed());
    settlement.objects = Some(Box::new(ObjectNews {
        ancestry: Some(read.message.descend()),
        ..news(hub.store, &[r#"{"id":"R1","shopify_id":"88"}"#])
    }));
    let twice = vec![settlement.clone(), settlement];
    let settled = hub.db.accepted_settle(Arc::new(twice), T0).await.unwrap();
    let messages: Vec<u64> = settled.iter().map(|settled| settled.messages).collect();
    assert_eq!(messages, [1, 0], "the second found nothing to settle");
    let state = hub.db.object_state(hub.store, "order", "R1").await.unwrap();
    assert!(state.is_some());
}

pub(in crate::db) async fn a_tick_is_pushed_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let epoch = hub
        .db
        .owner_claim(OwnerKind::Scheduler, hub.store.0)
        .await
        .unwrap();
    let tick = |n: u64| Tick {
        scheduler: SchedulerKey(77),
        tick: at(n),
        missed: 3,
        message: message(hub.store, "hub:poll", "none"),
    };
    let push = |ticks, epoch| hub.db.schedule_push(hub.store, epoch, ticks, at(9));
    let pushed = push(vec![tick(1), tick(1), tick(2)], epoch).await.unwrap();
    assert_eq!(
        pushed,
        [PushedTick::Pushed, PushedTick::Known, PushedTick::Pushed]
    );
    assert_eq!(
        push(vec![tick(1)], epoch).await.unwrap(),
        [PushedTick::Known]
    );
    assert_eq!(
        push(vec![tick(3)], epoch - 1).await.unwrap(),
        [PushedTick::Fenced]
    );
    let runs = hub.db.schedule_runs().await.unwrap();
    let [run] = runs[..] else { panic!("{runs:?}") };
    assert_eq!(
        (run.store, run.tick, run.ran_at, run.missed),
        (hub.store, at(2), at(9), 3)
    );
    assert_eq!(hub.incoming().await.len(), 2);
}

pub(in crate::db) async fn a_backlog_counts_what_waits_and_not_what_is_parked(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    assert_eq!(
        hub.db.accepted_backlog(ENDPOINT, 10).await.unwrap(),
        crate::db::Backlog::default()
    );
    for order in ["R1", "R1", "R2", "R3"] {
        hub.deliver(order).await;
    }
    let (key, _) = hub.push("R4").await;
    hub.route(vec![routed(hub.store, key, vec![hub.to(MAPPING, None)])])
        .await;
    let backlog = hub.db.accepted_backlog(ENDPOINT, 10).await.unwrap();
    assert_eq!((backlog.waiting, backlog.oldest_at), (5, Some(T0)));
    let bounded = hub.db.accepted_backlog(ENDPOINT, 2).await.unwrap();
    assert_eq!(bounded.waiting, 2);
    let due = hub.due(T0).await;
    let other = due.iter().find(|one| order_of(one) == "R3").unwrap();
    hub.must_settle(other, parked(), T0).await;
    let backlog = hub.db.accepted_backlog(ENDPOINT, 10).await.unwrap();
    assert_eq!(backlog.waiting, 4);
}

pub(in crate::db) async fn nothing_known_of_a_deleted_store_is_left(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let other = new_store(&*hub.db, "Other").await;
    for (number, store) in [(1, hub.store), (2, other)] {
        let raws = &[r#"{"id":"R1","total":1}"#];
        hub.db.object_merge(news(store, raws), T0).await.unwrap();
        let epoch = hub.db.owner_claim(OwnerKind::Scheduler, store.0).await;
        let tick = Tick {
            scheduler: SchedulerKey(number),
            tick: at(1),
            missed: 0,
            message: message(store, "hub:poll", "none"),
        };
        let pushed = hub
            .db
            .schedule_push(store, epoch.unwrap(), vec![tick], at(9));
        assert_eq!(pushed.await.unwrap(), [PushedTick::Pushed]);
    }
    assert!(hub.db.poll_forget(hub.store, 10).await.unwrap() > 0);
    assert_eq!(hub.db.poll_forget(hub.store, 10).await.unwrap(), 0);
    let known = |store| hub.db.object_state(store, "order", "R1");
    assert_eq!(known(hub.store).await.unwrap(), None);
    assert!(known(other).await.unwrap().is_some());
    let runs = hub.db.schedule_runs().await.unwrap();
    let stores: Vec<StoreKey> = runs.iter().map(|run| run.store).collect();
    assert_eq!(stores, [other]);
}
