//! Standard Webhooks: an endpoint that verifies what it gets.

use integrator::wire::standard_webhooks::{Signed, SigningSecret, verify};
use serde_json::json;

use crate::support::{Hub, Sink, order};

#[actix_web::test]
async fn a_signed_request_is_verified_with_either_secret_of_a_rotation() {
    let sink = Sink::taking_everything().await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let (old, new) = (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "a raw text as key",
    );
    let id = hub
        .mapping(
            &store,
            "acme.signed",
            &sink.url,
            json!({"options": {"signing_secret": old}}),
        )
        .await;
    let path = store.path(&format!("/mappings/{id}"));
    let shown = hub.get(&store.token, &path).await;
    assert_eq!(
        shown.body["options"]["signing_secret"], "***",
        "{}",
        shown.text
    );
    let rotated = hub
        .put(
            &store.token,
            &path,
            &json!({"mapping": {"options": {"signing_secret": [new, "***"]}}}),
        )
        .await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    assert_eq!(
        rotated.body["options"]["signing_secret"],
        json!(["***", "***"])
    );
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let all = sink.wait("it arrives", |all| all.len() == 1).await;
    let one = &all[0];
    let header = |name| one.header(name).unwrap();
    let timestamp = header("webhook-timestamp");
    assert_eq!(header("webhook-id"), one.id());
    for secret in [old, new] {
        let signed = Signed {
            id: header("webhook-id"),
            timestamp,
            signature: header("webhook-signature"),
        };
        let secret = SigningSecret::read(secret).unwrap();
        verify(
            &[secret],
            signed,
            one.bytes.as_bytes(),
            timestamp.parse().unwrap(),
        )
        .unwrap();
    }
}

#[actix_web::test]
async fn an_integrations_secret_signs_for_mappings_that_have_none() {
    let sink = Sink::taking_everything().await;
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let (shared, own) = ("the integration's secret", "the mapping's secret");
    let body = json!({"integration": {"name": "acme", "url": sink.url, "category": "custom", "signing_secret": shared}});
    let made = hub
        .post(&store.token, &store.path("/integrations"), &body)
        .await;
    assert_eq!(
        (made.status, &made.body["signing_secret"]),
        (201, &json!("***")),
        "{}",
        made.text
    );
    let id = &made.body["id"];
    for (name, options) in [
        ("acme.plain", json!({})),
        ("acme.own", json!({"signing_secret": own})),
    ] {
        let more = json!({"integration_id": id, "options": options});
        hub.mapping(&store, name, &format!("{}/{name}", sink.url), more)
            .await;
    }
    let path = store.path(&format!("/integrations/{}", id.as_str().unwrap()));
    let rotated = hub
        .put(
            &store.token,
            &path,
            &json!({"integration": {"signing_secret": ["the next secret", "***"]}}),
        )
        .await;
    assert_eq!(rotated.body["signing_secret"], json!(["***", "***"]));
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    let wanted = |one: &crate::support::Received| one.path.starts_with("/acme.");
    let all = sink
        .wait("both arrive", |all| {
            all.iter().filter(|one| wanted(one)).count() == 2
        })
        .await;
    for one in all.iter().filter(|one| wanted(one)) {
        let header = |name| one.header(name).unwrap();
        let timestamp = header("webhook-timestamp");
        let signs = |secret: &str| {
            let signed = Signed {
                id: header("webhook-id"),
                timestamp,
                signature: header("webhook-signature"),
            };
            let secret = SigningSecret::read(secret).unwrap();
            let at = timestamp.parse().unwrap();
            verify(&[secret], signed, one.bytes.as_bytes(), at).is_ok()
        };
        let by = [shared, "the next secret", own].map(signs);
        let expected = match one.path.as_str() {
            "/acme.plain" => [true, true, false],
            _ => [false, false, true],
        };
        assert_eq!(by, expected, "{}", one.path);
    }
    let shown = hub.get(&store.token, &path).await;
    assert!(!shown.text.contains("next"), "{}", shown.text);
}
