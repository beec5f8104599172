//! `[database]`: where messages are kept.

use std::path::Path;

use serde::Deserialize;

use super::{Bound, Section};
use crate::config::DatabaseUrl;

/// Which database, and how it is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// Which database.
    pub url: DatabaseUrl,
    /// Connections that only read (embedded database).
    pub readers: usize,
    /// Connections at most (PostgreSQL).
    pub connections: usize,
    /// Page cache of each connection, in MiB (embedded database).
    pub cache_mib: u32,
    /// Milliseconds to wait for another program's lock (embedded database).
    pub busy_timeout_ms: u32,
}

impl DatabaseConfig {
    /// An embedded database `hub.db` in `folder`, small.
    pub fn for_tests(folder: &Path) -> Self {
        let url = DatabaseUrl::Sqlite {
            path: folder.join("hub.db"),
        };
        Self {
            url,
            readers: 2,
            connections: 4,
            cache_mib: 8,
            busy_timeout_ms: 5_000,
        }
    }
}

impl Section for DatabaseConfig {
    const NAME: &'static str = "database";
    const BOUNDS: &'static [Bound] = &[
        Bound::new("readers", 1.0, 64.0),
        Bound::new("connections", 2.0, 200.0),
        Bound::new("cache_mib", 1.0, 65_536.0),
        Bound::new("busy_timeout_ms", 0.0, 600_000.0),
    ];
}
