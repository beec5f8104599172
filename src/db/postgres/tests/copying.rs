//! Moving from the embedded database: everything arrives as it was, a cut is gone on from, and nothing else is touched.

use std::{panic::AssertUnwindSafe, path::Path, sync::Arc};

use super::*;
use crate::{
    db::{
        DbError, NewAudit, Queue, QueueQuery, SessionRow,
        copy::{TABLES, copy},
        sqlite::{SqliteBackend, SqliteOptions},
    },
    domain::{
        event::{Level, NewEvent},
        key::AccountKey,
        known_object::ObjectNews,
        settle::ReturnedObject,
    },
};

const NOW: Micros = Micros(1_790_000_000_000_000);

fn open_sqlite(path: &Path) -> SqliteBackend {
    SqliteBackend::open(SqliteOptions::new(path)).unwrap()
}

fn everything(store: StoreKey, queue: Queue) -> QueueQuery {
    QueueQuery {
        store,
        queue,
        kinds: None,
        states: None,
        reasons: None,
        source: None,
        from: None,
        until: None,
        message: None,
        mapping: None,
        object: None,
        after: None,
        skip: 0,
        limit: 100,
    }
}

/// A hub with something in every corner: messages that wait, deliveries that wait, failed and are done.
async fn fill(db: &dyn Backend) -> StoreKey {
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
    let delta = db.registry_change(vec![create], NOW).await.unwrap();
    let store = StoreKey(delta.rows[0].key);
    let router = db.router_claim(crate::db::ShardSet::ALL).await.unwrap();
    let epoch = db
        .owner_claim(OwnerKind::Dispatcher, ENDPOINT.0)
        .await
        .unwrap();
    let message = |order: &str| NewMessage {
        store,
        kind: MessageType::parse("order:new").unwrap(),
        payload: Payload::from_stored(format!(
            r#"{{"order":{{"number":"{order}","note":"größe"}}}}"#
        )),
        about: About::given("order", order).unwrap(),
        source: Source::Push("shop".into()),
        ancestry: None,
        test: false,
        extra: None,
    };
    for (order, at) in [
        ("R1", NOW),
        ("R2", NOW.minus(Duration::from_secs(3 * 86_400))),
        ("R1", NOW),
    ] {
        let one = vec![Acceptance {
            message: message(order),
            idempotency: None,
        }];
        let accepted = db.incoming_insert(one, at).await.unwrap();
        let [Accepted::New { key, .. }] = accepted[..] else {
            panic!("{accepted:?}")
        };
        let lane = lane_hash(
            store.0,
            About::given("order", order)
                .unwrap()
                .primary
                .as_ref()
                .unwrap(),
        );
        let routed = Routed {
            message: key,
            store,
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
        };
        db.incoming_route(vec![routed], delta.version, router.clone(), at)
            .await
            .unwrap();
    }
    let due = db
        .accepted_due(ENDPOINT, NOW, 10, Vec::new().into())
        .await
        .unwrap()
        .deliveries;
    let settlement = |delivery: &Delivery, disposition| Settlement {
        key: delivery.key,
        store,
        fence: Fence {
            epoch,
            attempts: delivery.attempts,
        },
        attempt: Some(attempt(delivery.attempts + 1, NOW)),
        disposition,
        messages: Vec::new(),
        events: vec![NewEvent {
            store,
            level: Level::Warn,
            subject: "Out of stock".into(),
            description: "of SKU-1".into(),
            reference: delivery.message.about.primary.clone(),
            message: Some(delivery.message.key),
            delivery: Some(delivery.key),
            origin: "acme.send".into(),
            attributes: None,
            announce: None,
        }],
        parameters: Vec::new(),
        objects: None,
    };
    let error = || "it answered 500".to_owned();
    let batch = vec![
        settlement(&due[0], Disposition::Completed { result: None }),
        settlement(
            &due[1],
            Disposition::Failing {
                due_at: NOW,
                error: error(),
            },
        ),
    ];
    db.accepted_settle(Arc::new(batch), NOW).await.unwrap();
    let waiting = vec![Acceptance {
        message: message("R3"),
        idempotency: None,
    }];
    db.incoming_insert(waiting, NOW).await.unwrap();
    let news = ObjectNews {
        store,
        source: Source::Push("shop".into()),
        ancestry: None,
        test: false,
        objects: vec![ReturnedObject {
            kind: "order".into(),
            id: "R9".into(),
            raw: r#"{"id":"R9"}"#.into(),
        }],
        sent: Vec::new(),
    };
    db.object_merge(news, NOW).await.unwrap();
    db.session_insert(SessionRow {
        digest: "ab".repeat(32),
        account: AccountKey(7),
        created_at: NOW,
        expires_at: NOW,
    })
    .await
    .unwrap();
    let change = NewAudit {
        store: Some(store),
        who: "Ann".into(),
        action: "created".into(),
        subject: "it's".into(),
        was: None,
        is: Some("{}".into()),
    };
    db.audit_insert(vec![change], NOW).await.unwrap();
    store
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn everything_is_copied_and_a_copy_that_was_cut_short_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hub.db");
    let url = cluster().database();
    let sqlite = open_sqlite(&file);
    let store = fill(&sqlite).await;
    let mut lists = Vec::new();
    for queue in [Queue::Incoming, Queue::Accepted, Queue::Archived] {
        lists.push(sqlite.queue_list(everything(store, queue)).await.unwrap());
    }
    let stats = sqlite.queue_stats(store).await.unwrap();
    let detail = sqlite
        .message_detail(store, lists[2].rows[0].id)
        .await
        .unwrap();
    drop(sqlite);

    // Cut short at its tenth step, and nobody starts a hub on what is half there.
    let (from, to) = (file.clone(), url.clone());
    let mut steps = 0;
    let cut = blocking(move || {
        std::panic::catch_unwind(AssertUnwindSafe(|| {
            copy(&from, &to, |_| {
                steps += 1;
                assert!(steps < 10, "cut short");
            })
        }))
    });
    assert!(cut.await.is_err());
    let opened = PostgresBackend::open(PostgresOptions::new(&url));
    assert!(matches!(opened.map(drop), Err(DbError::Refused(_))));

    let (from, to) = (file.clone(), url.clone());
    let mut first = None;
    let report = blocking(move || {
        let report = copy(&from, &to, |progress| {
            first.get_or_insert(progress.rows);
        });
        (report.unwrap(), first)
    });
    let (report, first) = report.await;
    assert!(first > Some(0), "it went on: {first:?}");
    let rows = |table: &str| {
        report
            .tables
            .iter()
            .find(|(name, _)| *name == table)
            .unwrap()
            .1
    };
    assert_eq!(
        (rows("message"), rows("attempt"), rows("session")),
        (5, 2, 1)
    );

    let postgres = open(&url);
    for (queue, before) in [Queue::Incoming, Queue::Accepted, Queue::Archived]
        .into_iter()
        .zip(&lists)
    {
        let after = postgres.queue_list(everything(store, queue)).await.unwrap();
        assert_eq!(after.rows, before.rows);
    }
    assert_eq!(postgres.queue_stats(store).await.unwrap(), stats);
    let after = postgres
        .message_detail(store, lists[2].rows[0].id)
        .await
        .unwrap();
    assert_eq!(after, detail);
    assert_eq!(
        postgres
            .incoming_waiting(10, Vec::new(), crate::db::ShardSet::ALL)
            .await
            .unwrap()
            .len(),
        2
    );
    let due = postgres
        .accepted_due(ENDPOINT, NOW, 10, Vec::new().into())
        .await
        .unwrap();
    assert_eq!(
        due.deliveries.len(),
        1,
        "the second about R1 waits behind the first"
    );
    // Numbers go on.
    let newest = cluster().sql(&url, "SELECT max(seq) FROM message");
    let delta = postgres.registry_changes(0).await.unwrap();
    let epoch = postgres.owner_claim(OwnerKind::Router, 0).await.unwrap();
    assert!(delta.version > 0 && epoch > 1, "{epoch}");
    assert!(
        cluster()
            .sql(&url, "SELECT nextval('number')")
            .parse::<i64>()
            .unwrap()
            > newest.parse().unwrap()
    );
    drop(postgres);
    let again = blocking(move || copy(&file, &url, |_| {}));
    assert!(
        matches!(again.await, Err(DbError::Refused(_))),
        "it is in use already"
    );
}

#[tokio::test]
async fn every_table_of_the_schema_is_copied_or_known_not_to_be() {
    let url = cluster().database();
    drop(open(&url));
    let there = cluster().sql(
        &url,
        "SELECT string_agg(relname, ' ') FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace",
    );
    for table in there.split(' ') {
        assert!(
            ["meta", "node", "probe", "schema_migration"].contains(&table)
                || TABLES.iter().any(|known| known.name == table),
            "{table} would stay behind"
        );
    }
}
