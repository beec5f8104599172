//! Which keys exist and of which type each is, both read from the compiled-in defaults.

use std::ops::Range;

use toml::{Table, Value, de::DeTable};

/// The defaults, as they are documented.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// What starts each variable that sets a key.
pub(super) const VARIABLE_PREFIX: &str = "INTEGRATOR__";

/// A key that exists.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) default: Value,
}

impl Known {
    /// `section.key`.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// The variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!(
            "{VARIABLE_PREFIX}{}__{}",
            self.section.to_uppercase(),
            self.key.to_uppercase()
        )
    }

    /// `value` if it has this key's type (whole numbers also serve where a fraction may stand), else what was expected.
    pub(super) fn accept(&self, value: Value) -> Result<Value, String> {
        let expected = match (&self.default, value) {
            (Value::Integer(_), Value::Integer(number)) if number >= 0 => {
                return Ok(Value::Integer(number));
            }
            (Value::Float(_), Value::Integer(number)) => return Ok(Value::Float(number as f64)),
            (Value::Array(_), Value::Array(items)) if items.iter().all(Value::is_str) => {
                return Ok(Value::Array(items));
            }
            (default, value)
                if default.same_type(&value) && !value.is_integer() && !value.is_array() =>
            {
                return Ok(value);
            }
            (_, value) => format!("expected {}, found {}", self.expected(), describe(&value)),
        };
        Err(expected)
    }

    /// What a variable's text means for this key's type, not yet accepted.
    pub(super) fn read(&self, text: &str) -> Value {
        let trimmed = text.trim();
        let read = match self.default {
            Value::Integer(_) => trimmed.parse().ok().map(Value::Integer),
            Value::Float(_) => trimmed.parse().ok().map(Value::Float),
            Value::Boolean(_) => trimmed.parse().ok().map(Value::Boolean),
            Value::Array(_) => {
                let items = trimmed
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                Some(Value::Array(
                    items.map(|item| Value::String(item.to_owned())).collect(),
                ))
            }
            _ => None,
        };
        read.unwrap_or_else(|| Value::String(text.to_owned()))
    }

    fn expected(&self) -> &'static str {
        match self.default {
            Value::Integer(_) => "a whole number, not negative",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Array(_) => "a list of texts",
            _ => "a text",
        }
    }
}

/// A found value for a sentence: short scalars as they are, everything else by its kind.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() <= 60 => format!("the text {text:?}"),
        Value::String(_) => "a long text".to_owned(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// All keys, in the order of the documentation.
pub(super) struct Schema(Vec<Known>);

impl Schema {
    /// Reads the compiled-in defaults.
    pub(super) fn new() -> Self {
        let entries = read_toml(DEFAULTS).expect(
            "the compiled-in defaults are TOML, which the test every_default_is_valid shows",
        );
        let known = entries.into_iter().filter_map(|entry| match entry.place {
            Place::InSection { section, key } => Some(Known {
                section,
                key,
                default: entry.value,
            }),
            Place::Top { .. } => None,
        });
        Self(known.collect())
    }

    pub(super) fn keys(&self) -> &[Known] {
        &self.0
    }

    pub(super) fn has_section(&self, section: &str) -> bool {
        self.0.iter().any(|known| known.section == section)
    }

    pub(super) fn find(&self, section: &str, key: &str) -> Option<&Known> {
        self.0
            .iter()
            .find(|known| known.section == section && known.key == key)
    }

    /// The known key most like `name` (`section.key`, or a key alone). A right key in a wrong section counts as almost right.
    pub(super) fn nearest(&self, name: &str) -> Option<&Known> {
        let key = name.rsplit('.').next().unwrap_or(name);
        let likeness = |known: &Known| {
            let whole = strsim::normalized_damerau_levenshtein(name, &known.name());
            let alone = strsim::normalized_damerau_levenshtein(key, &known.key);
            whole.max(0.95 * alone)
        };
        self.0
            .iter()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
    }
}

/// Where a value stands in a TOML file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `key = ...` below `[section]`, or `section.key = ...`.
    InSection { section: String, key: String },
    /// Above all sections, or an empty section.
    Top { key: String },
}

/// A value and the bytes of its key.
pub(super) struct TomlEntry {
    pub(super) place: Place,
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

/// A mistake in a TOML file: what it is and the bytes where it is, when they are known.
#[derive(Debug)]
pub(super) struct TomlMistake {
    pub(super) reason: String,
    pub(super) span: Option<Range<usize>>,
}

/// All values two levels deep, in the order of the file. Read twice: once for the places, once for the values, since the
/// crate offers each without the other.
pub(super) fn read_toml(text: &str) -> Result<Vec<TomlEntry>, Vec<TomlMistake>> {
    let mistake = |error: &toml::de::Error| TomlMistake {
        reason: one_line(error.message()),
        span: error.span(),
    };
    let (places, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut mistakes: Vec<_> = errors.iter().map(mistake).collect();
        mistakes.sort_by_key(|mistake| mistake.span.as_ref().map_or(0, |span| span.start));
        return Err(mistakes);
    }
    let values: Table = toml::from_str(text).map_err(|error| vec![mistake(&error)])?;

    let mut entries = Vec::new();
    for (name, inner) in places.get_ref() {
        let Some(value) = values.get(name.get_ref().as_ref()) else {
            continue;
        };
        match (inner.get_ref().as_table(), value) {
            (Some(keys), Value::Table(below)) if !below.is_empty() => {
                for (key, _) in keys {
                    let Some(value) = below.get(key.get_ref().as_ref()) else {
                        continue;
                    };
                    let place = Place::InSection {
                        section: name.get_ref().to_string(),
                        key: key.get_ref().to_string(),
                    };
                    entries.push(TomlEntry {
                        place,
                        value: value.clone(),
                        span: key.span(),
                    });
                }
            }
            _ => {
                let place = Place::Top {
                    key: name.get_ref().to_string(),
                };
                entries.push(TomlEntry {
                    place,
                    value: value.clone(),
                    span: name.span(),
                });
            }
        }
    }
    entries.sort_by_key(|entry| entry.span.start);
    Ok(entries)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
