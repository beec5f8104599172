//! A step of a job: what was found is acted on, marked, and the cursor moves, in one transaction and a bounded number of
//! statements.
//!
//! The order of locks is that of everything else: for a replay the incoming rows of its messages (the router may still be
//! at work on one, and both write routing records), then lanes, then rows.

use std::collections::{HashMap, HashSet};

use super::{lock, write};
use crate::{
    db::{
        DbResult, JobStep, JobTurn,
        choosing::Picked,
        job_words,
        postgres::{
            archive::{Waiting, accepted_lock, finish, lanes_lock, lanes_lock_of},
            codec::{day_of, text},
            delivery::{DeliveryRow, archived_rows},
            event::{Made, Repeat, events_store},
            hint::Hint,
            message::{Head, Spot, heads_read},
            person::back_to_lane,
            route::{INCOMING_LOCK, REGISTRY_VERSION, ROUTING_INSERT},
            statement::statements,
            tx::{Place, Tx},
        },
        sqlite::codec::RoutingRecord,
    },
    domain::{
        delivery::{ArchiveReason, WaitState},
        erasure::ERASED_PAYLOAD,
        event::{Level, NewEvent},
        job::{Job, JobKind, ReplayTarget},
        key::{DeliveryKey, EndpointKey, MessageKey, StoreKey},
        reference::{ObjectRef, lane_hash},
        time::Micros,
    },
};

/// The most routing records of a message.
const PARTS: i32 = 0xffff;

statements! {
    /// Marks deliveries with a job.
    MARKS_INSERT = "INSERT INTO job_mark (delivery, job) SELECT u.delivery, $2::bigint FROM unnest($1::bigint[]) AS u(delivery)
        ON CONFLICT DO NOTHING";
    /// One replay's step at a time: two of them may send the same message, and number its routing records.
    REPLAY_LOCK = "SELECT pg_advisory_xact_lock(1229874530, 4)";
    /// Accepts deliveries that were archived before, as new ones and without claims.
    REPLAYS_INSERT = "INSERT INTO accepted (store, seq, endpoint, mapping, kind, message, made_at, lane, pos, head, state, due_at,
        attempts, failures, since, created_at, replay_of)
        SELECT $1::bigint, u.seq, u.endpoint, u.mapping, u.kind, u.message, u.made_at, u.lane, u.seq,
        u.first AND NOT EXISTS (SELECT 1 FROM accepted a WHERE a.endpoint = u.endpoint AND a.lane = u.lane AND a.state < 3 AND a.lane IS NOT NULL),
        0, $2::bigint, 0, 0, $2::bigint, $2::bigint, u.replay_of
        FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bool[],
        $11::bigint[]) AS u(seq, endpoint, mapping, kind, message, made_at, lane, first, replay_of)";
    /// Those of these messages of a store that were erased.
    MESSAGES_ERASED = "SELECT m.seq FROM unnest($1::bigint[], $2::int[]) AS u(message, day)
        JOIN message m ON m.store = $3::bigint AND m.seq = u.message AND m.day = u.day WHERE m.payload = $4::text";
    /// The last routing record of each of these messages.
    ROUTING_LAST = "SELECT u.message, (SELECT max(r.part) FROM routing r WHERE r.message = u.message AND r.day = u.day)
        FROM unnest($1::bigint[], $2::int[]) AS u(message, day)";
}

/// A delivery that was touched: whose dispatcher is told, and what the event about it says it is about.
struct Touched {
    endpoint: EndpointKey,
    delivery: i64,
    created_at: i64,
    message: i64,
    object: Option<ObjectRef>,
}

/// Makes a step with what was picked for the job as it was then.
pub(in crate::db::postgres) async fn step(
    tx: &mut Tx<'_>,
    job: &Job,
    picked: &Picked,
    turn: &JobTurn,
    now: Micros,
) -> DbResult<JobStep> {
    let singly = tx.lanes(picked.keys.len());
    let current = lock(tx, job.key).await?;
    if current.is_none_or(|current| current.cursor != job.cursor || current.state != job.state) {
        return Ok(JobStep::Nothing);
    }
    if job.new.kind == JobKind::Replay {
        let version: Option<(i64,)> = tx.row(&REGISTRY_VERSION, &[]).await?;
        if version.is_none_or(|(version,)| turn.registry_version < version) {
            return Ok(JobStep::RegistryMoved);
        }
    }
    let touched = match job.new.kind {
        _ if picked.keys.is_empty() => Vec::new(),
        JobKind::Retry | JobKind::Archive => act(tx, job, &picked.keys, singly, now).await?,
        JobKind::Replay => replay(tx, job, &picked.keys, &turn.targets, singly, now).await?,
    };
    if !touched.is_empty() {
        let deliveries: Vec<i64> = touched.iter().map(|one| one.delivery).collect();
        tx.run(&MARKS_INSERT, &[&deliveries, &job.key.0]).await?;
        say(tx, job, &touched, now).await?;
        tx.hint(Hint::endpoints(touched.iter().map(|one| one.endpoint)));
    }
    let done = u64::try_from(touched.len()).unwrap_or(u64::MAX);
    let after = job.stepped(picked.stepped(done), now);
    write(tx, &after).await?;
    let told = |one: Touched| (one.endpoint, DeliveryKey(one.delivery));
    Ok(JobStep::Stepped {
        job: Box::new(after),
        touched: touched.into_iter().map(told).collect(),
    })
}

/// Acts on waiting deliveries that are still as they were chosen.
async fn act(
    tx: &mut Tx<'_>,
    job: &Job,
    keys: &[i64],
    singly: bool,
    now: Micros,
) -> DbResult<Vec<Touched>> {
    let states: &[WaitState] = job.new.chosen.states.as_deref().unwrap_or(&WaitState::ALL);
    let keys: Vec<(i64, i64)> = keys.iter().map(|key| (job.new.store.0, *key)).collect();
    lanes_lock_of(tx, &keys, singly).await?;
    let mut rows: Vec<Waiting> = accepted_lock(tx, &keys).await?.into_values().collect();
    rows.retain(|row| states.contains(&row.state));
    rows.sort_unstable_by_key(|row| row.seq);
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    if job.new.kind == JobKind::Archive {
        finish(tx, &rows, ArchiveReason::Archived, now).await?;
    } else {
        back_to_lane(tx, &rows, now).await?;
    }
    let heads = heads(tx, rows.iter().map(Waiting::message_spot)).await?;
    let touched = |row: Waiting| Touched {
        endpoint: EndpointKey(row.endpoint),
        delivery: row.seq,
        created_at: row.created_at,
        message: row.message,
        object: heads.get(&row.message).and_then(|head| head.object.clone()),
    };
    Ok(rows.into_iter().map(touched).collect())
}

/// An archived delivery that is sent again.
struct Again<'a> {
    row: DeliveryRow,
    target: &'a ReplayTarget,
    object: Option<ObjectRef>,
    lane: Option<i64>,
    /// The number of its routing record.
    part: i32,
}

/// Sends archived deliveries again. One whose mapping is gone or disabled, or whose message is gone or erased, is left out.
async fn replay(
    tx: &mut Tx<'_>,
    job: &Job,
    keys: &[i64],
    targets: &[ReplayTarget],
    singly: bool,
    now: Micros,
) -> DbResult<Vec<Touched>> {
    let store = job.new.store;
    tx.run(&REPLAY_LOCK, &[]).await?;
    let mut rows = archived_rows(tx.conn, store.0, keys, 0).await?;
    rows.sort_unstable_by_key(|row| row.seq);
    let messages: Vec<i64> = rows.iter().map(|row| row.message).collect();
    let stores = vec![store.0; messages.len()];
    tx.run(&INCOMING_LOCK, &[&stores, &messages]).await?;
    let again = again(tx, store, rows, targets).await?;
    let lanes = again
        .iter()
        .filter_map(|one| one.lane.map(|lane| (one.target.endpoint.0, lane)));
    lanes_lock(tx, lanes, singly).await?;
    if again.is_empty() {
        return Ok(Vec::new());
    }
    let seqs: Vec<i64> = tx.numbers(again.len()).await?.collect();
    insert(tx, store, &again, &seqs, now).await?;
    let touched = |(one, delivery): (Again<'_>, i64)| Touched {
        endpoint: one.target.endpoint,
        delivery,
        created_at: now.0,
        message: one.row.message,
        object: one.object,
    };
    Ok(again.into_iter().zip(seqs).map(touched).collect())
}

/// Those of archived deliveries that can be sent again, with their lanes and the numbers of their routing records.
async fn again<'a>(
    tx: &mut Tx<'_>,
    store: StoreKey,
    rows: Vec<DeliveryRow>,
    targets: &'a [ReplayTarget],
) -> DbResult<Vec<Again<'a>>> {
    let spots = rows.iter().map(|row| Spot {
        store: store.0,
        seq: row.message,
        made_at: row.made_at,
    });
    let heads = heads(tx, spots).await?;
    let (messages, days): (Vec<i64>, Vec<i32>) = heads
        .values()
        .map(|head| (head.key, day_of(head.accepted_at.0)))
        .unzip();
    let last: Vec<(i64, Option<i32>)> = tx.rows(&ROUTING_LAST, &[&messages, &days]).await?;
    let mut next: HashMap<i64, i32> = last
        .into_iter()
        .map(|(message, last)| (message, last.map_or(0, |last| last.saturating_add(1))))
        .collect();
    let erased: Vec<(i64,)> = tx
        .rows(
            &MESSAGES_ERASED,
            &[&messages, &days, &store.0, &ERASED_PAYLOAD],
        )
        .await?;
    let erased: HashSet<i64> = erased.into_iter().map(|(message,)| message).collect();
    let mut again = Vec::with_capacity(rows.len());
    for row in rows {
        if erased.contains(&row.message) {
            continue;
        }
        let target = targets
            .binary_search_by_key(&row.mapping, |target| Some(target.mapping.0))
            .ok()
            .and_then(|at| targets.get(at));
        let (Some(target), Some(head)) = (target, heads.get(&row.message)) else {
            continue;
        };
        // A message that was sent too often has no number left.
        let next = next.entry(row.message).or_insert(0);
        if *next > PARTS {
            continue;
        }
        let part = *next;
        *next += 1;
        let object = head.object.clone();
        let lane = object.as_ref().filter(|_| target.ordered);
        let lane = lane.map(|object| lane_hash(store.0, object));
        again.push(Again {
            row,
            target,
            object,
            lane,
            part,
        });
    }
    Ok(again)
}

/// Writes the new deliveries under these numbers, and their routing records.
async fn insert(
    tx: &mut Tx<'_>,
    store: StoreKey,
    again: &[Again<'_>],
    seqs: &[i64],
    now: Micros,
) -> DbResult<()> {
    macro_rules! column {
        ($one:ident => $value:expr) => {
            again.iter().map(|$one| $value).collect::<Vec<_>>()
        };
    }
    let mut seen: HashSet<(EndpointKey, i64)> = HashSet::new();
    let firsts =
        column!(one => one.lane.is_none_or(|lane| seen.insert((one.target.endpoint, lane))));
    let bodies: Vec<String> = again
        .iter()
        .zip(seqs)
        .map(|(one, seq)| {
            let record = RoutingRecord {
                deliveries: vec![(*seq, one.target.mapping.0)],
                skipped: Vec::new(),
            };
            text(&record.encode()).into_owned()
        })
        .collect();
    let messages = column!(one => one.row.message);
    tx.run(
        &REPLAYS_INSERT,
        &[
            &store.0,
            &now.0,
            &seqs,
            &column!(one => one.target.endpoint.0),
            &column!(one => one.target.mapping.0),
            &column!(one => one.row.kind),
            &messages,
            &column!(one => one.row.made_at),
            &column!(one => one.lane),
            &firsts,
            &column!(one => one.row.seq),
        ],
    )
    .await?;
    let days = column!(one => day_of(one.row.made_at));
    let parts = column!(one => one.part);
    tx.run(&ROUTING_INSERT, &[&messages, &days, &parts, &bodies])
        .await?;
    let n = i64::try_from(again.len()).unwrap_or(i64::MAX);
    tx.count(store.0, Place::Accepted(WaitState::Pending), n);
    Ok(())
}

/// Messages by key, without their payloads.
async fn heads(tx: &mut Tx<'_>, spots: impl Iterator<Item = Spot>) -> DbResult<HashMap<i64, Head>> {
    let spots: HashSet<Spot> = spots.collect();
    let heads = heads_read(tx.conn, tx.seal(), &Vec::from_iter(spots)).await?;
    Ok(heads.into_iter().map(|head| (head.key, head)).collect())
}

/// The events that say who did it.
async fn say(tx: &mut Tx<'_>, job: &Job, touched: &[Touched], now: Micros) -> DbResult<()> {
    let store = job.new.store;
    let (subject, description) = job_words(job);
    let events: Vec<NewEvent> = touched
        .iter()
        .map(|one| NewEvent {
            store,
            level: Level::Info,
            subject: subject.clone(),
            description: description.clone(),
            reference: one.object.clone(),
            message: Some(MessageKey(one.message)),
            delivery: Some(DeliveryKey(one.delivery)),
            origin: "integrator".into(),
            attributes: None,
            announce: None,
        })
        .collect();
    let events: Vec<(&NewEvent, Repeat)> = events
        .iter()
        .map(|event| (event, Repeat::ByWords))
        .collect();
    let made: Made = touched
        .iter()
        .map(|one| ((store.0, one.delivery), one.created_at))
        .collect();
    events_store(tx, &events, &made, now).await.map(|_| ())
}
