//! The pure heart of the hub: types and decisions without input, output or a clock.
//! Start with [`path`] and [`lookup`]: what a message says is read through them.

pub mod filter;
pub mod identifier;
pub mod json;
pub mod lookup;
pub mod message_type;
pub mod path;
pub mod reference;
