//! Who may see and do what, asked without a browser: forms that were forged, roles, stores of others.

use serde_json::json;

use crate::support::{Hub, Reply, Sink, hub::OPERATOR, order};

const PASSWORD: &str = "correct horse battery";

/// A session's cookie, and the token of its forms.
struct Visitor {
    cookie: String,
    form_token: String,
}

/// What stands between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split(from)
        .nth(1)
        .and_then(|rest| rest.split(to).next())
        .unwrap_or_default()
}

fn token_in(page: &str) -> String {
    between(page, "name=\"form_token\" value=\"", "\"").to_owned()
}

async fn raw(
    hub: &Hub,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> (u16, String, String) {
    let client = awc::Client::builder().disable_redirects().finish();
    let mut request = client
        .request(method.parse().unwrap(), format!("{}{path}", hub.url))
        .force_close();
    for (name, value) in headers {
        request = request.insert_header((*name, *value));
    }
    let mut answer = request.send_body(body).await.unwrap();
    let cookie = answer
        .headers()
        .get("set-cookie")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .to_owned();
    let text = answer.body().limit(4 << 20).await.unwrap();
    (
        answer.status().as_u16(),
        cookie,
        String::from_utf8_lossy(&text).into_owned(),
    )
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

async fn enter(hub: &Hub, fields: &[(&str, &str)]) -> Visitor {
    let (_, before, page) = raw(hub, "GET", "/console/sign-in", &[], String::new()).await;
    let token = token_in(&page);
    let mut pairs = vec![("form_token", token.as_str())];
    pairs.extend(fields);
    let body = serde_urlencoded::to_string(pairs).unwrap();
    let headers = [FORM, ("Cookie", before.as_str())];
    let (status, cookie, page) = raw(hub, "POST", "/console/sign-in", &headers, body).await;
    assert_eq!(status, 303, "{page}");
    assert_ne!(cookie, before, "a session begins with a text of its own");
    let (_, _, page) = raw(
        hub,
        "GET",
        "/console/me",
        &[("Cookie", cookie.as_str())],
        String::new(),
    )
    .await;
    Visitor {
        cookie,
        form_token: token_in(&page),
    }
}

impl Visitor {
    async fn first(hub: &Hub) -> Self {
        let fields = [
            ("token", OPERATOR),
            ("name", "ann"),
            ("new_password", PASSWORD),
            ("again", PASSWORD),
        ];
        enter(hub, &fields).await
    }

    async fn get(&self, hub: &Hub, path: &str) -> (u16, String) {
        let headers = [("Cookie", self.cookie.as_str())];
        let (status, _, page) = raw(hub, "GET", path, &headers, String::new()).await;
        (status, page)
    }

    async fn post(&self, hub: &Hub, path: &str, fields: &[(&str, &str)]) -> u16 {
        let mut pairs = vec![("form_token", self.form_token.as_str())];
        pairs.extend(fields);
        let body = serde_urlencoded::to_string(pairs).unwrap();
        let headers = [FORM, ("Cookie", self.cookie.as_str())];
        raw(hub, "POST", path, &headers, body).await.0
    }
}

#[actix_web::test]
async fn a_form_from_elsewhere_changes_nothing() {
    let hub = Hub::start().await;
    let ann = Visitor::first(&hub).await;
    let body = |token: &str| {
        serde_urlencoded::to_string([("form_token", token), ("name", "Evil")]).unwrap()
    };
    let cookie = ("Cookie", ann.cookie.as_str());
    let forged = [
        (vec![FORM, cookie], body("")),
        (vec![FORM, cookie], body(&"0".repeat(64))),
        (
            vec![FORM, cookie, ("Origin", "https://evil.example")],
            body(&ann.form_token),
        ),
        (
            vec![FORM, cookie, ("Sec-Fetch-Site", "cross-site")],
            body(&ann.form_token),
        ),
    ];
    for (headers, body) in forged {
        let (status, _, page) = raw(&hub, "POST", "/console/stores", &headers, body).await;
        assert_eq!(status, 403, "{page}");
    }
    let stores = hub.get(OPERATOR, "/api/stores").await;
    assert_eq!(stores.body, json!([]));
    let own = [FORM, cookie, ("Origin", hub.url.as_str())];
    let (status, _, page) = raw(&hub, "POST", "/console/stores", &own, body(&ann.form_token)).await;
    assert_eq!(status, 200, "{page}");
}

#[actix_web::test]
async fn a_role_sees_and_does_what_is_its_own() {
    let hub = Hub::start().await;
    let ann = Visitor::first(&hub).await;
    let (own, other) = (hub.store("Own").await, hub.store("Other").await);
    let (_, page) = ann.get(&hub, "/console/people").await;
    let label = page
        .split("<label")
        .find(|part| part.contains("name=\"stores\"") && part.contains(">Own<"))
        .unwrap();
    let key = between(label, "value=\"", "\"").to_owned();
    let person = |name, role| {
        [
            ("action", "create"),
            ("name", name),
            ("new_password", PASSWORD),
            ("again", PASSWORD),
            ("role", role),
        ]
    };
    let mut admin = person("bob", "store_admin").to_vec();
    admin.push(("stores", key.as_str()));
    assert_eq!(ann.post(&hub, "/console/people", &admin).await, 303);
    assert_eq!(
        ann.post(&hub, "/console/people", &person("eve", "viewer"))
            .await,
        303
    );
    let bob = enter(&hub, &[("name", "bob"), ("password", PASSWORD)]).await;
    let eve = enter(&hub, &[("name", "eve"), ("password", PASSWORD)]).await;

    let store_page = |id: &str| format!("/console/stores/{id}");
    let parameters = |id: &str| format!("/console/parameters?store={id}");
    let save = [
        ("action", "save"),
        ("name", "a.b"),
        ("data_type", "string"),
        ("value", "x"),
    ];
    assert_eq!(bob.get(&hub, &store_page(&own.id)).await.0, 200);
    assert_eq!(
        bob.get(&hub, &store_page(&other.id)).await.0,
        404,
        "a foreign store is not there"
    );
    assert_eq!(bob.post(&hub, &parameters(&own.id), &save).await, 303);
    assert_eq!(bob.post(&hub, &parameters(&other.id), &save).await, 404);
    assert_eq!(bob.get(&hub, "/console/people").await.0, 403);
    assert_eq!(
        bob.post(&hub, "/console/stores", &[("name", "Third")])
            .await,
        403
    );

    assert_eq!(eve.get(&hub, &store_page(&other.id)).await.0, 200);
    assert_eq!(eve.post(&hub, &parameters(&other.id), &save).await, 403);
    assert_eq!(
        eve.post(
            &hub,
            &format!("/console/test?store={}", own.id),
            &[("message", "a:b"), ("payload", "{}")]
        )
        .await,
        403
    );

    let (_, log) = ann.get(&hub, "/console/audit").await;
    assert!(
        log.contains("parameter a.b") && log.contains("bob"),
        "{log}"
    );
    assert!(!log.contains("argon2id"), "no hash in the log");
    let (_, log) = bob.get(&hub, "/console/audit").await;
    assert!(
        !log.contains("account eve"),
        "only what concerns their store"
    );
}

#[actix_web::test]
async fn a_changed_password_ends_all_other_sessions() {
    let hub = Hub::start().await;
    let ann = Visitor::first(&hub).await;
    let elsewhere = enter(&hub, &[("name", "ann"), ("password", PASSWORD)]).await;
    let change = [
        ("password", PASSWORD),
        ("new_password", "another good one"),
        ("again", "another good one"),
    ];
    assert_eq!(ann.post(&hub, "/console/me", &change).await, 303);
    assert_eq!(ann.get(&hub, "/console").await.0, 200);
    assert_eq!(elsewhere.get(&hub, "/console").await.0, 303, "to the door");
}

#[actix_web::test]
async fn guessing_is_slowed_down() {
    let hub = Hub::start().await;
    Visitor::first(&hub).await;
    let (_, cookie, page) = raw(&hub, "GET", "/console/sign-in", &[], String::new()).await;
    let token = token_in(&page);
    let guess = serde_urlencoded::to_string([
        ("form_token", token.as_str()),
        ("name", "ann"),
        ("password", "guess"),
    ])
    .unwrap();
    let headers = [FORM, ("Cookie", cookie.as_str())];
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(
            raw(&hub, "POST", "/console/sign-in", &headers, guess.clone())
                .await
                .0,
        );
    }
    assert_eq!(answers[..5], [401; 5]);
    assert!(answers.contains(&429), "{answers:?}");
}

#[actix_web::test]
async fn every_page_has_a_policy_without_anything_inline() {
    let hub = Hub::start().await;
    let store = hub.store("Own").await;
    let ann = Visitor::first(&hub).await;
    let client = awc::Client::builder().disable_redirects().finish();
    for path in crate::looks::pages(&store.id) {
        let request = client
            .get(format!("{}{path}", hub.url))
            .insert_header(("Cookie", ann.cookie.as_str()))
            .force_close();
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        let page = answer.body().limit(4 << 20).await.unwrap();
        let page = String::from_utf8_lossy(&page);
        assert!(
            !page.contains(" style=") && !page.contains(" onclick="),
            "{path}"
        );
        assert!(page.len() < 60 * 1024, "{path} has {} bytes", page.len());
    }
}

#[actix_web::test]
async fn words_are_found_however_many_events_came_since() {
    let hub = Hub::start().await;
    let store = hub.store("Own").await;
    // One event with the word, then more than two thousand others.
    let sink = Sink::start(|request, _| {
        let order = request.order().to_owned();
        let subject = |at: usize| match order.as_str() {
            "R0" => format!("a needle {at}"),
            _ => format!("hay {order} {at}"),
        };
        let said: Vec<_> = (0..if order == "R0" { 1 } else { 100 })
            .map(|at| json!({"level": "info", "subject": subject(at)}))
            .collect();
        Reply::json(200, json!({"notifications": said}))
    })
    .await;
    hub.mapping(&store, "books.record", &sink.url, json!({}))
        .await;
    let push = async |number: usize| {
        let order = order(&format!("R{number}"), "complete");
        hub.push(&store, "order:new", json!({"order": order})).await;
    };
    push(0).await;
    hub.quiet(&store).await;
    for number in 1..=25 {
        push(number).await;
    }
    hub.quiet(&store).await;
    let ann = Visitor::first(&hub).await;
    let mut path = format!("/console/events?store={}&q=needle", store.id);
    // On a slow machine one page may end before it: then it says how far it came, and leads on.
    let page = loop {
        let (status, page) = ann.get(&hub, &path).await;
        assert_eq!(status, 200, "{page}");
        if page.contains("a needle 0") {
            break page;
        }
        assert!(page.contains("Search further"), "{page}");
        path = between(&page, "rel=\"next\" href=\"", "\"").replace("&amp;", "&");
    };
    assert!(!page.contains("hay R"));
    let (_, page) = ann
        .get(&hub, &format!("/console/events?store={}&q=hay", store.id))
        .await;
    assert_eq!(page.matches("<tr id=\"v").count(), 50, "a page of them");
    let older = between(&page, "rel=\"next\" href=\"", "\"").replace("&amp;", "&");
    let (_, second) = ann.get(&hub, &older).await;
    assert_eq!(second.matches("<tr id=\"v").count(), 50);
    let last = |page: &str| between(page, "<tr id=\"v", "\"").to_owned();
    assert_ne!(last(&page), last(&second));
    let (_, none) = ann
        .get(&hub, &format!("/console/events?store={}&q=straw", store.id))
        .await;
    assert!(none.contains("Nothing matches among"), "{none}");
}

#[actix_web::test]
async fn an_operator_erases_an_object_after_a_page_that_says_what_goes_and_nobody_else_does() {
    let hub = Hub::start().await;
    let ann = Visitor::first(&hub).await;
    let store = hub.store("Own").await;
    let payload = json!({"order": {"number": "ZEBRA-1", "email": "ada@example.org"}});
    hub.push(&store, "order:new", payload).await;
    hub.quiet(&store).await;
    let viewer = [
        ("action", "create"),
        ("name", "eve"),
        ("new_password", PASSWORD),
        ("again", PASSWORD),
        ("role", "viewer"),
    ];
    assert_eq!(ann.post(&hub, "/console/people", &viewer).await, 303);
    let eve = enter(&hub, &[("name", "eve"), ("password", PASSWORD)]).await;

    let object = format!("/objects/order/ZEBRA-1?store={}", store.id);
    let erase = format!("/objects/order/ZEBRA-1/erase?store={}", store.id);
    assert!(
        ann.get(&hub, &object)
            .await
            .1
            .contains("Erase it on request")
    );
    assert!(
        !eve.get(&hub, &object)
            .await
            .1
            .contains("Erase it on request")
    );
    assert_eq!(eve.get(&hub, &erase).await.0, 403);
    let fields = [("action", "erase"), ("store", store.id.as_str())];
    assert_eq!(eve.post(&hub, &erase, &fields).await, 403);
    let (status, page) = ann.get(&hub, &erase).await;
    assert_eq!(status, 200);
    assert!(page.contains("cannot be undone"), "{page}");
    assert_eq!(ann.post(&hub, &erase, &fields).await, 303);
    crate::support::eventually("it is erased", || async {
        let path = store.path("/erasures");
        let erasures = hub.get(&store.token, &path).await.body;
        (erasures["erasures"][0]["state"] == "done").then_some(())
    })
    .await;
    let (_, log) = ann.get(&hub, "/console/audit").await;
    assert!(
        log.contains("object with the digest") && !log.contains("ZEBRA-1"),
        "{log}"
    );
}

#[actix_web::test]
async fn pages_of_applications_and_shops_ask_for_the_same_roles() {
    let hub = Hub::start().await;
    let ann = Visitor::first(&hub).await;
    let (own, other) = (hub.store("Own").await, hub.store("Other").await);
    let (_, page) = ann.get(&hub, "/console/people").await;
    let label = page
        .split("<label")
        .find(|part| part.contains("name=\"stores\"") && part.contains(">Own<"))
        .unwrap();
    let key = between(label, "value=\"", "\"").to_owned();
    for (name, role) in [("bob", "store_admin"), ("eve", "viewer")] {
        let person = [
            ("action", "create"),
            ("name", name),
            ("new_password", PASSWORD),
            ("again", PASSWORD),
            ("role", role),
            ("stores", key.as_str()),
        ];
        assert_eq!(ann.post(&hub, "/console/people", &person).await, 303);
    }
    let bob = enter(&hub, &[("name", "bob"), ("password", PASSWORD)]).await;
    let eve = enter(&hub, &[("name", "eve"), ("password", PASSWORD)]).await;

    let application = [("url", "http://127.0.0.1:9/app"), ("name", "acme")];
    let scheduler = [
        ("key", "acme:poll"),
        ("how", "interval"),
        ("count", "1"),
        ("interval", "days"),
    ];
    let rule = [
        ("name", "large"),
        ("messages", "order:new"),
        ("message", "order:large"),
        ("payload", "number = payload.order.number"),
    ];
    let forms: [(&str, &[(&str, &str)]); 3] = [
        ("integrations", &application),
        ("schedulers", &scheduler),
        ("rules", &rule),
    ];
    for (kind, form) in forms {
        let new = |store: &str| format!("/console/{kind}/new?store={store}");
        assert_eq!(eve.get(&hub, &new(&own.id)).await.0, 403, "{kind}");
        assert_eq!(eve.post(&hub, &new(&own.id), form).await, 403, "{kind}");
        assert_eq!(bob.post(&hub, &new(&other.id), form).await, 404, "{kind}");
        assert_eq!(bob.post(&hub, &new(&own.id), form).await, 303, "{kind}");
        // Whoever may look sees it, and no form that changes it.
        let list = format!("/console/{kind}?store={}", own.id);
        let (_, page) = eve.get(&hub, &list).await;
        let one = page
            .split("href=\"")
            .filter_map(|part| part.split('"').next())
            .find(|href| href.starts_with(&format!("/console/{kind}/")))
            .unwrap()
            .to_owned();
        let (status, page) = eve.get(&hub, &one).await;
        assert_eq!(status, 200, "{kind}");
        assert!(!page.contains("value=\"delete\""), "{kind}");
        let delete = [("action", "delete"), ("confirm", "acme")];
        assert_eq!(eve.post(&hub, &one, &delete).await, 403, "{kind}");
        let elsewhere = one.replace(&own.id, &other.id);
        assert_eq!(ann.get(&hub, &elsewhere).await.0, 404, "{kind}");
    }
    // What is offered to every store is seen in each, and only operators change it.
    let offered = json!({"integration": {"name": "books", "url": "http://127.0.0.1:9/books", "category": "accounting"}});
    let made = hub.post(OPERATOR, "/api/integrations", &offered).await;
    let id = made.body["id"].as_str().unwrap().to_owned();
    let (_, list) = bob
        .get(&hub, &format!("/console/integrations?store={}", own.id))
        .await;
    assert!(list.contains("offered to every store"), "{list}");
    let one = format!("/console/integrations/{id}?store={}", own.id);
    let (_, page) = bob.get(&hub, &one).await;
    assert!(!page.contains("value=\"save\""), "{page}");
    let save = [
        ("action", "save"),
        ("url", "http://127.0.0.1:9/else"),
        ("category", "mine"),
    ];
    assert_eq!(bob.post(&hub, &one, &save).await, 403);
    assert_eq!(ann.post(&hub, &one, &save).await, 303);
    let store = format!("/console/stores/{}", own.id);
    let secrets = [
        ("action", "save"),
        ("name", "Own"),
        ("api_url", "http://127.0.0.1:9/api/"),
        ("api_key", "the-key-of-the-shop"),
        ("source", "none"),
        ("webhook_secret", "the-secret-of-its-hooks"),
    ];
    assert_eq!(eve.post(&hub, &store, &secrets).await, 403);
    assert_eq!(eve.post(&hub, &store, &[("action", "poll")]).await, 403);
    assert_eq!(bob.post(&hub, &store, &secrets).await, 303);
    assert_eq!(
        bob.post(&hub, &store, &[("action", "delete"), ("confirm", "Own")])
            .await,
        403,
        "stores are the operator's"
    );
    assert_eq!(bob.get(&hub, "/console/stores/new").await.0, 403);
    for path in ["/console/audit", store.as_str()] {
        let (_, page) = ann.get(&hub, path).await;
        assert!(
            !page.contains("the-key-of-the-shop") && !page.contains("the-secret-of-its-hooks"),
            "{path}"
        );
    }
    let (_, log) = ann.get(&hub, "/console/audit").await;
    for deed in ["integration acme", "scheduler acme:poll", "rule large"] {
        assert!(log.contains(deed), "{deed}: {log}");
    }
}
