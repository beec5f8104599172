//! Applications: connected by their address and switched; schedules; rules.

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    support::{Hub, Reply, Sink, Store, hub::OPERATOR, order},
};

/// How an application with every kind of setting describes itself.
pub fn description() -> Value {
    json!({
        "name": "acme", "display": "Acme Shipping",
        "services": [
            {"name": "send_order", "path": "/send_order", "description": "Ships an order",
             "requires": {"parameters": [
                {"name": "api_key", "description": "From their settings page", "data_type": "password"},
                {"name": "speed", "allowed": ["slow", "fast"], "default": "slow"},
                {"name": "boxes", "data_type": "integer", "optional": true},
                {"name": "insured", "data_type": "boolean", "enables": ["insurer"]},
                {"name": "insurer", "depends_on": "insured"}]},
             "recommends": {"messages": ["order:new"]}},
            {"name": "cancel", "path": "/cancel", "recommends": {"messages": ["order:canceled"]}},
            {"name": "health", "path": "/health", "required": true, "recommends": {"messages": ["acme:health"]}}],
    })
}

async fn signed_in(hub: &Hub) -> Browser {
    let browser = Browser::start(hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser
}

async fn push_order(hub: &Hub, store: &Store, number: &str) {
    let order = order(number, "complete");
    hub.push(store, "order:new", json!({"order": order})).await;
}

#[actix_web::test]
async fn an_application_is_connected_by_its_address() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater").await;
    // Its first answer is a page for people: somebody else's, or not there yet.
    let sink = Sink::start(|request, before| match request.path.as_str() {
        "/endpoint.json" if before == 0 => Reply::Now(200, "<html>soon</html>".into()),
        "/endpoint.json" => Reply::json(200, description()),
        _ => Reply::ok(),
    })
    .await;
    let browser = signed_in(&hub).await;
    browser
        .open(&format!("/console/integrations?store={}", store.id))
        .await;
    browser.press("Connect an application").await;
    browser.fill("url", "ftp://acme.example").await;
    browser.press("Read it").await;
    browser.reads("Not saved yet").await;
    browser.fill("url", &sink.url).await;
    browser.fill("name", "acme").await;
    browser.fill("token", "a-token-of-acme").await;
    browser.press("Read it").await;
    browser.reads("Its description cannot be used").await;
    browser.reads("is a web page and not JSON").await;
    browser.picture("integrations-pending").await;
    browser.press("Read it again").await;
    browser.reads("Ready").await;
    browser.reads("Services and settings").await;
    browser.reads("Ships an order").await;
    // What hangs on a box appears with it.
    let shown = "return document.getElementById('p.insurer').checkVisibility()";
    assert_eq!(browser.run(shown).await, false);
    browser.click("[name='p.insured']").await;
    assert_eq!(browser.run(shown).await, true);
    browser.picture("integrations-form").await;
    browser.press("Connect").await;
    browser.reads("api_key is needed by the service").await;
    browser.fill("'p.api_key'", "k-123-secret").await;
    browser.fill("'p.insurer'", "Lloyd").await;
    browser
        .run("document.getElementById('p.speed').value = 'fast'")
        .await;
    browser.click("[name=enabled][value=cancel]").await;
    browser.press("Connect").await;
    browser
        .reads("Connected. Its mappings are in force at once")
        .await;
    push_order(&hub, &store, "R1").await;
    let sent = sink
        .wait("the order", |all| {
            all.iter().any(|one| one.path == "/send_order")
        })
        .await;
    let sent = sent.iter().find(|one| one.path == "/send_order").unwrap();
    let values = sent.body["payload"]["parameters"].to_string();
    for value in ["k-123-secret", "fast", "Lloyd"] {
        assert!(values.contains(value), "{values}");
    }
    assert_eq!(sent.header("x-augury-token"), Some("a-token-of-acme"));
    browser.reads("Well").await;
    browser.picture("integrations-page").await;
    let page = browser.place().await;
    let source = hub_page(&browser).await;
    assert!(!source.contains("k-123-secret") && !source.contains("a-token-of-acme"));

    browser.press("Switch them off").await;
    browser.reads("acme.send_order (off)").await;
    browser.press("Switch all services on").await;
    browser.reads("Done. It is in force at once").await;
    // By hand, with a mistake first.
    browser.press("Edit services by hand").await;
    browser.fill("services", "[").await;
    browser.press("Save services").await;
    browser.reads("This is not JSON").await;
    browser
        .fill("services", r#"[{"name": "only", "path": "/only"}]"#)
        .await;
    browser.press("Save services").await;
    browser.reads("Described by hand").await;
    browser.press("Use its endpoint.json again").await;
    browser.reads("Ships an order").await;
    browser.open(&page).await;
    browser.press("Delete acme").await;
    browser.fill("confirm", "acme").await;
    browser.press("Delete it for good").await;
    browser.reads("No application is connected").await;
    let left = hub.get(&store.token, &store.path("/mappings")).await;
    assert_eq!(left.body, json!([]));
    browser.open("/console/audit").await;
    for deed in ["integration acme", "mapping acme.send_order", "refreshed"] {
        browser.reads(deed).await;
    }
    let log = hub_page(&browser).await;
    assert!(!log.contains("k-123-secret") && !log.contains("a-token-of-acme"));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

async fn hub_page(browser: &Browser) -> String {
    let page = browser
        .run("return document.documentElement.outerHTML")
        .await;
    page.as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_scheduler_says_when_it_runs_and_runs() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater").await;
    let browser = signed_in(&hub).await;
    browser
        .open(&format!("/console/schedulers?store={}", store.id))
        .await;
    browser.press("Add a scheduler").await;
    browser.fill("key", "acme:poll").await;
    browser.fill("count", "0").await;
    browser.press("Save").await;
    browser.reads("count: must be a whole number").await;
    browser.click("[name=how][value=cron]").await;
    browser.fill("cron", "30 6 * * 1-5").await;
    browser.fill("time_zone", "Europe/Berlin").await;
    browser.press("When would it run?").await;
    browser.reads("It would run: At 06:30").await;
    browser.picture("schedulers-form").await;
    browser.click("[name=how][value=interval]").await;
    browser.fill("count", "1").await;
    browser
        .run("document.getElementById('interval').value = 'seconds'")
        .await;
    browser.fill("payload", r#"{"since": "yesterday"}"#).await;
    browser.press("Save").await;
    browser.reads("Made. It is in force at once").await;
    browser.reads("every second").await;
    hub.rows(
        &store,
        "archived?state=never_processed&message=acme:poll",
        "it runs",
        |rows| rows.len() > 1,
    )
    .await;
    let page = browser.place().await;
    browser
        .open(&format!("/console/schedulers?store={}", store.id))
        .await;
    browser.reads("every second On now,").await;
    browser.picture("schedulers-list").await;
    browser.open(&page).await;
    browser.press("Delete acme:poll").await;
    browser.fill("confirm", "acme:poll").await;
    browser.press("Delete it for good").await;
    browser.reads("None yet. A scheduler").await;
    browser.open("/console/audit").await;
    browser.reads("scheduler acme:poll").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[actix_web::test]
async fn a_rule_is_tried_on_recent_messages_before_it_is_in_force() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater").await;
    push_order(&hub, &store, "R1").await;
    hub.quiet(&store).await;
    let browser = signed_in(&hub).await;
    browser
        .open(&format!("/console/rules?store={}", store.id))
        .await;
    browser.press("Add a rule").await;
    browser.fill("name", "large orders").await;
    browser.fill("messages", "order:new").await;
    browser.fill("filters", "payload.order.number eq R2").await;
    browser.fill("message", "order:large").await;
    browser
        .fill(
            "payload",
            "order.number = payload.order.number\nchannel = \"warehouse\"",
        )
        .await;
    browser
        .press("What would it have made of recent messages?")
        .await;
    browser.reads("0 of 1 recent messages").await;
    browser.reads("Refused by condition 1").await;
    browser.fill("filters", "payload.order.number eq R1").await;
    browser
        .press("What would it have made of recent messages?")
        .await;
    browser.reads("1 of 1 recent messages").await;
    browser
        .reads(r#"{"channel":"warehouse","order":{"number":"R1"}}"#)
        .await;
    browser.picture("rules-dry-run").await;
    browser.fill("filters", "").await;
    browser.press("Save").await;
    browser.reads("Made. It is in force at once").await;
    push_order(&hub, &store, "R7").await;
    hub.rows(
        &store,
        "archived?state=never_processed&message=order:large",
        "it derives",
        |rows| rows.len() == 1,
    )
    .await;
    browser.press("Delete large orders").await;
    browser.fill("confirm", "large orders").await;
    browser.press("Delete it for good").await;
    browser.reads("None yet. A rule").await;
    browser.open("/console/audit").await;
    browser.reads("rule large orders").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[actix_web::test]
async fn an_endpoint_that_answers_nobody_is_probed_on_a_persons_word() {
    let hub = Hub::start_with(
        crate::support::Setup::default()
            .with("dispatch.breaker_failures", 2)
            .with("dispatch.breaker_open_secs", 3600)
            .with("dispatch.breaker_max_secs", 3600),
    )
    .await;
    let store = hub.store("Tidewater").await;
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let now = std::sync::Arc::clone(&well);
    let sink = Sink::start(move |_, _| {
        if now.load(std::sync::atomic::Ordering::SeqCst) {
            Reply::ok()
        } else {
            Reply::json(503, json!({}))
        }
    })
    .await;
    hub.mapping(&store, "warehouse.ship", &sink.url, json!({}))
        .await;
    for number in ["R1", "R2", "R3"] {
        push_order(&hub, &store, number).await;
    }
    let browser = signed_in(&hub).await;
    browser.reads("answers nobody; deliveries are held").await;
    browser.reads("The oldest delivery that waits").await;
    browser.picture("overview-held").await;
    well.store(true, std::sync::atomic::Ordering::SeqCst);
    browser.press("All about them").await;
    browser.press("Probe now").await;
    browser.reads("one message tries it now").await;
    hub.quiet(&store).await;
    browser.reads("Well").await;
    browser.open("/console").await;
    browser.reads("Nothing waits for any of them").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
