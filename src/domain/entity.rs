//! What can be configured: stores, tokens, mappings, parameters, accounts and the rest, each an [`Entity`] with a JSON body, which
//! is a row of one table. [`super::registry`] puts them together.

use serde::{Deserialize, Serialize};

use super::{
    filter::Filter,
    id::Id,
    identifier::Identifiers,
    integration::Integration,
    key::{IntegrationKey, ParameterKey, StoreKey},
    message_type::TypePattern,
    parameter::DataType,
    rule::Rule,
    scheduler::Scheduler,
    time::Micros,
};

/// A shop, the tenant.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Its name, for people.
    pub name: String,
    /// The base of the shop's API, such as `http://shop/api/`; without it the store is push only.
    #[serde(default)]
    pub api_url: Option<String>,
    /// The shop's API key; secret. Of an OAuth application `client_id:client_secret`.
    #[serde(default)]
    pub api_key: Option<String>,
    /// Which kind of API: `auto`, a source's name, or nothing.
    #[serde(default)]
    pub source: Option<String>,
    /// The shop's version as its owner gave it, such as `2.0`.
    #[serde(default)]
    pub version: Option<String>,
    /// What the shop signs its webhooks with; secret.
    #[serde(default)]
    pub webhook_secret: Option<String>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name)
            .field("api_url", &self.api_url)
            .finish_non_exhaustive()
    }
}

/// What a token may do. `Admin` implies the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Push messages.
    Push,
    /// Read queues, messages, events and timelines.
    Read,
    /// Everything within the store.
    Admin,
}

/// An API token of a store; only the hash of its text is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its name, for people; shown as the source of what is pushed with it.
    pub name: String,
    /// SHA-256 of the token's text, 64 hex digits.
    pub hash: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it stops working.
    #[serde(default)]
    pub expires_at: Option<Micros>,
}

impl Token {
    /// Whether it may do what needs `scope`, at `now`.
    #[must_use]
    pub fn allows(&self, scope: Scope, now: Micros) -> bool {
        self.alive(now) && (self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin))
    }

    /// Whether it has not expired at `now`.
    #[must_use]
    pub fn alive(&self, now: Micros) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// Which form of request and answer a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Dialect {
    /// The protocol of 2013: `message`, `message_id`, `payload`.
    #[default]
    #[serde(rename = "1")]
    One,
    /// Wombat and FlowLink: `request_id`, objects at the root.
    #[serde(rename = "2")]
    Two,
}

/// The secrets that sign requests: one, or two while one is being replaced, the newer first. Secret, never shown again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SigningSecrets {
    /// One.
    One(String),
    /// Two during a rotation: both sign.
    Rotating([String; 2]),
}

impl SigningSecrets {
    /// The secrets' texts.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Rotating(texts) => texts,
        }
    }

    /// As many masks as there are secrets: what is shown.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mask = || super::mask::MASK.to_owned();
        match self {
            Self::One(_) => Self::One(mask()),
            Self::Rotating(_) => Self::Rotating([mask(), mask()]),
        }
    }
}

impl std::fmt::Debug for SigningSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningSecrets({})", self.texts().len())
    }
}

/// A mapping's options; those left out follow the hub's configuration.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MappingOptions {
    /// Failures are retried; else parked at once.
    #[serde(alias = "allow_retries")]
    pub retries_allowed: bool,
    /// The form of request and answer.
    pub dialect: Dialect,
    /// What concerns one object stays in order.
    pub ordered: bool,
    /// At most so many requests at once; only tightens the endpoint's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// At most so many requests a second; only tightens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_sec: Option<f64>,
    /// Seconds for headers and body; only tightens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u32>,
    /// Seconds before each retry instead of the exponential schedule; the last one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule: Option<Vec<u32>>,
    /// Seconds after which a failing delivery is parked; only tightens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_secs: Option<u32>,
    /// Signs requests (Standard Webhooks); secret, never shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<SigningSecrets>,
    /// A success may have a body that is no JSON.
    pub accept_any_body: bool,
}

impl Default for MappingOptions {
    fn default() -> Self {
        Self {
            retries_allowed: true,
            dialect: Dialect::One,
            ordered: true,
            concurrency: None,
            rate_per_sec: None,
            timeout_secs: None,
            retry_schedule: None,
            deadline_secs: None,
            signing_secret: None,
            accept_any_body: false,
        }
    }
}

impl std::fmt::Debug for MappingOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MappingOptions")
            .field("retries_allowed", &self.retries_allowed)
            .field("dialect", &self.dialect)
            .field("ordered", &self.ordered)
            .finish_non_exhaustive()
    }
}

/// A subscription: message types to a service.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// Its name, such as `acme.send_order`.
    pub name: String,
    /// The service's whole address.
    pub url: String,
    /// The token sent to the endpoint; empty sends no token header. Secret.
    #[serde(default)]
    pub token: String,
    /// The integration it belongs to; without one it is an endpoint of its own.
    #[serde(default)]
    pub integration: Option<IntegrationKey>,
    /// The message types it takes.
    pub messages: Vec<TypePattern>,
    /// The parameters sent along.
    #[serde(default)]
    pub parameters: Vec<ParameterKey>,
    /// What it takes only once.
    #[serde(default)]
    pub identifiers: Identifiers,
    /// What it takes at all.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// Options.
    #[serde(default)]
    pub options: MappingOptions,
    /// Takes new messages.
    pub enabled: bool,
    /// Cannot be disabled or deleted.
    #[serde(default)]
    pub required: bool,
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping")
            .field("name", &self.name)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A configuration value sent along with service requests.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its full name, such as `acme.api_key`; unique in its store.
    pub name: String,
    /// The type of its value.
    #[serde(default)]
    pub data_type: DataType,
    /// Its value, of that type.
    pub value: serde_json::Value,
    /// Never shown in full and masked wherever it turns up; true unless said otherwise.
    #[serde(default = "yes")]
    pub secret: bool,
}

fn yes() -> bool {
    true
}

impl std::fmt::Debug for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parameter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What an operator set for an endpoint as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSettings {
    /// Everything for it waits.
    #[serde(default)]
    pub paused: bool,
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, in every store.
    Operator,
    /// Everything within their own stores.
    StoreAdmin,
    /// Reads everything, changes nothing.
    Viewer,
}

impl Role {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::StoreAdmin => "store admin",
            Self::Viewer => "viewer",
        }
    }
}

/// A person who signs in to the console.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name they sign in with, in lower case; unique.
    pub name: String,
    /// The password's hash in the PHC string format (argon2id).
    pub password: String,
    /// What they may do.
    pub role: Role,
    /// A store admin's own stores; nothing for the other roles.
    #[serde(default)]
    pub stores: Vec<StoreKey>,
}

impl Account {
    /// Whether they may look at a store.
    #[must_use]
    pub fn sees(&self, store: StoreKey) -> bool {
        match self.role {
            Role::Operator | Role::Viewer => true,
            Role::StoreAdmin => self.stores.contains(&store),
        }
    }

    /// Whether they may change what belongs to a store.
    #[must_use]
    pub fn changes(&self, store: StoreKey) -> bool {
        self.role != Role::Viewer && self.sees(store)
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// One configured thing.
#[derive(Debug, Clone, PartialEq)]
pub enum Entity {
    /// A store.
    Store(Store),
    /// A token of a store.
    Token(Token),
    /// A mapping of a store.
    Mapping(Mapping),
    /// A parameter of a store.
    Parameter(Parameter),
    /// Settings of an endpoint; its row's `subject` is the endpoint's key. A row about a global integration makes the store's own endpoint of
    /// it: that endpoint's key is the row's.
    Endpoint(EndpointSettings),
    /// A registered endpoint application.
    Integration(Box<Integration>),
    /// A scheduler.
    Scheduler(Scheduler),
    /// A rule.
    Rule(Rule),
    /// The operator's token: the SHA-256 of its text, 64 hex digits.
    Operator {
        /// The digest.
        hash: String,
    },
    /// A person's account.
    Account(Account),
    /// The key that signs links to objects' pages: 64 hex digits, secret.
    LinkKey {
        /// The key.
        key: String,
    },
}

/// The body of the link key's row.
#[derive(Serialize, Deserialize)]
struct LinkKeyBody {
    key: String,
}

/// The body of the operator's row.
#[derive(Serialize, Deserialize)]
struct OperatorBody {
    hash: String,
}

impl Entity {
    /// Its body as JSON, as the database stores it beside [`Entity::kind`].
    ///
    /// # Errors
    /// When a value has no JSON form (a number that is not finite).
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Store(value) => serde_json::to_string(value),
            Self::Token(value) => serde_json::to_string(value),
            Self::Mapping(value) => serde_json::to_string(value),
            Self::Parameter(value) => serde_json::to_string(value),
            Self::Endpoint(value) => serde_json::to_string(value),
            Self::Integration(value) => serde_json::to_string(value),
            Self::Scheduler(value) => serde_json::to_string(value),
            Self::Rule(value) => serde_json::to_string(value),
            Self::Operator { hash } => serde_json::to_string(&OperatorBody { hash: hash.clone() }),
            Self::Account(value) => serde_json::to_string(value),
            Self::LinkKey { key } => serde_json::to_string(&LinkKeyBody { key: key.clone() }),
        }
    }

    /// Reads a stored body. The kind stands beside the body, not inside it: a tag inside would make serde buffer
    /// the document, and filters keep their values' source text, which buffering loses.
    ///
    /// # Errors
    /// A sentence, without any of the body's contents, when the kind is unknown or the body is not of it.
    pub fn from_json(kind: &str, body: &str) -> Result<Self, String> {
        let read = match kind {
            "store" => serde_json::from_str(body).map(Self::Store),
            "token" => serde_json::from_str(body).map(Self::Token),
            "mapping" => serde_json::from_str(body).map(Self::Mapping),
            "parameter" => serde_json::from_str(body).map(Self::Parameter),
            "endpoint" => serde_json::from_str(body).map(Self::Endpoint),
            "integration" => serde_json::from_str(body).map(Self::Integration),
            "scheduler" => serde_json::from_str(body).map(Self::Scheduler),
            "rule" => serde_json::from_str(body).map(Self::Rule),
            "operator" => {
                serde_json::from_str(body).map(|OperatorBody { hash }| Self::Operator { hash })
            }
            "account" => serde_json::from_str(body).map(Self::Account),
            "link_key" => {
                serde_json::from_str(body).map(|LinkKeyBody { key }| Self::LinkKey { key })
            }
            other => return Err(format!("unknown kind {other:?}")),
        };
        // serde's own words may repeat what they found, and bodies hold secrets: the place is enough.
        read.map_err(|error| {
            format!(
                "its body cannot be read at line {} column {}",
                error.line(),
                error.column()
            )
        })
    }

    /// The word for its kind, as the database stores it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Token(_) => "token",
            Self::Mapping(_) => "mapping",
            Self::Parameter(_) => "parameter",
            Self::Endpoint(_) => "endpoint",
            Self::Integration(_) => "integration",
            Self::Scheduler(_) => "scheduler",
            Self::Rule(_) => "rule",
            Self::Operator { .. } => "operator",
            Self::Account(_) => "account",
            Self::LinkKey { .. } => "link_key",
        }
    }

    /// The name that must be unique among live rows of its kind and store, if there is one.
    /// An endpoint's settings are unique per endpoint, which [`EntityRow::subject`] says.
    #[must_use]
    pub fn unique_name(&self) -> Option<&str> {
        match self {
            Self::Mapping(mapping) => Some(&mapping.name),
            Self::Parameter(parameter) => Some(&parameter.name),
            Self::Integration(integration) => Some(&integration.name),
            Self::Rule(rule) => Some(&rule.name),
            Self::Operator { .. } => Some("operator"),
            Self::Account(account) => Some(&account.name),
            Self::LinkKey { .. } => Some("link_key"),
            Self::Store(_) | Self::Token(_) | Self::Endpoint(_) | Self::Scheduler(_) => None,
        }
    }
}

/// A row of the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityRow {
    /// Its key; a store's key is its [`StoreKey`], and so on.
    pub key: i64,
    /// Its public id.
    pub id: Id,
    /// The store it belongs to; `None` for the operator, its own key for a store.
    pub store: Option<StoreKey>,
    /// What it speaks of, for rows that are about another row (an endpoint's settings).
    pub subject: Option<i64>,
    /// The thing itself; a body that cannot be read is reported by the database layer, with its row's key.
    pub entity: Entity,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
    /// Deleted rows stay, so that old deliveries can still name their mapping.
    pub deleted: bool,
    /// The registry's version in which it last changed.
    pub version: i64,
}
