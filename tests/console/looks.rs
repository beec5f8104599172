//! How pages look and whom they leave out: no sideways scrolling from 400 px to 2560, names on everything that can be used,
//! no request elsewhere, small.

use serde_json::json;

use crate::{
    browser::Browser,
    support::{Hub, Reply, Sink, hub::OPERATOR, order},
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

#[actix_web::test]
async fn pages_fit_their_window_and_leave_nobody_out() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater Outfitters").await;
    let sink = Sink::start(|request, _| match request.path.as_str() {
        "/ok" => Reply::json(200, json!({"notifications": [{"level": "info", "subject": "Confirmation mailed"}]})),
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
    for number in 0..60 {
        let order = order(&format!("R{number}"), "complete");
        hub.push(&store, "order:new", json!({"order": order})).await;
    }
    let shipment = json!({"shipment": {"number": "H31", "order_number": "R31"}});
    hub.push(&store, "shipment:ready", shipment).await;
    hub.quiet(&store).await;
    let browser = Browser::start(&hub, 1280, 900).await;
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
    let mut wrong = Vec::new();
    for (width, height, scheme) in [
        (1280, 900, "light"),
        (400, 800, "dark"),
        (2560, 1440, "light"),
    ] {
        browser.resize(width, height).await;
        browser.prefer(scheme).await;
        for page in &pages {
            browser.open(page).await;
            let found = browser.run(CHECK).await;
            let axe = axe(&browser).await;
            let found = found
                .as_array()
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .chain(axe);
            wrong.extend(found.map(|what| format!("{page} at {width} {scheme}: {what}")));
            let name = page
                .trim_start_matches('/')
                .split('?')
                .next()
                .unwrap_or_default()
                .replace('/', "-");
            browser.picture(&format!("{name}-{width}-{scheme}")).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
