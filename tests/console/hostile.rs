//! Whatever stands in a message is shown and harmless.

use serde_json::json;

use crate::{
    browser::Browser,
    support::{Hub, Reply, Sink, hub::OPERATOR},
};

const SCRIPT: &str = "<script>window.pwned=1</script><img src=x onerror=\"window.pwned=2\">\"'><svg onload=window.pwned=3>{{7*7}}javascript:alert(1)";
const TURNED: &str = "abc\u{202e}cba\u{2066}x\u{200b}y\u{feff}";
const CONTROL: &str = "a\u{0}b\u{1b}[31mred\u{7f}\u{85}";

#[actix_web::test]
async fn hostile_strings_are_shown_and_harmless() {
    let hub = Hub::start().await;
    let store = hub.store("<script>window.pwned=5</script>\u{202e}").await;
    let answer = json!({
        "notifications": [{"level": "error", "subject": format!("{SCRIPT}{TURNED}"), "description": format!("{CONTROL}{}", "y".repeat(100_000))}],
        SCRIPT: TURNED,
    });
    let sink = Sink::start(move |_, _| {
        Reply::With(
            500,
            "X-Odd",
            "<b onmouseover=window.pwned=4>".into(),
            answer.to_string(),
        )
    })
    .await;
    let more = json!({"options": {"retries_allowed": false}, "messages": ["order:updated"]});
    hub.mapping(&store, "evil.<b>name</b>", &sink.url, more)
        .await;
    let payload = json!({
        "order": {"number": format!("R1{SCRIPT}"), "email": TURNED, "note": CONTROL, "long": "z".repeat(100_000), SCRIPT: [SCRIPT, TURNED, CONTROL]},
        "diff": {SCRIPT: [SCRIPT, TURNED]},
    });
    hub.push(&store, "order:updated", payload).await;
    hub.rows(&store, "accepted?state=parked", "it is parked", |rows| {
        rows.len() == 1
    })
    .await;

    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    let row = "return document.querySelector('tr[data-href]').dataset.href";
    browser
        .open(&format!("/console/queues/accepted?store={}", store.id))
        .await;
    let message = browser.run(row).await.as_str().unwrap().to_owned();
    let object = browser
        .run("return document.querySelector('a[href^=\"/objects/\"]').getAttribute('href')")
        .await;
    let object = object.as_str().unwrap().to_owned();
    let mut pages = crate::looks::pages(&store.id);
    pages.extend([message.clone(), object]);
    for page in pages {
        browser.open(&page).await;
        browser
            .run("for (const fold of document.querySelectorAll('details')) fold.open = true")
            .await;
        let found = browser
            .run("return [window.pwned ?? null, document.querySelectorAll('main script, main img, svg[onload], [onerror], [onmouseover]').length, performance.getEntriesByType('resource').filter(e => new URL(e.name).origin !== location.origin).length]")
            .await;
        assert_eq!(found, json!([null, 0, 0]), "{page}");
        let turned = "return /[\\u202a-\\u202e\\u2066-\\u2069\\u0000-\\u0008\\u001b\\u007f-\\u009f]/.test(document.querySelector('main').innerText)";
        assert_eq!(
            browser.run(turned).await,
            false,
            "{page} shows bare control characters"
        );
        let complaints = browser.complaints().await;
        assert!(complaints.is_empty(), "{page}: {complaints:?}");
    }
    browser.open(&message).await;
    let text = browser.text().await;
    assert!(
        text.contains("<script>window.pwned=1</script>"),
        "shown as text"
    );
    assert!(text.contains("U+202E"), "drawn");
    assert!(text.contains("more characters"), "cut, and told so");
}
