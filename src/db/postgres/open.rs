//! Opening the database: its tables made or brought up to date under a lock, once, whichever node comes first.

use super::{conn::Conn, partition, statement::statements};
use crate::{
    db::{DbError, DbResult},
    domain::{id::IdSeal, time::Micros},
};

/// The steps of the schema, oldest first: version and text. They move together with `migrations/sqlite`.
const MIGRATIONS: &[(&str, &str)] = &[
    (
        "2026-11-21-000000",
        include_str!("../../../migrations/postgres/2026-11-21-000000_tables/up.sql"),
    ),
    (
        "2026-11-21-010000",
        include_str!("../../../migrations/postgres/2026-11-21-010000_people/up.sql"),
    ),
    (
        "2026-11-21-020000",
        include_str!("../../../migrations/postgres/2026-11-21-020000_endpoints/up.sql"),
    ),
    (
        "2026-11-21-030000",
        include_str!("../../../migrations/postgres/2026-11-21-030000_polling/up.sql"),
    ),
    (
        "2026-11-21-045000",
        include_str!("../../../migrations/postgres/2026-11-21-045000_privacy/up.sql"),
    ),
    (
        "2026-11-21-050000",
        include_str!("../../../migrations/postgres/2026-11-21-050000_jobs/up.sql"),
    ),
    (
        "2026-11-22-020000",
        include_str!("../../../migrations/postgres/2026-11-22-020000_routing_shards/up.sql"),
    ),
];

/// The lock under which tables are made.
const LOCK: &str = "SELECT pg_advisory_lock(1229874530, 0)";
const UNLOCK: &str = "SELECT pg_advisory_unlock(1229874530, 0)";

statements! {
    /// A number of `meta`.
    META_READ = "SELECT value FROM meta WHERE name = $1";
    /// Steps that were taken.
    APPLIED = "SELECT version FROM schema_migration ORDER BY version";
    /// Notes a step.
    APPLY = "INSERT INTO schema_migration (version) VALUES ($1)";
    /// The version of the server, as a number such as 150018.
    SERVER_VERSION = "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')";
    /// The table that says how far a copy came.
    COPY_TABLE = "SELECT to_regclass('copy_progress')::oid::bigint";
    /// Whether there are tables of somebody else where ours would go.
    STRANGERS = "SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')";
}

/// Makes or upgrades the tables and the partitions of the days around `now`; returns how ids are made.
pub(super) async fn prepare(conn: &Conn, now: Micros) -> DbResult<IdSeal> {
    let (version, encoding): (i32, String) =
        conn.row(&SERVER_VERSION, &[]).await?.unwrap_or_default();
    if version < 140_000 {
        return Err(DbError::Refused(
            "the database's server is older than PostgreSQL 14".into(),
        ));
    }
    if encoding != "UTF8" {
        return Err(DbError::Refused(format!(
            "the database is encoded in {encoding}; create one with ENCODING 'UTF8'"
        )));
    }
    conn.batch(LOCK).await?;
    let outcome = migrate(conn, now).await;
    // A connection that broke has lost the lock by itself.
    let _ = conn.batch(UNLOCK).await;
    outcome?;
    if copies(conn).await? {
        return Err(DbError::Refused(
            "a copy into this database is not finished; run `integrator copy` again, it goes on where it stopped".into(),
        ));
    }
    seal(conn).await
}

/// The same for a copy, which may have begun.
pub(super) async fn prepare_for_copy(conn: &Conn, now: Micros) -> DbResult<()> {
    if !copies(conn).await? {
        prepare(conn, now).await?;
    }
    Ok(())
}

/// Whether a copy into the database began and is not finished.
pub(super) async fn copies(conn: &Conn) -> DbResult<bool> {
    let there: Option<(Option<i64>,)> = conn.row(&COPY_TABLE, &[]).await?;
    Ok(matches!(there, Some((Some(_),))))
}

async fn seal(conn: &Conn) -> DbResult<IdSeal> {
    let seal: Option<(i64,)> = conn.row(&META_READ, &[&"seal"]).await?;
    let (seal,) = seal.ok_or_else(|| DbError::Corrupt("the table meta has no row seal".into()))?;
    Ok(IdSeal::new(seal.cast_unsigned()))
}

async fn migrate(conn: &Conn, now: Micros) -> DbResult<()> {
    let known: Option<(Option<i64>,)> = conn
        .row(
            &super::statement::Sql {
                name: "MIGRATIONS_TABLE",
                text: "SELECT to_regclass('schema_migration')::oid::bigint",
            },
            &[],
        )
        .await?;
    if !matches!(known, Some((Some(_),))) {
        let strangers: Option<(i64,)> = conn.row(&STRANGERS, &[]).await?;
        if !matches!(strangers, Some((0,))) {
            return Err(DbError::Refused(
                "the database holds tables of another program; nothing was changed".into(),
            ));
        }
        conn.batch("CREATE TABLE schema_migration (version TEXT PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())").await?;
    }
    let applied: Vec<(String,)> = conn.rows(&APPLIED, &[]).await?;
    if applied
        .iter()
        .any(|(version,)| !MIGRATIONS.iter().any(|(known, _)| known == version))
    {
        return Err(DbError::Refused(
            "the database was written by a newer version of this program; use that one, or restore a backup".into(),
        ));
    }
    for (version, text) in MIGRATIONS
        .iter()
        .filter(|(version, _)| !applied.iter().any(|(done,)| done == version))
    {
        conn.batch("BEGIN").await?;
        let step = async {
            conn.batch(text).await?;
            conn.run(&APPLY, &[version]).await?;
            conn.batch("COMMIT").await
        };
        if let Err(error) = step.await {
            // The connection may be gone, and the step with it.
            let _ = conn.batch("ROLLBACK").await;
            return Err(error);
        }
    }
    partition::ensure(conn, now).await.map(|_| ())
}
