//! What can go wrong in the database, as the layers above need to tell it apart.

/// An error of the database layer.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database does not answer now (locked, restarting, closed): wait and try again. HTTP 503.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// No room left on the disk. Nothing was written. HTTP 503.
    #[error("the disk of the database is full")]
    Full,
    /// The database file is damaged or is no database. Nothing was overwritten.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The database belongs to a newer version of this program, or another program holds it.
    #[error("{0}")]
    Refused(String),
    /// The value must be unique and is not.
    #[error("{field} is already taken")]
    Taken {
        /// The field, as the API names it.
        field: &'static str,
    },
    /// There is no such row.
    #[error("no such {0}")]
    Missing(&'static str),
    /// A row could not be read.
    #[error("row {key} of {table} cannot be read: {reason}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: i64,
        /// What was wrong.
        reason: String,
    },
    /// Anything else; a defect of the hub.
    #[error("database error: {0}")]
    Internal(String),
}

impl DbError {
    /// Whether waiting and trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full)
    }
}
