//! Polled shops: snapshots, cursors, heartbeats, backfills. One page of a poll is one transaction, fenced twice: by the
//! poller's epoch, and by the cursor it was read with, so that a page that was written once is never written again.

use std::collections::{BTreeMap, HashMap};

use super::{
    codec::text, conn::Conn, message::messages_store, owner::kind_number, say::say_events,
    statement::statements, tx::Tx,
};
use crate::{
    db::{
        Backfill, BackfillState, DbError, DbResult, FoundRow, NewBackfill, ObjectSeen, OddSeen,
        OwnerKind, PollCommit, PollCursor, PollJob, PollOutcome, PollState, PollStep, Pulse,
        SetAsideRow,
        events::cut,
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
        message::NewMessage,
        snapshot::{Known, Snapshot},
        store_object::Noun,
        time::Micros,
    },
};

statements! {
    /// An owner's epoch, which nobody moves until the transaction ends.
    EPOCH_LOCK = "SELECT epoch FROM owner WHERE kind = $1 AND key = $2 FOR SHARE";
    /// When the shop last changed objects, as stored.
    VERSIONS_READ = "SELECT token, updated_at FROM snapshot WHERE store = $1 AND noun = $2 AND token = ANY ($3::text[])";
    /// Objects, as stored.
    SNAPSHOTS_READ = "SELECT token, known, updated_at, digest, raw FROM snapshot WHERE store = $1 AND noun = $2 AND token = ANY ($3::text[])";
    /// Stores objects.
    SNAPSHOTS_WRITE = "INSERT INTO snapshot (store, noun, token, known, updated_at, digest, raw)
        SELECT $1::bigint, u.noun, u.token, u.known, u.updated_at, u.digest, u.raw
        FROM unnest($2::text[], $3::text[], $4::int[], $5::text[], $6::bytea[], $7::text[]) AS u(noun, token, known, updated_at, digest, raw)
        ORDER BY 2, 3 ON CONFLICT (store, noun, token) DO UPDATE SET known = excluded.known, updated_at = excluded.updated_at,
        digest = excluded.digest, raw = excluded.raw";
    /// A cursor, which nobody moves until the transaction ends.
    CURSOR_LOCK = "SELECT cursor FROM poll_cursor WHERE store = $1 AND noun = $2 AND job = $3 FOR UPDATE";
    /// Moves a cursor.
    CURSOR_WRITE = "INSERT INTO poll_cursor (store, noun, job, cursor, mark, done) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (store, noun, job) DO UPDATE SET cursor = excluded.cursor, mark = coalesce(excluded.mark, poll_cursor.mark), done = excluded.done";
    /// All cursors of a store.
    CURSORS_READ = "SELECT noun, job, cursor, mark, done FROM poll_cursor WHERE store = $1 ORDER BY noun, job";
    /// A job's cursors are of no use any more.
    CURSORS_DROP = "DELETE FROM poll_cursor WHERE store = $1 AND job = $2";
    /// Sets documents aside.
    ODDS_WRITE = "INSERT INTO set_aside (key, store, noun, token, why, lasting, occurrences, first_at, last_at)
        SELECT u.key, $1::bigint, u.noun, u.token, u.why, u.lasting, 1, $7::bigint, $7::bigint
        FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bool[]) AS u(key, noun, token, why, lasting) ORDER BY 3, 4
        ON CONFLICT (store, noun, token) DO UPDATE SET why = excluded.why, lasting = excluded.lasting,
        occurrences = set_aside.occurrences + 1, last_at = excluded.last_at";
    /// Documents that were read are no longer set aside, nor erased.
    ODDS_DROP = "WITH back AS (DELETE FROM snapshot s USING unnest($2::text[], $4::text[]) AS u(noun, erased)
        WHERE s.store = $1 AND s.noun = u.noun AND s.token = u.erased)
        DELETE FROM set_aside s USING unnest($2::text[], $3::text[]) AS u(noun, token)
        WHERE s.store = $1 AND s.noun = u.noun AND s.token = u.token";
    /// Forgets an object under this name.
    SNAPSHOT_DROP = "DELETE FROM snapshot WHERE store = $1 AND noun = $2 AND token = $3";
    /// Documents set aside.
    ODD_LIST = "SELECT key, noun, token, why, lasting, occurrences, first_at, last_at FROM set_aside
        WHERE store = $1 AND key < $2 ORDER BY key DESC LIMIT $3";
    /// A heartbeat.
    PULSE_WRITE = "INSERT INTO pulse (store, name, state, failures, since, last_success_at, last_failure_at, last_error)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (store, name) DO UPDATE SET state = excluded.state, failures = excluded.failures,
        since = excluded.since, last_success_at = excluded.last_success_at, last_failure_at = excluded.last_failure_at, last_error = excluded.last_error";
    /// All heartbeats of a store.
    PULSES_READ = "SELECT name, state, failures, since, last_success_at, last_failure_at, last_error FROM pulse WHERE store = $1 ORDER BY name";
    /// What a probe found.
    FOUND_READ = "SELECT settings, found, report, probed_at FROM source_found WHERE store = $1";
    /// Remembers what a probe found.
    FOUND_WRITE = "INSERT INTO source_found (store, settings, found, report, probed_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (store) DO UPDATE SET settings = excluded.settings, found = excluded.found, report = excluded.report, probed_at = excluded.probed_at";
    /// Begins a backfill.
    BACKFILL_INSERT = "INSERT INTO backfill (key, store, nouns, since, per_minute, state, documents, messages, requests, created_at)
        VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, $6)";
    /// A backfill went on; changes nothing when it does not run.
    BACKFILL_STEP = "UPDATE backfill SET documents = documents + $3, messages = messages + $4, requests = requests + $5
        WHERE key = $2 AND store = $1 AND state = 0";
    /// Whether a backfill runs, and goes on running until the transaction ends.
    BACKFILL_RUNS = "SELECT key FROM backfill WHERE key = $2 AND store = $1 AND state = 0 FOR UPDATE";
    /// Ends a backfill that runs.
    BACKFILL_END = "UPDATE backfill SET state = $3, ended_at = $4 WHERE key = $2 AND store = $1 AND state = 0";
    /// A store's backfills.
    BACKFILLS_READ = "SELECT key, nouns, since, per_minute, state, documents, messages, requests, created_at, ended_at FROM backfill
        WHERE store = $1 ORDER BY key DESC LIMIT $2";
    /// Notes a webhook.
    HOOK_INSERT = "INSERT INTO hook_event (store, event, seen_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    /// Old webhooks.
    HOOKS_EXPIRE = "DELETE FROM hook_event WHERE ctid = ANY (ARRAY (SELECT ctid FROM hook_event WHERE seen_at < $1 ORDER BY seen_at LIMIT 100))";
    /// A deleted store's snapshots.
    SNAPSHOTS_DROP = "DELETE FROM snapshot WHERE ctid = ANY (ARRAY (SELECT ctid FROM snapshot WHERE store = $1 LIMIT $2))";
    /// A deleted store's documents set aside.
    ODDS_FORGET = "DELETE FROM set_aside WHERE ctid = ANY (ARRAY (SELECT ctid FROM set_aside WHERE store = $1 LIMIT $2))";
    /// A deleted store's webhooks.
    HOOKS_DROP = "DELETE FROM hook_event WHERE ctid = ANY (ARRAY (SELECT ctid FROM hook_event WHERE store = $1 LIMIT $2))";
    /// A deleted store's cursors.
    ALL_CURSORS_DROP = "DELETE FROM poll_cursor WHERE store = $1";
    /// A deleted store's heartbeats.
    PULSES_DROP = "DELETE FROM pulse WHERE store = $1";
    /// A deleted store's probe.
    FOUND_DROP = "DELETE FROM source_found WHERE store = $1";
    /// A deleted store's backfills.
    BACKFILLS_DROP = "DELETE FROM backfill WHERE store = $1";
    /// What is known of a deleted store's objects, some of it.
    KNOWN_DROP = "DELETE FROM known_object WHERE ctid = ANY (ARRAY (SELECT ctid FROM known_object WHERE store = $1 LIMIT $2))";
    /// A deleted store's noted ticks; a row for each of its schedulers.
    RUNS_DROP = "DELETE FROM schedule_run WHERE store = $1";
}

/// What was found of each object, under its name or the one it has when it is erased.
fn in_order<T: Clone>(
    store: StoreKey,
    noun: Noun,
    tokens: &[String],
    rows: impl Iterator<Item = (String, T)>,
) -> Vec<Option<T>> {
    let found: HashMap<String, T> = rows.collect();
    tokens
        .iter()
        .map(|token| {
            found
                .get(&*text(token))
                .or_else(|| found.get(&erased_token(store, noun, token)))
                .cloned()
        })
        .collect()
}

/// The names under which objects may be stored: their own, and those they have when they are erased.
fn names(store: StoreKey, noun: Noun, tokens: &[String]) -> Vec<String> {
    let own = tokens.iter().map(|token| text(token).into_owned());
    own.chain(tokens.iter().map(|token| erased_token(store, noun, token)))
        .collect()
}

/// The stored `updated_at` of each object.
pub(super) async fn versions(
    conn: &Conn,
    store: StoreKey,
    noun: Noun,
    tokens: &[String],
) -> DbResult<Vec<Option<String>>> {
    let rows: Vec<(String, String)> = conn
        .rows(
            &VERSIONS_READ,
            &[&store.0, &noun.name(), &names(store, noun, tokens)],
        )
        .await?;
    Ok(in_order(store, noun, tokens, rows.into_iter()))
}

/// What is stored of each object.
pub(super) async fn snapshots(
    conn: &Conn,
    store: StoreKey,
    noun: Noun,
    tokens: &[String],
) -> DbResult<Vec<Option<Snapshot>>> {
    type Row = (String, i32, String, Option<Vec<u8>>, Option<String>);
    let rows: Vec<Row> = conn
        .rows(
            &SNAPSHOTS_READ,
            &[&store.0, &noun.name(), &names(store, noun, tokens)],
        )
        .await?;
    let read = |(token, known, updated_at, digest, raw): Row| {
        (
            token,
            Snapshot {
                updated_at,
                known: known_of(known, digest, raw),
            },
        )
    };
    Ok(in_order(store, noun, tokens, rows.into_iter().map(read)))
}

async fn snapshots_write(
    tx: &mut Tx<'_>,
    store: i64,
    objects: impl Iterator<Item = (Noun, &str, &Snapshot)>,
) -> DbResult<()> {
    // Of one object named twice the last look counts.
    let last: BTreeMap<(Noun, &str), &Snapshot> = objects
        .map(|(noun, token, snapshot)| ((noun, token), snapshot))
        .collect();
    // What is erased is stored without its name.
    let last: BTreeMap<(&str, String), &Snapshot> = last
        .into_iter()
        .map(|((noun, token), snapshot)| {
            let name = match snapshot.known {
                Known::Erased { .. } => erased_token(StoreKey(store), noun, token),
                _ => text(token).into_owned(),
            };
            ((noun.name(), name), snapshot)
        })
        .collect();
    if last.is_empty() {
        return Ok(());
    }
    let nouns: Vec<&str> = last.keys().map(|(noun, _)| *noun).collect();
    let tokens: Vec<&str> = last.keys().map(|(_, token)| token.as_str()).collect();
    let updated: Vec<_> = last
        .values()
        .map(|snapshot| text(&snapshot.updated_at))
        .collect();
    let (mut known, mut digests, mut raws) = (Vec::new(), Vec::new(), Vec::new());
    for snapshot in last.values() {
        let (number, digest, raw) = known_parts(&snapshot.known);
        known.push(number);
        digests.push(digest);
        raws.push(raw);
    }
    tx.run(
        &SNAPSHOTS_WRITE,
        &[&store, &nouns, &tokens, &known, &updated, &digests, &raws],
    )
    .await?;
    Ok(())
}

/// Leaves a digest of an object under a digest of its name. False when nothing is stored under the name itself.
pub(super) async fn erase(
    tx: &mut Tx<'_>,
    store: StoreKey,
    noun: Noun,
    token: &str,
) -> DbResult<bool> {
    let tokens = [token.to_owned()];
    let stored = snapshots(tx.conn, store, noun, &tokens)
        .await?
        .into_iter()
        .next()
        .flatten();
    let dropped = tx
        .run(&SNAPSHOT_DROP, &[&store.0, &noun.name(), &text(token)])
        .await?;
    let Some(snapshot) = stored.filter(|_| dropped > 0) else {
        return Ok(false);
    };
    let erased = snapshot.erased();
    snapshots_write(tx, store.0, std::iter::once((noun, token, &erased))).await?;
    Ok(true)
}

async fn epoch_is(tx: &mut Tx<'_>, store: i64, epoch: i64) -> DbResult<bool> {
    let row: Option<(i64,)> = tx
        .row(&EPOCH_LOCK, &[&kind_number(OwnerKind::Poller), &store])
        .await?;
    Ok(row.map_or(0, |(now,)| now) == epoch)
}

/// Writes a page.
pub(super) async fn commit(
    tx: &mut Tx<'_>,
    commit: &PollCommit,
    now: Micros,
) -> DbResult<PollOutcome> {
    let store = commit.store.0;
    let said: Vec<&NewMessage> = commit
        .objects
        .iter()
        .filter_map(|object| object.message.as_ref())
        .collect();
    tx.learn_kinds(said.iter().copied()).await?;
    if !epoch_is(tx, store, commit.epoch).await? {
        return Ok(PollOutcome::Fenced);
    }
    if let Some(step) = &commit.step {
        if let PollJob::Backfill(key) = step.job {
            let runs: Option<(i64,)> = tx.row(&BACKFILL_RUNS, &[&store, &key.0]).await?;
            if runs.is_none() {
                return Ok(PollOutcome::Moved);
            }
        }
        let stored: Option<(String,)> = tx
            .row(
                &CURSOR_LOCK,
                &[&store, &step.noun.name(), &step.job.number()],
            )
            .await?;
        if stored.map(|(cursor,)| cursor) != step.from {
            return Ok(PollOutcome::Moved);
        }
    }
    let seen = |object: &ObjectSeen| (object.noun.name(), text(&object.token).into_owned());
    // Of one that stays erased nothing is dropped.
    let read_again = |object: &ObjectSeen| match object.snapshot.known {
        Known::Erased { .. } => String::new(),
        _ => erased_token(commit.store, object.noun, &object.token),
    };
    snapshots_write(
        tx,
        store,
        commit
            .objects
            .iter()
            .map(|object| (object.noun, object.token.as_str(), &object.snapshot)),
    )
    .await?;
    if !commit.objects.is_empty() {
        let (nouns, tokens): (Vec<&str>, Vec<String>) = commit.objects.iter().map(seen).unzip();
        let back: Vec<String> = commit.objects.iter().map(read_again).collect();
        tx.run(&ODDS_DROP, &[&store, &nouns, &tokens, &back])
            .await?;
    }
    let seqs = tx.numbers(said.len()).await?;
    let messages: Vec<(i64, &NewMessage)> = seqs.zip(said).collect();
    messages_store(tx, &messages, now).await?;
    odds_write(tx, store, &commit.odd, now).await?;
    let messages = messages.len() as u64;
    if let Some(step) = &commit.step {
        step_write(tx, store, step, messages).await?;
    }
    Ok(PollOutcome::Written { messages })
}

async fn odds_write(tx: &mut Tx<'_>, store: i64, odd: &[OddSeen], now: Micros) -> DbResult<()> {
    let last: BTreeMap<(&str, String), &OddSeen> = odd
        .iter()
        .map(|odd| ((odd.noun.name(), text(&odd.token).into_owned()), odd))
        .collect();
    if last.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = tx.numbers(last.len()).await?.collect();
    let nouns: Vec<&str> = last.keys().map(|(noun, _)| *noun).collect();
    let tokens: Vec<&str> = last.keys().map(|(_, token)| token.as_str()).collect();
    let whys: Vec<_> = last
        .values()
        .map(|odd| text(cut(&odd.why, WHY_BYTES)))
        .collect();
    let lasting: Vec<bool> = last.values().map(|odd| odd.lasting).collect();
    tx.run(
        &ODDS_WRITE,
        &[&store, &keys, &nouns, &tokens, &whys, &lasting, &now.0],
    )
    .await?;
    Ok(())
}

async fn cursor_write(tx: &mut Tx<'_>, store: i64, cursor: &PollCursor) -> DbResult<()> {
    let mark = cursor.mark.map(|mark| mark.0);
    let (noun, job, at) = (
        cursor.noun.name(),
        cursor.job.number(),
        text(&cursor.cursor),
    );
    tx.run(
        &CURSOR_WRITE,
        &[&store, &noun, &job, &at, &mark, &cursor.done],
    )
    .await?;
    Ok(())
}

async fn step_write(tx: &mut Tx<'_>, store: i64, step: &PollStep, messages: u64) -> DbResult<()> {
    let cursor = PollCursor {
        noun: step.noun,
        job: step.job,
        cursor: step.to.clone(),
        mark: step.mark,
        done: step.done,
    };
    cursor_write(tx, store, &cursor).await?;
    if let PollJob::Backfill(key) = step.job {
        let (documents, messages, requests) = (
            step.documents.cast_signed(),
            messages.cast_signed(),
            step.requests.cast_signed(),
        );
        tx.run(
            &BACKFILL_STEP,
            &[&store, &key.0, &documents, &messages, &requests],
        )
        .await?;
    }
    Ok(())
}

/// Everything a poller starts from.
pub(super) async fn state(conn: &Conn, seal: IdSeal, store: StoreKey) -> DbResult<PollState> {
    let cursors: Vec<CursorRow> = conn.rows(&CURSORS_READ, &[&store.0]).await?;
    let pulses: Vec<PulseRow<i32>> = conn.rows(&PULSES_READ, &[&store.0]).await?;
    let found: Option<ProbeRow> = conn.row(&FOUND_READ, &[&store.0]).await?;
    let backfills: Vec<BackfillRow<i32>> =
        conn.rows(&BACKFILLS_READ, &[&store.0, &BACKFILLS]).await?;
    Ok(state_of(seal, store, cursors, pulses, found, backfills))
}

/// Heartbeats to be written, with what is said of them.
pub(super) struct Beats {
    pub(super) store: StoreKey,
    pub(super) epoch: i64,
    pub(super) pulses: Vec<Pulse>,
    pub(super) events: Vec<NewEvent>,
}

/// Writes heartbeats with what is said of them.
pub(super) async fn pulse(tx: &mut Tx<'_>, beats: &Beats, now: Micros) -> DbResult<bool> {
    let store = beats.store.0;
    tx.learn_kinds(
        beats
            .events
            .iter()
            .filter_map(|event| event.announce.as_deref()),
    )
    .await?;
    if !epoch_is(tx, store, beats.epoch).await? {
        return Ok(false);
    }
    for pulse in &beats.pulses {
        let at = |time: Option<Micros>| time.map(|at| at.0);
        let (since, success, failure) = (
            at(pulse.since),
            at(pulse.last_success_at),
            at(pulse.last_failure_at),
        );
        let error = pulse
            .last_error
            .as_deref()
            .map(|error| text(cut(error, WHY_BYTES)));
        tx.run(
            &PULSE_WRITE,
            &[
                &store,
                &text(&pulse.name),
                &pulse_number(pulse.state),
                &i64::from(pulse.failures),
                &since,
                &success,
                &failure,
                &error,
            ],
        )
        .await?;
    }
    say_events(tx, &beats.events, now).await?;
    Ok(true)
}

/// Remembers what a probe found.
pub(super) async fn found(
    tx: &mut Tx<'_>,
    store: StoreKey,
    epoch: i64,
    row: &FoundRow,
    restart: &[PollCursor],
) -> DbResult<bool> {
    if !epoch_is(tx, store.0, epoch).await? {
        return Ok(false);
    }
    let found = row.found.as_deref().map(text);
    tx.run(
        &FOUND_WRITE,
        &[
            &store.0,
            &row.settings,
            &found,
            &text(&row.report),
            &row.probed_at.0,
        ],
    )
    .await?;
    if !restart.is_empty() {
        tx.run(&CURSORS_DROP, &[&store.0, &PollJob::Live.number()])
            .await?;
    }
    for cursor in restart {
        cursor_write(tx, store.0, cursor).await?;
    }
    Ok(true)
}

/// Begins a backfill.
pub(super) async fn backfill_insert(
    tx: &mut Tx<'_>,
    new: &NewBackfill,
    now: Micros,
) -> DbResult<Backfill> {
    let key = tx
        .numbers(1)
        .await?
        .next()
        .ok_or_else(|| DbError::Internal("the sequence gave no number".into()))?;
    tx.run(
        &BACKFILL_INSERT,
        &[
            &key,
            &new.store.0,
            &nouns_text(&new.nouns),
            &new.since.0,
            &i64::from(new.per_minute),
            &now.0,
        ],
    )
    .await?;
    Ok(begun(key, tx.id(key, now), new, now))
}

/// Ends a backfill that runs.
pub(super) async fn backfill_end(
    tx: &mut Tx<'_>,
    store: StoreKey,
    key: BackfillKey,
    state: BackfillState,
    now: Micros,
) -> DbResult<bool> {
    let Some(state) = end_number(state) else {
        return Ok(false);
    };
    let ended = tx
        .run(&BACKFILL_END, &[&store.0, &key.0, &state, &now.0])
        .await?;
    if ended > 0 {
        tx.run(&CURSORS_DROP, &[&store.0, &key.0]).await?;
    }
    Ok(ended > 0)
}

/// Documents set aside.
pub(super) async fn set_aside_list(
    conn: &Conn,
    store: StoreKey,
    before: Option<i64>,
    limit: usize,
) -> DbResult<Vec<SetAsideRow>> {
    let (before, limit) = (
        before.unwrap_or(i64::MAX),
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    let rows: Vec<OddRow> = conn.rows(&ODD_LIST, &[&store.0, &before, &limit]).await?;
    Ok(rows.into_iter().map(set_aside_of).collect())
}

/// Notes a webhook.
pub(super) async fn hook_seen(
    tx: &mut Tx<'_>,
    store: StoreKey,
    event: &str,
    now: Micros,
) -> DbResult<bool> {
    tx.run(&HOOKS_EXPIRE, &[&(now.0 - HOOK_MICROS)]).await?;
    let noted = tx
        .run(&HOOK_INSERT, &[&store.0, &hook_digest(event), &now.0])
        .await?;
    Ok(noted > 0)
}

/// Drops what is known about a deleted store's shop.
pub(super) async fn forget(tx: &mut Tx<'_>, store: StoreKey, limit: usize) -> DbResult<usize> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut dropped = 0;
    for statement in [&SNAPSHOTS_DROP, &ODDS_FORGET, &HOOKS_DROP, &KNOWN_DROP] {
        dropped += tx.run(statement, &[&store.0, &limit]).await?;
    }
    for statement in [
        &ALL_CURSORS_DROP,
        &PULSES_DROP,
        &FOUND_DROP,
        &BACKFILLS_DROP,
        &RUNS_DROP,
    ] {
        dropped += tx.run(statement, &[&store.0]).await?;
    }
    Ok(usize::try_from(dropped).unwrap_or(usize::MAX))
}
