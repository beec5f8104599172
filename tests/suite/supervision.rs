//! The program's own words about its state.

use serde_json::json;

use crate::support::{Hub, Sink, order};

#[actix_web::test]
async fn each_endpoint_tells_how_it_does() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    let mapping = hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    sink.wait("it arrives", |all| all.len() == 1).await;
    hub.quiet(&store).await;
    let endpoints = hub.get(&store.token, &store.path("/endpoints")).await;
    assert_eq!(endpoints.status, 200, "{}", endpoints.text);
    let row = &endpoints.body[0];
    assert_eq!(
        (
            &row["id"],
            &row["name"],
            &row["in_flight"],
            &row["restarts"]
        ),
        (&json!(mapping), &json!("a.b"), &json!(0), &json!(0)),
        "{}",
        endpoints.text
    );
}

#[actix_web::test]
async fn health_is_told_without_a_token() {
    let hub = Hub::start().await;
    assert_eq!(hub.get("", "/health/live").await.status, 200);
    assert_eq!(hub.get("", "/health/ready").await.status, 200);
    assert!(
        hub.printed().contains("listening on http://127.0.0.1:"),
        "{}",
        hub.printed()
    );
}

#[actix_web::test]
async fn metrics_tell_what_happened_in_the_prometheus_text_format() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    for number in ["R1", "R2"] {
        hub.push(
            &store,
            "order:new",
            json!({"order": order(number, "complete")}),
        )
        .await;
    }
    hub.quiet(&store).await;
    let metrics = hub.get("", "/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in [
        "integrator_messages_accepted_total 2",
        "integrator_messages_routed_total 2",
        "integrator_deliveries_settled_total{outcome=\"completed\"} 2",
        "integrator_delivery_latency_seconds_count 2",
        "integrator_queue_messages{queue=\"archived\"} 2",
        "integrator_dispatchers{state=\"running\"} 1",
    ] {
        assert!(
            metrics.text.lines().any(|own| own == line),
            "{line} is missing in\n{}",
            metrics.text
        );
    }
    assert!(
        !metrics.text.contains(&store.id) && !metrics.text.contains("a.b"),
        "labels are bounded"
    );
}
