//! Pushes of the second dialect, samples, login, and pages of another origin.

use awc::Client;
use serde_json::json;

use crate::support::{Hub, Setup, Sink, hub::OPERATOR};

#[actix_web::test]
async fn pushed_objects_are_merged_and_answered_with_202() {
    let sink = Sink::taking_everything().await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    hub.mapping(
        &store,
        "book.keep",
        &sink.url,
        json!({"messages": ["order:new", "order:updated"]}),
    )
    .await;
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Hub-Store", store.id.as_str()),
        ("X-Hub-Access-Token", store.token.as_str()),
        ("X-Hub-Timestamp", "1400000000"),
    ];
    for (body, told) in [
        (
            r#"{"orders":[{"id":"R1","total":10}],"products":[]}"#,
            json!({"orders": 1, "products": 0}),
        ),
        (
            r#"{"orders":[{"id":"R1","total":10}]}"#,
            json!({"orders": 1}),
        ),
        (
            r#"{"order":{"id":"R1","status":"canceled"}}"#,
            json!({"order": 1}),
        ),
    ] {
        let answer = hub.call("POST", "", "/push", &headers, body).await;
        assert_eq!(
            (answer.status, &answer.body),
            (202, &told),
            "{}",
            answer.text
        );
    }
    hub.quiet(&store).await;
    let all = sink.received();
    let kinds: Vec<&str> = all.iter().map(|one| one.kind()).collect();
    assert_eq!(kinds, ["order:new", "order:updated"]);
    assert_eq!(
        all[1].body["payload"]["order"],
        json!({"id": "R1", "total": 10, "status": "canceled"})
    );
}

#[actix_web::test]
async fn a_wrong_push_is_refused_as_a_whole() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let push = |token: &str, kind: &'static str, body: &'static str| {
        let headers = [
            ("Content-Type", kind.to_owned()),
            ("X-Hub-Store", store.id.clone()),
            ("X-Hub-Access-Token", token.to_owned()),
        ];
        let hub = &hub;
        async move {
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            hub.call("POST", "", "/push", &headers, body).await.status
        }
    };
    assert_eq!(push("wrong", "application/json", "{}").await, 401);
    assert_eq!(push(&store.token, "text/plain", "{}").await, 406);
    assert_eq!(
        push(&store.token, "application/json", "orders=1").await,
        406
    );
    assert_eq!(
        push(
            &store.token,
            "application/json",
            r#"{"orders":[{"number":"R1"}]}"#
        )
        .await,
        422
    );
    assert_eq!(hub.quiet(&store).await["archived"], 0);
}

#[actix_web::test]
async fn samples_are_names_and_whole_messages() {
    let hub = Hub::start().await;
    let names = hub.get("", "/api/samples").await;
    assert!(
        names.body.as_array().unwrap().contains(&json!("order:new")),
        "{}",
        names.text
    );
    let one = hub.get("", "/api/samples/order:new?version=2.0").await;
    assert_eq!(
        (one.status, &one.body["message"]),
        (200, &json!("order:new"))
    );
    let two = hub.get("", "/api/samples/order:new.json?version=2").await;
    assert!(two.body["order"]["id"].is_string(), "{}", two.text);
    assert_eq!(hub.get("", "/api/samples/nothing").await.status, 404);
}

#[actix_web::test]
async fn a_login_opens_the_stores_of_a_token() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    hub.store("other").await;
    let form = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Augury-Token", ""),
    ];
    let login = |token: &str| {
        format!(
            "signup[name]=shop&signup[url]=&user[email]=ada%40example.org&user[password]={token}"
        )
    };
    let answer = hub
        .call("POST", "", "/api/login", &form, login(&store.token))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        (&answer.body["auth_token"], &answer.body["user"]),
        (&json!(store.token), &json!("ada@example.org"))
    );
    assert_eq!(
        answer.body["stores"],
        json!([{"id": store.id, "name": "shop", "api_url": null}])
    );
    let wrong = hub
        .call("POST", "", "/api/login", &form, login("guess"))
        .await;
    assert_eq!(wrong.status, 401);
    let signup = |code: &str| {
        format!(
            "signup[name]=new&signup[url]=http%3A%2F%2Fshop.example.org%2Fapi%2F&signup[version]=2.0&signup[api_key]=k&signup[email]=a%40b.c&signup[password]=p&signup[invite_code]={code}"
        )
    };
    let refused = hub
        .call("POST", "", "/api/signup", &form, signup("guess"))
        .await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.body["errors"][0]
            .as_str()
            .unwrap()
            .contains("invite_code"),
        "{}",
        refused.text
    );
    let made = hub
        .call("POST", "", "/api/signup", &form, signup(OPERATOR))
        .await;
    assert_eq!(
        (made.status, &made.body["store_name"]),
        (201, &json!("new")),
        "{}",
        made.text
    );
    let token = made.body["auth_token"].as_str().unwrap();
    let id = made.body["store_id"].as_str().unwrap();
    assert_eq!(
        hub.get(token, &format!("/api/stores/{id}")).await.status,
        200
    );
}

#[actix_web::test]
async fn a_page_of_an_allowed_origin_may_call_and_no_other() {
    let hub =
        Hub::start_with(Setup::default().with("cors.allow_origins", "https://shop.example.org"))
            .await;
    let store = hub.store("shop").await;
    let url = format!("{}{}", hub.url, store.path("/queues"));
    let header = |response: &awc::ClientResponse<_>, name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    for (origin, allowed) in [
        ("https://shop.example.org", true),
        ("https://evil.example.org", false),
    ] {
        let preflight = Client::default()
            .request(actix_web::http::Method::OPTIONS, &url)
            .insert_header(("Origin", origin))
            .insert_header(("Access-Control-Request-Method", "PUT"))
            .insert_header(("Access-Control-Request-Headers", "X-Augury-Token"))
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), 204);
        let named = allowed.then(|| origin.to_owned());
        assert_eq!(header(&preflight, "access-control-allow-origin"), named);
        assert_eq!(
            header(&preflight, "access-control-allow-headers")
                .is_some_and(|text| text.contains("X-Augury-Token")),
            allowed
        );
        let answer = Client::default()
            .get(&url)
            .insert_header(("Origin", origin))
            .insert_header(("X-Augury-Token", store.token.as_str()))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "access-control-allow-origin"), named);
        assert_eq!(
            header(&answer, "access-control-allow-credentials").as_deref(),
            allowed.then_some("true")
        );
    }
}
