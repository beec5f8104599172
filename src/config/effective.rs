//! Lays the layers over each other, gives the values their types, and remembers where each came from.

use std::path::Path;

use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::layers::{Overrides, Reader};
use super::problem::{ConfigErrors, Origin, Problem};
use super::schema::{Schema, describe};
use super::sections::Section;
use super::{Config, DatabaseUrl};

/// A value in force, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The section's name.
    pub section: String,
    /// The key's name within its section.
    pub key: String,
    /// The value as TOML, passwords masked.
    pub shown: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// A configuration together with the origin of each of its values.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The values.
    pub config: Config,
    /// The same values as text, in the order of `config/default.toml`.
    pub entries: Vec<Entry>,
}

impl Effective {
    /// As [`Config::load`], which see, with the origins kept.
    ///
    /// # Errors
    /// Everything that is wrong, in every layer.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &Overrides,
    ) -> Result<Self, ConfigErrors> {
        let schema = Schema::new();
        let mut reader = Reader::new(&schema);
        if let Some(path) = file {
            reader.read_file(path);
        }
        reader.read_environment(env);
        reader.read_flags(flags);

        let mut merged = Merged::new(&schema, reader);
        let config = merged.config();
        match config {
            Some(config) if merged.problems.is_empty() => {
                let entries = merged
                    .values
                    .into_iter()
                    .map(|value| value.into_entry(&config))
                    .collect();
                Ok(Self { config, entries })
            }
            _ => Err(ConfigErrors(merged.problems)),
        }
    }
}

struct Merged {
    values: Vec<MergedValue>,
    problems: Vec<Problem>,
}

struct MergedValue {
    section: String,
    key: String,
    value: Value,
    default: Value,
    origin: Origin,
}

impl MergedValue {
    fn into_entry(self, config: &Config) -> Entry {
        let Self {
            section,
            key,
            value,
            origin,
            ..
        } = self;
        let shown = match (section.as_str(), key.as_str(), &config.database.url) {
            ("database", "url", url @ DatabaseUrl::Postgres { .. }) => {
                Value::String(url.to_string()).to_string()
            }
            _ => value.to_string(),
        };
        Entry {
            section,
            key,
            shown,
            origin,
        }
    }
}

impl Merged {
    fn new(schema: &Schema, layers: Reader<'_>) -> Self {
        let mut values: Vec<_> = schema
            .keys()
            .iter()
            .map(|known| MergedValue {
                section: known.section.clone(),
                key: known.key.clone(),
                value: known.default.clone(),
                default: known.default.clone(),
                origin: Origin::Default,
            })
            .collect();
        for setting in layers.settings {
            let same = |value: &&mut MergedValue| {
                value.section == setting.section && value.key == setting.key
            };
            if let Some(value) = values.iter_mut().find(same) {
                value.value = setting.value;
                value.origin = setting.origin;
            }
        }
        Self {
            values,
            problems: layers.problems,
        }
    }

    /// The typed configuration. `None` only if a default is wrong; other wrong values are noted and their defaults stand in for
    /// them, so that one mistake does not hide the next.
    fn config(&mut self) -> Option<Config> {
        Some(Config {
            server: self.section()?,
            database: self.section()?,
            egress: self.section()?,
            cors: self.section()?,
            intake: self.section()?,
            router: self.section()?,
            dispatch: self.section()?,
            retry: self.section()?,
            poll: self.section()?,
            jobs: self.section()?,
            identifiers: self.section()?,
            retention: self.section()?,
            loops: self.section()?,
            supervision: self.section()?,
            log: self.section()?,
        })
    }

    fn section<T: Section>(&mut self) -> Option<T> {
        for bound in T::BOUNDS {
            let found = self
                .find(T::NAME, bound.key)
                .map(|value| value.value.clone());
            if let Some(found) = found.filter(|found| !bound.holds(found)) {
                let reason = format!("expected {bound}, found {}", describe(&found));
                self.refuse(T::NAME, bound.key, reason)?;
            }
        }
        loop {
            let table: Table = (self.values.iter())
                .filter(|value| value.section == T::NAME)
                .map(|value| (value.key.clone(), value.value.clone()))
                .collect();
            let error = match serde_path_to_error::deserialize::<_, T>(Value::Table(table)) {
                Ok(section) => {
                    for (key, reason) in section.contradictions() {
                        self.note(T::NAME, key, reason);
                    }
                    return Some(section);
                }
                Err(error) => error,
            };
            let key = match error.path().iter().next() {
                Some(Segment::Map { key }) => key.clone(),
                _ => String::new(),
            };
            self.refuse(T::NAME, &key, error.inner().message().trim_end().to_owned())?;
        }
    }

    fn find(&mut self, section: &str, key: &str) -> Option<&mut MergedValue> {
        self.values
            .iter_mut()
            .find(|value| value.section == section && value.key == key)
    }

    fn note(&mut self, section: &str, key: &str, reason: String) {
        let origin = self
            .find(section, key)
            .map_or(Origin::Default, |value| value.origin.clone());
        self.problems.push(Problem::Value {
            key: format!("{section}.{key}"),
            origin,
            reason,
        });
    }

    /// Notes the problem and puts the default in the value's place. `None` if it was the default already.
    fn refuse(&mut self, section: &str, key: &str, reason: String) -> Option<()> {
        self.note(section, key, reason);
        let value = self.find(section, key)?;
        if value.origin == Origin::Default {
            return None;
        }
        value.value = value.default.clone();
        value.origin = Origin::Default;
        Some(())
    }
}
