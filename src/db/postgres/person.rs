//! What people do to waiting deliveries: try now, archive; and what follows when a mapping is enabled or deleted.

use super::{
    archive::{Waiting, accepted_lock, finish, lanes_lock_of},
    core::Core,
    event::{Made, Repeat, events_store},
    hint::Hint,
    message::heads_read,
    statement::statements,
    tx::{Place, Tx},
};
use crate::{
    db::{DbError, DbResult, HeldMapping},
    domain::{
        delivery::{ArchiveReason, WaitState},
        event::{Level, NewEvent},
        key::{DeliveryKey, EndpointKey, MappingKey, MessageKey, StoreKey},
        time::Micros,
    },
};

statements! {
    /// Deliveries that had stepped out go to the tails of their lanes, in order of their new places.
    ACCEPTED_RETURN = "UPDATE accepted a SET state = 0, pos = u.pos, due_at = $4::bigint, since = $4::bigint, failures = 0, asynchronous = NULL,
        head = u.first AND NOT EXISTS (SELECT 1 FROM accepted o WHERE o.endpoint = a.endpoint AND o.lane = a.lane AND o.state < 3 AND o.lane IS NOT NULL)
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $5::bool[]) AS u(store, seq, pos, first)
        WHERE a.store = u.store AND a.seq = u.seq";
    /// Deliveries in their lanes are tried now, their failures counted anew.
    ACCEPTED_HASTEN = "UPDATE accepted a SET state = 0, due_at = $3::bigint, since = $3::bigint, failures = 0, asynchronous = NULL
        FROM unnest($1::bigint[], $2::bigint[]) AS u(store, seq) WHERE a.store = u.store AND a.seq = u.seq";
    /// Held deliveries of a mapping, oldest first.
    HELD_ROWS = "SELECT a.store, a.seq FROM registry r JOIN accepted a ON a.store = r.store AND a.state = 4 AND a.state <> 0 AND a.mapping = r.key
        WHERE r.key = $1 AND r.kind = 'mapping' ORDER BY a.seq LIMIT $2";
    /// Waiting deliveries of a mapping, oldest first.
    MAPPING_ROWS = "SELECT a.store, a.seq FROM registry r JOIN accepted a ON a.store = r.store AND a.mapping = r.key
        WHERE r.key = $1 AND r.kind = 'mapping' ORDER BY a.seq LIMIT $2";
}

/// Tries a waiting delivery now.
pub(super) async fn release(
    tx: &mut Tx<'_>,
    store: StoreKey,
    delivery: DeliveryKey,
    person: &str,
    now: Micros,
) -> DbResult<EndpointKey> {
    let waiting = waiting(tx, store, delivery).await?;
    back_to_lane(tx, std::slice::from_ref(&waiting), now).await?;
    note(tx, &waiting, format!("Tried again by {person}"), now).await?;
    Ok(EndpointKey(waiting.endpoint))
}

/// Archives a waiting delivery on a person's word.
pub(super) async fn archive(
    tx: &mut Tx<'_>,
    store: StoreKey,
    delivery: DeliveryKey,
    person: &str,
    now: Micros,
) -> DbResult<EndpointKey> {
    let waiting = waiting(tx, store, delivery).await?;
    finish(
        tx,
        std::slice::from_ref(&waiting),
        ArchiveReason::Archived,
        now,
    )
    .await?;
    note(tx, &waiting, format!("Archived by {person}"), now).await?;
    tx.hint(Hint::endpoints([EndpointKey(waiting.endpoint)]));
    Ok(EndpointKey(waiting.endpoint))
}

/// The deliveries that a step of [`tidy`] deals with; read apart, because finding them may walk past many others.
pub(super) async fn tidy_rows(
    core: &Core,
    mapping: MappingKey,
    what: HeldMapping,
    limit: usize,
) -> DbResult<Vec<(i64, i64)>> {
    let conn = core.read().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let statement = match what {
        HeldMapping::Release => &HELD_ROWS,
        HeldMapping::Remove => &MAPPING_ROWS,
    };
    let rows = conn.rows(statement, &[&mapping.0, &limit]).await?;
    conn.done();
    Ok(rows)
}

/// Releases or removes these deliveries; those that are not waiting so any more are passed over.
pub(super) async fn tidy(
    tx: &mut Tx<'_>,
    keys: &[(i64, i64)],
    what: HeldMapping,
    now: Micros,
) -> DbResult<usize> {
    let singly = tx.lanes(keys.len());
    lanes_lock_of(tx, keys, singly).await?;
    let mut rows: Vec<Waiting> = accepted_lock(tx, keys).await?.into_values().collect();
    rows.sort_unstable_by_key(|row| row.seq);
    match what {
        HeldMapping::Release => {
            rows.retain(|row| row.state == WaitState::Held);
            back_to_lane(tx, &rows, now).await?;
        }
        HeldMapping::Remove => {
            finish(tx, &rows, ArchiveReason::Removed, now).await?;
            tx.hint(Hint::endpoints(
                rows.iter().map(|row| EndpointKey(row.endpoint)),
            ));
        }
    }
    Ok(keys.len())
}

async fn waiting(tx: &mut Tx<'_>, store: StoreKey, delivery: DeliveryKey) -> DbResult<Waiting> {
    let key = (store.0, delivery.0);
    let singly = tx.lanes(1);
    lanes_lock_of(tx, &[key], singly).await?;
    accepted_lock(tx, &[key])
        .await?
        .remove(&key)
        .ok_or(DbError::Missing("delivery"))
}

/// Puts deliveries that were locked to work: those in their lanes are tried now, others go to the tails of theirs, in this order.
pub(super) async fn back_to_lane(tx: &mut Tx<'_>, rows: &[Waiting], now: Micros) -> DbResult<()> {
    let (inside, outside): (Vec<&Waiting>, Vec<&Waiting>) =
        rows.iter().partition(|row| row.state.holds_lane());
    if !inside.is_empty() {
        let (stores, seqs): (Vec<i64>, Vec<i64>) =
            inside.iter().map(|row| (row.store, row.seq)).unzip();
        tx.run(&ACCEPTED_HASTEN, &[&stores, &seqs, &now.0]).await?;
    }
    if !outside.is_empty() {
        let stores: Vec<i64> = outside.iter().map(|row| row.store).collect();
        let seqs: Vec<i64> = outside.iter().map(|row| row.seq).collect();
        let places: Vec<i64> = tx.numbers(outside.len()).await?.collect();
        let mut seen = std::collections::HashSet::new();
        let firsts: Vec<bool> = outside
            .iter()
            .map(|row| {
                row.lane
                    .is_none_or(|lane| seen.insert((row.endpoint, lane)))
            })
            .collect();
        tx.run(
            &ACCEPTED_RETURN,
            &[&stores, &seqs, &places, &now.0, &firsts],
        )
        .await?;
    }
    for row in rows {
        tx.count(row.store, Place::Accepted(row.state), -1);
        tx.count(row.store, Place::Accepted(WaitState::Pending), 1);
    }
    tx.hint(Hint::endpoints(
        rows.iter().map(|row| EndpointKey(row.endpoint)),
    ));
    Ok(())
}

/// The event that says who did it.
async fn note(tx: &mut Tx<'_>, waiting: &Waiting, subject: String, now: Micros) -> DbResult<()> {
    let head = heads_read(tx.conn, tx.seal(), &[waiting.message_spot()])
        .await?
        .pop();
    let event = NewEvent {
        store: StoreKey(waiting.store),
        level: Level::Info,
        subject,
        description: String::new(),
        reference: head.and_then(|head| head.object),
        message: Some(MessageKey(waiting.message)),
        delivery: Some(DeliveryKey(waiting.seq)),
        origin: "integrator".into(),
        attributes: None,
        announce: None,
    };
    let made = Made::from([((waiting.store, waiting.seq), waiting.created_at)]);
    events_store(tx, &[(&event, Repeat::ByWords)], &made, now).await?;
    Ok(())
}
