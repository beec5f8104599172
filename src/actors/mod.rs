//! The actors: the running hub.
//!
//! What lives here: who does what when, on which thread, and what happens when one of them falls over. What does not: any rule about a
//! message. An actor is a thin shell with timers around plain functions and structs: [`crate::domain`] decides, [`crate::db`]
//! writes, [`crate::net`] posts.
//!
//! A message's way: [`Hub::accept`] -> `Intake` (durable) -> `Router` (who gets it) -> `Dispatcher` of each endpoint (posts) -> `Settler`
//! (what came of it). Between them lies the database, and only it: the arrows in this list are wake-ups that carry nothing, so each
//! actor may be lost at any moment and its successor finds everything where it was. Data travels in two places: pushes to
//! Intake, and finished attempts to the Settler; both lie on a tray (`tray`) until they are taken up together, both are bounded where they
//! begin, and both are answered after the commit.
//!
//! Three kinds of file: actors (`intake`, `router`, `dispatcher`, `settler`, `sweeper`, `foreman`, `overseer`), what they share (`shared`, `directory`, `bell`, `tray`,
//! `vitals`, `clock`, `transport`), and [`Hub`], which is all that the layers above know.
//!
//! Read next: `overseer/topology.rs` for the whole on one page, then `dispatcher/mod.rs`.

mod backoff;
mod bell;
mod clock;
mod directory;
mod dispatcher;
mod foreman;
mod hub;
mod intake;
mod leases;
mod metrics;
mod newest;
mod nodes;
mod overseer;
mod poller;
mod router;
mod scheduler;
mod settler;
mod shared;
mod surveyor;
mod sweeper;
mod transport;
mod tray;
mod turns;
mod vitals;

#[cfg(test)]
mod tests;

pub use clock::{Clock, SharedClock, SystemClock};
pub use dispatcher::{BreakerState, DispatcherState, EndpointState};
pub use hub::{AcceptError, Hub, Outside, RegistryCache, StartError};
pub use overseer::OnFatal;
pub use poller::Hint;
pub use surveyor::describe as describe_endpoint;
pub use transport::{
    Outgoing, Transport, TransportError, TransportFactory, clients as http_clients,
    http as http_transport,
};
pub use vitals::{End, LastEnd};
