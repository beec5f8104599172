//! Queues, messages, notifications and timelines.

use serde_json::{Value, json};

use super::Site;

/// A store with a mapping whose endpoint nobody serves, and one order that is parked at it: store, token, the order's id.
async fn parked(site: &Site) -> (String, String, String) {
    let (store, token) = site.store("shop").await;
    let mapping = json!({"mapping": {
        "name": "acme.send_order", "url": "http://127.0.0.1:1/send_order", "messages": ["order:new"],
        "options": {"retries_allowed": false},
    }});
    site.call(&token, "POST", &format!("{store}/mappings"), mapping)
        .await
        .expect(201);
    let order = json!({"message": "order:new", "payload": {"order": {"number": "R123", "id": 7}}});
    let id = site
        .call(&token, "POST", &format!("{store}/messages"), order)
        .await
        .expect(201)
        .text_of("message_id");
    site.until(
        &token,
        &format!("{store}/queues"),
        "the delivery is parked",
        |stats| stats["parked"] == 1,
    )
    .await;
    (store, token, id)
}

#[actix_web::test]
async fn a_parked_delivery_is_listed_and_shown_with_its_attempts() {
    let site = Site::start().await;
    let (store, token, pushed) = parked(&site).await;
    let page = site
        .get(
            &token,
            &format!(
                "{store}/queues/accepted?filter_state=parked&message=order:new&object=order/r123"
            ),
        )
        .await
        .expect(200);
    assert_eq!(
        (&page.body["page"], &page.body["pages"], &page.body["next"]),
        (&json!(1), &json!(1), &json!(null))
    );
    assert_eq!(page.body["available_messages"], json!(["order:new"]));
    for route in ["available_messages", "available_keys"] {
        let types = site.get(&token, &format!("{store}/{route}")).await;
        assert_eq!(types.expect(200).body, json!(["order:new"]));
    }
    assert_eq!(
        page.body["available_consumers"],
        json!([["acme.send_order", "acme.send_order"]])
    );
    let row = &page.body["messages"][0];
    for (member, expected) in [
        ("message", json!("order:new")),
        ("state", json!("parked")),
        ("consumer", json!("acme.send_order")),
        ("destination_name", json!("acme")),
        ("is_consumer_remote", json!(true)),
        ("queue_name", json!("accepted")),
        ("parent_id", json!(pushed)),
        ("attempts", json!(1)),
        ("can_attempt", json!(true)),
        ("object", json!("order/R123")),
    ] {
        assert_eq!(row[member], expected, "{member} in {row}");
    }
    let id = row["id"].as_str().unwrap();
    let detail = site
        .get(&token, &format!("{store}/messages/{id}"))
        .await
        .expect(200);
    assert_eq!(
        (&detail.body["reference_token"], &detail.body["references"]),
        (&json!("R123"), &json!("7"))
    );
    assert_eq!(
        detail.body["payload"],
        json!({"order": {"number": "R123", "id": 7}})
    );
    assert!(
        detail.body["children"].is_array() && detail.body["notifications"].is_array(),
        "{}",
        detail.text
    );
    let attempts = site
        .get(&token, &format!("{store}/messages/{id}/attempts"))
        .await
        .expect(200);
    let attempt = &attempts.body["attempts"][0];
    assert_eq!(
        (&attempt["number"], &attempt["status"], &attempt["answer"]),
        (&json!(1), &json!(null), &json!(null))
    );
    assert!(
        attempt["error"]
            .as_str()
            .is_some_and(|error| !error.is_empty()),
        "{attempt}"
    );
    let parent = site
        .get(&token, &format!("{store}/messages/{pushed}"))
        .await
        .expect(200);
    assert_eq!(
        (
            &parent.body["children"][0]["id"],
            &parent.body["children"][0]["location"]
        ),
        (&json!(id), &json!("accepted"))
    );
    assert_eq!(
        (&parent.body["state"], &parent.body["parent_id"]),
        (&json!("routed"), &json!(""))
    );
    site.stop().await;
}

#[actix_web::test]
async fn a_person_archives_what_waits_and_nothing_else() {
    let site = Site::start().await;
    let (store, token, pushed) = parked(&site).await;
    let page = site
        .get(&token, &format!("{store}/queues/accepted"))
        .await
        .expect(200);
    let path = format!(
        "{store}/messages/{}",
        page.body["messages"][0]["id"].as_str().unwrap()
    );
    let form = [
        ("X-Augury-Token", token.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let source = site
        .send(
            "PUT",
            &format!("{store}/messages/{pushed}"),
            &form,
            "attempt_now=true",
        )
        .await
        .expect(422);
    assert_eq!(
        source.errors(),
        "message: it is routed, its deliveries are its children"
    );
    let neither = site
        .send("PUT", &path, &form, "attempt=true")
        .await
        .expect(422);
    assert!(
        neither.errors().contains("did you mean") || neither.errors().contains("attempt_now=true"),
        "{}",
        neither.text
    );
    let archived = site
        .send("PUT", &path, &form, "archive=true")
        .await
        .expect(200);
    assert_eq!(
        (&archived.body["state"], &archived.body["reason"]),
        (&json!("archived"), &json!("archived_by_person"))
    );
    let again = site
        .send("PUT", &path, &form, "attempt_now=true")
        .await
        .expect(422);
    assert_eq!(again.errors(), "message: it is archived");
    let listed = async |query: &str| {
        let page = site
            .get(&token, &format!("{store}/queues/archived{query}"))
            .await
            .expect(200);
        page.body["messages"].as_array().map(Vec::len)
    };
    assert_eq!(
        (
            listed("").await,
            listed("?source=accepted").await,
            listed("?state=parked").await
        ),
        (Some(0), Some(1), Some(0))
    );
    site.stop().await;
}

#[actix_web::test]
async fn a_person_has_a_parked_delivery_tried_again() {
    let site = Site::start().await;
    let (store, token, _) = parked(&site).await;
    let page = site
        .get(&token, &format!("{store}/queues/accepted"))
        .await
        .expect(200);
    let path = format!(
        "{store}/messages/{}",
        page.body["messages"][0]["id"].as_str().unwrap()
    );
    site.call(&token, "PUT", &path, json!({"attempt_now": true}))
        .await
        .expect(200);
    site.until(&token, &path, "a second attempt", |detail| {
        detail["attempts"] == 2
    })
    .await;
    site.stop().await;
}

#[actix_web::test]
async fn what_nobody_wants_is_archived_with_the_reason() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let body = json!({"message": "stock:change", "payload": {"sku": "A"}});
    let id = site
        .call(&token, "POST", &format!("{store}/messages"), body)
        .await
        .expect(201)
        .text_of("id");
    let path = format!("{store}/queues/archived?source=incoming");
    let page = site
        .until(&token, &path, "it is archived", |page| {
            page["messages"]
                .as_array()
                .is_some_and(|rows| rows.len() == 1)
        })
        .await;
    let row = &page["messages"][0];
    assert_eq!(
        (&row["id"], &row["state"], &row["reason"], &row["source"]),
        (
            &json!(id),
            &json!("never_processed"),
            &json!("no_subscriber"),
            &json!("incoming")
        )
    );
    site.stop().await;
}

#[actix_web::test]
async fn long_lists_are_followed_by_their_key() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let items = Value::from(vec![json!({"message": "stock:change", "payload": {}}); 60]);
    site.call(&token, "POST", &format!("{store}/messages/batch"), items)
        .await
        .expect(200);
    site.until(
        &token,
        &format!("{store}/queues"),
        "all are archived",
        |stats| stats["archived"] == 60,
    )
    .await;
    let list = format!("{store}/queues/archived?source=incoming");
    let ids = |page: &Value| {
        page["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut followed = Vec::new();
    let mut page = site.get(&token, &list).await.expect(200).body;
    assert_eq!(page["pages"], 3);
    loop {
        followed.extend(ids(&page));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        page = site
            .get(&token, &format!("{list}&after={next}"))
            .await
            .expect(200)
            .body;
    }
    let mut counted = Vec::new();
    for number in 1..=3 {
        counted.extend(ids(&site
            .get(&token, &format!("{list}&page={number}"))
            .await
            .expect(200)
            .body));
    }
    assert_eq!(followed.len(), 60);
    assert_eq!(followed, counted);
    let beyond = site
        .get(&token, &format!("{list}&page=41"))
        .await
        .expect(422);
    assert!(beyond.errors().contains("next"), "{}", beyond.text);
    site.stop().await;
}

#[actix_web::test]
async fn an_object_has_a_timeline_and_notifications_are_found_in_any_case() {
    let site = Site::start().await;
    let (store, token, pushed) = parked(&site).await;
    let timeline = site
        .get(&token, &format!("{store}/objects/order/r123.json"))
        .await
        .expect(200);
    assert_eq!(timeline.body["object"]["type"], "order");
    let entries: Vec<&str> = timeline.body["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["entry"].as_str().unwrap())
        .collect();
    assert_eq!(
        entries[..3],
        ["message", "delivery", "attempt"],
        "{}",
        timeline.text
    );
    assert_eq!(timeline.body["timeline"][0]["id"], json!(pushed));
    let warning = json!({"message": "notification:warn", "payload": {"subject": "Late", "description": "by a day"},
        "reference_type": "order", "reference_token": "R123"});
    site.call(&token, "POST", &format!("{store}/messages"), warning)
        .await
        .expect(201);
    let path =
        format!("{store}/notifications?level=warning&reference_type=order&reference_token=r123");
    let page = site
        .until(&token, &path, "the notification", |page| {
            page["notifications"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        })
        .await;
    let one = &page["notifications"][0];
    assert_eq!(
        (&one["level"], &one["subject"], &one["reference_type"]),
        (&json!("warn"), &json!("Late"), &json!("order"))
    );
    assert_eq!(one["attributes"]["level"], "warn");
    let wrong = site
        .get(&token, &format!("{store}/notifications?level=loud"))
        .await
        .expect(422);
    assert_eq!(wrong.errors(), "level: must be info, warn or error");
    site.stop().await;
}
