//! Polled shops: a page is written once, whole, by whoever owns the store; what is said of a shop is said once.

use super::setup::*;
use crate::{
    db::{
        BackfillState, EventQuery, FoundRow, NewBackfill, ObjectSeen, OddSeen, OwnerKind,
        PollCommit, PollJob, PollOutcome, PollStep, Pulse, PulseState,
    },
    domain::{
        event::{Level, NewEvent},
        key::StoreKey,
        snapshot::{Known, Snapshot},
        store_object::Noun,
        time::Micros,
    },
};

fn whole(updated_at: &str) -> Snapshot {
    Snapshot {
        updated_at: updated_at.into(),
        known: Known::Whole {
            digest: [7; 16],
            raw: r#"{"number":"R1"}"#.into(),
        },
    }
}

fn seen(store: StoreKey, order: &str, updated_at: &str) -> ObjectSeen {
    ObjectSeen {
        noun: Noun::Order,
        token: order.into(),
        snapshot: whole(updated_at),
        message: Some(message(store, "order:new", order)),
    }
}

fn step(from: Option<&str>, to: &str) -> PollStep {
    PollStep {
        job: PollJob::Live,
        noun: Noun::Order,
        from: from.map(str::to_owned),
        to: to.into(),
        mark: Some(Micros(5)),
        done: false,
        documents: 1,
        requests: 2,
    }
}

fn page(store: StoreKey, epoch: i64, step: PollStep, order: &str) -> PollCommit {
    PollCommit {
        store,
        epoch,
        step: Some(step),
        objects: vec![seen(store, order, "t1")],
        odd: Vec::new(),
    }
}

async fn claimed(hub: &Hub) -> i64 {
    hub.db
        .owner_claim(OwnerKind::Poller, hub.store.0)
        .await
        .unwrap()
}

/// An order that a poll has seen whole.
pub(super) async fn seen_by_a_poll(hub: &Hub, order: &str) {
    let epoch = claimed(hub).await;
    let commit = page(hub.store, epoch, step(None, "1"), order);
    hub.db.poll_commit(commit, at(1)).await.unwrap();
}

pub(in crate::db) async fn a_page_is_written_whole_and_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let epoch = claimed(&hub).await;
    let first = page(hub.store, epoch, step(None, "1"), "R1");
    let written = PollOutcome::Written { messages: 1 };
    assert_eq!(
        hub.db.poll_commit(first.clone(), at(1)).await.unwrap(),
        written
    );
    // The same page again, as after an answer that was lost: its cursor has moved.
    assert_eq!(
        hub.db.poll_commit(first, at(2)).await.unwrap(),
        PollOutcome::Moved
    );
    let hub = hub.again(rig).await;
    assert_eq!(hub.incoming().await.len(), 1);
    let tokens = vec!["R1".to_owned(), "R2".to_owned()];
    let stored = hub
        .db
        .snapshot_list(hub.store, Noun::Order, tokens.clone())
        .await
        .unwrap();
    assert_eq!(stored, [Some(whole("t1")), None]);
    let versions = hub
        .db
        .snapshot_versions(hub.store, Noun::Order, tokens)
        .await
        .unwrap();
    assert_eq!(versions, [Some("t1".to_owned()), None]);
    let state = hub.db.poll_state(hub.store).await.unwrap();
    assert_eq!(
        (state.cursors[0].cursor.as_str(), state.cursors[0].mark),
        ("1", Some(Micros(5)))
    );
    let stats = hub.db.queue_stats(hub.store).await.unwrap();
    assert_eq!(stats.incoming, 1);
    let kinds = hub.db.message_types(hub.store).await.unwrap();
    assert_eq!(kinds, ["order:new"]);
}

pub(in crate::db) async fn a_former_poller_writes_nothing(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let old = claimed(&hub).await;
    let new = claimed(&hub).await;
    let late = page(hub.store, old, step(None, "1"), "R1");
    assert_eq!(
        hub.db.poll_commit(late, at(1)).await.unwrap(),
        PollOutcome::Fenced
    );
    let pulses = vec![Pulse::default()];
    assert!(
        !hub.db
            .poll_pulse(hub.store, old, pulses, Vec::new(), at(1))
            .await
            .unwrap()
    );
    assert!(hub.incoming().await.is_empty());
    assert_eq!(
        hub.db.poll_state(hub.store).await.unwrap(),
        Default::default()
    );
    let page = page(hub.store, new, step(None, "1"), "R1");
    assert_eq!(
        hub.db.poll_commit(page, at(1)).await.unwrap(),
        PollOutcome::Written { messages: 1 }
    );
}

pub(in crate::db) async fn an_odd_document_is_listed_until_it_can_be_read(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let epoch = claimed(&hub).await;
    let odd = OddSeen {
        noun: Noun::Order,
        token: "R1".into(),
        why: "it has no number".into(),
        lasting: false,
    };
    let mut commit = page(hub.store, epoch, step(None, "1"), "R2");
    commit.odd = vec![odd.clone()];
    hub.db.poll_commit(commit.clone(), at(1)).await.unwrap();
    commit.step = Some(step(Some("1"), "2"));
    commit.objects.clear();
    hub.db.poll_commit(commit, at(2)).await.unwrap();
    let listed = hub.db.set_aside_list(hub.store, None, 10).await.unwrap();
    assert_eq!(
        (
            listed.len(),
            listed[0].occurrences,
            listed[0].first_at,
            listed[0].last_at
        ),
        (1, 2, at(1), at(2))
    );
    let page = page(hub.store, epoch, step(Some("2"), "3"), "R1");
    hub.db.poll_commit(page, at(3)).await.unwrap();
    assert!(
        hub.db
            .set_aside_list(hub.store, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

pub(in crate::db) async fn an_erased_object_leaves_a_digest(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let epoch = claimed(&hub).await;
    let commit = page(hub.store, epoch, step(None, "1"), "R1");
    hub.db.poll_commit(commit, at(1)).await.unwrap();
    let erase = |token: &str| {
        hub.db
            .snapshot_erase(hub.store, Noun::Order, token.to_owned())
    };
    assert!(erase("R1").await.unwrap());
    assert!(!erase("R2").await.unwrap());
    let stored = hub
        .db
        .snapshot_list(hub.store, Noun::Order, vec!["R1".into()])
        .await
        .unwrap();
    assert_eq!(
        stored[0].as_ref().unwrap().known,
        Known::Erased { digest: [7; 16] }
    );
}

pub(in crate::db) async fn a_shop_that_goes_down_is_told_with_its_heartbeat(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let epoch = claimed(&hub).await;
    let pulse = Pulse {
        name: "orders".into(),
        state: PulseState::Down,
        failures: 3,
        since: Some(at(1)),
        last_success_at: None,
        last_failure_at: Some(at(1)),
        last_error: Some("it does not answer".into()),
    };
    let event = NewEvent {
        store: hub.store,
        level: Level::Error,
        subject: "down".into(),
        description: String::new(),
        reference: None,
        message: None,
        delivery: None,
        origin: "integrator".into(),
        attributes: None,
        announce: Some(Box::new(message(hub.store, "notification:error", "R1"))),
    };
    hub.db
        .poll_pulse(hub.store, epoch, vec![pulse.clone()], vec![event], at(1))
        .await
        .unwrap();
    let hub = hub.again(rig).await;
    assert_eq!(
        hub.db.poll_state(hub.store).await.unwrap().pulses,
        vec![pulse]
    );
    assert_eq!(hub.incoming().await.len(), 1);
    let query = EventQuery {
        store: hub.store,
        level: Some(Level::Error),
        reference_type: None,
        reference_token: None,
        message: None,
        after: None,
        skip: 0,
        limit: 5,
    };
    assert_eq!(hub.db.event_list(query).await.unwrap().rows.len(), 1);
}

pub(in crate::db) async fn a_stopped_backfill_writes_nothing_more(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let epoch = claimed(&hub).await;
    let new = NewBackfill {
        store: hub.store,
        nouns: vec![Noun::Order, Noun::User],
        since: at(0),
        per_minute: 60,
    };
    let backfill = hub.db.backfill_insert(new.clone(), at(1)).await.unwrap();
    let of_job = |from: Option<&str>, to: &str| PollStep {
        job: PollJob::Backfill(backfill.key),
        ..step(from, to)
    };
    let commit = page(hub.store, epoch, of_job(None, "1"), "R1");
    hub.db.poll_commit(commit, at(2)).await.unwrap();
    let hub = hub.again(rig).await;
    let state = hub.db.poll_state(hub.store).await.unwrap();
    let shown = &state.backfills[0];
    assert_eq!((&shown.job, shown.id), (&new, backfill.id));
    assert_eq!((shown.documents, shown.messages, shown.requests), (1, 1, 2));
    assert_eq!(state.cursors.len(), 1);
    let end = || {
        hub.db
            .backfill_end(hub.store, backfill.key, BackfillState::Stopped, at(3))
    };
    assert!(end().await.unwrap());
    assert!(!end().await.unwrap(), "it was stopped before");
    let epoch = claimed(&hub).await;
    let commit = page(hub.store, epoch, of_job(Some("1"), "2"), "R2");
    assert_eq!(
        hub.db.poll_commit(commit, at(4)).await.unwrap(),
        PollOutcome::Moved
    );
    let state = hub.db.poll_state(hub.store).await.unwrap();
    assert_eq!(state.backfills[0].state, BackfillState::Stopped);
    assert!(state.cursors.is_empty());
}

pub(in crate::db) async fn a_webhook_is_new_once(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let seen = |event: &str, day: u64| {
        hub.db
            .hook_seen(hub.store, event.to_owned(), at(day * 86_400))
    };
    assert!(seen("a", 0).await.unwrap());
    assert!(!seen("a", 0).await.unwrap());
    assert!(seen("b", 0).await.unwrap());
    assert!(seen("a", 8).await.unwrap(), "it was forgotten meanwhile");
}

pub(in crate::db) async fn nothing_of_a_deleted_stores_shop_is_left(rig: &dyn Rig) {
    let hub = Hub::start(rig).await;
    let epoch = claimed(&hub).await;
    for number in 0..5 {
        let from = (number > 0).then(|| (number - 1).to_string());
        let commit = page(
            hub.store,
            epoch,
            step(from.as_deref(), &number.to_string()),
            &format!("R{number}"),
        );
        hub.db.poll_commit(commit, at(1)).await.unwrap();
    }
    let found = FoundRow {
        settings: vec![1],
        found: None,
        report: "{}".into(),
        probed_at: at(1),
    };
    hub.db
        .poll_found(hub.store, epoch, found, Vec::new())
        .await
        .unwrap();
    let mut rounds = 0;
    while hub.db.poll_forget(hub.store, 2).await.unwrap() > 0 {
        rounds += 1;
    }
    assert_eq!(rounds, 3);
    assert_eq!(
        hub.db.poll_state(hub.store).await.unwrap(),
        Default::default()
    );
    let left = hub
        .db
        .snapshot_versions(hub.store, Noun::Order, vec!["R1".into()])
        .await
        .unwrap();
    assert_eq!(left, [None]);
}
