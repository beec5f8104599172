//! What was answered survives anything.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use crate::support::{Hub, Reply, Sink, eventually, order};

#[actix_web::test]
async fn whatever_was_answered_is_delivered_though_the_hub_is_killed_again_and_again_under_load() {
    killed_under_load(12).await;
}

/// Takes a quarter of an hour: `cargo test --test suite -- --ignored hundreds_of_times`.
#[actix_web::test]
#[ignore = "takes long"]
async fn whatever_was_answered_is_delivered_though_the_hub_is_killed_hundreds_of_times() {
    killed_under_load(300).await;
}

async fn killed_under_load(kills: usize) {
    let mut hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::start(|_, before| {
        if before % 7 == 3 {
            Reply::json(500, json!({}))
        } else {
            Reply::ok()
        }
    })
    .await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    let mut answered: HashSet<String> = HashSet::new();
    let mut number = 0;
    for round in 0..kills {
        // Pushers run until the hub dies under them, at another moment each round.
        let accepted: Arc<Mutex<Vec<String>>> = Arc::default();
        let pushers = (0..4).map(|pusher| {
            let (hub, store, accepted) = (&hub, &store, Arc::clone(&accepted));
            let first = number + pusher * 100_000;
            async move {
                for step in 0.. {
                    let name = format!("R{}", first + step);
                    let body = json!({"message": "order:new", "payload": {"order": order(&name, "complete")}}).to_string();
                    let headers = [("Content-Type", "application/json")];
                    match hub.try_call("POST", &store.token, &store.path("/messages"), &headers, body).await {
                        Ok(answer) if answer.status == 201 => accepted.lock().unwrap().push(name),
                        Ok(answer) => panic!("{} {}", answer.status, answer.text),
                        Err(_) => return,
                    }
                }
            }
        });
        let load = futures_util::future::join_all(pushers);
        let wanted = 5 + round % 60 * 9;
        let killer = eventually("enough is accepted", || async {
            (accepted.lock().unwrap().len() >= wanted).then_some(())
        });
        // Whoever is first: the load never ends by itself, so this is the killer. The load's requests in flight are cut off.
        tokio::select! { _ = load => unreachable!("the hub is alive"), () = killer => {} }
        hub.kill();
        answered.extend(accepted.lock().unwrap().drain(..));
        number += 1_000_000;
        hub.launch().await;
    }
    let missing = |sink: &Sink| {
        let delivered: HashSet<String> = sink
            .received()
            .iter()
            .map(|one| one.order().to_owned())
            .collect();
        answered.difference(&delivered).cloned().collect::<Vec<_>>()
    };
    eventually("everything answered is delivered", || {
        let none = missing(&sink).is_empty();
        async move { none.then_some(()) }
    })
    .await;
    hub.quiet(&store).await;
    assert!(answered.len() >= kills * 5);
}

#[actix_web::test]
async fn a_repeat_after_a_crash_has_the_same_message_id() {
    let mut hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::start(|_, before| {
        if before == 0 {
            Reply::Never
        } else {
            Reply::ok()
        }
    })
    .await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    hub.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    sink.wait("the first attempt is in flight", |all| all.len() == 1)
        .await;
    hub.kill();
    hub.launch().await;
    let all = sink.wait("it is sent again", |all| all.len() == 2).await;
    assert_eq!(all[0].id(), all[1].id());
    assert_eq!(all[0].bytes, all[1].bytes);
}

#[actix_web::test]
async fn asked_to_stop_it_finishes_what_is_in_flight_and_exits_with_0() {
    let mut hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    for number in 0..50 {
        hub.push(
            &store,
            "order:new",
            json!({"order": order(&format!("R{number}"), "complete")}),
        )
        .await;
    }
    assert_eq!(hub.terminate().await, Some(0));
    hub.launch().await;
    sink.wait("the rest is delivered by the next run", |all| {
        all.iter()
            .map(|one| one.order())
            .collect::<HashSet<_>>()
            .len()
            == 50
    })
    .await;
    hub.quiet(&store).await;
    let repeated = sink.received().len() - 50;
    assert_eq!(
        repeated, 0,
        "what was in flight was settled before the exit"
    );
}

#[actix_web::test]
async fn a_second_hub_on_the_same_database_is_refused_with_the_reason() {
    let hub = Hub::start().await;
    let database = format!("sqlite://{}", hub.folder().join("hub.db").display());
    let output = tokio::task::spawn_blocking(move || {
        std::process::Command::new(env!("CARGO_BIN_EXE_integrator"))
            .args(["serve", "--listen", "127.0.0.1:0", "--database", &database])
            .output()
            .unwrap()
    });
    let output = tokio::time::timeout(Duration::from_secs(60), output)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another"), "{said}");
}
