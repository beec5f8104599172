//! One request and its answer.

use super::*;

#[actix_web::test]
async fn a_post_carries_the_given_headers_and_body_and_brings_the_answer() {
    let server = Server::start(|mut stream, _| async move {
        let request = request(&mut stream).await.expect("a request");
        let echo = format!(
            "HTTP/1.1 202 Accepted\r\nX-Kind: echo\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{request}",
            request.len()
        );
        stream.write_all(echo.as_bytes()).await.expect("written");
    })
    .await;
    let target = target(&format!("http://127.0.0.1:{}/a%20b?c=d", server.port));
    let header = |name: &'static str, value| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    let headers = [
        header("user-agent", "Integrator/1"),
        header("x-augury-token", "t"),
        header("host", "elsewhere"),
        header("expect", "100-continue"),
    ];
    let answer = client()
        .post(Request {
            headers: &headers,
            ..plain(&target)
        })
        .await
        .expect("an answer");
    assert_eq!(answer.status, 202);
    assert!(answer.is_success());
    assert_eq!(answer.header("x-kind"), Some("echo"));
    assert_eq!(
        answer.retry_after,
        Some(RetryAfter::Delay(Duration::from_secs(7)))
    );
    assert_eq!(answer.remote.map(|remote| remote.port()), Some(server.port));
    assert_eq!(answer.body_state, BodyState::Whole);
    let sent = body(&answer);
    assert!(sent.starts_with("POST /a%20b?c=d HTTP/1.1\r\n"), "{sent}");
    assert!(
        sent.contains(&format!("host: 127.0.0.1:{}\r\n", server.port)),
        "{sent}"
    );
    assert!(sent.contains("user-agent: Integrator/1\r\n"), "{sent}");
    assert!(sent.contains("x-augury-token: t\r\n"), "{sent}");
    assert!(sent.contains("accept-encoding: identity\r\n"), "{sent}");
    assert!(
        !sent.contains("elsewhere") && !sent.contains("expect"),
        "{sent}"
    );
    assert!(
        sent.ends_with("\r\n\r\n{\"message\":\"order:new\"}"),
        "{sent}"
    );
}

#[actix_web::test]
async fn one_connection_carries_many_requests() {
    let server = Server::saying(OK).await;
    let client = client();
    for _ in 0..5 {
        let answer = post(&client, &server.url()).await.expect("an answer");
        assert_eq!(body(&answer), "{}");
    }
    assert_eq!(server.connections.get(), 1);
}

#[actix_web::test]
async fn an_answer_that_comes_before_the_request_was_read_is_seen() {
    let server = Server::start(|mut stream, _| async move {
        let mut begin = [0; 100];
        stream.read_exact(&mut begin).await.expect("the beginning");
        let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
        stream.write_all(answer).await.expect("written");
    })
    .await;
    let target = target(&server.url());
    let answer = client()
        .post(Request {
            body: vec![b' '; 32 << 20].into(),
            ..plain(&target)
        })
        .await
        .expect("an answer");
    assert_eq!((answer.status, body(&answer)), (413, "big"));
}

#[actix_web::test]
async fn many_requests_at_once_each_get_their_own_answer() {
    let server = Server::start(|mut stream, _| async move {
        while let Some(request) = request(&mut stream).await {
            let sent = request.rsplit("\r\n").next().expect("a body").to_owned();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{sent}",
                sent.len()
            );
            stream.write_all(answer.as_bytes()).await.expect("written");
        }
    })
    .await;
    let (client, target) = (client(), target(&server.url()));
    let one = |number: u32| {
        let request = Request {
            body: format!("{{\"number\":{number}}}").into(),
            ..plain(&target)
        };
        let client = &client;
        async move {
            let answer = client.post(request).await.expect("an answer");
            assert_eq!(body(&answer), format!("{{\"number\":{number}}}"));
        }
    };
    for round in 0..4 {
        futures_util::future::join_all((0..50).map(|number| one(round * 50 + number))).await;
    }
    assert!(server.connections.get() <= 50);
}
