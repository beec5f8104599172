//! What each version's changes become, and what that costs.

use super::*;

#[actix_web::test]
async fn the_first_poll_says_nothing_and_each_later_change_is_said_once() {
    for flavor in ALL {
        let (shop, source) = opened(flavor).await;
        let old: Vec<String> = (0..7)
            .map(|_| {
                let mut control = shop.control();
                control.stock.pass_millis(90_000);
                control.stock.add_order()
            })
            .collect();
        let hub = Hub::new();
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(hub.take_said(), [""; 0], "{flavor:?}: from now on");

        shop.control().stock.pass_millis(5000);
        let new = shop.control().stock.add_order();
        shop.control()
            .stock
            .change(&old[2], |sale| sale.payment_state = "paid");
        shop.control().stock.cancel(&old[5]);
        shop.control().stock.pass_millis(5000);
        hub.poll(source.as_ref(), Noun::Order).await;
        let mut said = hub.take_said();
        said.sort();
        // What was not looked at whole before has no former state to compare with: a new cancellation shows where the shop
        // dates it, or where the row was seen before.
        let canceled = match flavor {
            Flavor::PlatformV2 | Flavor::AdminV3 | Flavor::Solidus | Flavor::Spree304 => {
                "order:canceled"
            }
            _ => "order:updated",
        };
        let mut expected = vec![
            format!("order:new {new}"),
            format!("order:updated {}", old[2]),
            format!("{canceled} {}", old[5]),
        ];
        expected.sort();
        assert_eq!(said, expected, "{flavor:?}");

        for _ in 0..3 {
            shop.control().stock.pass_millis(120_000);
            hub.poll(source.as_ref(), Noun::Order).await;
            assert_eq!(hub.take_said(), [""; 0], "{flavor:?}: once");
        }
        shop.control().stock.cancel(&new);
        shop.control().stock.pass_millis(5000);
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(
            hub.take_said(),
            [format!("order:canceled {new}")],
            "{flavor:?}"
        );
    }
}

#[actix_web::test]
async fn a_change_costs_one_or_two_requests_where_the_shop_tells_the_time() {
    // flavor, requests of a poll without a change, with one changed order, with five
    let costs = [
        (Flavor::Spree13, 1, 2, 6),
        (Flavor::Spree20, 1, 2, 6),
        (Flavor::Spree37, 1, 2, 6),
        (Flavor::Connector, 1, 1, 1),
        (Flavor::OldConnector, 1, 1, 1),
        (Flavor::PlatformV2, 1, 1, 1),
        (Flavor::AdminV3, 1, 1, 1),
        // Quick pass, four shipment states, four pages of the long walk (there is but one).
        (Flavor::Solidus, 6, 7, 11),
        (Flavor::Spree304, 6, 7, 11),
    ];
    for (flavor, idle, one, five) in costs {
        let (shop, source) = opened(flavor).await;
        let numbers: Vec<String> = (0..20)
            .map(|_| {
                let mut control = shop.control();
                control.stock.pass_millis(90_000);
                control.stock.add_order()
            })
            .collect();
        shop.control().stock.pass_millis(90_000);
        let hub = Hub::new();
        hub.poll(source.as_ref(), Noun::Order).await;
        // The token of the Platform API, and the first look, are not counted.
        shop.control().stock.pass_millis(90_000);
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(
            hub.poll(source.as_ref(), Noun::Order).await,
            idle,
            "{flavor:?} idle"
        );
        shop.control()
            .stock
            .change(&numbers[3], |sale| sale.item_cents += 1);
        shop.control().stock.pass_millis(90_000);
        assert_eq!(
            hub.poll(source.as_ref(), Noun::Order).await,
            one,
            "{flavor:?} one"
        );
        for number in &numbers[4..9] {
            shop.control()
                .stock
                .change(number, |sale| sale.item_cents += 1);
        }
        shop.control().stock.pass_millis(90_000);
        assert_eq!(
            hub.poll(source.as_ref(), Noun::Order).await,
            five,
            "{flavor:?} five"
        );
        assert_eq!(hub.take_said().len(), 6, "{flavor:?}");
    }
}

#[actix_web::test]
async fn a_bulk_update_at_one_instant_is_read_whole_whatever_the_page_size() {
    for flavor in ALL {
        let (shop, source) = opened(flavor).await;
        let numbers: Vec<String> = (0..130).map(|_| shop.control().stock.add_order()).collect();
        shop.control().stock.pass_millis(600_000);
        shop.control().stock.add_order();
        let hub = Hub {
            limits: Limits {
                per_page: 10,
                ..Limits::default()
            },
            ..Hub::new()
        };
        hub.poll(source.as_ref(), Noun::Order).await;
        shop.control().stock.pass_millis(60_000);
        for number in &numbers {
            shop.control()
                .stock
                .change(number, |sale| sale.payment_state = "paid");
        }
        shop.control().shuffles_ties = true;
        shop.control().stock.pass_millis(60_000);
        hub.poll(source.as_ref(), Noun::Order).await;
        let mut said = hub.take_said();
        said.sort();
        let mut expected: Vec<String> = numbers
            .iter()
            .map(|number| format!("order:updated {number}"))
            .collect();
        expected.sort();
        assert_eq!(said, expected, "{flavor:?}");
    }
}

#[actix_web::test]
async fn a_row_that_moves_while_pages_are_read_hides_no_other() {
    for flavor in ALL {
        let (shop, source) = opened(flavor).await;
        let numbers: Vec<String> = (0..40).map(|_| shop.control().stock.add_order()).collect();
        shop.control().stock.pass_millis(600_000);
        let hub = Hub {
            limits: Limits {
                per_page: 5,
                walk_pages: 100,
                ..Limits::default()
            },
            ..Hub::new()
        };
        hub.poll(source.as_ref(), Noun::Order).await;
        for number in &numbers {
            shop.control().stock.pass_millis(1000);
            shop.control()
                .stock
                .change(number, |sale| sale.payment_state = "paid");
        }
        shop.control().stock.pass_millis(2000);
        // With each request the oldest changed order changes once more, and moves to the end.
        let mut moving = numbers.clone().into_iter().take(12);
        shop.control()
            .on_request(move |stock: &mut Stock, _: &str| {
                stock.pass_millis(1000);
                if let Some(number) = moving.next() {
                    stock.change(&number, |sale| sale.item_cents += 100);
                }
            });
        hub.poll(source.as_ref(), Noun::Order).await;
        hub.poll(source.as_ref(), Noun::Order).await;
        let kept = hub.kept.borrow();
        for number in &numbers {
            let last = kept
                .messages
                .iter()
                .rev()
                .find(|said| said.token == *number);
            let last = last.unwrap_or_else(|| panic!("{flavor:?}: {number} was lost"));
            let cents = shop.control().stock.sale(number).unwrap().item_cents;
            let shown = &last.payload["order"]["totals"]["item"];
            assert_eq!(
                shown.as_f64().unwrap(),
                cents as f64 / 100.0,
                "{flavor:?}: {number}"
            );
        }
    }
}

#[actix_web::test]
async fn a_transaction_that_commits_late_is_seen() {
    for flavor in [
        Flavor::Spree37,
        Flavor::Connector,
        Flavor::PlatformV2,
        Flavor::AdminV3,
    ] {
        let (shop, source) = opened(flavor).await;
        let late = shop.control().stock.add_order();
        shop.control().stock.pass_millis(600_000);
        let hub = Hub::new();
        hub.poll(source.as_ref(), Noun::Order).await;
        let began = shop.control().stock.stamp();
        shop.control().stock.pass_millis(20_000);
        let quick = shop.control().stock.add_order();
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(
            hub.take_said(),
            [format!("order:new {quick}")],
            "{flavor:?}"
        );
        shop.control().stock.change_quietly(&late, |sale| {
            sale.payment_state = "paid";
            sale.updated_at = began;
        });
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(
            hub.take_said(),
            [format!("order:updated {late}")],
            "{flavor:?}"
        );
    }
}

#[actix_web::test]
async fn a_timestamp_that_moves_alone_is_no_change() {
    for flavor in ALL {
        let (shop, source) = opened(flavor).await;
        let number = shop.control().stock.add_order();
        shop.control().stock.pass_millis(5000);
        let hub = Hub::new();
        hub.poll(source.as_ref(), Noun::Order).await;
        shop.control()
            .stock
            .change(&number, |sale| sale.payment_state = "paid");
        shop.control().stock.pass_millis(5000);
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(hub.take_said().len(), 1, "{flavor:?}");
        shop.control().stock.change(&number, |_| {});
        shop.control().stock.pass_millis(5000);
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(hub.take_said(), [""; 0], "{flavor:?}");
        let settled = hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(
            settled,
            hub.poll(source.as_ref(), Noun::Order).await,
            "{flavor:?}: it is not read again and again"
        );
    }
}

#[actix_web::test]
async fn two_changes_within_one_shown_second_are_both_seen() {
    for flavor in [Flavor::Spree13, Flavor::Spree20] {
        let (shop, source) = opened(flavor).await;
        let number = shop.control().stock.add_order();
        shop.control().stock.pass_millis(5000);
        let hub = Hub::new();
        hub.poll(source.as_ref(), Noun::Order).await;
        shop.control().stock.pass_millis(5000);
        shop.control()
            .stock
            .change(&number, |sale| sale.payment_state = "paid");
        hub.poll(source.as_ref(), Noun::Order).await;
        // Not in the row: only the document tells.
        shop.control().stock.pass_millis(400);
        shop.control()
            .stock
            .change(&number, |sale| sale.oddity = Oddity::None);
        hub.poll(source.as_ref(), Noun::Order).await;
        shop.control()
            .stock
            .change(&number, |sale| sale.email = "new@example.org".into());
        hub.poll(source.as_ref(), Noun::Order).await;
        shop.control().stock.pass_millis(3000);
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(
            hub.take_said(),
            [
                format!("order:updated {number}"),
                format!("order:updated {number}")
            ],
            "{flavor:?}"
        );
        assert_eq!(
            hub.poll(source.as_ref(), Noun::Order).await,
            1,
            "{flavor:?}: then it is settled"
        );
    }
}

#[actix_web::test]
async fn carts_users_and_products_have_messages_of_their_own() {
    for flavor in [
        Flavor::Spree37,
        Flavor::Connector,
        Flavor::Solidus,
        Flavor::PlatformV2,
        Flavor::AdminV3,
    ] {
        let (shop, source) = opened(flavor).await;
        let hub = Hub::new();
        let (cart, user, product) = {
            let stock = &mut shop.control().stock;
            let first = (stock.add_cart(), stock.add_customer(), stock.add_article());
            stock.pass_millis(300_000);
            first
        };
        let nouns = [Noun::Order, Noun::Cart, Noun::User, Noun::Product];
        for noun in nouns {
            hub.poll(source.as_ref(), noun).await;
        }
        assert_eq!(hub.take_said(), [""; 0], "{flavor:?}");
        let (new_cart, new_user) = {
            let stock = &mut shop.control().stock;
            stock.change(&cart, |sale| sale.item_cents += 100);
            stock.visit(&user);
            stock.reprice(&product, 2095);
            let new = (stock.add_cart(), stock.add_customer());
            stock.pass_millis(2000);
            new
        };
        for noun in nouns {
            hub.poll(source.as_ref(), noun).await;
        }
        let mut said = hub.take_said();
        said.sort();
        let mut expected = vec![
            format!("cart:new {new_cart}"),
            format!("cart:updated {cart}"),
            format!("product:update {product}"),
            format!("user:new {new_user}"),
            format!("user:updated {user}"),
        ];
        expected.sort();
        assert_eq!(said, expected, "{flavor:?}");
        shop.control().stock.complete(&new_cart);
        shop.control().stock.pass_millis(2000);
        for noun in nouns {
            hub.poll(source.as_ref(), noun).await;
        }
        assert_eq!(
            hub.take_said(),
            [format!("order:new {new_cart}")],
            "{flavor:?}: a cart that is ordered"
        );
    }
}

#[actix_web::test]
async fn a_backfill_says_what_is_younger_than_its_date_and_ends() {
    for flavor in ALL {
        let (shop, source) = opened(flavor).await;
        shop.control().stock.add_order();
        shop.control().stock.pass_millis(3_600_000);
        let from = shop.control().stock.now;
        let numbers: Vec<String> = (0..30)
            .map(|_| {
                let mut control = shop.control();
                control.stock.pass_millis(7000);
                control.stock.add_order()
            })
            .collect();
        let hub = Hub {
            limits: Limits {
                per_page: 8,
                ..Limits::default()
            },
            ..Hub::new()
        };
        hub.kept
            .borrow_mut()
            .cursors
            .insert(Noun::Order, Cursor::since(from));
        hub.poll(source.as_ref(), Noun::Order).await;
        let mut said = hub.take_said();
        said.sort();
        let mut expected: Vec<String> = numbers
            .iter()
            .map(|number| format!("order:new {number}"))
            .collect();
        expected.sort();
        assert_eq!(said, expected, "{flavor:?}");
    }
}

#[actix_web::test]
async fn a_hint_and_the_poll_that_follows_make_one_message() {
    for flavor in ALL {
        let (shop, source) = opened(flavor).await;
        let number = shop.control().stock.add_order();
        shop.control().stock.pass_millis(300_000);
        let hub = Hub::new();
        hub.poll(source.as_ref(), Noun::Order).await;
        shop.control()
            .stock
            .change(&number, |sale| sale.payment_state = "paid");
        shop.control().stock.pass_millis(2000);
        let first_mark = hub
            .page(source.as_ref(), Noun::Order)
            .await
            .unwrap()
            .first_mark;
        shop.take_requests();
        match source.fetch_one(Noun::Order, &number).await.unwrap() {
            Fetched::Found(document) => {
                assert_eq!(shop.take_requests().len(), 1, "{flavor:?}");
                Hub::take(&mut hub.kept.borrow_mut(), &document, first_mark);
                assert_eq!(hub.kept.borrow().messages.len(), 1, "{flavor:?}");
            }
            Fetched::OnlyInLists => {
                assert!(matches!(flavor, Flavor::Connector | Flavor::OldConnector))
            }
            other => panic!("{flavor:?}: {other:?}"),
        }
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(
            hub.take_said(),
            [format!("order:updated {number}")],
            "{flavor:?}"
        );
        if !matches!(flavor, Flavor::Connector | Flavor::OldConnector) {
            let gone = source.fetch_one(Noun::Order, "R404").await.unwrap();
            assert!(matches!(gone, Fetched::Gone), "{flavor:?}: {gone:?}");
        }
    }
}

#[actix_web::test]
async fn an_order_dated_far_ahead_does_not_end_the_polling() {
    for flavor in [
        Flavor::Spree37,
        Flavor::Connector,
        Flavor::PlatformV2,
        Flavor::AdminV3,
    ] {
        let (shop, source) = opened(flavor).await;
        shop.control().stock.pass_millis(300_000);
        let hub = Hub::new();
        hub.poll(source.as_ref(), Noun::Order).await;
        let strange = shop.control().stock.add_order();
        shop.control().stock.change_quietly(&strange, |sale| {
            sale.updated_at = Micros(4_100_000_000_000_000)
        });
        hub.poll(source.as_ref(), Noun::Order).await;
        shop.control().stock.pass_millis(300_000);
        let next = shop.control().stock.add_order();
        shop.control().stock.pass_millis(2000);
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(
            hub.take_said(),
            [format!("order:new {strange}"), format!("order:new {next}")],
            "{flavor:?}"
        );
    }
}

#[actix_web::test]
async fn an_empty_shop_is_polled_and_its_first_order_is_new() {
    for flavor in ALL {
        let shop = FakeShop::start(flavor).unwrap();
        let number = shop.control().stock.add_order();
        let found = probe(&entry(&shop, credentials(flavor)))
            .await
            .outcome
            .unwrap();
        shop.control().stock.remove(&number);
        let source = open(&found, entry(&shop, credentials(flavor)));
        let hub = Hub::new();
        hub.poll(source.as_ref(), Noun::Order).await;
        let first = shop.control().stock.add_order();
        shop.control().stock.pass_millis(2000);
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(
            hub.take_said(),
            [format!("order:new {first}")],
            "{flavor:?}"
        );
    }
}
