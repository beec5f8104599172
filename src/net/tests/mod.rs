//! The client against real servers on the loopback interface, which say exactly the bytes that a test wants.

use std::{cell::Cell, future::Future, rc::Rc, sync::Arc, time::Duration};

use awc::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

mod bounds;
mod connections;
mod egress;
mod exchange;
mod heads;
mod redirects;
mod tls;

use super::*;

/// Longer than any test takes, where no deadline is meant to pass.
const LONG: Duration = Duration::from_secs(20);
/// Where the deadline is what is tested.
const SHORT: Duration = Duration::from_millis(200);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// A server that hands each connection, with its number from 1, to `handle`.
struct Server {
    port: u16,
    connections: Rc<Cell<u32>>,
}

impl Server {
    async fn start<H, F>(handle: H) -> Self
    where
        H: Fn(TcpStream, u32) -> F + 'static,
        F: Future<Output = ()> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Rc::new(Cell::new(0));
        let count = Rc::clone(&connections);
        actix_rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.set(count.get() + 1);
                actix_rt::spawn(handle(stream, count.get()));
            }
        });
        Self { port, connections }
    }

    /// Says `answer` to every request, on as few connections as the client likes.
    async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Rc<[u8]> = answer.into().into();
        Self::start(move |mut stream, _| {
            let answer = Rc::clone(&answer);
            async move {
                while request(&mut stream).await.is_some() {
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Says `answer` to the first request of each connection and closes it.
    async fn saying_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Rc<[u8]> = answer.into().into();
        Self::start(move |mut stream, _| {
            let answer = Rc::clone(&answer);
            async move {
                request(&mut stream).await;
                let _ = stream.write_all(&answer).await;
            }
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/service", self.port)
    }
}

/// Reads one request with its body; `None` at the end of the connection.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    let length = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
            let body = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().expect("a length"));
            break end + 4 + body;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    while bytes.len() < length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    assert_eq!(
        bytes.len(),
        length,
        "nothing follows a request before its answer"
    );
    Some(String::from_utf8(bytes).expect("requests of these tests are text"))
}

fn loopback_allowed() -> Arc<EgressPolicy> {
    let networks = ["127.0.0.0/8", "::1/128"];
    Arc::new(EgressPolicy::new(
        networks
            .iter()
            .map(|net| net.parse().expect("a network"))
            .collect(),
    ))
}

fn options() -> ClientOptions {
    ClientOptions::new(Tls::new(&[]).expect("TLS"))
}

fn client() -> Client {
    Client::new(loopback_allowed(), options())
}

fn target(url: &str) -> Target {
    Target::new(&parse_endpoint_url(url).expect("a URL")).expect("a target")
}

/// What the tests send unless they say otherwise.
fn plain(target: &Target) -> Request<'_> {
    Request {
        target,
        headers: &[],
        body: Bytes::from_static(b"{\"message\":\"order:new\"}"),
        timeout: LONG,
        max_body_bytes: 1 << 20,
    }
}

async fn post(client: &Client, url: &str) -> Result<Answer, Failure> {
    client.post(plain(&target(url))).await
}

async fn post_to(server: &Server) -> Result<Answer, Failure> {
    post(&client(), &server.url()).await
}

fn body(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).expect("text")
}
