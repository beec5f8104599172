//! Who may do what, and what the outermost layer answers.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use serde_json::{Value, json};

use crate::domain::time::Micros;

use super::{OPERATOR, Site};

#[actix_web::test]
async fn without_a_valid_token_nothing_is_told() {
    let site = Site::start().await;
    let (store, _) = site.store("shop").await;
    for path in [format!("{store}/queues"), "/api/stores".to_owned()] {
        let missing = site.send("GET", &path, &[], "").await.expect(401);
        assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
        let wrong = site.get("wrong", &path).await.expect(401);
        assert_eq!(
            wrong.body,
            json!({"error": "Token is invalid.", "errors": []})
        );
    }
    site.stop().await;
}

#[actix_web::test]
async fn a_token_is_taken_from_any_of_its_three_headers() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let bearer = format!("Bearer {token}");
    for header in [
        ("X-Augury-Token", token.as_str()),
        ("X-Hub-Access-Token", &token),
        ("Authorization", &bearer),
    ] {
        site.send("GET", &format!("{store}/queues"), &[header], "")
            .await
            .expect(200);
    }
    site.stop().await;
}

#[actix_web::test]
async fn a_store_sees_no_other_store() {
    let site = Site::start().await;
    let (own, token) = site.store("one").await;
    let (other, _) = site.store("two").await;
    for path in [
        format!("{other}/queues"),
        other.clone(),
        "/api/stores/54d1c0aa84a81618ab000001".into(),
        "/api/stores/7".into(),
    ] {
        let answer = site.get(&token, &path).await.expect(404);
        assert_eq!(answer.body["error"], "Store not found.", "{path}");
    }
    let listed = site.get(&token, "/api/stores").await.expect(200);
    assert_eq!(listed.body.as_array().map(Vec::len), Some(1));
    assert!(own.ends_with(listed.body[0]["id"].as_str().unwrap()));
    assert_eq!(
        site.get(OPERATOR, "/api/stores")
            .await
            .body
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    site.stop().await;
}

#[actix_web::test]
async fn a_missing_scope_is_named() {
    let site = Site::start().await;
    let shop = site.store("shop").await;
    let (reader, pusher) = (
        site.token(&shop, "read").await,
        site.token(&shop, "push").await,
    );
    let store = &shop.0;
    let message = json!({"message": "a:b", "payload": {}});
    let refused = site
        .call(
            &reader,
            "POST",
            &format!("{store}/messages"),
            message.clone(),
        )
        .await
        .expect(403);
    assert_eq!(refused.errors(), "token: lacks the scope push");
    let refused = site
        .get(&pusher, &format!("{store}/queues"))
        .await
        .expect(403);
    assert_eq!(refused.errors(), "token: lacks the scope read");
    let refused = site
        .call(&reader, "POST", &format!("{store}/mappings"), json!({}))
        .await
        .expect(403);
    assert_eq!(refused.errors(), "token: lacks the scope admin");
    site.call(
        &shop.1,
        "POST",
        "/api/stores",
        json!({"store": {"name": "x"}}),
    )
    .await
    .expect(403);
    site.call(&pusher, "POST", &format!("{store}/messages"), message)
        .await
        .expect(201);
    site.get(&reader, &format!("{store}/queues"))
        .await
        .expect(200);
    site.stop().await;
}

#[actix_web::test]
async fn a_deleted_and_an_expired_token_are_invalid() {
    let site = Site::start().await;
    let (store, admin) = site.store("shop").await;
    let body = json!({"token": {"name": "short", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"}});
    let made = site
        .call(&admin, "POST", &format!("{store}/tokens"), body)
        .await
        .expect(201);
    let (id, token) = (made.text_of("id"), made.text_of("token"));
    site.get(&token, &format!("{store}/queues"))
        .await
        .expect(200);
    let listed = site
        .get(&admin, &format!("{store}/tokens"))
        .await
        .expect(200);
    assert_eq!(listed.body.as_array().map(Vec::len), Some(2));
    assert!(!listed.text.contains(&token), "its text is shown once");
    site.call(
        &admin,
        "DELETE",
        &format!("{store}/tokens/{id}"),
        Value::Null,
    )
    .await
    .expect(200);
    site.get(&token, &format!("{store}/queues"))
        .await
        .expect(401);
    let past =
        json!({"token": {"name": "x", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"}});
    let refused = site
        .call(&admin, "POST", &format!("{store}/tokens"), past)
        .await
        .expect(422);
    assert_eq!(refused.errors(), "expires_at: is in the past");
    site.stop().await;
}

#[actix_web::test]
async fn a_token_works_until_it_expires() {
    let seconds = Arc::new(AtomicI64::new(4_000_000_000));
    let clock = Arc::clone(&seconds);
    let clock = move || Micros(clock.load(Ordering::SeqCst) * 1_000_000);
    let site = Site::start_at(Arc::new(clock), |_| {}).await;
    let (store, admin) = site.store("shop").await;
    let end = Micros(4_000_000_060_000_000).rfc3339();
    let body = json!({"token": {"name": "short", "scopes": ["read"], "expires_at": end}});
    let made = site
        .call(&admin, "POST", &format!("{store}/tokens"), body)
        .await
        .expect(201);
    let token = made.text_of("token");
    site.get(&token, &store).await.expect(200);
    seconds.store(4_000_000_060, Ordering::SeqCst);
    site.get(&token, &store).await.expect(401);
    site.get(&admin, &store).await.expect(200);
    site.stop().await;
}

#[actix_web::test]
async fn unknown_addresses_and_methods_answer_in_json() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    for path in [
        "/api/nothing".to_owned(),
        "/nothing".into(),
        format!("{store}/nothing"),
        format!("{store}/queues/lost"),
    ] {
        let answer = site.get(&token, &path).await.expect(404);
        assert!(answer.body["error"].is_string(), "{path}: {}", answer.text);
    }
    let refused = site
        .call(&token, "PUT", &format!("{store}/queues"), json!({}))
        .await
        .expect(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    assert!(refused.body["error"].is_string());
    site.stop().await;
}

#[actix_web::test]
async fn a_slash_or_json_at_the_end_of_a_path_means_nothing() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    for path in [
        "queues",
        "queues/",
        "queues.json",
        "queues/archived.json?page=1",
        "queues/archived/?page=1",
        "mappings.json/",
    ] {
        let answer = site
            .get(&token, &format!("{store}/{path}"))
            .await
            .expect(200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
    let head = site
        .send(
            "HEAD",
            &format!("{store}/queues"),
            &[("X-Augury-Token", &token)],
            "",
        )
        .await
        .expect(200);
    assert_eq!(head.text, "");
    site.stop().await;
}

#[actix_web::test]
async fn health_needs_no_token() {
    let site = Site::start().await;
    assert_eq!(
        site.send("GET", "/health/live", &[], "")
            .await
            .expect(200)
            .body["status"],
        "live"
    );
    assert_eq!(
        site.send("GET", "/health/ready", &[], "")
            .await
            .expect(200)
            .body,
        json!({"status": "ready", "reasons": []})
    );
    assert_eq!(
        site.send("GET", "/", &[], "").await.expect(200).body["version"],
        env!("CARGO_PKG_VERSION")
    );
    site.hub.stop(std::time::Duration::ZERO).await;
    let stopping = site.send("GET", "/health/ready", &[], "").await.expect(503);
    assert_eq!(
        stopping.body["reasons"],
        json!(["the hub is starting or stopping"])
    );
    site.stop().await;
}
