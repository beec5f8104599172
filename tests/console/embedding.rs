//! The story in a frame of the shop's own admin.

use serde_json::json;

use crate::{
    browser::Browser,
    support::{Hub, Reply, Sink, eventually, hub::OPERATOR, order},
};

/// A shop's admin page that frames this address.
async fn admin_page(frame: &str) -> Sink {
    let page = format!(
        "<!DOCTYPE html><title>Order R9</title><h1>Order R9</h1><iframe id=\"story\" src=\"{}\" width=\"600\" height=\"600\"></iframe>",
        frame.replace('&', "&amp;")
    );
    Sink::start(move |_, _| Reply::With(200, "Content-Type", "text/html".into(), page.clone()))
        .await
}

async fn frame_text(browser: &Browser) -> String {
    let tree = browser
        .run("const f = document.querySelector('iframe'); try { return f.contentDocument ? f.contentDocument.body.innerText : 'foreign' } catch { return 'foreign' }")
        .await;
    tree.as_str().unwrap_or_default().to_owned()
}

#[actix_web::test]
async fn an_order_is_embedded_by_a_signed_link_and_by_nothing_else() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater").await;
    let sink = Sink::taking_everything().await;
    hub.mapping(&store, "mail.confirm", &sink.url, json!({}))
        .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R9", "complete")}),
    )
    .await;
    hub.quiet(&store).await;

    let link = store.path("/objects/order/R9/link");
    let wrong = hub.post(&store.token, &link, &json!({"origin": "*"})).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    let made = hub
        .post(
            &store.token,
            &link,
            &json!({"origin": "https://shop.example"}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let url = made.body["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix(&hub.url).unwrap().to_owned();

    let page = hub.get("", &path).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(
        page.text.contains("Order placed") && page.text.contains("took it"),
        "{}",
        page.text
    );
    assert!(
        !page.text.contains("/console/messages") && !page.text.contains("ada@example.org"),
        "{}",
        page.text
    );
    for (from, to) in [
        ("order/R9", "order/R8"),
        ("shop.example", "evil.example"),
        ("expires=1", "expires=2"),
        ("signature=", "signature=00"),
    ] {
        let changed = path.replacen(from, to, 1);
        assert_ne!(changed, path);
        assert_eq!(
            hub.get("", &changed).await.status,
            403,
            "{from} was changed"
        );
    }
    let soon = json!({"origin": "https://shop.example", "expires_in": 1});
    let short = hub.post(&store.token, &link, &soon).await;
    let short = short.body["url"].as_str().unwrap().to_owned();
    let short = short.strip_prefix(&hub.url).unwrap();
    eventually("the link expires", || async {
        let page = hub.get("", short).await;
        (page.status == 403 && page.text.contains("Reload the order")).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn only_the_shops_own_origin_may_frame_it() {
    let hub = Hub::start().await;
    let store = hub.store("Tidewater").await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R9", "complete")}),
    )
    .await;
    hub.quiet(&store).await;
    let link = async |origin: &str| {
        let made = hub
            .post(
                &store.token,
                &store.path("/objects/order/R9/link"),
                &json!({"origin": origin}),
            )
            .await;
        made.body["url"].as_str().unwrap().to_owned()
    };
    // The admin's address is known once it listens, so the link is fetched by a first page that names no frame.
    let placeholder = Sink::start(|_, _| Reply::ok()).await;
    let foreign = admin_page(&link(&placeholder.url).await).await;
    let browser = Browser::start(&hub, 800, 800).await;
    browser.make_first_account(OPERATOR).await;
    browser.open(&foreign.url).await;
    eventually("the browser refuses to frame it", || async {
        let complaints = browser.complaints().await.join("\n");
        complaints.contains("frame-ancestors").then_some(())
    })
    .await;
    assert_eq!(frame_text(&browser).await, "foreign");
}
