//! The way in.

use serde_json::{Value, json};

use super::Site;

#[actix_web::test]
async fn every_form_of_a_push_is_answered_with_what_was_sent_and_its_id() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let payload = r#"{ "sku":"TW-TOTE", "quantity":10.0 }"#;
    for body in [
        format!(r#"{{"message":"stock:change","payload":{payload}}}"#),
        format!(
            r#"{{"origin":"test","message":{{"message":"stock:change","payload":{payload}}}}}"#
        ),
        format!(
            r#"{{"source":"test","message":{}}}"#,
            Value::from(format!(
                r#"{{"message":"stock:change","payload":{payload}}}"#
            ))
        ),
    ] {
        // No content type at all is taken as JSON.
        let answer = site
            .send(
                "POST",
                &format!("{store}/messages/"),
                &[("X-Augury-Token", &token)],
                body,
            )
            .await
            .expect(201);
        assert_eq!(
            (&answer.body["message"], &answer.body["id"]),
            (&json!("stock:change"), &answer.body["message_id"])
        );
        assert!(
            answer.text.contains(payload),
            "byte for byte: {}",
            answer.text
        );
        site.get(
            &token,
            &format!("{store}/messages/{}", answer.text_of("message_id")),
        )
        .await
        .expect(200);
    }
    let types = site
        .get(&token, &format!("{store}/available_messages"))
        .await
        .expect(200);
    assert_eq!(types.body, json!(["stock:change"]));
    site.stop().await;
}

#[actix_web::test]
async fn a_wrong_push_is_refused_with_everything_that_is_wrong() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let path = format!("{store}/messages");
    let refused = site
        .call(
            &token,
            "POST",
            &path,
            json!({"message": "Order", "payload": []}),
        )
        .await
        .expect(422);
    assert!(
        refused.errors().starts_with("message: ")
            && refused.errors().contains(", payload: must be an object"),
        "{}",
        refused.text
    );
    let text = [
        ("X-Augury-Token", token.as_str()),
        ("Content-Type", "text/plain"),
    ];
    site.send("POST", &path, &text, r#"{"message":"a:b","payload":{}}"#)
        .await
        .expect(415);
    let gzip = [
        ("X-Augury-Token", token.as_str()),
        ("Content-Encoding", "gzip"),
    ];
    site.send("POST", &path, &gzip, r#"{"message":"a:b","payload":{}}"#)
        .await
        .expect(415);
    let stats = site
        .get(&token, &format!("{store}/queues"))
        .await
        .expect(200);
    assert_eq!(
        stats.body,
        json!({"incoming": 0, "archived": 0, "pending": 0, "failing": 0, "scheduled": 0, "parked": 0})
    );
    site.stop().await;
}

#[actix_web::test]
async fn a_body_above_the_limit_is_refused_whatever_its_length_is_said_to_be() {
    let site = Site::start_with(|config| config.server.max_body_bytes = 10_000).await;
    let (store, token) = site.store("shop").await;
    let path = format!("{store}/messages");
    let body =
        |bytes: usize| json!({"message": "a:b", "payload": {"x": "y".repeat(bytes)}}).to_string();
    let head = [("X-Augury-Token", token.as_str())];
    let refused = site
        .send("POST", &path, &head, body(40_000))
        .await
        .expect(413);
    assert!(
        refused.body["error"]
            .as_str()
            .unwrap()
            .contains("10000 bytes"),
        "{}",
        refused.text
    );
    // In chunks, without a length.
    let client = awc::Client::default();
    let chunks = futures_util::stream::iter(
        body(40_000)
            .into_bytes()
            .chunks(1_000)
            .map(|chunk| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(chunk)))
            .collect::<Vec<_>>(),
    );
    let answer = client
        .post(format!("{}{path}", site.url))
        .insert_header(head[0])
        .send_stream(chunks)
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 413);
    site.send("POST", &path, &head, body(9_000))
        .await
        .expect(201);
    site.stop().await;
}

#[actix_web::test]
async fn a_repeated_key_gets_the_same_answer_and_another_body_none() {
    let site = Site::start().await;
    let shop = site.store("shop").await;
    let (store, token) = &shop;
    let path = format!("{store}/messages");
    let push = async |token: &str, key: &str, body: &str| {
        site.send(
            "POST",
            &path,
            &[("X-Augury-Token", token), ("Idempotency-Key", key)],
            body,
        )
        .await
    };
    let first = push(
        token,
        "k1",
        r#"{"message":"stock:change","payload":{"sku":"A"}}"#,
    )
    .await
    .expect(201);
    let again = push(
        token,
        "k1",
        r#"{"message":"stock:change","payload":{"sku":"A"}}"#,
    )
    .await
    .expect(201);
    assert_eq!(first.body, again.body);
    assert_eq!(
        (
            first.header("idempotency-replayed"),
            again.header("idempotency-replayed")
        ),
        (None, Some("true"))
    );
    let other = push(
        token,
        "k1",
        r#"{"message":"stock:change","payload":{"sku":"B"}}"#,
    )
    .await
    .expect(422);
    assert_eq!(
        other.errors(),
        "Idempotency-Key: was used before with another body"
    );
    let another = site.token(&shop, "push").await;
    let theirs = push(
        &another,
        "k1",
        r#"{"message":"stock:change","payload":{"sku":"B"}}"#,
    )
    .await
    .expect(201);
    assert_ne!(
        theirs.body["id"], first.body["id"],
        "keys are kept per token"
    );
    let spaces = push(token, "a b", r#"{"message":"a:b","payload":{}}"#)
        .await
        .expect(422);
    assert!(
        spaces.errors().starts_with("Idempotency-Key: must be"),
        "{}",
        spaces.text
    );
    site.stop().await;
}

#[actix_web::test]
async fn of_requests_at_once_with_one_key_each_gets_the_same_id_or_409() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let path = format!("{store}/messages");
    let headers = [
        ("X-Augury-Token", token.as_str()),
        ("Idempotency-Key", "k1"),
    ];
    let all =
        (0..40).map(|_| site.send("POST", &path, &headers, r#"{"message":"a:b","payload":{}}"#));
    let mut ids = Vec::new();
    for answer in futures_util::future::join_all(all).await {
        match answer.status {
            201 => ids.push(answer.text_of("id")),
            409 => assert!(answer.header("retry-after").is_some(), "{}", answer.text),
            _ => panic!("{}", answer.text),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    site.until(
        &token,
        &format!("{store}/queues"),
        "it is archived",
        |stats| stats["archived"] == 1,
    )
    .await;
    site.stop().await;
}

#[actix_web::test]
async fn one_bad_item_does_not_spoil_a_batch() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let path = format!("{store}/messages/batch");
    let lines = "{\"message\":\"a:b\",\"payload\":{}}\r\n\nnot json\n{\"message\":\"NO\",\"payload\":{}}\n{\"message\":\"a:c\",\"payload\":{}}";
    let array = r#"[{"message":"a:b","payload":{}},7,{"message":"NO","payload":{}},{"message":"a:c","payload":{}}]"#;
    for (kind, body) in [("application/x-ndjson", lines), ("application/json", array)] {
        let headers = [("X-Augury-Token", token.as_str()), ("Content-Type", kind)];
        let answer = site.send("POST", &path, &headers, body).await.expect(200);
        let results = answer.body["results"].as_array().unwrap();
        let accepted: Vec<bool> = results
            .iter()
            .map(|result| result["message_id"].is_string())
            .collect();
        assert_eq!(accepted, [true, false, false, true], "{}", answer.text);
        assert!(
            results[1]["error"].is_string()
                && results[2]["errors"][0]
                    .as_str()
                    .unwrap()
                    .starts_with("message: "),
            "{}",
            answer.text
        );
    }
    site.stop().await;
}

#[actix_web::test]
async fn a_batch_has_bounds_and_a_shape() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let path = format!("{store}/messages/batch");
    let items = |count: usize| Value::from(vec![json!({"message": "a:b", "payload": {}}); count]);
    let refused = site
        .call(&token, "POST", &path, items(1_001))
        .await
        .expect(422);
    assert_eq!(
        refused.errors(),
        "messages: 1001 given, at most 1000 are accepted"
    );
    let taken = site
        .call(&token, "POST", &path, items(1_000))
        .await
        .expect(200);
    assert_eq!(taken.body["results"].as_array().map(Vec::len), Some(1_000));
    assert_eq!(
        site.call(&token, "POST", &path, json!([]))
            .await
            .expect(200)
            .body,
        json!({"results": []})
    );
    let refused = site
        .call(&token, "POST", &path, json!({"message": "a:b"}))
        .await
        .expect(422);
    assert_eq!(
        refused.errors(),
        "body: must be an array of messages, found an object"
    );
    site.stop().await;
}

#[actix_web::test]
async fn items_of_a_batch_have_keys_of_their_own() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let path = format!("{store}/messages/batch");
    let item = |key: &str, sku: &str| json!({"message": "stock:change", "payload": {"sku": sku}, "idempotency_key": key});
    let first = site
        .call(
            &token,
            "POST",
            &path,
            json!([item("a", "1"), item("b", "2")]),
        )
        .await
        .expect(200);
    let second = site
        .call(
            &token,
            "POST",
            &path,
            json!([item("b", "2"), item("a", "other"), item("c", "3")]),
        )
        .await
        .expect(200);
    let ids =
        |answer: &super::Answer, index: usize| answer.body["results"][index]["message_id"].clone();
    assert_eq!(ids(&second, 0), ids(&first, 1));
    assert_eq!(
        second.body["results"][1]["errors"],
        json!(["Idempotency-Key: was used before with another body"])
    );
    assert!(ids(&second, 2).is_string());
    let whole = [
        ("X-Augury-Token", token.as_str()),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "batch-1"),
    ];
    let body = r#"[{"message":"a:b","payload":{}},{"message":"a:b","payload":{"n":1}}]"#;
    let one = site.send("POST", &path, &whole, body).await.expect(200);
    assert_eq!(
        site.send("POST", &path, &whole, body)
            .await
            .expect(200)
            .body,
        one.body,
        "one key for the whole batch"
    );
    site.stop().await;
}
