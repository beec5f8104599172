//! Which messages show an object, newest first.

use super::{codec::DAY, conn::Conn, statement::statements};
use crate::{
    db::DbResult,
    domain::{
        key::StoreKey,
        reference::{ObjectRef, lane_hash},
    },
};

statements! {
    /// An object's messages, newest first: the days' indexes merged.
    OBJECT_MESSAGES = "SELECT message, day FROM object_message WHERE object_hash = $1 AND message < $2 ORDER BY message DESC LIMIT $3";
}

/// The newest `limit` messages about an object, older than `below`, newest first: number, and a time of the day it was
/// accepted on.
///
/// Two objects share a hash of 64 bits about never; whoever shows a message's own object compares it.
pub(super) async fn messages_about(
    conn: &Conn,
    store: StoreKey,
    object: &ObjectRef,
    below: Option<i64>,
    limit: usize,
) -> DbResult<Vec<(i64, i64)>> {
    let hash = lane_hash(store.0, object);
    let below = below.unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<(i64, i32)> = conn
        .rows(&OBJECT_MESSAGES, &[&hash, &below, &limit])
        .await?;
    Ok(rows
        .into_iter()
        .map(|(message, day)| (message, i64::from(day) * DAY))
        .collect())
}
