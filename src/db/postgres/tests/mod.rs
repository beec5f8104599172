//! The conformance suite on PostgreSQL, and what only this database has to show.

pub(crate) mod cluster;
mod copying;
mod counts;
mod days;
mod jobs;
mod leases;
mod outage;
mod plans;
mod together;

use std::{sync::Arc, time::Duration};

use self::cluster::cluster;
use super::{PostgresBackend, PostgresOptions};
use crate::{
    db::{
        Acceptance, Accepted, Backend, EntityChange, OwnerKind, RouteOutcome, RouteProgress,
        Routed, RouterLease, ShardSet,
        conformance::{BOUNDS, Rig, conformance_suite},
    },
    domain::{
        delivery::{Attempt, Delivery, Disposition, Fence, NewDelivery, Settlement},
        json::Payload,
        key::{EndpointKey, MappingKey, MessageKey, StoreKey},
        message::{NewMessage, Source},
        message_type::MessageType,
        reference::{About, lane_hash},
        registry::{Entity, Store},
        time::Micros,
    },
};

struct PostgresRig {
    url: String,
}

impl Rig for PostgresRig {
    fn open(&self) -> Box<dyn Backend> {
        Box::new(open(&self.url))
    }
}

fn open(url: &str) -> PostgresBackend {
    let mut options = PostgresOptions::new(url);
    options.claim_age = Duration::from_secs(30 * 86_400);
    options.loop_bounds = BOUNDS;
    // The tests share one machine with each other.
    options.connections = 4;
    options.connect_timeout = Duration::from_secs(20);
    PostgresBackend::open(options).unwrap()
}

fn rig() -> PostgresRig {
    PostgresRig {
        url: cluster().database(),
    }
}

conformance_suite!(rig);

const ENDPOINT: EndpointKey = EndpointKey(900_001);

/// A store in a database, with the epochs of its owners.
struct Shop {
    db: PostgresBackend,
    url: String,
    store: StoreKey,
    router: RouterLease,
    epoch: i64,
    version: i64,
    now: Micros,
}

impl Shop {
    /// A new database with one store.
    async fn start(now: Micros) -> Self {
        Self::at(&cluster().database(), now).await
    }

    async fn at(url: &str, now: Micros) -> Self {
        let db = open(url);
        let store = Store {
            name: "Acme".into(),
            api_url: None,
            api_key: None,
            source: None,
            version: None,
            webhook_secret: None,
        };
        let create = EntityChange::Create {
            store: None,
            subject: None,
            entity: Entity::Store(store),
        };
        let delta = db.registry_change(vec![create], now).await.unwrap();
        let router = db.router_claim(ShardSet::ALL).await.unwrap();
        let epoch = db
            .owner_claim(OwnerKind::Dispatcher, ENDPOINT.0)
            .await
            .unwrap();
        Self {
            db,
            url: url.to_owned(),
            store: StoreKey(delta.rows[0].key),
            router,
            epoch,
            version: delta.version,
            now,
        }
    }

    fn message(&self, order: &str) -> NewMessage {
        NewMessage {
            store: self.store,
            kind: MessageType::parse("order:new").unwrap(),
            payload: Payload::from_stored(format!(r#"{{"order":{{"number":"{order}"}}}}"#)),
            about: About::given("order", order).unwrap(),
            source: Source::Push("shop".into()),
            ancestry: None,
            test: false,
            extra: None,
        }
    }

    /// Accepts a message about each order.
    async fn push(&self, orders: &[String]) -> Vec<MessageKey> {
        let batch = orders
            .iter()
            .map(|order| Acceptance {
                message: self.message(order),
                idempotency: None,
            })
            .collect();
        let accepted = self.db.incoming_insert(batch, self.now).await.unwrap();
        let key = |accepted| match accepted {
            Accepted::New { key, .. } => key,
            other => panic!("{other:?}"),
        };
        accepted.into_iter().map(key).collect()
    }

    fn routed(&self, message: MessageKey, order: &str) -> Routed {
        let lane = lane_hash(
            self.store.0,
            About::given("order", order)
                .unwrap()
                .primary
                .as_ref()
                .unwrap(),
        );
        Routed {
            message,
            store: self.store,
            deliveries: vec![NewDelivery {
                mapping: MappingKey(ENDPOINT.0),
                endpoint: ENDPOINT,
                lane: Some(lane),
                claim: None,
            }],
            skipped: Vec::new(),
            derived: Vec::new(),
            events: Vec::new(),
            progress: RouteProgress::Done,
        }
    }

    /// Accepts a message about each order and routes it in the order's lane.
    async fn deliver(&self, orders: &[String]) {
        let keys = self.push(orders).await;
        self.route(orders, &keys).await;
    }

    async fn route(&self, orders: &[String], keys: &[MessageKey]) {
        let batch = keys
            .iter()
            .zip(orders)
            .map(|(key, order)| self.routed(*key, order))
            .collect();
        let outcome = self
            .db
            .incoming_route(batch, self.version, self.router.clone(), self.now)
            .await
            .unwrap();
        assert!(matches!(outcome, RouteOutcome::Done { .. }), "{outcome:?}");
    }

    async fn due(&self) -> Vec<Delivery> {
        self.db
            .accepted_due(ENDPOINT, self.now, 1000, Vec::new().into())
            .await
            .unwrap()
            .deliveries
    }

    fn settlement(&self, delivery: &Delivery, disposition: Disposition) -> Settlement {
        Settlement {
            key: delivery.key,
            store: self.store,
            fence: Fence {
                epoch: self.epoch,
                attempts: delivery.attempts,
            },
            attempt: Some(attempt(delivery.attempts + 1, self.now)),
            disposition,
            messages: Vec::new(),
            events: Vec::new(),
            parameters: Vec::new(),
            objects: None,
        }
    }

    async fn complete(&self, deliveries: &[Delivery]) {
        let completed = || Disposition::Completed { result: None };
        let batch = deliveries
            .iter()
            .map(|delivery| self.settlement(delivery, completed()))
            .collect();
        self.db
            .accepted_settle(Arc::new(batch), self.now)
            .await
            .unwrap();
    }
}

fn attempt(number: u32, now: Micros) -> Attempt {
    Attempt {
        number,
        started_at: now,
        duration_us: 1500,
        url: "http://endpoint.example/send_order".into(),
        status: Some(200),
        outcome: "completed".into(),
        error: String::new(),
        request_headers: "{}".into(),
        request_bytes: 10,
        answer_headers: "{}".into(),
        answer_body: "a zero byte: \0".into(),
        answer_bytes: 2,
    }
}

fn orders(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("R{n}")).collect()
}
