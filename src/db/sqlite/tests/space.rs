//! The file: it gets smaller when old rows go, and nothing of what was erased is left in it.

use std::{path::Path, time::Duration};

use diesel::{Connection, connection::SimpleConnection, sqlite::SqliteConnection};

use super::{SqliteBackend, options};
use crate::{
    db::{
        Accepted, Backend, ErasureStep, NewErasure, RouteOutcome, RouteProgress, Routed,
        SweepBounds, conformance::cases::acceptance_of,
    },
    domain::{erasure::ErasureSubject, key::StoreKey, reference::ObjectRef, time::Micros},
};

const STORE: StoreKey = StoreKey(1);
const DAY: u64 = 86_400;

/// Accepts messages of this size and has them archived, as nobody wants them.
async fn archived(db: &SqliteBackend, messages: usize, bytes: usize) {
    let batch = (0..messages)
        .map(|n| acceptance_of(STORE, &format!("R{n}"), bytes))
        .collect();
    let accepted = db.incoming_insert(batch, Micros(0)).await.unwrap();
    let unwanted = accepted.into_iter().map(|one| match one {
        Accepted::New { key, .. } => Routed {
            message: key,
            store: STORE,
            deliveries: Vec::new(),
            skipped: Vec::new(),
            derived: Vec::new(),
            events: Vec::new(),
            progress: RouteProgress::Done,
        },
        other => panic!("{other:?}"),
    });
    let router = db.router_claim(crate::db::ShardSet::ALL).await.unwrap();
    let routed = db
        .incoming_route(unwanted.collect(), i64::MAX, router, Micros(0))
        .await
        .unwrap();
    assert!(matches!(routed, RouteOutcome::Done { .. }), "{routed:?}");
}

/// Sweeps until nothing is left to do; the bytes given back.
async fn swept(db: &SqliteBackend) -> u64 {
    let bounds = SweepBounds {
        rows: 100,
        archived_age: Duration::from_secs(30 * DAY),
        event_age: Duration::from_secs(30 * DAY),
    };
    let later = Micros(0).plus(Duration::from_secs(40 * DAY));
    let mut given_back = 0;
    for _ in 0..1000 {
        let report = db.sweep(bounds, later).await.unwrap();
        given_back += report.given_back;
        if !report.more {
            return given_back;
        }
    }
    panic!("it does not end")
}

fn size_of(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("hub.db")).unwrap().len()
}

#[tokio::test]
async fn the_file_gets_smaller_when_old_rows_go() {
    let folder = tempfile::tempdir().unwrap();
    let db = SqliteBackend::open(options(folder.path())).unwrap();
    archived(&db, 1000, 10_000).await;
    db.fold().unwrap();
    let full = size_of(folder.path());
    assert!(full > 10_000_000, "{full}");
    let given_back = swept(&db).await;
    db.fold().unwrap();
    let rest = size_of(folder.path());
    assert!(rest < full / 4, "{rest} of {full}");
    // Pages that the sweep itself needed may have come anew at the end.
    assert!(
        (full - rest).abs_diff(given_back) < 64 * 4096,
        "{given_back}"
    );
}

#[tokio::test]
async fn a_small_file_of_an_older_version_learns_to_get_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let db = SqliteBackend::open(options.clone()).unwrap();
    archived(&db, 200, 10_000).await;
    drop(db);
    let mut conn = SqliteConnection::establish(options.path.to_str().unwrap()).unwrap();
    conn.batch_execute("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM;")
        .unwrap();
    drop(conn);
    let db = SqliteBackend::open(options).unwrap();
    assert!(swept(&db).await > 1_000_000);
}

#[tokio::test]
async fn nothing_of_what_was_erased_is_left_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let db = SqliteBackend::open(options(folder.path())).unwrap();
    archived(&db, 20, 300).await;
    let mut push = acceptance_of(STORE, "SECRET-1", 20_000);
    push.message.payload = crate::domain::json::Payload::from_stored(format!(
        r#"{{"order":{{"number":"SECRET-1","name":"{}"}}}}"#,
        "Ada Lovelace ".repeat(2000)
    ));
    db.incoming_insert(vec![push], Micros(0)).await.unwrap();
    archived(&db, 20, 300).await;
    let is_there = |text: &str| {
        db.fold().unwrap();
        let mut bytes = std::fs::read(folder.path().join("hub.db")).unwrap();
        bytes.extend(std::fs::read(folder.path().join("hub.db-wal")).unwrap_or_default());
        memchr::memmem::find(&bytes, text.as_bytes()).is_some()
    };
    assert!(is_there("SECRET-1") && is_there("Lovelace"));
    let object = ObjectRef::new("order", "SECRET-1").unwrap();
    let erasure = NewErasure {
        store: STORE,
        subject: ErasureSubject::Object(object),
        who: "Ann".into(),
    };
    db.erasure_insert(erasure, Micros(1)).await.unwrap();
    while db.erasure_step(10, Micros(2)).await.unwrap() != ErasureStep::Idle {}
    assert!(!is_there("Lovelace"), "the payload");
    assert!(!is_there("SECRET-1"), "the object's name");
}
