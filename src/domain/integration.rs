//! Integrations: endpoint applications that the hub knows, and the services they offer.
//!
//! An application describes itself in `endpoint.json`, or a person enters its services by hand where it dropped that file. What is
//! kept is the clean form: one spelling of everything, in the shape the hub's API shows it (WIRE A.2: services as in endpoint.json).
//! Reading the many spellings is `wire::endpoint_json`; turning services into mappings is [`super::signup`].
//!
//! An integration of a store is custom; one that belongs to no store is global, offered to all. Which of the two it is says the
//! row that holds it, not the integration itself.

use std::{collections::BTreeMap, fmt};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    filter::Filter,
    identifier::Identifiers,
    message_type::TypePattern,
    parameter::DataType,
    registry::{Dialect, SigningSecrets},
    schedule::Schedule,
    signup::whole_name,
    time::Micros,
};

/// The longest name of an integration, service or parameter, in bytes.
pub const MAX_NAME_BYTES: usize = 100;

/// The longest address, in bytes.
pub const MAX_URL_BYTES: usize = 2_000;

/// The longest token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 1_000;

/// The most memory that one compiled regular expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 256 * 1024;

/// Whether an integration can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntegrationState {
    /// It has no services yet, or its description has errors.
    Pending,
    /// Its services can be signed up for.
    Ready,
}

/// Where an integration's services came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ServicesFrom {
    /// Nothing was read yet.
    #[default]
    Nowhere,
    /// The application's endpoint.json.
    EndpointJson {
        /// When it was read last, whatever came of it.
        read_at: Micros,
    },
    /// A person; a refresh does not replace them.
    Hand,
}

/// A registered endpoint application, as the database keeps it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Integration {
    /// Its name: the prefix of its parameters and mappings. Unique in its store.
    pub name: String,
    /// The name for people.
    #[serde(default)]
    pub display: Option<String>,
    /// What it does.
    #[serde(default)]
    pub description: Option<String>,
    /// Text or an address that helps.
    #[serde(default)]
    pub help: Option<String>,
    /// Its address; services' paths follow it.
    pub url: String,
    /// Free text that groups integrations.
    pub category: String,
    /// What its services get as token; empty sends none. Secret.
    #[serde(default)]
    pub token: String,
    /// Signs the requests of mappings that have no signing secret of their own; secret, never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<SigningSecrets>,
    /// Its picture as endpoint.json gives it; see [`Integration::icon_address`].
    #[serde(default)]
    pub icon_url: Option<String>,
    /// What it offers.
    #[serde(default)]
    pub services: Vec<Service>,
    /// What makes it unusable, a sentence each.
    #[serde(default)]
    pub error_messages: Vec<String>,
    /// What is odd about it and was understood all the same, a sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Where the services came from.
    #[serde(default)]
    pub services_from: ServicesFrom,
}

/// What an application says of itself, read and cleaned.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EndpointDescription {
    /// The name it gives itself, when it is a sound one.
    pub name: Option<String>,
    /// The name for people.
    pub display: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// Text or an address that helps.
    pub help: Option<String>,
    /// Its picture, mostly relative to its address.
    pub icon_url: Option<String>,
    /// What it offers.
    pub services: Vec<Service>,
    /// What makes it unusable, a sentence each.
    pub error_messages: Vec<String>,
    /// What is odd about it and was understood all the same, a sentence each.
    pub warnings: Vec<String>,
}

impl Integration {
    /// Whether it can be signed up for. Old clients decide the same way: pending without services or with errors.
    #[must_use]
    pub fn state(&self) -> IntegrationState {
        if self.services.is_empty() || !self.error_messages.is_empty() {
            IntegrationState::Pending
        } else {
            IntegrationState::Ready
        }
    }

    /// What is wrong with what an operator gave, each `field: sentence`; services are checked when they are read.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !is_name(&self.name) {
            mistakes.push("name: must be small letters, digits, - and _".to_owned());
        }
        match Url::parse(&self.url) {
            _ if self.url.chars().any(char::is_control) => {
                mistakes.push("url: must not hold control characters".to_owned());
            }
            Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                mistakes.push("url: must begin with http:// or https://".to_owned());
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                mistakes.push("url: must hold no user name or password".to_owned());
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                mistakes.push("url: must have nothing behind its path, no ? and no #".to_owned());
            }
            Ok(_) if self.url.len() <= MAX_URL_BYTES => {}
            _ => {
                mistakes.push("url: must be an address such as https://app.example.org".to_owned())
            }
        }
        if self.category.trim().is_empty() || self.category.len() > MAX_NAME_BYTES {
            mistakes.push(format!("category: must have 1 to {MAX_NAME_BYTES} bytes"));
        }
        // It travels in a header: visible ASCII, RFC 9110, 5.5.
        let visible = self.token.bytes().all(|b| matches!(b, b'!'..=b'~'));
        if !visible || self.token.len() > MAX_TOKEN_BYTES {
            mistakes.push(format!(
                "token: must be at most {MAX_TOKEN_BYTES} letters, digits and signs without blanks"
            ));
        }
        mistakes
    }

    /// Takes over what its endpoint.json says, read at `at`. A text that the operator gave (`display`) stays; so do services when the new
    /// description is unusable, because mappings made from them go on working.
    pub fn describe(&mut self, description: EndpointDescription, at: Micros) {
        let EndpointDescription {
            name,
            display,
            description,
            help,
            icon_url,
            services,
            error_messages,
            mut warnings,
        } = description;
        if let Some(own) = name.filter(|own| *own != self.name) {
            warnings.push(format!(
                "name: the application calls itself {own} and is registered as {}; its parameters are sent with the prefix {}.",
                self.name, self.name
            ));
        }
        let keep = |own: &mut Option<String>| own.take().filter(|text| !text.trim().is_empty());
        self.display = keep(&mut self.display).or(display);
        if error_messages.is_empty() || self.services.is_empty() {
            self.services = services;
        }
        self.description = description.or(self.description.take());
        self.help = help.or(self.help.take());
        self.icon_url = icon_url.or(self.icon_url.take());
        self.error_messages = error_messages;
        self.warnings = warnings;
        self.services_from = ServicesFrom::EndpointJson { read_at: at };
    }

    /// The service of this name, with or without the integration's prefix.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        let short = name
            .strip_prefix(self.name.as_str())
            .and_then(|rest| rest.strip_prefix('.'));
        self.services
            .iter()
            .find(|service| service.name == name || Some(service.name.as_str()) == short)
    }

    /// How its services declare the parameter of this whole name (`acme.speed`); several may, and all of them count.
    pub fn declared<'a>(&'a self, whole: &'a str) -> impl Iterator<Item = &'a ServiceParameter> {
        let services = self.services.iter();
        let all = services.flat_map(|service| &service.requires.parameters);
        all.filter(move |own| whole_name(&self.name, &own.name) == whole)
    }

    /// The whole address of its picture: `url + "/" + icon_url`, unless that is an address itself.
    #[must_use]
    pub fn icon_address(&self) -> Option<String> {
        let icon = self.icon_url.as_deref()?.trim();
        if icon.is_empty() {
            None
        } else if icon.starts_with("http://") || icon.starts_with("https://") {
            Some(icon.to_owned())
        } else {
            Some(join(&self.url, icon))
        }
    }
}

/// An address and a path under it, with one slash between: a service's address, or endpoint.json's.
#[must_use]
pub fn join(url: &str, path: &str) -> String {
    format!(
        "{}/{}",
        url.trim().trim_end_matches('/'),
        path.trim().trim_start_matches('/')
    )
}

impl fmt::Debug for Integration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Integration")
            .field("name", &self.name)
            .field("url", &self.url)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// One thing an application can do: a path that takes messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, short: its mapping is `<integration>.<name>`.
    pub name: String,
    /// Its path below the integration's address, with a slash in front.
    pub path: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// It cannot be switched off.
    #[serde(default)]
    pub required: bool,
    /// What it needs.
    #[serde(default)]
    pub requires: Requires,
    /// What its mapping should be like.
    #[serde(default)]
    pub recommends: Recommends,
}

/// What a service needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Requires {
    /// Configuration values.
    #[serde(default)]
    pub parameters: Vec<ServiceParameter>,
    /// Other things, described in words: fields of the payload (`sku`, `amazon_order_id`), mostly.
    #[serde(flatten)]
    pub other: BTreeMap<String, String>,
}

/// What a service's mapping should be like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Recommends {
    /// Message types.
    #[serde(default)]
    pub messages: Vec<TypePattern>,
    /// What it should take only once.
    #[serde(default, skip_serializing_if = "Identifiers::is_empty")]
    pub identifiers: Identifiers,
    /// What it should take at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Options.
    #[serde(default, skip_serializing_if = "RecommendedOptions::is_empty")]
    pub options: RecommendedOptions,
    /// How often something should be pushed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
}

/// Options that a service recommends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecommendedOptions {
    /// Failures are retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries_allowed: Option<bool>,
    /// The form of request and answer; only newer applications say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}

impl RecommendedOptions {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a person enters a parameter's value. Forms of old clients go by these words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// A line of text.
    #[default]
    String,
    /// A text that nobody should read over a shoulder.
    Password,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// A check box.
    Boolean,
    /// A list of objects.
    List,
}

impl FieldType {
    /// The type of the value.
    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Self::String | Self::Password => DataType::String,
            Self::Integer => DataType::Integer,
            Self::Float => DataType::Float,
            Self::Boolean => DataType::Boolean,
            Self::List => DataType::List,
        }
    }
}

/// A configuration value that a service wants.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceParameter {
    /// Its name, short or already with the integration's prefix; may contain dots.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// The type of its value.
    #[serde(default)]
    pub data_type: FieldType,
    /// The value when none is given, of its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Which values are accepted; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
    /// It may stay empty.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Of a boolean: the parameters that matter only when it is true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enables: Vec<String>,
    /// The boolean without which this one does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde gives a reference
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Which values a parameter accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Allowed {
    /// One of these texts.
    Values(Vec<String>),
    /// A text in which this regular expression is found.
    Pattern(String),
}

impl Allowed {
    /// Whether a value of the right type is accepted. Numbers and booleans are compared by their text; lists by each of their texts.
    ///
    /// # Errors
    /// The end of a sentence that never repeats the value: `must be one of slow, fast`.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.check(item)),
            Value::Object(_) | Value::Null => Ok(()),
            Value::String(text) => self.check_text(text),
            other => self.check_text(&other.to_string()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        match self {
            Self::Values(values) if values.iter().any(|own| own == text) => Ok(()),
            Self::Values(values) => {
                let shown: Vec<_> = values.iter().take(20).map(String::as_str).collect();
                let more = if values.len() > shown.len() {
                    ", ..."
                } else {
                    ""
                };
                Err(format!("must be one of {}{more}", shown.join(", ")))
            }
            // A pattern that does not compile was left out when it was read; one that slipped in refuses nothing.
            Self::Pattern(pattern) => match compile(pattern) {
                Ok(regex) if !regex.is_match(text) => Err(format!("must match {pattern}")),
                _ => Ok(()),
            },
        }
    }
}

/// Compiles the pattern of [`Allowed::Pattern`], bounded in memory; matching takes linear time.
///
/// # Errors
/// What is wrong with it.
pub fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .build()
}

/// Whether a text can be an integration's or a service's name: small letters, digits, `-` and `_`. (The first client allowed no digits;
/// real applications have them.)
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/integration.rs"]
mod tests;
