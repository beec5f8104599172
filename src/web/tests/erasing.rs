//! Erasing on request.

use serde_json::{Value, json};

use super::{OPERATOR, Site};

async fn pushed(site: &Site, (store, token): &(String, String), number: &str, email: &str) {
    let order =
        json!({"message": "order:new", "payload": {"order": {"number": number, "email": email}}});
    site.call(token, "POST", &format!("{store}/messages"), order)
        .await
        .expect(201);
}

async fn done(site: &Site, (store, token): &(String, String)) -> Value {
    let path = format!("{store}/erasures");
    let all_done = |list: &Value| {
        list["erasures"]
            .as_array()
            .is_some_and(|all| all.iter().all(|one| one["state"] == "done"))
    };
    site.until(token, &path, "the erasures are done", all_done)
        .await["erasures"]
        .clone()
}

#[actix_web::test]
async fn an_object_is_erased_and_the_record_says_so_without_naming_it() {
    let site = Site::start().await;
    let store = site.store("shop").await;
    pushed(&site, &store, "R1", "ada@example.org").await;
    pushed(&site, &store, "R2", "ada@example.org").await;
    let (path, token) = &store;
    let asked = site
        .call(
            token,
            "DELETE",
            &format!("{path}/objects/order/R1"),
            Value::Null,
        )
        .await
        .expect(202);
    assert_eq!(asked.body["what"], "object");
    let erasures = done(&site, &store).await;
    assert_eq!(erasures[0]["id"], asked.body["id"]);
    assert_eq!(erasures[0]["erased"]["messages"], 1);
    assert!(!erasures.to_string().contains("R1"));
    let timeline = |number: &str| format!("{path}/objects/order/{number}");
    let gone = site.get(token, &timeline("R1")).await.expect(200);
    assert_eq!(gone.body["timeline"], json!([]));
    let other = site.get(token, &timeline("R2")).await.expect(200);
    assert_ne!(other.body["timeline"], json!([]));
    site.stop().await;
}

#[actix_web::test]
async fn a_customer_is_erased_by_address() {
    let site = Site::start().await;
    let store = site.store("shop").await;
    pushed(&site, &store, "R1", "Ada@example.org").await;
    pushed(&site, &store, "R2", "ada@example.org").await;
    pushed(&site, &store, "R3", "joada@example.org").await;
    let (path, token) = &store;
    let body = json!({"email": "ada@example.org"});
    site.call(token, "POST", &format!("{path}/erasures"), body)
        .await
        .expect(202);
    let erasures = done(&site, &store).await;
    let first = &erasures[0];
    assert_eq!(
        (&first["what"], &first["erased"]["messages"]),
        (&json!("customer"), &json!(2))
    );
    assert!(!erasures.to_string().contains("example.org"));
    let rest = site.get(token, &format!("{path}/objects/order/R3")).await;
    assert_ne!(rest.body["timeline"], json!([]));
    site.stop().await;
}

#[actix_web::test]
async fn only_an_admin_may_erase_and_nonsense_is_refused() {
    let site = Site::start().await;
    let store = site.store("shop").await;
    let push = site.token(&store, "push").await;
    let (path, token) = &store;
    let object = format!("{path}/objects/order/R1");
    site.call(&push, "DELETE", &object, Value::Null)
        .await
        .expect(403);
    site.call(
        &push,
        "POST",
        &format!("{path}/erasures"),
        json!({"email": "a@b"}),
    )
    .await
    .expect(403);
    site.get(&push, &format!("{path}/erasures"))
        .await
        .expect(403);
    let wrong = [
        json!({"email": "ada"}),
        json!({}),
        json!({"email": "a@b", "all": true}),
    ];
    for body in wrong {
        let answer = site
            .call(token, "POST", &format!("{path}/erasures"), body)
            .await
            .expect(422);
        assert!(!answer.errors().is_empty());
    }
    site.call(OPERATOR, "DELETE", &object, Value::Null)
        .await
        .expect(202);
    site.stop().await;
}
