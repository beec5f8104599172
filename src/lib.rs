//! Integrator: an open, actor-based messaging hub between an online store and the applications around it.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

pub mod actors;
pub mod cli;
pub mod config;
pub mod consumers;
pub mod db;
pub mod domain;
pub mod net;
pub mod sources;
pub mod web;
pub mod wire;
