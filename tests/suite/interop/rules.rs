//! Rules: messages derived without code, tried out before, and stopped when they go in circles.

use serde_json::json;

use crate::support::{Hub, Reply, Setup, Sink, eventually, order};

#[actix_web::test]
async fn a_rule_derives_a_message_and_can_be_tried_out_before() {
    let sink = Sink::taking_everything().await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    hub.quiet(&store).await;
    let rule = json!({"rule": {
        "name": "pick", "messages": ["order:new"], "message": "picking:ready",
        "filters": [{"path": "payload.order.status", "operator": "eq", "value": "complete"}],
        "payload": {"order_number": {"path": "payload.order.number"}, "skus": {"path": "payload.order.line_items.*.sku"}, "place": {"value": "north"}},
    }});
    let derived = json!({"order_number": "R1", "skus": ["TW-TOTE"], "place": "north"});
    let tried = hub
        .post(&store.token, &store.path("/rules/dry_run"), &rule)
        .await;
    assert_eq!(tried.status, 200, "{}", tried.text);
    assert_eq!(
        tried.body["results"][0]["derived"],
        json!({"message": "picking:ready", "payload": derived})
    );
    assert_eq!(
        hub.quiet(&store).await["archived"],
        1,
        "trying out derives nothing"
    );
    let made = hub.post(&store.token, &store.path("/rules"), &rule).await;
    assert_eq!(made.status, 201, "{}", made.text);
    hub.mapping(
        &store,
        "pick.list",
        &sink.url,
        json!({"messages": ["picking:ready"]}),
    )
    .await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    hub.push(&store, "order:new", json!({"order": order("R2", "cart")}))
        .await;
    let all = sink.wait("it arrives", |all| !all.is_empty()).await;
    assert_eq!(all[0].body["payload"]["order_number"], "R1");
    hub.quiet(&store).await;
    assert_eq!(sink.received().len(), 1, "the filter refused the other");
    let circle =
        json!({"rule": {"name": "circle", "messages": ["order:*"], "message": "order:again"}});
    assert_eq!(
        hub.post(&store.token, &store.path("/rules"), &circle)
            .await
            .status,
        422
    );
}

#[actix_web::test]
async fn a_loop_between_a_rule_and_an_endpoint_stops_with_an_event() {
    // The rule makes pings of pongs, the endpoint answers pings with pongs.
    let sink = Sink::start(|request, _| {
        Reply::json(
            200,
            json!({"messages": [{"message": "game:pong", "payload": request.body["payload"]}]}),
        )
    })
    .await;
    let hub = Hub::start_with(Setup::default().with("loops.max_depth", 6)).await;
    let store = hub.store("shop").await;
    let rule = json!({"rule": {"name": "ping", "messages": ["game:pong"], "message": "game:ping", "payload": {"n": {"path": "payload.n"}}}});
    assert_eq!(
        hub.post(&store.token, &store.path("/rules"), &rule)
            .await
            .status,
        201
    );
    hub.mapping(
        &store,
        "game.ping",
        &sink.url,
        json!({"messages": ["game:ping"]}),
    )
    .await;
    hub.push(&store, "game:ping", json!({"n": 1})).await;
    let event = eventually("the loop is told", || async {
        let page = hub
            .get(&store.token, &store.path("/notifications?level=error"))
            .await
            .body;
        page["notifications"]
            .as_array()?
            .iter()
            .find(|one| {
                one["subject"]
                    .as_str()
                    .is_some_and(|text| text.contains("loop"))
            })
            .cloned()
    })
    .await;
    assert!(
        event["description"].as_str().unwrap().contains('6'),
        "{event}"
    );
    hub.quiet(&store).await;
    assert!(sink.received().len() <= 6, "{}", sink.received().len());
}
