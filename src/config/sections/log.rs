//! `[log]`: what the program says.

use serde::Deserialize;

use super::{Bound, Section};

/// How much is said, and in which form.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// The least important level that is said.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
}

/// As [`log::LevelFilter`], with its words in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What has failed and needs a person.
    Error,
    /// What looks wrong and goes on.
    Warn,
    /// What happens now and then in a healthy hub.
    Info,
    /// What happens for each message.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The same for the `log` crate.
    pub fn filter(self) -> log::LevelFilter {
        match self {
            Self::Off => log::LevelFilter::Off,
            Self::Error => log::LevelFilter::Error,
            Self::Warn => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Debug => log::LevelFilter::Debug,
            Self::Trace => log::LevelFilter::Trace,
        }
    }
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object per line.
    Json,
}

impl Section for LogConfig {
    const NAME: &'static str = "log";
    const BOUNDS: &'static [Bound] = &[];
}
