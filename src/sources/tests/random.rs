//! Random changes during random polls and crashes: in the end exactly the right messages.

use proptest::prelude::*;

use super::*;

/// What happens between two steps of the hub.
#[derive(Debug, Clone)]
enum Act {
    Add,
    Change(usize),
    Cancel(usize),
    /// All at one instant.
    ChangeMany(usize),
    Touch(usize),
    Pass(u16),
    /// One page, committed.
    Page,
    /// One page, lost before the commit.
    Crash,
    /// The next request fails.
    Fail,
    Poll,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Add),
        6 => (0usize..40).prop_map(Act::Change),
        1 => (0usize..40).prop_map(Act::Cancel),
        1 => (0usize..40).prop_map(Act::ChangeMany),
        1 => (0usize..40).prop_map(Act::Touch),
        4 => (0u16..4000).prop_map(Act::Pass),
        4 => Just(Act::Page),
        2 => Just(Act::Crash),
        1 => Just(Act::Fail),
        2 => Just(Act::Poll),
    ]
}

/// Whatever happened, each object's messages tell of its states in order, none twice, and end with the last.
async fn end_right(flavor: Flavor, acts: Vec<Act>) {
    let (shop, source) = opened(flavor).await;
    let mut numbers: Vec<String> = (0..25)
        .map(|_| {
            let mut control = shop.control();
            control.stock.pass_millis(300);
            control.stock.add_order()
        })
        .collect();
    shop.control().stock.pass_millis(100_000);
    shop.control().shuffles_ties = true;
    let hub = Hub {
        limits: Limits {
            per_page: 4,
            walk_pages: 100,
            ..Limits::default()
        },
        ..Hub::new()
    };
    hub.poll(source.as_ref(), Noun::Order).await;
    let before: HashMap<String, i64> = numbers
        .iter()
        .map(|number| {
            (
                number.clone(),
                shop.control().stock.sale(number).unwrap().item_cents,
            )
        })
        .collect();
    let mut cents = 1_000_000;
    // Of what was never read whole nobody knows whether anything but its time moved: that is said, once.
    let mut touched = std::collections::HashSet::new();
    for act in acts {
        // A shop's clock moves between two of its transactions, if only a little.
        shop.control().stock.pass_millis(1);
        let pick = |at: usize| numbers[at % numbers.len()].clone();
        match act {
            Act::Add => {
                let number = shop.control().stock.add_order();
                numbers.push(number);
            }
            Act::Change(at) => {
                cents += 1;
                shop.control()
                    .stock
                    .change(&pick(at), |sale| sale.item_cents = cents);
            }
            Act::ChangeMany(at) => {
                cents += 1;
                for number in (at..at + 15).map(pick) {
                    shop.control()
                        .stock
                        .change(&number, |sale| sale.item_cents = cents);
                }
            }
            Act::Cancel(at) => {
                let mut control = shop.control();
                // To cancel again would change nothing but a date.
                if control
                    .stock
                    .sale(&pick(at))
                    .is_some_and(|sale| sale.state != "canceled")
                {
                    control.stock.cancel(&pick(at));
                }
            }
            Act::Touch(at) => {
                touched.insert(pick(at));
                shop.control().stock.change(&pick(at), |_| {});
            }
            Act::Pass(millis) => shop.control().stock.pass_millis(i64::from(millis)),
            Act::Page => {
                if let Ok(page) = hub.page(source.as_ref(), Noun::Order).await {
                    hub.commit(Noun::Order, page);
                }
            }
            Act::Crash => drop(hub.page(source.as_ref(), Noun::Order).await),
            Act::Fail => shop.control().fail_next(Fault::Html(502)),
            Act::Poll => drop(hub.try_poll(source.as_ref(), Noun::Order).await),
        }
    }
    shop.control().heal();
    shop.control().stock.pass_millis(100_000);
    // Twice: a poll that was interrupted is finished first.
    for _ in 0..2 {
        hub.poll(source.as_ref(), Noun::Order).await;
    }
    let control = shop.control();
    let kept = hub.kept.borrow();
    for number in &numbers {
        let sale = control.stock.sale(number).unwrap();
        let said: Vec<&Said> = kept
            .messages
            .iter()
            .filter(|said| said.token == *number)
            .collect();
        let is_new = !before.contains_key(number);
        let is_changed = is_new || before[number] != sale.item_cents || sale.state == "canceled";
        if !touched.contains(number) {
            assert_eq!(said.is_empty(), !is_changed, "{flavor:?} {number}");
        }
        let news = said.iter().filter(|said| said.kind == "order:new").count();
        assert_eq!(news, usize::from(is_new), "{flavor:?} {number}");
        let states: Vec<String> = said
            .iter()
            .map(|said| {
                let order = &said.payload["order"];
                format!("{} {}", order["totals"]["item"], order["status"])
            })
            .collect();
        let mut without_repeats = states.clone();
        without_repeats.dedup();
        assert_eq!(states, without_repeats, "{flavor:?} {number}: said twice");
        if let Some(last) = said.last() {
            let order = &last.payload["order"];
            assert_eq!(
                order["totals"]["item"].as_f64().unwrap(),
                sale.item_cents as f64 / 100.0,
                "{flavor:?} {number}"
            );
            assert_eq!(order["status"], sale.state, "{flavor:?} {number}");
        }
        for (earlier, later) in said.iter().zip(said.iter().skip(1)) {
            if later.kind != "order:canceled" {
                assert_eq!(
                    later.payload["previous"], earlier.payload["order"],
                    "{flavor:?} {number}: an unbroken chain"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_polls_and_crashes_end_with_exactly_the_right_messages(
        flavor in prop::sample::select(ALL.to_vec()),
        acts in prop::collection::vec(act(), 1..80),
    ) {
        actix_web::rt::System::new().block_on(end_right(flavor, acts));
    }
}

#[actix_web::test]
async fn a_hundred_thousand_orders_and_fifty_changes_while_polling_with_three_crashes() {
    for flavor in [Flavor::Connector, Flavor::Spree37] {
        let (shop, source) = opened(flavor).await;
        let numbers: Vec<String> = {
            let stock = &mut shop.control().stock;
            (0..100_000)
                .map(|_| {
                    stock.pass_millis(4000);
                    stock.add_order()
                })
                .collect()
        };
        shop.control().stock.pass_millis(300_000);
        let hub = Hub::new();
        assert!(
            hub.poll(source.as_ref(), Noun::Order).await <= 3,
            "{flavor:?}: the start costs no walk"
        );
        let mut requests = 0;
        let mut expected = Vec::new();
        for change in 0..50usize {
            let number = numbers[(change * 7919) % numbers.len()].clone();
            shop.control()
                .stock
                .pass_millis(1 + (change as i64 * 37_993) % 60_000);
            shop.control()
                .stock
                .change(&number, |sale| sale.payment_state = "paid");
            expected.push(format!("order:updated {number}"));
            if change % 17 == 3 {
                // Read, and lost before it was stored.
                drop(hub.page(source.as_ref(), Noun::Order).await.unwrap());
            }
            if change % 3 == 0 {
                requests += hub.poll(source.as_ref(), Noun::Order).await;
            }
        }
        shop.control().stock.pass_millis(100_000);
        requests += hub.poll(source.as_ref(), Noun::Order).await;
        let mut said = hub.take_said();
        said.sort();
        expected.sort();
        assert_eq!(said, expected, "{flavor:?}");
        assert!(requests <= 18 + 50, "{flavor:?}: {requests} requests");
        let cursor = hub.kept.borrow().cursors[&Noun::Order]
            .to_json()
            .to_string();
        assert!(
            cursor.len() < 10_000,
            "{flavor:?}: a cursor of {} bytes",
            cursor.len()
        );
    }
}
