//! What PostgreSQL and the way to it say when something is wrong, in the words of [`DbError`].

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState};

use crate::db::DbError;

/// The server's (or the connection's) complaint as an error the layers above can act on.
pub(super) fn fault(error: Error) -> DbError {
    let Some(server) = error.as_db_error() else {
        if error.is_closed() {
            return DbError::Unavailable("the connection to the database was closed".into());
        }
        // A value that cannot be bound or read is the hub's defect; all else here is the way to the server.
        let text = chain(&error);
        return if text.contains("serializing")
            || text.contains("deserializing")
            || text.contains("parameter")
        {
            DbError::Internal(text)
        } else {
            DbError::Unavailable(text)
        };
    };
    let text = format!("{} ({})", server.message(), server.code().code());
    let code = server.code();
    if *code == SqlState::DISK_FULL {
        return DbError::Full;
    }
    // Classes of SQLSTATE (PostgreSQL, appendix A): 08 connection, 53 resources, 55 a lock not to be had,
    // 57 the operator (shutdown, a cancelled statement), 58 system, 40 rolled back (also after our own tries),
    // 25006 a standby that only reads, 3D000 and 28xxx a server that is being set up or misconfigured.
    match code.code().get(..2).unwrap_or_default() {
        "08" | "53" | "55" | "57" | "58" | "40" | "28" | "3D" => DbError::Unavailable(text),
        "XX" => DbError::Corrupt(text),
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => DbError::Unavailable(text),
        _ => DbError::Internal(text),
    }
}

/// Whether the server undid the transaction for the sake of another one (a deadlock, a conflict) or for want of room
/// among its locks, so that the same work may go through at once.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(code) if [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::OUT_OF_MEMORY].contains(code)
    )
}

fn chain(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
