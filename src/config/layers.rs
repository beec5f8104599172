//! The layers above the defaults: each source is turned into settings that remember where they stand.

use std::path::Path;

use toml::Value;

use super::problem::{Origin, Problem};
use super::schema::{Place, Schema, TomlMistake, VARIABLE_PREFIX, describe, read_toml};

/// What flags of the command line set. `None` leaves the lower layers alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`, for `server.listen`.
    pub listen: Option<String>,
    /// `--database`, for `database.url`.
    pub database: Option<String>,
}

/// A known key, a value of its type, and where it stands.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Reads the layers one after the other, and collects what is wrong on the way.
pub(super) struct Reader<'a> {
    schema: &'a Schema,
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self {
            schema,
            settings: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The settings of the file at `path`.
    pub(super) fn read_file(&mut self, path: &Path) {
        match std::fs::read_to_string(path) {
            Ok(text) => self.read_file_text(path, &text),
            Err(reason) => self.problems.push(Problem::Unreadable {
                path: path.to_owned(),
                reason,
            }),
        }
    }

    fn read_file_text(&mut self, path: &Path, text: &str) {
        let at = |byte: usize| {
            let line = 1 + text
                .bytes()
                .take(byte)
                .filter(|byte| *byte == b'\n')
                .count();
            Origin::File {
                path: path.to_owned(),
                line,
            }
        };
        match read_toml(text) {
            Err(mistakes) => {
                let syntax = |TomlMistake { reason, span }| Problem::Syntax {
                    origin: at(span.map_or(0, |span| span.start)),
                    reason,
                };
                self.problems.extend(mistakes.into_iter().map(syntax));
            }
            Ok(entries) => {
                for entry in entries {
                    let origin = at(entry.span.start);
                    match entry.place {
                        Place::InSection { section, key } => {
                            self.set(section, key, entry.value, origin)
                        }
                        Place::Top { key } => self.set_top(key, &entry.value, origin),
                    }
                }
            }
        }
    }

    /// An empty section is harmless; anything else above the sections belongs into one.
    fn set_top(&mut self, key: String, value: &Value, origin: Origin) {
        match (self.schema.has_section(&key), value) {
            (true, Value::Table(_)) => {}
            (true, value) => {
                let reason = format!(
                    "expected the section [{key}] with keys below it, found {}",
                    describe(value)
                );
                self.problems.push(Problem::Value {
                    key,
                    origin,
                    reason,
                });
            }
            (false, _) => self.unknown(key, origin),
        }
    }

    /// The settings among `env`, which may be a process's whole environment.
    pub(super) fn read_environment(&mut self, env: impl Iterator<Item = (String, String)>) {
        let mut variables: Vec<_> = env
            .filter(|(variable, _)| variable.starts_with(VARIABLE_PREFIX))
            .collect();
        variables.sort();
        for (variable, text) in variables {
            let name = variable
                .strip_prefix(VARIABLE_PREFIX)
                .unwrap_or(&variable)
                .to_lowercase();
            let origin = Origin::Environment { variable };
            match name.split_once("__") {
                Some((section, key)) => match self.schema.find(section, key) {
                    Some(known) => {
                        let value = known.read(&text);
                        self.set(section.to_owned(), key.to_owned(), value, origin);
                    }
                    None => self.unknown(format!("{section}.{key}"), origin),
                },
                None => self.unknown(name, origin),
            }
        }
    }

    /// The settings of the command line.
    pub(super) fn read_flags(&mut self, flags: &Overrides) {
        for (flag, section, key, name) in [
            (&flags.listen, "server", "listen", "--listen"),
            (&flags.database, "database", "url", "--database"),
        ] {
            if let Some(text) = flag {
                self.set(
                    section.to_owned(),
                    key.to_owned(),
                    Value::String(text.clone()),
                    Origin::Flag { name },
                );
            }
        }
    }

    fn set(&mut self, section: String, key: String, value: Value, origin: Origin) {
        let Some(known) = self.schema.find(&section, &key) else {
            return self.unknown(format!("{section}.{key}"), origin);
        };
        match known.accept(value) {
            Ok(value) => self.settings.push(Setting {
                section,
                key,
                value,
                origin,
            }),
            Err(reason) => self.problems.push(Problem::Value {
                key: known.name(),
                origin,
                reason,
            }),
        }
    }

    fn unknown(&mut self, key: String, origin: Origin) {
        let nearest = self
            .schema
            .nearest(&key)
            .map_or_else(String::new, |known| match origin {
                Origin::Environment { .. } => format!("{} ({})", known.name(), known.variable()),
                _ => known.name(),
            });
        self.problems.push(Problem::UnknownKey {
            key,
            origin,
            nearest,
        });
    }
}
