//! What the program decides: its own pure functions, called with small stand-ins for what the model leaves out.

use std::{sync::Arc, time::Duration};

use integrator::domain::{
    delivery::{Attempt, Delivery, Disposition, Fence, WaitState},
    id::IdSeal,
    json::{Payload, PayloadLimits},
    key::{DeliveryKey, EndpointKey, MappingKey, MessageKey, StoreKey},
    mask::Mask,
    message::{Incoming, Message, Source},
    message_type::MessageType,
    reference::object_of,
    registry::{Dialect, Entity, EntityRow, Registry, Store, StoreSnapshot},
    retry::RetryPolicy,
    routing::{Decision, route},
    settle::{Finish, ServiceAnswer, SettleContext, settle},
    time::Micros,
};

/// The rules that a mutant may change; all others are called directly.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Whether a delivery in this state keeps later ones of its lane waiting.
    pub holds_lane: fn(WaitState) -> bool,
    /// Whether what was made with this fence may be written at this epoch, number of attempts and state.
    pub fence_holds: fn(Fence, i64, u32, WaitState) -> bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            holds_lane: WaitState::holds_lane,
            fence_holds: Fence::holds,
        }
    }
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// 200.
    Taken,
    /// 500: tried again, as often as allowed.
    Refused,
    /// Nobody answered, or the answer was lost.
    Silence,
}

const STORE: StoreKey = StoreKey(1);

/// The first mapping's key; the others follow.
pub const FIRST_MAPPING: i64 = 100;

/// A store with so many mappings that take every order.
pub fn store(mappings: usize) -> Arc<StoreSnapshot> {
    let row = |key, entity| EntityRow {
        key,
        id: IdSeal::new(1).seal(key, Micros(0)),
        store: Some(STORE),
        subject: None,
        entity,
        created_at: Micros(0),
        updated_at: Micros(0),
        deleted: false,
        version: 1,
    };
    let shop = Store {
        name: "shop".into(),
        api_url: None,
        api_key: None,
        source: None,
        version: None,
        webhook_secret: None,
    };
    let mut rows = vec![row(STORE.0, Entity::Store(shop))];
    for n in 0..mappings {
        let body = serde_json::json!({
            "name": format!("m{n}"), "url": "http://endpoint.example/", "messages": ["order:new"], "enabled": true,
        });
        let mapping = Entity::from_json("mapping", &body.to_string()).unwrap();
        rows.push(row(FIRST_MAPPING + i64::try_from(n).unwrap(), mapping));
    }
    Arc::clone(&Registry::default().apply(rows, 1).stores[&STORE])
}

/// The message with this number, about an order.
pub fn message(number: usize, order: &str) -> Message {
    let kind = MessageType::parse("order:new").unwrap();
    let payload = format!(r#"{{"order":{{"number":"{order}"}}}}"#);
    let payload = Payload::parse(&payload, PayloadLimits::default()).unwrap();
    let key = i64::try_from(number).unwrap() + 1;
    Message {
        key: MessageKey(key),
        id: IdSeal::new(1).seal(key, Micros(0)),
        store: STORE,
        about: object_of(&kind, &payload),
        kind,
        payload,
        source: Source::Poller,
        ancestry: None,
        test: false,
        extra: None,
        accepted_at: Micros(0),
    }
}

/// One mapping's share of the fan-out, going on after `up_to`.
pub fn next_chunk(message: &Message, up_to: Option<MappingKey>, store: &StoreSnapshot) -> Decision {
    let incoming = Incoming {
        message: std::sync::Arc::new(message.clone()),
        routed_up_to: up_to,
    };
    route(&incoming, store, 1)
}

/// What becomes of a delivery whose attempt ended so.
pub fn settled(message: &Message, failures: u32, word: Word, most: u32) -> Disposition {
    let delivery = Delivery {
        key: DeliveryKey(1),
        id: message.id,
        message: Arc::new(message.clone()),
        mapping: MappingKey(FIRST_MAPPING),
        endpoint: EndpointKey(FIRST_MAPPING),
        lane: None,
        state: WaitState::Pending,
        attempts: failures,
        failures,
        since: Micros(0),
        asynchronous: None,
    };
    let policy = RetryPolicy {
        allowed: true,
        base: Duration::from_secs(5),
        cap: Duration::from_secs(3600),
        jitter: 0.0,
        max_failures: most,
        deadline: Duration::from_secs(432_000),
        schedule: None,
    };
    let answered = |status| Finish::Answered {
        status,
        retry_after: None,
        answer: ServiceAnswer::default(),
    };
    let finish = match word {
        Word::Taken => answered(200),
        Word::Refused => answered(500),
        Word::Silence => Finish::Failed {
            kind: "timed_out",
            sentence: "no answer".into(),
        },
    };
    let mask = Mask::default();
    let context = SettleContext {
        mapping: "m",
        dialect: Dialect::One,
        accept_any_body: false,
        policy: &policy,
        asynchronous_budget: Duration::from_secs(3600),
        epoch: 1,
        now: Micros(0),
        random: 0.0,
        mask: &mask,
        record: Attempt {
            number: failures + 1,
            started_at: Micros(0),
            duration_us: 1,
            url: String::new(),
            status: None,
            outcome: String::new(),
            error: String::new(),
            request_headers: "{}".into(),
            request_bytes: 0,
            answer_headers: "{}".into(),
            answer_body: String::new(),
            answer_bytes: 0,
        },
        sent: Vec::new(),
    };
    settle(&delivery, finish, context).disposition
}
