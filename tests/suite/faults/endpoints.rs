//! Endpoints that answer nothing, too slowly, too much, or what is no HTTP.

use std::{io::Write, time::Duration};

use serde_json::json;

use crate::support::{Hub, RawSink, Setup, Sink, Store, eventually, order, raw::Line};

/// A hub with a short timeout, a store, and one endpoint of each kind; the endpoint's delivery is not retried.
async fn hub_with(sinks: &[(&str, &RawSink)]) -> (Hub, Store) {
    let setup = Setup::default()
        .with("dispatch.timeout_secs", 2)
        .with("dispatch.max_answer_bytes", 1_048_576);
    let hub = Hub::start_with(setup).await;
    let store = hub.store("shop").await;
    for (name, sink) in sinks {
        let options = json!({"options": {"retries_allowed": false}});
        hub.mapping(&store, &format!("bad.{name}"), &sink.url, options)
            .await;
    }
    (hub, store)
}

/// Pushes an order and waits until it is parked at so many endpoints; `last_error` by mapping.
async fn parked(hub: &Hub, store: &Store, most: usize) -> Vec<(String, String)> {
    let payload = json!({"order": order("R1", "complete")});
    hub.push(store, "order:new", payload).await;
    let rows = hub
        .rows(store, "accepted?state=parked", "they are parked", |rows| {
            rows.len() == most
        })
        .await;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| (text(&row["consumer"]), text(&row["last_error"])))
        .collect()
}

fn error_of<'a>(rows: &'a [(String, String)], name: &str) -> &'a str {
    let row = rows
        .iter()
        .find(|(consumer, _)| consumer == &format!("bad.{name}"));
    &row.unwrap().1
}

#[actix_web::test]
async fn an_endpoint_that_is_silent_or_drips_is_given_up_at_the_timeout_and_harms_nobody() {
    let silent = RawSink::start(|mut line| line.wait());
    let drips = RawSink::start(|mut line| {
        line.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{");
        while line.write(b" ") {
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    let head_drips = RawSink::start(|mut line| {
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: yes, very slow indeed\r\n"
            .iter()
            .cycle()
        {
            if !line.write(&[*byte]) {
                return;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    let (hub, store) = hub_with(&[
        ("silent", &silent),
        ("drips", &drips),
        ("head_drips", &head_drips),
    ])
    .await;
    let good = Sink::taking_everything().await;
    hub.mapping(&store, "good.one", &good.url, json!({})).await;
    let rows = parked(&hub, &store, 3).await;
    for name in ["silent", "drips", "head_drips"] {
        assert!(error_of(&rows, name).contains("timed out"), "{rows:?}");
    }
    good.wait("the good one has it", |all| all.len() == 1).await;
}

#[actix_web::test]
async fn an_answer_that_breaks_off_or_is_no_http_is_a_failure_with_its_reason() {
    let half = RawSink::start(|mut line| {
        line.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":");
    });
    let half_head = RawSink::start(|mut line| {
        line.write(b"HTTP/1.1 200 OK\r\nContent-Le");
    });
    let garbage = RawSink::start(|mut line| {
        line.write(b"SSH-2.0-OpenSSH_9.6\r\n\x00\xff\x00 what?\r\n\r\n");
        line.wait();
    });
    let bad_chunks = RawSink::start(|mut line| {
        line.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n{}\r\n0\r\n\r\n");
        line.wait();
    });
    let sinks = [
        ("half", &half),
        ("half_head", &half_head),
        ("garbage", &garbage),
        ("bad_chunks", &bad_chunks),
    ];
    let (hub, store) = hub_with(&sinks).await;
    let rows = parked(&hub, &store, sinks.len()).await;
    for (name, words) in [
        ("half", "broke"),
        ("half_head", "broke"),
        ("garbage", "malformed"),
        ("bad_chunks", "malformed"),
    ] {
        assert!(error_of(&rows, name).contains(words), "{name}: {rows:?}");
    }
}

#[actix_web::test]
async fn interim_answers_are_passed_over() {
    let interim = RawSink::start(|mut line| {
        line.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        line.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        line.wait();
    });
    let (hub, store) = hub_with(&[("interim", &interim)]).await;
    let payload = json!({"order": order("R1", "complete")});
    hub.push(&store, "order:new", payload).await;
    hub.rows(
        &store,
        "archived?state=completed",
        "it is completed",
        |rows| rows.len() == 1,
    )
    .await;
}

/// Sends chunks until the other side has enough; it must not take 10 GB.
fn endless(mut line: Line) {
    line.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut chunk = b"100000\r\n".to_vec();
    chunk.extend(vec![b'x'; 0x10_0000]);
    chunk.extend(b"\r\n");
    for _ in 0..10_000 {
        if !line.write(&chunk) {
            return;
        }
    }
}

#[actix_web::test]
async fn ten_gigabytes_are_cut_at_the_limit_whether_sent_or_inflated() {
    let long = RawSink::start(endless);
    // 256 MB of zeros in 256 KB.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..256 {
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 2 << 20);
    let zipped = RawSink::start(move |mut line| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            bomb.len()
        );
        line.write(head.as_bytes());
        line.write(&bomb);
        line.wait();
    });
    let declared = RawSink::start(|mut line| {
        line.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n{");
        line.wait();
    });
    let sinks = [
        ("long", &long),
        ("zipped", &zipped),
        ("declared", &declared),
    ];
    let (hub, store) = hub_with(&sinks).await;
    let rows = parked(&hub, &store, sinks.len()).await;
    for (name, _) in sinks {
        assert!(
            error_of(&rows, name).contains("larger than"),
            "{name}: {rows:?}"
        );
    }
    eventually("the hub has closed the connection", || async {
        (long.served() == 1).then_some(())
    })
    .await;
    // The limit, and what the sockets between may hold.
    assert!(
        long.written() < 64 << 20,
        "{} bytes were taken",
        long.written()
    );
}
