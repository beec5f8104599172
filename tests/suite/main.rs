//! Tests of the real program over real HTTP: each starts `integrator serve` as its own process on a throwaway database.

// Helpers of tests fail as tests do; the lint knows test functions only.
#![allow(clippy::unwrap_used)]

mod bulk;
#[path = "../../src/db/postgres/tests/cluster.rs"]
#[allow(dead_code)]
mod cluster;
mod crash;
mod documents;
mod faults;
mod interop;
mod isolation;
mod nodes;
mod order;
mod polling;
mod push;
mod supervision;
mod support;
mod travel;
mod wrong_input;
