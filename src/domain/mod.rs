//! The hub's own words and rules: what a message, a mapping, a delivery is, and what may become of it.
//!
//! Nothing here reads a clock, a file, a socket or a database; time, randomness and limits are arguments. So each rule can
//! be tested by itself, and the same functions run in the program, in the property tests and in the model.
//!
//! A message's way through these files: [`json::Payload`] reads it, [`reference`] says what it is about,
//! [`routing::route`] decides which mappings get it ([`filter`], [`identifier`], fed by [`lookup`] in one pass over the
//! payload), and [`settle`] turns an endpoint's answer into what is written down. [`registry`] is everything configured.
//!
//! Beside that way stand [`integration`] and [`signup`] (what applications offer, and the mappings made of it), [`schedule`] (when
//! schedulers tick), [`rule`] (consumers without code), [`merge`] and [`known_object`] (partial objects of the second dialect),
//! [`erasure`] (what is forgotten on request).
//!
//! For polled stores, [`snapshot::compare`] says which message a document becomes, and [`generic_order`] how it reads.
//!
//! Read next: `delivery.rs` for the states, `routing.rs` for the decision.

pub mod decimal;
pub mod delivery;
mod entity;
pub mod erasure;
pub mod event;
pub mod filter;
pub mod generic_order;
pub mod generic_product;
pub mod id;
pub mod identifier;
pub mod integration;
pub mod job;
pub mod json;
mod json_scan;
pub mod key;
pub mod known_object;
pub mod lookup;
pub mod mask;
pub mod merge;
pub mod message;
pub mod message_type;
pub mod parameter;
pub mod path;
pub mod quick;
pub mod reference;
pub mod registry;
pub mod retry;
pub mod routing;
pub mod rule;
pub mod schedule;
pub mod scheduler;
pub mod settle;
pub mod signup;
pub mod snapshot;
pub mod store_object;
pub mod time;
