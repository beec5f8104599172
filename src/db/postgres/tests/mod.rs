//! The conformance suite on PostgreSQL, and what only this database has to show.

mod cluster;

use std::time::Duration;

use self::cluster::cluster;
use super::{PostgresBackend, PostgresOptions};
use crate::db::{Backend, conformance::{Rig, conformance_suite}};

struct PostgresRig {
    url: String,
}

impl Rig for PostgresRig {
    fn open(&self) -> Box<dyn Backend> {
        Box::new(PostgresBackend::open(options(&self.url)).unwrap())
    }
}

fn options(url: &str) -> PostgresOptions {
    let mut options = PostgresOptions::new(url);
    options.claim_age = Duration::from_secs(30 * 86_400);
    options
}

fn rig() -> PostgresRig {
    PostgresRig { url: cluster().database() }
}

conformance_suite!(rig);
