//! The incoming queue: accepting messages, and handing out those that wait for routing.

use std::{collections::HashMap, sync::Arc};

use diesel::sqlite::SqliteConnection;

use super::{
    archive::{Unwanted, archive_message},
    codec::RowKey,
    message::{Written, fetch, message_write},
    recent::Recent,
    route::{Entry, IncomingRead, Total, carry_out},
    session::{Place, Session},
    statement::{Command, Question, statements},
    store_turns::stores_in_turn,
};
use crate::{
    db::{Acceptance, Accepted, Admitted, AtOnce, DbResult, IdempotencyKey, RouteProgress},
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
    IncomingTake { store: i64, seq: i64 } = "DELETE FROM incoming WHERE store = ?1 AND seq = ?2";
}

/// Accepts messages; one answer each, in order.
pub(super) fn insert(
    session: &mut Session,
    batch: &[Acceptance],
    now: Micros,
) -> DbResult<Vec<Accepted>> {
    batch
        .iter()
        .map(|acceptance| match accept(session, acceptance, now)? {
            Met::Before(answer) => Ok(answer),
            Met::New(written) => {
                written.queue(session)?;
                Ok(answer(&written))
            }
        })
        .collect()
}

/// Accepts messages, and routes those that nothing of their store waits before.
pub(super) fn admit(
    session: &mut Session,
    batch: &[Acceptance],
    at_once: &AtOnce,
    now: Micros,
) -> DbResult<Admitted> {
    let mut admitted = Admitted::default();
    let mut total = Total::default();
    // Stores of which nothing waits.
    let mut quiet: HashMap<i64, bool> = HashMap::new();
    for acceptance in batch {
        let written = match accept(session, acceptance, now)? {
            Met::Before(answer) => {
                admitted.answers.push(answer);
                continue;
            }
            Met::New(written) => written,
        };
        admitted.answers.push(answer(&written));
        let store = written.message.store.0;
        let is_quiet = match quiet.get(&store) {
            Some(is_quiet) => *is_quiet,
            None => (StoreWaiting { store, limit: 1 })
                .row(&mut session.conn)?
                .is_none(),
        };
        let may_route = is_quiet
            && at_once.version >= session.registry_version
            && total.accepted < at_once.most_deliveries;
        let decided = may_route.then(|| {
            (at_once.decide)(&Incoming {
                message: Arc::clone(&written.message),
                routed_up_to: None,
            })
        });
        let derived = total.derived;
        match decided.filter(|decided| decided.progress == RouteProgress::Done) {
            Some(decided) => {
                let entry = Entry {
                    kind: written.kind,
                    accepted_at: now.0,
                    done_up_to: None,
                    message: Some(Arc::clone(&written.message)),
                };
                carry_out(session, &decided, entry, now, &mut total)?;
                admitted.routed += 1;
                quiet.insert(store, total.derived == derived);
            }
            None => {
                written.queue(session)?;
                admitted.left += 1;
                quiet.insert(store, false);
            }
        }
    }
    admitted.left += usize::try_from(total.derived).unwrap_or(usize::MAX);
    (admitted.deliveries, admitted.derived) = (total.accepted, total.derived);
    admitted.fresh = std::mem::take(&mut total.fresh);
    admitted.endpoints = total.endpoints();
    Ok(admitted)
}

/// What a message to accept turned out to be.
enum Met {
    /// A repeat.
    Before(Accepted),
    /// It is written, and in no queue yet.
    New(Written),
}

fn answer(written: &Written) -> Accepted {
    Accepted::New {
        key: written.message.key,
        id: written.message.id,
    }
}

fn accept(session: &mut Session, acceptance: &Acceptance, now: Micros) -> DbResult<Met> {
    if let Some(key) = &acceptance.idempotency
        && let Some(earlier) = key_read(session, key, now)?
    {
        return Ok(Met::Before(earlier));
    }
    let written = message_write(session, &acceptance.message, now)?;
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
            message: written.message.key.0,
            accepted_at: now.0,
            expires_at: expires_at.0,
        }
        .run(&mut session.conn)?;
    }
    Ok(Met::New(written))
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

/// The oldest waiting messages without `held`, stores taking turns. Messages that cannot be read come back beside them,
/// to be archived by the writer.
pub(super) fn waiting(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    recent: &Recent,
    limit: usize,
    held: &[MessageKey],
) -> DbResult<(Vec<Incoming>, Vec<RowKey>)> {
    let mut held: Vec<i64> = held.iter().map(|key| key.0).collect();
    held.sort_unstable();
    let mut chosen = chosen_in_turn(conn, limit, &held)?;
    let keys: Vec<i64> = chosen.iter().map(|(_, (seq, _))| *seq).collect();
    let mut fetched = fetch(conn, seal, recent, &keys)?;
    chosen.truncate(fetched.entries);
    let mut unreadable = Vec::new();
    let mut incoming = Vec::with_capacity(chosen.len());
    for (store, (seq, routed_up_to)) in chosen {
        match fetched.messages.remove(&seq) {
            Some(message) => incoming.push(Incoming {
                message,
                routed_up_to: routed_up_to.map(MappingKey),
            }),
            None => unreadable.push((store, seq)),
        }
    }
    Ok((incoming, unreadable))
}

/// A message that waits: its number, and how far it is routed.
type WaitingRow = (i64, Option<i64>);

/// The messages (with their stores) that come next, stores taking turns. Each store is asked for its share first, and
/// for more only while others leave room: a thousand stores with long queues are a few rows each.
fn chosen_in_turn(
    conn: &mut SqliteConnection,
    limit: usize,
    held: &[i64],
) -> DbResult<Vec<(i64, WaitingRow)>> {
    let mut stores = Vec::new();
    let mut last = i64::MIN;
    while let Some(store) = (NextStore { after: last }).row(conn)?.flatten() {
        stores.push(store);
        last = store;
    }
    let mut share = limit.div_ceil(stores.len().max(1));
    loop {
        // What the router holds is passed over, so it is asked for on top.
        let most = i64::try_from(share.saturating_add(held.len())).unwrap_or(i64::MAX);
        let mut queues = Vec::with_capacity(stores.len());
        let mut cut = false;
        for store in &stores {
            let (store, limit) = (*store, most);
            let mut queue = StoreWaiting { store, limit }.rows(conn)?;
            cut |= i64::try_from(queue.len()).is_ok_and(|rows| rows == most);
            queue.retain(|(seq, _)| held.binary_search(seq).is_err());
            queues.push((store, queue));
        }
        let chosen = stores_in_turn(queues, limit);
        if chosen.len() == limit || !cut || share >= limit {
            return Ok(chosen);
        }
        share = share.saturating_mul(4);
    }
}

/// Archives messages that cannot be read: nothing will ever be able to route them.
/// Whoever asks for waiting messages gives no time, so they count as done when they were accepted.
pub(super) fn archive_unreadable(session: &mut Session, rows: &[RowKey]) -> DbResult<()> {
    for (store, seq) in rows {
        let (store, seq) = (*store, *seq);
        if let Some((kind, accepted_at, _)) = take(session, store, seq)? {
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

/// Takes a message out of the incoming queue: its type's key, when it was accepted, how far it was routed. `None` when it
/// was not there any more.
pub(super) fn take(
    session: &mut Session,
    store: i64,
    seq: i64,
) -> DbResult<Option<(i64, i64, Option<i64>)>> {
    let Some(found) = (IncomingRead { store, seq }).row(&mut session.conn)? else {
        return Ok(None);
    };
    IncomingTake { store, seq }.run(&mut session.conn)?;
    session.count(store, Place::Incoming, -1);
    Ok(Some(found))
}
