//! Changing the configuration, and recording who did: every form of the console goes through [`change`], every call of the REST API through
//! [`recorded`].

use serde_json::Value;

use crate::{
    db::{EntityChange, NewAudit, RegistryDelta},
    domain::{
        key::StoreKey,
        registry::{Entity, Registry, StoreSnapshot},
    },
};

use super::people::{Person, Refusal};

/// Members of stored bodies that nobody may read in a log.
const SECRET_MEMBERS: [&str; 8] = [
    "token",
    "hash",
    "api_key",
    "password",
    "signing_secret",
    "webhook_secret",
    "key",
    "value",
];

/// Makes changes and records them, with what was and what is, in one transaction.
///
/// # Errors
/// Those of the database.
pub async fn change(
    person: &Person,
    changes: Vec<EntityChange>,
) -> Result<RegistryDelta, crate::db::DbError> {
    let changes = recorded(&person.registry, person.name(), changes);
    person.hub.change_registry(changes).await
}

/// Changes followed by their records. `who` made them, a person or a token.
pub fn recorded(
    registry: &Registry,
    who: &str,
    mut changes: Vec<EntityChange>,
) -> Vec<EntityChange> {
    let records: Vec<EntityChange> = changes
        .iter()
        .filter_map(|change| entry(registry, who, change))
        .map(|entry| EntityChange::Record(Box::new(entry)))
        .collect();
    changes.extend(records);
    changes
}

/// Records something done to a message or the like.
///
/// # Errors
/// Those of the database.
pub async fn note(
    person: &Person,
    store: Option<StoreKey>,
    action: &str,
    subject: String,
) -> Result<(), Refusal> {
    let change = NewAudit {
        store,
        who: person.name().to_owned(),
        action: action.to_owned(),
        subject,
        was: None,
        is: None,
    };
    Ok(person
        .hub
        .backend()
        .audit_insert(vec![change], person.hub.now())
        .await?)
}

fn entry(registry: &Registry, who: &str, change: &EntityChange) -> Option<NewAudit> {
    let who = who.to_owned();
    match change {
        EntityChange::Record(_) => None,
        EntityChange::Create {
            store,
            entity,
            subject,
        } => Some(NewAudit {
            store: *store,
            who,
            action: if subject.is_some() {
                "changed".into()
            } else {
                "created".into()
            },
            subject: subject_of(entity, subject.and_then(|key| endpoint_name(registry, key))),
            was: None,
            is: shown(entity),
        }),
        EntityChange::Replace { key, entity } => {
            let (store, old) =
                find(registry, *key).map_or((None, None), |(store, old)| (store, Some(old)));
            Some(NewAudit {
                store,
                who,
                action: "changed".into(),
                subject: subject_of(entity, None),
                was: old.as_ref().and_then(shown),
                is: shown(entity),
            })
        }
        EntityChange::Delete { key } => {
            let (store, old) = find(registry, *key)?;
            Some(NewAudit {
                store,
                who,
                action: "deleted".into(),
                subject: subject_of(&old, None),
                was: shown(&old),
                is: None,
            })
        }
    }
}

fn endpoint_name(registry: &Registry, key: i64) -> Option<String> {
    use crate::domain::key::{IntegrationKey, MappingKey};
    registry.stores.values().find_map(|store| {
        let integration = store.integrations.get(&IntegrationKey(key));
        integration
            .map(|entry| entry.value.name.as_str())
            .or_else(|| store.mapping_name(MappingKey(key)))
            .map(str::to_owned)
    })
}

fn subject_of(entity: &Entity, name: Option<String>) -> String {
    let kind = match entity {
        Entity::LinkKey { .. } => "key of links",
        other => other.kind(),
    };
    let name = name.unwrap_or_else(|| match entity {
        Entity::Store(store) => store.name.clone(),
        Entity::Token(token) => token.name.clone(),
        Entity::Scheduler(scheduler) => scheduler.key.to_string(),
        other => other.unique_name().unwrap_or_default().to_owned(),
    });
    format!("{kind} {name}").trim().to_owned()
}

/// The live entity with this key, and its store.
fn find(registry: &Registry, key: i64) -> Option<(Option<StoreKey>, Entity)> {
    use crate::domain::key::{
        AccountKey, IntegrationKey, MappingKey, ParameterKey, RuleKey, SchedulerKey, TokenKey,
    };
    if let Some(account) = registry.accounts.get(&AccountKey(key)) {
        return Some((None, Entity::Account(account.value.clone())));
    }
    if let Some(entry) = registry.globals.get(&IntegrationKey(key)) {
        return Some((None, Entity::Integration(Box::new(entry.value.clone()))));
    }
    let in_store = |store: &StoreSnapshot| {
        macro_rules! of {
            ($map:ident, $key:ident, $kind:expr) => {
                if let Some(entry) = store.$map.get(&$key(key)) {
                    return Some($kind(entry.value.clone()));
                }
            };
        }
        of!(mappings, MappingKey, Entity::Mapping);
        of!(parameters, ParameterKey, Entity::Parameter);
        of!(tokens, TokenKey, Entity::Token);
        of!(integrations, IntegrationKey, |own| Entity::Integration(
            Box::new(own)
        ));
        of!(schedulers, SchedulerKey, Entity::Scheduler);
        of!(rules, RuleKey, Entity::Rule);
        None
    };
    if let Some(store) = registry.stores.get(&StoreKey(key)) {
        let value = store.store.value.clone();
        return Some((Some(store.store.key), Entity::Store(value)));
    }
    registry
        .stores
        .values()
        .find_map(|store| in_store(store).map(|entity| (Some(store.store.key), entity)))
}

/// The stored body with its secrets masked.
fn shown(entity: &Entity) -> Option<String> {
    let mut body: Value = serde_json::from_str(&entity.to_json().ok()?).ok()?;
    match entity {
        // What stands under these names is a message type, or the names of a payload's members.
        Entity::Scheduler(_) | Entity::Rule(_) => {}
        Entity::Integration(integration) => {
            mask(&mut body, false);
            // All that an application says of its services would be the larger part of the log.
            let names = integration.services.iter().map(|own| own.name.clone());
            body["services"] = names.collect::<Vec<_>>().into();
        }
        entity => {
            let open_value = matches!(entity, Entity::Parameter(parameter) if !parameter.secret);
            mask(&mut body, open_value);
        }
    }
    Some(body.to_string())
}

fn mask(body: &mut Value, open_value: bool) {
    match body {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                let secret =
                    SECRET_MEMBERS.contains(&name.as_str()) && !(open_value && name == "value");
                match value {
                    // A filter's value is an object's member inside a list of filters, and no secret.
                    Value::Array(_) | Value::Object(_) if !secret => mask(value, true),
                    Value::Null => {}
                    Value::String(text) if text.is_empty() => {}
                    _ if secret => *value = Value::from("***"),
                    _ => {}
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, open_value)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::registry::{Account, Parameter, Role};

    use super::*;

    #[test]
    fn no_secret_reaches_the_log() {
        let account = Account {
            name: "ann".into(),
            password: "$argon2id$x".into(),
            role: Role::Viewer,
            stores: vec![],
        };
        let parameter = |secret| Parameter {
            name: "acme.key".into(),
            data_type: Default::default(),
            value: "hunter22".into(),
            secret,
        };
        assert!(
            !shown(&Entity::Account(account))
                .expect("JSON")
                .contains("argon2id")
        );
        assert!(
            !shown(&Entity::Parameter(parameter(true)))
                .expect("JSON")
                .contains("hunter22")
        );
        assert!(
            shown(&Entity::Parameter(parameter(false)))
                .expect("JSON")
                .contains("hunter22")
        );
    }
}
