//! Stored jobs with a foreman that falls, and with a database that refuses.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    rig::{Act, Rig, Stage, open, until},
    troubled::{Trouble, Troubled},
};
use crate::{
    db::{JobQuery, JobQuestion, Queue, QueueQuery},
    domain::job::{Job, JobKind, JobState, NewJob},
};

/// A retry of everything that waits, without an undo window.
async fn retry_all(rig: &Rig) -> Job {
    let query = QueueQuery {
        store: rig.store,
        queue: Queue::Accepted,
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
    let question = JobQuestion {
        kind: JobKind::Retry,
        query,
        ids: None,
        upper: None,
    };
    let now = rig.hub.now();
    let counted = rig.hub.backend().job_count(question, now).await;
    let counted = counted.expect("counted");
    let new = NewJob {
        store: rig.store,
        kind: JobKind::Retry,
        count: counted.count(),
        chosen: counted.chosen,
        asked: "{}".into(),
        per_sec: 100,
        who: "anna".into(),
        begins_at: now,
    };
    rig.hub.job_begin(new).await.expect("begun")
}

async fn until_over(rig: &Rig, job: &Job) -> Job {
    until("the job is over", || async {
        let query = JobQuery {
            stores: None,
            kinds: JobKind::ALL.to_vec(),
            id: Some(job.id),
            open: false,
            after: None,
            limit: 1,
        };
        let found = rig.hub.backend().job_list(query).await.expect("read").pop();
        found.filter(|job| !job.state.is_open())
    })
    .await
}

/// A rig whose first delivery is parked and taken when it comes again; the first `times` steps of jobs have this trouble.
async fn parked_one(times: usize, trouble: fn() -> Trouble) -> Rig {
    let stage = Stage::new(|_, before| Act::Answer(if before == 0 { 410 } else { 200 }));
    let left = Arc::new(AtomicUsize::new(times));
    let befall = move |method| {
        let spend = |left: usize| left.checked_sub(1);
        let is_next = method == "job_step"
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend)
                .is_ok();
        if is_next { trouble() } else { Trouble::None }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Troubled::over(open(folder.path()), befall);
    let rig = Rig::on(folder, backend, stage, |_| {}).await;
    rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    until("it is parked", || async {
        let stats = rig.hub.backend().queue_stats(rig.store).await;
        (stats.expect("counters").parked == 1).then_some(())
    })
    .await;
    rig
}

#[actix_web::test]
async fn a_foreman_that_panics_comes_back_and_finishes_the_job() {
    let rig = parked_one(1, || Trouble::Panic).await;
    let job = retry_all(&rig).await;
    let over = until_over(&rig, &job).await;
    assert_eq!((over.state, over.done), (JobState::Done, 1));
    rig.until_archived(1).await;
    assert_eq!(rig.stage.orders_at("/acme"), ["R1", "R1"]);
}

#[actix_web::test]
async fn a_job_waits_for_a_database_that_is_away() {
    let rig = parked_one(3, || Trouble::Away).await;
    let job = retry_all(&rig).await;
    let over = until_over(&rig, &job).await;
    assert_eq!((over.state, over.done), (JobState::Done, 1));
}

#[actix_web::test]
async fn a_job_that_cannot_go_on_says_so() {
    let rig = parked_one(usize::MAX, || Trouble::Refused).await;
    let job = retry_all(&rig).await;
    let over = until_over(&rig, &job).await;
    assert_eq!((over.state, over.done), (JobState::Failed, 0));
    assert!(over.error.is_some());
    assert_eq!(rig.stage.orders_at("/acme"), ["R1"]);
}
