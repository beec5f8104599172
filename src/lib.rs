//! Integrator: an open messaging hub between an online store and the applications around it.

pub mod domain;
