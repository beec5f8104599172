//! The incoming queue: accepting messages, and handing out those that wait for routing.

use std::{collections::HashMap, sync::Arc};

use super::{
    archive::{Ended, archived_insert},
    core::Core,
    message::{Spot, fit_in_memory, messages_read, messages_store},
    statement::statements,
    tx::{Place, Tx},
};
use crate::{
    db::{Acceptance, Accepted, DbError, DbResult, IdempotencyKey},
    domain::{
        delivery::ArchiveReason,
        key::{MappingKey, MessageKey},
        message::{Incoming, NewMessage},
        time::Micros,
    },
};

statements! {
    /// Keeps pushers' keys; an expired one gives way. Those that come back were not there.
    KEYS_WRITE = "INSERT INTO idempotency (token, key, body, message, accepted_at, expires_at)
        SELECT u.token, u.key, u.body, u.message, $6::bigint, u.expires_at
        FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[]) AS u(token, key, body, message, expires_at)
        ORDER BY 1, 2 ON CONFLICT (token, key) DO UPDATE SET body = excluded.body, message = excluded.message,
        accepted_at = excluded.accepted_at, expires_at = excluded.expires_at WHERE idempotency.expires_at <= $6::bigint
        RETURNING message";
    /// Pushers' keys that were there.
    KEYS_READ = "SELECT i.token, i.key, i.body, i.message, i.accepted_at FROM unnest($1::bigint[], $2::bytea[]) AS u(token, key)
        JOIN idempotency i ON i.token = u.token AND i.key = u.key";
    /// The oldest waiting messages, stores in turn: a skip scan over the stores, then the head of each store's queue.
    WAITING = "WITH RECURSIVE stores AS (
            SELECT (SELECT i.store FROM incoming i ORDER BY i.store LIMIT 1) AS store
            UNION ALL
            SELECT (SELECT i.store FROM incoming i WHERE i.store > s.store ORDER BY i.store LIMIT 1) FROM stores s WHERE s.store IS NOT NULL
        )
        SELECT q.store, q.seq, q.accepted_at, q.routed_up_to FROM stores s CROSS JOIN LATERAL (
            SELECT i.store, i.seq, i.accepted_at, i.routed_up_to, row_number() OVER (ORDER BY i.seq) AS turn
            FROM incoming i WHERE i.store = s.store AND i.seq <> ALL ($1::bigint[]) ORDER BY i.seq LIMIT $2::bigint
        ) q WHERE s.store IS NOT NULL ORDER BY q.turn, q.store LIMIT $2::bigint";
    /// Takes messages out of the queue.
    INCOMING_DELETE = "DELETE FROM incoming i USING unnest($1::bigint[], $2::bigint[]) AS u(store, seq)
        WHERE i.store = u.store AND i.seq = u.seq RETURNING i.store, i.seq, i.kind, i.accepted_at";
}

/// Accepts messages; one answer each, in order.
pub(super) async fn insert(
    tx: &mut Tx<'_>,
    batch: &[Acceptance],
    now: Micros,
) -> DbResult<Vec<Accepted>> {
    tx.learn_kinds(batch.iter().map(|acceptance| &acceptance.message))
        .await?;
    let seqs: Vec<i64> = tx.numbers(batch.len()).await?.collect();
    let earlier = keys_keep(tx, batch, &seqs, now).await?;
    let fresh: Vec<(i64, &NewMessage)> = batch
        .iter()
        .zip(&seqs)
        .zip(&earlier)
        .filter(|(_, earlier)| earlier.is_none())
        .map(|((acceptance, seq), _)| (*seq, &acceptance.message))
        .collect();
    messages_store(tx, &fresh, now).await?;
    Ok(seqs
        .into_iter()
        .zip(earlier)
        .map(|(seq, earlier)| {
            earlier.unwrap_or_else(|| Accepted::New {
                key: MessageKey(seq),
                id: tx.id(seq, now),
            })
        })
        .collect())
}

/// Who has a key: the body's digest, the message, and when that was accepted.
type Holder = (Vec<u8>, i64, i64);

/// A key's token and digest, and who has it.
type KeyRow = (i64, Vec<u8>, Vec<u8>, i64, i64);

/// Keeps the batch's keys; for each message whose key was there, in the database or earlier in the batch, the answer.
async fn keys_keep(
    tx: &mut Tx<'_>,
    batch: &[Acceptance],
    seqs: &[i64],
    now: Micros,
) -> DbResult<Vec<Option<Accepted>>> {
    let mut answers: Vec<Option<Accepted>> = vec![None; batch.len()];
    let mut first: HashMap<(i64, [u8; 16]), (&IdempotencyKey, i64)> = HashMap::new();
    for (acceptance, seq) in batch.iter().zip(seqs) {
        if let Some(key) = &acceptance.idempotency {
            first.entry((key.token.0, key.key)).or_insert((key, *seq));
        }
    }
    if first.is_empty() {
        return Ok(answers);
    }
    let tokens: Vec<i64> = first.values().map(|(key, _)| key.token.0).collect();
    let keys: Vec<&[u8]> = first.values().map(|(key, _)| key.key.as_slice()).collect();
    let bodies: Vec<&[u8]> = first.values().map(|(key, _)| key.body.as_slice()).collect();
    let messages: Vec<i64> = first.values().map(|(_, seq)| *seq).collect();
    let ends: Vec<i64> = first.values().map(|(key, _)| key.expires_at.0).collect();
    // Whoever writes a key first wins, on any node; the others wait for its commit here and then read it.
    let written: Vec<(i64,)> = tx
        .rows(
            &KEYS_WRITE,
            &[&tokens, &keys, &bodies, &messages, &ends, &now.0],
        )
        .await?;
    let written: Vec<i64> = written.into_iter().map(|(message,)| message).collect();
    let mut holders: HashMap<(i64, Vec<u8>), Holder> = HashMap::new();
    if written.len() < first.len() {
        let rows: Vec<KeyRow> = tx.rows(&KEYS_READ, &[&tokens, &keys]).await?;
        holders.extend(
            rows.into_iter()
                .map(|(token, key, body, message, at)| ((token, key), (body, message, at))),
        );
    }
    for (index, (acceptance, seq)) in batch.iter().zip(seqs).enumerate() {
        let Some(key) = &acceptance.idempotency else {
            continue;
        };
        let Some((winner, winner_seq)) = first.get(&(key.token.0, key.key)) else {
            continue;
        };
        let (body, message, at) = if written.contains(winner_seq) {
            if winner_seq == seq {
                continue;
            }
            (winner.body.to_vec(), *winner_seq, now.0)
        } else {
            let held = holders.get(&(key.token.0, key.key.to_vec())).cloned();
            held.ok_or_else(|| {
                DbError::Unavailable("an idempotency key vanished meanwhile".into())
            })?
        };
        let answer = if body == key.body {
            Accepted::Repeated {
                id: tx.id(message, Micros(at)),
            }
        } else {
            Accepted::KeyReused
        };
        if let Some(place) = answers.get_mut(index) {
            *place = Some(answer);
        }
    }
    Ok(answers)
}

/// The oldest waiting messages without `held`, stores taking turns. Messages that cannot be read come back beside them,
/// to be archived.
pub(super) async fn waiting(
    core: &Core,
    limit: usize,
    held: &[MessageKey],
) -> DbResult<(Vec<Incoming>, Vec<(i64, i64)>)> {
    let conn = core.read().await?;
    let held: Vec<i64> = held.iter().map(|key| key.0).collect();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows: Vec<(i64, i64, i64, Option<i64>)> = conn.rows(&WAITING, &[&held, &limit]).await?;
    let mut spots: Vec<Spot> = rows
        .iter()
        .map(|(store, seq, made_at, _)| Spot {
            store: *store,
            seq: *seq,
            made_at: *made_at,
        })
        .collect();
    if !spots.is_empty() {
        let fit = fit_in_memory(&conn, &spots).await?;
        rows.truncate(fit);
        spots.truncate(fit);
    }
    let mut messages = HashMap::with_capacity(rows.len());
    for message in messages_read(&conn, core.seal, &spots).await? {
        match message {
            Ok(message) => {
                messages.insert(message.key.0, Arc::new(message));
            }
            Err(error @ DbError::Unreadable { .. }) => {
                log::error!("{error}; the message is archived as unreadable")
            }
            Err(error) => return Err(error),
        }
    }
    conn.done();
    let mut unreadable = Vec::new();
    let mut incoming = Vec::with_capacity(rows.len());
    for (store, seq, _, routed_up_to) in rows {
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

/// A message that was taken out of the incoming queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Removed {
    pub(super) store: i64,
    pub(super) seq: i64,
    pub(super) kind: i64,
    pub(super) accepted_at: i64,
}

/// Takes messages out of the incoming queue; those that were there come back.
pub(super) async fn remove(tx: &mut Tx<'_>, keys: &[(i64, i64)]) -> DbResult<Vec<Removed>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let (stores, seqs): (Vec<i64>, Vec<i64>) = keys.iter().copied().unzip();
    let rows: Vec<(i64, i64, i64, i64)> = tx.rows(&INCOMING_DELETE, &[&stores, &seqs]).await?;
    for (store, ..) in &rows {
        tx.count(*store, Place::Incoming, -1);
    }
    Ok(rows
        .into_iter()
        .map(|(store, seq, kind, accepted_at)| Removed {
            store,
            seq,
            kind,
            accepted_at,
        })
        .collect())
}

/// Archives messages that nothing can read any more.
pub(super) async fn archive_unreadable(
    tx: &mut Tx<'_>,
    keys: &[(i64, i64)],
    now: Micros,
) -> DbResult<()> {
    let removed = remove(tx, keys).await?;
    let ended: Vec<Ended> = removed
        .iter()
        .map(|message| Ended::message(message, ArchiveReason::Unreadable, now))
        .collect();
    archived_insert(tx, &ended).await
}
