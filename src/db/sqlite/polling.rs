//! Polled shops: snapshots, cursors, heartbeats, backfills. One page of a poll is one transaction, fenced twice: by the
//! poller's epoch, and by the cursor it was read with, so that a page that was written once is never written again.

use diesel::sqlite::SqliteConnection;

use super::{
    event::{Repeat, cut, event_store},
    message::message_store,
    session::Session,
    statement::{Command, Question, statements},
};
use crate::{
    db::{
        Backfill, BackfillState, DbResult, FoundRow, NewBackfill, ObjectSeen, OddSeen, OwnerKind,
        PollCommit, PollCursor, PollJob, PollOutcome, PollState, PollStep, Pulse, SetAsideRow,
        polled::{
            BACKFILLS, BackfillRow, CursorRow, HOOK_MICROS, OddRow, ProbeRow, PulseRow, WHY_BYTES,
            begun, end_number, hook_digest, known_of, known_parts, nouns_text, pulse_number,
            set_aside_of, state_of,
        },
        polling::erased_token,
    },
    domain::{
        event::NewEvent,
        id::IdSeal,
        key::{BackfillKey, StoreKey},
        snapshot::{Known, Snapshot},
        store_object::Noun,
        time::Micros,
    },
};

statements! {
    /// When the shop last changed objects, as stored.
    VersionsRead<'a> { store: i64, noun: &'a str, tokens: &'a str } -> (String, String) =
        "SELECT token, updated_at FROM snapshot WHERE store = ?1 AND noun = ?2 AND token IN (SELECT value FROM json_each(?3))";
    /// Objects, as stored.
    SnapshotsRead<'a> { store: i64, noun: &'a str, tokens: &'a str } -> (String, i64, String, Option<Vec<u8>>, Option<String>) =
        "SELECT token, known, updated_at, digest, raw FROM snapshot
         WHERE store = ?1 AND noun = ?2 AND token IN (SELECT value FROM json_each(?3))";
    /// Stores an object.
    SnapshotWrite<'a> { key: i64, store: i64, noun: &'a str, token: &'a str, known: i64, updated_at: &'a str, digest: Option<&'a [u8]>, raw: Option<&'a str> } =
        "INSERT INTO snapshot (key, store, noun, token, known, updated_at, digest, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (store, noun, token) DO UPDATE SET known = excluded.known, updated_at = excluded.updated_at,
         digest = excluded.digest, raw = excluded.raw";
    /// Forgets an object under this name.
    SnapshotDrop<'a> { store: i64, noun: &'a str, token: &'a str } = "DELETE FROM snapshot WHERE store = ?1 AND noun = ?2 AND token = ?3";
    /// A cursor.
    CursorRead<'a> { store: i64, noun: &'a str, job: i64 } -> String =
        "SELECT cursor FROM poll_cursor WHERE store = ?1 AND noun = ?2 AND job = ?3";
    /// Moves a cursor.
    CursorWrite<'a> { store: i64, noun: &'a str, job: i64, cursor: &'a str, mark: Option<i64>, done: bool } =
        "INSERT INTO poll_cursor (store, noun, job, cursor, mark, done) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (store, noun, job) DO UPDATE SET cursor = excluded.cursor, mark = coalesce(excluded.mark, mark), done = excluded.done";
    /// All cursors of a store.
    CursorsRead { store: i64 } -> CursorRow =
        "SELECT noun, job, cursor, mark, done FROM poll_cursor WHERE store = ?1";
    /// A job's cursors are of no use any more.
    CursorsDrop { store: i64, job: i64 } = "DELETE FROM poll_cursor WHERE store = ?1 AND job = ?2";
    /// Sets a document aside.
    OddWrite<'a> { key: i64, store: i64, noun: &'a str, token: &'a str, why: &'a str, lasting: bool, at: i64 } =
        "INSERT INTO set_aside (key, store, noun, token, why, lasting, occurrences, first_at, last_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7) ON CONFLICT (store, noun, token) DO UPDATE SET why = excluded.why,
         lasting = excluded.lasting, occurrences = occurrences + 1, last_at = excluded.last_at";
    /// A document is no longer set aside.
    OddDrop<'a> { store: i64, noun: &'a str, token: &'a str } = "DELETE FROM set_aside WHERE store = ?1 AND noun = ?2 AND token = ?3";
    /// Documents set aside.
    OddList { store: i64, before: i64, limit: i64 } -> OddRow =
        "SELECT key, noun, token, why, lasting, occurrences, first_at, last_at FROM set_aside
         WHERE store = ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3";
    /// A heartbeat.
    PulseWrite<'a> { store: i64, name: &'a str, state: i64, failures: i64, since: Option<i64>, success: Option<i64>, failure: Option<i64>, error: Option<&'a str> } =
        "INSERT OR REPLACE INTO pulse (store, name, state, failures, since, last_success_at, last_failure_at, last_error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    /// All heartbeats of a store.
    PulsesRead { store: i64 } -> PulseRow<i64> =
        "SELECT name, state, failures, since, last_success_at, last_failure_at, last_error FROM pulse WHERE store = ?1";
    /// What a probe found.
    FoundRead { store: i64 } -> ProbeRow =
        "SELECT settings, found, report, probed_at FROM source_found WHERE store = ?1";
    /// Remembers what a probe found.
    FoundWrite<'a> { store: i64, settings: &'a [u8], found: Option<&'a str>, report: &'a str, at: i64 } =
        "INSERT OR REPLACE INTO source_found (store, settings, found, report, probed_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    /// Begins a backfill.
    BackfillInsert<'a> { key: i64, store: i64, nouns: &'a str, since: i64, per_minute: i64, at: i64 } =
        "INSERT INTO backfill (key, store, nouns, since, per_minute, state, documents, messages, requests, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0, ?6)";
    /// A backfill went on; changes nothing when it does not run.
    BackfillStep { store: i64, key: i64, documents: i64, messages: i64, requests: i64 } =
        "UPDATE backfill SET documents = documents + ?3, messages = messages + ?4, requests = requests + ?5
         WHERE key = ?2 AND store = ?1 AND state = 0";
    /// Whether a backfill runs.
    BackfillRuns { store: i64, key: i64 } -> i64 = "SELECT 1 FROM backfill WHERE key = ?2 AND store = ?1 AND state = 0";
    /// Ends a backfill that runs.
    BackfillEnd { store: i64, key: i64, state: i64, at: i64 } =
        "UPDATE backfill SET state = ?3, ended_at = ?4 WHERE key = ?2 AND store = ?1 AND state = 0";
    /// A store's backfills.
    BackfillsRead { store: i64, limit: i64 } -> BackfillRow<i64> =
        "SELECT key, nouns, since, per_minute, state, documents, messages, requests, created_at, ended_at FROM backfill
         WHERE store = ?1 ORDER BY key DESC LIMIT ?2";
    /// Notes a webhook.
    HookInsert<'a> { store: i64, event: &'a [u8], at: i64 } = "INSERT OR IGNORE INTO hook_event (store, event, seen_at) VALUES (?1, ?2, ?3)";
    /// Old webhooks.
    HooksExpire { before: i64 } =
        "DELETE FROM hook_event WHERE (store, event) IN (SELECT store, event FROM hook_event WHERE seen_at < ?1 ORDER BY seen_at LIMIT 100)";
    /// A deleted store's snapshots.
    SnapshotsDrop { store: i64, limit: i64 } = "DELETE FROM snapshot WHERE key IN (SELECT key FROM snapshot WHERE store = ?1 LIMIT ?2)";
    /// A deleted store's documents set aside.
    OddsDrop { store: i64, limit: i64 } = "DELETE FROM set_aside WHERE key IN (SELECT key FROM set_aside WHERE store = ?1 LIMIT ?2)";
    /// A deleted store's webhooks.
    HooksDrop { store: i64, limit: i64 } =
        "DELETE FROM hook_event WHERE (store, event) IN (SELECT store, event FROM hook_event WHERE store = ?1 LIMIT ?2)";
    /// A deleted store's cursors.
    AllCursorsDrop { store: i64 } = "DELETE FROM poll_cursor WHERE store = ?1";
    /// A deleted store's heartbeats.
    PulsesDrop { store: i64 } = "DELETE FROM pulse WHERE store = ?1";
    /// A deleted store's probe.
    FoundDrop { store: i64 } = "DELETE FROM source_found WHERE store = ?1";
    /// What is known of a deleted store's objects, some of it.
    KnownDrop { store: i64, limit: i64 } = "DELETE FROM known_object WHERE key IN (SELECT key FROM known_object WHERE store = ?1 LIMIT ?2)";
    /// A deleted store's noted ticks; a row for each of its schedulers.
    RunsDrop { store: i64 } = "DELETE FROM schedule_run WHERE store = ?1";
    /// A deleted store's backfills.
    BackfillsDrop { store: i64 } = "DELETE FROM backfill WHERE store = ?1";
}

fn token_list(tokens: &[String]) -> String {
    serde_json::Value::from(tokens).to_string()
}

fn in_order<T: Clone>(tokens: &[String], rows: Vec<(String, T)>) -> Vec<Option<T>> {
    let found: std::collections::HashMap<String, T> = rows.into_iter().collect();
    tokens
        .iter()
        .map(|token| found.get(token).cloned())
        .collect()
}

/// The stored `updated_at` of each object.
pub(super) fn versions(
    conn: &mut SqliteConnection,
    store: StoreKey,
    noun: Noun,
    tokens: &[String],
) -> DbResult<Vec<Option<String>>> {
    let rows = VersionsRead {
        store: store.0,
        noun: noun.name(),
        tokens: &token_list(tokens),
    }
    .rows(conn)?;
    let found = in_order(tokens, rows);
    or_erased(tokens, found, store, noun, |names| {
        VersionsRead {
            store: store.0,
            noun: noun.name(),
            tokens: &token_list(names),
        }
        .rows(conn)
    })
}

/// Looks again for those that were not found, under the names they have when they were erased.
fn or_erased<T: Clone>(
    tokens: &[String],
    mut found: Vec<Option<T>>,
    store: StoreKey,
    noun: Noun,
    read: impl FnOnce(&[String]) -> DbResult<Vec<(String, T)>>,
) -> DbResult<Vec<Option<T>>> {
    if found.iter().all(Option::is_some) {
        return Ok(found);
    }
    let names: Vec<String> = tokens
        .iter()
        .map(|token| erased_token(store, noun, token))
        .collect();
    let erased = in_order(&names, read(&names)?);
    for (slot, erased) in found.iter_mut().zip(erased) {
        if slot.is_none() {
            *slot = erased;
        }
    }
    Ok(found)
}

/// What is stored of each object.
pub(super) fn snapshots(
    conn: &mut SqliteConnection,
    store: StoreKey,
    noun: Noun,
    tokens: &[String],
) -> DbResult<Vec<Option<Snapshot>>> {
    let mut read = |tokens: &[String]| {
        let rows = SnapshotsRead {
            store: store.0,
            noun: noun.name(),
            tokens: &token_list(tokens),
        }
        .rows(conn)?;
        let snapshots = rows
            .into_iter()
            .map(|(token, known, updated_at, digest, raw)| {
                let known = known_of(known, digest, raw);
                (token, Snapshot { updated_at, known })
            });
        DbResult::Ok(snapshots.collect())
    };
    let found = in_order(tokens, read(tokens)?);
    or_erased(tokens, found, store, noun, read)
}

/// Stores an object: what is erased without its name, anything else under it.
fn snapshot_store(
    session: &mut Session,
    store: i64,
    noun: Noun,
    token: &str,
    snapshot: &Snapshot,
) -> DbResult<()> {
    let erased = erased_token(StoreKey(store), noun, token);
    if matches!(snapshot.known, Known::Erased { .. }) {
        return snapshot_write(session, store, noun, &erased, snapshot);
    }
    SnapshotDrop {
        store,
        noun: noun.name(),
        token: &erased,
    }
    .run(&mut session.conn)?;
    snapshot_write(session, store, noun, token, snapshot)
}

fn snapshot_write(
    session: &mut Session,
    store: i64,
    noun: Noun,
    token: &str,
    snapshot: &Snapshot,
) -> DbResult<()> {
    let (known, digest, raw) = known_parts(&snapshot.known);
    let key = session.next();
    SnapshotWrite {
        key,
        store,
        noun: noun.name(),
        token,
        known: known.into(),
        updated_at: &snapshot.updated_at,
        digest,
        raw,
    }
    .run(&mut session.conn)?;
    Ok(())
}

/// Leaves a digest of an object under a digest of its name. False when nothing is stored under the name itself.
pub(super) fn erase(
    session: &mut Session,
    store: StoreKey,
    noun: Noun,
    token: &str,
) -> DbResult<bool> {
    let tokens = [token.to_owned()];
    let stored = snapshots(&mut session.conn, store, noun, &tokens)?
        .into_iter()
        .next();
    let (store, name) = (store.0, noun.name());
    let dropped = SnapshotDrop {
        store,
        noun: name,
        token,
    }
    .run(&mut session.conn)?;
    match stored.flatten() {
        Some(snapshot) if dropped > 0 => {
            let erased = erased_token(StoreKey(store), noun, token);
            snapshot_write(session, store, noun, &erased, &snapshot.erased())?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Writes a page.
pub(super) fn commit(
    session: &mut Session,
    commit: &PollCommit,
    now: Micros,
) -> DbResult<PollOutcome> {
    let store = commit.store.0;
    if session.epoch(OwnerKind::Poller, store)? != commit.epoch {
        return Ok(PollOutcome::Fenced);
    }
    if let Some(step) = &commit.step {
        if let PollJob::Backfill(key) = step.job
            && (BackfillRuns { store, key: key.0 })
                .row(&mut session.conn)?
                .is_none()
        {
            return Ok(PollOutcome::Moved);
        }
        let stored = CursorRead {
            store,
            noun: step.noun.name(),
            job: step.job.number(),
        }
        .row(&mut session.conn)?;
        if stored != step.from {
            return Ok(PollOutcome::Moved);
        }
    }
    let mut messages = 0;
    for ObjectSeen {
        noun,
        token,
        snapshot,
        message,
    } in &commit.objects
    {
        snapshot_store(session, store, *noun, token, snapshot)?;
        OddDrop {
            store,
            noun: noun.name(),
            token,
        }
        .run(&mut session.conn)?;
        if let Some(message) = message {
            message_store(session, message, now)?;
            messages += 1;
        }
    }
    for OddSeen {
        noun,
        token,
        why,
        lasting,
    } in &commit.odd
    {
        let key = session.next();
        OddWrite {
            key,
            store,
            noun: noun.name(),
            token,
            why: cut(why, WHY_BYTES),
            lasting: *lasting,
            at: now.0,
        }
        .run(&mut session.conn)?;
    }
    if let Some(step) = &commit.step {
        step_write(session, store, step, messages)?;
    }
    Ok(PollOutcome::Written { messages })
}

fn step_write(session: &mut Session, store: i64, step: &PollStep, messages: u64) -> DbResult<()> {
    CursorWrite {
        store,
        noun: step.noun.name(),
        job: step.job.number(),
        cursor: &step.to,
        mark: step.mark.map(|mark| mark.0),
        done: step.done,
    }
    .run(&mut session.conn)?;
    if let PollJob::Backfill(key) = step.job {
        BackfillStep {
            store,
            key: key.0,
            documents: step.documents.cast_signed(),
            messages: messages.cast_signed(),
            requests: step.requests.cast_signed(),
        }
        .run(&mut session.conn)?;
    }
    Ok(())
}

/// Everything a poller starts from.
pub(super) fn state(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
) -> DbResult<PollState> {
    let StoreKey(key) = store;
    let cursors = CursorsRead { store: key }.rows(conn)?;
    let pulses = PulsesRead { store: key }.rows(conn)?;
    let found = FoundRead { store: key }.row(conn)?;
    let backfills = BackfillsRead {
        store: key,
        limit: BACKFILLS,
    }
    .rows(conn)?;
    Ok(state_of(seal, store, cursors, pulses, found, backfills))
}

/// Writes heartbeats with what is said of them.
pub(super) fn pulse(
    session: &mut Session,
    store: StoreKey,
    epoch: i64,
    pulses: &[Pulse],
    events: &[NewEvent],
    now: Micros,
) -> DbResult<bool> {
    if session.epoch(OwnerKind::Poller, store.0)? != epoch {
        return Ok(false);
    }
    for pulse in pulses {
        PulseWrite {
            store: store.0,
            name: &pulse.name,
            state: pulse_number(pulse.state).into(),
            failures: i64::from(pulse.failures),
            since: pulse.since.map(|at| at.0),
            success: pulse.last_success_at.map(|at| at.0),
            failure: pulse.last_failure_at.map(|at| at.0),
            error: pulse.last_error.as_deref().map(|text| cut(text, WHY_BYTES)),
        }
        .run(&mut session.conn)?;
    }
    for event in events {
        event_store(session, event, Repeat::ByWords, now)?;
    }
    Ok(true)
}

/// Remembers what a probe found.
pub(super) fn found(
    session: &mut Session,
    store: StoreKey,
    epoch: i64,
    row: &FoundRow,
    restart: &[PollCursor],
) -> DbResult<bool> {
    if session.epoch(OwnerKind::Poller, store.0)? != epoch {
        return Ok(false);
    }
    FoundWrite {
        store: store.0,
        settings: &row.settings,
        found: row.found.as_deref(),
        report: &row.report,
        at: row.probed_at.0,
    }
    .run(&mut session.conn)?;
    if !restart.is_empty() {
        CursorsDrop {
            store: store.0,
            job: PollJob::Live.number(),
        }
        .run(&mut session.conn)?;
    }
    for cursor in restart {
        CursorWrite {
            store: store.0,
            noun: cursor.noun.name(),
            job: cursor.job.number(),
            cursor: &cursor.cursor,
            mark: cursor.mark.map(|mark| mark.0),
            done: cursor.done,
        }
        .run(&mut session.conn)?;
    }
    Ok(true)
}

/// Begins a backfill.
pub(super) fn backfill_insert(
    session: &mut Session,
    new: &NewBackfill,
    now: Micros,
) -> DbResult<Backfill> {
    let key = session.next();
    BackfillInsert {
        key,
        store: new.store.0,
        nouns: &nouns_text(&new.nouns),
        since: new.since.0,
        per_minute: i64::from(new.per_minute),
        at: now.0,
    }
    .run(&mut session.conn)?;
    Ok(begun(key, session.id(key, now), new, now))
}

/// Ends a backfill that runs.
pub(super) fn backfill_end(
    session: &mut Session,
    store: StoreKey,
    key: BackfillKey,
    state: BackfillState,
    now: Micros,
) -> DbResult<bool> {
    let Some(state) = end_number(state) else {
        return Ok(false);
    };
    let ended = BackfillEnd {
        store: store.0,
        key: key.0,
        state: state.into(),
        at: now.0,
    }
    .run(&mut session.conn)?;
    if ended > 0 {
        CursorsDrop {
            store: store.0,
            job: key.0,
        }
        .run(&mut session.conn)?;
    }
    Ok(ended > 0)
}

/// Documents set aside.
pub(super) fn set_aside_list(
    conn: &mut SqliteConnection,
    store: StoreKey,
    before: Option<i64>,
    limit: usize,
) -> DbResult<Vec<SetAsideRow>> {
    let rows = OddList {
        store: store.0,
        before: before.unwrap_or(i64::MAX),
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
    }
    .rows(conn)?;
    Ok(rows.into_iter().map(set_aside_of).collect())
}

/// Notes a webhook.
pub(super) fn hook_seen(
    session: &mut Session,
    store: StoreKey,
    event: &str,
    now: Micros,
) -> DbResult<bool> {
    HooksExpire {
        before: now.0 - HOOK_MICROS,
    }
    .run(&mut session.conn)?;
    let noted = HookInsert {
        store: store.0,
        event: &hook_digest(event),
        at: now.0,
    }
    .run(&mut session.conn)?;
    Ok(noted > 0)
}

/// Drops what is known about a deleted store's shop and objects, and when its schedulers ran.
pub(super) fn forget(session: &mut Session, store: StoreKey, limit: usize) -> DbResult<usize> {
    let StoreKey(store) = store;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let conn = &mut session.conn;
    Ok(SnapshotsDrop { store, limit }.run(conn)?
        + OddsDrop { store, limit }.run(conn)?
        + HooksDrop { store, limit }.run(conn)?
        + AllCursorsDrop { store }.run(conn)?
        + PulsesDrop { store }.run(conn)?
        + FoundDrop { store }.run(conn)?
        + BackfillsDrop { store }.run(conn)?
        + KnownDrop { store, limit }.run(conn)?
        + RunsDrop { store }.run(conn)?)
}
