//! Known objects: reading and merging them; schedules: noting ticks with what they push; and what waits for an endpoint.

use diesel::sqlite::SqliteConnection;
use sha2::{Digest, Sha256};

use super::{
    event::{Repeat, event_store},
    loops::descendant_store,
    message::message_store,
    session::Session,
    statement::{Command, Question, statements},
};
use crate::{
    db::{Backlog, DbResult, Learnt, ObjectState, OwnerKind, PushedTick, ScheduleRun, Tick},
    domain::{
        event::{Level, NewEvent},
        key::{DeliveryKey, EndpointKey, SchedulerKey, StoreKey},
        known_object::ObjectNews,
        time::Micros,
    },
};

statements! {
    /// What is known of an object.
    KnownRead<'a> { store: i64, kind: &'a str, token: &'a str } -> (i64, Vec<u8>, String) =
        "SELECT updated_at, digest, raw FROM known_object WHERE store = ?1 AND kind = ?2 AND token = ?3";
    /// Writes what is known of an object.
    KnownWrite<'a> { key: i64, store: i64, kind: &'a str, token: &'a str, updated_at: i64, digest: &'a [u8], raw: &'a str } =
        "INSERT INTO known_object (key, store, kind, token, updated_at, digest, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (store, kind, token) DO UPDATE SET updated_at = excluded.updated_at, digest = excluded.digest, raw = excluded.raw";
    /// The newest ticks; one row for each scheduler.
    RunsRead {} -> (i64, i64, i64, i64, i64) = "SELECT scheduler, store, tick, ran_at, missed FROM schedule_run";
    /// Notes a tick; changes nothing when it is not newer.
    RunWrite { scheduler: i64, store: i64, tick: i64, ran_at: i64, missed: i64 } =
        "INSERT INTO schedule_run (scheduler, store, tick, ran_at, missed) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (scheduler)
         DO UPDATE SET tick = excluded.tick, ran_at = excluded.ran_at, missed = excluded.missed WHERE excluded.tick > schedule_run.tick";
    /// Deliveries in an endpoint's lanes, up to a bound.
    LanesCount { endpoint: i64, most: i64 } -> i64 =
        "SELECT count(*) FROM (SELECT 1 FROM accepted WHERE endpoint = ?1 AND lane IS NOT NULL AND state < 3 LIMIT ?2)";
    /// Of an endpoint's first heads by due time: how many are in no lane, and when the oldest was accepted.
    HeadsCount { endpoint: i64, most: i64 } -> (i64, Option<i64>) =
        "SELECT count(*) FILTER (WHERE lane IS NULL), min(created_at) FROM
         (SELECT lane, created_at FROM accepted WHERE endpoint = ?1 AND head = 1 ORDER BY due_at, pos LIMIT ?2)";
}

/// What is known of an object.
pub(super) fn state(
    conn: &mut SqliteConnection,
    store: StoreKey,
    kind: &str,
    token: &str,
) -> DbResult<Option<ObjectState>> {
    let found = KnownRead {
        store: store.0,
        kind,
        token,
    }
    .row(conn)?;
    Ok(found.map(|(updated_at, digest, raw)| ObjectState {
        digest: <[u8; 16]>::try_from(digest).unwrap_or_else(|_| digest_of(&raw)),
        raw,
        updated_at: Micros(updated_at),
    }))
}

/// Takes news in; `delivery` is the one whose answer they are. News that cannot be taken become an event.
pub(super) fn learn(
    session: &mut Session,
    news: &ObjectNews,
    delivery: Option<DeliveryKey>,
    now: Micros,
) -> DbResult<Learnt> {
    let mut learnt = Learnt::default();
    let store = news.store.0;
    for object in &news.objects {
        let (kind, token) = (object.kind.as_str(), object.id.as_str());
        let known = KnownRead { store, kind, token }
            .row(&mut session.conn)?
            .map(|(_, _, raw)| raw);
        let learned = match news.learn(known.as_deref(), object) {
            Ok(learned) => learned,
            Err(problem) => {
                event_store(
                    session,
                    &refused(news, delivery, problem),
                    Repeat::ByWords,
                    now,
                )?;
                continue;
            }
        };
        if let Some(raw) = &learned.raw {
            KnownWrite {
                key: session.next(),
                store,
                kind,
                token,
                updated_at: now.0,
                digest: &digest_of(raw),
                raw,
            }
            .run(&mut session.conn)?;
        }
        match &learned.message {
            None => learnt.unchanged += 1,
            Some(message) => {
                learnt.messages += u64::from(descendant_store(session, message, delivery, now)?);
            }
        }
    }
    Ok(learnt)
}

fn digest_of(raw: &str) -> [u8; 16] {
    let whole: [u8; 32] = Sha256::digest(raw.as_bytes()).into();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

fn refused(news: &ObjectNews, delivery: Option<DeliveryKey>, problem: String) -> NewEvent {
    NewEvent {
        store: news.store,
        level: Level::Warn,
        subject: format!("{} said something that was not taken", news.source.label()),
        description: problem,
        reference: None,
        message: news.ancestry.map(|line| line.parent),
        delivery,
        origin: "integrator".into(),
        attributes: None,
        announce: None,
    }
}

/// The newest tick of every scheduler.
pub(super) fn runs(conn: &mut SqliteConnection) -> DbResult<Vec<ScheduleRun>> {
    let rows = RunsRead {}.rows(conn)?;
    Ok(rows
        .into_iter()
        .map(|(scheduler, store, tick, ran_at, missed)| ScheduleRun {
            scheduler: SchedulerKey(scheduler),
            store: StoreKey(store),
            tick: Micros(tick),
            ran_at: Micros(ran_at),
            missed: u64::try_from(missed).unwrap_or(0),
        })
        .collect())
}

/// Notes ticks and pushes their messages.
pub(super) fn push(
    session: &mut Session,
    store: StoreKey,
    epoch: i64,
    ticks: &[Tick],
    now: Micros,
) -> DbResult<Vec<PushedTick>> {
    if session.epoch(OwnerKind::Scheduler, store.0)? != epoch {
        return Ok(vec![PushedTick::Fenced; ticks.len()]);
    }
    let mut pushed = Vec::with_capacity(ticks.len());
    for tick in ticks {
        let noted = RunWrite {
            scheduler: tick.scheduler.0,
            store: store.0,
            tick: tick.tick.0,
            ran_at: now.0,
            missed: i64::try_from(tick.missed).unwrap_or(i64::MAX),
        }
        .run(&mut session.conn)?;
        if noted == 0 {
            pushed.push(PushedTick::Known);
            continue;
        }
        message_store(session, &tick.message, now)?;
        pushed.push(PushedTick::Pushed);
    }
    Ok(pushed)
}

/// What waits for an endpoint, counted up to `most`.
pub(super) fn backlog(
    conn: &mut SqliteConnection,
    endpoint: EndpointKey,
    most: usize,
) -> DbResult<Backlog> {
    let (endpoint, most) = (endpoint.0, i64::try_from(most).unwrap_or(i64::MAX));
    let lanes = LanesCount { endpoint, most }.row(conn)?.unwrap_or(0);
    let (alone, oldest) = HeadsCount { endpoint, most }
        .row(conn)?
        .unwrap_or((0, None));
    Ok(Backlog {
        waiting: u64::try_from(lanes.saturating_add(alone).min(most)).unwrap_or(0),
        oldest_at: oldest.map(Micros),
    })
}
