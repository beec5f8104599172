//! A shop is added and its first order watched; its store is looked after, and deleted.

use integrator::sources::fake_shop::{Fault, Flavor, KEY};
use serde_json::json;

use crate::{
    browser::Browser,
    support::{Hub, Setup, Sink, eventually, hub::OPERATOR},
};

/// A hub that polls every second, without chance.
async fn hub() -> Hub {
    let setup = Setup::default()
        .with("poll.interval_secs", 1)
        .with("poll.jitter_percent", 0)
        .with("poll.backoff_max_secs", 1)
        .with("poll.timeout_secs", 3);
    Hub::start_with(setup).await
}

#[actix_web::test]
async fn a_shop_is_added_and_its_first_order_watched() {
    let (hub, shop) = (hub().await, crate::support::fake_shop(Flavor::Spree37));
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser.press("Add a store").await;
    browser.fill("name", "Tidewater").await;
    browser.fill("api_url", "ftp://shop.example/api/").await;
    browser.press("Add the store").await;
    browser.reads("Not saved yet").await;
    browser
        .fill("api_url", &format!("{}/api/", shop.address()))
        .await;
    browser.fill("api_key", "a wrong key").await;
    browser.press("Add the store").await;
    browser.reads("shown now and never again").await;
    browser.press("I have kept it").await;
    // The probe is told step by step, and what is wrong can be mended.
    browser.reads("GET api/integrator").await;
    browser.reads("It cannot be polled like this").await;
    browser.picture("stores-begin-refused").await;
    let begin = browser.place().await;
    browser.press("Correct address or key").await;
    browser.reads("Leave this empty to keep it").await;
    browser.fill("api_key", KEY).await;
    browser.press("Save").await;
    browser.reads("Saved").await;
    browser.open(&begin).await;
    browser.reads("It is polled as: Spree 1.3 to 4.4").await;
    browser.reads("The shop is polled from now on").await;
    browser.run("window.same = true").await;
    let number = {
        let mut control = shop.control();
        let number = control.stock.add_order();
        control.stock.pass_millis(2000);
        number
    };
    browser.reads("Messages arrive").await;
    browser.reads(&number).await;
    assert_eq!(
        browser.run("return window.same === true").await,
        true,
        "without a reload"
    );
    browser.picture("stores-begin-arrived").await;
    browser.press(&format!("order/{number}")).await;
    browser.reads("Order placed").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[actix_web::test]
async fn a_store_shows_its_pulse_and_tells_the_past_on_request() {
    let (hub, shop) = (hub().await, crate::support::fake_shop(Flavor::Spree37));
    let body = json!({"store": {"name": "Tidewater", "api_url": format!("{}/api/", shop.address()), "api_key": KEY}});
    let made = hub.post(OPERATOR, "/api/stores", &body).await;
    let id = made.body["id"].as_str().unwrap().to_owned();
    let page = format!("/console/stores/{id}");
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser.open(&page).await;
    browser.reads("Answers since").await;
    browser.reads("orders").await;
    browser.press("Poll now").await;
    browser.reads("Asked for: the shop is polled now").await;
    browser.press("Begin a backfill").await;
    browser.press("Begin").await;
    browser.reads("since: is missing").await;
    browser
        .run("document.querySelector('[name=since]').value = '2010-01-01'")
        .await;
    browser.press("Begin").await;
    browser.reads("Begun. It runs beside the poll").await;
    browser.reads("100 %").await;
    browser.picture("stores-page").await;
    // Down and up again, told where it stands and on the overview.
    shop.control().fail_always("", Fault::Status(500));
    browser.reads("Down since").await;
    browser.open("/console").await;
    browser.reads("does not answer").await;
    browser.picture("overview-down").await;
    shop.control().heal();
    browser.reads("Nothing needs a person").await;
    browser.open("/console/stores").await;
    browser.reads("Answers").await;
    // A token, shown once and taken back.
    browser.open(&page).await;
    browser.press("Make a token").await;
    browser.fill("token_name", "till").await;
    browser.press("Make it").await;
    let token = browser
        .run("return document.querySelector('.secret').textContent")
        .await;
    let token = token.as_str().unwrap().to_owned();
    let path = format!("/api/stores/{id}/messages");
    let order = json!({"message": "order:new", "payload": {"order": {"number": "R9"}}});
    assert_eq!(hub.post(&token, &path, &order).await.status, 201);
    browser.press("I have kept it").await;
    browser
        .click("form:has([name=token]):last-of-type button[value=revoke]")
        .await;
    browser.reads("Deleted").await;
    eventually("one of the tokens works no more", || async {
        let first = made.body["token"].as_str().unwrap();
        let both = [
            hub.post(&token, &path, &order).await.status,
            hub.post(first, &path, &order).await.status,
        ];
        both.contains(&401).then_some(())
    })
    .await;
    browser.open("/console/audit").await;
    for deed in ["polled", "begun", "backfill of Tidewater", "token till"] {
        browser.reads(deed).await;
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[actix_web::test]
async fn a_store_goes_when_its_name_was_typed() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater").await;
    let sink = Sink::taking_everything().await;
    hub.mapping(&store, "mail.confirm", &sink.url, json!({}))
        .await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser.open(&format!("/console/stores/{}", store.id)).await;
    browser.press("Delete Tidewater").await;
    browser.reads("Its 1 mappings").await;
    browser.fill("confirm", "Tide").await;
    browser.press("Delete it for good").await;
    browser.reads("Nothing was deleted").await;
    browser.fill("confirm", "Tidewater").await;
    browser.press("Delete it for good").await;
    browser.reads("No store yet").await;
    let stores = hub.get(OPERATOR, "/api/stores").await;
    assert_eq!(stores.body, json!([]));
}
