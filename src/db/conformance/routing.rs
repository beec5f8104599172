//! Routing decisions: fan-out in chunks, nobody's messages, the fence of version and epoch.

use std::sync::Arc;

use super::setup::*;
use crate::{
    db::{RouteOutcome, RouteProgress, ShardSet, Skip},
    domain::{
        delivery::SkipReason,
        key::{EndpointKey, MappingKey},
    },
};

pub(in crate::db) async fn a_fan_out_stores_the_payload_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (key, id) = hub.push("R1").await;
    let all = (1..=10).map(|n| hub.to(MappingKey(n), None)).collect();
    hub.route(vec![routed(hub.store, key, all)]).await;
    let due = hub.due(T0).await;
    assert_eq!(due.len(), 10);
    assert!(
        due.iter()
            .all(|delivery| Arc::ptr_eq(&delivery.message, &due[0].message))
    );
    assert!(
        due.iter()
            .all(|delivery| delivery.message.id == id && delivery.id != id)
    );
    assert_eq!(hub.incoming().await, []);
}

pub(in crate::db) async fn chunks_of_a_fan_out_survive_and_never_deliver_twice(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (key, _) = hub.push("R1").await;
    let chunk = |from: i64, to: i64, progress| {
        let mut chunk = routed(
            hub.store,
            key,
            (from..=to).map(|n| hub.to(MappingKey(n), None)).collect(),
        );
        chunk.progress = progress;
        chunk
    };
    let first = chunk(1, 3, RouteProgress::UpTo(MappingKey(3)));
    let second = chunk(4, 6, RouteProgress::UpTo(MappingKey(6)));
    // This one's router had not seen the second chunk's commit.
    let last = chunk(4, 8, RouteProgress::Done);
    hub.route(vec![first.clone()]).await;
    hub.route(vec![first.clone(), second]).await;
    let hub = hub.again(rig).await;
    let waiting = hub.waiting(10, Vec::new()).await;
    assert_eq!(waiting[0].routed_up_to, Some(MappingKey(6)));
    hub.route(vec![last.clone(), last, first]).await;
    assert_eq!(hub.incoming().await, []);
    let mut mappings: Vec<i64> = hub
        .due(T0)
        .await
        .iter()
        .map(|delivery| delivery.mapping.0)
        .collect();
    mappings.sort_unstable();
    assert_eq!(mappings, [1, 2, 3, 4, 5, 6, 7, 8]);
}

pub(in crate::db) async fn a_message_nobody_wanted_is_routed_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (key, _) = hub.push("R1").await;
    let mut decision = routed(hub.store, key, Vec::new());
    decision.skipped = vec![Skip {
        mapping: MAPPING,
        reason: SkipReason::Disabled,
    }];
    hub.route(vec![decision.clone()]).await;
    hub.route(vec![decision]).await;
    assert_eq!(hub.incoming().await, []);
    assert_eq!(hub.due(T0).await, []);
}

pub(in crate::db) async fn an_older_registry_or_owner_routes_nothing(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (key, _) = hub.push("R1").await;
    let decision = vec![routed(hub.store, key, vec![hub.to(MAPPING, Some("R1"))])];
    new_store(&*hub.db, "Another").await;
    let older = hub
        .db
        .incoming_route(decision.clone(), hub.version, hub.router.clone(), T0)
        .await
        .unwrap();
    assert_eq!(older, RouteOutcome::RegistryMoved);
    let router = hub.db.router_claim(ShardSet::ALL).await.unwrap();
    assert!(
        ShardSet::ALL
            .iter()
            .all(|shard| router.epoch_of(shard) > hub.router.epoch_of(shard))
    );
    let former = hub
        .db
        .incoming_route(decision.clone(), hub.version + 1, hub.router.clone(), T0)
        .await
        .unwrap();
    assert_eq!(former, RouteOutcome::Fenced);
    assert_eq!(hub.incoming().await, [key]);
    let written = hub
        .db
        .incoming_route(decision, hub.version + 1, router, T0)
        .await
        .unwrap();
    assert_eq!(
        written,
        RouteOutcome::Done {
            endpoints: vec![EndpointKey(ENDPOINT.0)],
            accepted: 1,
            derived: 0
        }
    );
}
