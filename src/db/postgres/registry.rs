//! The registry's rows: everything configured, as JSON bodies under one version counter.

use std::collections::BTreeSet;

use super::{conn::Conn, hint::Hint, people::audit_insert, statement::statements, tx::Tx};
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
    /// Rows changed after a version, and the newest version, of one moment.
    CHANGED = "SELECT r.key, r.kind, r.store, r.subject, r.body, r.created_at, r.updated_at, r.deleted, r.version, m.value
        FROM meta m LEFT JOIN registry r ON r.version > $1 WHERE m.name = 'registry_version' ORDER BY r.key";
    /// A live row.
    LIVE_READ = "SELECT key, kind, store, subject, body, created_at, updated_at, deleted, version FROM registry WHERE key = $1 AND NOT deleted";
    /// The live row of this kind and name.
    NAME_READ = "SELECT key, body FROM registry WHERE kind = $1 AND store = $2 AND name = $3 AND name IS NOT NULL AND NOT deleted";
    /// The live row of this kind that speaks of a subject.
    SUBJECT_READ = "SELECT key FROM registry WHERE kind = $1 AND store = $2 AND subject = $3 AND subject IS NOT NULL AND NOT deleted";
    /// Live rows of a store.
    STORE_ROWS = "SELECT key FROM registry WHERE store = $1 AND NOT deleted";
    /// A new row.
    ROW_INSERT = "INSERT INTO registry (key, kind, store, subject, name, body, created_at, updated_at, version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)";
    /// A row's new body.
    ROW_REPLACE = "UPDATE registry SET name = $2, body = $3, updated_at = $4, version = $5 WHERE key = $1";
    /// Marks rows as deleted.
    ROWS_DELETE = "UPDATE registry SET deleted = TRUE, updated_at = $2, version = $3 WHERE key = ANY ($1::bigint[])";
    /// Starts the registry's next version; whoever changes it waits here for whoever else does.
    VERSION_MOVE = "UPDATE meta SET value = value + 1 WHERE name = 'registry_version' RETURNING value";
}

/// Rows changed after `since`, and the newest version.
pub(super) async fn changes(conn: &Conn, seal: IdSeal, since: i64) -> DbResult<RegistryDelta> {
    type Wide = (
        Option<i64>,
        Option<String>,
        Option<i64>,
        Option<i64>,
        Option<String>,
        Option<i64>,
        Option<i64>,
        Option<bool>,
        Option<i64>,
        i64,
    );
    let rows: Vec<Wide> = conn.rows(&CHANGED, &[&since]).await?;
    let mut delta = RegistryDelta {
        rows: Vec::with_capacity(rows.len()),
        unreadable: Vec::new(),
        version: 0,
    };
    for (key, kind, store, subject, body, created_at, updated_at, deleted, version, newest) in rows
    {
        delta.version = newest;
        let (Some(key), Some(kind), Some(store), Some(body)) = (key, kind, store, body) else {
            continue;
        };
        let (Some(created_at), Some(updated_at), Some(deleted), Some(version)) =
            (created_at, updated_at, deleted, version)
        else {
            continue;
        };
        let row = (
            key,
            kind.clone(),
            store,
            subject,
            body,
            created_at,
            updated_at,
            deleted,
            version,
        );
        match entity_row(seal, row) {
            Ok(row) => delta.rows.push(row),
            Err(reason) => delta.unreadable.push((key, kind, reason)),
        }
    }
    Ok(delta)
}

fn entity_row(seal: IdSeal, row: Row) -> Result<EntityRow, String> {
    let (key, kind, store, subject, body, created_at, updated_at, deleted, version) = row;
    let entity = entity_of(&kind, &body)?;
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
    Record(&'a NewAudit),
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
}

/// Writes changes, all or none; returns the rows as written, in order.
pub(super) async fn change(
    tx: &mut Tx<'_>,
    changes: &[EntityChange],
    now: Micros,
) -> DbResult<RegistryDelta> {
    // First of all, so that what is planned stays true.
    let version = version_move(tx).await?;
    let plans = plan(tx, changes).await?;
    let mut keys = Vec::new();
    for plan in plans {
        match plan {
            Plan::Record(audit) => audit_insert(tx, std::slice::from_ref(audit), now).await?,
            Plan::Insert {
                store,
                subject,
                entity,
            } => {
                let key = one_number(tx).await?;
                // A store belongs to itself; what belongs to nobody (the operator) to store 0.
                let store = if matches!(entity, Entity::Store(_)) {
                    key
                } else {
                    store.unwrap_or(0)
                };
                row_insert(tx, key, store, subject, &entity, version, now).await?;
                keys.push(key);
            }
            Plan::Replace { key, entity } => {
                row_replace(tx, key, &entity, version, now).await?;
                keys.push(key);
            }
            Plan::Delete { keys: deleted } => {
                tx.run(&ROWS_DELETE, &[&deleted, &now.0, &version]).await?;
                keys.extend(deleted);
            }
        }
    }
    let written = self::changes(tx.conn, tx.seal(), version - 1).await?;
    let mut rows: Vec<EntityRow> = Vec::with_capacity(keys.len());
    for key in keys {
        rows.extend(written.rows.iter().find(|row| row.key == key).cloned());
    }
    tx.hint(Hint::registry());
    Ok(RegistryDelta { rows, ..written })
}

async fn version_move(tx: &mut Tx<'_>) -> DbResult<i64> {
    let row: Option<(i64,)> = tx.row(&VERSION_MOVE, &[]).await?;
    row.map(|(version,)| version)
        .ok_or_else(|| DbError::Corrupt("the table meta has no row registry_version".into()))
}

async fn one_number(tx: &mut Tx<'_>) -> DbResult<i64> {
    tx.numbers(1)
        .await?
        .next()
        .ok_or_else(|| DbError::Internal("the sequence gave no number".into()))
}

async fn row_insert(
    tx: &mut Tx<'_>,
    key: i64,
    store: i64,
    subject: Option<i64>,
    entity: &Entity,
    version: i64,
    now: Micros,
) -> DbResult<()> {
    let body = body_of(entity)?;
    tx.run(
        &ROW_INSERT,
        &[
            &key,
            &entity.kind(),
            &store,
            &subject,
            &entity.unique_name(),
            &body,
            &now.0,
            &version,
        ],
    )
    .await?;
    Ok(())
}

async fn row_replace(
    tx: &mut Tx<'_>,
    key: i64,
    entity: &Entity,
    version: i64,
    now: Micros,
) -> DbResult<()> {
    let body = body_of(entity)?;
    tx.run(
        &ROW_REPLACE,
        &[&key, &entity.unique_name(), &body, &now.0, &version],
    )
    .await?;
    Ok(())
}

async fn plan<'a>(tx: &mut Tx<'_>, changes: &'a [EntityChange]) -> DbResult<Vec<Plan<'a>>> {
    let mut plans = Vec::with_capacity(changes.len());
    // Names given and rows freed by earlier changes of the same call.
    let mut given: Vec<(&'static str, i64, String)> = Vec::new();
    let mut deleted: Vec<i64> = Vec::new();
    for change in changes {
        match change {
            EntityChange::Record(audit) => plans.push(Plan::Record(audit)),
            EntityChange::Create {
                store,
                subject,
                entity,
            } => {
                let of = store.map_or(0, |store| store.0);
                if let Some(subject) = subject {
                    let found: Option<(i64,)> = tx
                        .row(&SUBJECT_READ, &[&entity.kind(), &of, subject])
                        .await?;
                    if let Some((key,)) = found.filter(|(key,)| !deleted.contains(key)) {
                        plans.push(Plan::Replace {
                            key,
                            entity: entity.clone(),
                        });
                        continue;
                    }
                }
                name_free(tx, entity, of, None, &mut given, &deleted).await?;
                plans.push(Plan::Insert {
                    store: store.map(|store| store.0),
                    subject: *subject,
                    entity: entity.clone(),
                });
            }
            EntityChange::Replace { key, entity } => {
                let row = live(tx, *key, entity.kind(), &deleted).await?;
                name_free(tx, entity, row.2, Some(*key), &mut given, &deleted).await?;
                plans.push(Plan::Replace {
                    key: *key,
                    entity: entity.clone(),
                });
            }
            EntityChange::Delete { key } => {
                let row = live(tx, *key, "row", &deleted).await?;
                let keys = if row.1 == "store" {
                    let rows: Vec<(i64,)> = tx.rows(&STORE_ROWS, &[key]).await?;
                    rows.into_iter().map(|(key,)| key).collect()
                } else {
                    vec![*key]
                };
                deleted.extend(&keys);
                plans.push(Plan::Delete { keys });
            }
        }
    }
    Ok(plans)
}

async fn live(tx: &mut Tx<'_>, key: i64, kind: &'static str, deleted: &[i64]) -> DbResult<Row> {
    let row: Option<Row> = tx.row(&LIVE_READ, &[&key]).await?;
    row.filter(|row| !deleted.contains(&key) && (kind == "row" || row.1 == kind))
        .ok_or(DbError::Missing(kind))
}

async fn name_free(
    tx: &mut Tx<'_>,
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
    let held: Option<(i64, String)> = tx.row(&NAME_READ, &[&kind, &store, &name]).await?;
    let held = held.filter(|(key, _)| Some(*key) != own && !deleted.contains(key));
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

/// A stored body. The error's text must not show the body, which holds secrets.
fn entity_of(kind: &str, body: &str) -> Result<Entity, String> {
    Entity::from_json(kind, body).map_err(|_| "its body cannot be read".to_owned())
}

fn body_of(entity: &Entity) -> DbResult<String> {
    let body = entity.to_json().map_err(|error| {
        DbError::Internal(format!("a {} cannot be written: {error}", entity.kind()))
    })?;
    Ok(super::codec::text(&body).into_owned())
}

/// Saves parameters that endpoints returned, by name: an existing one keeps its type and secrecy, a new one is secret and
/// has the type its value shows. All under one new version, started when first needed. Returns the groups that changed
/// anything.
pub(super) async fn parameters_save(
    tx: &mut Tx<'_>,
    returned: &[(usize, StoreKey, &ReturnedParameter)],
    now: Micros,
) -> DbResult<BTreeSet<usize>> {
    let mut moved = BTreeSet::new();
    let mut version = None;
    for (group, store, parameter) in returned {
        if parameter_save(tx, *store, parameter, &mut version, now).await? {
            moved.insert(*group);
        }
    }
    Ok(moved)
}

async fn parameter_save(
    tx: &mut Tx<'_>,
    store: StoreKey,
    returned: &ReturnedParameter,
    version: &mut Option<i64>,
    now: Micros,
) -> DbResult<bool> {
    let known = parameter_read(tx, store, returned).await?;
    if matches!(&known, Some((_, Some(parameter))) if parameter.value == returned.value) {
        return Ok(false);
    }
    // The same endpoint often returns what it returned before, so only now is the registry moved, and the row read again:
    // somebody else may have been first.
    let (version, known) = match *version {
        Some(version) => (version, known),
        None => (
            *version.insert(version_move(tx).await?),
            parameter_read(tx, store, returned).await?,
        ),
    };
    let parameter = match &known {
        Some((_, Some(parameter))) => Parameter {
            // A value of another type is kept, and the type says so: nothing is lost, and nothing lies.
            data_type: if parameter.data_type.holds(&returned.value) {
                parameter.data_type
            } else {
                type_of(&returned.value)
            },
            value: returned.value.clone(),
            ..parameter.clone()
        },
        _ => Parameter {
            name: returned.name.clone(),
            data_type: type_of(&returned.value),
            value: returned.value.clone(),
            secret: true,
        },
    };
    let entity = Entity::Parameter(parameter);
    match known {
        Some((key, _)) => row_replace(tx, key, &entity, version, now).await?,
        None => {
            let key = one_number(tx).await?;
            row_insert(tx, key, store.0, None, &entity, version, now).await?;
        }
    }
    Ok(true)
}

async fn parameter_read(
    tx: &mut Tx<'_>,
    store: StoreKey,
    returned: &ReturnedParameter,
) -> DbResult<Option<(i64, Option<Parameter>)>> {
    let found: Option<(i64, String)> = tx
        .row(&NAME_READ, &[&"parameter", &store.0, &returned.name])
        .await?;
    Ok(
        found.map(|(key, body)| match entity_of("parameter", &body) {
            Ok(Entity::Parameter(parameter)) => (key, Some(parameter)),
            _ => (key, None),
        }),
    )
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
