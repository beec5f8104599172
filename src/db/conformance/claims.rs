//! Claims: a mapping takes what its identifiers call the same thing once.

use super::setup::*;
use crate::domain::{
    delivery::{Claim, Delivery},
    time::Micros,
};

async fn deliver(hub: &Hub, claim: Option<Claim>, now: Micros) -> Option<Delivery> {
    let before: Vec<_> = hub
        .due(now)
        .await
        .iter()
        .map(|delivery| delivery.key)
        .collect();
    let (key, _) = hub.push("R1").await;
    let mut delivery = hub.to(MAPPING, None);
    delivery.claim = claim;
    hub.route_at(vec![routed(hub.store, key, vec![delivery])], now)
        .await;
    hub.due(now)
        .await
        .into_iter()
        .find(|delivery| !before.contains(&delivery.key))
}

pub(in crate::db) async fn a_mapping_takes_the_same_thing_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let first = deliver(&hub, claim(1), T0).await.unwrap();
    assert_eq!(deliver(&hub, claim(1), T0).await, None);
    assert!(deliver(&hub, claim(2), T0).await.is_some());
    hub.must_settle(&first, completed(), T0).await;
    assert_eq!(
        deliver(&hub, claim(1), T0).await,
        None,
        "a success keeps the claim"
    );
}

pub(in crate::db) async fn a_claim_is_free_again_after_an_end_without_success(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let first = deliver(&hub, claim(1), T0).await.unwrap();
    hub.must_settle(&first, parked(), T0).await;
    assert_eq!(
        deliver(&hub, claim(1), T0).await,
        None,
        "a parked delivery may still be sent"
    );
    hub.db
        .accepted_archive(hub.store, first.key, "Ann", T0)
        .await
        .unwrap();
    assert!(deliver(&hub, claim(1), T0).await.is_some());
}

pub(in crate::db) async fn a_claim_expires(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    assert!(deliver(&hub, claim(1), T0).await.is_some());
    let day = 86_400;
    assert_eq!(deliver(&hub, claim(1), at(29 * day)).await, None);
    assert!(deliver(&hub, claim(1), at(30 * day)).await.is_some());
}

pub(in crate::db) async fn no_claim_claims_nothing(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    assert!(deliver(&hub, None, T0).await.is_some());
    assert!(deliver(&hub, None, T0).await.is_some());
}
