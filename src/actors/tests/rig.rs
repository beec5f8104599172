//! A hub on a database of its own, with a stage in place of the network.

use std::{
    collections::HashMap,
    future::Future,
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::LocalBoxFuture};
use tempfile::TempDir;
use tokio::time::Instant;

use super::super::{Hub, Outgoing, Outside, SharedClock, SystemClock, Transport, TransportFactory};
use crate::{
    config::Config,
    db::{
        Acceptance, Accepted, EntityChange, SharedBackend,
        sqlite::{SqliteBackend, SqliteOptions},
    },
    domain::{
        id::Id,
        json::{Payload, PayloadLimits},
        key::{EndpointKey, MappingKey, StoreKey},
        message::{NewMessage, Source},
        message_type::{MessageType, TypePattern},
        reference::object_of,
        registry::{Entity, Mapping, MappingOptions, Store},
    },
    net::{Answer, BodyState, Failure, RetryAfter, header::HeaderMap},
};

/// Longer than any of these tests should take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request as the stage saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The path posted to.
    pub path: String,
    /// The number of the order in it.
    pub order: String,
    /// Its `message_id`.
    pub id: String,
    /// The token sent.
    pub token: Option<String>,
}

/// What the stage does with a request.
pub enum Act {
    /// Answers with this status.
    Answer(u16),
    /// Answers with this status and `Retry-After`.
    AnswerLater(u16, Duration),
    /// Answers 200 with this body.
    Body(String),
    /// Nothing listens there.
    Refuse,
    /// Never answers.
    Silence,
    /// Panics in the attempt.
    PanicInAttempt,
    /// Panics in the dispatcher itself.
    PanicInDispatcher,
    /// Blocks the thread until the receiver hears of it.
    Block(std::sync::mpsc::Receiver<()>),
}

type Script = dyn Fn(&Seen, usize) -> Act + Send + Sync;

/// What stands in place of the network: asks its script what to do with each request. `nth` counts requests by path and order, from 0.
pub struct Stage {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
}

impl Stage {
    pub fn new(script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            seen: Mutex::default(),
        })
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The orders that arrived at a path, in order of arrival.
    pub fn orders_at(&self, path: &str) -> Vec<String> {
        self.seen()
            .into_iter()
            .filter(|seen| seen.path == path)
            .map(|seen| seen.order)
            .collect()
    }

    fn factory(self: &Arc<Self>) -> TransportFactory {
        let stage = Arc::clone(self);
        Arc::new(move || Rc::new(OnStage(Arc::clone(&stage))) as Rc<dyn Transport>)
    }
}

struct OnStage(Arc<Stage>);

impl Transport for OnStage {
    fn post(&self, outgoing: Outgoing) -> LocalBoxFuture<'static, Result<Answer, Failure>> {
        let body: serde_json::Value =
            serde_json::from_slice(&outgoing.body).expect("requests are JSON");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let token = outgoing
            .headers
            .iter()
            .find(|(name, _)| name == "x-augury-token");
        let seen = Seen {
            path: outgoing.target.url().path().to_owned(),
            order: text(&body["payload"]["order"]["number"]),
            id: text(&body["message_id"]),
            token: token.map(|(_, value)| value.to_str().expect("tokens are ASCII").to_owned()),
        };
        let nth = {
            let mut all = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let nth = all
                .iter()
                .filter(|one| one.path == seen.path && one.order == seen.order)
                .count();
            all.push(seen.clone());
            nth
        };
        match (self.0.script)(&seen, nth) {
            Act::Answer(status) => answer(status, None, Bytes::new()),
            Act::AnswerLater(status, wait) => {
                answer(status, Some(RetryAfter::Delay(wait)), Bytes::new())
            }
            Act::Body(body) => answer(200, None, body.into()),
            Act::Refuse => async {
                Err(Failure::ConnectRefused {
                    host: "stage".into(),
                    port: 80,
                })
            }
            .boxed_local(),
            Act::Silence => {
                let timeout = outgoing.timeout;
                async move {
                    tokio::time::sleep(timeout).await;
                    Err(Failure::TimedOut {
                        after: timeout,
                        phase: crate::net::Phase::Waiting,
                    })
                }
                .boxed_local()
            }
            Act::PanicInAttempt => async { panic!("on purpose, in the attempt") }.boxed_local(),
            Act::PanicInDispatcher => panic!("on purpose, in the dispatcher"),
            Act::Block(until) => {
                until.recv().ok();
                answer(200, None, Bytes::new())
            }
        }
    }
}

fn answer(
    status: u16,
    retry_after: Option<RetryAfter>,
    body: Bytes,
) -> LocalBoxFuture<'static, Result<Answer, Failure>> {
    let answer = Answer {
        status,
        headers: HeaderMap::new(),
        body,
        body_state: BodyState::Whole,
        retry_after,
        duration: Duration::from_millis(1),
        remote: None,
    };
    async move { Ok(answer) }.boxed_local()
}

/// A hub with one store.
pub struct Rig {
    pub hub: Hub,
    pub store: StoreKey,
    pub stage: Arc<Stage>,
    folder: TempDir,
}

impl Rig {
    pub async fn start(stage: Arc<Stage>) -> Self {
        Self::start_with(stage, |_| {}).await
    }

    pub async fn start_with(stage: Arc<Stage>, tweak: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let backend = open(folder.path());
        Self::on(folder, backend, stage, tweak).await
    }

    /// With this clock.
    pub async fn start_at(
        clock: SharedClock,
        stage: Arc<Stage>,
        tweak: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let backend = open(folder.path());
        Self::made_of(folder, backend, clock, stage, tweak).await
    }

    pub async fn on(
        folder: TempDir,
        backend: SharedBackend,
        stage: Arc<Stage>,
        tweak: impl FnOnce(&mut Config),
    ) -> Self {
        Self::made_of(folder, backend, Arc::new(SystemClock), stage, tweak).await
    }

    async fn made_of(
        folder: TempDir,
        backend: SharedBackend,
        clock: SharedClock,
        stage: Arc<Stage>,
        tweak: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::for_tests(folder.path());
        config.dispatch.threads = 2;
        tweak(&mut config);
        let outside = Outside {
            transport: Some(stage.factory()),
            on_fatal: Arc::new(|reason| panic!("the hub gave up: {reason}")),
            ..Outside::default()
        };
        let hub = Hub::start_with(config, backend, clock, outside)
            .await
            .expect("the hub starts");
        let known = hub.registry().stores.keys().copied().next();
        let store = match known {
            Some(store) => store,
            None => {
                let store = Store {
                    name: "shop".into(),
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
                StoreKey(
                    hub.change_registry(vec![create])
                        .await
                        .expect("a store")
                        .rows[0]
                        .key,
                )
            }
        };
        Self {
            hub,
            store,
            stage,
            folder,
        }
    }

    /// Ends the hub and starts another on the same database.
    pub async fn restart(self, stage: Arc<Stage>) -> Self {
        let Self { hub, folder, .. } = self;
        hub.stop(PATIENCE).await;
        drop(hub);
        // The threads' last references to the database go a moment after the stop.
        let backend = until("the database is free", || {
            let path = folder.path().to_owned();
            async move { SqliteBackend::open(SqliteOptions::new(path.join("hub.db"))).ok() }
        })
        .await;
        Self::on(folder, backend.shared(), stage, |_| {}).await
    }

    /// A mapping of its own endpoint that takes `kind` at `http://stage/<name>`.
    pub async fn mapping(&self, name: &str, kind: &str) -> MappingKey {
        self.mapping_with(name, kind, MappingOptions::default())
            .await
    }

    pub async fn mapping_with(
        &self,
        name: &str,
        kind: &str,
        options: MappingOptions,
    ) -> MappingKey {
        let entity = Entity::Mapping(mapping(name, kind, options));
        let create = EntityChange::Create {
            store: Some(self.store),
            subject: None,
            entity,
        };
        MappingKey(
            self.hub
                .change_registry(vec![create])
                .await
                .expect("a mapping")
                .rows[0]
                .key,
        )
    }

    /// Changes a mapping.
    pub async fn change(&self, key: MappingKey, change: impl FnOnce(&mut Mapping)) {
        let registry = self.hub.registry();
        let mut mapping = registry.stores[&self.store].mappings[&key].value.clone();
        change(&mut mapping);
        let replace = EntityChange::Replace {
            key: key.0,
            entity: Entity::Mapping(mapping),
        };
        self.hub
            .change_registry(vec![replace])
            .await
            .expect("the mapping is changed");
    }

    /// Pushes an `order:new` of this order; returns its id.
    pub async fn push(&self, order: &str) -> Id {
        match self
            .hub
            .accept(vec![order_new(self.store, order)])
            .await
            .expect("the message is accepted")[0]
        {
            Accepted::New { id, .. } | Accepted::Repeated { id } => id,
            Accepted::KeyReused => panic!("no key was used"),
        }
    }

    /// The state of an endpoint.
    pub async fn endpoint(&self, mapping: MappingKey) -> super::super::EndpointState {
        let states = self.hub.endpoint_states(self.store).await;
        states
            .into_iter()
            .find(|state| state.endpoint == EndpointKey::from(mapping))
            .expect("the endpoint is known")
    }

    /// Waits until so many deliveries are archived and none waits.
    pub async fn until_archived(&self, archived: u64) {
        until(&format!("{archived} deliveries are archived"), || async {
            let stats = self
                .hub
                .backend()
                .queue_stats(self.store)
                .await
                .expect("the counters");
            let waiting =
                stats.incoming + stats.pending + stats.failing + stats.scheduled + stats.parked;
            (stats.archived == archived && waiting == 0).then_some(())
        })
        .await;
    }

    /// Waits until so many deliveries of an endpoint were completed.
    pub async fn until_completed(&self, mapping: MappingKey, completed: u64) {
        until(&format!("{completed} deliveries are completed"), || async {
            (self.endpoint(mapping).await.completed >= completed).then_some(())
        })
        .await;
    }
}

pub fn open(folder: &Path) -> SharedBackend {
    SqliteBackend::open(SqliteOptions::new(folder.join("hub.db")))
        .expect("a database")
        .shared()
}

pub fn mapping(name: &str, kind: &str, options: MappingOptions) -> Mapping {
    Mapping {
        name: name.into(),
        url: format!("http://stage/{name}"),
        token: "stage-token".into(),
        integration: None,
        messages: vec![TypePattern::parse(kind).expect("a pattern")],
        parameters: Vec::new(),
        identifiers: serde_json::from_str("{}").expect("no identifiers"),
        filters: Vec::new(),
        options,
        enabled: true,
        required: false,
    }
}

pub fn order_new(store: StoreKey, order: &str) -> Acceptance {
    let kind = MessageType::parse("order:new").expect("a type");
    let payload = format!(r#"{{"order":{{"number":"{order}"}}}}"#);
    let payload = Payload::parse(&payload, PayloadLimits::default()).expect("a payload");
    let about = object_of(&kind, &payload);
    let source = Source::Push("test".into());
    let message = NewMessage {
        store,
        kind,
        payload,
        about,
        source,
        ancestry: None,
        test: false,
        extra: None,
    };
    Acceptance {
        message,
        idempotency: None,
    }
}

/// Asks again and again until there is an answer.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How often each text occurs.
pub fn counts(texts: &[String]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    texts
        .iter()
        .for_each(|text| *counts.entry(text.as_str()).or_default() += 1);
    counts
}
