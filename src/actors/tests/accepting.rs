//! The door: bounds, keys, and what becomes of senders.

use std::sync::Arc;

use futures_util::future::join_all;

use super::super::AcceptError;
use super::rig::{Act, Rig, Stage, order_new};
use crate::{
    db::{Accepted, IdempotencyKey},
    domain::{key::TokenKey, time::Micros},
};

#[actix_web::test]
async fn a_full_hub_says_so_and_loses_nothing_it_answered() {
    let rig = Arc::new(
        Rig::start_with(Stage::new(|_, _| Act::Answer(200)), |config| {
            config.intake.max_waiting = 8
        })
        .await,
    );
    rig.mapping("acme", "order:new").await;
    let pushes = (0..200).map(|order| {
        let rig = Arc::clone(&rig);
        async move {
            rig.hub
                .accept(vec![order_new(rig.store, &format!("R{order}"))])
                .await
        }
    });
    let answers = join_all(pushes).await;
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    let full = answers.iter().filter(|answer| matches!(answer, Err(AcceptError::Full { retry_after }) if retry_after.as_secs() > 0));
    assert_eq!(
        accepted + full.count(),
        200,
        "each is either accepted or told that the hub is full"
    );
    assert!((8..200).contains(&accepted), "{accepted}");
    rig.until_archived(accepted as u64).await;
    assert_eq!(rig.stage.seen().len(), accepted);
    assert_eq!(rig.hub.waiting_for_disk(), 0);
}

fn key(body: u8) -> IdempotencyKey {
    IdempotencyKey {
        token: TokenKey(1),
        key: [7; 16],
        body: [body; 16],
        expires_at: Micros(i64::MAX),
    }
}

#[actix_web::test]
async fn the_same_key_in_work_is_in_flight_and_afterwards_a_repeat() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    let keyed = |body| {
        vec![crate::db::Acceptance {
            idempotency: Some(key(body)),
            ..order_new(rig.store, "R1")
        }]
    };
    let (first, second) = futures_util::join!(rig.hub.accept(keyed(1)), rig.hub.accept(keyed(1)));
    let first = first.expect("the first is accepted");
    assert!(
        matches!(second, Err(AcceptError::InFlight { ref positions }) if positions == &[0]),
        "{second:?}"
    );
    let (Accepted::New { id, .. }, again) =
        (first[0], rig.hub.accept(keyed(1)).await.expect("a repeat"))
    else {
        panic!("{first:?}")
    };
    assert_eq!(again, [Accepted::Repeated { id }]);
    assert_eq!(
        rig.hub.accept(keyed(2)).await.expect("an answer"),
        [Accepted::KeyReused]
    );
}

#[actix_web::test]
async fn a_batch_is_answered_in_order() {
    let rig = Rig::start(Stage::new(|_, _| Act::Answer(200))).await;
    let batch = (0..100)
        .map(|order| order_new(rig.store, &format!("R{order}")))
        .collect();
    let accepted = rig.hub.accept(batch).await.expect("accepted");
    let keys: Vec<i64> = accepted
        .iter()
        .map(|one| match one {
            Accepted::New { key, .. } => key.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys.len(), 100);
    assert!(keys.is_sorted());
}
