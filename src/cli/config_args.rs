//! The flags of every command that reads the configuration.

use std::path::PathBuf;

use crate::config::{ConfigErrors, Effective, Overrides};

/// Where the configuration comes from. Flags win over the environment, the environment over the file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigArgs {
    /// A TOML file with what differs from the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [server.listen]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME [database.url]
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
}

impl ConfigArgs {
    /// What the flags set.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            database: self.database.clone(),
        }
    }

    /// The configuration from all layers; `env` is usually [`environment`].
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(
        &self,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Effective, ConfigErrors> {
        Effective::load(self.config.as_deref(), env, &self.overrides())
    }
}

/// The process's environment. What is no UTF-8 comes with replacement characters, and is then refused by whoever reads it.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(variable, text)| {
        (
            variable.to_string_lossy().into_owned(),
            text.to_string_lossy().into_owned(),
        )
    })
}
