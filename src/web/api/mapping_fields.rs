//! Reading a mapping over what is stored of it: what is left out keeps its value, also within `options`.
//!
//! Clients of 2013 send `identifiers` and `filters` as JSON inside a text, name `messages` `keys`, and send back members
//! that only ever meant something to that hub (`event_key`, ...): the first two are read, the last are passed over.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::domain::{
    filter::{CompiledFilters, Filter},
    id::Id,
    identifier::Identifiers,
    key::ParameterKey,
    lookup::PathSet,
    message_type::TypePattern,
    registry::{Dialect, Mapping, MappingOptions, SigningSecrets, StoreSnapshot},
};

use super::super::fields::{Fields, Given, is_masked, kind_of};
use crate::wire::standard_webhooks::SigningSecret;

/// Members of our own answers, and of old ones, that a request may hold and that change nothing.
pub const READ_ONLY: [&str; 8] = [
    "id",
    "_id",
    "store_id",
    "created_at",
    "updated_at",
    "event_key",
    "event_details",
    "formatted_filters",
];

/// The most message types of one mapping.
const MAX_MESSAGES: usize = 100;
/// The most parameters of one mapping.
const MAX_PARAMETERS: usize = 200;
/// The most entries of a retry schedule.
const MAX_SCHEDULE: usize = 50;

/// Who changes it: what only an operator may change is refused to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The operator.
    Operator,
    /// A store's admin.
    Admin,
}

/// Reads a mapping; what is wrong is noted in `fields`, and then the result means nothing.
pub fn read(
    fields: &mut Fields<'_>,
    stored: Option<&Mapping>,
    store: &StoreSnapshot,
    by: By,
) -> Mapping {
    let name = fields.name("name", 100);
    let url = fields.address("url");
    if let (None, None) = (&name, stored) {
        fields.note("name", "is missing");
    }
    let url = match (url, stored) {
        (Given::Value(url), _) => url,
        (Given::Absent, Some(stored)) => stored.url.clone(),
        (Given::Null | Given::Absent, _) => {
            fields.note("url", "is missing");
            String::new()
        }
    };
    let (enabled, required) = read_switches(fields, stored, by);
    let mapping = Mapping {
        name: name
            .or_else(|| stored.map(|stored| stored.name.clone()))
            .unwrap_or_default(),
        url,
        token: read_token(fields, stored),
        integration: read_integration(fields, stored, store),
        messages: read_messages(fields, stored),
        parameters: read_parameters(fields, stored, store),
        identifiers: read_identifiers(fields, stored),
        filters: read_filters(fields, stored),
        options: read_options(fields, stored),
        enabled,
        required,
    };
    if by != By::Operator
        && stored.is_some_and(|stored| takes_away_a_token(stored, &mapping, store))
    {
        fields.note(
            "url",
            "is that of an application offered to every store: a mapping that goes elsewhere needs a token of its own",
        );
    }
    mapping
}

/// Whether a changed mapping would send the token of an integration that is the operator's to another address.
fn takes_away_a_token(before: &Mapping, after: &Mapping, store: &StoreSnapshot) -> bool {
    let is_global = before
        .integration
        .is_some_and(|key| store.globals.contains_key(&key));
    let is_moved = before.url != after.url || before.integration != after.integration;
    is_global && is_moved && !after.token.is_empty() && before.token == after.token
}

fn read_switches(fields: &mut Fields<'_>, stored: Option<&Mapping>, by: By) -> (bool, bool) {
    let enabled = fields
        .truth("enabled")
        .value()
        .unwrap_or_else(|| stored.is_none_or(|stored| stored.enabled));
    let was_required = stored.is_some_and(|stored| stored.required);
    let required = fields.truth("required").value().unwrap_or(was_required);
    if was_required && !required && by != By::Operator {
        fields.note("required", "only the operator may lift this");
    }
    if required && !enabled {
        fields.note("enabled", "a required mapping cannot be disabled");
    }
    (enabled, required)
}

fn read_token(fields: &mut Fields<'_>, stored: Option<&Mapping>) -> String {
    let stored = stored.map(|stored| stored.token.clone());
    match fields.text("token") {
        Given::Value(text) if is_masked(&text) => {
            stored.filter(|token| !token.is_empty()).unwrap_or_else(|| {
                fields.note("token", "is masked, give the token itself");
                String::new()
            })
        }
        Given::Value(text) => {
            // It travels in a header (RFC 9110, 5.5).
            if !text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ')
                || text.len() > 1_000
            {
                fields.note("token", "must be at most 1000 visible ASCII characters");
            }
            text
        }
        Given::Null => String::new(),
        Given::Absent => stored.unwrap_or_default(),
    }
}

fn read_integration(
    fields: &mut Fields<'_>,
    stored: Option<&Mapping>,
    store: &StoreSnapshot,
) -> Option<crate::domain::key::IntegrationKey> {
    match fields.text("integration_id") {
        Given::Absent => stored.and_then(|stored| stored.integration),
        Given::Null => None,
        Given::Value(text) if text.is_empty() => None,
        Given::Value(text) => {
            let id = text.parse::<Id>().ok();
            let found = store.offered().find(|entry| Some(entry.id) == id);
            if found.is_none() {
                fields.note(
                    "integration_id",
                    "is no integration that this store can use",
                );
            }
            found.map(|entry| entry.key)
        }
    }
}

fn read_messages(fields: &mut Fields<'_>, stored: Option<&Mapping>) -> Vec<TypePattern> {
    // `keys` until July 2013.
    let old = fields.texts("keys");
    let texts = match fields.texts("messages") {
        Given::Absent => old,
        given => given,
    };
    let texts = match (texts, stored) {
        (Given::Absent, Some(stored)) => return stored.messages.clone(),
        (Given::Value(texts), _) => texts,
        (Given::Absent | Given::Null, _) => Vec::new(),
    };
    if texts.is_empty() {
        fields.note(
            "messages",
            "name at least one message type, such as order:new",
        );
    } else if texts.len() > MAX_MESSAGES {
        fields.note(
            "messages",
            format_args!("{} given, at most {MAX_MESSAGES} are accepted", texts.len()),
        );
    }
    let mut patterns: Vec<TypePattern> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match TypePattern::parse(text.trim()) {
            Ok(pattern) if patterns.contains(&pattern) => {}
            Ok(pattern) => patterns.push(pattern),
            Err(error) => fields.note(&format!("messages[{index}]"), error),
        }
    }
    patterns
}

fn read_parameters(
    fields: &mut Fields<'_>,
    stored: Option<&Mapping>,
    store: &StoreSnapshot,
) -> Vec<ParameterKey> {
    let texts = match fields.texts("parameters") {
        Given::Absent => {
            return stored
                .map(|stored| stored.parameters.clone())
                .unwrap_or_default();
        }
        Given::Null => return Vec::new(),
        Given::Value(texts) => texts,
    };
    if texts.len() > MAX_PARAMETERS {
        fields.note(
            "parameters",
            format_args!(
                "{} given, at most {MAX_PARAMETERS} are accepted",
                texts.len()
            ),
        );
    }
    let mut keys = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let id = text.parse::<Id>().ok();
        match store.parameters.values().find(|entry| Some(entry.id) == id) {
            Some(entry) if keys.contains(&entry.key) => {}
            Some(entry) => keys.push(entry.key),
            None => fields.note(
                &format!("parameters[{index}]"),
                "is no parameter of this store",
            ),
        }
    }
    keys
}

fn read_identifiers(fields: &mut Fields<'_>, stored: Option<&Mapping>) -> Identifiers {
    let Some(text) = structured(fields, "identifiers") else {
        return stored
            .map(|stored| stored.identifiers.clone())
            .unwrap_or_default();
    };
    match parse::<Identifiers>(&text) {
        Ok(identifiers) => identifiers,
        Err((_, problem)) => {
            // Its own sentences name the identifier already.
            let problem = problem
                .strip_prefix("identifiers")
                .map_or(format!(": {problem}"), str::to_owned);
            fields.note_all([format!("identifiers{problem}")]);
            Identifiers::default()
        }
    }
}

fn read_filters(fields: &mut Fields<'_>, stored: Option<&Mapping>) -> Vec<Filter> {
    let Some(text) = structured(fields, "filters") else {
        return stored
            .map(|stored| stored.filters.clone())
            .unwrap_or_default();
    };
    let filters = match parse::<Vec<Filter>>(if text == "{}" { "[]" } else { &text }) {
        Ok(filters) => filters,
        Err((place, problem)) => {
            fields.note(&format!("filters{place}"), problem);
            return Vec::new();
        }
    };
    if let Err(error) = CompiledFilters::compile(&filters, &mut PathSet::new()) {
        fields.note_all([error.to_string()]);
    }
    filters
}

/// A member that is JSON, or a text that holds JSON; null and a blank text are the empty object. `None` when absent.
fn structured<'a>(fields: &mut Fields<'a>, name: &'static str) -> Option<Cow<'a, str>> {
    let raw = match fields.raw(name) {
        Given::Absent => return None,
        Given::Null => return Some(Cow::Borrowed("{}")),
        Given::Value(raw) => raw,
    };
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) if text.trim().is_empty() => Some(Cow::Borrowed("{}")),
        Ok(text) => Some(Cow::Owned(text)),
        Err(_) => Some(Cow::Borrowed(raw.get())),
    }
}

/// Reads JSON; on failure the place in it, such as `[0].operator`, and what is wrong there.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, (String, String)> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let place = error.path().to_string();
        let said = error.into_inner().to_string();
        let said = said
            .rsplit_once(" at line ")
            .map_or(said.as_str(), |(said, _)| said)
            .to_owned();
        (if place == "." { String::new() } else { place }, said)
    })
}

fn read_options(fields: &mut Fields<'_>, stored: Option<&Mapping>) -> MappingOptions {
    let stored = stored
        .map(|stored| stored.options.clone())
        .unwrap_or_default();
    match fields.raw("options") {
        Given::Absent => stored,
        Given::Null => MappingOptions::default(),
        Given::Value(raw) => {
            let (options, problems) = options_over(raw, stored);
            fields.note_all(problems);
            options
        }
    }
}

fn options_over(raw: &RawValue, stored: MappingOptions) -> (MappingOptions, Vec<String>) {
    let mut fields = Fields::read(raw, "options.", &[]);
    let defaults = MappingOptions::default();
    let truth = |given: Given<bool>, stored: bool, default: bool| match given {
        Given::Absent => stored,
        Given::Null => default,
        Given::Value(value) => value,
    };
    // Its older name goes behind.
    let old = fields
        .truth("allow_retries")
        .or_stored(Some(stored.retries_allowed));
    let retries_allowed = truth(
        fields.truth("retries_allowed"),
        old.unwrap_or(true),
        defaults.retries_allowed,
    );
    let ordered = truth(fields.truth("ordered"), stored.ordered, defaults.ordered);
    let accept_any_body = truth(
        fields.truth("accept_any_body"),
        stored.accept_any_body,
        defaults.accept_any_body,
    );
    let options = MappingOptions {
        retries_allowed,
        dialect: read_dialect(&mut fields, stored.dialect),
        ordered,
        concurrency: fields
            .count("concurrency", 1_000)
            .or_stored(stored.concurrency),
        rate_per_sec: read_rate(&mut fields, stored.rate_per_sec),
        timeout_secs: fields
            .count("timeout_secs", 86_400)
            .or_stored(stored.timeout_secs),
        retry_schedule: read_schedule(&mut fields, stored.retry_schedule),
        deadline_secs: fields
            .count("deadline_secs", 31_536_000)
            .or_stored(stored.deadline_secs),
        signing_secret: read_secret(&mut fields, stored.signing_secret),
        accept_any_body,
    };
    (options, fields.into_problems())
}

fn read_dialect(fields: &mut Fields<'_>, stored: Dialect) -> Dialect {
    match fields.raw("dialect") {
        Given::Absent => stored,
        Given::Null => Dialect::default(),
        Given::Value(raw) => match raw.get().trim_matches('"') {
            "1" => Dialect::One,
            "2" => Dialect::Two,
            _ => {
                fields.note("dialect", "must be \"1\" or \"2\"");
                stored
            }
        },
    }
}

fn read_rate(fields: &mut Fields<'_>, stored: Option<f64>) -> Option<f64> {
    match fields.raw("rate_per_sec") {
        Given::Absent => stored,
        Given::Null => None,
        Given::Value(raw) => match raw.get().parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate <= 1_000_000.0 => Some(rate),
            _ => {
                fields.note("rate_per_sec", "must be a number above 0, at most 1000000");
                stored
            }
        },
    }
}

fn read_schedule(fields: &mut Fields<'_>, stored: Option<Vec<u32>>) -> Option<Vec<u32>> {
    match fields.raw("retry_schedule") {
        Given::Absent => stored,
        Given::Null => None,
        Given::Value(raw) => match serde_json::from_str::<Vec<u32>>(raw.get()) {
            Ok(delays) if (1..=MAX_SCHEDULE).contains(&delays.len()) => Some(delays),
            _ => {
                let wanted =
                    format!("must be an array of 1 to {MAX_SCHEDULE} delays in whole seconds");
                fields.note(
                    "retry_schedule",
                    format_args!("{wanted}, found {}", kind_of(raw)),
                );
                stored
            }
        },
    }
}

/// `signing_secret`: one text, or a list of two during a rotation. The mask stands for what is stored at its place.
pub fn read_secret(
    fields: &mut Fields<'_>,
    stored: Option<SigningSecrets>,
) -> Option<SigningSecrets> {
    let texts = match fields.texts("signing_secret") {
        Given::Absent => return stored,
        Given::Null => return None,
        Given::Value(texts) => texts,
    };
    let texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    let known = stored.as_ref().map_or(&[][..], SigningSecrets::texts);
    let mut secrets = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        if is_masked(text) {
            // A mask at a new place is the newest one known: {"signing_secret": ["new", "***"]} begins a rotation.
            match known.get(index).or_else(|| known.first()) {
                Some(known) => secrets.push(known.clone()),
                None => fields.note("signing_secret", "is masked, give the secret itself"),
            }
            continue;
        }
        match SigningSecret::read(text) {
            Ok(_) => secrets.push(text.clone()),
            Err(error) => fields.note("signing_secret", error),
        }
    }
    match <[String; 2]>::try_from(secrets) {
        Ok(both) => Some(SigningSecrets::Rotating(both)),
        Err(mut secrets) if secrets.len() <= 1 => secrets.pop().map(SigningSecrets::One),
        Err(_) => {
            fields.note(
                "signing_secret",
                "must be one secret, or two during a rotation",
            );
            stored
        }
    }
}

#[cfg(test)]
#[path = "tests/mapping_fields.rs"]
mod tests;
