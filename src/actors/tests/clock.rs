//! The clock jumps, ahead and back, while deliveries are under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::{
    super::{Clock as _, SystemClock},
    rig::{Act, Rig, Stage, counts, until},
};
use crate::domain::time::Micros;

const DAY: i64 = 86_400_000_000;

#[actix_web::test]
async fn a_clock_that_jumps_ahead_or_back_loses_repeats_and_holds_up_nothing_new() {
    let set = Arc::new(AtomicI64::new(0));
    let offset = Arc::clone(&set);
    let clock = move || Micros(SystemClock.now().0 + offset.load(Ordering::SeqCst));
    let stage = Stage::new(|seen, nth| match (seen.order.as_str(), nth) {
        ("R1", 0) => Act::Answer(500),
        _ => Act::Answer(200),
    });
    let tweak = |config: &mut crate::config::Config| {
        config.retry.base_secs = 3_600;
        config.retry.max_secs = 3_600;
    };
    let rig = Rig::start_at(Arc::new(clock), stage, tweak).await;
    rig.mapping("mail", "order:new").await;
    rig.push("R1").await;
    let failing = || async {
        let stats = rig.hub.backend().queue_stats(rig.store).await.ok()?;
        (stats.failing == 1).then_some(())
    };
    until("the first attempt has failed", failing).await;

    // A day ahead: what was due in an hour is overdue. The next message wakes the dispatcher.
    set.store(DAY, Ordering::SeqCst);
    rig.push("R2").await;
    rig.until_archived(2).await;

    // Back again: what is new is due at once all the same, and in order.
    set.store(-DAY, Ordering::SeqCst);
    rig.push("R3").await;
    rig.push("R3").await;
    rig.until_archived(4).await;

    let orders = rig.stage.orders_at("/mail");
    let times = counts(&orders);
    assert_eq!((times["R1"], times["R2"], times["R3"]), (2, 1, 2));
    rig.hub.stop(Duration::from_secs(5)).await;
}
