//! Schedulers.

use serde_json::json;

use crate::support::{Hub, Sink};

#[actix_web::test]
async fn ticks_missed_while_the_program_was_down_are_pushed_once() {
    let sink = Sink::taking_everything().await;
    let mut hub = Hub::start().await;
    let store = hub.store("shop").await;
    hub.mapping(
        &store,
        "acme.poll",
        &sink.url,
        json!({"messages": ["acme:poll"]}),
    )
    .await;
    let made = hub
        .post(&store.token, &store.path("/schedulers"), &json!({"scheduler": {"count": "1", "interval": "seconds", "key": "acme:poll", "payload": {"target": "orders"}}}))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert!(
        made.body["last_run"].is_null() && made.body["next_run"].is_string(),
        "{}",
        made.text
    );
    let all = sink.wait("two ticks", |all| all.len() >= 2).await;
    assert_eq!(all[0].body["payload"]["target"], "orders");
    hub.kill();
    let before = sink.received().len();
    // The ticks to be missed must really pass.
    actix_rt::time::sleep(std::time::Duration::from_secs(4)).await;
    let up_at = std::time::Instant::now();
    hub.launch().await;
    sink.wait("it ticks again", |all| all.len() > before).await;
    let path = store.path(&format!("/schedulers/{id}"));
    let shown = hub.get(&store.token, &path).await.body;
    assert!(shown["last_run"].is_string(), "{shown}");
    let off = hub
        .put(
            &store.token,
            &path,
            &json!({"scheduler": {"enabled": false}}),
        )
        .await;
    assert_eq!(
        (off.status, &off.body["next_run"]),
        (200, &json!(null)),
        "{}",
        off.text
    );
    hub.quiet(&store).await;
    let after = sink.received().len() - before;
    let up_for = usize::try_from(up_at.elapsed().as_secs()).unwrap();
    assert!(
        after <= up_for + 2,
        "four missed seconds were made up for once: {after} in {up_for} s"
    );
}

#[actix_web::test]
async fn a_cron_expression_has_a_time_zone_and_mistakes_are_told() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let path = store.path("/schedulers");
    let made = hub
        .post(&store.token, &path, &json!({"scheduler": {"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "key": "hub:poll"}}))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(
        (&made.body["time_zone"], &made.body["cron"]),
        (&json!("Europe/Berlin"), &json!("30 2 * * *"))
    );
    for (wrong, field) in [
        (json!({"cron": "61 * * * *", "key": "hub:poll"}), "cron"),
        (
            json!({"cron": "* * * * *", "time_zone": "Mars", "key": "hub:poll"}),
            "time_zone",
        ),
        (
            json!({"count": 0, "interval": "days", "key": "hub:poll"}),
            "count",
        ),
        (json!({"count": 1, "interval": "days"}), "key"),
    ] {
        let answer = hub
            .post(&store.token, &path, &json!({"scheduler": wrong}))
            .await;
        assert_eq!(answer.status, 422);
        assert!(
            answer.body["errors"].to_string().contains(field),
            "{}",
            answer.text
        );
    }
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(
        hub.call("DELETE", &store.token, &format!("{path}/{id}"), &[], "")
            .await
            .status,
        200
    );
    assert_eq!(hub.get(&store.token, &path).await.body, json!([]));
}
