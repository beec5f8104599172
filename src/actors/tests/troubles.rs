//! A database that goes away, refuses, or takes an actor down: nothing is lost, nothing is spent, everyone comes back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::super::{AcceptError, DispatcherState};
use super::{
    rig::{Act, Rig, Stage, open, order_new, until},
    troubled::{Trouble, Troubled},
};
use crate::db::DbError;

async fn rig_with(
    stage: Arc<Stage>,
    trouble: impl Fn(&'static str) -> Trouble + Send + Sync + 'static,
) -> Rig {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Troubled::over(open(folder.path()), trouble);
    Rig::on(folder, backend, stage, |_| {}).await
}

/// Trouble for the first call of a method after `armed` was set.
fn once(
    armed: &Arc<AtomicBool>,
    method: &'static str,
    trouble: fn() -> Trouble,
) -> impl Fn(&'static str) -> Trouble + Send + Sync + 'static {
    let armed = Arc::clone(armed);
    move |called| {
        if called == method && armed.swap(false, Ordering::SeqCst) {
            trouble()
        } else {
            Trouble::None
        }
    }
}

#[actix_web::test]
async fn outcomes_wait_for_a_database_that_is_away_and_nothing_is_posted_twice() {
    let away = Arc::new(AtomicBool::new(false));
    let is_away = Arc::clone(&away);
    let trouble = move |method| {
        if method == "accepted_settle" && is_away.load(Ordering::SeqCst) {
            Trouble::Away
        } else {
            Trouble::None
        }
    };
    let rig = rig_with(Stage::new(|_, _| Act::Answer(200)), trouble).await;
    let mapping = rig.mapping("acme", "order:new").await;
    away.store(true, Ordering::SeqCst);
    rig.push("R1").await;
    until("it is noticed", || async {
        (rig.endpoint(mapping).await.settling == 1).then_some(())
    })
    .await;
    rig.push("R2").await;
    until("nothing new is begun", || async {
        (rig.endpoint(mapping).await.state == DispatcherState::DatabaseAway).then_some(())
    })
    .await;
    away.store(false, Ordering::SeqCst);
    rig.until_archived(2).await;
    let mut orders = rig.stage.orders_at("/acme");
    orders.sort();
    assert_eq!(orders, ["R1", "R2"]);
    assert_eq!(rig.endpoint(mapping).await.failed, 0);
}

#[actix_web::test]
async fn pushes_are_refused_while_the_database_is_away_and_taken_when_it_is_back() {
    let away = Arc::new(AtomicBool::new(true));
    let rig = rig_with(
        Stage::new(|_, _| Act::Answer(200)),
        once(&away, "incoming_insert", || Trouble::Away),
    )
    .await;
    rig.mapping("acme", "order:new").await;
    let refused = rig.hub.accept(vec![order_new(rig.store, "R1")]).await;
    assert!(
        matches!(refused, Err(AcceptError::Db(DbError::Unavailable(_)))),
        "{refused:?}"
    );
    assert_eq!(rig.hub.waiting_for_disk(), 0);
    rig.push("R1").await;
    rig.until_archived(1).await;
}

#[actix_web::test]
async fn a_router_a_settler_and_an_intake_that_panic_come_back() {
    for (method, office) in [
        ("incoming_waiting", "router"),
        ("accepted_settle", "settler"),
        ("incoming_insert", "intake"),
    ] {
        let armed = Arc::new(AtomicBool::new(false));
        let rig = rig_with(
            Stage::new(|_, _| Act::Answer(200)),
            once(&armed, method, || Trouble::Panic),
        )
        .await;
        rig.mapping("acme", "order:new").await;
        armed.store(true, Ordering::SeqCst);
        let first = rig.hub.accept(vec![order_new(rig.store, "R1")]).await;
        assert_eq!(first.is_ok(), office != "intake", "{first:?}");
        until("it fell", || async {
            (!armed.load(Ordering::SeqCst)).then_some(())
        })
        .await;
        until("it is back", || async { rig.hub.is_ready().then_some(()) }).await;
        rig.push("R2").await;
        rig.until_archived(if office == "intake" { 1 } else { 2 })
            .await;
        let restarts = rig.hub.restarts();
        let counted: Vec<&str> = restarts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(office, _)| office.as_str())
            .collect();
        assert_eq!(counted, [office]);
    }
}

#[actix_web::test]
async fn an_outcome_that_cannot_be_written_holds_up_no_other() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    // The first settlement is refused, alone and in company.
    let trouble = move |method| {
        let is_first = method == "accepted_settle"
            && count
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
                    (n < 2).then_some(n + 1)
                })
                .is_ok();
        if is_first {
            Trouble::Refused
        } else {
            Trouble::None
        }
    };
    let rig = rig_with(Stage::new(|_, _| Act::Answer(200)), trouble).await;
    let mapping = rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    until("it was refused", || async {
        (refused.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    rig.push("R2").await;
    until("the other one is archived", || async {
        let stats = rig
            .hub
            .backend()
            .queue_stats(rig.store)
            .await
            .expect("counters");
        (stats.archived == 1 && stats.pending == 1).then_some(())
    })
    .await;
    assert_eq!(
        rig.stage.orders_at("/acme"),
        ["R1", "R2"],
        "what was refused is not posted again and again"
    );
    assert_eq!(rig.endpoint(mapping).await.restarts, 0);
}

#[actix_web::test]
async fn a_lease_that_cannot_be_taken_at_once_is_taken_later() {
    let armed = Arc::new(AtomicBool::new(false));
    let rig = rig_with(
        Stage::new(|_, _| Act::Answer(200)),
        once(&armed, "owner_claim", || Trouble::Away),
    )
    .await;
    armed.store(true, Ordering::SeqCst);
    rig.mapping("acme", "order:new").await;
    rig.push("R1").await;
    rig.until_archived(1).await;
    assert!(!armed.load(Ordering::SeqCst));
}
