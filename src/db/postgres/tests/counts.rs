//! How many statements a batch costs: as many as its kind, whatever its size.

use std::sync::Arc;

use super::*;
use crate::domain::{
    event::{Level, NewEvent},
    key::MessageKey as Key,
};

/// Statements and commits of one step.
async fn cost<T>(shop: &Shop, step: impl Future<Output = T>) -> (u64, u64, T) {
    let (statements, commits) = shop.db.tally();
    let value = step.await;
    let (after, committed) = shop.db.tally();
    (after - statements, committed - commits, value)
}

/// What accepting, looking, routing, reading and settling `n` messages costs.
async fn life(shop: &Shop, n: usize) -> [(u64, u64); 5] {
    let orders = orders(n);
    let (insert, inserted, keys) = cost(shop, shop.push(&orders)).await;
    let look = shop.db.incoming_waiting(1000, Vec::new(), ShardSet::ALL);
    let (look, looked, waiting) = cost(shop, look).await;
    // Those about what was settled before wait, too.
    assert!(waiting.unwrap().len() >= n);
    let (route, routed, ()) = cost(shop, shop.route(&orders, &keys)).await;
    let (read, none, due) = cost(shop, shop.due()).await;
    assert_eq!(due.len(), n);
    let batch = due
        .iter()
        .map(|delivery| {
            let mut settlement = shop.settlement(delivery, Disposition::Completed { result: None });
            // About as many objects as there are deliveries: a flood about one would be stopped, with an event.
            let order = delivery.message.about.primary.as_ref().unwrap().token();
            settlement.messages = vec![NewMessage {
                ancestry: Some(delivery.message.descend()),
                ..shop.message(order)
            }];
            settlement.events = vec![event(shop, delivery)];
            settlement
        })
        .collect();
    let (settle, settled, outcome) =
        cost(shop, shop.db.accepted_settle(Arc::new(batch), shop.now)).await;
    outcome.unwrap();
    [
        (insert, inserted),
        (look, looked),
        (route, routed),
        (read, none),
        (settle, settled),
    ]
}

fn event(shop: &Shop, delivery: &Delivery) -> NewEvent {
    NewEvent {
        store: shop.store,
        level: Level::Info,
        subject: "Sent".into(),
        description: String::new(),
        reference: None,
        message: Some(Key(delivery.message.key.0)),
        delivery: Some(delivery.key),
        origin: "acme.send_order".into(),
        attributes: None,
        announce: None,
    }
}

#[tokio::test]
async fn a_batch_costs_as_many_statements_as_one_message() {
    let shop = Shop::start(Micros(1_800_000_000_000_000)).await;
    // Types are learnt and statements prepared once.
    life(&shop, 3).await;
    let one = life(&shop, 1).await;
    let many = life(&shop, 200).await;
    assert_eq!(one, many);
    let [insert, look, route, read, settle] = many;
    println!(
        "statements and commits: accept {insert:?}, look {look:?}, route {route:?}, read {read:?}, settle {settle:?}"
    );
    assert!(insert.0 <= 7 && insert.1 == 1, "{insert:?}");
    assert!(look.0 <= 3 && look.1 == 0, "{look:?}");
    // Of messages in nearly all shards.
    assert!(route.0 <= 11 && route.1 == 1, "{route:?}");
    assert!(read.0 <= 4 && read.1 == 0, "{read:?}");
    // With an event and a returned message for each settlement: without, it is 8.
    assert!(settle.0 <= 18 && settle.1 == 1, "{settle:?}");
}
