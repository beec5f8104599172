//! What people come to the console for, each task from its first page to its last.

use serde_json::json;

use crate::{
    browser::{Browser, NAME, PASSWORD},
    support::{Hub, Reply, Setup, Sink, Store, eventually, hub::OPERATOR, order},
};

#[actix_web::test]
async fn a_person_signs_in_is_refused_and_signs_out() {
    let mut hub = Hub::start().await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.open("/console").await;
    browser.fill("token", "not the token").await;
    browser.fill("name", NAME).await;
    browser.fill("new_password", PASSWORD).await;
    browser.fill("again", PASSWORD).await;
    browser.press("Make the account and sign in").await;
    browser.reads("This is not the operator's token").await;
    browser.make_first_account(OPERATOR).await;
    browser.press("Sign out").await;
    browser.reads("You are signed out").await;
    browser.open("/console/audit?after=9000").await;
    browser.sign_in(NAME, "a wrong password").await;
    browser.reads("The name or the password is wrong").await;
    browser.sign_in(NAME, PASSWORD).await;
    browser.reads("Sign out").await;
    assert_eq!(
        browser.place().await,
        "/console/audit?after=9000",
        "back where they wanted to go"
    );
    // A session outlives the hub's process.
    hub.terminate().await;
    hub.launch().await;
    let cookies = browser.cdp("Network.getAllCookies", json!({})).await;
    let cookie = &cookies["cookies"][0];
    assert_eq!(cookie["httpOnly"], true, "{cookie}");
    assert_eq!(cookie["sameSite"], "Lax", "{cookie}");
    let header = format!(
        "{}={}",
        cookie["name"].as_str().unwrap(),
        cookie["value"].as_str().unwrap()
    );
    let answer = hub
        .call("GET", "", "/console/me", &[("Cookie", &header)], "")
        .await;
    assert!(answer.text.contains("You are operator"), "{}", answer.text);
}

#[actix_web::test]
async fn an_application_is_registered_and_its_first_delivery_watched() {
    let hub = Hub::start().await;
    let sink = Sink::taking_everything().await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser.reads("First steps").await;
    browser.press("Add a store").await;
    browser.fill("name", "Tidewater").await;
    browser.press("Add the store").await;
    browser.reads("shown now and never again").await;
    browser.press("I have kept it").await;
    browser.open("/console").await;
    browser.press("Register an application").await;
    browser.fill("name", "mail.confirm").await;
    browser.fill("url", "not an address").await;
    browser.fill("messages", "order:new").await;
    browser.press("Save").await;
    browser.reads("Not saved yet").await;
    browser.fill("url", &format!("{}/confirm", sink.url)).await;
    browser.press("Save").await;
    browser.reads("It is in force at once").await;
    browser.press("Push a test").await;
    browser.press("Push").await;
    browser.reads("Pushed. Below is what becomes of it").await;
    // Routed and delivered while the page stays open.
    browser.reads("routed to 1 mappings").await;
    browser.press("mail.confirm").await;
    browser.reads("Completed at mail.confirm").await;
    let received = sink.wait("the push", |all| !all.is_empty()).await;
    assert_eq!(received[0].kind(), "order:new");
    browser.open("/console/audit").await;
    browser.reads("mapping mail.confirm").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[actix_web::test]
async fn a_parked_message_is_found_understood_mended_and_released() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater").await;
    let sink = Sink::start(|request, _| {
        let zone = request.body["payload"]["parameters"][0]["value"].clone();
        match zone.as_str() {
            Some("world") => Reply::ok(),
            _ => Reply::json(500, json!({"notifications": [{"level": "error", "subject": "outside the shipping zone", "description": "The zone is too small."}]})),
        }
    })
    .await;
    let parameter = json!({"name": "warehouse.zone", "data_type": "string", "value": "harbour", "secret": false});
    let made = hub
        .post(&store.token, &store.path("/parameters"), &parameter)
        .await;
    let more = json!({"parameters": [made.body["id"]], "options": {"retries_allowed": false}});
    hub.mapping(&store, "warehouse.ship", &sink.url, more).await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R123", "complete")}),
    )
    .await;

    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser.reads("1 parked").await;
    browser.press("1 parked").await;
    browser.reads("outside the shipping zone").await;
    browser.press("order:new").await;
    browser.reads("What to do").await;
    browser.reads("often a parameter is wrong").await;
    let page = browser.place().await;
    browser.press("Edit parameters").await;
    browser.press("Edit").await;
    browser.fill("value", "world").await;
    browser.press("Save").await;
    browser.reads("Saved").await;
    browser.open(&page).await;
    browser.press("Try now").await;
    browser.reads("Completed at warehouse.ship").await;
    browser.open("/console").await;
    browser.reads("Nothing needs a person").await;
    browser.open("/console/audit").await;
    browser.reads("harbour").await;
}

/// A store with this many orders that an application refused for good.
async fn refused(hub: &Hub, count: usize) -> (Store, Sink) {
    let store = hub.store("Tidewater").await;
    let sink = Sink::start(|_, _| Reply::json(500, json!({}))).await;
    let more = json!({"options": {"retries_allowed": false}});
    hub.mapping(&store, "fraud.check", &sink.url, more).await;
    for number in 0..count {
        let order = order(&format!("R20{number}"), "complete");
        hub.push(&store, "order:new", json!({"order": order})).await;
    }
    hub.rows(&store, "accepted?state=parked", "all are parked", |rows| {
        rows.len() == count
    })
    .await;
    (store, sink)
}

#[actix_web::test]
async fn many_are_archived_after_they_were_counted() {
    let hub = Hub::start_with(Setup::default().with("jobs.undo_secs", 0)).await;
    let (store, _sink) = refused(&hub, 4).await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser
        .open(&format!(
            "/console/queues/accepted?store={}&state=parked",
            store.id
        ))
        .await;
    browser.click("input[name=which][value=all]").await;
    browser.press("Archive...").await;
    browser.reads("Archive: 4 deliveries").await;
    browser.reads("fraud.check: 4").await;
    browser.press("Archive (4)").await;
    // The page follows the job while it stays open.
    browser.reads("It went through all of them").await;
    browser.press("See the queue").await;
    browser.reads("Nothing matches").await;
    browser.press("Actions").await;
    browser.reads("state: parked").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[actix_web::test]
async fn what_was_asked_for_in_bulk_can_be_undone_from_any_page() {
    let hub = Hub::start_with(Setup::default().with("jobs.undo_secs", 3000)).await;
    let (store, sink) = refused(&hub, 2).await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser
        .open(&format!("/console/queues/accepted?store={}", store.id))
        .await;
    browser.click("tbody input[name=id]").await;
    browser.press("Try now...").await;
    browser.reads("Try now: 1 delivery").await;
    browser.press("Try now (1)").await;
    browser.reads("Begins soon").await;
    let page = browser.place().await;
    browser
        .open(&format!("/console/mappings?store={}", store.id))
        .await;
    browser.reads("Try now: 1 delivery begins in").await;
    browser.press("Undo").await;
    browser.reads("Stopped before it began").await;
    assert!(browser.place().await.starts_with(&page));
    browser.open("/console/audit").await;
    browser.reads("retry in bulk").await;
    browser.reads("undone").await;
    browser.open("/console").await;
    browser.reads("2 parked").await;
    assert_eq!(sink.received().len(), 2, "nothing was tried again");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[actix_web::test]
async fn the_whole_archive_is_sent_again_only_by_its_number() {
    let hub = Hub::start_with(Setup::default().with("jobs.undo_secs", 0)).await;
    let store = hub.store("Tidewater").await;
    let sink = Sink::taking_everything().await;
    hub.mapping(&store, "warehouse.ship", &sink.url, json!({}))
        .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    hub.quiet(&store).await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser
        .open(&format!("/console/queues/archived?store={}", store.id))
        .await;
    browser.click("input[name=which][value=all]").await;
    browser.press("Send again...").await;
    browser.reads("1 of them were delivered before").await;
    browser.fill("typed", "99").await;
    browser.press("Send again (1)").await;
    browser.reads("Nothing narrows this down").await;
    browser.fill("typed", "1").await;
    browser.press("Send again (1)").await;
    browser.reads("It went through all of them").await;
    let all = sink.wait("it comes again", |all| all.len() == 2).await;
    assert_ne!(all[0].id(), all[1].id());
    browser
        .open(&format!(
            "/console/messages/{}?store={}",
            all[1].id(),
            store.id
        ))
        .await;
    browser.reads("Sends again").await;
    browser.reads(&all[0].id()).await;
}

#[actix_web::test]
async fn an_orders_story_follows_its_retries_while_it_is_open() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater").await;
    let sink = Sink::start(|_, before| match before {
        0 | 1 => Reply::json(
            500,
            json!({"notifications": [{"level": "warn", "subject": "printer offline"}]}),
        ),
        _ => Reply::ok(),
    })
    .await;
    hub.mapping(&store, "warehouse.ship", &sink.url, json!({}))
        .await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser
        .open(&format!("/objects/order/R77?store={}", store.id))
        .await;
    browser.reads("Nothing has happened to it here yet").await;
    browser.run("window.same = true").await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R77", "complete")}),
    )
    .await;
    eventually("the story is told", || async {
        let text = browser.text().await;
        (text.contains("Order placed") && text.contains("Warehouse took it after 2 refusals"))
            .then_some(())
    })
    .await;
    assert_eq!(
        browser.run("return window.same === true").await,
        true,
        "without a reload"
    );
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[actix_web::test]
async fn what_a_hand_is_on_stays_while_the_page_lives() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater").await;
    let sink = Sink::start(|_, _| Reply::json(500, json!({}))).await;
    let more = json!({"options": {"retries_allowed": false}});
    hub.mapping(&store, "fraud.check", &sink.url, more).await;
    let push = async |number: &str| {
        hub.push(
            &store,
            "order:new",
            json!({"order": order(number, "complete")}),
        )
        .await;
    };
    push("R1").await;
    hub.rows(&store, "accepted?state=parked", "one is parked", |rows| {
        rows.len() == 1
    })
    .await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser
        .open(&format!("/console/queues/accepted?store={}", store.id))
        .await;
    browser.click("tbody input[name=id]").await;
    push("R2").await;
    browser.reads("1 new, show").await;
    let state = "return [document.querySelectorAll('tbody tr').length, document.querySelector('tbody input[name=id]').checked]";
    assert_eq!(browser.run(state).await, json!([1, true]));
    browser.press("1 new, show").await;
    browser.reads("2 match").await;
}

#[actix_web::test]
async fn a_hub_that_is_gone_is_told_and_found_again() {
    let hub = Hub::start().await;
    hub.store("Tidewater").await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser.reads("Live ").await;
    browser.cdp("Network.enable", json!({})).await;
    drop(hub);
    browser.reads("Reconnecting, last ").await;
}
