//! Several nodes on one PostgreSQL: what was answered survives any of them, and the database's restart.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Instant,
};

use serde_json::json;

use crate::{
    cluster::Cluster,
    support::{Hub, OPERATOR, Setup, Sink, Store, eventually, order},
};

/// Nodes.
const NODES: usize = 3;

/// Mappings, each with an endpoint of its own.
const MAPPINGS: [&str; 3] = ["a.one", "b.two", "c.three"];

/// Times a node is killed.
const KILLS: usize = 5;

/// Pushes about orders, twice about each and the second time only after the first was answered, until it is dropped.
async fn push_for_ever(
    node: &Hub,
    store: &Store,
    name: &str,
    answered: &Mutex<Vec<(String, u64)>>,
) {
    for step in 0.. {
        for turn in [1, 2] {
            let number = format!("{name}-{step}");
            let mut order = order(&number, "complete");
            order["turn"] = json!(turn);
            let body = json!({"message": "order:updated", "payload": {"order": order}}).to_string();
            let headers = [("Content-Type", "application/json")];
            let answer = node
                .try_call(
                    "POST",
                    &store.token,
                    &store.path("/messages"),
                    &headers,
                    body,
                )
                .await;
            match answer {
                Ok(answer) if answer.status == 201 => answered.lock().unwrap().push((number, turn)),
                // Away, restarting: not answered, so the second about it must not come either.
                Ok(answer) if answer.status == 503 => break,
                Ok(answer) => panic!("{} {}", answer.status, answer.text),
                Err(_) => return,
            }
        }
    }
}

#[actix_web::test]
async fn nodes_lose_nothing_though_they_are_killed_again_and_again_and_the_database_restarts() {
    let server = Arc::new(Cluster::start(""));
    let database = server.database();
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        let setup = Setup::default()
            .on(&database)
            .with("database.connections", 4);
        nodes.push(Hub::start_with(setup).await);
    }
    let store = nodes[0].store("shop").await;
    let sink = Sink::taking_everything().await;
    for name in MAPPINGS {
        let url = format!("{}/{name}", sink.url.trim_end_matches('/'));
        nodes[0]
            .mapping(&store, name, &url, json!({"messages": ["order:updated"]}))
            .await;
    }
    let answered: Mutex<Vec<(String, u64)>> = Mutex::default();
    let mut longest = std::time::Duration::ZERO;
    for round in 0..KILLS {
        let victim = round % NODES;
        let (pid, mut killed_at) = (nodes[victim].pid(), Instant::now());
        let load = nodes.iter().enumerate().map(|(at, node)| {
            let (store, answered) = (&store, &answered);
            async move { push_for_ever(node, store, &format!("R{round}-{at}"), answered).await }
        });
        let enough = |more: usize| {
            let (wanted, answered) = (answered.lock().unwrap().len() + more, &answered);
            eventually("enough is accepted", move || {
                let done = answered.lock().unwrap().len() >= wanted;
                async move { done.then_some(()) }
            })
        };
        // The load goes on while one is killed, and with it, once, the database.
        let trouble = async {
            enough(40).await;
            kill_at_once(pid);
            killed_at = Instant::now();
            if round == KILLS / 2 {
                let server = Arc::clone(&server);
                tokio::task::spawn_blocking(move || server.restart())
                    .await
                    .unwrap();
            }
            enough(40).await;
        };
        tokio::select! {
            _ = futures_util::future::join_all(load) => panic!("every node refused"),
            () = trouble => {}
        }
        nodes[victim].kill();
        everything_delivered(&sink, &answered).await;
        longest = longest.max(killed_at.elapsed());
        nodes[victim].launch().await;
    }
    println!("everything answered was delivered at most {longest:?} after a node was killed");
    let mut first: HashMap<(String, String, u64), usize> = HashMap::new();
    for (at, one) in sink.received().iter().enumerate() {
        let turn = one.body["payload"]["order"]["turn"].as_u64().unwrap();
        first
            .entry((one.path.clone(), one.order().to_owned(), turn))
            .or_insert(at);
    }
    for ((path, number, turn), at) in &first {
        if *turn == 2 {
            let before = first[&(path.clone(), number.clone(), 1)];
            assert!(before < *at, "{number} came out of order at {path}");
        }
    }
    let repeats = sink.received().len() - first.len();
    // What a killed node had in flight or unsettled, three endpoints of 16 at once, twice for good measure.
    assert!(repeats <= (KILLS + 1) * 3 * 32, "{repeats} repeats");
}

fn kill_at_once(pid: u32) {
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
}

/// Waits until every endpoint got everything that was answered.
async fn everything_delivered(sink: &Sink, answered: &Mutex<Vec<(String, u64)>>) {
    eventually("everything answered is delivered", || {
        let delivered: HashSet<(String, String, u64)> = sink
            .received()
            .iter()
            .map(|one| {
                let turn = one.body["payload"]["order"]["turn"].as_u64().unwrap();
                (one.path.clone(), one.order().to_owned(), turn)
            })
            .collect();
        let everywhere = |(order, turn): &(String, u64)| {
            MAPPINGS.iter().all(|name| {
                let one = (format!("/{name}"), order.clone(), *turn);
                delivered.contains(&one)
            })
        };
        let all = answered.lock().unwrap().iter().all(everywhere);
        async move { all.then_some(()) }
    })
    .await;
}

#[actix_web::test]
async fn what_one_node_was_told_holds_on_the_other_at_once() {
    let server = Cluster::start("");
    let database = server.database();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(Hub::start_with(Setup::default().on(&database)).await);
    }
    // Often, for a node that only waits for a hint is right now and then.
    for turn in 0..15 {
        let (one, other) = (&nodes[turn % 2], &nodes[(turn + 1) % 2]);
        let store = one.store(&format!("shop {turn}")).await;
        let new = json!({"message": "order:new", "payload": {"order": order("R1", "complete")}});
        let pushed = other
            .post(&store.token, &store.path("/messages"), &new)
            .await;
        assert_eq!(pushed.status, 201, "{}", pushed.text);
        let to = json!({"messages": ["order:new"], "enabled": false});
        let id = other
            .mapping(&store, "a.b", "http://127.0.0.1:9/a", to)
            .await;
        let path = store.path(&format!("/mappings/{id}"));
        assert_eq!(one.get(&store.token, &path).await.status, 200);
        let second = one.store(&format!("second {turn}")).await;
        let pushed = other.post(OPERATOR, &second.path("/messages"), &new).await;
        assert_eq!(
            pushed.status, 201,
            "a token known of old, a new store: {}",
            pushed.text
        );
        let pushed = other
            .post(&store.token, &second.path("/messages"), &new)
            .await;
        assert_eq!(pushed.status, 404, "{}", pushed.text);
        let deleted = one
            .call("DELETE", &store.token, &path, &[], String::new())
            .await;
        assert_eq!(deleted.status, 200, "{}", deleted.text);
        assert_eq!(other.get(&store.token, &path).await.status, 404);
        let asked = other.get("nobody's token", &store.path("/queues")).await;
        assert_eq!(asked.status, 401);
    }
}

#[actix_web::test]
async fn every_node_routes_its_share_and_orders_stay_in_order() {
    const ORDERS: usize = 60;
    let server = Cluster::start("");
    let database = server.database();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(Hub::start_with(Setup::default().on(&database)).await);
    }
    let store = nodes[0].store("shop").await;
    let sink = Sink::taking_everything().await;
    let to = json!({"messages": ["order:updated"]});
    nodes[0].mapping(&store, "a.b", &sink.url, to).await;
    let shares = "SELECT count(*) FROM (SELECT node FROM owner WHERE kind = 0 AND node IS NOT NULL
        GROUP BY node HAVING count(*) BETWEEN 16 AND 48) AS share";
    eventually("both nodes own routing shards", || async {
        (server.sql(&database, shares) == "2").then_some(())
    })
    .await;
    for turn in 0..4 {
        let message = |number: usize| {
            let mut order = order(&format!("R{number}"), "complete");
            order["turn"] = json!(turn);
            json!({"message": "order:updated", "payload": {"order": order}})
        };
        let batch = json!((0..ORDERS).map(message).collect::<Vec<_>>());
        let pushed = nodes[turn % 2]
            .post(&store.token, &store.path("/messages/batch"), &batch)
            .await;
        assert_eq!(pushed.status, 200, "{}", pushed.text);
    }
    sink.wait("everything is delivered", |all| all.len() == 4 * ORDERS)
        .await;
    let mut turns: HashMap<String, Vec<u64>> = HashMap::new();
    for one in sink.received() {
        let turn = one.body["payload"]["order"]["turn"].as_u64().unwrap();
        turns.entry(one.order().to_owned()).or_default().push(turn);
    }
    assert!(turns.values().all(|turns| turns[..] == [0, 1, 2, 3]));
    let told = nodes[1].get(OPERATOR, "/api/nodes").await;
    let told = told.body.as_array().unwrap().clone();
    assert!(told.len() == 2 && told.iter().all(|node| node["lives"] == true));
    assert_eq!(
        told.iter().filter(|node| node["this_one"] == true).count(),
        1
    );
    let owned = |what: &str| -> u64 {
        let all = told.iter().map(|node| node["owns"][what].as_u64().unwrap());
        all.sum()
    };
    assert_eq!((owned("routing_shards"), owned("dispatchers")), (64, 1));
    assert_eq!(nodes[0].get(&store.token, "/api/nodes").await.status, 403);
    let mut routed = Vec::new();
    for node in &nodes {
        let figures = node.get("", "/metrics").await.text;
        let line = figures
            .lines()
            .find_map(|line| line.strip_prefix("integrator_messages_routed_total "));
        routed.push(line.unwrap().parse::<usize>().unwrap());
    }
    assert!(routed.iter().all(|routed| *routed > 0), "{routed:?}");
    assert_eq!(routed.iter().sum::<usize>(), 4 * ORDERS);
}

#[actix_web::test]
async fn a_node_that_comes_under_load_takes_its_share_and_nothing_stands_still() {
    const ORDERS: usize = 10;
    const ENDPOINTS: usize = 16;
    let server = Cluster::start("");
    let database = server.database();
    let one = Hub::start_with(Setup::default().on(&database)).await;
    let store = one.store("shop").await;
    let sink = Sink::taking_everything().await;
    for number in 0..ENDPOINTS {
        let url = format!("{}/{number}", sink.url.trim_end_matches('/'));
        let to = json!({"messages": ["order:updated"]});
        one.mapping(&store, &format!("a.n{number}"), &url, to).await;
    }
    let turns = Mutex::new(0);
    let push = || async {
        let turn = *turns.lock().unwrap();
        let message = |number: usize| {
            let mut order = order(&format!("R{number}"), "complete");
            order["turn"] = json!(turn);
            json!({"message": "order:updated", "payload": {"order": order}})
        };
        let batch = json!((0..ORDERS).map(message).collect::<Vec<_>>());
        let path = store.path("/messages/batch");
        let pushed = one.post(&store.token, &path, &batch).await;
        assert_eq!(pushed.status, 200, "{}", pushed.text);
        *turns.lock().unwrap() += 1;
    };
    let load = async {
        loop {
            push().await;
            let pushed = *turns.lock().unwrap() * ORDERS * ENDPOINTS;
            sink.wait("nothing stands still", |all| all.len() + 1000 >= pushed)
                .await;
        }
    };
    let come = async {
        let other = Hub::start_with(Setup::default().on(&database)).await;
        eventually("both nodes post", || async {
            let told = other.get(OPERATOR, "/api/nodes").await.body;
            let mut nodes = told.as_array().unwrap().iter();
            let posts = nodes.all(|node| node["owns"]["dispatchers"].as_u64() > Some(0));
            (posts && told[1].is_object()).then_some(())
        })
        .await;
        other
    };
    let _other = tokio::select! {
        () = load => unreachable!("it never ends"),
        other = come => other,
    };
    push().await;
    let turns = *turns.lock().unwrap();
    let mut first: HashMap<(String, String), Vec<u64>> = HashMap::new();
    sink.wait("everything is delivered", |all| {
        let told = |one: &crate::support::Received| {
            let turn = one.body["payload"]["order"]["turn"].as_u64().unwrap();
            (one.path.clone(), one.order().to_owned(), turn)
        };
        all.iter().map(told).collect::<HashSet<_>>().len() >= turns * ORDERS * ENDPOINTS
    })
    .await;
    for one in sink.received() {
        let turn = one.body["payload"]["order"]["turn"].as_u64().unwrap();
        let seen = first
            .entry((one.path.clone(), one.order().to_owned()))
            .or_default();
        if !seen.contains(&turn) {
            seen.push(turn);
        }
    }
    assert!(first.values().all(|seen| seen.is_sorted()), "in order");
}

#[actix_web::test]
async fn a_node_that_is_told_to_stop_hands_over_at_once() {
    let server = Cluster::start("");
    let database = server.database();
    let mut one = Hub::start_with(Setup::default().on(&database)).await;
    let other = Hub::start_with(Setup::default().on(&database)).await;
    let store = one.store("shop").await;
    let sink = Sink::taking_everything().await;
    one.mapping(&store, "a.b", &sink.url, json!({})).await;
    one.push(
        &store,
        "order:new",
        json!({"order": order("R1", "complete")}),
    )
    .await;
    sink.wait("it is delivered by whoever owns the endpoint", |all| {
        all.len() == 1
    })
    .await;
    assert_eq!(one.terminate().await, Some(0));
    other
        .push(
            &store,
            "order:new",
            json!({"order": order("R2", "complete")}),
        )
        .await;
    sink.wait("the other node has taken over", |all| {
        all.iter().any(|one| one.order() == "R2")
    })
    .await;
    assert_eq!(server.sql(&database, "SELECT count(*) FROM node"), "1");
}

#[actix_web::test]
async fn a_hub_moves_to_postgresql_with_everything() {
    let server = Cluster::start("");
    let database = server.database();
    let mut embedded = Hub::start().await;
    let store = embedded.store("shop").await;
    let sink = Sink::taking_everything().await;
    let to = json!({"messages": ["order:new"]});
    embedded.mapping(&store, "a.b", &sink.url, to).await;
    let new = |number| json!({"order": order(number, "complete")});
    embedded.push(&store, "order:new", new("R1")).await;
    sink.wait("it is delivered", |all| all.len() == 1).await;
    assert_eq!(embedded.terminate().await, Some(0));
    let file = format!("sqlite://{}", embedded.folder().join("hub.db").display());
    let copied = std::process::Command::new(env!("CARGO_BIN_EXE_integrator"))
        .args(["copy", "--from", &file])
        .env("INTEGRATOR_COPY_TO", &database)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&copied.stdout).into_owned();
    assert!(
        copied.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&copied.stderr)
    );
    assert!(said.contains("every row read back"), "{said}");
    let moved = Hub::start_with(Setup::default().on(&database)).await;
    let timeline = moved
        .get(&store.token, &store.path("/objects/order/R1"))
        .await;
    assert_eq!(timeline.status, 200);
    assert!(timeline.text.contains("order:new"), "{}", timeline.text);
    moved.push(&store, "order:new", new("R2")).await;
    sink.wait("the mapping came along", |all| all.len() == 2)
        .await;
}
