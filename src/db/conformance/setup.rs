//! The things cases are made of: messages, mappings, attempts, and a store that is there.

use std::{sync::Arc, time::Duration};

use crate::{
    db::{
        Acceptance, Accepted, Backend, EntityChange, LoopBounds, OwnerKind, RouteOutcome,
        RouteProgress, Routed, RouterLease, SettleOutcome, Settled, ShardSet,
    },
    domain::{
        delivery::{Attempt, Claim, Delivery, Disposition, Fence, NewDelivery, Settlement},
        id::Id,
        identifier::ClaimKey,
        json::Payload,
        key::{DeliveryKey, EndpointKey, MappingKey, MessageKey, StoreKey},
        message::{Incoming, NewMessage, Source},
        message_type::MessageType,
        reference::{About, lane_hash},
        registry::{Entity, Store},
        time::Micros,
    },
};

/// A database to try.
pub(in crate::db) trait Rig {
    /// Opens it: the same one each time. What was opened before must be dropped first.
    fn open(&self) -> Box<dyn Backend>;
}

/// The bounds on loops that a rig opens its database with. Claims are kept for 30 days.
pub(in crate::db) const BOUNDS: LoopBounds = LoopBounds {
    max_depth: 5,
    max_descendants: 50,
    max_per_object_hour: 8,
};

/// When cases begin.
pub(super) const T0: Micros = Micros(1_800_000_000_000_000);

/// Seconds after the beginning.
pub(super) fn at(secs: u64) -> Micros {
    T0.plus(Duration::from_secs(secs))
}

/// A database with one store, and the epochs that a router and the dispatcher of [`ENDPOINT`] got.
pub(super) struct Hub {
    pub(super) db: Box<dyn Backend>,
    pub(super) store: StoreKey,
    pub(super) router: RouterLease,
    pub(super) epoch: i64,
    pub(super) version: i64,
}

/// The endpoint of most cases; mappings need not exist for the database layer.
pub(super) const ENDPOINT: EndpointKey = EndpointKey(900_001);

/// The mapping of most cases.
pub(super) const MAPPING: MappingKey = MappingKey(900_001);

impl Hub {
    /// Opens a new database and makes a store.
    pub(super) async fn start(rig: &dyn Rig) -> Self {
        let db = rig.open();
        let store = new_store(&*db, "Acme").await;
        Self::claim(db, store).await
    }

    /// Opens the same database again.
    pub(super) async fn again(self, rig: &dyn Rig) -> Self {
        let store = self.store;
        drop(self);
        Self::claim(rig.open(), store).await
    }

    async fn claim(db: Box<dyn Backend>, store: StoreKey) -> Self {
        let router = db.router_claim(ShardSet::ALL).await.unwrap();
        let epoch = db
            .owner_claim(OwnerKind::Dispatcher, ENDPOINT.0)
            .await
            .unwrap();
        let version = db.registry_changes(0).await.unwrap().version;
        Self {
            db,
            store,
            router,
            epoch,
            version,
        }
    }

    /// Accepts a message about an order.
    pub(super) async fn push(&self, order: &str) -> (MessageKey, Id) {
        let accepted = self
            .db
            .incoming_insert(
                vec![acceptance(message(self.store, "order:new", order))],
                T0,
            )
            .await
            .unwrap();
        match accepted[..] {
            [Accepted::New { key, id }] => (key, id),
            ref other => panic!("{other:?}"),
        }
    }

    /// Writes routing decisions that must be written.
    pub(super) async fn route(&self, batch: Vec<Routed>) {
        self.route_at(batch, T0).await;
    }

    /// The same at a time.
    pub(super) async fn route_at(&self, batch: Vec<Routed>, now: Micros) {
        let outcome = self
            .db
            .incoming_route(batch, self.version, self.router.clone(), now)
            .await
            .unwrap();
        assert!(matches!(outcome, RouteOutcome::Done { .. }), "{outcome:?}");
    }

    /// Accepts a message about an order and routes it to [`MAPPING`] in the order's lane.
    pub(super) async fn deliver(&self, order: &str) -> MessageKey {
        let (key, _) = self.push(order).await;
        self.route(vec![routed(
            self.store,
            key,
            vec![self.to(MAPPING, Some(order))],
        )])
        .await;
        key
    }

    /// A delivery to a mapping at [`ENDPOINT`], in the lane of an order.
    pub(super) fn to(&self, mapping: MappingKey, order: Option<&str>) -> NewDelivery {
        let lane = order.map(|order| lane_of(self.store, order));
        NewDelivery {
            mapping,
            endpoint: ENDPOINT,
            lane,
            claim: None,
        }
    }

    /// What is due at [`ENDPOINT`].
    pub(super) async fn due(&self, now: Micros) -> Vec<Delivery> {
        self.db
            .accepted_due(ENDPOINT, now, 100, Vec::new().into())
            .await
            .unwrap()
            .deliveries
    }

    /// The orders that are due, in order.
    pub(super) async fn due_orders(&self, now: Micros) -> Vec<String> {
        self.due(now).await.iter().map(order_of).collect()
    }

    /// Settles one delivery.
    pub(super) async fn settle(
        &self,
        delivery: &Delivery,
        disposition: Disposition,
        now: Micros,
    ) -> Settled {
        let settled = self
            .db
            .accepted_settle(Arc::new(vec![self.settlement(delivery, disposition)]), now)
            .await
            .unwrap();
        let [settled] = <[Settled; 1]>::try_from(settled).unwrap();
        settled
    }

    /// Settles one delivery that must still be there.
    pub(super) async fn must_settle(
        &self,
        delivery: &Delivery,
        disposition: Disposition,
        now: Micros,
    ) -> Settled {
        let settled = self.settle(delivery, disposition, now).await;
        assert_eq!(settled.outcome, SettleOutcome::Written);
        settled
    }

    /// A settlement with an attempt where the disposition spends one.
    pub(super) fn settlement(&self, delivery: &Delivery, disposition: Disposition) -> Settlement {
        let spends = !matches!(
            disposition,
            Disposition::Held | Disposition::Removed | Disposition::Postponed { .. }
        );
        Settlement {
            key: delivery.key,
            store: self.store,
            fence: Fence {
                epoch: self.epoch,
                attempts: delivery.attempts,
            },
            attempt: spends.then(|| attempt(delivery.attempts + 1)),
            disposition,
            messages: Vec::new(),
            events: Vec::new(),
            parameters: Vec::new(),
            objects: None,
        }
    }

    /// What waits for routing, in any shard.
    pub(super) async fn waiting(&self, limit: usize, held: Vec<MessageKey>) -> Vec<Incoming> {
        let waiting = self.db.incoming_waiting(limit, held, ShardSet::ALL).await;
        waiting.unwrap()
    }

    /// The keys of what waits for routing.
    pub(super) async fn incoming(&self) -> Vec<MessageKey> {
        let waiting = self.waiting(1000, Vec::new()).await;
        waiting
            .into_iter()
            .map(|incoming| incoming.message.key)
            .collect()
    }
}

/// A new store of this name.
pub(super) async fn new_store(db: &dyn Backend, name: &str) -> StoreKey {
    let store = Store {
        name: name.into(),
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
    let delta = db.registry_change(vec![create], T0).await.unwrap();
    StoreKey(delta.rows[0].key)
}

/// A message of a type about an order.
pub(super) fn message(store: StoreKey, kind: &str, order: &str) -> NewMessage {
    NewMessage {
        store,
        kind: MessageType::parse(kind).unwrap(),
        payload: Payload::from_stored(format!(r#"{{"order":{{"number":"{order}"}}}}"#)),
        about: About::given("order", order).unwrap(),
        source: Source::Push("shop".into()),
        ancestry: None,
        test: false,
        extra: None,
    }
}

/// A push about an order with a payload of this many bytes.
pub(in crate::db) fn acceptance_of(store: StoreKey, order: &str, bytes: usize) -> Acceptance {
    let mut message = message(store, "order:new", order);
    message.payload =
        Payload::from_stored(format!(r#"{{"order":{{"note":"{}"}}}}"#, "x".repeat(bytes)));
    acceptance(message)
}

/// Without an idempotency key.
pub(super) fn acceptance(message: NewMessage) -> Acceptance {
    Acceptance {
        message,
        idempotency: None,
    }
}

/// A whole routing decision without anything but deliveries.
pub(super) fn routed(store: StoreKey, message: MessageKey, deliveries: Vec<NewDelivery>) -> Routed {
    Routed {
        message,
        store,
        deliveries,
        skipped: Vec::new(),
        derived: Vec::new(),
        events: Vec::new(),
        progress: RouteProgress::Done,
    }
}

/// The lane of an order.
pub(super) fn lane_of(store: StoreKey, order: &str) -> i64 {
    lane_hash(
        store.0,
        About::given("order", order)
            .unwrap()
            .primary
            .as_ref()
            .unwrap(),
    )
}

/// The order a delivery is about.
pub(super) fn order_of(delivery: &Delivery) -> String {
    delivery
        .message
        .about
        .primary
        .as_ref()
        .unwrap()
        .token()
        .to_owned()
}

/// A claim of this value.
pub(super) fn claim(value: u8) -> Option<Claim> {
    Some(Claim {
        key: ClaimKey::from_bytes([value; 16]),
        text: format!("order_number=R{value}"),
    })
}

/// An attempt that tells nothing.
pub(super) fn attempt(number: u32) -> Attempt {
    Attempt {
        number,
        started_at: T0,
        duration_us: 1500,
        url: "http://endpoint.example/send_order".into(),
        status: Some(200),
        outcome: "completed".into(),
        error: String::new(),
        request_headers: "{}".into(),
        request_bytes: 10,
        answer_headers: "{}".into(),
        answer_body: "{}".into(),
        answer_bytes: 2,
    }
}

/// A success.
pub(super) fn completed() -> Disposition {
    Disposition::Completed { result: None }
}

/// A failure that is tried again then.
pub(super) fn failing(due_at: Micros) -> Disposition {
    Disposition::Failing {
        due_at,
        error: "it answered 500".into(),
    }
}

/// A failure that is not.
pub(super) fn parked() -> Disposition {
    Disposition::Parked {
        error: "it answered 410".into(),
    }
}

/// A key that no row has.
pub(super) const NOBODY: DeliveryKey = DeliveryKey(1 << 40);
