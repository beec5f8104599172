//! Signup: from an integration's services and what a person filled in to parameters, mappings and schedules.
//!
//! Each value becomes the parameter `<integration>.<short>`, each service the mapping `<integration>.<service>`; a name that has the
//! prefix already is not prefixed again (WIRE A.2). The mapping's address is the integration's with the service's path; messages,
//! identifiers, filters and options are what the service recommends. Services that were not chosen become disabled mappings, so
//! that switching them on later is one click; a required service is always chosen.
//!
//! Signing up again is an update: a value that is left out, or given as the mask that the API shows instead of a secret, stays as it is.
//! Everything is checked before anything is made: either there is a whole [`Plan`] or there are only sentences.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    integration::{Integration, Service, ServiceParameter, join},
    key::IntegrationKey,
    mask::MASK,
    message_type::{MessageType, TypePattern},
    parameter::DataType,
    registry::{Mapping, MappingOptions, Parameter},
    schedule::Schedule,
};

/// The most values of one signup.
pub const MAX_VALUES: usize = 2_000;

/// What a person filled in.
#[derive(Clone, Default)]
pub struct Signup {
    /// Values by short or whole name; a list may be a JSON text.
    pub parameters: BTreeMap<String, Value>,
    /// The services to switch on, by short or whole name.
    pub enabled: Vec<String>,
}

impl std::fmt::Debug for Signup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signup")
            .field("parameters", &self.parameters.len())
            .field("enabled", &self.enabled)
            .finish()
    }
}

/// A mapping to create, or to update when one of its name is there.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedMapping {
    /// The mapping; its `parameters` are still empty, since parameters get their keys when they are written.
    pub mapping: Mapping,
    /// The whole names of the parameters it sends, in the order of the service's list.
    pub parameters: Vec<String>,
}

/// A scheduler that a switched-on service recommends.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedSchedule {
    /// The whole name of the service's mapping.
    pub mapping: String,
    /// When.
    pub schedule: Schedule,
    /// The message type to push.
    pub key: MessageType,
}

/// What a signup comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Parameters to create or to update, by name.
    pub parameters: Vec<Parameter>,
    /// Mappings to create or to update.
    pub mappings: Vec<PlannedMapping>,
    /// Schedulers to create.
    pub schedules: Vec<PlannedSchedule>,
}

/// A name with the integration's prefix; one that has it stays as it is.
#[must_use]
pub fn whole_name(integration: &str, name: &str) -> String {
    if short_name(integration, name) == name {
        format!("{integration}.{name}")
    } else {
        name.to_owned()
    }
}

/// A name without the integration's prefix.
#[must_use]
pub fn short_name<'a>(integration: &str, name: &'a str) -> &'a str {
    name.strip_prefix(integration)
        .and_then(|rest| rest.strip_prefix('.'))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(name)
}

/// Makes the plan. `known` says whether the store has a parameter of this whole name with a value already.
///
/// # Errors
/// All mistakes at once, each `field: sentence`; no sentence repeats a value.
pub fn plan(
    integration: &Integration,
    key: Option<IntegrationKey>,
    signup: &Signup,
    known: &dyn Fn(&str) -> bool,
) -> Result<Plan, Vec<String>> {
    let mut errors = Vec::new();
    let chosen = chosen(integration, signup, &mut errors);
    if signup.parameters.len() > MAX_VALUES {
        return Err(vec![format!("parameters: more than {MAX_VALUES} given")]);
    }
    let given = given(integration, signup, &mut errors);
    let declared = declared(integration);
    for name in given.keys() {
        if !declared.contains_key(name) {
            errors.push(format!(
                "parameters.{}: is not a parameter of {}",
                short_name(&integration.name, name),
                integration.name
            ));
        }
    }
    let mut values: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, fields) in &declared {
        let short = short_name(&integration.name, name);
        // Where services declare a name differently, the first says its type and all say what is allowed.
        let Some((_, first)) = fields.first() else {
            continue;
        };
        let kind = first.data_type.data_type();
        let read = match given.get(name) {
            Some(value) => match kind.read(value) {
                Ok(value) => Some(value),
                Err(problem) => {
                    errors.push(format!("parameters.{short}: {problem}"));
                    continue;
                }
            },
            None if known(name) => None,
            None => fields.iter().find_map(|(_, field)| field.default.clone()),
        };
        let Some(value) = read else {
            continue;
        };
        let problem = fields
            .iter()
            .find_map(|(_, field)| field.allowed.as_ref()?.check(&value).err());
        match problem {
            Some(problem) => errors.push(format!("parameters.{short}: {problem}")),
            None => {
                values.insert(name, value);
            }
        }
    }
    missing(integration, &chosen, &values, &given, known, &mut errors);
    if !errors.is_empty() {
        errors.dedup();
        return Err(errors);
    }
    Ok(Plan {
        parameters: parameters(&declared, &values, &chosen, known),
        mappings: integration
            .services
            .iter()
            .map(|service| {
                let enabled = chosen.contains(service.name.as_str());
                mapping(integration, key, service, enabled)
            })
            .collect(),
        schedules: integration
            .services
            .iter()
            .filter(|service| chosen.contains(service.name.as_str()))
            .filter_map(|service| schedule(integration, service))
            .collect(),
    })
}

/// The short names of the services to switch on.
fn chosen<'a>(
    integration: &'a Integration,
    signup: &Signup,
    errors: &mut Vec<String>,
) -> BTreeSet<&'a str> {
    if integration.services.is_empty() {
        errors.push(format!("services: {} has none yet", integration.name));
    }
    let mut chosen: BTreeSet<&str> = integration
        .services
        .iter()
        .filter(|service| service.required)
        .map(|service| service.name.as_str())
        .collect();
    // Forms send an empty text for an empty list.
    for name in signup.enabled.iter().filter(|name| !name.trim().is_empty()) {
        match integration.service(name.trim()) {
            Some(service) => {
                chosen.insert(&service.name);
            }
            None => errors.push(format!(
                "enabled: {} has no service {}",
                integration.name,
                name.chars()
                    .filter(|c| !c.is_control())
                    .take(100)
                    .collect::<String>()
            )),
        }
    }
    chosen
}

/// The values that were given, by whole name. Null, a blank text and the mask count as not given.
fn given(
    integration: &Integration,
    signup: &Signup,
    errors: &mut Vec<String>,
) -> BTreeMap<String, Value> {
    let mut given = BTreeMap::new();
    for (name, value) in &signup.parameters {
        let blank = match value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty() || text == MASK,
            _ => false,
        };
        let whole = whole_name(&integration.name, name.trim());
        if !blank && given.insert(whole, value.clone()).is_some() {
            errors.push(format!(
                "parameters.{}: is given twice, with and without its prefix",
                short_name(&integration.name, name.trim())
            ));
        }
    }
    given
}

/// All parameters of all services by whole name, each with the services that declare it.
fn declared(integration: &Integration) -> BTreeMap<String, Vec<(&str, &ServiceParameter)>> {
    let mut declared: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for service in &integration.services {
        for parameter in &service.requires.parameters {
            declared
                .entry(whole_name(&integration.name, &parameter.name))
                .or_default()
                .push((service.name.as_str(), parameter));
        }
    }
    declared
}

/// Complains about what the chosen services need and nobody gave.
fn missing(
    integration: &Integration,
    chosen: &BTreeSet<&str>,
    values: &BTreeMap<&str, Value>,
    given: &BTreeMap<String, Value>,
    known: &dyn Fn(&str) -> bool,
    errors: &mut Vec<String>,
) {
    for service in integration
        .services
        .iter()
        .filter(|service| chosen.contains(service.name.as_str()))
    {
        for parameter in &service.requires.parameters {
            let name = whole_name(&integration.name, &parameter.name);
            let there =
                values.contains_key(name.as_str()) || given.contains_key(&name) || known(&name);
            // A check box that is not ticked is not sent.
            let needed = !parameter.optional
                && parameter.data_type.data_type() != DataType::Boolean
                && matters(integration, service, parameter, values);
            if needed && !there {
                errors.push(format!(
                    "parameters.{}: is needed by the service {}",
                    short_name(&integration.name, &parameter.name),
                    service.name
                ));
            }
        }
    }
}

/// Whether a parameter matters: no boolean controls it, or one that does is true. A boolean whose value is known to the store only
/// counts as false here: better a value too few than a form that cannot be sent.
fn matters(
    integration: &Integration,
    service: &Service,
    parameter: &ServiceParameter,
    values: &BTreeMap<&str, Value>,
) -> bool {
    let whole = |name: &str| whole_name(&integration.name, name);
    let own = whole(&parameter.name);
    let mut controls = service
        .requires
        .parameters
        .iter()
        .filter(|other| {
            other.enables.iter().any(|name| whole(name) == own)
                || parameter
                    .depends_on
                    .as_ref()
                    .is_some_and(|name| whole(name) == whole(&other.name))
        })
        .map(|other| whole(&other.name))
        .peekable();
    if controls.peek().is_none() {
        return true;
    }
    controls.any(|name| match values.get(name.as_str()) {
        Some(Value::Bool(flag)) => *flag,
        Some(_) => true,
        None => false,
    })
}

/// The parameters to write. Booleans of chosen services that nobody gave are false.
fn parameters(
    declared: &BTreeMap<String, Vec<(&str, &ServiceParameter)>>,
    values: &BTreeMap<&str, Value>,
    chosen: &BTreeSet<&str>,
    known: &dyn Fn(&str) -> bool,
) -> Vec<Parameter> {
    declared
        .iter()
        .filter_map(|(name, fields)| {
            let data_type = fields.first()?.1.data_type.data_type();
            let used = fields.iter().any(|(service, _)| chosen.contains(service));
            let value = match values.get(name.as_str()) {
                Some(value) => value.clone(),
                None if data_type == DataType::Boolean && used && !known(name) => {
                    Value::Bool(false)
                }
                None => return None,
            };
            Some(Parameter {
                name: name.clone(),
                data_type,
                value,
                secret: true,
            })
        })
        .collect()
}

fn mapping(
    integration: &Integration,
    key: Option<IntegrationKey>,
    service: &Service,
    enabled: bool,
) -> PlannedMapping {
    let recommends = &service.recommends;
    let defaults = MappingOptions::default();
    PlannedMapping {
        mapping: Mapping {
            name: whole_name(&integration.name, &service.name),
            url: join(&integration.url, &service.path),
            token: integration.token.clone(),
            integration: key,
            messages: recommends.messages.clone(),
            parameters: Vec::new(),
            identifiers: recommends.identifiers.clone(),
            filters: recommends.filters.clone(),
            options: MappingOptions {
                retries_allowed: recommends
                    .options
                    .retries_allowed
                    .unwrap_or(defaults.retries_allowed),
                dialect: recommends.options.dialect.unwrap_or(defaults.dialect),
                ..defaults
            },
            enabled,
            required: service.required,
        },
        parameters: service
            .requires
            .parameters
            .iter()
            .map(|parameter| whole_name(&integration.name, &parameter.name))
            .collect(),
    }
}

/// The scheduler a service recommends: it pushes the first whole type among the recommended messages.
/// The schedules that an integration's services recommend.
pub fn schedules_of(integration: &Integration) -> impl Iterator<Item = PlannedSchedule> {
    let services = integration.services.iter();
    services.filter_map(|service| schedule(integration, service))
}

fn schedule(integration: &Integration, service: &Service) -> Option<PlannedSchedule> {
    let schedule = service.recommends.schedule.clone()?;
    let key = service
        .recommends
        .messages
        .iter()
        .find_map(|pattern| match pattern {
            TypePattern::Exact(kind) => Some(kind.clone()),
            TypePattern::Below(_) | TypePattern::All => None,
        })?;
    Some(PlannedSchedule {
        mapping: whole_name(&integration.name, &service.name),
        schedule,
        key,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/signup.rs"]
mod tests;
