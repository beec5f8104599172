//! Dispatchers that fall over: the others go on, it comes back, its message is delivered, the restart is counted and told.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use super::super::{DispatcherState, End, vitals::Office};
use super::{
    rig::{Act, PATIENCE, Rig, Stage, open, until},
    troubled::{Trouble, Troubled},
};
use crate::{
    db::{EntityChange, EventQuery, OwnerKind},
    domain::{
        event::Level,
        key::EndpointKey,
        registry::{Entity, Store},
    },
};

async fn events(rig: &Rig) -> Vec<String> {
    let query = EventQuery {
        store: rig.store,
        level: Some(Level::Error),
        reference_type: None,
        reference_token: None,
        message: None,
        after: None,
        skip: 0,
        limit: 50,
    };
    rig.hub
        .backend()
        .event_list(query)
        .await
        .expect("events")
        .rows
        .into_iter()
        .map(|row| row.description)
        .collect()
}

#[actix_web::test]
async fn a_dispatcher_that_panics_in_the_middle_of_an_attempt_comes_back() {
    let stage = Stage::new(
        |seen, nth| match (seen.path.as_str(), seen.order.as_str(), nth) {
            // One attempt is under way while the next one takes the dispatcher down.
            ("/frail", "R1", 0) => Act::Silence,
            ("/frail", "R2", 0) => Act::PanicInDispatcher,
            _ => Act::Answer(200),
        },
    );
    let rig = Rig::start(stage).await;
    let frail = rig.mapping("frail", "order:new").await;
    let sturdy = rig.mapping("sturdy", "order:new").await;
    rig.push("R1").await;
    until("the first attempt is under way", || async {
        (!rig.stage.orders_at("/frail").is_empty()).then_some(())
    })
    .await;
    for order in ["R2", "R3"] {
        rig.push(order).await;
    }
    rig.until_archived(6).await;
    let state = rig.endpoint(frail).await;
    assert_eq!(
        (state.restarts, state.last_end.map(|end| end.how)),
        (1, Some(End::Panicked))
    );
    assert_eq!(
        (state.completed, state.state),
        (3, DispatcherState::Running)
    );
    assert_eq!(rig.endpoint(sturdy).await.restarts, 0);
    assert_eq!(rig.stage.orders_at("/sturdy").len(), 3);
    until("the store is told", || async {
        events(&rig)
            .await
            .iter()
            .any(|text| text.contains("frail panicked"))
            .then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_dispatcher_that_blocks_its_thread_is_replaced_on_a_fresh_one() {
    let (unblock, blocked) = mpsc::channel();
    let blocked = Mutex::new(Some(blocked));
    let stage = Stage::new(
        move |seen, nth| match (seen.path.as_str(), seen.order.as_str(), nth) {
            ("/stuck", "R1", 0) => Act::Block(
                blocked
                    .lock()
                    .expect("one user")
                    .take()
                    .expect("the first attempt"),
            ),
            _ => Act::Answer(200),
        },
    );
    let rig = Rig::start(stage).await;
    let stuck = rig.mapping("stuck", "order:new").await;
    let free = rig.mapping("free", "order:new").await;
    until("both dispatchers are up", || async {
        let up = [rig.endpoint(stuck).await, rig.endpoint(free).await];
        up.iter()
            .all(|state| state.state == DispatcherState::Running)
            .then_some(())
    })
    .await;
    rig.push("R1").await;
    // The other thread's dispatcher goes on while this one is stuck.
    rig.until_completed(free, 1).await;
    assert_eq!(rig.endpoint(stuck).await.completed, 0);
    rig.until_archived(2).await;
    let state = rig.endpoint(stuck).await;
    assert_eq!(
        (state.restarts, state.last_end.map(|end| end.how)),
        (1, Some(End::Hung))
    );
    assert_eq!(rig.endpoint(free).await.restarts, 0);
    assert_eq!(rig.stage.orders_at("/stuck"), ["R1", "R1"]);
    // What was stuck comes back to itself and finds that it was replaced.
    unblock.send(()).expect("it still waits");
    rig.push("R2").await;
    rig.until_archived(4).await;
    assert_eq!(rig.endpoint(stuck).await.restarts, 1);
}

#[actix_web::test]
async fn a_dispatcher_that_stops_itself_starts_over() {
    let stage = Stage::new(|seen, nth| match (seen.path.as_str(), nth) {
        ("/robbed", 0) => Act::Answer(500),
        _ => Act::Answer(200),
    });
    let rig = Rig::start(stage).await;
    let robbed = rig.mapping("robbed", "order:new").await;
    let other = rig.mapping("other", "order:new").await;
    until("it is up", || async {
        (rig.endpoint(robbed).await.state == DispatcherState::Running).then_some(())
    })
    .await;
    // Somebody else takes its lease, so its failure is fenced off and it stops.
    rig.hub
        .backend()
        .owner_claim(OwnerKind::Dispatcher, robbed.0)
        .await
        .expect("a lease");
    rig.push("R1").await;
    rig.until_archived(2).await;
    let state = rig.endpoint(robbed).await;
    assert_eq!(
        (state.restarts, state.last_end.map(|end| end.how)),
        (1, Some(End::Stopped))
    );
    assert_eq!(rig.stage.orders_at("/robbed"), ["R1", "R1"]);
    assert_eq!(rig.endpoint(other).await.restarts, 0);
}

#[actix_web::test]
async fn an_attempt_that_panics_is_a_failed_attempt_and_nothing_else() {
    let stage = Stage::new(|_, nth| {
        if nth == 0 {
            Act::PanicInAttempt
        } else {
            Act::Answer(200)
        }
    });
    let rig = Rig::start(stage).await;
    let mapping = rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    rig.until_archived(1).await;
    let state = rig.endpoint(mapping).await;
    assert_eq!((state.restarts, state.completed, state.failed), (0, 1, 1));
}

#[actix_web::test]
async fn a_dispatcher_that_keeps_falling_is_started_again_each_time() {
    let stage = Stage::new(|_, nth| {
        if nth < 4 {
            Act::PanicInDispatcher
        } else {
            Act::Answer(200)
        }
    });
    let rig = Rig::start(stage).await;
    let mapping = rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    rig.until_archived(1).await;
    assert_eq!(rig.endpoint(mapping).await.restarts, 4);
}

#[actix_web::test]
async fn a_dispatcher_without_a_mapping_retires_and_one_is_started_when_needed() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    let mapping = rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    rig.until_archived(1).await;
    let delete = crate::db::EntityChange::Delete { key: mapping.0 };
    rig.hub
        .change_registry(vec![delete])
        .await
        .expect("the mapping is deleted");
    until("its dispatcher has retired", || async {
        (rig.hub.dispatchers() == 0).then_some(())
    })
    .await;
    let office = Office::Dispatcher(EndpointKey(mapping.0));
    until(
        "the actor is gone, so that another node may serve it",
        || async {
            let vitals = rig.hub.shared.directory.vitals(office);
            (!vitals.is_alive()).then_some(())
        },
    )
    .await;
    rig.mapping("again", "order:new").await;
    rig.push("R2").await;
    rig.until_archived(2).await;
}

#[actix_web::test]
async fn what_was_in_flight_at_the_stop_is_finished_and_the_rest_waits_for_the_next_start() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    rig.until_archived(1).await;
    let stage = Stage::new(|_, _| Act::Answer(200));
    for order in 0..50 {
        rig.push(&format!("S{order}")).await;
    }
    let rig = rig.restart(stage).await;
    rig.until_archived(51).await;
    rig.hub.stop(PATIENCE).await;
    assert!(!rig.hub.is_ready());
    let refused = rig
        .hub
        .accept(vec![super::rig::order_new(rig.store, "R3")])
        .await;
    assert!(
        matches!(refused, Err(super::super::AcceptError::Stopping)),
        "{refused:?}"
    );
}

#[actix_web::test]
async fn the_hub_is_ready_when_all_are_up() {
    let rig = Rig::start_with(Stage::new(|_, _| Act::Answer(200)), |config| {
        config.dispatch.threads = 0
    })
    .await;
    assert!(rig.hub.is_ready());
    assert_eq!(rig.hub.restarts().len(), 7);
    tokio::time::timeout(Duration::from_secs(10), rig.hub.stop(PATIENCE))
        .await
        .expect("an idle hub stops at once");
}

#[actix_web::test]
async fn a_poller_that_panics_comes_back_and_its_store_is_told() {
    let panics = AtomicUsize::new(1);
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Troubled::over(open(folder.path()), move |method| {
        let left = |left: usize| left.checked_sub(1);
        match method {
            "poll_state"
                if panics
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                    .is_ok() =>
            {
                Trouble::Panic
            }
            _ => Trouble::None,
        }
    });
    let stage = Stage::new(|_, _| Act::Answer(200));
    let rig = Rig::on(folder, backend, stage, |_| {}).await;
    // Nothing listens there; that the poller asks at all is what matters.
    let polled = Store {
        name: "polled".into(),
        api_url: Some("http://127.0.0.1:1/api/".into()),
        api_key: Some("k".into()),
        source: Some("spree_v1".into()),
        version: None,
        webhook_secret: None,
    };
    let replace = EntityChange::Replace {
        key: rig.store.0,
        entity: Entity::Store(polled),
    };
    rig.hub
        .change_registry(vec![replace])
        .await
        .expect("the store is polled");
    until("the store is told", || async {
        events(&rig)
            .await
            .iter()
            .any(|text| text.contains("poller of this store panicked"))
            .then_some(())
    })
    .await;
    until("it polls after all", || async {
        let state = rig.hub.backend().poll_state(rig.store).await.ok()?;
        (!state.pulses.is_empty()).then_some(())
    })
    .await;
}
