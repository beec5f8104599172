//! Which messages show an object, newest first.

use diesel::sqlite::SqliteConnection;

use super::{
    message::BUCKET_BITS,
    statement::{Question, statements},
};
use crate::{
    db::DbResult,
    domain::{
        key::StoreKey,
        reference::{ObjectRef, lane_hash},
    },
};

statements! {
    /// The newest bucket below one: a seek.
    NextBucket { below: i64 } -> Option<i64> = "SELECT max(bucket) FROM object_message WHERE bucket < ?1";
    /// An object's messages in a bucket, newest first.
    BucketMessages { bucket: i64, hash: i64, below: i64, limit: i64 } -> i64 =
        "SELECT message FROM object_message WHERE bucket = ?1 AND object_hash = ?2 AND message < ?3 ORDER BY message DESC LIMIT ?4";
}

/// The newest `limit` messages about an object, older than `below`, newest first.
///
/// Two objects share a hash of 64 bits about never; whoever shows a message's own object compares it.
pub(super) fn messages_about(
    conn: &mut SqliteConnection,
    store: StoreKey,
    object: &ObjectRef,
    below: Option<i64>,
    limit: usize,
) -> DbResult<Vec<i64>> {
    let hash = lane_hash(store.0, object);
    let below = below.unwrap_or(i64::MAX);
    let mut found = Vec::new();
    let mut bucket = (below >> BUCKET_BITS).saturating_add(1);
    while found.len() < limit {
        let Some(next) = (NextBucket { below: bucket }).row(conn)?.flatten() else {
            break;
        };
        bucket = next;
        let limit = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
        found.extend(
            BucketMessages {
                bucket,
                hash,
                below,
                limit,
            }
            .rows(conn)?,
        );
    }
    Ok(found)
}
