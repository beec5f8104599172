//! TLS: who is trusted, and what is said when somebody is not.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn identity(params: CertificateParams) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    Identity {
        certificate: certificate.der().clone(),
        key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
    }
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("a name")
}

/// Speaks TLS with `identity` and says `answer` to every request.
async fn server(identity: Identity, answer: &'static [u8], is_clean_end: bool) -> Server {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], identity.key)
        .expect("a certificate with its key");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut tls) = acceptor.accept(stream).await {
                talk(&mut tls, answer).await;
                if is_clean_end {
                    let _ = tls.shutdown().await;
                }
            }
        }
    })
    .await
}

async fn talk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &[u8]) {
    while request(stream).await.is_some() {
        stream.write_all(answer).await.expect("written");
        stream.flush().await.expect("written");
        if answer.windows(5).any(|window| window == b"close") {
            return;
        }
    }
}

fn trusting(root: &CertificateDer<'static>) -> Client {
    let tls = Tls::new(std::slice::from_ref(root)).expect("TLS");
    Client::new(loopback_allowed(), ClientOptions::new(tls))
}

async fn kind(client: &Client, server: &Server) -> &'static str {
    let url = format!("https://localhost:{}/", server.port);
    let failure = post(client, &url).await.expect_err("no TLS");
    assert!(!failure.maybe_carried_out());
    failure.kind()
}

#[actix_web::test]
async fn a_trusted_certificate_gives_an_answer_and_the_connection_is_kept() {
    let identity = identity(named("localhost"));
    let client = trusting(&identity.certificate);
    let server = server(identity, OK, true).await;
    let url = format!("https://localhost:{}/", server.port);
    for _ in 0..3 {
        let answer = post(&client, &url).await.expect("an answer");
        assert_eq!(body(&answer), "{}");
    }
    assert_eq!(server.connections.get(), 1);
}

#[actix_web::test]
async fn a_certificate_nobody_signed_is_told() {
    let server = server(identity(named("localhost")), OK, true).await;
    assert_eq!(kind(&client(), &server).await, "tls_unknown_issuer");
}

#[actix_web::test]
async fn a_certificate_for_another_name_is_told() {
    let identity = identity(named("other.example"));
    let client = trusting(&identity.certificate);
    let server = server(identity, OK, true).await;
    assert_eq!(kind(&client, &server).await, "tls_other_name");
}

#[actix_web::test]
async fn an_expired_certificate_is_told() {
    let mut params = named("localhost");
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let identity = identity(params);
    let client = trusting(&identity.certificate);
    let server = server(identity, OK, true).await;
    assert_eq!(kind(&client, &server).await, "tls_expired");
}

#[actix_web::test]
async fn a_server_without_tls_is_told() {
    let server = Server::start(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    assert_eq!(kind(&client(), &server).await, "tls_not_spoken");
}

#[actix_web::test]
async fn a_handshake_that_hangs_is_a_connect_timeout() {
    let server = Server::start(|mut stream, _| async move {
        let mut hello = Vec::new();
        let _ = stream.read_to_end(&mut hello).await;
    })
    .await;
    let client = Client::new(
        loopback_allowed(),
        ClientOptions {
            connect_timeout: SHORT,
            ..options()
        },
    );
    let url = format!("https://127.0.0.1:{}/", server.port);
    let failure = post(&client, &url).await.expect_err("no TLS");
    assert_eq!(
        failure,
        Failure::ConnectTimeout {
            host: "127.0.0.1".to_owned(),
            port: server.port,
            after: SHORT,
            step: ConnectStep::Tls
        }
    );
}

#[actix_web::test]
async fn a_body_that_ends_with_the_connection_needs_the_end_to_be_signed() {
    let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}";
    for is_clean_end in [true, false] {
        let identity = identity(named("localhost"));
        let client = trusting(&identity.certificate);
        let server = server(identity, answer, is_clean_end).await;
        let result = post(&client, &format!("https://localhost:{}/", server.port)).await;
        match result {
            Ok(answer) => assert!(is_clean_end && body(&answer) == "{}"),
            Err(failure) => {
                assert!(!is_clean_end);
                assert_eq!(
                    failure,
                    Failure::CutOff {
                        phase: Phase::Reading
                    }
                );
            }
        }
    }
}
