//! Writing routing decisions: claims, deliveries, derived messages, the routing record, and the incoming row that goes.
//!
//! A batch is a bounded number of statements, whatever its size and however many shards it is from. The incoming rows are locked
//! first, in one order, so that of two routers (one of which must be a late one) each message is routed by one only, and the
//! later message of a lane never before the earlier one. Then the epochs of the shards they are from are read and held.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    archive::{Ended, archived_insert, lanes_lock},
    codec::{day_of, text},
    event::Made,
    hint::Hint,
    incoming, owner,
    say::{Said, What, messages_of, say},
    statement::statements,
    tx::{Place, Tx},
};
use crate::{
    db::{
        DbError, DbResult, RouteOutcome, RouteProgress, Routed, RouterLease, Skip,
        sqlite::codec::RoutingRecord,
    },
    domain::{
        delivery::{ArchiveReason, NewDelivery, SkipReason, WaitState},
        key::EndpointKey,
        time::Micros,
    },
};

statements! {
    /// The registry's version.
    REGISTRY_VERSION = "SELECT value FROM meta WHERE name = 'registry_version'";
    /// Messages of the incoming queue, kept from others until the transaction ends.
    INCOMING_LOCK = "SELECT i.store, i.seq, i.kind, i.accepted_at, i.routed_up_to, i.shard FROM incoming i
        JOIN (SELECT DISTINCT * FROM unnest($1::bigint[], $2::bigint[])) AS u(store, seq) ON i.store = u.store AND i.seq = u.seq
        ORDER BY i.store, i.seq FOR UPDATE OF i";
    /// Notes the last mapping that a chunk has dealt with.
    INCOMING_ADVANCE = "UPDATE incoming i SET routed_up_to = u.up_to FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS u(store, seq, up_to)
        WHERE i.store = u.store AND i.seq = u.seq";
    /// Accepts deliveries. Of those of one lane in the batch the first may be the head, when nothing holds that lane.
    ACCEPTED_INSERT = "INSERT INTO accepted (store, seq, endpoint, mapping, kind, message, made_at, lane, pos, head, state, due_at,
        attempts, failures, since, created_at, claim)
        SELECT u.store, u.seq, u.endpoint, u.mapping, u.kind, u.message, u.made_at, u.lane, u.seq,
        u.first AND NOT EXISTS (SELECT 1 FROM accepted a WHERE a.endpoint = u.endpoint AND a.lane = u.lane AND a.state < 3 AND a.lane IS NOT NULL),
        0, $10::bigint, 0, 0, $10::bigint, $10::bigint, u.claim
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bool[], $11::bytea[]) AS u(store, seq, endpoint, mapping, kind, message, made_at, lane, first, claim)";
    /// Claims what deliveries are about for their mappings. Those that come back have it.
    CLAIMS_TAKE = "INSERT INTO claim (mapping, key, delivery, expires_at)
        SELECT u.mapping, u.key, u.delivery, $4::bigint FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS u(mapping, key, delivery)
        ORDER BY 1, 2 ON CONFLICT (mapping, key) DO UPDATE SET delivery = excluded.delivery, expires_at = excluded.expires_at
        WHERE claim.expires_at <= $5::bigint RETURNING delivery";
    /// Writes routing records.
    ROUTING_INSERT = "INSERT INTO routing (message, day, part, body)
        SELECT * FROM unnest($1::bigint[], $2::int[], $3::int[], $4::text[])";
    /// The routing records of messages.
    ROUTING_READ = "SELECT r.message, r.part, r.body FROM unnest($1::bigint[], $2::int[]) AS u(message, day)
        JOIN routing r ON r.message = u.message AND r.day = u.day ORDER BY r.message, r.part";
    /// Which of these stores are deleted.
    STORES_DELETED = "SELECT r.key FROM unnest($1::bigint[]) AS u(key) JOIN registry r ON r.key = u.key WHERE r.kind = 'store' AND r.deleted";
}

/// A message of the batch that is still incoming.
struct Source<'a> {
    routed: &'a Routed,
    kind: i64,
    accepted_at: i64,
    done_up_to: Option<i64>,
    record: RoutingRecord,
}

/// A candidate that may become a delivery.
struct Candidate<'a> {
    source: usize,
    delivery: &'a NewDelivery,
    seq: i64,
}

/// Writes the decisions, or nothing when they were made with an older registry or by a former owner.
pub(super) async fn route(
    tx: &mut Tx<'_>,
    batch: &[Routed],
    registry_version: i64,
    lease: &RouterLease,
    now: Micros,
) -> DbResult<RouteOutcome> {
    let said_all: Vec<Said<'_>> = batch
        .iter()
        .enumerate()
        .flat_map(|(group, routed)| said_by(group, routed))
        .collect();
    tx.learn_kinds(messages_of(&said_all)).await?;
    let lanes: BTreeSet<(i64, i64)> = batch
        .iter()
        .flat_map(|routed| &routed.deliveries)
        .filter_map(|delivery| delivery.lane.map(|lane| (delivery.endpoint.0, lane)))
        .collect();
    let singly = tx.lanes(lanes.len());
    let version: Option<(i64,)> = tx.row(&REGISTRY_VERSION, &[]).await?;
    if version.is_none_or(|(version,)| registry_version < version) {
        return Ok(RouteOutcome::RegistryMoved);
    }
    let waiting = lock(tx, batch).await?;
    let shards = waiting.values().map(|row| row.shard).collect();
    if !owner::holds(tx, lease, shards).await? {
        return Ok(RouteOutcome::Fenced);
    }
    let mut sources = sources(waiting, batch);
    lanes_lock(tx, lanes.into_iter(), singly).await?;
    let accepted = accept(tx, &mut sources, now).await?;
    let made: Made = sources
        .iter()
        .map(|source| {
            (
                (source.routed.store.0, source.routed.message.0),
                source.accepted_at,
            )
        })
        .collect();
    let said: Vec<Said<'_>> = sources
        .iter()
        .enumerate()
        .flat_map(|(group, source)| said_by(group, source.routed))
        .collect();
    let derived: u64 = say(tx, &said, sources.len(), &made, now)
        .await?
        .into_iter()
        .sum();
    close(tx, sources, now).await?;
    let endpoints: BTreeSet<EndpointKey> = accepted.iter().copied().collect();
    let total = accepted.len() as u64;
    tx.hint(Hint::endpoints(endpoints.iter().copied()));
    Ok(RouteOutcome::Done {
        endpoints: endpoints.into_iter().collect(),
        accepted: total,
        derived,
    })
}

fn said_by(group: usize, routed: &Routed) -> impl Iterator<Item = Said<'_>> {
    let derived = routed.derived.iter().map(move |message| Said {
        group,
        what: What::Message(message, None),
    });
    derived.chain(routed.events.iter().map(move |event| Said {
        group,
        what: What::Event(event),
    }))
}

/// A row of the incoming queue.
#[derive(Debug, Clone, Copy)]
struct Row {
    kind: i64,
    accepted_at: i64,
    done_up_to: Option<i64>,
    shard: u8,
}

/// Those of the batch's messages that are still incoming, by store and number, kept from others.
async fn lock(tx: &mut Tx<'_>, batch: &[Routed]) -> DbResult<HashMap<(i64, i64), Row>> {
    type Columns = (i64, i64, i64, i64, Option<i64>, i16);
    let (stores, seqs): (Vec<i64>, Vec<i64>) = batch
        .iter()
        .map(|routed| (routed.store.0, routed.message.0))
        .unzip();
    let rows: Vec<Columns> = tx.rows(&INCOMING_LOCK, &[&stores, &seqs]).await?;
    let row = |(store, seq, kind, accepted_at, done_up_to, shard)| {
        let row = Row {
            kind,
            accepted_at,
            done_up_to,
            // The column holds nothing else.
            shard: u8::try_from(shard).unwrap_or(u8::MAX),
        };
        ((store, seq), row)
    };
    Ok(rows.into_iter().map(row).collect())
}

/// The messages of the batch that are still incoming, each once, chunks that another one overtook left out.
fn sources(mut rows: HashMap<(i64, i64), Row>, batch: &[Routed]) -> Vec<Source<'_>> {
    let mut sources = Vec::with_capacity(batch.len());
    for routed in batch {
        let key = (routed.store.0, routed.message.0);
        let Some(row) = rows.get(&key).copied() else {
            continue;
        };
        let done_up_to = row.done_up_to;
        match routed.progress {
            RouteProgress::UpTo(mapping) if done_up_to.is_some_and(|done| mapping.0 <= done) => {
                continue;
            }
            // A later chunk of the same batch goes on from here.
            RouteProgress::UpTo(mapping) => {
                let done_up_to = Some(mapping.0);
                rows.insert(key, Row { done_up_to, ..row });
            }
            RouteProgress::Done => {
                rows.remove(&key);
            }
        }
        // A chunk that overlaps an earlier one (its router had not seen that one's commit) repeats nothing.
        let skipped = routed
            .skipped
            .iter()
            .filter(|skip| done_up_to.is_none_or(|done| skip.mapping.0 > done))
            .cloned()
            .collect();
        let record = RoutingRecord {
            deliveries: Vec::new(),
            skipped,
        };
        sources.push(Source {
            routed,
            kind: row.kind,
            accepted_at: row.accepted_at,
            done_up_to,
            record,
        });
    }
    sources
}

/// Takes the claims and inserts the deliveries; notes both outcomes in the records. Returns the endpoint of each delivery.
async fn accept(
    tx: &mut Tx<'_>,
    sources: &mut [Source<'_>],
    now: Micros,
) -> DbResult<Vec<EndpointKey>> {
    let wanted: Vec<(usize, &NewDelivery)> = sources
        .iter()
        .enumerate()
        .flat_map(|(index, source)| {
            let done = source.done_up_to;
            source
                .routed
                .deliveries
                .iter()
                .filter(move |d| done.is_none_or(|done| d.mapping.0 > done))
                .map(move |d| (index, d))
        })
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let seqs = tx.numbers(wanted.len()).await?;
    let candidates: Vec<Candidate<'_>> = seqs
        .zip(wanted)
        .map(|(seq, (source, delivery))| Candidate {
            source,
            delivery,
            seq,
        })
        .collect();
    let taken = claims_take(tx, &candidates, now).await?;
    let (mut stores, mut numbers, mut endpoints, mut mappings) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut kinds, mut messages, mut made, mut lanes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut firsts, mut claims): (Vec<bool>, Vec<Option<&[u8]>>) = (Vec::new(), Vec::new());
    let mut seen: HashSet<(i64, i64)> = HashSet::new();
    for Candidate {
        source,
        delivery,
        seq,
    } in &candidates
    {
        let Some(source) = sources.get_mut(*source) else {
            continue;
        };
        if let Some(claim) = delivery.claim.as_ref().filter(|_| !taken.contains(seq)) {
            let reason = SkipReason::Duplicate(claim.text.clone());
            source.record.skipped.push(Skip {
                mapping: delivery.mapping,
                reason,
            });
            continue;
        }
        source.record.deliveries.push((*seq, delivery.mapping.0));
        stores.push(source.routed.store.0);
        numbers.push(*seq);
        endpoints.push(delivery.endpoint.0);
        mappings.push(delivery.mapping.0);
        kinds.push(source.kind);
        messages.push(source.routed.message.0);
        made.push(source.accepted_at);
        lanes.push(delivery.lane);
        firsts.push(
            delivery
                .lane
                .is_none_or(|lane| seen.insert((delivery.endpoint.0, lane))),
        );
        claims.push(
            delivery
                .claim
                .as_ref()
                .map(|claim| claim.key.as_bytes().as_slice()),
        );
        tx.count(
            source.routed.store.0,
            Place::Accepted(WaitState::Pending),
            1,
        );
    }
    if !numbers.is_empty() {
        tx.run(
            &ACCEPTED_INSERT,
            &[
                &stores, &numbers, &endpoints, &mappings, &kinds, &messages, &made, &lanes,
                &firsts, &now.0, &claims,
            ],
        )
        .await?;
    }
    Ok(endpoints.into_iter().map(EndpointKey).collect())
}

/// Of the candidates that claim something, those that have it now; the first of the batch wins.
async fn claims_take(
    tx: &mut Tx<'_>,
    candidates: &[Candidate<'_>],
    now: Micros,
) -> DbResult<HashSet<i64>> {
    let mut first: BTreeMap<(i64, &[u8]), i64> = BTreeMap::new();
    for candidate in candidates {
        if let Some(claim) = &candidate.delivery.claim {
            first
                .entry((candidate.delivery.mapping.0, claim.key.as_bytes()))
                .or_insert(candidate.seq);
        }
    }
    if first.is_empty() {
        return Ok(HashSet::new());
    }
    let mappings: Vec<i64> = first.keys().map(|(mapping, _)| *mapping).collect();
    let keys: Vec<&[u8]> = first.keys().map(|(_, key)| *key).collect();
    let deliveries: Vec<i64> = first.values().copied().collect();
    let expires_at = now.plus(tx.options().claim_age).0;
    let rows: Vec<(i64,)> = tx
        .rows(
            &CLAIMS_TAKE,
            &[&mappings, &keys, &deliveries, &expires_at, &now.0],
        )
        .await?;
    Ok(rows.into_iter().map(|(delivery,)| delivery).collect())
}

/// Writes the records, takes what is wholly routed out of the queue and archives what nobody wanted.
async fn close(tx: &mut Tx<'_>, sources: Vec<Source<'_>>, now: Micros) -> DbResult<()> {
    // What earlier chunks left, those of this batch included as they come.
    let mut records = records(tx, &sources).await?;
    let (mut messages, mut days, mut parts, mut bodies) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut advanced: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    let mut done = Vec::new();
    let mut unwanted: HashMap<(i64, i64), bool> = HashMap::new();
    for source in &sources {
        let (store, seq) = (source.routed.store.0, source.routed.message.0);
        let of_message = records.entry(seq).or_default();
        if !source.record.deliveries.is_empty() || !source.record.skipped.is_empty() {
            messages.push(seq);
            days.push(day_of(source.accepted_at));
            parts.push(i32::try_from(of_message.len()).unwrap_or(i32::MAX));
            bodies.push(text(&source.record.encode()).into_owned());
            of_message.push(source.record.clone());
        }
        match source.routed.progress {
            RouteProgress::UpTo(mapping) => {
                advanced.insert((store, seq), mapping.0);
            }
            RouteProgress::Done => {
                advanced.remove(&(store, seq));
                done.push((store, seq));
                if of_message.iter().all(|record| record.deliveries.is_empty()) {
                    unwanted.insert((store, seq), !of_message.is_empty());
                }
            }
        }
    }
    if !messages.is_empty() {
        tx.run(&ROUTING_INSERT, &[&messages, &days, &parts, &bodies])
            .await?;
    }
    if !advanced.is_empty() {
        let (stores, seqs): (Vec<i64>, Vec<i64>) = advanced.keys().copied().unzip();
        tx.run(
            &INCOMING_ADVANCE,
            &[&stores, &seqs, &Vec::from_iter(advanced.into_values())],
        )
        .await?;
    }
    let removed = incoming::remove(tx, &done).await?;
    if unwanted.is_empty() {
        return Ok(());
    }
    let of: Vec<i64> = unwanted
        .keys()
        .map(|(store, _)| *store)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let deleted: Vec<(i64,)> = tx.rows(&STORES_DELETED, &[&of]).await?;
    let ended: Vec<Ended> = removed
        .iter()
        .filter_map(|message| {
            let subscribed = unwanted.get(&(message.store, message.seq))?;
            let reason = match subscribed {
                _ if deleted.contains(&(message.store,)) => ArchiveReason::Removed,
                true => ArchiveReason::NotWanted,
                false => ArchiveReason::NoSubscriber,
            };
            Some(Ended::message(message, reason, now))
        })
        .collect();
    archived_insert(tx, &ended).await
}

/// The records that earlier chunks left, by message.
async fn records(
    tx: &mut Tx<'_>,
    sources: &[Source<'_>],
) -> DbResult<HashMap<i64, Vec<RoutingRecord>>> {
    let chunked: Vec<&Source<'_>> = sources
        .iter()
        .filter(|source| source.done_up_to.is_some())
        .collect();
    let mut records: HashMap<i64, Vec<RoutingRecord>> = HashMap::new();
    if chunked.is_empty() {
        return Ok(records);
    }
    let messages: Vec<i64> = chunked
        .iter()
        .map(|source| source.routed.message.0)
        .collect();
    let days: Vec<i32> = chunked
        .iter()
        .map(|source| day_of(source.accepted_at))
        .collect();
    let rows: Vec<(i64, i32, String)> = tx.rows(&ROUTING_READ, &[&messages, &days]).await?;
    for (message, _, body) in rows {
        let record = RoutingRecord::decode(message, &body);
        let record = record.map_err(|error| DbError::Internal(error.to_string()))?;
        records.entry(message).or_default().push(record);
    }
    Ok(records)
}
