//! A job among more rows than one walk looks at: counted wholly, and stepped through without a long look.

use std::time::Duration;

use diesel::{Connection, connection::SimpleConnection, sqlite::SqliteConnection};

use super::options;
use crate::{
    db::{Backend, JobQuestion, JobStep, JobTurn, Queue, QueueQuery, sqlite::SqliteBackend},
    domain::{
        job::{FASTEST, JobKind, NewJob},
        key::{MappingKey, StoreKey},
        time::Micros,
    },
};

const T0: Micros = Micros(1_800_000_000_000_000);

/// 45,000 waiting deliveries of which every thousandth goes to mapping 7.
fn fill(conn: &mut SqliteConnection) {
    conn.batch_execute(
        "UPDATE meta SET value = 100000 WHERE name = 'sequence';
         INSERT INTO accepted (store, seq, endpoint, mapping, kind, message, pos, head, state, due_at, attempts, failures, since, created_at)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 45000)
         SELECT 1, i, 5, CASE WHEN i % 1000 = 0 THEN 7 ELSE 8 END, 1, i, i, 1, 0, 0, 0, 0, 0, 0 FROM n;",
    )
    .unwrap();
}

#[tokio::test]
async fn rare_rows_are_found_a_bounded_look_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    drop(SqliteBackend::open(options.clone()).unwrap());
    let mut conn = SqliteConnection::establish(options.path.to_str().unwrap()).unwrap();
    fill(&mut conn);
    drop(conn);
    let db = SqliteBackend::open(options).unwrap();
    let question = JobQuestion {
        kind: JobKind::Archive,
        query: QueueQuery {
            store: StoreKey(1),
            queue: Queue::Accepted,
            kinds: None,
            states: None,
            reasons: None,
            source: None,
            from: None,
            until: None,
            message: None,
            mapping: Some(MappingKey(7)),
            object: None,
            after: None,
            skip: 0,
            limit: 25,
        },
        ids: None,
        upper: Some(44_500),
    };
    let count = db.job_count(question, T0).await.unwrap();
    assert_eq!(count.count(), 44);
    let new = NewJob {
        store: StoreKey(1),
        kind: JobKind::Archive,
        count: count.count(),
        chosen: count.chosen,
        asked: "{}".into(),
        per_sec: FASTEST,
        who: "anna".into(),
        begins_at: T0,
    };
    let mut job = db.job_create(new, T0).await.unwrap();
    let mut steps = Vec::new();
    while job.state.is_open() {
        let turn = JobTurn {
            job: job.key,
            targets: Vec::new(),
            registry_version: 0,
        };
        let step = db.job_step(turn, job.next_at).await.unwrap();
        let JobStep::Stepped {
            job: after,
            touched,
        } = step
        else {
            panic!("{step:?}");
        };
        assert!(after.next_at > job.next_at || !after.state.is_open());
        steps.push((touched.len(), after.cursor));
        job = *after;
    }
    assert_eq!(steps, [(20, 20_000), (20, 40_000), (4, 44_500)]);
    assert_eq!((job.done, job.skipped), (44, 0));
    assert!(job.ended_at.unwrap().since(T0) < Duration::from_secs(5));
}
