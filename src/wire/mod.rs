//! Every wire format spoken, as types and pure functions: what stands between bytes and the domain.
//!
//! [`dialect1`] is the protocol of 2013 between hub and endpoints, [`hub_api`] what the REST API answers, [`store`] what
//! shops answer, [`spree_webhook`] what they send by themselves. Nothing here sends or waits; a format is read leniently and
//! written strictly. Read next: `dialect1.rs`.

pub mod dialect1;
pub mod hub_api;
pub mod spree_webhook;
pub mod store;
