//! Steps of jobs: how many statements they cost, how far they look, and two of them about the same messages.

use super::*;
use crate::{
    db::{JobQuestion, JobStep, JobTurn, Queue, QueueQuery},
    domain::job::{FASTEST, Job, JobKind, JobState, NewJob, ReplayTarget},
};

fn question(store: StoreKey, kind: JobKind) -> JobQuestion {
    let query = QueueQuery {
        store,
        queue: match kind {
            JobKind::Replay => Queue::Archived,
            JobKind::Retry | JobKind::Archive => Queue::Accepted,
        },
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
        limit: 25,
    };
    JobQuestion {
        kind,
        query,
        ids: None,
        upper: None,
    }
}

impl Shop {
    async fn ask(&self, question: JobQuestion) -> Job {
        let (store, kind) = (question.query.store, question.kind);
        let count = self.db.job_count(question, self.now).await.unwrap();
        let new = NewJob {
            store,
            kind,
            count: count.count(),
            chosen: count.chosen,
            asked: "{}".into(),
            per_sec: FASTEST,
            who: "anna".into(),
            begins_at: self.now,
        };
        self.db.job_create(new, self.now).await.unwrap()
    }

    fn turn(&self, job: &Job) -> JobTurn {
        JobTurn {
            job: job.key,
            targets: vec![ReplayTarget {
                mapping: MappingKey(ENDPOINT.0),
                endpoint: ENDPOINT,
                ordered: true,
            }],
            registry_version: self.version,
        }
    }
}

async fn stepped(db: &PostgresBackend, turn: JobTurn, now: Micros) -> (Job, usize) {
    match db.job_step(turn, now).await.unwrap() {
        JobStep::Stepped { job, touched } => (*job, touched.len()),
        other => panic!("{other:?}"),
    }
}

/// What steps over `n` deliveries cost: a retry, a replay, an archiving.
async fn costs(shop: &Shop, n: usize) -> Vec<u64> {
    shop.deliver(&orders(n)).await;
    let mut costs = Vec::new();
    for kind in [JobKind::Retry, JobKind::Replay, JobKind::Archive] {
        if kind == JobKind::Replay {
            shop.complete(&shop.due().await).await;
        }
        let mut question = question(shop.store, kind);
        // Only what this round made, for what was archived before is still there.
        question.ids = Some(shop.newest(question.query.queue, n).await);
        let job = shop.ask(question).await;
        let (before, _) = shop.db.tally();
        let (job, touched) = stepped(&shop.db, shop.turn(&job), shop.now).await;
        costs.push(shop.db.tally().0 - before);
        assert_eq!((touched, job.state), (n, JobState::Done), "{kind:?}");
    }
    costs
}

impl Shop {
    async fn newest(&self, queue: Queue, n: usize) -> Vec<crate::domain::id::Id> {
        let query = QueueQuery {
            queue,
            limit: n,
            ..question(self.store, JobKind::Retry).query
        };
        let page = self.db.queue_list(query).await.unwrap();
        page.rows.into_iter().map(|row| row.id).collect()
    }
}

#[tokio::test]
async fn a_step_costs_as_many_statements_whatever_its_size() {
    let shop = Shop::start(Micros(1_800_000_000_000_000)).await;
    // Types are learnt and statements prepared once.
    costs(&shop, 3).await;
    let one = costs(&shop, 1).await;
    let many = costs(&shop, 150).await;
    assert_eq!(one, many);
    assert!(many.iter().all(|cost| *cost <= 24), "{many:?}");
}

#[tokio::test]
async fn two_nodes_send_the_same_messages_again_at_once() {
    const MESSAGES: usize = 50;
    let url = cluster().database();
    let shop = Shop::at(&url, Micros(1_800_000_000_000_000)).await;
    let other = open(&url);
    shop.deliver(&orders(MESSAGES)).await;
    shop.complete(&shop.due().await).await;
    let first = shop.ask(question(shop.store, JobKind::Replay)).await;
    let second = shop.ask(question(shop.store, JobKind::Replay)).await;
    let (one, two) = tokio::join!(
        stepped(&shop.db, shop.turn(&first), shop.now),
        stepped(&other, shop.turn(&second), shop.now),
    );
    assert_eq!((one.1, two.1), (MESSAGES, MESSAGES));
    let due = shop.due().await;
    assert_eq!(due.len(), MESSAGES, "each object one at a time");
    for delivery in due.iter().take(3) {
        let family = shop
            .db
            .message_detail(shop.store, delivery.message.id)
            .await
            .unwrap();
        assert_eq!(family.children.len(), 3, "the old one and both new ones");
    }
    shop.complete(&due).await;
    shop.complete(&shop.due().await).await;
    let stats = shop.db.queue_stats(shop.store).await.unwrap();
    assert_eq!((stats.pending, stats.archived), (0, 3 * MESSAGES as u64));
}

/// 45,000 waiting deliveries of which every thousandth goes to mapping 7: counted wholly, and stepped through without a long look.
#[tokio::test]
async fn rare_rows_are_found_a_bounded_look_at_a_time() {
    let url = cluster().database();
    let shop = Shop::at(&url, Micros(1_800_000_000_000_000)).await;
    cluster().sql(
        &url,
        "SELECT setval('number', 100000);
         INSERT INTO accepted (store, seq, endpoint, mapping, kind, message, made_at, pos, head, state, due_at, attempts, failures, since, created_at)
         SELECT 900000, i, 5, CASE WHEN i % 1000 = 0 THEN 7 ELSE 8 END, 1, i, 0, i, TRUE, 0, 0, 0, 0, 0, 0 FROM generate_series(1, 45000) i;",
    );
    let mut rare = question(StoreKey(900_000), JobKind::Archive);
    rare.query.mapping = Some(MappingKey(7));
    rare.upper = Some(44_500);
    let mut job = shop.ask(rare).await;
    assert_eq!(job.new.count, 44);
    let (mut steps, mut all) = (Vec::new(), 0);
    while job.state.is_open() {
        let (after, touched) = stepped(&shop.db, shop.turn(&job), job.next_at).await;
        (job, all) = (after, all + touched);
        steps.push(job.cursor);
    }
    assert_eq!((job.done, job.skipped, all), (44, 0, 44));
    assert_eq!(steps, [20_000, 40_000, 44_500]);
}
