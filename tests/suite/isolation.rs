//! One sick endpoint harms nobody else.

use serde_json::json;

use crate::support::{Hub, Reply, Setup, Sink, order};

#[actix_web::test]
async fn one_hanging_and_one_dead_endpoint_of_ten_leave_the_other_eight_at_their_pace() {
    // The hanging one would hold its requests for ten minutes: if it held anything else up, nothing would arrive in time.
    let hub = Hub::start_with(Setup::default().with("dispatch.timeout_secs", 600)).await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    let hanging = Sink::start(|_, _| Reply::Never).await;
    for number in 0..8 {
        hub.mapping(
            &store,
            &format!("good.m{number}"),
            &format!("{}/{number}", sink.url),
            json!({}),
        )
        .await;
    }
    hub.mapping(&store, "bad.hanging", &hanging.url, json!({}))
        .await;
    // Nothing listens there: the port was given back.
    let dead = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    hub.mapping(&store, "bad.dead", &format!("http://{dead}/"), json!({}))
        .await;
    for number in 0..100 {
        hub.push(
            &store,
            "order:new",
            json!({"order": order(&format!("R{number}"), "complete")}),
        )
        .await;
    }
    sink.wait("eight times a hundred", |all| all.len() >= 800)
        .await;
    assert_eq!(sink.received().len(), 800);
    assert!(
        hanging.received().len() <= 16,
        "the hanging endpoint has its own bounded concurrency"
    );
    let failing = hub
        .rows(
            &store,
            "accepted?state=failing",
            "the dead one fails",
            |rows| !rows.is_empty(),
        )
        .await;
    assert!(
        failing.iter().all(|row| row["consumer"] == "bad.dead"),
        "{failing:?}"
    );
    assert!(
        failing[0]["last_error"]
            .as_str()
            .unwrap()
            .contains("refused")
            || failing[0]["last_error"]
                .as_str()
                .unwrap()
                .contains("listens"),
        "{failing:?}"
    );
}

#[actix_web::test]
async fn a_private_address_is_refused_unless_it_is_allowed_and_no_attempt_reaches_it() {
    let hub = Hub::start_with(Setup::default().with("egress.allow_networks", "")).await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    let port = sink.url.rsplit(':').next().unwrap().to_owned();
    // A name that resolves to this machine; a literal may be refused when it is registered already.
    hub.mapping(
        &store,
        "a.b",
        &format!("http://localhost:{port}/"),
        json!({"options": {"retries_allowed": false}}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let parked = hub
        .rows(&store, "accepted?state=parked", "it is refused", |rows| {
            rows.len() == 1
        })
        .await;
    assert!(
        parked[0]["last_error"]
            .as_str()
            .unwrap()
            .contains("egress.allow_networks"),
        "{parked:?}"
    );
    assert_eq!(sink.received().len(), 0);
}

#[actix_web::test]
async fn a_redirect_is_a_failure_and_is_never_followed() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::start(|request, _| {
        if request.path == "/old" {
            Reply::With(302, "Location", "/new".into(), String::new())
        } else {
            Reply::ok()
        }
    })
    .await;
    hub.mapping(
        &store,
        "a.b",
        &format!("{}/old", sink.url),
        json!({"options": {"retries_allowed": false}}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let parked = hub
        .rows(&store, "accepted?state=parked", "it is parked", |rows| {
            rows.len() == 1
        })
        .await;
    assert!(
        parked[0]["last_error"].as_str().unwrap().starts_with("302"),
        "{parked:?}"
    );
    assert_eq!(sink.received().len(), 1);
}

#[actix_web::test]
async fn a_paused_endpoint_gets_nothing_until_it_is_resumed() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    let other = Sink::taking_everything().await;
    let mapping = hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    hub.mapping(&store, "c.d", &other.url, json!({})).await;
    let path = |verb: &str| store.path(&format!("/endpoints/{mapping}/{verb}"));
    assert_eq!(
        hub.post(&store.token, &path("pause"), &json!({}))
            .await
            .status,
        200
    );
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    other
        .wait("the other one takes it", |all| all.len() == 1)
        .await;
    hub.rows(&store, "accepted?state=pending", "it waits", |rows| {
        rows.len() == 1
    })
    .await;
    assert_eq!(sink.received().len(), 0);
    assert_eq!(
        hub.post(&store.token, &path("resume"), &json!({}))
            .await
            .status,
        200
    );
    sink.wait("it goes on", |all| all.len() == 1).await;
}
