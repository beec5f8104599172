//! The same work through the backend itself.

use std::sync::Arc;

use std::time::Instant;

use integrator::{
    db::{
        Acceptance, Backend, OwnerKind, RouteProgress, Routed, RouterLease, ShardSet,
        sqlite::{SqliteBackend, SqliteOptions},
    },
    domain::{
        delivery::{Attempt, Delivery, Disposition, Fence, NewDelivery, Settlement},
        json::Payload,
        key::{EndpointKey, MappingKey, StoreKey},
        message::{Incoming, NewMessage, Source},
        message_type::MessageType,
        reference::{About, lane_hash},
        time::Micros,
    },
};

use super::{cpu_us, print_line, written_bytes};

/// The whole life through the backend itself.
pub(super) fn measure(messages: i64) {
    let folder = tempfile::tempdir_in(std::env::var("TABLES_DIR").unwrap_or_else(|_| ".".into()))
        .expect("a folder to write to");
    let db =
        SqliteBackend::open(SqliteOptions::new(folder.path().join("hub.db"))).expect("a database");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let payload = Payload::from_stored(format!(
        "{{\"order\":{{\"note\":\"{}\"}}}}",
        "x".repeat(2480)
    ));
    let (started, cpu, written) = (Instant::now(), cpu_us(), written_bytes());
    let batches = messages / 128;
    runtime.block_on(async {
        let router = db.router_claim(ShardSet::ALL).await.expect("an epoch");
        let epoch = db
            .owner_claim(OwnerKind::Dispatcher, 7)
            .await
            .expect("an epoch");
        // Several lanes of work, as the hub has: while one settles, another is accepted, and both share a commit.
        let works = (0..4).map(|worker| {
            backend_batches(&db, worker, batches / 4, router.clone(), epoch, &payload)
        });
        futures_util::future::join_all(works).await;
    });
    let done = batches / 4 * 4 * 128;
    print_line("backend", done, started, cpu, written);
}

async fn backend_batches(
    db: &SqliteBackend,
    worker: i64,
    batches: i64,
    router: RouterLease,
    epoch: i64,
    payload: &Payload,
) {
    let store = StoreKey(worker + 1);
    let endpoint = EndpointKey(worker + 7);
    let epoch = if worker == 0 {
        epoch
    } else {
        db.owner_claim(OwnerKind::Dispatcher, endpoint.0)
            .await
            .expect("an epoch")
    };
    for batch in 0..batches {
        let message = |n: i64| NewMessage {
            store,
            kind: MessageType::parse("order:new").expect("a type"),
            payload: payload.clone(),
            about: About::given("order", &format!("R{}", batch * 128 + n)).expect("an object"),
            source: Source::Push("shop".into()),
            ancestry: None,
            test: false,
            extra: None,
        };
        let pushes = (0..128)
            .map(|n| Acceptance {
                message: message(n),
                idempotency: None,
            })
            .collect();
        db.incoming_insert(pushes, Micros(batch))
            .await
            .expect("accepted");
        let waiting = db
            .incoming_waiting(1024, Vec::new(), ShardSet::ALL)
            .await
            .expect("waiting");
        let own = waiting
            .into_iter()
            .filter(|incoming| incoming.message.store == store);
        let decide = |incoming: Incoming| {
            let lane = incoming
                .message
                .about
                .primary
                .as_ref()
                .map(|object| lane_hash(store.0, object));
            Routed {
                message: incoming.message.key,
                store,
                deliveries: vec![NewDelivery {
                    mapping: MappingKey(8),
                    endpoint,
                    lane,
                    claim: None,
                }],
                skipped: Vec::new(),
                derived: Vec::new(),
                events: Vec::new(),
                progress: RouteProgress::Done,
            }
        };
        db.incoming_route(own.map(decide).collect(), 0, router.clone(), Micros(batch))
            .await
            .expect("routed");
        let due = db
            .accepted_due(endpoint, Micros(batch), 128, Vec::new().into())
            .await
            .expect("due");
        let settle = |delivery: &Delivery| Settlement {
            key: delivery.key,
            store,
            fence: Fence {
                epoch,
                attempts: delivery.attempts,
            },
            attempt: Some(attempt()),
            disposition: Disposition::Completed { result: None },
            messages: Vec::new(),
            objects: None,
            events: Vec::new(),
            parameters: Vec::new(),
        };
        assert_eq!(due.deliveries.len(), 128);
        db.accepted_settle(
            Arc::new(due.deliveries.iter().map(settle).collect()),
            Micros(batch),
        )
        .await
        .expect("settled");
    }
}

fn attempt() -> Attempt {
    Attempt {
        number: 1,
        started_at: Micros(1),
        duration_us: 1500,
        url: "http://endpoint.example/send_order".into(),
        status: Some(200),
        outcome: "completed".into(),
        error: String::new(),
        request_headers: "{\"content-type\":\"application/json\",\"x-hub-token\":\"***\"}".into(),
        request_bytes: 2600,
        answer_headers: "{\"content-type\":\"application/json\"}".into(),
        answer_body: "{\"message_id\":\"54f46d880123456789abcdef\"}".into(),
        answer_bytes: 40,
    }
}
