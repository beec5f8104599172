//! Bounds of time and size.

use std::io::Write;

use super::*;

fn gzipped(status: &str, text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).expect("a Vec takes all");
    let body = encoder.finish().expect("a Vec takes all");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

#[actix_web::test]
async fn the_deadline_covers_silence_a_dripping_head_and_a_dripping_body() {
    for (beginning, phase) in [
        ("", Phase::Waiting),
        ("HTTP/1.1 200 OK\r\nA: ", Phase::Waiting),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
            Phase::Reading,
        ),
    ] {
        let server = Server::start(move |mut stream, _| async move {
            request(&mut stream).await;
            let _ = stream.write_all(beginning.as_bytes()).await;
            let mut tick = tokio::time::interval(SHORT / 20);
            while !beginning.is_empty() && stream.write_all(b"x").await.is_ok() {
                tick.tick().await;
            }
            // Holds the connection open until the client leaves.
            let _ = stream.read_u8().await;
        })
        .await;
        let target = target(&server.url());
        let began = Instant::now();
        let failure = client()
            .post(Request {
                timeout: SHORT,
                ..plain(&target)
            })
            .await
            .expect_err("too late");
        assert_eq!(
            failure,
            Failure::TimedOut {
                after: SHORT,
                phase
            },
            "{beginning:?}"
        );
        assert!(failure.maybe_carried_out());
        assert!(began.elapsed() >= SHORT && began.elapsed() < SHORT * 10);
    }
}

#[actix_web::test]
async fn a_successful_answer_that_is_too_large_is_a_failure() {
    let large = "x".repeat(5000);
    for answer in [
        // Refused by its length alone: the body never comes.
        "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{large}"),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{large}\r\n0\r\n\r\n"
        ),
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{large}"),
    ] {
        let server = Server::saying(answer).await;
        let target = target(&server.url());
        let failure = client()
            .post(Request {
                max_body_bytes: 1000,
                ..plain(&target)
            })
            .await
            .expect_err("too large");
        assert_eq!(
            failure,
            Failure::AnswerTooLarge {
                limit: 1000,
                status: 200
            }
        );
    }
}

#[actix_web::test]
async fn an_error_page_that_is_too_large_keeps_its_status_and_its_beginning() {
    let page = "x".repeat(5000);
    let server = Server::saying(format!(
        "HTTP/1.1 500 Oops\r\nContent-Length: 5000\r\n\r\n{page}"
    ))
    .await;
    let target = target(&server.url());
    let answer = client()
        .post(Request {
            max_body_bytes: 1000,
            ..plain(&target)
        })
        .await
        .expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (500, 1000));
    assert_eq!(answer.body_state, BodyState::CutAtLimit);
}

#[actix_web::test]
async fn a_body_of_exactly_the_limit_is_whole() {
    let server = Server::saying(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}",
        "x".repeat(1000)
    ))
    .await;
    let target = target(&server.url());
    let answer = client()
        .post(Request {
            max_body_bytes: 1000,
            ..plain(&target)
        })
        .await
        .expect("an answer");
    assert_eq!(
        (answer.body.len(), answer.body_state),
        (1000, BodyState::Whole)
    );
}

#[actix_web::test]
async fn a_compressed_body_is_inflated_and_a_bomb_is_not() {
    let server = Server::saying(gzipped("200 OK", b"{\"a\":1}")).await;
    let answer = post_to(&server).await.expect("an answer");
    assert_eq!(
        (body(&answer), answer.body_state),
        ("{\"a\":1}", BodyState::Whole)
    );

    let bomb = vec![0; 64 << 20];
    let server = Server::saying(gzipped("200 OK", &bomb)).await;
    let failure = post_to(&server).await.expect_err("a bomb");
    assert_eq!(
        failure,
        Failure::AnswerTooLarge {
            limit: 1 << 20,
            status: 200
        }
    );
    let server = Server::saying(gzipped("500 Oops", &bomb)).await;
    let answer = post_to(&server).await.expect("an answer");
    assert_eq!(
        (answer.body.len(), answer.body_state),
        (1 << 20, BodyState::CutAtLimit)
    );
}

#[actix_web::test]
async fn a_coding_nobody_asked_for_is_marked_and_a_broken_one_is_malformed() {
    let server =
        Server::saying("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}")
            .await;
    let answer = post_to(&server).await.expect("an answer");
    assert_eq!(answer.body_state, BodyState::StillEncoded);
    let server =
        Server::saying("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")
            .await;
    let failure = post_to(&server).await.expect_err("no gzip");
    let reason = Malformed::Compression;
    assert_eq!(failure, Failure::MalformedAnswer { reason });
}
