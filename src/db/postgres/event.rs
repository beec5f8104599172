//! Writing events: once, and counted when they are said again.

use std::collections::{BTreeMap, HashMap};

use super::{
    codec::{day_of, text},
    message::MADE_READ,
    statement::statements,
    tx::Tx,
};
pub(super) use crate::db::events::Repeat;
use crate::{
    db::{
        DbResult,
        events::{kept_words, level_number},
    },
    domain::{event::NewEvent, reference::ObjectRef, time::Micros},
};

statements! {
    /// Writes down what is counted when it is said again; answers with the event that counts, new or old.
    REPEATS_KEEP = "INSERT INTO event_repeat (dedupe, store, event, day)
        SELECT u.dedupe, u.store, u.event, $4::int FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS u(dedupe, store, event)
        ORDER BY 1 ON CONFLICT (dedupe) DO UPDATE SET dedupe = excluded.dedupe RETURNING dedupe, event, day";
    /// Counts events that were said before.
    EVENTS_REPEAT = "UPDATE event e SET occurrences = e.occurrences + u.n, last_at = greatest(e.last_at, $5::bigint)
        FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[]) AS u(store, seq, day, n)
        WHERE e.store = u.store AND e.seq = u.seq AND e.day = u.day";
    /// Writes events.
    EVENTS_INSERT = "INSERT INTO event (seq, store, day, level, subject, description, ref_type, ref_token, ref_fold, message, delivery,
        arose_at, origin, attributes, occurrences, first_at, last_at)
        SELECT u.seq, u.store, $15::int, u.level, u.subject, u.description, u.ref_type, u.ref_token, u.ref_fold, u.message,
        u.delivery, u.arose_at, u.origin, u.attributes, u.n, $16::bigint, $16::bigint
        FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
        $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::bigint[]) AS u(seq, store, level, subject, description,
        ref_type, ref_token, ref_fold, message, delivery, arose_at, origin, attributes, n)";
}

/// When the rows that events arise from were made, as far as the transition knows already.
pub(super) type Made = HashMap<(i64, i64), i64>;

/// Writes events, or counts those that were said before, here or earlier. Returns which of them are new.
pub(super) async fn events_store(
    tx: &mut Tx<'_>,
    events: &[(&NewEvent, Repeat)],
    made: &Made,
    now: Micros,
) -> DbResult<Vec<bool>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    // The same words within the batch: the first one counts for all.
    let dedupes: Vec<Option<Vec<u8>>> = events
        .iter()
        .map(|(event, repeat)| repeat.dedupe(event))
        .collect();
    let mut first: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut times: Vec<i64> = vec![0; events.len()];
    let mut leaders: Vec<usize> = Vec::with_capacity(events.len());
    for (index, dedupe) in dedupes.iter().enumerate() {
        let leader = dedupe
            .as_deref()
            .map_or(index, |dedupe| *first.entry(dedupe).or_insert(index));
        leaders.push(leader);
        if let Some(n) = times.get_mut(leader) {
            *n += 1;
        }
    }
    let mut seqs: Vec<i64> = tx.numbers(events.len()).await?.collect();
    let mut is_new: Vec<bool> = leaders
        .iter()
        .enumerate()
        .map(|(index, leader)| index == *leader)
        .collect();
    let mut known: Vec<(usize, i64, i32)> = Vec::new();
    if !first.is_empty() {
        let keys: Vec<&[u8]> = first.keys().copied().collect();
        let stores: Vec<i64> = first
            .values()
            .filter_map(|index| events.get(*index))
            .map(|(event, _)| event.store.0)
            .collect();
        let numbers: Vec<i64> = first
            .values()
            .filter_map(|index| seqs.get(*index).copied())
            .collect();
        let rows: Vec<(Vec<u8>, i64, i32)> = tx
            .rows(&REPEATS_KEEP, &[&keys, &stores, &numbers, &day_of(now.0)])
            .await?;
        for (dedupe, event, day) in rows {
            let Some(index) = first.get(dedupe.as_slice()).copied() else {
                continue;
            };
            if seqs.get(index) != Some(&event) {
                known.push((index, event, day));
                if let Some(new) = is_new.get_mut(index) {
                    *new = false;
                }
            }
        }
    }
    if !known.is_empty() {
        let stores: Vec<i64> = known
            .iter()
            .filter_map(|(index, ..)| events.get(*index))
            .map(|(event, _)| event.store.0)
            .collect();
        let numbers: Vec<i64> = known.iter().map(|(_, event, _)| *event).collect();
        let days: Vec<i32> = known.iter().map(|(.., day)| *day).collect();
        let more: Vec<i64> = known
            .iter()
            .filter_map(|(index, ..)| times.get(*index).copied())
            .collect();
        tx.run(&EVENTS_REPEAT, &[&stores, &numbers, &days, &more, &now.0])
            .await?;
    }
    let new: Vec<(i64, &NewEvent, i64)> = std::mem::take(&mut seqs)
        .into_iter()
        .zip(events)
        .zip(times.iter().zip(&is_new))
        .filter(|(_, (_, new))| **new)
        .map(|((seq, (event, _)), (times, _))| (seq, *event, *times))
        .collect();
    insert(tx, &new, made, now).await?;
    Ok(is_new)
}

async fn insert(
    tx: &mut Tx<'_>,
    events: &[(i64, &NewEvent, i64)],
    made: &Made,
    now: Micros,
) -> DbResult<()> {
    if events.is_empty() {
        return Ok(());
    }
    let arose = arose(tx, events, made).await?;
    macro_rules! column {
        ($event:ident => $value:expr) => {
            events
                .iter()
                .map(|(_, $event, _)| $value)
                .collect::<Vec<_>>()
        };
    }
    let reference = |event: &NewEvent, part: fn(&ObjectRef) -> &str| {
        event
            .reference
            .as_ref()
            .map(|object| text(part(object)).into_owned())
    };
    tx.run(
        &EVENTS_INSERT,
        &[
            &events.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(),
            &column!(event => event.store.0),
            &column!(event => level_number(event.level)),
            &column!(event => text(kept_words(event).0)),
            &column!(event => text(kept_words(event).1)),
            &column!(event => reference(event, ObjectRef::kind)),
            &column!(event => reference(event, ObjectRef::token)),
            &column!(event => reference(event, ObjectRef::folded)),
            &column!(event => event.message.map(|key| key.0)),
            &column!(event => event.delivery.map(|key| key.0)),
            &arose,
            &column!(event => text(&event.origin)),
            &column!(event => event.attributes.as_deref().map(text)),
            &events.iter().map(|(.., times)| *times).collect::<Vec<_>>(),
            &day_of(now.0),
            &now.0,
        ],
    )
    .await?;
    Ok(())
}

/// When the delivery (else the message) that each event arose from was made.
async fn arose(
    tx: &mut Tx<'_>,
    events: &[(i64, &NewEvent, i64)],
    made: &Made,
) -> DbResult<Vec<Option<i64>>> {
    let of: Vec<Option<(i64, i64)>> = events
        .iter()
        .map(|(_, event, _)| {
            let row = event
                .delivery
                .map(|key| key.0)
                .or(event.message.map(|key| key.0))?;
            Some((event.store.0, row))
        })
        .collect();
    let unknown: Vec<(i64, i64)> = of
        .iter()
        .flatten()
        .filter(|row| !made.contains_key(row))
        .copied()
        .collect();
    let mut found: Made = HashMap::new();
    if !unknown.is_empty() {
        let (stores, seqs): (Vec<i64>, Vec<i64>) = unknown.into_iter().unzip();
        let rows: Vec<(i64, i64, Option<i64>)> = tx.rows(&MADE_READ, &[&stores, &seqs]).await?;
        found.extend(
            rows.into_iter()
                .filter_map(|(store, seq, at)| Some(((store, seq), at?))),
        );
    }
    Ok(of
        .into_iter()
        .map(|row| row.and_then(|row| made.get(&row).or_else(|| found.get(&row)).copied()))
        .collect())
}
