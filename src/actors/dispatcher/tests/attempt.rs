use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{super::window::tests::delivery, *};
use crate::{
    domain::{
        id::IdSeal,
        key::StoreKey,
        registry::{Entity, EntityRow},
    },
    net::{BodyState, Phase, RetryAfter, header::HeaderMap},
};

#[actix_web::test]
async fn a_panic_in_an_attempt_is_an_outcome() {
    let posted = perform(
        Duration::from_secs(1),
        async { panic!("on purpose") }.boxed_local(),
    )
    .await;
    assert!(matches!(posted, Posted::Panicked));
}

/// Store 1 with the integration 5 and its mapping 10.
fn registry(integration: Value, options: Value) -> Registry {
    let row = |key, kind: &str, body: Value| EntityRow {
        key,
        id: IdSeal::new(1).seal(key, Micros(0)),
        store: Some(StoreKey(1)),
        subject: None,
        entity: Entity::from_json(kind, &body.to_string()).expect("an entity"),
        created_at: Micros(0),
        updated_at: Micros(0),
        deleted: false,
        version: 1,
    };
    let mut own = json!({"name": "acme", "url": "http://app.example", "category": "custom"});
    own.as_object_mut()
        .expect("an object")
        .extend(integration.as_object().expect("an object").clone());
    let mapping = json!({"name": "acme.send", "url": "http://app.example/send", "messages": ["order:new"], "enabled": true, "integration": 5, "options": options});
    let rows = vec![
        row(1, "store", json!({"name": "shop"})),
        row(5, "integration", own),
        row(10, "mapping", mapping),
    ];
    Registry::default().apply(rows, 1)
}

fn ordered(registry: &Registry, config: &Config) -> Box<Order> {
    match plan(
        &delivery(7, 10),
        registry,
        config,
        Micros(1_000_000),
        &mut Preparations::default(),
    ) {
        Plan::Post(order) => order,
        Plan::Without(disposition) => panic!("{disposition:?}"),
    }
}

fn config() -> Config {
    let mut config = Config::for_tests(std::path::Path::new("unused"));
    config.dispatch.timeout_secs = 180;
    config.retry.deadline_secs = 1000;
    config
}

#[test]
fn a_mappings_timeout_and_deadline_tighten_and_never_loosen() {
    for (timeout, deadline, expected) in [
        (json!(20), json!(60), (20, 60)),
        (json!(3600), json!(5000), (180, 1000)),
        (json!(null), json!(null), (180, 1000)),
    ] {
        let options = json!({"timeout_secs": timeout, "deadline_secs": deadline});
        let order = ordered(&registry(json!({}), options), &config());
        let sent = order.outgoing().expect("a request");
        assert_eq!(
            (
                sent.timeout.as_secs(),
                order.prepared.policy.deadline.as_secs()
            ),
            expected
        );
    }
}

#[test]
fn a_mappings_secret_goes_before_its_integrations_and_both_are_covered() {
    let signatures = |integration: Value, options: Value| {
        let order = ordered(&registry(integration, options), &config());
        let sent = order.outgoing().expect("a request");
        let found = sent.headers.iter();
        let mut found = found.filter(|(name, _)| name == "webhook-signature");
        let shown = order.prepared.mask.cover("shared-secret own-secret".into());
        (
            found.next().map(|(_, value)| value.as_bytes().to_vec()),
            shown,
        )
    };
    let (none, _) = signatures(json!({}), json!({}));
    assert_eq!(none, None);
    let shared = json!({"signing_secret": "shared-secret"});
    let own = json!({"signing_secret": "own-secret"});
    let (by_shared, shown) = signatures(shared.clone(), json!({}));
    assert!(by_shared.is_some());
    assert_eq!(shown, "*** own-secret");
    let (by_own, shown) = signatures(json!({}), own.clone());
    assert_eq!(shown, "shared-secret ***");
    assert_eq!(signatures(shared, own).0, by_own, "the mapping's alone");
    assert_ne!(by_own, by_shared);
}

#[test]
fn a_disabled_mapping_holds_and_a_deleted_one_removes() {
    let delivery = delivery(7, 10);
    let mut before = registry(json!({}), json!({}));
    let planned = |registry: &Registry| match plan(
        &delivery,
        registry,
        &config(),
        Micros(0),
        &mut Preparations::default(),
    ) {
        Plan::Without(disposition) => disposition,
        Plan::Post(_) => panic!("it would be posted"),
    };
    assert_eq!(planned(&Registry::default()), Disposition::Removed);
    let store = before.stores.get_mut(&StoreKey(1)).expect("a store");
    let store = std::sync::Arc::make_mut(store);
    for mapping in store.mappings.values_mut() {
        mapping.value.enabled = false;
    }
    assert_eq!(planned(&before), Disposition::Held);
}

fn answered(status: u16, retry_after: Option<u64>) -> Posted {
    Posted::Answer(Answer {
        status,
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        body_state: BodyState::Whole,
        retry_after: retry_after.map(|secs| RetryAfter::Delay(Duration::from_secs(secs))),
        duration: Duration::ZERO,
        remote: None,
    })
}

#[test]
fn what_an_attempt_says_of_its_endpoint() {
    let cap = Duration::from_secs(3600);
    let waits = |secs| Verdict::AskedToWait(Duration::from_secs(secs));
    let timed_out = Posted::Failure(Failure::TimedOut {
        after: cap,
        phase: Phase::Waiting,
    });
    let refused = Posted::Failure(Failure::ConnectRefused {
        host: "app.example".into(),
        port: 80,
    });
    for (posted, expected) in [
        (answered(200, None), Verdict::Well),
        (answered(404, None), Verdict::Well),
        (answered(500, None), Verdict::Ill),
        (answered(503, None), Verdict::Ill),
        (answered(429, None), Verdict::Ill),
        (answered(429, Some(7)), waits(7)),
        (answered(503, Some(7)), waits(7)),
        (answered(503, Some(99_999)), waits(3600)),
        (answered(500, Some(7)), Verdict::Ill),
        (timed_out, Verdict::Ill),
        (refused, Verdict::Ill),
        (Posted::Overdue, Verdict::Ill),
        (Posted::Panicked, Verdict::Silent),
        (Posted::Unsendable, Verdict::Silent),
    ] {
        assert_eq!(verdict(&posted, Micros(0), cap), expected, "{posted:?}");
    }
}

#[test]
fn a_failure_of_the_hub_itself_is_put_off_and_spends_no_attempt() {
    let registry = registry(json!({}), json!({}));
    let order = ordered(&registry, &config());
    let at = Circumstances {
        epoch: 1,
        started_at: Micros(0),
        ended_at: Micros(1_000_000),
        random: 0.5,
    };
    let posted = Posted::Failure(Failure::OutOfSockets);
    let concluded = conclude(&delivery(7, 10), &order, posted, at);
    assert_eq!(
        concluded.settlement.disposition,
        Disposition::Postponed {
            due_at: Micros(6_000_000)
        }
    );
    assert_eq!(concluded.settlement.attempt, None);
    assert_eq!(concluded.verdict, Verdict::Silent);
}
