//! What all attempts of a mapping have in common, made ready once and kept while its store's configuration stays.
//!
//! Configuration is read at each attempt, so that a corrected address is in force for what waits already. But it rarely changes, and
//! parsing the address, listing the secrets to cover and putting parameters into JSON costs as much as posting. So a dispatcher
//! keeps what it made of it, for as long as the registry has the very same snapshot of the store.

use std::{collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use url::Url;

use super::shown;
use crate::{
    config::Config,
    domain::{
        key::MappingKey,
        mask::Mask,
        registry::{Dialect, Mapping, MappingOptions, StoreSnapshot},
        retry::RetryPolicy,
    },
    net::{
        Target,
        header::{HeaderName, HeaderValue},
        parse_endpoint_url,
    },
    wire::{dialect1, dialect2, standard_webhooks::SigningSecret},
};

/// Headers of a request, shared by all that have the same.
pub type Headers = Arc<[(HeaderName, HeaderValue)]>;

/// A mapping, ready for attempts. What cannot be sent is said in one sentence.
pub struct Prepared {
    /// The mapping's name.
    pub name: String,
    /// How it is spoken to.
    pub dialect: Dialect,
    /// The mapping's option of this name.
    pub accept_any_body: bool,
    /// When a failure is tried again.
    pub policy: RetryPolicy,
    /// For how long an asynchronous service may be asked again.
    pub asynchronous_budget: Duration,
    /// Every secret that goes out with a request.
    pub mask: Mask,
    /// Where to, unless a delivery has an address of its own.
    pub way: Result<Way, String>,
    /// Headers besides those of a signature.
    pub headers: Result<Headers, String>,
    /// Those headers as they are shown.
    pub shown_headers: String,
    /// What requests are signed with; empty for no signature.
    pub secrets: Result<Vec<SigningSecret>, String>,
    /// The parameters as JSON text: an array in the first dialect, an object in the second.
    pub parameters: String,
    /// For the whole request.
    pub timeout: Duration,
}

/// An address that was read.
#[derive(Clone)]
pub struct Way {
    /// For requests.
    pub target: Target,
    /// For addresses relative to it.
    pub url: Url,
    /// For people, secrets covered.
    pub shown: String,
}

impl Way {
    /// Reads an address.
    ///
    /// # Errors
    /// One sentence.
    pub fn to(address: &str, mask: &Mask) -> Result<Self, String> {
        let url = parse_endpoint_url(address).map_err(|error| format!("the address {error}"))?;
        let target = Target::new(&url).map_err(|error| format!("the address {error}"))?;
        let shown = mask.cover(address.to_owned());
        Ok(Self { target, url, shown })
    }
}

impl Prepared {
    fn new(store: &StoreSnapshot, mapping: &Mapping, config: &Config) -> Self {
        let options = &mapping.options;
        let mut mask = Mask::default();
        mask.add(&mapping.token);
        store
            .parameters_of(mapping)
            .filter(|parameter| parameter.secret)
            .for_each(|parameter| mask.add_value(&parameter.value));
        let texts = store.signing_secrets_of(mapping);
        for secret in texts {
            mask.add(secret);
        }
        let secrets = texts
            .iter()
            .map(|text| SigningSecret::read(text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("the signing secret {error}"));
        let parameters = store.parameters_of(mapping);
        let parameters = match options.dialect {
            Dialect::One => dialect1::parameter_array(parameters),
            Dialect::Two => dialect2::parameter_object(prefix_of(&mapping.name), parameters),
        };
        let headers = headers(store, mapping);
        let known = headers.as_ref().map_or(&[][..], |headers| headers);
        let timeout = config.dispatch.timeout_secs;
        let timeout = options
            .timeout_secs
            .map_or(timeout, |own| timeout.min(own.into()));
        Self {
            name: mapping.name.clone(),
            dialect: options.dialect,
            accept_any_body: options.accept_any_body,
            policy: policy(options, config),
            asynchronous_budget: Duration::from_secs(config.retry.deadline_secs),
            way: Way::to(&mapping.url, &mask),
            shown_headers: shown::request_headers(known, &mask),
            headers,
            secrets,
            parameters,
            timeout: Duration::from_secs(timeout.max(1)),
            mask,
        }
    }

    /// For a request that cannot be built, for reasons that lie in the hub.
    pub fn of_poison(config: &Config) -> Self {
        Self {
            name: "integrator".into(),
            dialect: Dialect::One,
            accept_any_body: false,
            policy: policy(&MappingOptions::default(), config),
            asynchronous_budget: Duration::from_secs(config.retry.deadline_secs),
            mask: Mask::default(),
            way: Err(String::new()),
            headers: Err(String::new()),
            shown_headers: "{}".into(),
            secrets: Ok(Vec::new()),
            parameters: String::new(),
            timeout: Duration::ZERO,
        }
    }
}

fn headers(store: &StoreSnapshot, mapping: &Mapping) -> Result<Headers, String> {
    let mut headers = vec![
        (
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/json"),
        ),
        (
            HeaderName::from_static("user-agent"),
            HeaderValue::from_static(concat!("Integrator/", env!("CARGO_PKG_VERSION"))),
        ),
    ];
    // An endpoint without a key of its own refuses any token at all (WIRE B.7), so an empty one sends no header.
    let named = match mapping.options.dialect {
        Dialect::One if mapping.token.is_empty() => Vec::new(),
        Dialect::One => vec![("X-Augury-Token", mapping.token.clone())],
        Dialect::Two => dialect2::headers(&mapping.token, store.store.id),
    };
    for (name, value) in named {
        headers.push(header(name, &value)?);
    }
    Ok(headers.into())
}

/// A header of a request.
///
/// # Errors
/// One sentence.
pub fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let value = HeaderValue::from_str(value)
        .map_err(|_| "the mapping's token has characters that no header can hold".to_owned())?;
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| "a header has a name that HTTP does not know".to_owned())?;
    Ok((name, value))
}

/// The prefix of a mapping's name, which its parameters lose in the second dialect.
fn prefix_of(mapping: &str) -> &str {
    mapping
        .split_once('.')
        .map_or(mapping, |(prefix, _)| prefix)
}

fn policy(options: &MappingOptions, config: &Config) -> RetryPolicy {
    let retry = &config.retry;
    let deadline = options.deadline_secs.map_or(retry.deadline_secs, |own| {
        retry.deadline_secs.min(own.into())
    });
    RetryPolicy {
        allowed: options.retries_allowed,
        base: Duration::from_secs(retry.base_secs),
        cap: Duration::from_secs(retry.max_secs),
        jitter: retry.jitter,
        max_failures: retry.max_attempts,
        deadline: Duration::from_secs(deadline),
        schedule: options.retry_schedule.as_ref().map(|delays| {
            delays
                .iter()
                .map(|secs| Duration::from_secs((*secs).into()))
                .collect()
        }),
    }
}

/// A dispatcher's prepared mappings, all of one snapshot of one store.
#[derive(Default)]
pub struct Preparations {
    of: Option<Arc<StoreSnapshot>>,
    by_mapping: HashMap<MappingKey, Rc<Prepared>>,
}

impl Preparations {
    /// The mapping, ready for attempts.
    pub fn get(
        &mut self,
        store: &Arc<StoreSnapshot>,
        key: MappingKey,
        mapping: &Mapping,
        config: &Config,
    ) -> Rc<Prepared> {
        let is_same = |known: &Arc<StoreSnapshot>| Arc::ptr_eq(known, store);
        if !self.of.as_ref().is_some_and(is_same) {
            self.by_mapping.clear();
            self.of = Some(Arc::clone(store));
        }
        let prepare = || Rc::new(Prepared::new(store, mapping, config));
        Rc::clone(self.by_mapping.entry(key).or_insert_with(prepare))
    }
}
