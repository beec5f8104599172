//! The incoming queue: accepting messages, and handing out those that wait for routing.

use diesel::sqlite::SqliteConnection;

use super::{
    archive::{Unwanted, archive_message},
    message::{message_store, messages_read},
    route::IncomingRead,
    session::{Place, Session},
    statement::{Command, Question, statements},
    store_turns::stores_in_turn,
};
use crate::{
    db::{Acceptance, Accepted, DbError, DbResult, IdempotencyKey},
    domain::{
        delivery::ArchiveReason,
        id::IdSeal,
        key::{MappingKey, MessageKey},
        message::Incoming,
        time::Micros,
    },
};

statements! {
    /// A pusher's key that has not expired.
    KeyRead<'a> { token: i64, key: &'a [u8], now: i64 } -> (Vec<u8>, i64, i64) =
        "SELECT body, message, accepted_at FROM idempotency WHERE token = ?1 AND key = ?2 AND expires_at > ?3";
    /// Keeps a pusher's key; an expired one gives way.
    KeyWrite<'a> { token: i64, key: &'a [u8], body: &'a [u8], message: i64, accepted_at: i64, expires_at: i64 } =
        "INSERT OR REPLACE INTO idempotency (token, key, body, message, accepted_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    /// The next store that has incoming messages: a skip scan, one seek for each store.
    NextStore { after: i64 } -> Option<i64> = "SELECT min(store) FROM incoming WHERE store > ?1";
    /// A store's oldest incoming messages.
    StoreWaiting { store: i64, limit: i64 } -> (i64, Option<i64>) =
        "SELECT seq, routed_up_to FROM incoming WHERE store = ?1 ORDER BY seq LIMIT ?2";
    /// Incoming messages of a store by key.
    IncomingPlaces<'a> { store: i64, keys: &'a str } -> (i64, i64, i64) =
        "SELECT seq, kind, accepted_at FROM incoming WHERE store = ?1 AND seq IN (SELECT value FROM json_each(?2))";
    /// Takes a message out of the queue.
    IncomingDelete { store: i64, seq: i64 } = "DELETE FROM incoming WHERE store = ?1 AND seq = ?2";
}

/// Accepts messages; one answer each, in order.
pub(super) fn insert(
    session: &mut Session,
    batch: &[Acceptance],
    now: Micros,
) -> DbResult<Vec<Accepted>> {
    batch
        .iter()
        .map(|acceptance| accept(session, acceptance, now))
        .collect()
}

fn accept(session: &mut Session, acceptance: &Acceptance, now: Micros) -> DbResult<Accepted> {
    if let Some(key) = &acceptance.idempotency
        && let Some(earlier) = key_read(session, key, now)?
    {
        return Ok(earlier);
    }
    let seq = message_store(session, &acceptance.message, now)?;
    if let Some(IdempotencyKey {
        token,
        key,
        body,
        expires_at,
    }) = &acceptance.idempotency
    {
        KeyWrite {
            token: token.0,
            key,
            body,
            message: seq,
            accepted_at: now.0,
            expires_at: expires_at.0,
        }
        .run(&mut session.conn)?;
    }
    Ok(Accepted::New {
        key: MessageKey(seq),
        id: session.id(seq, now),
    })
}

fn key_read(
    session: &mut Session,
    key: &IdempotencyKey,
    now: Micros,
) -> DbResult<Option<Accepted>> {
    let found = KeyRead {
        token: key.token.0,
        key: &key.key,
        now: now.0,
    }
    .row(&mut session.conn)?;
    Ok(found.map(|(body, message, accepted_at)| {
        if body == key.body {
            Accepted::Repeated {
                id: session.id(message, Micros(accepted_at)),
            }
        } else {
            Accepted::KeyReused
        }
    }))
}

/// A message that cannot be read: its store and key.
type Unreadable = (i64, i64);

/// The oldest waiting messages without `held`, stores taking turns. Messages that cannot be read come back beside them
/// (store and key), to be archived by the writer.
pub(super) fn waiting(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    limit: usize,
    held: &[MessageKey],
) -> DbResult<(Vec<Incoming>, Vec<Unreadable>)> {
    let mut held: Vec<i64> = held.iter().map(|key| key.0).collect();
    held.sort_unstable();
    let mut queues = Vec::new();
    let mut store = i64::MIN;
    while let Some(next) = (NextStore { after: store }).row(conn)?.flatten() {
        store = next;
        queues.push(store);
    }
    // Enough of each store that a lone store can fill the batch, whatever the router holds of it.
    let each = i64::try_from(limit + held.len()).unwrap_or(i64::MAX);
    let mut rows = Vec::new();
    for store in queues {
        let mut queue = StoreWaiting { store, limit: each }.rows(conn)?;
        queue.retain(|(seq, _)| held.binary_search(seq).is_err());
        rows.push((store, queue));
    }
    let chosen = stores_in_turn(rows, limit);
    let mut messages = std::collections::HashMap::new();
    for message in messages_read(conn, seal, chosen.iter().map(|(_, (seq, _))| *seq))? {
        match message {
            Ok(message) => {
                messages.insert(message.key.0, message);
            }
            Err(error @ DbError::Unreadable { .. }) => {
                log::error!("{error}; the message is archived as unreadable")
            }
            Err(error) => return Err(error),
        }
    }
    let mut unreadable = Vec::new();
    let mut incoming = Vec::with_capacity(chosen.len());
    for (store, (seq, routed_up_to)) in chosen {
        match messages.remove(&seq) {
            Some(message) => incoming.push(Incoming {
                message,
                routed_up_to: routed_up_to.map(MappingKey),
            }),
            None => unreadable.push((store, seq)),
        }
    }
    Ok((incoming, unreadable))
}

/// Archives messages (store and key) that cannot be read: nothing will ever be able to route them.
/// Whoever asks for waiting messages gives no time, so they count as done when they were accepted.
pub(super) fn archive_unreadable(session: &mut Session, rows: &[(i64, i64)]) -> DbResult<()> {
    for (store, seq) in rows {
        let (store, seq) = (*store, *seq);
        if let Some((kind, accepted_at, _)) =
            (IncomingRead { store, seq }).row(&mut session.conn)?
            && remove(session, store, seq)?
        {
            archive_message(
                session,
                Unwanted {
                    store,
                    seq,
                    kind,
                    accepted_at,
                },
                ArchiveReason::Unreadable,
                Micros(accepted_at),
            )?;
        }
    }
    Ok(())
}

/// Takes a message out of the incoming queue; false when it was not there any more.
pub(super) fn remove(session: &mut Session, store: i64, seq: i64) -> DbResult<bool> {
    let removed = IncomingDelete { store, seq }.run(&mut session.conn)? > 0;
    if removed {
        session.count(store, Place::Incoming, -1);
    }
    Ok(removed)
}
