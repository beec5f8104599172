//! One attempt over HTTP, and safe egress.
//!
//! What lives here: sending a single request to an address that was checked, and reading its answer within bounds of
//! time and size. What does not: retries, breakers, rate limits, what an answer *means* (see the dispatcher), actors and
//! the database.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::Arc, time::Duration};
//! use integrator::net::{Client, ClientOptions, EgressPolicy, Request, Target, Tls, parse_endpoint_url};
//!
//! let policy = Arc::new(EgressPolicy::new(Vec::new()));
//! let client = Client::new(policy, ClientOptions::new(Tls::new(&[])?));
//! let target = Target::new(&parse_endpoint_url("https://endpoint.example/new_order")?)?;
//! let answer = client
//!     .post(Request {
//!         target: &target,
//!         headers: &[],
//!         body: "{}".into(),
//!         timeout: Duration::from_secs(180),
//!         max_body_bytes: 1 << 20,
//!     })
//!     .await?;
//! println!("{} {} bytes", answer.status, answer.body.len());
//! # Ok(())
//! # }
//! ```
//!
//! `awc` does the HTTP. It never opens a connection itself: its connector is ours (`connect`), which resolves, asks the
//! [`EgressPolicy`], connects to an address that passed, and speaks TLS where the target wants it. What awc reads passes
//! through a `transport` that looks at each answer's head first, because awc by itself takes a `103` for the final
//! answer, loses a body that ends with the connection, and cannot tell a body that was cut off from one that is complete.
//! The transport and the attempt that is using it meet in a task-local (`attempt`): that is how an attempt learns
//! whether its connection had been used before and whether a byte of the answer was seen, which decides whether it may
//! be tried again at once.
//!
//! Read `client.rs` next, then `transport.rs`.

mod address;
mod answer;
mod attempt;
mod client;
mod connect;
mod failure;
mod head;
mod inflate;
mod retry_after;
mod target;
mod tls;
mod transport;

#[cfg(test)]
mod tests;

pub use address::{AddressKind, EgressPolicy, Refused};
pub use answer::{Answer, BodyState};
pub use client::{Client, ClientOptions, Request};
pub use failure::{ConnectStep, Failure, Malformed, Phase, TlsFailure};
pub use retry_after::RetryAfter;
pub use target::{Target, UrlError, parse_endpoint_url};
pub use tls::{Tls, TlsError};

/// Header names, values and maps as [`Request`] takes and [`Answer`] gives them.
pub use awc::http::header;
