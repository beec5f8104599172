//! The registry's rows: everything configured, as JSON bodies under one version counter.

use diesel::sqlite::SqliteConnection;

use super::{
    people::audit_insert,
    session::{Session, meta},
    statement::{Command, Question, statements},
};
use crate::{
    db::{DbError, DbResult, EntityChange, NewAudit, RegistryDelta},
    domain::{
        id::IdSeal,
        key::StoreKey,
        parameter::{DataType, ReturnedParameter},
        registry::{Entity, EntityRow, Parameter},
        time::Micros,
    },
};

type Row = (i64, String, i64, Option<i64>, String, i64, i64, bool, i64);

statements! {
    /// Rows changed after a version.
    Changed { since: i64 } -> Row =
        "SELECT key, kind, store, subject, body, created_at, updated_at, deleted, version FROM registry WHERE version > ?1 ORDER BY key";
    /// A live row.
    LiveRead { key: i64 } -> Row =
        "SELECT key, kind, store, subject, body, created_at, updated_at, deleted, version FROM registry WHERE key = ?1 AND deleted = 0";
    /// The live row of this kind and name.
    NameRead<'a> { kind: &'a str, store: i64, name: &'a str } -> (i64, String) =
        "SELECT key, body FROM registry WHERE kind = ?1 AND store = ?2 AND name = ?3 AND deleted = 0";
    /// The live row of this kind that speaks of a subject.
    SubjectRead<'a> { kind: &'a str, store: i64, subject: i64 } -> i64 =
        "SELECT key FROM registry WHERE kind = ?1 AND store = ?2 AND subject = ?3 AND deleted = 0";
    /// Live rows of a store.
    StoreRows { store: i64 } -> i64 = "SELECT key FROM registry WHERE store = ?1 AND deleted = 0";
    /// A new row.
    RowInsert<'a> {
        key: i64, kind: &'a str, store: i64, subject: Option<i64>, name: Option<&'a str>, body: &'a str, now: i64, version: i64,
    } = "INSERT INTO registry (key, kind, store, subject, name, body, created_at, updated_at, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)";
    /// A row's new body.
    RowReplace<'a> { key: i64, name: Option<&'a str>, body: &'a str, now: i64, version: i64 } =
        "UPDATE registry SET name = ?2, body = ?3, updated_at = ?4, version = ?5 WHERE key = ?1";
    /// Marks a row as deleted.
    RowDelete { key: i64, now: i64, version: i64 } =
        "UPDATE registry SET deleted = 1, updated_at = ?2, version = ?3 WHERE key = ?1";
}

/// Rows changed after `since`, and the newest version.
pub(super) fn changes(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    since: i64,
) -> DbResult<RegistryDelta> {
    let rows = Changed { since }.rows(conn)?;
    let version = meta(conn, "registry_version")?;
    let mut delta = RegistryDelta {
        rows: Vec::with_capacity(rows.len()),
        unreadable: Vec::new(),
        version,
    };
    for row in rows {
        let (key, kind) = (row.0, row.1.clone());
        match entity_row(seal, row) {
            Ok(row) => delta.rows.push(row),
            Err(reason) => delta.unreadable.push((key, kind, reason)),
        }
    }
    Ok(delta)
}

fn entity_row(seal: IdSeal, row: Row) -> Result<EntityRow, String> {
    let (key, kind, store, subject, body, created_at, updated_at, deleted, version) = row;
    let entity = Entity::from_json(&kind, &body)?;
    Ok(EntityRow {
        key,
        id: seal.seal(key, Micros(created_at)),
        store: (store != 0).then_some(StoreKey(store)),
        subject,
        entity,
        created_at: Micros(created_at),
        updated_at: Micros(updated_at),
        deleted,
        version,
    })
}

/// What a change does, checked against the rows as they are; nothing is written before all are planned.
enum Plan<'a> {
    Insert {
        store: Option<i64>,
        subject: Option<i64>,
        entity: Entity,
    },
    Replace {
        key: i64,
        entity: Entity,
    },
    Delete {
        keys: Vec<i64>,
    },
    Record(&'a NewAudit),
}

/// Writes changes, all or none; returns the rows as written, in order.
pub(super) fn change(
    session: &mut Session,
    changes: &[EntityChange],
    now: Micros,
) -> DbResult<RegistryDelta> {
    let plans = plan(session, changes)?;
    let version = session.registry_move()?;
    let mut keys = Vec::new();
    for plan in plans {
        match plan {
            Plan::Insert {
                store,
                subject,
                entity,
            } => {
                let key = session.next();
                // A store belongs to itself; what belongs to nobody (the operator) to store 0.
                let store = if matches!(entity, Entity::Store(_)) {
                    key
                } else {
                    store.unwrap_or(0)
                };
                let (kind, name, body) = (entity.kind(), entity.unique_name(), body_of(&entity)?);
                RowInsert {
                    key,
                    kind,
                    store,
                    subject,
                    name,
                    body: &body,
                    now: now.0,
                    version,
                }
                .run(&mut session.conn)?;
                keys.push(key);
            }
            Plan::Replace { key, entity } => {
                let (name, body) = (entity.unique_name(), body_of(&entity)?);
                RowReplace {
                    key,
                    name,
                    body: &body,
                    now: now.0,
                    version,
                }
                .run(&mut session.conn)?;
                keys.push(key);
            }
            Plan::Delete { keys: deleted } => {
                for key in deleted {
                    RowDelete {
                        key,
                        now: now.0,
                        version,
                    }
                    .run(&mut session.conn)?;
                    keys.push(key);
                }
            }
            Plan::Record(audit) => audit_insert(session, std::slice::from_ref(audit), now)?,
        }
    }
    let written = self::changes(&mut session.conn, session.seal, version - 1)?;
    let mut rows: Vec<EntityRow> = Vec::with_capacity(keys.len());
    for key in keys {
        rows.extend(written.rows.iter().find(|row| row.key == key).cloned());
    }
    Ok(RegistryDelta { rows, ..written })
}

fn plan<'a>(session: &mut Session, changes: &'a [EntityChange]) -> DbResult<Vec<Plan<'a>>> {
    let mut plans = Vec::with_capacity(changes.len());
    // Names given and names freed by earlier changes of the same call.
    let mut given: Vec<(&'static str, i64, String)> = Vec::new();
    let mut deleted: Vec<i64> = Vec::new();
    for change in changes {
        match change {
            EntityChange::Create {
                store,
                subject,
                entity,
            } => {
                let of = store.map_or(0, |store| store.0);
                if let Some(subject) = subject
                    && let Some(key) = (SubjectRead {
                        kind: entity.kind(),
                        store: of,
                        subject: *subject,
                    })
                    .row(&mut session.conn)?
                    && !deleted.contains(&key)
                {
                    plans.push(Plan::Replace {
                        key,
                        entity: entity.clone(),
                    });
                    continue;
                }
                name_free(session, entity, of, None, &mut given, &deleted)?;
                plans.push(Plan::Insert {
                    store: store.map(|store| store.0),
                    subject: *subject,
                    entity: entity.clone(),
                });
            }
            EntityChange::Replace { key, entity } => {
                let row = live(session, *key, entity.kind(), &deleted)?;
                name_free(session, entity, row.2, Some(*key), &mut given, &deleted)?;
                plans.push(Plan::Replace {
                    key: *key,
                    entity: entity.clone(),
                });
            }
            EntityChange::Delete { key } => {
                let row = live(session, *key, "row", &deleted)?;
                let keys = if row.1 == "store" {
                    StoreRows { store: *key }.rows(&mut session.conn)?
                } else {
                    vec![*key]
                };
                deleted.extend(&keys);
                plans.push(Plan::Delete { keys });
            }
            EntityChange::Record(audit) => plans.push(Plan::Record(audit)),
        }
    }
    Ok(plans)
}

fn live(session: &mut Session, key: i64, kind: &'static str, deleted: &[i64]) -> DbResult<Row> {
    LiveRead { key }
        .row(&mut session.conn)?
        .filter(|row| !deleted.contains(&key) && (kind == "row" || row.1 == kind))
        .ok_or(DbError::Missing(kind))
}

fn name_free(
    session: &mut Session,
    entity: &Entity,
    store: i64,
    own: Option<i64>,
    given: &mut Vec<(&'static str, i64, String)>,
    deleted: &[i64],
) -> DbResult<()> {
    let Some(name) = entity.unique_name() else {
        return Ok(());
    };
    let kind = entity.kind();
    let held = NameRead { kind, store, name }
        .row(&mut session.conn)?
        .map(|(key, _)| key);
    let held = held.filter(|key| Some(*key) != own && !deleted.contains(key));
    if held.is_some()
        || given
            .iter()
            .any(|(of, at, taken)| (*of, *at, taken.as_str()) == (kind, store, name))
    {
        return Err(DbError::Taken { field: "name" });
    }
    given.push((kind, store, name.to_owned()));
    Ok(())
}

fn body_of(entity: &Entity) -> DbResult<String> {
    entity.to_json().map_err(|error| {
        DbError::Internal(format!("a {} cannot be written: {error}", entity.kind()))
    })
}

/// Saves a parameter that an endpoint returned, by its name: an existing one keeps its type and secrecy, a new one is
/// secret and has the type its value shows. `version` is the registry's new one, started when first needed.
/// Returns whether anything changed.
pub(super) fn parameter_save(
    session: &mut Session,
    store: StoreKey,
    returned: &ReturnedParameter,
    version: &mut Option<i64>,
    now: Micros,
) -> DbResult<bool> {
    let found = NameRead {
        kind: "parameter",
        store: store.0,
        name: &returned.name,
    }
    .row(&mut session.conn)?;
    let known = found
        .as_ref()
        .and_then(|(key, body)| match Entity::from_json("parameter", body) {
            Ok(Entity::Parameter(parameter)) => Some((*key, parameter)),
            _ => None,
        });
    if matches!(&known, Some((_, parameter)) if parameter.value == returned.value) {
        return Ok(false);
    }
    let parameter = match &known {
        Some((_, parameter)) => Parameter {
            value: returned.value.clone(),
            // A value of another type is kept, and the type says so: nothing is lost, and nothing lies.
            data_type: if parameter.data_type.holds(&returned.value) {
                parameter.data_type
            } else {
                type_of(&returned.value)
            },
            ..parameter.clone()
        },
        None => Parameter {
            name: returned.name.clone(),
            data_type: type_of(&returned.value),
            value: returned.value.clone(),
            secret: true,
        },
    };
    let entity = Entity::Parameter(parameter);
    let (name, body) = (entity.unique_name(), body_of(&entity)?);
    let version = match *version {
        Some(version) => version,
        None => *version.insert(session.registry_move()?),
    };
    match found {
        Some((key, _)) => RowReplace {
            key,
            name,
            body: &body,
            now: now.0,
            version,
        }
        .run(&mut session.conn)?,
        None => {
            let (key, kind) = (session.next(), entity.kind());
            RowInsert {
                key,
                kind,
                store: store.0,
                subject: None,
                name,
                body: &body,
                now: now.0,
                version,
            }
            .run(&mut session.conn)?
        }
    };
    Ok(true)
}

fn type_of(value: &serde_json::Value) -> DataType {
    use serde_json::Value;
    match value {
        Value::Bool(_) => DataType::Boolean,
        Value::Number(number) if number.is_f64() => DataType::Float,
        Value::Number(_) => DataType::Integer,
        Value::Array(_) => DataType::List,
        Value::Null | Value::String(_) | Value::Object(_) => DataType::String,
    }
}
