//! More than can be delivered, and being told to stop in the middle of it.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;

use crate::support::{Hub, Reply, Setup, Sink, Store, eventually, order};

/// Pushes orders from several hands until the hub answers no more or `enough` were taken; the numbers that were answered with 201.
async fn push_from_all_hands(
    hub: &Hub,
    store: &Store,
    accepted: &Mutex<Vec<String>>,
    enough: usize,
) {
    let hands = (0..8).map(|hand| async move {
        for step in 0.. {
            if accepted.lock().unwrap().len() >= enough {
                return;
            }
            let number = format!("R{hand}-{step}");
            let body =
                json!({"message": "order:new", "payload": {"order": order(&number, "complete")}});
            let headers = [("Content-Type", "application/json")];
            let path = store.path("/messages");
            let answer = hub
                .try_call("POST", &store.token, &path, &headers, body.to_string())
                .await;
            match answer {
                Ok(answer) if answer.status == 201 => accepted.lock().unwrap().push(number),
                Ok(answer) => {
                    assert_eq!(answer.status, 503, "{}", answer.text);
                    assert!(answer.retry_after.is_some());
                }
                Err(_) => return,
            }
        }
    });
    futures_util::future::join_all(hands).await;
}

#[actix_web::test]
async fn a_burst_of_ten_times_what_can_be_delivered_is_taken_and_delivered_in_time() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let (slow, quick) = (
        Sink::taking_everything().await,
        Sink::taking_everything().await,
    );
    let rate = json!({"options": {"rate_per_sec": 40}});
    hub.mapping(&store, "slow.one", &slow.url, rate).await;
    hub.mapping(&store, "quick.one", &quick.url, json!({}))
        .await;
    let accepted = Mutex::default();
    push_from_all_hands(&hub, &store, &accepted, 400).await;
    let accepted: HashSet<String> = accepted.into_inner().unwrap().into_iter().collect();
    assert!(accepted.len() >= 400);
    quick
        .wait("the quick one has all", |all| all.len() == accepted.len())
        .await;
    assert_eq!(hub.get("", "/health/ready").await.status, 200);
    let all = slow
        .wait("the slow one has all", |all| all.len() >= accepted.len())
        .await;
    let delivered: HashSet<String> = all.iter().map(|one| one.order().to_owned()).collect();
    assert_eq!(delivered, accepted);
    assert_eq!(all.len(), accepted.len(), "nothing twice");
    hub.quiet(&store).await;
}

#[actix_web::test]
async fn told_to_stop_under_full_load_it_exits_with_0_and_nothing_is_lost_or_repeated() {
    let mut hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    let accepted: Mutex<Vec<String>> = Mutex::default();
    {
        let load = push_from_all_hands(&hub, &store, &accepted, usize::MAX);
        let stop = async {
            eventually("the load is on", || async {
                (accepted.lock().unwrap().len() > 100).then_some(())
            })
            .await;
            hub.ask_to_stop();
        };
        // The hands end by themselves, when nobody answers any more.
        futures_util::join!(load, stop);
    }
    assert_eq!(hub.exit_code().await, Some(0));
    hub.launch().await;
    let accepted: HashSet<String> = accepted.into_inner().unwrap().into_iter().collect();
    sink.wait("everything answered is delivered", |all| {
        let delivered: HashSet<&str> = all.iter().map(|one| one.order()).collect();
        accepted
            .iter()
            .all(|number| delivered.contains(number.as_str()))
    })
    .await;
    hub.quiet(&store).await;
    let received = sink.received();
    let delivered: HashSet<&str> = received.iter().map(|one| one.order()).collect();
    assert_eq!(
        received.len(),
        delivered.len(),
        "what was in flight was settled before the exit"
    );
}

#[actix_web::test]
async fn no_delivery_begins_once_it_was_told_to_stop() {
    let setup = Setup::default()
        .with("server.shutdown_secs", 3)
        .with("dispatch.concurrency", 1);
    let mut hub = Hub::start_with(setup).await;
    let store = hub.store("shop").await;
    let released = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&released);
    let sink = Sink::start(move |_, _| {
        if gate.load(Ordering::SeqCst) {
            Reply::ok()
        } else {
            Reply::Once(Arc::clone(&gate))
        }
    })
    .await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    for number in 0..20 {
        let payload = json!({"order": order(&format!("R{number}"), "complete")});
        hub.push(&store, "order:new", payload).await;
    }
    sink.wait("the first one is in flight", |all| all.len() == 1)
        .await;
    // A request that is still being sent keeps the web server up for a while after the signal.
    let address = hub.url.trim_start_matches("http://").to_owned();
    let mut half = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: hub\r\nX-Augury-Token: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        store.path("/messages"),
        store.token
    );
    std::io::Write::write_all(&mut half, head.as_bytes()).unwrap();
    hub.ask_to_stop();
    eventually("it has heard", || async {
        hub.printed().contains("stopping").then_some(())
    })
    .await;
    released.store(true, Ordering::SeqCst);
    assert_eq!(hub.exit_code().await, Some(0));
    assert_eq!(
        sink.received().len(),
        1,
        "the one in flight was finished, none begun"
    );
    drop(half);
    hub.launch().await;
    sink.wait("the rest follows", |all| all.len() == 20).await;
    hub.quiet(&store).await;
    assert_eq!(sink.received().len(), 20);
}
