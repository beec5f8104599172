use super::*;
use crate::domain::id::IdSeal;

fn row(key: i64, store: Option<i64>, entity: Entity) -> EntityRow {
    EntityRow {
        key,
        id: IdSeal::new(1).seal(key, Micros(0)),
        store: store.map(StoreKey),
        subject: None,
        entity,
        created_at: Micros(0),
        updated_at: Micros(0),
        deleted: false,
        version: 1,
    }
}

fn of(kind: &str, json: serde_json::Value) -> Entity {
    Entity::from_json(kind, &json.to_string()).expect("an entity")
}

fn integration(name: &str) -> Entity {
    of(
        "integration",
        serde_json::json!({"name": name, "url": "http://app.example", "category": "mail"}),
    )
}

fn mapping(name: &str, integration: Option<i64>) -> Entity {
    of(
        "mapping",
        serde_json::json!({"name": name, "url": "http://app.example/", "messages": ["order:new"], "enabled": true, "integration": integration}),
    )
}

/// Two stores (1, 2); the global integration 5; each store has a mapping of it (11, 12) and an endpoint of it (21, 22).
fn two_stores() -> Registry {
    let store = |key, name: &str| {
        row(
            key,
            Some(key),
            of("store", serde_json::json!({"name": name})),
        )
    };
    let settings = |key, store| EntityRow {
        subject: Some(5),
        ..row(
            key,
            Some(store),
            Entity::Endpoint(EndpointSettings::default()),
        )
    };
    let rows = vec![
        store(1, "one"),
        store(2, "two"),
        row(5, None, integration("mail")),
        row(11, Some(1), mapping("mail.send", Some(5))),
        row(12, Some(2), mapping("mail.send", Some(5))),
        settings(21, 1),
        settings(22, 2),
    ];
    Registry::default().apply(rows, 1)
}

#[test]
fn each_store_has_an_endpoint_of_its_own_of_a_global_integration() {
    let registry = two_stores();
    for (store, mapping, endpoint) in [(1, 11, 21), (2, 12, 22)] {
        let key = StoreKey(store);
        let store = &registry.stores[&key];
        let mapping = &store.mappings[&MappingKey(mapping)];
        assert_eq!(store.endpoint_of(mapping), EndpointKey(endpoint));
        let served = store.integration_of(EndpointKey(endpoint));
        assert_eq!(served.map(|own| own.value.name.as_str()), Some("mail"));
        assert_eq!(registry.endpoints[&EndpointKey(endpoint)], key);
        assert_eq!(store.offered().count(), 1);
    }
}

#[test]
fn pausing_one_stores_endpoint_of_a_global_integration_leaves_the_others() {
    let pause = EntityRow {
        subject: Some(21),
        ..row(
            31,
            Some(1),
            Entity::Endpoint(EndpointSettings { paused: true }),
        )
    };
    let registry = two_stores().apply(vec![pause], 2);
    let paused = |store, endpoint| {
        let settings = &registry.stores[&StoreKey(store)].endpoints;
        settings.get(&EndpointKey(endpoint)).map(|own| own.paused)
    };
    assert_eq!(
        (paused(1, 21), paused(2, 22)),
        (Some(true), None),
        "settings go by endpoint"
    );
}

#[test]
fn a_change_of_a_global_integration_reaches_every_store_old_and_new() {
    let later = row(
        40,
        Some(40),
        of("store", serde_json::json!({"name": "three"})),
    );
    let registry = two_stores().apply(vec![row(5, None, integration("post")), later], 2);
    for store in registry.stores.values() {
        let names: Vec<&str> = store.offered().map(|own| own.value.name.as_str()).collect();
        assert_eq!(names, ["post"]);
    }
    let gone = EntityRow {
        deleted: true,
        ..row(5, None, integration("post"))
    };
    let registry = registry.apply(vec![gone], 3);
    assert!(
        registry
            .stores
            .values()
            .all(|store| store.offered().count() == 0)
    );
}

#[test]
fn a_stores_own_integration_is_one_endpoint_for_all_its_mappings() {
    let store = row(1, Some(1), of("store", serde_json::json!({"name": "one"})));
    let rows = vec![
        store,
        row(6, Some(1), integration("acme")),
        row(11, Some(1), mapping("acme.a", Some(6))),
        row(12, Some(1), mapping("acme.b", Some(6))),
        row(13, Some(1), mapping("alone", None)),
    ];
    let registry = Registry::default().apply(rows, 1);
    let store = &registry.stores[&StoreKey(1)];
    let endpoints: Vec<EndpointKey> = store
        .mappings
        .values()
        .map(|mapping| store.endpoint_of(mapping))
        .collect();
    assert_eq!(endpoints, [EndpointKey(6), EndpointKey(6), EndpointKey(13)]);
}
