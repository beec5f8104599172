//! Filters: conditions of a mapping on what a message says.
//!
//! | operator | holds when |
//! |---|---|
//! | `eq`, `neq` | the value's text is, is not, the filter's; numbers by their text as written, so `10.0` is not `10` |
//! | `gt`, `lt` | both are numbers (a text holding one counts), the value above, below |
//! | `begin`, `contains`, `end` | the value's text does so with the filter's, letters' case included |
//! | `match` | the regular expression is found in the value |
//! | `present`, `empty` | the value is not, is, null, the empty text or the text `null` |
//!
//! Null is the empty text to `eq` and `neq` and never passes the other comparisons. Objects and arrays that a path ends at are their raw JSON.
//! **A path that finds nothing counts as one null**: it passes `empty` and `neq`, and nothing else (save `eq` with no
//! value). When it finds several, `match_rule` decides: `all` of them (default) or `any`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::lookup::{Found, PathId, PathSet, Scalar};
use super::path::Path;

/// The most filters of one mapping.
pub const MAX_FILTERS: usize = 50;

/// The longest value of a filter, in bytes of its text.
pub const MAX_VALUE_BYTES: usize = 2_000;

/// The most memory that one compiled regular expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 256 * 1024;

/// How a value is compared. Written as in the API: `eq`, `neq`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    /// The same text.
    Eq,
    /// Another text.
    Neq,
    /// A greater number.
    Gt,
    /// A smaller number.
    Lt,
    /// The text starts with it.
    Begin,
    /// The text has it somewhere.
    Contains,
    /// The text ends with it.
    End,
    /// There is something.
    Present,
    /// There is nothing.
    Empty,
    /// A regular expression is found in the text.
    Match,
}

impl Operator {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Gt => "gt",
            Self::Lt => "lt",
            Self::Begin => "begin",
            Self::Contains => "contains",
            Self::End => "end",
            Self::Present => "present",
            Self::Empty => "empty",
            Self::Match => "match",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What holds when a path finds several values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchRule {
    /// Each of them must pass.
    #[default]
    All,
    /// One is enough.
    Any,
}

impl MatchRule {
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// The value of a filter: a text, number, boolean or null, given back as it came (`10.50` stays `10.50`).
///
/// Reads and writes with serde_json only, and not below `#[serde(flatten)]` or an untagged enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterValue {
    raw: Arc<str>,
    text: Arc<str>,
}

impl FilterValue {
    /// A text.
    pub fn of_text(text: &str) -> Self {
        Self {
            raw: serde_json::Value::from(text).to_string().into(),
            text: text.into(),
        }
    }

    /// What is compared: a text itself, a number or boolean as written, null as the empty text.
    pub fn as_text(&self) -> &str {
        &self.text
    }
}

impl<'de> Deserialize<'de> for FilterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = match Scalar::of_raw(raw.get()) {
            Scalar::Composite(_) => {
                return Err(serde::de::Error::custom(
                    "a filter's value must be a text, a number, true, false or null",
                ));
            }
            scalar => Arc::from(scalar.as_text()),
        };
        Ok(Self {
            raw: raw.get().into(),
            text,
        })
    }
}

impl Serialize for FilterValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.raw).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// One condition, as the API reads and writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Which values it looks at.
    pub path: Path,
    /// How it compares them.
    pub operator: Operator,
    /// With what; `present` and `empty` need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<FilterValue>,
    /// For paths that find several; left out of the output when it is the default.
    #[serde(default, skip_serializing_if = "MatchRule::is_all")]
    pub match_rule: MatchRule,
}

/// For people: `payload.order.status eq complete`, values cut at 80 characters.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.match_rule == MatchRule::Any {
            f.write_str("any ")?;
        }
        write!(f, "{} {}", self.path, self.operator)?;
        if let Some(value) = &self.value {
            let short: String = value
                .as_text()
                .chars()
                .filter(|c| !c.is_control())
                .take(80)
                .collect();
            write!(f, " {short}")?;
        }
        Ok(())
    }
}

/// Why a mapping's filters cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// More than [`MAX_FILTERS`].
    #[error("filters: {found} given, at most {MAX_FILTERS} are accepted")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// One of them is wrong.
    #[error("filters[{index}].{field}: {problem}")]
    Invalid {
        /// Which one, counted from 0.
        index: usize,
        /// Which of its fields.
        field: &'static str,
        /// What is wrong, as a sentence.
        problem: String,
    },
}

/// What a mapping's filters say about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of them hold.
    Passed,
    /// The first that does not hold.
    Refused {
        /// Its place in the mapping's list, counted from 0.
        index: usize,
    },
}

/// A mapping's filters, ready for use with the values found by the same [`PathSet`].
#[derive(Clone, Debug, Default)]
pub struct CompiledFilters(Box<[Compiled]>);

#[derive(Clone, Debug)]
struct Compiled {
    path: PathId,
    test: Test,
    rule: MatchRule,
}

#[derive(Clone, Debug)]
enum Test {
    Eq(Arc<str>),
    Neq(Arc<str>),
    Gt(f64),
    Lt(f64),
    Begin(Arc<str>),
    Contains(Arc<str>),
    End(Arc<str>),
    Present,
    Empty,
    Match(Regex),
}

impl CompiledFilters {
    /// Checks the filters and adds their paths to `paths`.
    pub fn compile(filters: &[Filter], paths: &mut PathSet) -> Result<Self, FilterError> {
        if filters.len() > MAX_FILTERS {
            return Err(FilterError::TooMany {
                found: filters.len(),
            });
        }
        let tests: Vec<Test> = filters
            .iter()
            .enumerate()
            .map(|(index, filter)| {
                Test::compile(filter).map_err(|problem| FilterError::Invalid {
                    index,
                    field: "value",
                    problem,
                })
            })
            .collect::<Result<_, _>>()?;
        let compiled = filters.iter().zip(tests);
        Ok(Self(
            compiled
                .map(|(filter, test)| Compiled {
                    path: paths.add(&filter.path),
                    test,
                    rule: filter.match_rule,
                })
                .collect(),
        ))
    }

    /// Judges one message; no filters pass everything.
    pub fn matches(&self, found: &Found<'_>) -> Verdict {
        match self.0.iter().position(|filter| !filter.holds(found)) {
            None => Verdict::Passed,
            Some(index) => Verdict::Refused { index },
        }
    }
}

/// What makes two filters the same.
type Key = (PathId, Operator, Option<Arc<str>>, MatchRule);

/// The filters of many mappings, each different one once: a thousand mappings that look at the same thing look once.
#[derive(Debug, Default)]
pub struct FilterSet {
    all: Vec<Compiled>,
    known: HashMap<Key, usize>,
}

impl FilterSet {
    /// Checks a mapping's filters and adds them, and their paths to `paths`. Returns their places in the set, in order.
    ///
    /// # Errors
    /// The first filter that cannot be used.
    pub fn add(
        &mut self,
        filters: &[Filter],
        paths: &mut PathSet,
    ) -> Result<Box<[usize]>, FilterError> {
        if filters.len() > MAX_FILTERS {
            return Err(FilterError::TooMany {
                found: filters.len(),
            });
        }
        let places = filters.iter().enumerate().map(|(index, filter)| {
            let path = paths.add(&filter.path);
            let value = filter.value.as_ref().map(|value| value.text.clone());
            let key = (path, filter.operator, value, filter.match_rule);
            if let Some(place) = self.known.get(&key) {
                return Ok(*place);
            }
            let test = Test::compile(filter).map_err(|problem| FilterError::Invalid {
                index,
                field: "value",
                problem,
            })?;
            let rule = filter.match_rule;
            self.all.push(Compiled { path, test, rule });
            self.known.insert(key, self.all.len() - 1);
            Ok(self.all.len() - 1)
        });
        places.collect()
    }

    /// For judging one message.
    #[must_use]
    pub fn verdicts(&self) -> Verdicts<'_> {
        Verdicts {
            set: self,
            known: vec![None; self.all.len()],
        }
    }
}

/// What the filters of a set say of one message, each asked once.
#[derive(Debug)]
pub struct Verdicts<'a> {
    set: &'a FilterSet,
    known: Vec<Option<bool>>,
}

impl Verdicts<'_> {
    /// Judges the message for a mapping with these filters; no filters pass everything.
    pub fn judge(&mut self, places: &[usize], found: &Found<'_>) -> Verdict {
        let refused = places.iter().position(|place| !self.holds(*place, found));
        refused.map_or(Verdict::Passed, |index| Verdict::Refused { index })
    }

    fn holds(&mut self, place: usize, found: &Found<'_>) -> bool {
        let (Some(filter), Some(known)) = (self.set.all.get(place), self.known.get_mut(place))
        else {
            return false;
        };
        *known.get_or_insert_with(|| filter.holds(found))
    }
}

impl Compiled {
    fn holds(&self, found: &Found<'_>) -> bool {
        match (found.values(self.path), self.rule) {
            ([], _) => self.test.holds(&Scalar::Null),
            (values, MatchRule::All) => values.iter().all(|value| self.test.holds(value)),
            (values, MatchRule::Any) => values.iter().any(|value| self.test.holds(value)),
        }
    }
}

impl Test {
    fn compile(filter: &Filter) -> Result<Self, String> {
        let value = filter.value.as_ref().map(|value| value.text.clone());
        if value
            .as_ref()
            .is_some_and(|text| text.len() > MAX_VALUE_BYTES)
        {
            return Err(format!("is longer than {MAX_VALUE_BYTES} bytes"));
        }
        let needed = || {
            value
                .clone()
                .ok_or_else(|| format!("is needed by the operator {}", filter.operator))
        };
        let number = || {
            number_of(&needed()?)
                .ok_or_else(|| format!("must be a number for the operator {}", filter.operator))
        };
        Ok(match filter.operator {
            Operator::Eq => Self::Eq(value.unwrap_or_default()),
            Operator::Neq => Self::Neq(value.unwrap_or_default()),
            Operator::Gt => Self::Gt(number()?),
            Operator::Lt => Self::Lt(number()?),
            Operator::Begin => Self::Begin(needed()?),
            Operator::Contains => Self::Contains(needed()?),
            Operator::End => Self::End(needed()?),
            Operator::Present => Self::Present,
            Operator::Empty => Self::Empty,
            Operator::Match => Self::Match(
                RegexBuilder::new(&needed()?)
                    .size_limit(MAX_REGEX_BYTES)
                    .dfa_size_limit(MAX_REGEX_BYTES)
                    .build()
                    .map_err(|error| regex_problem(&error))?,
            ),
        })
    }

    fn holds(&self, value: &Scalar<'_>) -> bool {
        let text = value.as_text();
        let something = *value != Scalar::Null;
        match self {
            Self::Eq(own) => text == &**own,
            Self::Neq(own) => text != &**own,
            Self::Gt(own) => number_of(text).is_some_and(|number| number > *own),
            Self::Lt(own) => number_of(text).is_some_and(|number| number < *own),
            Self::Begin(own) => something && text.starts_with(&**own),
            Self::Contains(own) => something && text.contains(&**own),
            Self::End(own) => something && text.ends_with(&**own),
            Self::Present => !is_empty(text),
            Self::Empty => is_empty(text),
            Self::Match(regex) => something && regex.is_match(text),
        }
    }
}

fn is_empty(text: &str) -> bool {
    text.is_empty() || text == "null"
}

/// A number in a text, white space around it allowed; `NaN` and `inf` are none.
fn number_of(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

fn regex_problem(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "is too large a regular expression".to_owned(),
        // The parser draws the place over several lines; its last line says what is wrong.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!(
                "is no regular expression: {}",
                last.trim_start_matches("error: ")
            )
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/filter.rs"]
mod tests;
