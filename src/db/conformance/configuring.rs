//! The registry: versions, unique names, deletion.

use super::setup::*;
use crate::{
    db::{AuditQuery, DbError, EntityChange, NewAudit},
    domain::{
        key::StoreKey,
        registry::{EndpointSettings, Entity, Parameter},
    },
};

fn parameter(name: &str, value: i64) -> Entity {
    Entity::Parameter(Parameter {
        name: name.into(),
        data_type: crate::domain::parameter::DataType::Integer,
        value: value.into(),
        secret: false,
    })
}

fn create(store: StoreKey, entity: Entity) -> EntityChange {
    EntityChange::Create {
        store: Some(store),
        subject: None,
        entity,
    }
}

pub(in crate::db) async fn each_change_moves_the_version_and_is_told_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let one = hub
        .db
        .registry_change(vec![create(hub.store, parameter("a", 1))], T0)
        .await
        .unwrap();
    assert_eq!(one.version, hub.version + 1);
    let key = one.rows[0].key;
    let two = hub
        .db
        .registry_change(
            vec![EntityChange::Replace {
                key,
                entity: parameter("a", 2),
            }],
            at(5),
        )
        .await
        .unwrap();
    assert_eq!(
        (
            two.rows[0].created_at,
            two.rows[0].updated_at,
            two.rows[0].id
        ),
        (T0, at(5), one.rows[0].id)
    );
    let hub = hub.again(rig).await;
    let delta = hub.db.registry_changes(one.version).await.unwrap();
    assert_eq!((delta.rows, delta.version), (two.rows, two.version));
    assert_eq!(hub.db.registry_changes(two.version).await.unwrap().rows, []);
    assert_eq!(hub.db.registry_changes(0).await.unwrap().rows.len(), 2);
}

pub(in crate::db) async fn a_name_is_unique_among_the_living_of_a_store(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let taken =
        |outcome: Result<_, DbError>| matches!(outcome, Err(DbError::Taken { field: "name" }));
    let first = hub
        .db
        .registry_change(vec![create(hub.store, parameter("a", 1))], T0)
        .await
        .unwrap();
    let both = vec![
        create(hub.store, parameter("b", 1)),
        create(hub.store, parameter("a", 1)),
    ];
    assert!(taken(hub.db.registry_change(both, T0).await));
    let twice = vec![
        create(hub.store, parameter("b", 1)),
        create(hub.store, parameter("b", 2)),
    ];
    assert!(taken(hub.db.registry_change(twice, T0).await));
    assert_eq!(
        hub.db.registry_changes(first.version).await.unwrap().rows,
        [],
        "all or none"
    );
    let another = new_store(&*hub.db, "Another").await;
    hub.db
        .registry_change(vec![create(another, parameter("a", 1))], T0)
        .await
        .unwrap();
    let key = first.rows[0].key;
    let again = vec![
        EntityChange::Delete { key },
        create(hub.store, parameter("a", 2)),
    ];
    let written = hub.db.registry_change(again, T0).await.unwrap();
    assert_eq!(
        written
            .rows
            .iter()
            .map(|row| row.deleted)
            .collect::<Vec<_>>(),
        [true, false]
    );
    let missing = hub
        .db
        .registry_change(
            vec![EntityChange::Replace {
                key,
                entity: parameter("c", 1),
            }],
            T0,
        )
        .await;
    assert!(matches!(missing, Err(DbError::Missing(_))), "{missing:?}");
}

pub(in crate::db) async fn settings_of_an_endpoint_replace_the_former_ones(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let settings = |paused| EntityChange::Create {
        store: Some(hub.store),
        subject: Some(ENDPOINT.0),
        entity: Entity::Endpoint(EndpointSettings { paused }),
    };
    let first = hub
        .db
        .registry_change(vec![settings(true)], T0)
        .await
        .unwrap();
    let second = hub
        .db
        .registry_change(vec![settings(false)], T0)
        .await
        .unwrap();
    assert_eq!(first.rows[0].key, second.rows[0].key);
    assert_eq!(
        second.rows[0].entity,
        Entity::Endpoint(EndpointSettings { paused: false })
    );
}

pub(in crate::db) async fn a_deleted_store_takes_what_is_its_own_with_it(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.db
        .registry_change(vec![create(hub.store, parameter("a", 1))], T0)
        .await
        .unwrap();
    let (key, id) = hub.push("R1").await;
    let written = hub
        .db
        .registry_change(vec![EntityChange::Delete { key: hub.store.0 }], T0)
        .await
        .unwrap();
    assert!(written.rows.len() == 2 && written.rows.iter().all(|row| row.deleted));
    assert_eq!(
        hub.incoming().await,
        [key],
        "the router will find no store and say so"
    );
    let routed = vec![routed(hub.store, key, Vec::new())];
    hub.db
        .incoming_route(routed, written.version, hub.router.clone(), T0)
        .await
        .unwrap();
    let detail = hub.db.message_detail(hub.store, id).await.unwrap();
    assert_eq!(
        detail.location,
        crate::db::Locator::Archived(crate::domain::delivery::ArchiveReason::Removed)
    );
}

pub(in crate::db) async fn a_record_is_written_with_its_change_or_not_at_all(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let record = || {
        EntityChange::Record(Box::new(NewAudit {
            store: Some(hub.store),
            who: "ann".into(),
            action: "created".into(),
            subject: "parameter a".into(),
            was: None,
            is: Some("{}".into()),
        }))
    };
    let changes = || vec![create(hub.store, parameter("a", 1)), record()];
    let written = hub.db.registry_change(changes(), at(3)).await.unwrap();
    assert_eq!(written.rows.len(), 1, "a record is no row of the registry");
    let twice = hub.db.registry_change(changes(), at(4)).await;
    assert!(matches!(twice, Err(DbError::Taken { .. })));
    let hub = hub.again(rig).await;
    let query = AuditQuery {
        stores: Some(vec![hub.store]),
        after: None,
        limit: 10,
    };
    let rows = hub.db.audit_list(query).await.unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(
        (row.at, row.change.who.as_str(), row.change.is.as_deref()),
        (at(3), "ann", Some("{}"))
    );
}
