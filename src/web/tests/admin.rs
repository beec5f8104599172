//! Stores, mappings, parameters and endpoints.

use serde_json::{Value, json};

use super::{OPERATOR, Site};

#[actix_web::test]
async fn a_store_lives_its_whole_life() {
    let site = Site::start().await;
    let body = json!({"store": {"name": "shop", "api_url": "http://shop.example/api/", "api_key": "k-secret", "version": "2.0"}});
    let made = site
        .call(OPERATOR, "POST", "/api/stores", body)
        .await
        .expect(201);
    let (path, token) = (
        format!("/api/stores/{}", made.text_of("id")),
        made.text_of("token"),
    );
    assert_eq!(
        (&made.body["source"], &made.body["api_key"]),
        (&json!("auto"), &json!("***"))
    );
    let shown = site.get(&token, &path).await.expect(200);
    assert!(shown.body.get("token").is_none(), "{}", shown.text);
    let mut sent_back = shown.body.clone();
    sent_back["name"] = json!("renamed");
    let changed = site
        .call(&token, "PUT", &path, json!({"store": sent_back}))
        .await
        .expect(200);
    assert_eq!(
        (&changed.body["name"], &changed.body["api_url"]),
        (&json!("renamed"), &json!("http://shop.example/api/"))
    );
    assert!(
        ![&made, &shown, &changed]
            .iter()
            .any(|answer| answer.text.contains("k-secret"))
    );
    site.call(&token, "DELETE", &path, Value::Null)
        .await
        .expect(403);
    site.call(OPERATOR, "DELETE", &path, Value::Null)
        .await
        .expect(200);
    site.get(&token, &path).await.expect(401);
    site.get(OPERATOR, &path).await.expect(404);
    site.stop().await;
}

#[actix_web::test]
async fn a_mapping_is_made_shown_changed_and_deleted() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let parameter = json!({"name": "acme.key", "data_type": "string", "value": "k-secret"});
    let parameter = site
        .call(&token, "POST", &format!("{store}/parameters"), parameter)
        .await
        .expect(201);
    assert_eq!(
        (&parameter.body["value"], &parameter.body["secret"]),
        (&json!("***"), &json!(true))
    );
    let body = json!({"mapping": {
        "name": "acme.send_order", "url": "https://ep.example.org/send_order", "enabled": true,
        "identifiers": "{\"order_number\": \"payload.order.number\"}", "filters": [], "messages": ["order:new"],
        "parameters": [parameter.body["id"]], "token": "0123456789abcdef0123456789abcdef",
    }});
    let made = site
        .call(&token, "POST", &format!("{store}/mappings"), body.clone())
        .await
        .expect(201);
    assert_eq!(
        made.body["identifiers"],
        json!({"order_number": "payload.order.number"})
    );
    assert_eq!(
        (&made.body["parameters"][0], &made.body["token"]),
        (&parameter.body["id"], &json!("***"))
    );
    assert_eq!(made.body["options"]["retries_allowed"], true);

    let again = site
        .call(&token, "POST", &format!("{store}/mappings"), body)
        .await
        .expect(422);
    assert_eq!(again.errors(), "name: is already taken");

    let path = format!("{store}/mappings/{}", made.text_of("id"));
    let mut sent_back = made.body.clone();
    sent_back["enabled"] = json!(false);
    let changed = site
        .call(&token, "PUT", &path, json!({"mapping": sent_back}))
        .await
        .expect(200);
    assert_eq!(
        (&changed.body["enabled"], &changed.body["token"]),
        (&json!(false), &json!("***"))
    );
    let kept = site
        .hub
        .registry()
        .stores
        .values()
        .flat_map(|store| store.mappings.values())
        .next()
        .map(|entry| entry.value.token.clone());
    assert_eq!(kept.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    assert_eq!(
        site.get(&token, &format!("{store}/mappings"))
            .await
            .expect(200)
            .body,
        json!([changed.body])
    );

    site.call(&token, "DELETE", &path, Value::Null)
        .await
        .expect(200);
    site.get(&token, &path).await.expect(404);
    site.stop().await;
}

#[actix_web::test]
async fn a_required_mapping_stays() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let body = json!({"mapping": {"name": "a.b", "url": "http://x.example/", "messages": ["a:b"], "required": true}});
    let made = site
        .call(&token, "POST", &format!("{store}/mappings"), body)
        .await
        .expect(201);
    let path = format!("{store}/mappings/{}", made.text_of("id"));
    let refused = site
        .call(&token, "DELETE", &path, Value::Null)
        .await
        .expect(422);
    assert_eq!(
        refused.errors(),
        "mapping: is required and cannot be deleted"
    );
    site.call(&token, "PUT", &path, json!({"mapping": {"enabled": false}}))
        .await
        .expect(422);
    site.call(
        OPERATOR,
        "PUT",
        &path,
        json!({"mapping": {"required": false}}),
    )
    .await
    .expect(200);
    site.call(&token, "DELETE", &path, Value::Null)
        .await
        .expect(200);
    site.stop().await;
}

#[actix_web::test]
async fn wrong_bodies_of_admins_get_the_sentence_that_helps() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let mappings = format!("{store}/mappings");
    let headers = [
        ("X-Augury-Token", token.as_str()),
        ("Content-Type", "application/json"),
    ];
    for (body, status, said) in [
        ("{\"mapping\":", 400, "body: EOF"),
        ("", 400, "body: is empty"),
        (
            "{\"name\":\"a\"}",
            422,
            "mapping: is missing, the body must be {\"mapping\": {...}}",
        ),
        (
            r#"{"mapping":{"name":"a.b","url":"http://u:p@x/","messages":["a:b"],"enabeld":1}}"#,
            422,
            "url: must not hold a user or a password, enabeld: is unknown, did you mean enabled?",
        ),
    ] {
        let answer = site
            .send("POST", &mappings, &headers, body)
            .await
            .expect(status);
        assert!(answer.errors().starts_with(said), "{body}: {}", answer.text);
    }
    let form = [
        ("X-Augury-Token", token.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    site.send("POST", &mappings, &form, "mapping[name]=x")
        .await
        .expect(415);
    site.stop().await;
}

#[actix_web::test]
async fn a_parameter_keeps_its_value_behind_the_mask() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let path = format!("{store}/parameters");
    let list = json!({"name": "acme.map", "data_type": "list", "value": "[{\"UPS\":\"GND\"}]", "secret": false});
    let list = site.call(&token, "POST", &path, list).await.expect(201);
    assert_eq!(
        (&list.body["value"], &list.body["data_type"]),
        (&json!([{"UPS": "GND"}]), &json!("list"))
    );
    let secret = site
        .call(
            &token,
            "POST",
            &path,
            json!({"name": "acme.key", "value": "k"}),
        )
        .await
        .expect(201);
    let own = format!("{path}/{}", secret.text_of("id"));
    let changed = site
        .call(&token, "PUT", &own, secret.body)
        .await
        .expect(200);
    assert_eq!(changed.body["value"], "***");
    let kept = site
        .hub
        .registry()
        .stores
        .values()
        .flat_map(|store| store.parameters.values())
        .last()
        .map(|entry| entry.value.value.clone());
    assert_eq!(kept, Some(json!("k")));
    let taken = site
        .call(
            &token,
            "POST",
            &path,
            json!({"name": "acme.map", "value": "x"}),
        )
        .await
        .expect(422);
    assert_eq!(taken.errors(), "name: is already taken");
    site.call(&token, "DELETE", &own, Value::Null)
        .await
        .expect(200);
    assert_eq!(
        site.get(&token, &path).await.expect(200).body,
        json!([list.body])
    );
    site.stop().await;
}

#[actix_web::test]
async fn an_endpoint_is_paused_and_resumed() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let body = json!({"mapping": {"name": "a.b", "url": "http://x.example/", "messages": ["a:b"]}});
    let id = site
        .call(&token, "POST", &format!("{store}/mappings"), body)
        .await
        .expect(201)
        .text_of("id");
    let paused = async || {
        site.get(&token, &format!("{store}/endpoints"))
            .await
            .expect(200)
            .body[0]["paused"]
            .clone()
    };
    assert_eq!(paused().await, json!(false));
    for (verb, expected) in [("pause", true), ("pause", true), ("resume", false)] {
        let answer = site
            .call(
                &token,
                "POST",
                &format!("{store}/endpoints/{id}/{verb}"),
                Value::Null,
            )
            .await
            .expect(200);
        assert_eq!(answer.body, json!({"id": id, "paused": expected}));
        assert_eq!(paused().await, json!(expected));
    }
    let row = &site.get(&token, &format!("{store}/endpoints")).await.body[0];
    assert_eq!(
        (&row["id"], &row["name"], &row["in_flight"]),
        (&json!(id), &json!("a.b"), &json!(0))
    );
    site.call(
        &token,
        "POST",
        &format!("{store}/endpoints/54d1c0aa84a81618ab000001/pause"),
        Value::Null,
    )
    .await
    .expect(404);
    site.stop().await;
}

#[actix_web::test]
async fn changes_over_the_api_stand_in_the_audit_log_with_their_token_and_without_secrets() {
    let site = Site::start().await;
    let shop = site.store("shop").await;
    let (store, token) = &shop;
    let scheduler = json!({"scheduler": {"count": 1, "interval": "days", "key": "hub:poll"}});
    site.call(token, "POST", &format!("{store}/schedulers"), scheduler)
        .await
        .expect(201);
    let parameter = json!({"name": "acme.key", "value": "hunter22"});
    let made = site
        .call(token, "POST", &format!("{store}/parameters"), parameter)
        .await
        .expect(201);
    let path = format!("{store}/parameters/{}", made.text_of("id"));
    site.call(token, "PUT", &path, json!({"value": "hunter23"}))
        .await
        .expect(200);
    site.call(OPERATOR, "DELETE", &path, Value::Null)
        .await
        .expect(200);
    let refused = json!({"name": "two words", "value": 1});
    site.call(token, "POST", &format!("{store}/parameters"), refused)
        .await
        .expect(422);
    let query = crate::db::AuditQuery {
        stores: Some(site.hub.registry().stores.keys().copied().collect()),
        after: None,
        limit: 50,
    };
    let rows = site.hub.backend().audit_list(query).await.expect("rows");
    let told: Vec<String> = rows
        .iter()
        .map(|row| {
            let crate::db::NewAudit {
                who,
                action,
                subject,
                ..
            } = &row.change;
            format!("{who} {action} {subject}")
        })
        .collect();
    assert_eq!(
        told[..4],
        [
            "operator deleted parameter acme.key",
            "token first token changed parameter acme.key",
            "token first token created parameter acme.key",
            "token first token created scheduler hub:poll",
        ]
    );
    assert!(!format!("{rows:?}").contains("hunter2"));
    site.stop().await;
}

#[actix_web::test]
async fn what_a_service_wants_on_a_schedule_goes_with_its_mapping() {
    let site = Site::start().await;
    let (store, token) = site.store("shop").await;
    let services = json!([
        {"name": "send", "path": "/send", "recommends": {"messages": ["order:new"]}},
        {"name": "stock", "path": "/stock", "recommends": {"messages": ["stock:poll"], "schedule": {"count": 1, "interval": "days"}}}]);
    let integration = json!({"integration": {"name": "acme", "url": "http://app.example", "category": "custom", "services": services}});
    let made = site
        .call(
            &token,
            "POST",
            &format!("{store}/integrations"),
            integration,
        )
        .await
        .expect(201);
    let path = format!("{store}/integrations/{}", made.text_of("id"));
    let signup = json!({"enabled": ["send"]});
    site.call(&token, "POST", &format!("{path}/signup"), signup)
        .await
        .expect(201);
    let enabled = async || {
        let all = site.get(&token, &format!("{store}/schedulers")).await;
        let all = all.expect(200).body;
        let all = all.as_array().expect("an array").iter();
        all.map(|one| one["enabled"] == true).collect::<Vec<_>>()
    };
    assert_eq!(enabled().await, Vec::<bool>::new());
    for (action, after) in [
        ("enable_mappings", [true]),
        ("disable_mappings", [false]),
        ("enable_mappings", [true]),
    ] {
        site.call(&token, "POST", &format!("{path}/{action}"), Value::Null)
            .await
            .expect(200);
        assert_eq!(enabled().await, after, "{action}");
    }
    site.call(&token, "DELETE", &path, Value::Null)
        .await
        .expect(200);
    assert_eq!(enabled().await, Vec::<bool>::new());
    site.stop().await;
}
