//! Reading an object of a request field by field, so that *everything* that is wrong with it is told in one answer.
//!
//! A serde struct with `deny_unknown_fields` stops at the first fault and names no near neighbour. [`Fields`] takes the
//! members one by one and collects what it does not like; what nobody took is unknown, and the nearest known name is told.
//! A member may be left out, null, or a value ([`Given`]): in a partial update these mean "keep", "clear" and "set".

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::domain::time::Micros;

use super::error::ApiError;

/// The mask that stands for a secret in every answer.
pub const MASK: &str = "***";

/// Whether a secret in a request is one of our own masks, and so means "as it is".
#[must_use]
pub fn is_masked(text: &str) -> bool {
    text.trim() == MASK
}

/// A member of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<T> {
    /// It is not there.
    Absent,
    /// It is null.
    Null,
    /// It has a value.
    Value(T),
}

impl<T> Given<T> {
    /// The value; what is absent or null has none.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// The value that a partial update leaves: `stored` when absent, nothing when null.
    pub fn or_stored(self, stored: Option<T>) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Null => None,
            Self::Absent => stored,
        }
    }
}

/// The members of an object, with the place of each value in the source. Of two with one name the last counts.
#[derive(Debug, Default)]
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Root;
        impl<'de> Visitor<'de> for Root {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    let value = map.next_value()?;
                    members.retain(|(known, _)| *known != name.0);
                    members.push((name.0, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Root)
    }
}

/// A name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// The members of `raw`; `None` when it is no object.
    #[must_use]
    pub fn read(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(place).1)
    }
}

/// An object being read, and what is wrong with it so far.
#[derive(Debug)]
pub struct Fields<'a> {
    members: Members<'a>,
    /// Put before names in sentences: `options.` or nothing.
    prefix: &'static str,
    problems: Vec<String>,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The object `raw`. Members named in `ignored` (read-only ones of our own answers) are passed over.
    pub fn read(raw: &'a RawValue, prefix: &'static str, ignored: &[&str]) -> Self {
        let mut fields = Self {
            members: Members::default(),
            prefix,
            problems: Vec::new(),
            asked: Vec::new(),
        };
        match Members::read(raw) {
            Some(mut members) => {
                members
                    .0
                    .retain(|(name, _)| !ignored.contains(&name.as_ref()));
                fields.members = members;
            }
            None => {
                let whole = prefix.trim_end_matches('.');
                let whole = if whole.is_empty() { "body" } else { whole };
                fields.problems.push(format!(
                    "{whole}: must be an object, found {}",
                    kind_of(raw)
                ));
            }
        }
        fields
    }

    /// The object under the one member `wrapper` of a body, such as `{"mapping":{...}}`.
    ///
    /// # Errors
    /// 422 when the body is anything else.
    pub fn wrapped(
        body: &'a RawValue,
        wrapper: &'static str,
        ignored: &[&str],
    ) -> Result<Self, ApiError> {
        let mut outer = Self::read(body, "", &[]);
        let inner = outer.raw(wrapper);
        match inner {
            Given::Value(inner) if outer.problems.is_empty() && outer.members.0.is_empty() => {
                Ok(Self::read(inner, "", ignored))
            }
            Given::Value(_) => Err(outer.finish(wrapper).expect_err("a member is left over")),
            Given::Absent | Given::Null => {
                let shape = format!("the body must be {{\"{wrapper}\": {{...}}}}");
                Err(ApiError::invalid_field(
                    wrapper,
                    wrapper,
                    format_args!("is missing, {shape}"),
                ))
            }
        }
    }

    /// Notes that something is wrong.
    pub fn note(&mut self, field: &str, problem: impl std::fmt::Display) {
        self.problems
            .push(format!("{}{field}: {problem}", self.prefix));
    }

    /// Nothing is wrong so far.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes what another reader has already put into sentences.
    pub fn note_all(&mut self, problems: impl IntoIterator<Item = String>) {
        self.problems.extend(problems);
    }

    /// A member as raw JSON.
    pub fn raw(&mut self, name: &'static str) -> Given<&'a RawValue> {
        self.asked.push(name);
        match self.members.take(name) {
            None => Given::Absent,
            Some(raw) if raw.get() == "null" => Given::Null,
            Some(raw) => Given::Value(raw),
        }
    }

    fn typed<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Given<T> {
        match self.raw(name) {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(raw) => match read(raw.get()) {
                Some(value) => Given::Value(value),
                None => {
                    self.note(
                        name,
                        format_args!("must be {wanted}, found {}", kind_of(raw)),
                    );
                    // Noted: what is returned does not matter any more.
                    Given::Absent
                }
            },
        }
    }

    /// A text.
    pub fn text(&mut self, name: &'static str) -> Given<String> {
        self.typed(name, "a text", |raw| serde_json::from_str(raw).ok())
    }

    /// A text that names something: trimmed, neither empty nor longer than `longest` characters, without control characters.
    /// Null counts as empty.
    pub fn name(&mut self, name: &'static str, longest: usize) -> Option<String> {
        let text = match self.text(name) {
            Given::Absent => return None,
            Given::Null => String::new(),
            Given::Value(text) => text.trim().to_owned(),
        };
        if text.is_empty() {
            self.note(name, "must not be empty");
        } else if text.chars().count() > longest {
            self.note(name, format_args!("must have at most {longest} characters"));
        } else if text.chars().any(char::is_control) {
            self.note(name, "must not hold control characters");
        }
        Some(text)
    }

    /// True or false; also as the text that forms make of it.
    pub fn truth(&mut self, name: &'static str) -> Given<bool> {
        self.typed(name, "true or false", |raw| match raw {
            "true" | "\"true\"" | "\"1\"" => Some(true),
            "false" | "\"false\"" | "\"0\"" => Some(false),
            _ => None,
        })
    }

    /// A whole number from 1 to `greatest`.
    pub fn count(&mut self, name: &'static str, greatest: u32) -> Given<u32> {
        self.whole(name, 1, greatest)
    }

    /// A whole number from `least` to `greatest`.
    pub fn whole(&mut self, name: &'static str, least: u32, greatest: u32) -> Given<u32> {
        let wanted = format!("a whole number from {least} to {greatest}");
        self.typed(name, &wanted, |raw| {
            raw.parse()
                .ok()
                .filter(|number| (least..=greatest).contains(number))
        })
    }

    /// An array of texts; a single text counts as an array of one.
    pub fn texts(&mut self, name: &'static str) -> Given<Vec<String>> {
        self.typed(name, "an array of texts", |raw| {
            serde_json::from_str::<Vec<String>>(raw)
                .or_else(|_| serde_json::from_str(raw).map(|one| vec![one]))
                .ok()
        })
    }

    /// An instant (RFC 3339).
    pub fn time(&mut self, name: &'static str) -> Given<Micros> {
        self.typed(name, "a time such as 2026-03-02T14:06:00Z", |raw| {
            serde_json::from_str(raw).ok()
        })
    }

    /// An address of the web: `http` or `https`, with a host, without user, password and fragment. An empty text is null.
    pub fn address(&mut self, name: &'static str) -> Given<String> {
        match self.text(name) {
            Given::Value(text) if text.trim().is_empty() => Given::Null,
            Given::Value(text) => {
                if let Err(problem) = check_address(text.trim()) {
                    self.note(name, problem);
                }
                Given::Value(text.trim().to_owned())
            }
            other => other,
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with all that was noted and with the members that nobody asked for. `what` is the word for the whole.
    pub fn finish(mut self, what: &str) -> Result<(), ApiError> {
        for (name, _) in &self.members.0 {
            self.problems
                .push(format!("{}{}", self.prefix, unknown(name, &self.asked)));
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(what, self.problems))
        }
    }

    /// Ends the reading of an inner object: what is wrong with it, for [`Fields::note_all`] of the outer one.
    #[must_use]
    pub fn into_problems(mut self) -> Vec<String> {
        for (name, _) in &self.members.0 {
            self.problems
                .push(format!("{}{}", self.prefix, unknown(name, &self.asked)));
        }
        self.problems
    }
}

/// What is wrong with an address, if anything. The address is not repeated: it may hold a password.
fn check_address(text: &str) -> Result<(), &'static str> {
    const WANTED: &str = "must be an address such as https://example.com/path";
    if text.len() > 2_000 {
        return Err("must have at most 2000 characters");
    }
    // A reader of addresses passes over line breaks and tabs; what stands there is not what it looks like.
    if text.chars().any(char::is_control) {
        return Err("must not hold control characters");
    }
    let url = url::Url::parse(text).map_err(|_| WANTED)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(WANTED);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password");
    }
    if url.fragment().is_some() {
        return Err("must not hold a fragment (#...)");
    }
    Ok(())
}

/// A sentence on a name that nobody knows here, with the nearest that is known.
#[must_use]
pub fn unknown(name: &str, known: &[&str]) -> String {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    let near = known
        .iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), candidate),
                *candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len() / 3))
        .min();
    match near {
        Some((_, candidate)) => format!("{shown}: is unknown, did you mean {candidate}?"),
        None => format!("{shown}: is unknown"),
    }
}

/// What kind of JSON value stands there, for sentences.
#[must_use]
pub fn kind_of(raw: &RawValue) -> &'static str {
    match raw.get().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    fn errors(outcome: Result<(), ApiError>) -> Vec<String> {
        outcome
            .expect_err("something is wrong")
            .document()
            .errors
            .to_vec()
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let body = raw(r#"{"name":" ","url":"ftp://x/","enabled":1,"id":"mine","filtres":[]}"#);
        let mut fields = Fields::read(&body, "", &["id"]);
        fields.name("name", 10);
        fields.address("url");
        fields.truth("enabled");
        fields.raw("filters");
        assert_eq!(
            errors(fields.finish("mapping")),
            [
                "name: must not be empty",
                "url: must begin with http:// or https://",
                "enabled: must be true or false, found a number",
                "filtres: is unknown, did you mean filters?",
            ]
        );
    }

    #[test]
    fn absent_null_and_value_are_three_things() {
        let body = raw(r#"{"a":null,"b":"x","b":"y"}"#);
        let mut fields = Fields::read(&body, "", &[]);
        assert_eq!(fields.text("a"), Given::Null);
        assert_eq!(fields.text("b"), Given::Value("y".to_owned()));
        assert_eq!(fields.text("c"), Given::Absent);
        fields.finish("thing").expect("nothing is wrong");
    }

    #[test]
    fn a_wrapper_is_needed_and_stands_alone() {
        let wrong = |text: &str| {
            Fields::wrapped(&raw(text), "mapping", &[])
                .map(|_| ())
                .expect_err("wrong")
                .document()
                .errors
                .join("; ")
        };
        assert_eq!(
            wrong(r#"{"name":"x"}"#),
            r#"mapping: is missing, the body must be {"mapping": {...}}"#
        );
        assert_eq!(wrong(r#"{"mapping":{},"mode":1}"#), "mode: is unknown");
        assert_eq!(
            wrong("[]"),
            r#"mapping: is missing, the body must be {"mapping": {...}}"#
        );
    }

    #[test]
    fn an_address_with_a_line_break_or_another_control_character_is_refused() {
        for text in [
            "https://host/a\r\nX-Evil: 1",
            "https://ho\tst/",
            "https://host/\u{7f}",
            "https://host/\0",
        ] {
            let problem = check_address(text).expect_err("refused");
            assert_eq!(problem, "must not hold control characters");
        }
    }

    #[test]
    fn addresses_with_secrets_in_them_are_refused_without_repeating_them() {
        for text in [
            "https://u:hunter2@host/",
            "https://hunter2@host/",
            "https://host/#hunter2",
            "hunter2",
            "https:///",
        ] {
            let problem = check_address(text).expect_err(text);
            assert!(!problem.contains("hunter2"));
        }
        check_address("http://shop.example.com:3000/api/?x=1").expect("an address");
    }
}
