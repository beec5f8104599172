//! Integrator: an open, actor-based messaging hub between an online store and the applications around it.

pub mod cli;
pub mod config;
