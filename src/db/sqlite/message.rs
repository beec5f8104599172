//! Messages on disk: storing them once, reading them back.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use diesel::sqlite::SqliteConnection;

use super::{
    codec::small,
    recent::Recent,
    session::{Place, Session},
    statement::{Command, Question, key_list, statements},
};
use crate::{
    db::{
        DbError, DbResult,
        shown::{Head, object_of},
    },
    domain::{
        id::{Id, IdSeal},
        key::MessageKey,
        message::{Ancestry, Message, NewMessage, Source},
        reference::{About, ObjectRef, lane_hash},
        time::Micros,
    },
};

/// How many bits of a sequence number one bucket of the object index spans.
pub(super) const BUCKET_BITS: u32 = 16;

/// The columns of a message but its payload and extra members.
pub(super) type HeadRow = (
    (
        i64,
        i64,
        String,
        Option<String>,
        Option<String>,
        String,
        String,
    ),
    (Option<i64>, Option<i64>, Option<i64>, i64, bool, i64),
);

/// The most bytes of payloads that one look into a queue brings into memory; the first message is read whatever its size.
pub(super) const BYTES_AT_ONCE: usize = 16 << 20;

type MessageRow = (HeadRow, (Option<String>, String));

statements! {
    /// Stores a message.
    MessageInsert<'a> {
        seq: i64, store: i64, kind: &'a str, object_type: Option<&'a str>, object_token: Option<&'a str>,
        source_kind: &'a str, source_name: &'a str, parent: Option<i64>, parent_made: Option<i64>, root: Option<i64>,
        depth: i64, test: bool, accepted_at: i64, extra: Option<&'a str>, payload: &'a str,
    } = "INSERT INTO message (seq, store, kind, object_type, object_token, source_kind, source_name, parent, parent_made, root,
         depth, test, accepted_at, extra, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    /// Puts a message on an object's timeline.
    ObjectInsert { bucket: i64, hash: i64, message: i64 } =
        "INSERT OR IGNORE INTO object_message (bucket, object_hash, message) VALUES (?1, ?2, ?3)";
    /// Puts a message into the incoming queue.
    IncomingInsert { store: i64, seq: i64, kind: i64, accepted_at: i64 } =
        "INSERT INTO incoming (store, seq, kind, accepted_at) VALUES (?1, ?2, ?3, ?4)";
    /// Whole messages by key.
    MessagesRead<'a> { keys: &'a str } -> MessageRow =
        "SELECT seq, store, kind, object_type, object_token, source_kind, source_name, parent, parent_made, root, depth, test,
         accepted_at, extra, payload FROM message WHERE seq IN (SELECT value FROM json_each(?1))";
    /// How long messages are.
    MessageSizes<'a> { keys: &'a str } -> (i64, i64) =
        "SELECT seq, octet_length(payload) FROM message WHERE seq IN (SELECT value FROM json_each(?1))";
    /// Messages by key, without what is long.
    HeadsRead<'a> { keys: &'a str } -> HeadRow =
        "SELECT seq, store, kind, object_type, object_token, source_kind, source_name, parent, parent_made, root, depth, test,
         accepted_at FROM message WHERE seq IN (SELECT value FROM json_each(?1))";
    /// When a message was accepted.
    MessageMade { seq: i64 } -> i64 = "SELECT accepted_at FROM message WHERE seq = ?1";
}

/// Stores a message as it is, with its timeline entries, and puts it into the incoming queue. Returns its key.
pub(super) fn message_store(
    session: &mut Session,
    message: &NewMessage,
    now: Micros,
) -> DbResult<i64> {
    let written = message_write(session, message, now)?;
    written.queue(session)?;
    Ok(written.message.key.0)
}

/// A message that is in no queue yet.
pub(super) struct Written {
    pub(super) message: Arc<Message>,
    /// The key of its type.
    pub(super) kind: i64,
}

impl Written {
    /// Puts it into the incoming queue.
    pub(super) fn queue(&self, session: &mut Session) -> DbResult<()> {
        let store = self.message.store.0;
        IncomingInsert {
            store,
            seq: self.message.key.0,
            kind: self.kind,
            accepted_at: self.message.accepted_at.0,
        }
        .run(&mut session.conn)?;
        session.count(store, Place::Incoming, 1);
        Ok(())
    }
}

/// Stores a message as it is, with its timeline entries.
pub(super) fn message_write(
    session: &mut Session,
    message: &NewMessage,
    now: Micros,
) -> DbResult<Written> {
    let store = message.store.0;
    let kind = session.kind(store, message.kind.as_str())?;
    let seq = session.next();
    MessageInsert {
        seq,
        store,
        kind: message.kind.as_str(),
        object_type: message.about.primary.as_ref().map(ObjectRef::kind),
        object_token: message.about.primary.as_ref().map(ObjectRef::token),
        source_kind: message.source.kind(),
        source_name: message.source.name(),
        parent: message.ancestry.map(|line| line.parent.0),
        parent_made: message
            .ancestry
            .map(|line| i64::from(line.parent_id.second())),
        root: message.ancestry.map(|line| line.root.0),
        depth: message.ancestry.map_or(0, |line| i64::from(line.depth)),
        test: message.test,
        accepted_at: now.0,
        extra: message.extra.as_deref(),
        payload: message.payload.as_str(),
    }
    .run(&mut session.conn)?;
    for object in message.about.objects() {
        ObjectInsert {
            bucket: seq >> BUCKET_BITS,
            hash: lane_hash(store, object),
            message: seq,
        }
        .run(&mut session.conn)?;
    }
    let message = Arc::new(stored(session.id(seq, now), seq, message, now));
    session.fresh(Arc::clone(&message));
    Ok(Written { message, kind })
}

/// The message as it is read back.
fn stored(id: Id, seq: i64, message: &NewMessage, now: Micros) -> Message {
    Message {
        key: MessageKey(seq),
        id,
        store: message.store,
        kind: message.kind.clone(),
        payload: message.payload.clone(),
        about: About {
            primary: message.about.primary.clone(),
            also: Vec::new(),
        },
        source: message.source.clone(),
        ancestry: message.ancestry,
        test: message.test,
        extra: message.extra.clone(),
        accepted_at: now,
    }
}

/// Messages that entries of a queue are about.
pub(super) struct Fetched {
    /// How many entries, from the first on, were looked up: as many as hold no more than [`BYTES_AT_ONCE`], one at least.
    pub(super) entries: usize,
    /// Their messages by key; those that cannot be read are logged and missing.
    pub(super) messages: HashMap<i64, Arc<Message>>,
}

/// The messages with these keys, from memory where they are recent. Entries may share a message.
pub(super) fn fetch(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    recent: &Recent,
    keys: &[i64],
) -> DbResult<Fetched> {
    let mut messages = HashMap::with_capacity(keys.len());
    let mut missing = Vec::new();
    for (key, found) in keys.iter().zip(recent.find(keys)) {
        match found {
            Some(message) => {
                messages.insert(*key, message);
            }
            None => missing.push(*key),
        }
    }
    if missing.is_empty() {
        let entries = keys.len();
        return Ok(Fetched { entries, messages });
    }
    let entries = fit_in_memory(conn, keys, &missing)?;
    missing.retain({
        let wanted: HashSet<i64> = keys.iter().take(entries).copied().collect();
        move |key| wanted.contains(key)
    });
    missing.sort_unstable();
    missing.dedup();
    for message in messages_read(conn, seal, missing)? {
        match message {
            Ok(message) => {
                messages.insert(message.key.0, Arc::new(message));
            }
            Err(error @ DbError::Unreadable { .. }) => {
                log::error!("{error}; it is archived as unreadable")
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Fetched { entries, messages })
}

/// How many of these entries, from the first on, bring no more than [`BYTES_AT_ONCE`] of `missing` into memory; one at least.
pub(super) fn fit_in_memory(
    conn: &mut SqliteConnection,
    entries: &[i64],
    missing: &[i64],
) -> DbResult<usize> {
    let keys = key_list(missing.iter().copied());
    let mut sizes: HashMap<i64, i64> = MessageSizes { keys: &keys }
        .rows(conn)?
        .into_iter()
        .collect();
    let mut room = i64::try_from(BYTES_AT_ONCE).unwrap_or(i64::MAX);
    for (count, message) in entries.iter().enumerate() {
        room = room.saturating_sub(sizes.remove(message).unwrap_or(0));
        if room < 0 {
            return Ok(count.max(1));
        }
    }
    Ok(entries.len())
}

/// The whole messages with these keys, in no order; rows that cannot be read are told beside them.
pub(super) fn messages_read(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    keys: impl IntoIterator<Item = i64>,
) -> DbResult<Vec<Result<Message, DbError>>> {
    let rows = MessagesRead {
        keys: &key_list(keys),
    }
    .rows(conn)?;
    Ok(rows
        .into_iter()
        .map(|(head, (extra, payload))| whole(seal, head, extra, payload))
        .collect())
}

/// The messages with these keys without their payloads, in no order; those that cannot be read are left out and logged.
pub(super) fn heads_read(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    keys: impl IntoIterator<Item = i64>,
) -> DbResult<Vec<Head>> {
    let rows = HeadsRead {
        keys: &key_list(keys),
    }
    .rows(conn)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| head(seal, row).map_err(|error| log::error!("{error}")).ok())
        .collect())
}

fn whole(
    seal: IdSeal,
    row: HeadRow,
    extra: Option<String>,
    payload: String,
) -> Result<Message, DbError> {
    head(seal, row)?.whole(extra, payload)
}

fn head(seal: IdSeal, row: HeadRow) -> Result<Head, DbError> {
    let ((key, store, kind, object_type, object_token, source_kind, source_name), line) = row;
    let (parent, parent_made, root, depth, test, accepted_at) = line;
    let ancestry = match (parent, parent_made, root) {
        (Some(parent), Some(made), Some(root)) => Some(Ancestry {
            parent: MessageKey(parent),
            // An id holds whole seconds, so the second alone seals the same id again.
            parent_id: seal.seal(parent, Micros(made.saturating_mul(1_000_000))),
            root: MessageKey(root),
            depth: small(depth),
        }),
        _ => None,
    };
    Ok(Head {
        key,
        id: seal.seal(key, Micros(accepted_at)),
        store,
        kind,
        object: object_of(key, object_type, object_token)?,
        source: Source::from_parts(&source_kind, &source_name),
        ancestry,
        test,
        accepted_at: Micros(accepted_at),
    })
}
