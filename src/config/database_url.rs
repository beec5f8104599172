//! Which database, and where: the value of `database.url`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::Secret;

const EXPECTED: &str = "expected sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME";

/// The database that a hub keeps everything in. `Display` masks the password, `Debug` shows no more.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The embedded database.
    Sqlite {
        /// The file, taken literally from behind `sqlite://` (no percent decoding, no `?options`). Folders above it may be missing.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgres {
        /// The whole URL, usually with a password in it.
        url: Secret,
    },
}

/// Why a text is no database URL. Does not repeat the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{EXPECTED}: {reason}")]
pub struct DatabaseUrlError {
    reason: String,
}

/// The configuration names a PostgreSQL server where only the embedded database will do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "database.url names a PostgreSQL server, but this needs the embedded database; set it to sqlite://PATH"
)]
pub struct OnlyEmbedded;

impl DatabaseUrl {
    /// Reads `sqlite://PATH`, `postgres://...` or `postgresql://...`.
    pub fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        let refuse = |reason: &str| {
            Err(DatabaseUrlError {
                reason: reason.to_owned(),
            })
        };
        if let Some(path) = text.strip_prefix("sqlite://") {
            return match path {
                "" => refuse("the path is empty"),
                ":memory:" => {
                    refuse("a database in memory would lose what was accepted, name a file")
                }
                _ if path.ends_with('/') => refuse("the path names a folder, not a file"),
                _ if path.contains(['?', '\0']) => {
                    refuse("options behind a `?` are not understood, the path is taken literally")
                }
                _ => Ok(Self::Sqlite {
                    path: PathBuf::from(path),
                }),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return match url::Url::parse(text) {
                Ok(url) if url.host_str().is_none_or(str::is_empty) => {
                    refuse("the host is missing")
                }
                Ok(_) => Ok(Self::Postgres {
                    url: Secret::new(text),
                }),
                Err(error) => refuse(&error.to_string()),
            };
        }
        match text.split_once("://") {
            Some(_) => refuse("this is another kind of URL"),
            None => refuse("this is no URL"),
        }
    }

    /// The embedded database's file.
    ///
    /// # Errors
    /// [`OnlyEmbedded`] for a PostgreSQL URL.
    pub fn embedded(&self) -> Result<&Path, OnlyEmbedded> {
        match self {
            Self::Sqlite { path } => Ok(path),
            Self::Postgres { .. } => Err(OnlyEmbedded),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite://{}", path.display()),
            Self::Postgres { url } => f.write_str(&masked(url.expose())),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// The URL with its password replaced, and without its query: PostgreSQL takes passwords there too (`?password=`, `?sslpassword=`).
fn masked(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else {
        return "postgres://***".to_owned();
    };
    let password = url.password().map(|_| "***");
    let query = url.query().map(|_| "***");
    if url.set_password(password).is_err() {
        return "postgres://***".to_owned();
    }
    url.set_query(query);
    url.set_fragment(None);
    url.to_string()
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> DatabaseUrl {
        DatabaseUrl::Sqlite {
            path: PathBuf::from(path),
        }
    }

    #[test]
    fn a_path_is_relative_with_two_slashes_and_absolute_with_three() {
        assert_eq!(
            DatabaseUrl::parse("sqlite://data/hub.db"),
            Ok(file("data/hub.db"))
        );
        assert_eq!(
            DatabaseUrl::parse("sqlite:///var/lib/hub.db"),
            Ok(file("/var/lib/hub.db"))
        );
        assert_eq!(
            DatabaseUrl::parse("sqlite://with space%20.db"),
            Ok(file("with space%20.db"))
        );
    }

    #[test]
    fn what_is_no_file_and_no_server_is_refused_with_the_reason() {
        for (text, reason) in [
            ("sqlite://", "the path is empty"),
            ("sqlite://:memory:", "in memory"),
            ("sqlite://data/", "names a folder"),
            ("sqlite://hub.db?mode=ro", "options"),
            ("mysql://u:hunter2@db/hub", "another kind"),
            ("hub.db", "no URL"),
            ("postgres:///hub", "the host is missing"),
            ("postgres://u:hunter2@db:port/hub", "port"),
        ] {
            let error = DatabaseUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(
                error.starts_with("expected sqlite://PATH or postgres://"),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_never_shows() {
        let url =
            DatabaseUrl::parse("postgres://hub:hunter2@db.example.com:5433/hub?password=hunter2")
                .unwrap();
        assert_eq!(
            url.to_string(),
            "postgres://hub:***@db.example.com:5433/hub?***"
        );
        assert!(!format!("{url:?}").contains("hunter2"));
    }

    #[test]
    fn a_server_is_no_file() {
        assert_eq!(file("hub.db").embedded(), Ok(Path::new("hub.db")));
        let server = DatabaseUrl::parse("postgres://hub:hunter2@db/hub").unwrap();
        let said = server.embedded().unwrap_err().to_string();
        assert!(said.contains("needs the embedded database"), "{said}");
    }
}
