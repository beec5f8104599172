//! A step of a job: what was found is acted on, marked, and the cursor moves, in one transaction.

use std::collections::{HashMap, HashSet};

use super::{MarkInsert, read, write};
use crate::{
    db::{
        DbResult, JobStep, JobTurn,
        choosing::Picked,
        job_words,
        sqlite::{
            archive::{self, Ending},
            codec::{RoutingRecord, part_key, part_of},
            delivery::archived_rows,
            event::{Repeat, event_store},
            message::{Head, heads_read},
            person::{back_to_lane, note},
            route::RoutingInsert,
            session::{Place, Session},
            statement::{Command, Question, key_list, statements},
        },
    },
    domain::{
        delivery::{ArchiveReason, WaitState},
        erasure::ERASED_PAYLOAD,
        event::{Level, NewEvent},
        job::{Job, JobKind, ReplayTarget},
        key::{DeliveryKey, EndpointKey, MessageKey},
        reference::lane_hash,
        time::Micros,
    },
};

statements! {
    /// Accepts a delivery that was archived before, as a new one and without a claim.
    ReplayInsert {
        store: i64, seq: i64, endpoint: i64, mapping: i64, kind: i64, message: i64, lane: Option<i64>, now: i64, replay_of: i64,
    } = "INSERT INTO accepted (store, seq, endpoint, mapping, kind, message, lane, pos, head, state, due_at, attempts, failures,
         since, created_at, replay_of) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?2, NOT EXISTS (SELECT 1 FROM accepted WHERE
         endpoint = ?3 AND lane = ?7 AND state < 3), 0, ?8, 0, 0, ?8, ?8, ?9)";
    /// Those of these messages that were erased.
    ErasedMessages<'a> { keys: &'a str, payload: &'a str } -> i64 =
        "SELECT seq FROM message WHERE seq IN (SELECT value FROM json_each(?1)) AND octet_length(payload) = octet_length(?2) AND payload = ?2";
    /// The key of a message's last routing record.
    RoutingLast { from: i64, to: i64 } -> Option<i64> = "SELECT MAX(key) FROM routing WHERE key BETWEEN ?1 AND ?2";
}

/// Who was touched.
type Touched = Vec<(EndpointKey, DeliveryKey)>;

/// Makes a step with what was picked for the job as it was then.
pub(in crate::db::sqlite) fn step(
    session: &mut Session,
    job: &Job,
    picked: &Picked,
    turn: &JobTurn,
    now: Micros,
) -> DbResult<JobStep> {
    let current = read(&mut session.conn, session.seal, job.key)?;
    if current.is_none_or(|current| current.cursor != job.cursor || current.state != job.state) {
        return Ok(JobStep::Nothing);
    }
    if job.new.kind == JobKind::Replay && turn.registry_version < session.registry_version {
        return Ok(JobStep::RegistryMoved);
    }
    let touched = match job.new.kind {
        JobKind::Retry => each(session, job, &picked.keys, now, retry)?,
        JobKind::Archive => each(session, job, &picked.keys, now, put_away)?,
        JobKind::Replay => replay(session, job, &picked.keys, &turn.targets, now)?,
    };
    for (_, delivery) in &touched {
        MarkInsert {
            delivery: delivery.0,
            job: job.key.0,
        }
        .run(&mut session.conn)?;
    }
    let done = u64::try_from(touched.len()).unwrap_or(u64::MAX);
    let after = job.stepped(picked.stepped(done), now);
    write(session, &after)?;
    Ok(JobStep::Stepped {
        job: Box::new(after),
        touched,
    })
}

/// Acts on waiting deliveries that are still as they were chosen.
fn each(
    session: &mut Session,
    job: &Job,
    keys: &[i64],
    now: Micros,
    act: fn(&mut Session, &Job, &archive::Waiting, Micros) -> DbResult<()>,
) -> DbResult<Touched> {
    let states: &[WaitState] = job.new.chosen.states.as_deref().unwrap_or(&WaitState::ALL);
    let mut touched = Vec::with_capacity(keys.len());
    for key in keys {
        let waiting = archive::read(session, job.new.store.0, *key)?;
        let Some(waiting) = waiting.filter(|waiting| states.contains(&waiting.state)) else {
            continue;
        };
        act(session, job, &waiting, now)?;
        touched.push((EndpointKey(waiting.endpoint), DeliveryKey(*key)));
    }
    Ok(touched)
}

fn retry(
    session: &mut Session,
    job: &Job,
    waiting: &archive::Waiting,
    now: Micros,
) -> DbResult<()> {
    back_to_lane(session, waiting, now)?;
    let (subject, description) = job_words(job);
    note(session, waiting, subject, description, now)
}

fn put_away(
    session: &mut Session,
    job: &Job,
    waiting: &archive::Waiting,
    now: Micros,
) -> DbResult<()> {
    if archive::take(session, waiting.store, waiting.seq)?.is_none() {
        return Ok(());
    }
    archive::archive(
        session,
        waiting,
        Ending {
            reason: ArchiveReason::Archived,
            result: None,
            at: now,
        },
    )?;
    let (subject, description) = job_words(job);
    note(session, waiting, subject, description, now)
}

/// Sends archived deliveries again. One whose mapping is gone or disabled, or whose message is gone or erased, is left out.
fn replay(
    session: &mut Session,
    job: &Job,
    keys: &[i64],
    targets: &[ReplayTarget],
    now: Micros,
) -> DbResult<Touched> {
    let store = job.new.store.0;
    let mut rows = archived_rows(&mut session.conn, store, keys)?;
    rows.sort_unstable_by_key(|row| row.seq);
    let messages: Vec<i64> = rows.iter().map(|row| row.message).collect();
    let erased: HashSet<i64> = ErasedMessages {
        keys: &key_list(messages.iter().copied()),
        payload: ERASED_PAYLOAD,
    }
    .rows(&mut session.conn)?
    .into_iter()
    .collect();
    let heads: HashMap<i64, Head> = heads_read(&mut session.conn, session.seal, messages)?
        .into_iter()
        .map(|head| (head.key, head))
        .collect();
    let mut touched = Vec::with_capacity(rows.len());
    for row in rows {
        let target = targets
            .binary_search_by_key(&row.mapping, |target| Some(target.mapping.0))
            .ok()
            .and_then(|at| targets.get(at));
        let (Some(target), Some(head)) = (target, heads.get(&row.message)) else {
            continue;
        };
        if erased.contains(&row.message) {
            continue;
        }
        let Some(part) = next_part(session, row.message)? else {
            continue;
        };
        let seq = session.next();
        let lane = head.object.as_ref().filter(|_| target.ordered);
        ReplayInsert {
            store,
            seq,
            endpoint: target.endpoint.0,
            mapping: target.mapping.0,
            kind: row.kind,
            message: row.message,
            lane: lane.map(|object| lane_hash(store, object)),
            now: now.0,
            replay_of: row.seq,
        }
        .run(&mut session.conn)?;
        session.count(store, Place::Accepted(WaitState::Pending), 1);
        let record = RoutingRecord {
            deliveries: vec![(seq, target.mapping.0)],
            skipped: Vec::new(),
        };
        RoutingInsert {
            key: part_key(row.message, part),
            body: &record.encode(),
        }
        .run(&mut session.conn)?;
        let (subject, description) = job_words(job);
        let event = NewEvent {
            store: job.new.store,
            level: Level::Info,
            subject,
            description,
            reference: head.object.clone(),
            message: Some(MessageKey(row.message)),
            delivery: Some(DeliveryKey(seq)),
            origin: "integrator".into(),
            attributes: None,
            announce: None,
        };
        event_store(session, &event, Repeat::ByWords, now)?;
        touched.push((target.endpoint, DeliveryKey(seq)));
    }
    Ok(touched)
}

/// The number of the next routing record of a message; `None` when it was sent so often that there is none.
fn next_part(session: &mut Session, message: i64) -> DbResult<Option<u32>> {
    let last = RoutingLast {
        from: part_key(message, 0),
        to: part_key(message, u32::MAX),
    }
    .row(&mut session.conn)?
    .flatten();
    Ok(match last {
        None => Some(0),
        Some(key) if part_of(key) < 0xffff => Some(part_of(key) + 1),
        Some(_) => None,
    })
}
