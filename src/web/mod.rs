//! The HTTP side: the hub's REST API, health, and the server that carries them.
//!
//! ```text
//! request -> paths (plain spelling) -> route -> auth (token, store, scope) -> extract (body) -> fields / query (every fault)
//!         -> handler in api/ -> hub or backend -> document of wire::hub_api -> answer, or error::ApiError
//! ```
//!
//! What lives here: reading requests strictly, and wording answers. What does not: any decision about a message, and any SQL.
//! There is no access log: a path holds the tokens of objects, a query may hold anything; who wants one has a proxy in front.
//!
//! Read next: `auth.rs` for who may do what, `fields.rs` for how bodies are read, `api/mod.rs` for the routes.

mod api;
mod auth;
pub mod console;
mod cors;
mod error;
mod extract;
mod fields;
mod forms;
mod health;
mod hooks;
mod openapi;
mod paths;
mod query;

use std::{future::ready, net::TcpListener, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::Server,
    http::{KeepAlive, Method},
    middleware::{DefaultHeaders, from_fn},
    web::{self, ServiceConfig},
};

pub use auth::digest_of_token;
pub use console::ConsoleState;
pub use error::{ApiError, scope_word};

use crate::actors::Hub;

/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send a request's head.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a connection may take to close.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// Registers every route, and the hub they speak to. Paths must have been normalized before, as [`server`] does.
pub fn configure(config: &mut ServiceConfig, hub: Hub, state: Arc<ConsoleState>) {
    let nothing = || ready(Err::<HttpResponse, ApiError>(ApiError::no_route()));
    config
        .app_data(hub)
        .service(api::at("/", "GET, HEAD").route(api::get(health::root)))
        .service(api::at("/health/live", "GET, HEAD").route(api::get(health::live)))
        .service(api::at("/health/ready", "GET, HEAD").route(api::get(health::ready)))
        .service(api::at("/push", "POST").route(api::on(Method::POST, api::push2::push)))
        .service(
            api::at("/hooks/spree/{store}", "POST")
                .route(api::on(actix_web::http::Method::POST, hooks::spree)),
        )
        .service(api::at("/metrics", "GET, HEAD").route(api::get(health::metrics)))
        .configure(api::configure)
        .configure(|config| console::configure(config, state))
        .default_service(web::to(nothing));
}

/// A server on `listener`, not yet polled. It stops on its handle's word, in at most `server.shutdown_secs`, and leaves signals
/// to whoever runs it. Heads are bounded by actix itself (96 headers, 128 KiB).
///
/// # Errors
/// Those of the listener.
pub fn server(hub: Hub, listener: TcpListener) -> std::io::Result<Server> {
    let settings = hub.config().server.clone();
    let workers = match settings.workers {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get),
        workers => workers,
    };
    let state = Arc::new(ConsoleState::default());
    console::pages::Pulse::start(&state, &hub);
    let factory = move || {
        let hub = hub.clone();
        let state = Arc::clone(&state);
        App::new()
            .wrap(from_fn(paths::normalize))
            .wrap(
                DefaultHeaders::new()
                    // Answers hold what only this caller may see, and are JSON whatever stands in them.
                    .add(("Cache-Control", "no-store"))
                    .add(("X-Content-Type-Options", "nosniff")),
            )
            .app_data(hub.clone())
            .wrap(from_fn(cors::cross_origin))
            .configure(move |config| configure(config, hub, state))
    };
    Ok(HttpServer::new(factory)
        .workers(workers)
        // The setting counts all connections, actix counts those of each worker.
        .max_connections(settings.max_connections.div_ceil(workers).max(1))
        .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
        .client_request_timeout(HEAD_TIME)
        .client_disconnect_timeout(CLOSE_TIME)
        .shutdown_timeout(settings.shutdown_secs)
        .disable_signals()
        .listen(listener)?
        .run())
}

#[cfg(test)]
mod tests;
