//! Sessions of people, and the record of what they changed.

use super::{codec::text, conn::Conn, statement::statements, tx::Tx};
use crate::{
    db::{AuditQuery, AuditRow, DbResult, NewAudit, SessionEnd, SessionRow},
    domain::{
        key::{AccountKey, StoreKey},
        time::Micros,
    },
};

type Recorded = (
    i64,
    i64,
    i64,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
);

statements! {
    /// Keeps a session.
    SESSION_INSERT = "INSERT INTO session (digest, account, created_at, expires_at) VALUES ($1, $2, $3, $4)";
    /// A session.
    SESSION_READ = "SELECT account, created_at, expires_at FROM session WHERE digest = $1";
    /// Ends one session.
    SESSION_DELETE = "DELETE FROM session WHERE digest = $1";
    /// Ends an account's other sessions.
    SESSION_DELETE_OTHERS = "DELETE FROM session WHERE account = $1 AND digest <> $2";
    /// Ends sessions that are over.
    SESSION_DELETE_EXPIRED = "DELETE FROM session WHERE expires_at <= $1";
    /// Records changes.
    AUDIT_INSERT = "INSERT INTO audit (seq, store, at, who, action, subject, was, is_now)
        SELECT u.seq, u.store, $1::bigint, u.who, u.action, u.subject, u.was, u.is_now
        FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
        AS u(seq, store, who, action, subject, was, is_now)";
    /// Recorded changes of all stores, newest first.
    AUDIT_ALL = "SELECT seq, store, at, who, action, subject, was, is_now FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
    /// Recorded changes of some stores, newest first.
    AUDIT_OF = "SELECT q.seq, q.store, q.at, q.who, q.action, q.subject, q.was, q.is_now
        FROM (SELECT DISTINCT unnest($3::bigint[]) AS store) s CROSS JOIN LATERAL (
            SELECT * FROM audit a WHERE a.store = s.store AND a.seq < $1::bigint ORDER BY a.seq DESC LIMIT $2::bigint
        ) q ORDER BY q.seq DESC LIMIT $2::bigint";
}

/// Keeps a session.
pub(super) async fn session_insert(tx: &mut Tx<'_>, row: &SessionRow) -> DbResult<()> {
    let (account, from, until) = (row.account.0, row.created_at.0, row.expires_at.0);
    tx.run(
        &SESSION_INSERT,
        &[&text(&row.digest), &account, &from, &until],
    )
    .await
    .map(|_| ())
}

/// The session with this digest.
pub(super) async fn session_find(conn: &Conn, digest: String) -> DbResult<Option<SessionRow>> {
    let row: Option<(i64, i64, i64)> = conn.row(&SESSION_READ, &[&text(&digest)]).await?;
    Ok(row.map(|(account, created_at, expires_at)| SessionRow {
        digest,
        account: AccountKey(account),
        created_at: Micros(created_at),
        expires_at: Micros(expires_at),
    }))
}

/// Ends sessions.
pub(super) async fn session_end(tx: &mut Tx<'_>, end: &SessionEnd) -> DbResult<()> {
    match end {
        SessionEnd::One(digest) => tx.run(&SESSION_DELETE, &[&text(digest)]).await?,
        SessionEnd::Others { account, keep } => {
            tx.run(&SESSION_DELETE_OTHERS, &[&account.0, &text(keep)])
                .await?
        }
        SessionEnd::Expired(now) => tx.run(&SESSION_DELETE_EXPIRED, &[&now.0]).await?,
    };
    Ok(())
}

/// Records changes.
pub(super) async fn audit_insert(
    tx: &mut Tx<'_>,
    changes: &[NewAudit],
    now: Micros,
) -> DbResult<()> {
    if changes.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($change:ident => $value:expr) => {
            changes.iter().map(|$change| $value).collect::<Vec<_>>()
        };
    }
    let seqs: Vec<i64> = tx.numbers(changes.len()).await?.collect();
    tx.run(
        &AUDIT_INSERT,
        &[
            &now.0,
            &seqs,
            &column!(change => change.store.map_or(0, |store| store.0)),
            &column!(change => text(&change.who)),
            &column!(change => text(&change.action)),
            &column!(change => text(&change.subject)),
            &column!(change => change.was.as_deref().map(text)),
            &column!(change => change.is.as_deref().map(text)),
        ],
    )
    .await
    .map(|_| ())
}

/// Recorded changes, newest first.
pub(super) async fn audit_list(conn: &Conn, query: &AuditQuery) -> DbResult<Vec<AuditRow>> {
    let before = query.after.map_or(i64::MAX, |key| key.0);
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let rows: Vec<Recorded> = match &query.stores {
        None => conn.rows(&AUDIT_ALL, &[&before, &limit]).await?,
        Some(stores) => {
            let stores: Vec<i64> = stores.iter().map(|store| store.0).collect();
            conn.rows(&AUDIT_OF, &[&before, &limit, &stores]).await?
        }
    };
    Ok(rows.into_iter().map(audit_row).collect())
}

fn audit_row((key, store, at, who, action, subject, was, is): Recorded) -> AuditRow {
    let store = (store != 0).then_some(StoreKey(store));
    AuditRow {
        key,
        at: Micros(at),
        change: NewAudit {
            store,
            who,
            action,
            subject,
            was,
            is,
        },
    }
}
