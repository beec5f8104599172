//! Every statement finds its rows by an index. A plan that scans a table which grows is a defect, however fast it is on a
//! small database.

use diesel::{
    Connection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types::Text,
    sqlite::SqliteConnection,
};

use super::{
    super::{
        archive, delivery, detail, due, erasure, event, event_list, incoming, job, known, lists,
        loops, message, objects, person, polling, registry, route, session, settle, sweep,
    },
    options,
};
use crate::{
    db::{ArchivedSource, Queue, QueueQuery, queues, sqlite::SqliteBackend, walk::Range},
    domain::{
        delivery::{ArchiveReason, WaitState},
        key::{MappingKey, StoreKey},
        time::Micros,
    },
};

/// Tables that grow without bound, or may.
const GROWING: [&str; 14] = [
    "known_object",
    "message",
    "accepted",
    "archived",
    "attempt",
    "event",
    "object_message",
    "routing",
    "claim",
    "idempotency",
    "snapshot",
    "set_aside",
    "hook_event",
    "job_mark",
];

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

fn scans(conn: &mut SqliteConnection, text: &str) -> Vec<String> {
    let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {text}"))
        .load(conn)
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let is_scan = |step: &Step| {
        let mut words = step.detail.split_whitespace();
        words.next() == Some("SCAN") && words.next().is_some_and(|table| GROWING.contains(&table))
    };
    steps
        .into_iter()
        .filter(is_scan)
        .map(|step| step.detail)
        .collect()
}

/// Whether rows are sorted before the first is given.
fn sorts(conn: &mut SqliteConnection, text: &str) -> bool {
    let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {text}"))
        .load(conn)
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let is_sort = |step: &Step| step.detail.contains("TEMP B-TREE FOR ORDER BY");
    steps.iter().any(is_sort)
}

fn database() -> (tempfile::TempDir, SqliteConnection) {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    drop(SqliteBackend::open(options.clone()).unwrap());
    let mut conn = SqliteConnection::establish(options.path.to_str().unwrap()).unwrap();
    conn.batch_execute("PRAGMA query_only = ON").unwrap();
    (folder, conn)
}

/// Statements that read a table in its own order from its old end, a bounded number of rows.
const IN_ORDER: [&str; 2] = ["OldestMessages", "OldestEvents"];

/// Statements that sort the few rows which belong to one page of a list.
const SORTED: [&str; 1] = ["MarksOf"];

#[test]
fn every_statement_finds_its_rows_by_an_index() {
    let (_folder, mut conn) = database();
    let all = [
        archive::ALL,
        delivery::ALL,
        detail::ALL,
        due::ALL,
        erasure::ALL,
        erasure::message::ALL,
        event::ALL,
        event_list::ALL,
        incoming::ALL,
        job::ALL,
        job::STEP,
        known::ALL,
        lists::ALL,
        loops::ALL,
        message::ALL,
        objects::ALL,
        person::ALL,
        polling::ALL,
        registry::ALL,
        route::ALL,
        session::ALL,
        settle::ALL,
        sweep::ALL,
    ];
    assert_eq!(
        scans(&mut conn, "SELECT count(*) FROM message WHERE depth = 3").len(),
        1,
        "a scan is noticed"
    );
    let mut wrong = Vec::new();
    for (name, text) in all.into_iter().flatten() {
        let scans = scans(&mut conn, text);
        if !scans.is_empty() && !IN_ORDER.contains(name) {
            wrong.push(format!("{name}: {scans:?}"));
        }
        if sorts(&mut conn, text) && !SORTED.contains(name) {
            wrong.push(format!("{name} sorts"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn query(queue: Queue) -> QueueQuery {
    QueueQuery {
        store: StoreKey(1),
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
        limit: 50,
    }
}

/// Every combination of filters that a list knows.
fn queries() -> Vec<QueueQuery> {
    let mut queries = Vec::new();
    for queue in [Queue::Incoming, Queue::Accepted, Queue::Archived] {
        for filters in 0..64u32 {
            let on = |bit: u32| filters & (1 << bit) != 0;
            let mut query = query(queue);
            query.states = on(0).then(|| vec![WaitState::Parked, WaitState::Failing]);
            query.reasons = on(1).then(|| vec![ArchiveReason::NotWanted, ArchiveReason::Removed]);
            query.source = on(2).then_some(ArchivedSource::Incoming);
            query.from = on(3).then_some(Micros(5));
            query.mapping = on(4).then_some(MappingKey(7));
            query.kinds = on(5).then(|| vec!["order:new".into()]);
            queries.push(query);
        }
    }
    queries
}

#[test]
fn every_list_walks_an_index_in_its_order() {
    let (_folder, mut conn) = database();
    for query in queries() {
        let kinds = query.kinds.as_ref().map(|_| [3, 4]);
        for walk in lists::walks(&query, kinds.as_ref().map(<[i64; 2]>::as_slice)) {
            let text = walk.text(Range::ALL, 51);
            assert_eq!(scans(&mut conn, &text), Vec::<String>::new(), "{text}");
            let upwards = walk.upwards("*", 5, 900);
            assert_eq!(
                scans(&mut conn, &upwards),
                Vec::<String>::new(),
                "{upwards}"
            );
            for text in [text, upwards] {
                assert!(!sorts(&mut conn, &text), "sorted: {text}");
            }
        }
    }
}

#[test]
fn a_range_of_time_is_found_by_seeks() {
    let (_folder, mut conn) = database();
    let store = StoreKey(1);
    assert!(
        sorts(&mut conn, "SELECT seq FROM archived ORDER BY completed_at"),
        "a sort is noticed"
    );
    for queue in [Queue::Incoming, Queue::Accepted, Queue::Archived] {
        let (table, made) = queues::table_of(queue);
        for text in [
            lists::edge(table, store, "ASC"),
            lists::edge(table, store, "DESC"),
            lists::first_from(table, store, 5),
            lists::is_since(table, made, store, 5, Micros(9)),
        ] {
            assert_eq!(scans(&mut conn, &text), Vec::<String>::new(), "{text}");
            assert!(!sorts(&mut conn, &text), "sorted: {text}");
        }
    }
}
