//! How pages look and whom they leave out: no sideways scrolling from 400 px to 2560, names on everything that can be used,
//! no request elsewhere, small.

use serde_json::json;

use crate::{
    browser::Browser,
    support::{Hub, Reply, Sink, eventually, hub::OPERATOR, order},
};

/// Every page that has an address of its own.
pub fn pages(store: &str) -> Vec<String> {
    [
        "/console",
        "/console/queues/incoming",
        "/console/queues/accepted",
        "/console/queues/archived",
        "/console/actions",
        "/console/replays",
        "/console/endpoints",
        "/console/events",
        "/console/mappings",
        "/console/mappings/new",
        "/console/parameters",
        "/console/stores",
        "/console/stores/new",
        "/console/integrations",
        "/console/integrations/new",
        "/console/schedulers",
        "/console/schedulers/new",
        "/console/rules",
        "/console/rules/new",
        "/console/test",
        "/console/audit",
        "/console/people",
        "/console/me",
        "/objects/order/R31",
        "/objects/order/NOBODY",
    ]
    .iter()
    .map(|path| format!("{path}?store={store}"))
    .collect()
}

/// What is wrong with a page for whoever cannot see it or has a narrow window, as a list of sentences.
const CHECK: &str = r#"
const wrong = [];
const say = (node, what) => wrong.push(`${what}: ${node.outerHTML.slice(0, 120)}`);
const root = document.documentElement;
if (root.scrollWidth > innerWidth) wrong.push(`sideways: ${root.scrollWidth} in ${innerWidth}`);
if (!root.lang) wrong.push('no language');
if (document.querySelectorAll('h1').length !== 1) wrong.push(`${document.querySelectorAll('h1').length} first headings`);
if (document.querySelectorAll('main').length !== 1) wrong.push('not one main part');
const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`id ${id} twice`);
for (const field of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
  if (!field.labels?.length && !field.getAttribute('aria-label')) say(field, 'no label');
for (const node of document.querySelectorAll('a, button, summary'))
  if (!node.textContent.trim() && !node.getAttribute('aria-label')) say(node, 'no name');
for (const svg of document.querySelectorAll('svg'))
  if (svg.getAttribute('aria-hidden') !== 'true' && !svg.getAttribute('aria-label')) say(svg, 'no words for a picture');
for (const table of document.querySelectorAll('table')) if (!table.querySelector('th[scope=col]')) say(table, 'no heads');
if (performance.getEntriesByType('resource').some((entry) => new URL(entry.name).origin !== location.origin)) wrong.push('asks elsewhere');
if (document.querySelectorAll('*').length > 1500) wrong.push('more than 1,500 nodes');
// A cold view: the page, the sheet, the scripts, the icon. What a live page asks for again later is not counted.
const loaded = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource').filter((entry) => entry.initiatorType !== 'fetch')];
const bytes = loaded.reduce((sum, entry) => sum + entry.decodedBodySize, 0);
if (bytes > 100 * 1024) wrong.push(`${bytes} bytes`);
return wrong;
"#;

/// What axe finds serious, when axe is at hand.
async fn axe(browser: &Browser) -> Vec<String> {
    let Ok(file) = std::env::var("INTEGRATOR_AXE") else {
        return Vec::new();
    };
    let script = std::fs::read_to_string(file).unwrap();
    // Through the debugger: the page's policy, which stays in force, would refuse it.
    browser
        .cdp("Runtime.evaluate", json!({"expression": script}))
        .await;
    let ask = "axe.run().then((found) => JSON.stringify(found.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id + ': ' + v.nodes[0].html.slice(0, 160))))";
    let found = browser
        .cdp(
            "Runtime.evaluate",
            json!({"expression": ask, "awaitPromise": true, "returnByValue": true}),
        )
        .await;
    serde_json::from_str(found["result"]["value"].as_str().unwrap_or("[]")).unwrap()
}

/// Every page of a hub in which something stands on each of them, those of single things included.
pub async fn furnished(hub: &Hub) -> (Browser, Vec<String>, Vec<Box<dyn std::any::Any>>) {
    let store = hub.store("Tidewater Outfitters").await;
    let sink = Sink::start(|request, _| match request.path.as_str() {
        "/ok" => Reply::json(200, json!({"notifications": [{"level": "info", "subject": "Confirmation mailed"}]})),
        "/acme/endpoint.json" => Reply::json(200, crate::applications::description()),
        "/acme/send_order" => Reply::ok(),
        "/odd/endpoint.json" => Reply::Now(200, "<html>soon</html>".into()),
        _ => Reply::json(500, json!({"notifications": [{"level": "error", "subject": "outside the zone", "description": "Nobody ships there."}]})),
    })
    .await;
    hub.mapping(
        &store,
        "mail.confirm",
        &format!("{}/ok", sink.url),
        json!({}),
    )
    .await;
    let more = json!({"messages": ["shipment:ready"], "options": {"retries_allowed": false}});
    hub.mapping(&store, "warehouse.ship", &format!("{}/no", sink.url), more)
        .await;
    let mut things = Vec::new();
    let make = async |path: &str, body: serde_json::Value| {
        let answer = hub.post(&store.token, &store.path(path), &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body["id"].as_str().unwrap().to_owned()
    };
    let app = |name: &str| json!({"integration": {"name": name, "url": format!("{}/{name}", sink.url), "category": "shipping", "token": "a-token"}});
    for name in ["acme", "odd"] {
        let id = make("/integrations", app(name)).await;
        let path = store.path(&format!("/integrations/{id}"));
        eventually("its description was read", || async {
            let own = hub.get(&store.token, &path).await.body;
            (own["services_from"] != "nowhere").then_some(())
        })
        .await;
        things.push(format!("/console/integrations/{id}?store={}", store.id));
        if name == "acme" {
            things.push(format!(
                "/console/integrations/{id}?store={}&edit=services",
                store.id
            ));
            let signup = json!({"parameters": {"api_key": "k"}, "enabled": ["send_order"]});
            let signed = hub
                .post(&store.token, &format!("{path}/signup"), &signup)
                .await;
            assert_eq!(signed.status, 201, "{}", signed.text);
        }
    }
    let scheduler = json!({"scheduler": {"cron": "30 6 * * 1-5", "time_zone": "Europe/Berlin", "key": "acme:poll"}});
    let id = make("/schedulers", scheduler).await;
    things.push(format!("/console/schedulers/{id}?store={}", store.id));
    let rule = json!({"rule": {"name": "large orders", "messages": ["order:new"], "message": "order:large", "filters": [{"path": "payload.order.number", "operator": "eq", "value": "R1"}], "payload": {"order.number": {"path": "payload.order.number"}}}});
    let id = make("/rules", rule).await;
    things.push(format!("/console/rules/{id}?store={}", store.id));
    let shop = crate::support::fake_shop(integrator::sources::fake_shop::Flavor::Solidus);
    let polled = json!({"store": {"name": "Harbour Books", "api_url": format!("{}/api/", shop.address()), "api_key": integrator::sources::fake_shop::KEY}});
    let polled = hub.post(OPERATOR, "/api/stores", &polled).await.body["id"].clone();
    let polled = polled.as_str().unwrap().to_owned();
    things.push(format!("/console/stores/{}", store.id));
    things.push(format!("/console/stores/{polled}"));
    things.push(format!("/console/stores/{polled}/begin"));
    for number in 0..60 {
        let order = order(&format!("R{number}"), "complete");
        hub.push(&store, "order:new", json!({"order": order})).await;
    }
    let shipment = json!({"shipment": {"number": "H31", "order_number": "R31"}});
    hub.push(&store, "shipment:ready", shipment).await;
    hub.quiet(&store).await;
    let path = format!("/api/stores/{polled}/health");
    eventually("the shop answers", || async {
        (hub.get(OPERATOR, &path).await.body["state"] == "up").then_some(())
    })
    .await;
    let browser = Browser::start(hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser
        .open(&format!("/console/queues/accepted?store={}", store.id))
        .await;
    let message = browser
        .run("return document.querySelector('tr[data-href]').dataset.href")
        .await;
    let mut pages = pages(&store.id);
    pages.push(message.as_str().unwrap().to_owned());
    // It never begins here, so every page offers to undo it.
    let waiting = json!({"state": "parked", "delay_secs": 3600});
    let waiting = hub
        .post(
            &store.token,
            &store.path("/queues/accepted/archive"),
            &waiting,
        )
        .await;
    let id = waiting.body["id"].as_str().unwrap();
    pages.push(format!("/console/actions/{id}?store={}", store.id));
    pages.extend(things);
    (browser, pages, vec![Box::new(sink), Box::new(shop)])
}

/// What is wrong with the page that is open, in a browser that looks so.
pub async fn wrong_with(browser: &Browser, page: &str, looks: &str) -> Vec<String> {
    let found = browser.run(CHECK).await;
    let found = found.as_array().unwrap().iter().map(ToString::to_string);
    found
        .chain(axe(browser).await)
        .map(|what| format!("{page} {looks}: {what}"))
        .collect()
}

#[actix_web::test]
async fn pages_fit_their_window_and_leave_nobody_out() {
    let hub = Hub::start().await;
    let (browser, pages, _kept) = furnished(&hub).await;
    let mut looks = vec![(1280, "light"), (400, "dark"), (2560, "light")];
    // Pictures and axe's rules are for people who wait for them.
    if ["INTEGRATOR_AXE", "INTEGRATOR_SCREENSHOTS"]
        .iter()
        .any(|name| std::env::var(name).is_ok())
    {
        looks.extend([(1280, "dark"), (400, "light"), (2560, "dark")]);
    }
    let mut wrong = Vec::new();
    for (width, scheme) in looks {
        browser.resize(width, 900).await;
        browser.prefer(scheme).await;
        for page in &pages {
            browser.open(page).await;
            wrong.extend(wrong_with(&browser, page, &format!("at {width} {scheme}")).await);
            let (path, query) = page.split_once('?').unwrap_or((page, ""));
            let path: Vec<&str> = path
                .split('/')
                .filter(|part| !part.is_empty())
                .map(|part| if part.len() == 24 { "one" } else { part })
                .collect();
            let more = if query.contains("edit=") { "-edit" } else { "" };
            let place = pages.iter().position(|other| other == page).unwrap();
            browser
                .picture(&format!(
                    "{place:02}-{}{more}-{width}-{scheme}",
                    path.join("-")
                ))
                .await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
