//! Where connections go, and where not.

use super::*;

#[actix_web::test]
async fn private_addresses_are_refused_unless_listed() {
    let server = Server::saying(OK).await;
    let strict = Client::new(Arc::new(EgressPolicy::default()), options());
    let port = server.port;
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://localhost:{port}/"),
        "http://10.0.0.1/".to_owned(),
    ] {
        let failure = post(&strict, &url).await.expect_err(&url);
        assert_eq!(failure.kind(), "address_not_allowed", "{url}");
        assert!(!failure.maybe_carried_out());
    }
    assert_eq!(server.connections.get(), 0);
    let open = client();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
    ] {
        post(&open, &url).await.expect(&url);
    }
}

#[actix_web::test]
async fn nobody_listening_and_no_such_name_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let client = client();
    let failure = post(&client, &format!("http://127.0.0.1:{port}/"))
        .await
        .expect_err("closed");
    let host = "127.0.0.1".to_owned();
    assert_eq!(
        failure.to_string(),
        format!("127.0.0.1:{port} refused the connection")
    );
    assert_eq!(failure, Failure::ConnectRefused { host, port });
    let failure = post(&client, "http://nowhere.invalid/")
        .await
        .expect_err("no such name");
    assert_eq!(failure.kind(), "host_not_found");
}
