//! Sessions of people, and the record of what they changed.

use diesel::sqlite::SqliteConnection;

use super::{
    session::Session,
    statement::{Command, Question, key_list, statements},
};
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
    SessionInsert<'a> { digest: &'a str, account: i64, created_at: i64, expires_at: i64 } =
        "INSERT INTO session (digest, account, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)";
    /// A session.
    SessionRead<'a> { digest: &'a str } -> (i64, i64, i64) = "SELECT account, created_at, expires_at FROM session WHERE digest = ?1";
    /// Ends one session.
    SessionDelete<'a> { digest: &'a str } = "DELETE FROM session WHERE digest = ?1";
    /// Ends an account's other sessions.
    SessionDeleteOthers<'a> { account: i64, keep: &'a str } = "DELETE FROM session WHERE account = ?1 AND digest <> ?2";
    /// Ends sessions that are over.
    SessionDeleteExpired { now: i64 } = "DELETE FROM session WHERE expires_at <= ?1";
    /// Records a change.
    AuditInsert<'a> {
        seq: i64, store: i64, at: i64, who: &'a str, action: &'a str, subject: &'a str, was: Option<&'a str>, is: Option<&'a str>,
    } = "INSERT INTO audit (seq, store, at, who, action, subject, was, is_now) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    /// Recorded changes of all stores, newest first.
    AuditAll { before: i64, limit: i64 } -> Recorded =
        "SELECT seq, store, at, who, action, subject, was, is_now FROM audit WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2";
    /// Recorded changes of some stores (a JSON array of keys), newest first.
    AuditOf<'a> { before: i64, limit: i64, stores: &'a str } -> Recorded =
        "SELECT seq, store, at, who, action, subject, was, is_now FROM audit
         WHERE seq < ?1 AND store IN (SELECT value FROM json_each(?3)) ORDER BY seq DESC LIMIT ?2";
}

/// Keeps a session.
pub(super) fn session_insert(session: &mut Session, row: &SessionRow) -> DbResult<()> {
    let (digest, account) = (row.digest.as_str(), row.account.0);
    SessionInsert {
        digest,
        account,
        created_at: row.created_at.0,
        expires_at: row.expires_at.0,
    }
    .run(&mut session.conn)?;
    Ok(())
}

/// The session with this digest.
pub(super) fn session_find(
    conn: &mut SqliteConnection,
    digest: String,
) -> DbResult<Option<SessionRow>> {
    let row = SessionRead { digest: &digest }.row(conn)?;
    Ok(row.map(|(account, created_at, expires_at)| SessionRow {
        digest,
        account: AccountKey(account),
        created_at: Micros(created_at),
        expires_at: Micros(expires_at),
    }))
}

/// Ends sessions.
pub(super) fn session_end(session: &mut Session, end: &SessionEnd) -> DbResult<()> {
    match end {
        SessionEnd::One(digest) => SessionDelete { digest }.run(&mut session.conn)?,
        SessionEnd::Others { account, keep } => SessionDeleteOthers {
            account: account.0,
            keep,
        }
        .run(&mut session.conn)?,
        SessionEnd::Expired(now) => SessionDeleteExpired { now: now.0 }.run(&mut session.conn)?,
    };
    Ok(())
}

/// Records changes.
pub(super) fn audit_insert(
    session: &mut Session,
    changes: &[NewAudit],
    now: Micros,
) -> DbResult<()> {
    for change in changes {
        let seq = session.next();
        AuditInsert {
            seq,
            store: change.store.map_or(0, |store| store.0),
            at: now.0,
            who: &change.who,
            action: &change.action,
            subject: &change.subject,
            was: change.was.as_deref(),
            is: change.is.as_deref(),
        }
        .run(&mut session.conn)?;
    }
    Ok(())
}

/// Recorded changes, newest first.
pub(super) fn audit_list(
    conn: &mut SqliteConnection,
    query: &AuditQuery,
) -> DbResult<Vec<AuditRow>> {
    let before = query.after.map_or(i64::MAX, |key| key.0);
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let rows = match &query.stores {
        None => AuditAll { before, limit }.rows(conn)?,
        Some(stores) => {
            let stores = key_list(stores.iter().map(|store| store.0));
            AuditOf {
                before,
                limit,
                stores: &stores,
            }
            .rows(conn)?
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
