//! An endpoint application inside the test: records every request and answers as it is told.

use std::{
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web,
};
use serde_json::Value;

use super::eventually;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its path.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Value,
    /// Its body's bytes.
    pub bytes: String,
}

impl Received {
    /// `payload.order.number`.
    pub fn order(&self) -> &str {
        self.body["payload"]["order"]["number"]
            .as_str()
            .unwrap_or_default()
    }

    /// `message_id`.
    pub fn id(&self) -> String {
        self.body["message_id"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The type.
    pub fn kind(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

/// How a sink answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// This status and body.
    Now(u16, String),
    /// The same with a header.
    With(u16, &'static str, String, String),
    /// 200 with an object, once this is set.
    Once(Arc<AtomicBool>),
    /// Never, as long as the test runs.
    Never,
}

impl Reply {
    /// 200 with an object.
    pub fn ok() -> Self {
        Self::Now(200, "{}".into())
    }

    /// This status with JSON.
    pub fn json(status: u16, body: Value) -> Self {
        Self::Now(status, body.to_string())
    }
}

type Temper = dyn Fn(&Received, usize) -> Reply + Send + Sync;

struct Inner {
    received: Mutex<Vec<Received>>,
    temper: Box<Temper>,
}

/// A running endpoint.
pub struct Sink {
    inner: Arc<Inner>,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    handle: ServerHandle,
}

impl Sink {
    /// A sink that takes everything.
    pub async fn taking_everything() -> Self {
        Self::start(|_, _| Reply::ok()).await
    }

    /// A sink with this temper: it is told the request and how many came before it.
    pub async fn start(temper: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            received: Mutex::default(),
            temper: Box::new(temper),
        });
        let state = web::Data::from(Arc::clone(&inner));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .app_data(web::PayloadConfig::new(64 << 20))
                .default_service(web::to(receive))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(0)
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self { inner, url, handle }
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().unwrap().clone()
    }

    /// Waits until `enough` holds of what was received, and gives it.
    pub async fn wait(&self, what: &str, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        eventually(what, || async {
            let received = self.received();
            enough(&received).then_some(received)
        })
        .await
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Sends the command at once; nobody waits for the end.
        drop(self.handle.stop(false));
    }
}

async fn receive(request: HttpRequest, body: web::Bytes, sink: web::Data<Inner>) -> HttpResponse {
    let bytes = String::from_utf8_lossy(&body).into_owned();
    let received = Received {
        path: request.path().to_owned(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    value.to_str().unwrap_or_default().to_owned(),
                )
            })
            .collect(),
        body: serde_json::from_str(&bytes).unwrap_or_default(),
        bytes,
    };
    let before = {
        let mut all = sink.received.lock().unwrap();
        all.push(received.clone());
        all.len() - 1
    };
    match (sink.temper)(&received, before) {
        Reply::Now(status, body) => {
            HttpResponse::build(StatusCode::from_u16(status).unwrap()).body(body)
        }
        Reply::With(status, name, value, body) => {
            HttpResponse::build(StatusCode::from_u16(status).unwrap())
                .insert_header((name, value))
                .body(body)
        }
        Reply::Once(gate) => {
            eventually("the sink is let go", || {
                let open = gate.load(Ordering::SeqCst);
                async move { open.then_some(()) }
            })
            .await;
            HttpResponse::Ok().body("{}")
        }
        Reply::Never => {
            actix_rt::time::sleep(Duration::from_secs(3_600)).await;
            HttpResponse::Ok().finish()
        }
    }
}
