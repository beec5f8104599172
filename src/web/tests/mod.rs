//! The API as clients see it: a real server on a free port, the real hub and the embedded database behind it.

mod access;
mod admin;
mod erasing;
mod openapi;
mod pushing;
mod reading;

use std::{cell::RefCell, net::TcpListener, sync::Arc, time::Duration};

use actix_web::dev::ServerHandle;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    actors::{Hub, SharedClock, SystemClock},
    config::Config,
    db::{
        EntityChange,
        sqlite::{SqliteBackend, SqliteOptions},
    },
    domain::registry::Entity,
};

const OPERATOR: &str = "operators-token";

thread_local! {
    static ROUTES: RefCell<Vec<(String, &'static str)>> = const { RefCell::new(Vec::new()) };
}

/// Called for every route that is registered: its path and methods.
pub(super) fn note_route(path: &str, allow: &'static str) {
    ROUTES.with_borrow_mut(|routes| routes.push((path.to_owned(), allow)));
}

/// A hub with its server; both end when this is dropped.
struct Site {
    hub: Hub,
    url: String,
    server: ServerHandle,
    _folder: TempDir,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: actix_web::http::header::HeaderMap,
    text: String,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The faults told, joined as clients of 2013 do.
    fn errors(&self) -> String {
        let errors = self.body["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("no errors in {}", self.text));
        errors
            .iter()
            .map(|error| error.as_str().expect("a text"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    fn text_of(&self, member: &str) -> String {
        self.body[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member} in {}", self.text))
            .to_owned()
    }
}

impl Site {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(Arc::new(SystemClock), configure).await
    }

    async fn start_at(clock: SharedClock, configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::for_tests(folder.path());
        configure(&mut config);
        let backend = SqliteBackend::open(SqliteOptions::new(folder.path().join("hub.db")))
            .expect("a database");
        let hub = Hub::start(config, Arc::new(backend), clock)
            .await
            .expect("a hub");
        let operator = Entity::Operator {
            hash: super::digest_of_token(OPERATOR),
        };
        let change = EntityChange::Create {
            store: None,
            subject: None,
            entity: operator,
        };
        hub.change_registry(vec![change])
            .await
            .expect("an operator");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = super::server(hub.clone(), listener).expect("a server");
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            hub,
            url,
            server: handle,
            _folder: folder,
        }
    }

    async fn stop(self) {
        self.server.stop(false).await;
        self.hub.stop(Duration::from_secs(1)).await;
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let client = awc::Client::builder()
            .timeout(Duration::from_secs(30))
            .no_default_headers()
            .finish();
        let mut request = client.request(
            method.parse().expect("a method"),
            format!("{}{path}", self.url),
        );
        for header in headers {
            request = request.insert_header(*header);
        }
        let mut response = request
            .send_body(body.into())
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let bytes = response.body().limit(64 << 20).await.expect("a body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text,
            body,
        }
    }

    async fn call(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let headers = [
            ("X-Augury-Token", token),
            ("Content-Type", "application/json"),
        ];
        self.send(
            method,
            path,
            &headers,
            if body.is_null() {
                String::new()
            } else {
                body.to_string()
            },
        )
        .await
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.send("GET", path, &[("X-Augury-Token", token)], "")
            .await
    }

    /// A store of this name: its path below the host, and its admin token.
    async fn store(&self, name: &str) -> (String, String) {
        let made = self
            .call(
                OPERATOR,
                "POST",
                "/api/stores",
                json!({"store": {"name": name}}),
            )
            .await
            .expect(201);
        (
            format!("/api/stores/{}", made.text_of("id")),
            made.text_of("token"),
        )
    }

    /// A token of this scope.
    async fn token(&self, (store, admin): &(String, String), scope: &str) -> String {
        let body = json!({"token": {"name": scope, "scopes": [scope]}});
        self.call(admin, "POST", &format!("{store}/tokens"), body)
            .await
            .expect(201)
            .text_of("token")
    }

    /// Asks until the answer is as wanted.
    async fn until(
        &self,
        token: &str,
        path: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.get(token, path).await;
            if wanted(&answer.body) {
                return answer.body;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "waited for {what}: {}",
                answer.text
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
