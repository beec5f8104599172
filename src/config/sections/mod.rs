//! One struct per section: its keys with types and bounds.
//!
//! Each field's name is its key and says its unit; `config/default.toml` explains it to operators. A struct refuses keys that it
//! does not have, and misses none that the defaults lack, so that the file and the structs cannot drift apart.

mod bound;
mod cors;
mod database;
mod dispatch;
mod egress;
mod identifiers;
mod intake;
mod jobs;
mod log;
mod loops;
mod poll;
mod retention;
mod retry;
mod router;
mod server;
mod supervision;

use serde::de::DeserializeOwned;

pub(super) use bound::Bound;
pub use cors::{AllowedOrigin, CorsConfig};
pub use database::DatabaseConfig;
pub use dispatch::DispatchConfig;
pub use egress::EgressConfig;
pub use identifiers::IdentifierConfig;
pub use intake::IntakeConfig;
pub use jobs::JobConfig;
pub use log::{LogConfig, LogFormat, LogLevel};
pub use loops::LoopConfig;
pub use poll::PollConfig;
pub use retention::RetentionConfig;
pub use retry::RetryConfig;
pub use router::RouterConfig;
pub use server::{HostPort, ServerConfig};
pub use supervision::SupervisionConfig;

/// A section of the configuration.
pub(super) trait Section: DeserializeOwned {
    /// Its name in the file.
    const NAME: &'static str;
    /// What each of its numbers may be.
    const BOUNDS: &'static [Bound];

    /// Values that are fine alone and wrong together: the key to change and why.
    fn contradictions(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
