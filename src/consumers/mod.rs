//! Consumers: internal handlers that review every message and may derive more specific ones.
//!
//! A consumer is a pure function from a message to new ones; it sees the payload as accepted and keeps no state, so a crash between
//! review and commit repeats the review and nothing else. What it derives is written in the same transaction as
//! the routing of its parent and goes through the incoming queue like any other message, so consumers may build on each other;
//! the bounds on ancestry keep them from going in circles.
//!
//! Read next: `order_canceled.rs`, the smallest.

mod order_canceled;
mod shipment_ready;
#[cfg(test)]
mod tests;

use crate::domain::message::{Message, NewMessage};

pub use order_canceled::OrderCanceled;
pub use shipment_ready::ShipmentReady;

/// A payload that a consumer should understand and does not. The message is routed all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReviewError(pub String);

/// An internal handler of messages.
pub trait Consumer: Send + Sync {
    /// Its name: the `source` of what it derives.
    fn name(&self) -> &'static str;

    /// Whether it wants to see messages of this canonical type. Asked for every message, so it must be cheap.
    fn wants(&self, canonical_kind: &str) -> bool;

    /// The messages it derives from this one.
    ///
    /// # Errors
    /// When the payload is not what its type promises; becomes an event.
    fn review(&self, message: &Message) -> Result<Vec<NewMessage>, ReviewError>;
}

/// The consumers that every hub has.
#[must_use]
pub fn built_in() -> Vec<Box<dyn Consumer>> {
    vec![Box::new(OrderCanceled), Box::new(ShipmentReady)]
}
