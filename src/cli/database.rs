//! Opening the database that the configuration names, whichever it is.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::serve::sqlite_options;
use crate::{
    actors::Hub,
    config::{Config, DatabaseUrl, OnlyEmbedded},
    db::{
        DbError, DbResult, SharedBackend,
        postgres::{Hint, PostgresBackend, PostgresOptions},
        sqlite::SqliteBackend,
    },
};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Url(#[from] OnlyEmbedded),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The hub that hears what other nodes say; set once it runs.
pub(super) type Ear = Arc<OnceLock<Hub>>;

/// An open database.
pub(super) enum Opened {
    /// The embedded one.
    Sqlite(Arc<SqliteBackend>),
    /// A server's.
    Postgres(Arc<PostgresBackend>),
}

impl Opened {
    /// As the actors hold it.
    pub(super) fn backend(&self) -> SharedBackend {
        match self {
            Self::Sqlite(backend) => Arc::<SqliteBackend>::clone(backend),
            Self::Postgres(backend) => Arc::<PostgresBackend>::clone(backend),
        }
    }

    /// Leaves nothing to be done by the next start, after the actors have stopped.
    pub(super) fn fold(&self) -> DbResult<()> {
        match self {
            Self::Sqlite(backend) => backend.fold(),
            Self::Postgres(_) => Ok(()),
        }
    }
}

/// Opens the database, which makes or upgrades its tables. On PostgreSQL hints of other nodes go to the hub in `ear`.
pub(super) fn open(config: &Config, ear: &Ear) -> Result<Opened, OpenError> {
    match &config.database.url {
        DatabaseUrl::Sqlite { .. } => Ok(Opened::Sqlite(Arc::new(SqliteBackend::open(
            sqlite_options(config)?,
        )?))),
        DatabaseUrl::Postgres { .. } => Ok(Opened::Postgres(Arc::new(PostgresBackend::open(
            postgres_options(config, ear)?,
        )?))),
    }
}

/// What people know this node by: the machine's name where the system tells it, and the process.
fn node_name() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = told.or_else(|| std::env::var("HOSTNAME").ok());
    let host = host.map(|name| name.trim().to_owned());
    match host.filter(|name| !name.is_empty()) {
        Some(host) => format!("{host}, pid {}", std::process::id()),
        None => format!("pid {}", std::process::id()),
    }
}

/// PostgreSQL as the configuration wants it.
pub(super) fn postgres_options(config: &Config, ear: &Ear) -> Result<PostgresOptions, OpenError> {
    let DatabaseUrl::Postgres { url } = &config.database.url else {
        return Err(DbError::Refused("database.url names the embedded database".into()).into());
    };
    let mut options = PostgresOptions::new(url.expose());
    options.connections = config.database.connections;
    options.loop_bounds = super::serve::loop_bounds(config);
    options.claim_age = super::serve::claim_age(config);
    options.connect_timeout = Duration::from_secs(5);
    options.node_name = node_name();
    let ear = Arc::clone(ear);
    options.on_hint = Some(Arc::new(move |hint: Hint| {
        if let Some(hub) = ear.get().cloned() {
            // The caller is a task of the database's own runtime.
            tokio::spawn(async move { hub.hear(hint).await });
        }
    }));
    Ok(options)
}
