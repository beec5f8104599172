//! The incoming queue: accepting messages, and handing out those that wait for routing.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use super::{
    archive::{Ended, archived_insert},
    conn::Conn,
    core::Core,
    message::{Spot, fit_in_memory, messages_read, messages_store},
    statement::statements,
    tx::{Place, Tx},
};
use crate::{
    db::{Acceptance, Accepted, DbError, DbResult, IdempotencyKey, ShardSet},
    domain::{
        delivery::ArchiveReason,
        key::{MappingKey, MessageKey},
        message::{Incoming, NewMessage},
        reference::SHARDS,
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
    /// The oldest waiting messages of some shards, stores in turn: a skip scan over pairs of shard and store from shard $3 on, then the
    /// heads of these queues (of so many that a batch is filled), the more of each the fewer they are. $4 has for each shard itself, or the next one that is meant:
    /// queues of other shards are jumped over, however long they are.
    WAITING = "WITH RECURSIVE walk AS (
            SELECT $3::smallint AS shard, -1::bigint AS store, FALSE AS meant
            UNION ALL
            SELECT n.next, CASE WHEN n.next = n.shard THEN n.store ELSE -1 END, n.next = n.shard
            FROM walk w CROSS JOIN LATERAL (
                SELECT i.shard, i.store, ($4::smallint[])[i.shard + 1] AS next FROM incoming i
                WHERE (i.shard, i.store) > (w.shard, w.store) ORDER BY i.shard, i.store LIMIT 1
            ) n WHERE n.next IS NOT NULL
        ), queue AS MATERIALIZED (
            SELECT w.shard, w.store FROM walk w WHERE w.meant LIMIT 1000 + $2::bigint + cardinality($1::bigint[])
        )
        SELECT t.store, t.seq, t.accepted_at, t.routed_up_to FROM (
            SELECT h.store, h.seq, h.accepted_at, h.routed_up_to, row_number() OVER (PARTITION BY h.store ORDER BY h.seq) AS turn
            FROM queue q CROSS JOIN LATERAL (
                SELECT i.store, i.seq, i.accepted_at, i.routed_up_to FROM incoming i
                WHERE i.shard = q.shard AND i.store = q.store AND i.seq <> ALL ($1::bigint[]) ORDER BY i.seq
                LIMIT (SELECT greatest(1, least($2::bigint, 4 * $2::bigint / greatest(1, count(*)))) FROM queue)
            ) h
        ) t ORDER BY t.turn, t.store LIMIT $2::bigint";
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

/// A waiting message: store, number, when it was accepted, and the last mapping that is done.
type WaitingRow = (i64, i64, i64, Option<i64>);

/// What waits in these shards. Where the last look was full this one goes on somewhere else, so that no shard is starved while
/// others always have more than a batch holds.
async fn look(
    core: &Core,
    conn: &Conn,
    limit: usize,
    held: &[MessageKey],
    shards: ShardSet,
) -> DbResult<Vec<WaitingRow>> {
    let held: Vec<i64> = held.iter().map(|key| key.0).collect();
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut next = None;
    let mut meant: Vec<Option<i16>> = Vec::with_capacity(usize::from(SHARDS));
    for shard in (0..SHARDS).rev() {
        if shards.contains(shard) {
            next = Some(i16::from(shard));
        }
        meant.push(next);
    }
    meant.reverse();
    let from = core.looks_from.load(Ordering::Relaxed);
    let mut rows: Vec<WaitingRow> = conn
        .rows(&WAITING, &[&held, &most, &i16::from(from), &meant])
        .await?;
    if from > 0 && rows.len() < limit {
        rows = conn.rows(&WAITING, &[&held, &most, &0i16, &meant]).await?;
    }
    let is_full = rows.len() >= limit;
    let next = if is_full {
        rand::random::<u8>() % SHARDS
    } else {
        0
    };
    core.looks_from.store(next, Ordering::Relaxed);
    Ok(rows)
}

/// The oldest waiting messages of these shards without `held`, stores taking turns. Messages that cannot be read come back beside
/// them, to be archived.
pub(super) async fn waiting(
    core: &Core,
    limit: usize,
    held: &[MessageKey],
    shards: ShardSet,
) -> DbResult<(Vec<Incoming>, Vec<(i64, i64)>)> {
    let conn = core.read().await?;
    let mut rows = look(core, &conn, limit, held, shards).await?;
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
