//! Redirects: never for a POST, counted and checked for a GET.

use super::*;

#[actix_web::test]
async fn a_post_follows_no_redirect() {
    let elsewhere = Server::saying(OK).await;
    let server = Server::saying(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url()
    ))
    .await;
    let answer = post_to(&server).await.expect("an answer");
    assert_eq!(answer.status, 307);
    assert_eq!(elsewhere.connections.get(), 0);
}

#[actix_web::test]
async fn a_get_follows_as_many_redirects_as_allowed_and_keeps_tokens_at_home() {
    let echo = Server::start(|mut stream, _| async move {
        let request = request(&mut stream).await.expect("a request");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            request.len()
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        stream.write_all(request.as_bytes()).await.expect("written");
    })
    .await;
    let server = Server::saying(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{}/endpoint.json\r\nContent-Length: 0\r\n\r\n",
        echo.port
    ))
    .await;
    let target = target(&server.url());
    let headers = [
        (
            HeaderName::from_static("accept"),
            HeaderValue::from_static("application/json"),
        ),
        (
            HeaderName::from_static("x-augury-token"),
            HeaderValue::from_static("secret"),
        ),
    ];
    let request = Request {
        headers: &headers,
        ..plain(&target)
    };
    let client = client();
    assert_eq!(
        client
            .get(request.clone(), 0)
            .await
            .expect("an answer")
            .status,
        302
    );
    let answer = client.get(request, 1).await.expect("an answer");
    let sent = body(&answer);
    assert!(
        sent.starts_with("GET /endpoint.json HTTP/1.1\r\n"),
        "{sent}"
    );
    assert!(sent.contains("accept: application/json"), "{sent}");
    assert!(!sent.contains("secret"), "{sent}");
}

#[actix_web::test]
async fn redirects_in_a_circle_and_to_nowhere_are_failures() {
    let circle = "HTTP/1.1 301 Moved\r\nLocation: /service\r\nContent-Length: 0\r\n\r\n";
    let server = Server::saying(circle).await;
    let failure = client()
        .get(plain(&target(&server.url())), 3)
        .await
        .expect_err("a circle");
    assert_eq!(failure, Failure::TooManyRedirects { limit: 3 });

    let file = "HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n";
    let server = Server::saying(file).await;
    let failure = client()
        .get(plain(&target(&server.url())), 3)
        .await
        .expect_err("a file");
    assert_eq!(failure.kind(), "bad_redirect");
}

#[actix_web::test]
async fn a_redirect_is_checked_like_the_first_address() {
    let inside = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n";
    let server = Server::saying(inside).await;
    let failure = client()
        .get(plain(&target(&server.url())), 3)
        .await
        .expect_err("refused");
    assert_eq!(failure.kind(), "address_not_allowed");
}
