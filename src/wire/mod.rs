//! Every wire format spoken, as types and pure functions: what stands between bytes and the domain.
//!
//! [`dialect1`] is the protocol of 2013 between hub and endpoints, [`dialect2`] its successor of 2014, [`push2`] what is pushed in
//! the second one. [`endpoint_json`] is how an application describes itself, [`standard_webhooks`] signs requests, [`samples`] has
//! one message of every type, and [`hub_api`] is what the REST API answers. [`store`] is what shops
//! answer, [`spree_webhook`] what they send by themselves. Nothing here sends or waits; a format is read leniently
//! and written strictly. Read next: `dialect1.rs`, then `dialect2.rs`.

pub mod dialect1;
pub mod dialect2;
pub mod endpoint_json;
pub mod hub_api;
pub mod push2;
pub mod samples;
pub mod spree_webhook;
pub mod standard_webhooks;
pub mod store;
