//! Heads and bodies as endpoints really send them.

use super::*;

#[actix_web::test]
async fn interim_answers_are_skipped_and_the_connection_stays_in_step() {
    let mut answer =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec();
    answer.extend_from_slice(OK);
    let server = Server::saying(answer).await;
    let client = client();
    for _ in 0..3 {
        let answer = post(&client, &server.url()).await.expect("an answer");
        assert_eq!((answer.status, body(&answer)), (200, "{}"));
    }
    assert_eq!(server.connections.get(), 1);
}

#[actix_web::test]
async fn an_answer_may_come_in_pieces_of_a_byte() {
    let server = Server::start(|mut stream, _| async move {
        stream.set_nodelay(true).expect("set");
        while request(&mut stream).await.is_some() {
            for byte in [b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n", OK].concat() {
                stream.write_all(&[byte]).await.expect("written");
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let answer = post(&client, &server.url()).await.expect("an answer");
        assert_eq!((answer.status, body(&answer)), (200, "{}"));
    }
    assert_eq!(server.connections.get(), 1);
}

#[actix_web::test]
async fn interim_answers_without_end_and_other_protocols_are_malformed() {
    for (answer, reason) in [
        (
            "HTTP/1.1 102 Processing\r\n\r\n".repeat(40),
            Malformed::TooManyInterim,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
            Malformed::SwitchesProtocol,
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), Malformed::StatusLine),
        ("mumble".to_owned(), Malformed::StatusLine),
        (
            "HTTP/1.1 200 OK\r\n: empty\r\n\r\n".to_owned(),
            Malformed::Header,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ".to_owned(),
            Malformed::Header,
        ),
        (
            format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000)),
            Malformed::HeadTooLarge,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
            Malformed::Chunks,
        ),
    ] {
        let server = Server::saying(answer.clone()).await;
        let failure = post_to(&server).await.expect_err(&answer);
        assert_eq!(failure, Failure::MalformedAnswer { reason }, "{answer:.60}");
        assert!(failure.maybe_carried_out());
    }
}

#[actix_web::test]
async fn an_answer_cut_off_anywhere_is_no_answer() {
    for (answer, phase) in [
        ("", Phase::Waiting),
        ("HTTP/1.1 20", Phase::Waiting),
        ("HTTP/1.1 103 Hints\r\n\r\n", Phase::Waiting),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            Phase::Reading,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
            Phase::Reading,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            Phase::Reading,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
            Phase::Reading,
        ),
    ] {
        let server = Server::saying_once(answer).await;
        let failure = post_to(&server).await.expect_err(answer);
        assert_eq!(failure, Failure::CutOff { phase }, "{answer:?}");
        assert!(failure.maybe_carried_out());
        assert_eq!(
            server.connections.get(),
            1,
            "a fresh connection is no stale one"
        );
    }
}

#[actix_web::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    for version in ["1.0", "1.1"] {
        let server = Server::saying_once(format!(
            "HTTP/{version} 200 OK\r\nConnection: close\r\n\r\n{{\"a\":1}}"
        ))
        .await;
        let answer = post_to(&server).await.expect("an answer");
        assert_eq!(body(&answer), "{\"a\":1}");
    }
}

#[actix_web::test]
async fn a_chunked_body_is_joined() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n3\r\n\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n";
    let server = Server::saying(chunked).await;
    let client = client();
    for _ in 0..2 {
        let answer = post(&client, &server.url()).await.expect("an answer");
        assert_eq!(body(&answer), "{\"a\":1}");
    }
    assert_eq!(server.connections.get(), 1);
}
