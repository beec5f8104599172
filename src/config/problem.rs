//! What can be wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `config/default.toml`, compiled in.
    Default,
    /// The file named with `--config`.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Line of the key, from 1.
        line: usize,
    },
    /// The environment.
    Environment {
        /// The variable's whole name.
        variable: String,
    },
    /// The command line.
    Flag {
        /// The flag with its dashes.
        name: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "file {}, line {line}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read. The operating system's reason is part of the sentence, since these errors are printed as a list.
    #[error("cannot read the configuration file {}: {reason}", path.display())]
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// The operating system's reason.
        reason: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{origin}: {reason}")]
    Syntax {
        /// File and line.
        origin: Origin,
        /// What the reader says.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{key} ({origin}): there is no such key; the nearest known key is {nearest}")]
    UnknownKey {
        /// The key, as `section.key`.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The known key most like it; with its variable when the unknown one came from the environment.
        nearest: String,
    },
    /// A key whose value cannot be used.
    #[error("{key} ({origin}): {reason}")]
    Value {
        /// The key, as `section.key`.
        key: String,
        /// Where the value stands.
        origin: Origin,
        /// What was expected and what was found.
        reason: String,
    },
}

/// Everything that is wrong with a configuration; never empty. `Display` prints a line for each.
#[derive(Debug)]
pub struct ConfigErrors(pub(super) Vec<Problem>);

impl ConfigErrors {
    /// Each problem: first the file's, then the environment's, then the flags', then values out of their range.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a problem:")?,
            count => write!(f, "the configuration has {count} problems:")?,
        }
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigErrors {}
