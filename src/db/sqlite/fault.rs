//! What SQLite says when something is wrong, in the words of [`DbError`].

use diesel::result::{DatabaseErrorKind, Error};

use crate::db::DbError;

/// SQLite's complaint as an error the layers above can act on. Diesel hands on its text only, not its code.
pub(super) fn fault(error: Error) -> DbError {
    let text = match &error {
        Error::DatabaseError(DatabaseErrorKind::ClosedConnection, _) => {
            return DbError::Unavailable("the connection is closed".into());
        }
        Error::DatabaseError(_, details) => details.message().to_owned(),
        other => other.to_string(),
    };
    named(text)
}

/// The error that this text of SQLite's stands for.
pub(super) fn named(text: String) -> DbError {
    const CORRUPT: [&str; 3] = ["malformed", "is not a database", "database corruption"];
    const AWAY: [&str; 5] = [
        "locked",
        "readonly database",
        "disk I/O error",
        "unable to open database",
        "out of memory",
    ];
    if text.contains("disk is full") {
        DbError::Full
    } else if CORRUPT.iter().any(|part| text.contains(part)) {
        DbError::Corrupt(text)
    } else if AWAY.iter().any(|part| text.contains(part)) {
        DbError::Unavailable(text)
    } else {
        DbError::Internal(text)
    }
}

/// Whether this error was told before anything was written, so that what shares the transaction may go on.
pub(super) fn is_refusal(error: &DbError) -> bool {
    matches!(error, DbError::Missing(_) | DbError::Taken { .. })
}
