//! Kept-alive connections: stale ones, spoiled ones, idle ones.

use super::*;

#[actix_web::test]
async fn a_stale_connection_is_replaced_once_and_nobody_notices() {
    let server = Server::start(|mut stream, number| async move {
        request(&mut stream).await;
        stream.write_all(OK).await.expect("written");
        // The first connection takes another request and ends without a word.
        request(&mut stream).await;
        if number > 1 {
            stream.write_all(OK).await.expect("written");
        }
    })
    .await;
    let client = client();
    post(&client, &server.url())
        .await
        .expect("the first answer");
    post(&client, &server.url())
        .await
        .expect("the second answer");
    assert_eq!(server.connections.get(), 2);
}

#[actix_web::test]
async fn a_fresh_connection_that_ends_too_is_a_failure() {
    let server = Server::start(|mut stream, number| async move {
        request(&mut stream).await;
        if number == 1 {
            stream.write_all(OK).await.expect("written");
            request(&mut stream).await;
        }
    })
    .await;
    let client = client();
    post(&client, &server.url())
        .await
        .expect("the first answer");
    let failure = post(&client, &server.url()).await.expect_err("no answer");
    assert_eq!(
        failure,
        Failure::CutOff {
            phase: Phase::Waiting
        }
    );
    assert_eq!(server.connections.get(), 2);
}

#[actix_web::test]
async fn a_used_connection_that_began_to_answer_is_not_tried_again() {
    let server = Server::start(|mut stream, _| async move {
        request(&mut stream).await;
        stream.write_all(OK).await.expect("written");
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200").await.expect("written");
    })
    .await;
    let client = client();
    post(&client, &server.url())
        .await
        .expect("the first answer");
    let failure = post(&client, &server.url())
        .await
        .expect_err("half an answer");
    assert_eq!(
        failure,
        Failure::CutOff {
            phase: Phase::Waiting
        }
    );
    assert_eq!(server.connections.get(), 1);
}

#[actix_web::test]
async fn a_connection_on_which_more_came_than_asked_for_is_not_used_again() {
    let server = Server::saying([OK, OK].concat()).await;
    let client = client();
    for _ in 0..2 {
        post(&client, &server.url()).await.expect("an answer");
    }
    assert_eq!(server.connections.get(), 2);
}

#[actix_web::test]
async fn an_idle_connection_is_closed_by_this_side() {
    let (closed, mut was_closed) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            while request(&mut stream).await.is_some() {
                stream.write_all(OK).await.expect("written");
            }
            let _ = closed.send(());
        }
    })
    .await;
    let client = Client::new(
        loopback_allowed(),
        ClientOptions {
            keep_alive: SHORT,
            ..options()
        },
    );
    post(&client, &server.url()).await.expect("an answer");
    timeout(LONG, was_closed.recv())
        .await
        .expect("closed")
        .expect("said so");
    post(&client, &server.url())
        .await
        .expect("an answer on a new one");
    assert_eq!(server.connections.get(), 2);
}
