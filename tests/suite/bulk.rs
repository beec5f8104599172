//! Many deliveries at once: counted, retried, archived and sent again by stored jobs.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

use crate::support::{Hub, Reply, Setup, Sink, Store, eventually, order};

/// Deliveries of the big test.
const MANY: usize = 500;

/// A sink that refuses for good until it is mended.
async fn refusing() -> (Sink, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let sink = Sink::start(move |_, _| {
        if is_mended.load(Ordering::SeqCst) {
            Reply::ok()
        } else {
            Reply::json(410, json!({}))
        }
    })
    .await;
    (sink, mended)
}

async fn push_many(hub: &Hub, store: &Store, count: usize) {
    let messages: Vec<Value> = (0..count)
        .map(|number| json!({"message": "order:new", "payload": {"order": order(&format!("R{number}"), "complete")}}))
        .collect();
    let answer = hub
        .post(
            &store.token,
            &store.path("/messages/batch"),
            &json!(messages),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn parked(hub: &Hub, store: &Store, count: usize) {
    eventually("all wait for a person", || async {
        let stats = hub.get(&store.token, &store.path("/queues")).await.body;
        (stats["parked"] == count).then_some(())
    })
    .await;
}

/// The job once `enough` holds of it.
async fn job(hub: &Hub, store: &Store, path: &str, enough: impl Fn(&Value) -> bool) -> Value {
    eventually("the job goes on", || async {
        let answer = hub.get(&store.token, &store.path(path)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        enough(&answer.body).then_some(answer.body)
    })
    .await
}

/// Every row of a queue that matches.
async fn all_rows(hub: &Hub, store: &Store, queue_and_query: &str) -> Vec<Value> {
    let (mut rows, mut next) = (Vec::new(), String::new());
    loop {
        let path = store.path(&format!("/queues/{queue_and_query}{next}"));
        let page = hub.get(&store.token, &path).await.body;
        rows.extend(page["messages"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(key) => next = format!("&after={key}"),
            None => return rows,
        }
    }
}

#[actix_web::test]
async fn a_retry_of_hundreds_goes_on_after_the_hub_was_killed_and_touches_each_once() {
    let setup = Setup::default().with("jobs.undo_secs", 0);
    let mut hub = Hub::start_with(setup).await;
    let store = hub.store("shop").await;
    let (sink, mended) = refusing().await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    push_many(&hub, &store, MANY).await;
    parked(&hub, &store, MANY).await;
    mended.store(true, Ordering::SeqCst);

    let retry = store.path("/queues/accepted/retry");
    let dry = json!({"state": "parked", "dry_run": true});
    let dry = hub.post(&store.token, &retry, &dry).await;
    assert_eq!((dry.status, &dry.body["count"]), (200, &json!(MANY)));
    assert_eq!(dry.body["groups"][0]["consumer"], "a.b");
    let ask = json!({"state": "parked", "rate_per_sec": 100, "upper_id": dry.body["upper_id"]});
    let asked = hub.post(&store.token, &retry, &ask).await;
    assert_eq!((asked.status, &asked.body["count"]), (202, &json!(MANY)));
    let id = asked.body["id"].as_str().unwrap();
    let path = format!("/actions/{id}");

    let begun = job(&hub, &store, &path, |job| {
        job["done"].as_u64().unwrap() >= 60
    })
    .await;
    hub.kill();
    assert_eq!(begun["state"], "running", "killed in the middle: {begun}");
    hub.launch().await;
    let done = job(&hub, &store, &path, |job| job["state"] == "done").await;
    assert_eq!((&done["done"], &done["skipped"]), (&json!(MANY), &json!(0)));

    hub.quiet(&store).await;
    let rows = all_rows(&hub, &store, "archived?message=order:new&state=completed").await;
    assert_eq!(rows.len(), MANY);
    for row in rows {
        let path = store.path(&format!("/messages/{}", row["id"].as_str().unwrap()));
        let detail = hub.get(&store.token, &path).await.body;
        assert_eq!(detail["actions"], json!([{"id": id, "kind": "retry"}]));
        let said: Vec<_> = detail["notifications"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| {
                event["subject"]
                    .as_str()
                    .unwrap()
                    .starts_with("Tried again by")
            })
            .map(|event| event["occurrences"].clone())
            .collect();
        assert_eq!(said, [json!(1)], "{detail}");
    }
    let delivered: HashSet<String> = sink
        .received()
        .iter()
        .map(|one| one.order().into())
        .collect();
    assert_eq!(delivered.len(), MANY);
}

#[actix_web::test]
async fn a_replay_arrives_as_a_new_delivery_that_names_the_old_one() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    let once = json!({"identifiers": {"order_number": "payload.order.number"}});
    hub.mapping(&store, "a.b", &sink.url, once).await;
    push_many(&hub, &store, 3).await;
    sink.wait("all arrive", |all| all.len() == 3).await;
    hub.quiet(&store).await;

    let about = json!({"object": "order/R1", "dry_run": true});
    let replays = store.path("/replays");
    let dry = hub.post(&store.token, &replays, &about).await;
    assert_eq!((dry.status, &dry.body["count"]), (200, &json!(1)));
    let ask = json!({"message": "order:new", "delay_secs": 0});
    let asked = hub.post(&store.token, &replays, &ask).await;
    assert_eq!((asked.status, &asked.body["count"]), (202, &json!(3)));
    let all = sink.wait("all arrive again", |all| all.len() == 6).await;
    hub.quiet(&store).await;
    let (first, second) = all.split_at(3);
    for again in second {
        let old = first.iter().find(|one| one.order() == again.order());
        let old = old.expect("it came before");
        assert_ne!(old.id(), again.id());
        let path = store.path(&format!("/messages/{}", again.id()));
        let detail = hub.get(&store.token, &path).await.body;
        assert_eq!(detail["replay_of"], json!(old.id()));
        assert_eq!(
            detail["actions"],
            json!([{"id": asked.body["id"], "kind": "replay"}])
        );
        assert_eq!(detail["state"], "completed");
    }
    let id = asked.body["id"].as_str().unwrap();
    let path = format!("/replays/{id}");
    job(&hub, &store, &path, |job| job["state"] == "done").await;
    let listed = hub.get(&store.token, &replays).await.body;
    assert_eq!(listed["replays"].as_array().unwrap().len(), 1);
    let actions = hub.get(&store.token, &store.path("/actions")).await.body;
    assert_eq!(actions["actions"], json!([]), "a replay is no action");
}

#[actix_web::test]
async fn a_job_is_undone_before_it_begins_and_stopped_while_it_runs() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let (sink, mended) = refusing().await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    push_many(&hub, &store, 5).await;
    parked(&hub, &store, 5).await;
    mended.store(true, Ordering::SeqCst);
    let archive = store.path("/queues/accepted/archive");

    let asked = hub
        .post(&store.token, &archive, &json!({"state": "parked"}))
        .await;
    assert_eq!(
        (asked.status, &asked.body["state"]),
        (202, &json!("waiting"))
    );
    let path = store.path(&format!("/actions/{}", asked.body["id"].as_str().unwrap()));
    let undone = hub.call("DELETE", &store.token, &path, &[], "").await;
    assert_eq!(
        (undone.status, &undone.body["state"]),
        (200, &json!("stopped"))
    );
    assert_eq!(
        (&undone.body["done"], &undone.body["began_at"]),
        (&json!(0), &Value::Null)
    );
    parked(&hub, &store, 5).await;

    let slowly = json!({"state": "parked", "rate_per_sec": 1, "delay_secs": 0});
    let asked = hub.post(&store.token, &archive, &slowly).await;
    let rest = format!("/actions/{}", asked.body["id"].as_str().unwrap());
    job(&hub, &store, &rest, |job| {
        job["done"].as_u64().unwrap() >= 1
    })
    .await;
    let stopped = hub
        .call("DELETE", &store.token, &store.path(&rest), &[], "")
        .await
        .body;
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    let done = stopped["done"].as_u64().unwrap() as usize;
    assert!(done < 5);
    let stats = hub.get(&store.token, &store.path("/queues")).await.body;
    assert_eq!(stats["parked"], json!(5 - done), "what was done stays done");
    let again = hub
        .call("DELETE", &store.token, &store.path(&rest), &[], "")
        .await
        .body;
    assert_eq!(again, stopped, "a second stop changes nothing");
}

#[actix_web::test]
async fn a_job_needs_a_right_and_a_clear_word() {
    let hub = Hub::start().await;
    let (store, other) = (hub.store("shop").await, hub.store("other").await);
    let reader = json!({"token": {"name": "reader", "scopes": ["read"]}});
    let reader = hub
        .post(&store.token, &store.path("/tokens"), &reader)
        .await
        .body;
    let reader = reader["token"].as_str().unwrap();
    let retry = store.path("/queues/accepted/retry");
    let all = json!({"state": "parked"});
    assert_eq!(hub.post(reader, &retry, &all).await.status, 403);
    assert_eq!(hub.post(&other.token, &retry, &all).await.status, 404);
    let asked = hub.post(&store.token, &retry, &all).await;
    assert_eq!((asked.status, &asked.body["count"]), (202, &json!(0)));
    let path = store.path(&format!("/actions/{}", asked.body["id"].as_str().unwrap()));
    assert_eq!(hub.get(reader, &path).await.status, 200);
    assert_eq!(hub.call("DELETE", reader, &path, &[], "").await.status, 403);
    let replay = path.replace("/actions/", "/replays/");
    assert_eq!(hub.get(&store.token, &replay).await.status, 404);
    for (body, complaint) in [
        (
            json!({}),
            "body: must name ids or at least one filter, such as a state: all there is would be touched",
        ),
        (
            json!({"stat": "parked"}),
            "stat: is unknown, did you mean state?",
        ),
        (json!({"ids": []}), "ids: must name 1 to 10000"),
        (
            json!({"ids": ["x"]}),
            "ids: expected an id of 24 hex digits",
        ),
        (
            json!({"state": "parked", "ids": ["0123456789abcdef01234567"]}),
            "ids: cannot stand beside filters",
        ),
        (
            json!({"state": "parked", "rate_per_sec": 0}),
            "rate_per_sec: must be a whole number from 1 to 10000, found a number",
        ),
        (
            json!({"state": "parked", "upper_id": "7"}),
            "upper_id: is no key that a dry run gave",
        ),
        (
            json!({"object": "R1"}),
            "object: must be a type and a token, such as order/R123",
        ),
    ] {
        let refused = hub.post(&store.token, &retry, &body).await;
        assert_eq!(refused.status, 422, "{body}");
        let errors = refused.body["errors"].as_array().unwrap();
        assert!(errors.contains(&json!(complaint)), "{body}: {errors:?}");
    }
    let whole = hub
        .post(&store.token, &retry, &json!({"dry_run": true}))
        .await;
    assert_eq!((whole.status, &whole.body["count"]), (200, &json!(0)));
}
