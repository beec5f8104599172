//! The configuration: what may be set, where a value may come from, and which values make sense.
//!
//! Every key stands in `config/default.toml`, with its unit and its default. That file is compiled in and is at once the
//! documentation, the lowest layer and the schema: a key is known if it is there, and its default's type is its type. Above
//! it lie a file (`--config`), the environment (`INTEGRATOR__SECTION__KEY`) and flags. One example, all layers at once:
//!
//! ```text
//! default.toml   retry.max_attempts = 20
//! hub.toml       retry.max_attempts = 5            wins over the default
//! environment    INTEGRATOR__RETRY__MAX_ATTEMPTS=3  wins over the file
//! ```
//!
//! Why not a ready-made layering crate: those stop at the first mistake, forget which layer a value came from, and do not know
//! the nearest key to a misspelt one. Whoever starts a hub wants all mistakes in one go, each with its place. So `layers` turns
//! each source into settings with an origin, `effective` lays them over each other, and one small struct per section
//! (`sections/`) gives them types and bounds.
//!
//! What does not live here: the operator's token (a secret, read by the CLI), what is configured while the hub runs (stores,
//! mappings, parameters: those are in the database), and any meaning of a value beyond its type and range.
//!
//! Nothing here reads a clock or the process's environment; only the file that is named is read. Read `effective.rs` next, then
//! any file in `sections/`.

mod database_url;
mod effective;
mod layers;
mod problem;
mod schema;
mod secret;
mod sections;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use database_url::{DatabaseUrl, DatabaseUrlError, OnlyEmbedded};
pub use effective::{Effective, Entry};
pub use layers::Overrides;
pub use problem::{ConfigErrors, Origin, Problem};
pub use secret::Secret;
pub use sections::{
    AllowedOrigin, CorsConfig, DatabaseConfig, DispatchConfig, EgressConfig, HostPort,
    IdentifierConfig, IntakeConfig, JobConfig, LogConfig, LogFormat, LogLevel, LoopConfig,
    PollConfig, RetentionConfig, RetryConfig, RouterConfig, ServerConfig, SupervisionConfig,
};

/// Everything that can be configured, checked. One field per section of `config/default.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The HTTP side.
    pub server: ServerConfig,
    /// Where messages are kept.
    pub database: DatabaseConfig,
    /// Requests from the hub to endpoints and stores.
    pub egress: EgressConfig,
    /// Which web pages may call the API from a browser.
    pub cors: CorsConfig,
    /// Taking messages in.
    pub intake: IntakeConfig,
    /// Finding each message's subscribers.
    pub router: RouterConfig,
    /// Sending deliveries to endpoints.
    pub dispatch: DispatchConfig,
    /// What happens after a failed attempt.
    pub retry: RetryConfig,
    /// Asking stores for changes.
    pub poll: PollConfig,
    /// What is done to many deliveries at once.
    pub jobs: JobConfig,
    /// How long identifiers are claimed.
    pub identifiers: IdentifierConfig,
    /// How long finished work is kept.
    pub retention: RetentionConfig,
    /// Bounds for derived messages.
    pub loops: LoopConfig,
    /// Keeping the hub's own parts alive.
    pub supervision: SupervisionConfig,
    /// What the program says.
    pub log: LogConfig,
}

impl Config {
    /// Lays `file`, `env` and `flags` over the defaults. `env` is the whole environment, of which only `INTEGRATOR__*` is looked at.
    ///
    /// # Errors
    /// Everything that is wrong, in every layer, not only the first thing.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &Overrides,
    ) -> Result<Self, ConfigErrors> {
        Effective::load(file, env, flags).map(|effective| effective.config)
    }

    /// The configuration of a hub for which nothing is set.
    pub fn defaults() -> Self {
        Self::load(None, std::iter::empty(), &Overrides::default()).expect(
            "the compiled-in defaults are valid, which the test every_default_is_valid shows",
        )
    }

    /// A hub for a test: a free port and two HTTP threads, an embedded database in `folder`, endpoints on this machine allowed, and
    /// short times so that a test of failures ends soon. Everything else as by default.
    pub fn for_tests(folder: &Path) -> Self {
        let defaults = Self::defaults();
        Self {
            server: ServerConfig::for_tests(),
            database: DatabaseConfig::for_tests(folder),
            egress: EgressConfig::for_tests(),
            dispatch: DispatchConfig {
                timeout_secs: 5,
                threads: 1,
                ..defaults.dispatch
            },
            retry: RetryConfig {
                base_secs: 0,
                ..defaults.retry
            },
            supervision: SupervisionConfig {
                heartbeat_secs: 1,
                hang_secs: 3,
                backoff_base_ms: 10,
                backoff_max_secs: 1,
            },
            ..defaults
        }
    }
}
