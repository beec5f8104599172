//! Settling attempts: the fence, and what is written along with a delivery's next place.

use std::sync::Arc;

use super::setup::*;
use crate::{
    db::{OwnerKind, SettleOutcome},
    domain::{
        delivery::Disposition,
        parameter::{DataType, ReturnedParameter},
        registry::Entity,
    },
};

pub(in crate::db) async fn a_late_success_settles(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let late = hub.due(T0).await.remove(0);
    hub.must_settle(&late, failing(at(1)), T0).await;
    hub.db
        .owner_claim(OwnerKind::Dispatcher, ENDPOINT.0)
        .await
        .unwrap();
    hub.must_settle(&late, completed(), at(1)).await;
    assert_eq!(hub.due(at(100)).await, []);
}

pub(in crate::db) async fn a_late_failure_is_fenced_off(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let read = hub.due(T0).await.remove(0);
    hub.must_settle(&read, failing(at(1)), T0).await;
    let again = hub.settle(&read, failing(at(99)), T0).await;
    assert_eq!(
        again.outcome,
        SettleOutcome::Fenced,
        "it was tried meanwhile"
    );
    let read = hub.due(at(1)).await.remove(0);
    hub.db
        .owner_claim(OwnerKind::Dispatcher, ENDPOINT.0)
        .await
        .unwrap();
    for disposition in [
        failing(at(99)),
        parked(),
        Disposition::Held,
        Disposition::Removed,
        Disposition::Postponed { due_at: at(99) },
    ] {
        assert_eq!(
            hub.settle(&read, disposition, at(1)).await.outcome,
            SettleOutcome::Fenced,
            "it was taken over"
        );
    }
    assert_eq!(hub.due(at(1)).await, [read]);
}

pub(in crate::db) async fn a_second_settlement_finds_it_gone(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let read = hub.due(T0).await.remove(0);
    let twice = vec![
        hub.settlement(&read, completed()),
        hub.settlement(&read, completed()),
    ];
    let settled = hub.db.accepted_settle(Arc::new(twice), T0).await.unwrap();
    assert_eq!(
        settled
            .iter()
            .map(|settled| settled.outcome)
            .collect::<Vec<_>>(),
        [SettleOutcome::Written, SettleOutcome::Gone]
    );
    assert_eq!(
        hub.settle(&read, failing(at(1)), T0).await.outcome,
        SettleOutcome::Gone
    );
}

pub(in crate::db) async fn returned_messages_become_incoming_with_the_settlement(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let read = hub.due(T0).await.remove(0);
    let mut settlement = hub.settlement(&read, completed());
    let mut returned = message(hub.store, "shipment:ready", "R1");
    returned.ancestry = Some(read.message.descend());
    settlement.messages = vec![returned];
    let settled = hub
        .db
        .accepted_settle(Arc::new(vec![settlement.clone()]), T0)
        .await
        .unwrap();
    assert_eq!(
        (settled[0].outcome, settled[0].messages),
        (SettleOutcome::Written, 1)
    );
    let again = hub
        .db
        .accepted_settle(Arc::new(vec![settlement]), T0)
        .await
        .unwrap();
    assert_eq!(
        (again[0].outcome, again[0].messages),
        (SettleOutcome::Gone, 0)
    );
    let waiting = hub.waiting(10, Vec::new()).await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].message.ancestry, Some(read.message.descend()));
}

pub(in crate::db) async fn returned_parameters_are_saved_by_name(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.deliver("R1").await;
    let read = hub.due(T0).await.remove(0);
    let mut settlement = hub.settlement(&read, failing(T0));
    let mut saved = Vec::new();
    for (n, value) in [
        (1, serde_json::json!(1)),
        (2, serde_json::json!(1)),
        (3, serde_json::json!("2")),
    ] {
        settlement.parameters = vec![ReturnedParameter {
            name: "acme.cursor".into(),
            value,
        }];
        let settled = hub
            .db
            .accepted_settle(Arc::new(vec![settlement.clone()]), at(n))
            .await
            .unwrap();
        assert_eq!(settled[0].outcome, SettleOutcome::Written);
        saved.push(settled[0].registry_moved);
        settlement.fence.attempts += 1;
    }
    assert_eq!(saved, [true, false, true], "the same value is no change");
    let delta = hub.db.registry_changes(hub.version).await.unwrap();
    let [row] = &delta.rows[..] else {
        panic!("{delta:?}")
    };
    let Entity::Parameter(parameter) = &row.entity else {
        panic!("{row:?}")
    };
    assert_eq!(
        (row.store, parameter.name.as_str(), parameter.secret),
        (Some(hub.store), "acme.cursor", true)
    );
    assert_eq!(
        (&parameter.value, parameter.data_type),
        (&serde_json::json!("2"), DataType::Integer),
        "its type stays"
    );
    assert_eq!(delta.version, hub.version + 2);
    settlement.parameters[0].value = serde_json::json!("2015-03-02");
    let settled = hub
        .db
        .accepted_settle(Arc::new(vec![settlement]), at(4))
        .await
        .unwrap();
    assert_eq!(settled[0].outcome, SettleOutcome::Written);
    let delta = hub.db.registry_changes(delta.version).await.unwrap();
    let Entity::Parameter(parameter) = &delta.rows[0].entity else {
        panic!("{delta:?}")
    };
    assert_eq!(
        parameter.data_type,
        DataType::String,
        "a value that is no number is kept, and its type tells"
    );
}
