//! Shops that are polled, by the real program: what happens in the shop arrives, each change once, whatever goes wrong between.

use std::{collections::HashMap, time::Duration};

use integrator::sources::fake_shop::{
    ADMIN_KEY, CLIENT_ID, CLIENT_SECRET, FakeShop, Fault, Flavor, KEY, Oddity,
};
use serde_json::{Value, json};

use crate::support::{Hub, OPERATOR, Setup, Sink, Store, eventually, fake_shop as shop};

/// A hub that polls every second, without chance.
async fn hub() -> Hub {
    let setup = Setup::default()
        .with("poll.interval_secs", 1)
        .with("poll.jitter_percent", 0)
        .with("poll.backoff_max_secs", 1)
        .with("poll.timeout_secs", 3);
    Hub::start_with(setup).await
}

async fn polled(hub: &Hub, shop: &FakeShop, key: &str) -> Store {
    let body = json!({"store": {"name": "Tidewater", "api_url": format!("{}/api/", shop.address()), "api_key": key, "webhook_secret": "hook-secret-1"}});
    let answer = hub.post(OPERATOR, "/api/stores", &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    Store {
        id: answer.body["id"].as_str().unwrap().into(),
        token: answer.body["token"].as_str().unwrap().into(),
    }
}

async fn subscribe(hub: &Hub, store: &Store) -> Sink {
    let sink = Sink::taking_everything().await;
    let types = json!({"messages": ["order:new", "order:updated", "order:canceled"], "options": {"ordered": true}});
    hub.mapping(store, "books.record", &sink.url, types).await;
    sink
}

async fn health(hub: &Hub, store: &Store) -> Value {
    let answer = hub.get(&store.token, &store.path("/health")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

async fn until_state(hub: &Hub, store: &Store, state: &str) -> Value {
    eventually(&format!("the shop is {state}"), || async {
        let health = health(hub, store).await;
        let orders = health["collections"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["name"] == "orders" && one["state"] == state);
        (health["state"] == state && (orders || state != "up")).then_some(health)
    })
    .await
}

/// What arrived, as `order:new R1`.
fn said(sink: &Sink) -> Vec<String> {
    sink.received()
        .iter()
        .map(|one| format!("{} {}", one.kind(), one.order()))
        .collect()
}

async fn until_said(sink: &Sink, wanted: &[String]) {
    sink.wait(&format!("{wanted:?} arrive"), |all| {
        all.len() >= wanted.len()
    })
    .await;
    assert_eq!(said(sink), wanted);
}

async fn live_through(flavor: Flavor, key: &str, source: &str) {
    let (hub, shop) = (hub().await, shop(flavor));
    let store = polled(&hub, &shop, key).await;
    let sink = subscribe(&hub, &store).await;
    let health = until_state(&hub, &store, "up").await;
    assert_eq!(health["source"], source, "{health}");
    let (first, second) = {
        let mut control = shop.control();
        let first = control.stock.add_order();
        control.stock.pass_millis(2000);
        let second = control.stock.add_order();
        control.stock.pass_millis(2000);
        (first, second)
    };
    sink.wait("two new orders", |all| all.len() >= 2).await;
    {
        let mut control = shop.control();
        control
            .stock
            .change(&first, |sale| sale.item_cents = 77_700);
        control.stock.pass_millis(2000);
    }
    sink.wait("a changed one", |all| all.len() >= 3).await;
    {
        let mut control = shop.control();
        control.stock.cancel(&second);
        control.stock.pass_millis(2000);
    }
    let wanted = [
        format!("order:new {first}"),
        format!("order:new {second}"),
        format!("order:updated {first}"),
        format!("order:canceled {second}"),
    ];
    until_said(&sink, &wanted).await;
    let updated = &sink.received()[2].body["payload"];
    for member in ["order", "original", "previous", "diff"] {
        assert!(
            updated[member].is_object(),
            "{flavor:?}: {member} in {updated}"
        );
    }
    assert!(!hub.printed().contains(key), "the key stays secret");
}

#[actix_web::test]
async fn what_happens_in_a_spree_shop_arrives() {
    live_through(Flavor::Spree20, KEY, "spree_v1").await;
}

#[actix_web::test]
async fn what_happens_in_a_shop_with_the_hub_connector_arrives() {
    live_through(Flavor::Connector, KEY, "hub_connector").await;
}

#[actix_web::test]
async fn what_happens_in_a_solidus_shop_arrives() {
    live_through(Flavor::Solidus, KEY, "solidus").await;
}

#[actix_web::test]
async fn what_happens_in_a_shop_with_an_oauth_application_arrives() {
    let key = format!("{CLIENT_ID}:{CLIENT_SECRET}");
    live_through(Flavor::PlatformV2, &key, "spree_platform_v2").await;
}

#[actix_web::test]
async fn what_happens_in_a_shop_with_the_admin_api_arrives() {
    live_through(Flavor::AdminV3, ADMIN_KEY, "spree_admin_v3").await;
}

#[actix_web::test]
async fn a_shop_that_cannot_be_polled_is_told_so_and_what_to_do() {
    let (hub, shop) = (hub().await, shop(Flavor::Spree54));
    let store = polled(&hub, &shop, KEY).await;
    let health = until_state(&hub, &store, "down").await;
    assert!(
        health["last_error"].as_str().unwrap().len() > 40,
        "{health}"
    );
    assert!(
        !health["probe"]["report"]["steps"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

async fn events(hub: &Hub, store: &Store, level: &str) -> Vec<Value> {
    let path = store.path(&format!("/notifications?level={level}"));
    let answer = hub.get(&store.token, &path).await;
    answer.body["notifications"].as_array().unwrap().clone()
}

#[actix_web::test]
async fn going_down_and_coming_up_are_told_once_each_and_nothing_is_missed_between() {
    let (hub, shop) = (hub().await, shop(Flavor::Spree20));
    let store = polled(&hub, &shop, KEY).await;
    let sink = subscribe(&hub, &store).await;
    let watch = Sink::taking_everything().await;
    let types = json!({"messages": ["notification:error", "notification:info"]});
    hub.mapping(&store, "pager.page", &watch.url, types).await;
    until_state(&hub, &store, "up").await;
    let mut wanted = Vec::new();
    for fault in [Fault::Html(502), Fault::Html(200), Fault::Endless] {
        shop.control().fail_always("", fault.clone());
        let health = until_state(&hub, &store, "down").await;
        assert!(health["last_error"].is_string(), "{health}");
        let number = {
            let mut control = shop.control();
            control.stock.pass_millis(2000);
            let number = control.stock.add_order();
            control.stock.pass_millis(2000);
            control.heal();
            number
        };
        until_state(&hub, &store, "up").await;
        wanted.push(format!("order:new {number}"));
        until_said(&sink, &wanted).await;
    }
    let all = watch
        .wait("each change of state is told", |all| all.len() >= 6)
        .await;
    let kinds: Vec<&str> = all.iter().map(|one| one.kind()).collect();
    assert_eq!(kinds, ["notification:error", "notification:info"].repeat(3));
    assert_eq!(events(&hub, &store, "error").await.len(), 3);
}

#[actix_web::test]
async fn a_wrong_key_is_told_at_once_and_a_right_one_taken_without_a_restart() {
    let (hub, shop) = (hub().await, shop(Flavor::Spree20));
    let store = polled(&hub, &shop, "wrong-key-of-somebody").await;
    let health = until_state(&hub, &store, "down").await;
    assert!(
        health["last_error"].as_str().unwrap().contains("key"),
        "{health}"
    );
    let right = json!({"store": {"api_key": KEY}});
    let answer = hub.put(&store.token, &store.path(""), &right).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    until_state(&hub, &store, "up").await;
    // And a store that is made push only is left alone.
    let none = json!({"store": {"api_url": null}});
    hub.put(&store.token, &store.path(""), &none).await;
    eventually("nobody asks any more", || async {
        shop.take_requests();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        shop.take_requests().is_empty().then_some(())
    })
    .await;
    assert_eq!(health_source(&hub, &store).await, Value::Null);
    let all = format!("{}{:?}", hub.printed(), events(&hub, &store, "error").await);
    assert!(!all.contains("wrong-key-of-somebody") && !all.contains(KEY));
}

async fn health_source(hub: &Hub, store: &Store) -> Value {
    health(hub, store).await["source"].clone()
}

#[actix_web::test]
async fn an_odd_document_is_set_aside_and_the_rest_arrives() {
    let (hub, shop) = (hub().await, shop(Flavor::Spree20));
    let store = polled(&hub, &shop, KEY).await;
    let sink = subscribe(&hub, &store).await;
    until_state(&hub, &store, "up").await;
    let good = {
        let mut control = shop.control();
        let odd = control.stock.add_order();
        control
            .stock
            .change(&odd, |sale| sale.oddity = Oddity::NotAnObject);
        control.stock.pass_millis(2000);
        let good = control.stock.add_order();
        control.stock.pass_millis(2000);
        good
    };
    until_said(&sink, &[format!("order:new {good}")]).await;
    let listed = eventually("it is listed", || async {
        let answer = hub.get(&store.token, &store.path("/set_aside")).await;
        let rows = answer.body["set_aside"].as_array().unwrap().clone();
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert_eq!(listed[0]["object_type"], "order");
    assert!(listed[0]["why"].as_str().unwrap().len() > 5);
}

#[actix_web::test]
async fn a_push_about_a_polled_shop_is_a_hint_and_the_same_change_is_told_once() {
    // Polls so seldom that only the push can be the reason.
    let setup = Setup::default()
        .with("poll.interval_secs", 3600)
        .with("poll.jitter_percent", 0);
    let (hub, shop) = (Hub::start_with(setup).await, shop(Flavor::Spree37));
    let store = polled(&hub, &shop, KEY).await;
    let sink = subscribe(&hub, &store).await;
    until_state(&hub, &store, "up").await;
    let mut wanted = Vec::new();
    for _ in 0..2 {
        let number = {
            let mut control = shop.control();
            let number = control.stock.add_order();
            control.stock.pass_millis(2000);
            number
        };
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Hub-Store", store.id.as_str()),
            ("X-Hub-Access-Token", store.token.as_str()),
        ];
        let body = json!({"orders": [{"id": number, "status": "whatever the pusher says"}]});
        for _ in 0..2 {
            let answer = hub
                .call("POST", "", "/push", &headers, body.to_string())
                .await;
            assert_eq!(answer.status, 202, "{}", answer.text);
        }
        wanted.push(format!("order:new {number}"));
        until_said(&sink, &wanted).await;
    }
    hub.quiet(&store).await;
    assert_eq!(sink.received().len(), 2, "each order was told once");
}

#[actix_web::test]
async fn a_signed_webhook_is_a_hint_and_the_same_change_is_told_once() {
    // Polls so seldom that only the hint can be the reason.
    let setup = Setup::default()
        .with("poll.interval_secs", 3600)
        .with("poll.jitter_percent", 0);
    let (hub, shop) = (Hub::start_with(setup).await, shop(Flavor::Spree37));
    let store = polled(&hub, &shop, KEY).await;
    let sink = subscribe(&hub, &store).await;
    until_state(&hub, &store, "up").await;
    let number = {
        let mut control = shop.control();
        let number = control.stock.add_order();
        control.stock.pass_millis(2000);
        number
    };
    let body = json!({"id": "event-1", "name": "order.completed", "data": {"number": number}});
    let path = format!("/hooks/spree/{}", store.id);
    let send = |secret: &'static str, body: String| {
        let signature = hex_hmac(secret, &body);
        let (hub, path) = (&hub, &path);
        async move {
            let headers = [
                ("Content-Type", "application/json"),
                ("X-Spree-Webhook-Signature", signature.as_str()),
            ];
            hub.call("POST", "", path, &headers, body).await.status
        }
    };
    assert_eq!(send("another secret", body.to_string()).await, 401);
    assert_eq!(send("hook-secret-1", body.to_string()).await, 202);
    assert_eq!(send("hook-secret-1", body.to_string()).await, 202);
    until_said(&sink, &[format!("order:new {number}")]).await;
    shop.take_requests();
    {
        let mut control = shop.control();
        control.stock.change(&number, |sale| sale.item_cents += 100);
        control.stock.pass_millis(2000);
    }
    let body = json!({"id": "event-2", "name": "order.updated", "data": {"number": number}});
    assert_eq!(send("hook-secret-1", body.to_string()).await, 202);
    let wanted = [
        format!("order:new {number}"),
        format!("order:updated {number}"),
    ];
    until_said(&sink, &wanted).await;
    assert_eq!(shop.take_requests().len(), 1, "one look costs one request");
    let answer = hub
        .post(&store.token, &store.path("/poll"), &json!({}))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    eventually("it is polled", || async {
        (!shop.take_requests().is_empty()).then_some(())
    })
    .await;
    hub.quiet(&store).await;
    assert_eq!(said(&sink), wanted);
}

fn hex_hmac(secret: &str, body: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[actix_web::test]
async fn a_backfill_tells_the_past_survives_a_kill_and_can_be_stopped() {
    let setup = Setup::default()
        .with("poll.interval_secs", 1)
        .with("poll.per_page", 5);
    let (mut hub, shop) = (Hub::start_with(setup).await, shop(Flavor::Spree20));
    let (since, old) = {
        let mut control = shop.control();
        let since = control.stock.now.rfc3339();
        let old: Vec<String> = (0..30)
            .map(|_| {
                control.stock.pass_millis(1500);
                control.stock.add_order()
            })
            .collect();
        control.stock.pass_millis(100_000);
        (since, old)
    };
    let store = polled(&hub, &shop, KEY).await;
    let sink = subscribe(&hub, &store).await;
    until_state(&hub, &store, "up").await;
    assert!(said(&sink).is_empty(), "the first poll starts from now");
    let asked =
        json!({"backfill": {"since": since, "collections": ["orders"], "per_minute": 1200}});
    let begun = hub
        .post(&store.token, &store.path("/backfills"), &asked)
        .await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    sink.wait("some of the past", |all| all.len() >= 7).await;
    hub.kill();
    hub.launch().await;
    let path = store.path(&format!(
        "/backfills/{}",
        begun.body["id"].as_str().unwrap()
    ));
    let done = eventually("the backfill is done", || async {
        let shown = hub.get(&store.token, &path).await.body;
        (shown["state"] == "done").then_some(shown)
    })
    .await;
    assert_eq!(done["messages"], 30, "{done}");
    sink.wait("all of the past", |all| all.len() >= 30).await;
    hub.quiet(&store).await;
    let mut told = said(&sink);
    told.sort();
    told.dedup();
    let wanted: Vec<String> = old.iter().map(|one| format!("order:new {one}")).collect();
    assert_eq!(told, wanted);
    let slow = json!({"backfill": {"since": since, "per_minute": 1}});
    let begun = hub
        .post(&store.token, &store.path("/backfills"), &slow)
        .await;
    let path = store.path(&format!(
        "/backfills/{}",
        begun.body["id"].as_str().unwrap()
    ));
    let stopped = hub
        .call("DELETE", &store.token, &path, &[], String::new())
        .await;
    assert_eq!(
        (stopped.status, &stopped.body["state"]),
        (200, &json!("stopped"))
    );
}

#[actix_web::test]
async fn among_many_orders_each_change_is_told_once_though_the_hub_is_killed() {
    each_change_is_told_once_among(20_000).await;
}

#[actix_web::test]
#[ignore = "makes a very large shop; run it with --ignored"]
async fn among_a_hundred_thousand_orders_each_change_is_told_once_though_the_hub_is_killed() {
    each_change_is_told_once_among(100_000).await;
}

async fn each_change_is_told_once_among(orders: usize) {
    let shop = FakeShop::start(Flavor::Spree20).unwrap();
    let numbers: Vec<String> = {
        let mut control = shop.control();
        let numbers = (0..orders)
            .map(|_| {
                control.stock.pass_millis(700);
                control.stock.add_order()
            })
            .collect();
        control.stock.pass_millis(200_000);
        numbers
    };
    let mut hub = hub().await;
    let store = polled(&hub, &shop, KEY).await;
    let sink = subscribe(&hub, &store).await;
    until_state(&hub, &store, "up").await;
    shop.take_requests();
    let mut wanted: HashMap<String, usize> = HashMap::new();
    for step in 0..50 {
        let number = numbers[(step * 7919 + 13) % orders].clone();
        {
            let mut control = shop.control();
            control.stock.pass_millis(1300);
            control
                .stock
                .change(&number, |sale| sale.item_cents = 500_000 + step as i64);
            control.stock.pass_millis(1300);
        }
        wanted.insert(number, 1);
        if step % 15 == 14 {
            // In the middle of whatever it is doing.
            tokio::time::sleep(Duration::from_millis(step as u64 * 13 % 400)).await;
            hub.kill();
            hub.launch().await;
        }
    }
    sink.wait("each change arrives", |all| {
        let mut orders: Vec<&str> = all.iter().map(|one| one.order()).collect();
        orders.sort_unstable();
        orders.dedup();
        orders.len() >= wanted.len()
    })
    .await;
    hub.quiet(&store).await;
    // A delivery may repeat across a kill, a message may not: each has its own id.
    let mut ids: HashMap<String, HashMap<String, ()>> = HashMap::new();
    for one in sink.received() {
        ids.entry(one.order().to_owned())
            .or_default()
            .insert(one.id(), ());
    }
    let told: HashMap<String, usize> = ids
        .into_iter()
        .map(|(order, ids)| (order, ids.len()))
        .collect();
    assert_eq!(told, wanted);
    let requests = shop.take_requests().len();
    assert!(requests < 1000, "{requests} requests for 50 changes");
}
