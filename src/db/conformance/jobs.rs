//! Stored jobs: counted, made in steps that are wholly done or not at all, stopped, and told of.

use std::time::Duration;

use super::setup::*;
use crate::{
    db::{
        AuditQuery, EndJob, ErasureStep, JobCount, JobQuery, JobQuestion, JobStep, JobTurn,
        Locator, NewErasure, Queue, QueueQuery, SweepBounds,
    },
    domain::{
        delivery::{ArchiveReason, WaitState},
        erasure::ErasureSubject,
        id::Id,
        job::{Job, JobEnd, JobKind, JobState, NewJob, ReplayTarget},
        key::{DeliveryKey, JobKey, MappingKey, StoreKey},
        reference::ObjectRef,
        time::Micros,
    },
};

const OTHER: MappingKey = MappingKey(900_002);

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

fn parked_ones(store: StoreKey, kind: JobKind) -> JobQuestion {
    let mut question = question(store, kind);
    question.query.states = Some(vec![WaitState::Parked]);
    question
}

fn all_open() -> JobQuery {
    JobQuery {
        stores: None,
        kinds: JobKind::ALL.to_vec(),
        id: None,
        open: true,
        after: None,
        limit: 100,
    }
}

impl Hub {
    /// Deliveries of these orders that wait for a person.
    async fn park(&self, orders: &[&str]) {
        for order in orders {
            self.deliver(order).await;
        }
        for delivery in self.due(at(1)).await {
            if orders.contains(&order_of(&delivery).as_str()) {
                self.must_settle(&delivery, parked(), at(1)).await;
            }
        }
    }

    /// Deliveries of these orders that were completed.
    async fn complete(&self, orders: &[&str], now: Micros) {
        for order in orders {
            self.deliver(order).await;
        }
        for delivery in self.due(now).await {
            self.must_settle(&delivery, completed(), now).await;
        }
    }

    async fn count(&self, question: JobQuestion, now: Micros) -> JobCount {
        self.db.job_count(question, now).await.unwrap()
    }

    /// A job that begins ten seconds after it was asked for.
    async fn ask(&self, question: JobQuestion, per_sec: u32, now: Micros) -> Job {
        let (store, kind) = (question.query.store, question.kind);
        let count = self.count(question, now).await;
        let new = NewJob {
            store,
            kind,
            count: count.count(),
            chosen: count.chosen,
            asked: r#"{"state":"parked"}"#.into(),
            per_sec,
            who: "anna".into(),
            begins_at: now.plus(Duration::from_secs(10)),
        };
        self.db.job_create(new, now).await.unwrap()
    }

    fn turn(&self, job: &Job) -> JobTurn {
        let target = |mapping| ReplayTarget {
            mapping,
            endpoint: ENDPOINT,
            ordered: true,
        };
        JobTurn {
            job: job.key,
            targets: vec![target(MAPPING)],
            registry_version: self.version,
        }
    }

    async fn step(&self, job: &Job, now: Micros) -> Option<(Job, Vec<DeliveryKey>)> {
        match self.db.job_step(self.turn(job), now).await.unwrap() {
            JobStep::Stepped { job, touched } => {
                assert!(touched.iter().all(|(endpoint, _)| *endpoint == ENDPOINT));
                Some((*job, touched.into_iter().map(|(_, key)| key).collect()))
            }
            JobStep::Nothing => None,
            JobStep::RegistryMoved => panic!("the registry did not move"),
        }
    }

    /// Makes steps until the job is over; returns it and whom it touched.
    async fn carry_out(&self, job: &Job) -> (Job, Vec<DeliveryKey>) {
        let (mut job, mut all) = (job.clone(), Vec::new());
        while job.state.is_open() {
            let (after, touched) = self.step(&job, job.next_at).await.expect("its turn");
            all.extend(touched);
            job = after;
        }
        (job, all)
    }

    async fn find_job(&self, id: Id) -> Option<Job> {
        let query = JobQuery {
            id: Some(id),
            open: false,
            ..all_open()
        };
        self.db.job_list(query).await.unwrap().pop()
    }

    async fn waiting_ids(&self, queue: Queue) -> Vec<Id> {
        let mut query = question(self.store, JobKind::Retry).query;
        query.queue = queue;
        let page = self.db.queue_list(query).await.unwrap();
        page.rows.into_iter().rev().map(|row| row.id).collect()
    }

    async fn recorded(&self) -> Vec<(String, String)> {
        let query = AuditQuery {
            stores: Some(vec![self.store]),
            after: None,
            limit: 100,
        };
        let rows = self.db.audit_list(query).await.unwrap();
        rows.into_iter()
            .map(|row| (row.change.who, row.change.action))
            .collect()
    }
}

/// A count is of exactly what the filters of a list find, by mapping and place, and an earlier bound keeps later rows out.
pub(in crate::db) async fn a_job_counts_what_its_filters_find(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.park(&["R1", "R2"]).await;
    hub.deliver("R3").await;
    let parked = hub
        .count(parked_ones(hub.store, JobKind::Retry), at(2))
        .await;
    assert_eq!(parked.count(), 2);
    assert_eq!(parked.groups.len(), 1);
    assert_eq!(
        (parked.groups[0].mapping, parked.groups[0].location),
        (MAPPING, Locator::Accepted(WaitState::Parked))
    );
    let all = hub
        .count(question(hub.store, JobKind::Archive), at(2))
        .await;
    assert_eq!(all.count(), 3);
    hub.park(&["R4"]).await;
    let mut bound = parked_ones(hub.store, JobKind::Retry);
    bound.upper = Some(parked.chosen.upper);
    assert_eq!(hub.count(bound, at(3)).await.count(), 2);
    let of = |mapping| {
        let mut question = question(hub.store, JobKind::Retry);
        question.query.mapping = Some(mapping);
        question
    };
    assert_eq!(hub.count(of(MAPPING), at(3)).await.count(), 4);
    assert_eq!(hub.count(of(OTHER), at(3)).await.count(), 0);
    let mut held = question(hub.store, JobKind::Retry);
    held.query.states = Some(vec![WaitState::Held]);
    assert_eq!(hub.count(held, at(3)).await.count(), 0);
    let stranger = question(StoreKey(hub.store.0 + 1000), JobKind::Archive);
    assert_eq!(hub.count(stranger, at(3)).await.count(), 0);
}

/// A retry waits out its undo window, then goes on in steps of its speed, oldest first; later arrivals stay out, every delivery is marked,
/// and opening the database again changes nothing.
pub(in crate::db) async fn a_retry_goes_on_in_steps_across_a_restart(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.park(&["R1", "R2", "R3"]).await;
    let job = hub
        .ask(parked_ones(hub.store, JobKind::Retry), 1, at(2))
        .await;
    assert_eq!((job.state, job.new.count), (JobState::Waiting, 3));
    hub.park(&["R4"]).await;
    assert!(hub.step(&job, at(11)).await.is_none(), "it can be undone");
    let (job, first) = hub.step(&job, at(12)).await.expect("its turn");
    assert_eq!(
        (job.state, job.done, first.len()),
        (JobState::Running, 1, 1)
    );
    assert!(hub.step(&job, at(12)).await.is_none(), "too fast");

    let hub = hub.again(rig).await;
    let open = hub.db.job_list(all_open()).await.unwrap();
    assert_eq!(open, std::slice::from_ref(&job));
    let (job, rest) = hub.carry_out(&job).await;
    assert_eq!(
        (job.state, job.done, job.skipped, job.ended_at.is_some()),
        (JobState::Done, 3, 0, true)
    );
    assert_eq!(rest.len(), 2);
    assert_eq!(hub.due_orders(at(100)).await, ["R1", "R2", "R3"]);
    assert!(hub.db.job_list(all_open()).await.unwrap().is_empty());
    let stats = hub.db.queue_stats(hub.store).await.unwrap();
    assert_eq!((stats.pending, stats.parked), (3, 1));
    for id in hub.waiting_ids(Queue::Accepted).await {
        let detail = hub.db.message_detail(hub.store, id).await.unwrap();
        let delivery = detail.delivery.expect("a delivery");
        let marks: Vec<_> = delivery.jobs.iter().map(|mark| mark.id).collect();
        if detail.location == Locator::Accepted(WaitState::Parked) {
            assert_eq!((marks, detail.events.len()), (vec![], 0));
        } else {
            assert_eq!(marks, [job.id]);
            assert_eq!(detail.events[0].subject, "Tried again by anna");
            assert!(detail.events[0].description.contains(&job.id.to_string()));
        }
    }
}

/// A step that was made is not made again with what was read before it, and a step of a job that somebody stopped is not made at all.
pub(in crate::db) async fn a_step_is_made_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.park(&["R1", "R2", "R3", "R4"]).await;
    let job = hub
        .ask(parked_ones(hub.store, JobKind::Retry), 10, at(2))
        .await;
    // Two workers at the same moment: a step has two rows, and no row is dealt with twice.
    let (one, other) = tokio::join!(
        hub.db.job_step(hub.turn(&job), at(20)),
        hub.db.job_step(hub.turn(&job), at(20))
    );
    let made = [one.unwrap(), other.unwrap()]
        .into_iter()
        .filter(|step| matches!(step, JobStep::Stepped { .. }))
        .count();
    assert_eq!(made, 1);
    assert_eq!(hub.due_orders(at(30)).await, ["R1", "R2"]);
}

/// Archiving touches only what is still as it was chosen; what went on meanwhile is told as skipped.
pub(in crate::db) async fn an_archive_job_leaves_alone_what_went_on(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.park(&["R1", "R2", "R3"]).await;
    let job = hub
        .ask(parked_ones(hub.store, JobKind::Archive), 100, at(2))
        .await;
    let ids = hub.waiting_ids(Queue::Accepted).await;
    let second = hub.db.message_detail(hub.store, ids[1]).await.unwrap();
    let second = second.delivery.expect("a delivery").key;
    hub.db
        .accepted_release(hub.store, second, "ben", at(3))
        .await
        .unwrap();
    let (job, touched) = hub.carry_out(&job).await;
    assert_eq!((job.done, job.skipped, touched.len()), (2, 1, 2));
    assert_eq!(hub.due_orders(at(100)).await, ["R2"]);
    let stats = hub.db.queue_stats(hub.store).await.unwrap();
    assert_eq!((stats.pending, stats.parked, stats.archived), (1, 0, 2));
    for id in hub.waiting_ids(Queue::Archived).await {
        let detail = hub.db.message_detail(hub.store, id).await.unwrap();
        assert_eq!(detail.location, Locator::Archived(ArchiveReason::Archived));
        assert_eq!(detail.delivery.expect("a delivery").jobs.len(), 1);
    }
}

/// Rows can be named; a name of nothing, of another store's or of another queue's row is passed over.
pub(in crate::db) async fn a_job_can_name_its_rows(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.park(&["R1", "R2", "R3"]).await;
    let message = hub.push("R4").await.1;
    let ids = hub.waiting_ids(Queue::Accepted).await;
    let mut named = question(hub.store, JobKind::Retry);
    let nobody = "0123456789abcdef01234567".parse().unwrap();
    named.ids = Some(vec![ids[2], nobody, message, ids[0], ids[0]]);
    assert_eq!(hub.count(named.clone(), at(2)).await.count(), 2);
    let mut strange = named.clone();
    strange.query.store = new_store(&*hub.db, "Other").await;
    assert_eq!(hub.count(strange, at(2)).await.count(), 0);
    let job = hub.ask(named, 1, at(2)).await;
    let (job, touched) = hub.carry_out(&job).await;
    assert_eq!((job.done, job.skipped, touched.len()), (2, 0, 2));
    assert_eq!(hub.due_orders(at(100)).await, ["R1", "R3"]);
    let mut about = question(hub.store, JobKind::Archive);
    about.query.object = message_about("R2");
    assert_eq!(hub.count(about, at(3)).await.count(), 1);
}

fn message_about(order: &str) -> Option<crate::domain::reference::ObjectRef> {
    Some(crate::domain::reference::ObjectRef::new("order", order).unwrap())
}

/// A replay makes new deliveries that name the old ones and claim nothing; the old ones stay as they are, and what is archived after
/// the asking is not sent again.
pub(in crate::db) async fn a_replay_leaves_out_what_was_erased(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.complete(&["R1", "R2"], at(1)).await;
    let new = NewErasure {
        store: hub.store,
        subject: ErasureSubject::Object(ObjectRef::new("order", "R1").unwrap()),
        who: "Ann".into(),
    };
    hub.db.erasure_insert(new, at(2)).await.unwrap();
    while hub.db.erasure_step(100, at(3)).await.unwrap() != ErasureStep::Idle {}
    let job = hub
        .ask(question(hub.store, JobKind::Replay), 100, at(4))
        .await;
    let (job, _) = hub.carry_out(&job).await;
    assert_eq!((job.done, job.skipped), (1, 1));
    assert_eq!(hub.due_orders(at(100)).await, ["R2"]);
}

pub(in crate::db) async fn a_replay_sends_archived_deliveries_again(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let (key, message_id) = hub.push("R1").await;
    let mut claiming = hub.to(MAPPING, Some("R1"));
    claiming.claim = claim(1);
    hub.route(vec![routed(
        hub.store,
        key,
        vec![claiming, hub.to(OTHER, None)],
    )])
    .await;
    for delivery in hub.due(at(1)).await {
        hub.must_settle(&delivery, completed(), at(1)).await;
    }
    hub.complete(&["R2"], at(1)).await;
    hub.deliver("R3").await;
    let job = hub
        .ask(question(hub.store, JobKind::Replay), 100, at(2))
        .await;
    assert_eq!(job.new.count, 3);
    hub.complete(&[], at(5)).await;

    let (job, touched) = hub.carry_out(&job).await;
    // The mapping that no target names is gone or disabled.
    assert_eq!((job.done, job.skipped, touched.len()), (2, 1, 2));
    let due = hub.due(at(100)).await;
    let orders: Vec<_> = due.iter().map(order_of).collect();
    assert_eq!(orders, ["R1", "R2"]);
    assert_eq!(due[0].message.key, key);
    assert!(due[0].lane.is_some(), "it keeps the order of its object");
    let detail = hub.db.message_detail(hub.store, due[0].id).await.unwrap();
    let delivery = detail.delivery.expect("a delivery");
    let old = delivery.replay_of.expect("the old one");
    assert_eq!(delivery.jobs.len(), 1);
    assert_eq!(detail.events[0].subject, "Sent again by anna");
    let old = hub.db.message_detail(hub.store, old).await.unwrap();
    assert_eq!(old.location, Locator::Archived(ArchiveReason::Completed));
    let parent = hub.db.message_detail(hub.store, message_id).await.unwrap();
    assert_eq!(parent.children.len(), 3, "the family shows the new one");
    for delivery in due {
        hub.must_settle(&delivery, completed(), at(101)).await;
    }
    let stats = hub.db.queue_stats(hub.store).await.unwrap();
    assert_eq!((stats.pending, stats.archived), (0, 6));

    // Its claim is still the first one's.
    let (key, _) = hub.push("R1").await;
    let mut claiming = hub.to(MAPPING, Some("R1"));
    claiming.claim = claim(1);
    hub.route(vec![routed(hub.store, key, vec![claiming])])
        .await;
    assert!(hub.due(at(200)).await.is_empty());
}

/// A replay whose targets are older than the registry sends nothing: a mapping may have been moved.
pub(in crate::db) async fn an_older_registry_replays_nothing(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.complete(&["R1"], at(1)).await;
    let job = hub
        .ask(question(hub.store, JobKind::Replay), 100, at(2))
        .await;
    new_store(&*hub.db, "Another").await;
    let step = hub.db.job_step(hub.turn(&job), at(20)).await.unwrap();
    assert_eq!(step, JobStep::RegistryMoved);
    assert!(hub.due(at(30)).await.is_empty());
}

/// A stopped job does nothing more; asking and stopping are recorded with it, and it is found by id in its own store only.
pub(in crate::db) async fn a_stopped_job_does_nothing_more(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.park(&["R1", "R2"]).await;
    let undone = hub
        .ask(parked_ones(hub.store, JobKind::Archive), 1, at(2))
        .await;
    let stop = |job: &Job| EndJob {
        store: hub.store,
        job: job.key,
        end: JobEnd::Stopped,
        who: Some("ben".into()),
    };
    let mut strange = stop(&undone);
    strange.store = StoreKey(hub.store.0 + 1000);
    assert_eq!(hub.db.job_end(strange, at(3)).await.unwrap(), None);
    let ended = hub.db.job_end(stop(&undone), at(3)).await.unwrap();
    assert!(ended.expect("it was open").is_undone());
    assert_eq!(hub.db.job_end(stop(&undone), at(3)).await.unwrap(), None);
    assert!(hub.step(&undone, at(20)).await.is_none());

    let job = hub
        .ask(parked_ones(hub.store, JobKind::Archive), 1, at(4))
        .await;
    let (job, _) = hub.step(&job, at(20)).await.expect("its turn");
    let stopped = hub.db.job_end(stop(&job), at(21)).await.unwrap();
    let stopped = stopped.expect("it ran");
    assert_eq!(
        (stopped.state, stopped.done, stopped.is_undone()),
        (JobState::Stopped, 1, false)
    );
    assert_eq!(hub.find_job(job.id).await, Some(stopped));
    let mut elsewhere = all_open();
    elsewhere.open = false;
    elsewhere.id = Some(job.id);
    elsewhere.stores = Some(vec![StoreKey(hub.store.0 + 1000)]);
    assert!(hub.db.job_list(elsewhere).await.unwrap().is_empty());
    let nobody = hub
        .db
        .job_step(
            JobTurn {
                job: JobKey(NOBODY.0),
                targets: Vec::new(),
                registry_version: hub.version,
            },
            at(22),
        )
        .await
        .unwrap();
    assert_eq!(nobody, JobStep::Nothing);
    let done = |who: &str, action: &str| (who.to_owned(), action.to_owned());
    assert_eq!(
        hub.recorded().await,
        [
            done("ben", "stopped"),
            done("anna", "created"),
            done("ben", "undone"),
            done("anna", "created"),
        ]
    );
}

/// Jobs that ended long ago go with their marks; open ones stay however old.
pub(in crate::db) async fn jobs_that_ended_long_ago_are_swept(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    hub.park(&["R1", "R2"]).await;
    let job = hub
        .ask(parked_ones(hub.store, JobKind::Retry), 100, at(2))
        .await;
    let (job, _) = hub.carry_out(&job).await;
    let open = hub
        .ask(question(hub.store, JobKind::Archive), 1, at(30))
        .await;
    let bounds = SweepBounds {
        rows: 100,
        archived_age: Duration::from_secs(3600),
        event_age: Duration::from_secs(1 << 40),
    };
    let kept = hub.db.sweep(bounds, at(60)).await.unwrap();
    assert_eq!(kept.jobs, 0);
    let swept = hub.db.sweep(bounds, at(7200)).await.unwrap();
    assert_eq!(swept.jobs, 3, "the job and two marks");
    assert_eq!(hub.find_job(job.id).await, None);
    assert_eq!(hub.find_job(open.id).await, Some(open));
}
