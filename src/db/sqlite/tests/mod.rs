//! The conformance suite on the embedded database, and what only this database has to show.

mod jobs;
mod opening;
mod plans;

use std::time::Duration;

use super::{SqliteBackend, SqliteOptions};
use crate::db::{
    Backend,
    conformance::{BOUNDS, Rig, conformance_suite},
};

struct SqliteRig {
    folder: tempfile::TempDir,
}

impl Rig for SqliteRig {
    fn open(&self) -> Box<dyn Backend> {
        Box::new(SqliteBackend::open(options(self.folder.path())).unwrap())
    }
}

fn options(folder: &std::path::Path) -> SqliteOptions {
    let mut options = SqliteOptions::new(folder.join("hub.db"));
    options.loop_bounds = BOUNDS;
    options.claim_age = Duration::from_secs(30 * 86_400);
    options
}

fn rig() -> SqliteRig {
    SqliteRig {
        folder: tempfile::tempdir().unwrap(),
    }
}

conformance_suite!(rig);
