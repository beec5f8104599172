//! Writing finished attempts: the fence, the deliveries' next places, the attempts, and what the endpoints said.
//!
//! The rows are locked and read, the whole batch is worked out in memory in its order, and what came out is written: a
//! bounded number of statements, whatever the number of settlements.

use std::collections::HashMap;

use super::{
    archive::{
        Ended, Waiting, accepted_delete, accepted_lock, archived_insert, error_kept, lanes_advance,
        lanes_lock_of,
    },
    codec::{day_of, text},
    event::Made,
    hint::Hint,
    known::{self, Learning, Told},
    registry::parameters_save,
    say::{Said, What, messages_of, say},
    statement::statements,
    tx::{Place, Tx},
};
use crate::{
    db::{DbError, DbResult, SettleOutcome, Settled},
    domain::{
        delivery::{ArchiveReason, Attempt, Disposition, Settlement, WaitState},
        key::EndpointKey,
        time::Micros,
    },
};

statements! {
    /// Deliveries after attempts that did not end them.
    ACCEPTED_UPDATE = "UPDATE accepted a SET state = u.state, head = u.head, due_at = u.due_at, attempts = u.attempts,
        failures = u.failures, attempted_at = u.attempted_at, last_error = u.last_error,
        asynchronous = CASE WHEN u.kept THEN a.asynchronous ELSE u.asynchronous END
        FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bool[], $5::bigint[], $6::int[], $7::int[], $8::bigint[], $9::text[],
        $10::text[], $11::bool[]) AS u(store, seq, state, head, due_at, attempts, failures, attempted_at, last_error, asynchronous, kept)
        WHERE a.store = u.store AND a.seq = u.seq";
    /// Which of these mappings live, and whether they are enabled.
    MAPPINGS_ALIVE = "SELECT r.key, coalesce((r.body::json ->> 'enabled')::boolean, FALSE) FROM unnest($1::bigint[]) AS u(key)
        JOIN registry r ON r.key = u.key WHERE r.kind = 'mapping' AND NOT r.deleted";
    /// Keeps attempts.
    ATTEMPTS_INSERT = "INSERT INTO attempt (store, delivery, number, day, started_at, duration_us, request_bytes, answer_bytes, status,
        url, outcome, error, request_headers, answer_headers, answer_body)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::int[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[]) ON CONFLICT DO NOTHING";
}

/// What the batch makes of one delivery.
struct Work {
    was: Waiting,
    now: Waiting,
    asynchronous: Option<Option<String>>,
    end: Option<Ended>,
    left_lane: bool,
    changed: bool,
}

/// An attempt to be kept: of which delivery, under which number.
struct Kept<'a> {
    store: i64,
    delivery: i64,
    created_at: i64,
    number: i32,
    attempt: &'a Attempt,
}

/// Writes finished attempts, each or nothing of it.
pub(super) async fn settle(
    tx: &mut Tx<'_>,
    batch: &[Settlement],
    now: Micros,
) -> DbResult<Vec<Settled>> {
    let said_all: Vec<Said<'_>> = batch
        .iter()
        .enumerate()
        .flat_map(|(group, settlement)| said_by(group, settlement))
        .collect();
    tx.learn_kinds(messages_of(&said_all)).await?;
    let keys: Vec<(i64, i64)> = batch
        .iter()
        .map(|settlement| (settlement.store.0, settlement.key.0))
        .collect();
    let singly = tx.lanes(keys.len());
    lanes_lock_of(tx, &keys, singly).await?;
    let mut works: HashMap<(i64, i64), Work> = accepted_lock(tx, &keys)
        .await?
        .into_iter()
        .map(|(key, row)| {
            (
                key,
                Work {
                    was: row.clone(),
                    now: row,
                    asynchronous: None,
                    end: None,
                    left_lane: false,
                    changed: false,
                },
            )
        })
        .collect();
    let alive = alive_of_given_up(tx, batch, &works).await?;
    let mut settled = Vec::with_capacity(batch.len());
    let mut attempts = Vec::new();
    let mut said = Vec::new();
    let mut made = Made::new();
    for (group, settlement) in batch.iter().enumerate() {
        let mut looks_anew = false;
        let outcome = match works.get_mut(&(settlement.store.0, settlement.key.0)) {
            Some(work) if work.end.is_none() => {
                made.insert((work.was.store, work.was.seq), work.was.created_at);
                made.insert((work.was.store, work.was.message), work.was.made_at);
                // Enabled since its dispatcher looked, and what it held was released before this: nobody would release it
                // again. Or made on another node, so that the dispatcher took it for a deleted one. It stays where it is, and its
                // node reads the registry and looks anew.
                let is_wrong = match settlement.disposition {
                    Disposition::Held => alive.get(&work.now.mapping) == Some(&true),
                    Disposition::Removed => alive.contains_key(&work.now.mapping),
                    _ => false,
                };
                if is_wrong && fence_holds(settlement, &work.now) {
                    looks_anew = true;
                    SettleOutcome::Written
                } else {
                    apply(work, settlement, &mut attempts, now)?
                }
            }
            _ => SettleOutcome::Gone,
        };
        if outcome == SettleOutcome::Written {
            said.extend(said_by(group, settlement));
        }
        settled.push(Settled {
            outcome,
            lane_moved: looks_anew,
            messages: 0,
            registry_moved: looks_anew,
        });
    }
    let moved = write(tx, works.values()).await?;
    attempts_insert(tx, &attempts).await?;
    let told: Vec<Told<'_>> = batch
        .iter()
        .zip(&settled)
        .enumerate()
        .filter(|(_, (_, settled))| settled.outcome == SettleOutcome::Written)
        .filter_map(|(group, (settlement, _))| {
            Some(Told {
                group,
                news: settlement.objects.as_deref()?,
                delivery: Some(settlement.key),
            })
        })
        .collect();
    let learnings = known::learn(tx, &told, now).await?;
    if !learnings.is_empty() {
        said.extend(learnings.iter().filter_map(Learning::said));
        said.sort_by_key(|said| said.group);
    }
    let stored = say(tx, &said, batch.len(), &made, now).await?;
    let parameters: Vec<_> = batch
        .iter()
        .zip(&settled)
        .enumerate()
        .filter(|(_, (_, settled))| settled.outcome == SettleOutcome::Written)
        .flat_map(|(group, (settlement, _))| {
            settlement
                .parameters
                .iter()
                .map(move |parameter| (group, settlement.store, parameter))
        })
        .collect();
    let registry_moved = parameters_save(tx, &parameters, now).await?;
    for (group, (settlement, settled)) in batch.iter().zip(&mut settled).enumerate() {
        settled.messages = stored.get(group).copied().unwrap_or(0);
        settled.registry_moved |= registry_moved.contains(&group);
        let lane = works
            .get(&(settlement.store.0, settlement.key.0))
            .and_then(|work| work.was.led_lane());
        settled.lane_moved |= settled.outcome == SettleOutcome::Written
            && lane.is_some_and(|lane| moved.contains(&lane));
    }
    if !registry_moved.is_empty() {
        tx.hint(Hint::registry());
    }
    Ok(settled)
}

/// Of the mappings whose deliveries are to be held or removed, those that live, and whether they are enabled.
async fn alive_of_given_up(
    tx: &mut Tx<'_>,
    batch: &[Settlement],
    works: &HashMap<(i64, i64), Work>,
) -> DbResult<HashMap<i64, bool>> {
    let given_up = |settlement: &&Settlement| {
        matches!(
            settlement.disposition,
            Disposition::Held | Disposition::Removed
        )
    };
    let mappings: Vec<i64> = batch
        .iter()
        .filter(given_up)
        .filter_map(|settlement| works.get(&(settlement.store.0, settlement.key.0)))
        .map(|work| work.was.mapping)
        .collect();
    if mappings.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, bool)> = tx.rows(&MAPPINGS_ALIVE, &[&mappings]).await?;
    Ok(rows.into_iter().collect())
}

fn said_by(group: usize, settlement: &Settlement) -> impl Iterator<Item = Said<'_>> {
    let messages = settlement.messages.iter().map(move |message| Said {
        group,
        what: What::Message(message, Some(settlement.key)),
    });
    messages.chain(settlement.events.iter().map(move |event| Said {
        group,
        what: What::Event(event),
    }))
}

/// Works out one settlement on its delivery.
fn apply<'a>(
    work: &mut Work,
    settlement: &'a Settlement,
    attempts: &mut Vec<Kept<'a>>,
    now: Micros,
) -> DbResult<SettleOutcome> {
    // A success needs no fence: what the endpoint took, it took.
    let is_success = matches!(settlement.disposition, Disposition::Completed { .. });
    if !is_success && !fence_holds(settlement, &work.now) {
        return Ok(SettleOutcome::Fenced);
    }
    work.changed = true;
    let row = &mut work.now;
    if let Some(attempt) = &settlement.attempt {
        // A late success may have to take a later number than it thought.
        row.attempts = row.attempts.saturating_add(1);
        row.attempted_at = Some(attempt.started_at.0);
        attempts.push(Kept {
            store: row.store,
            delivery: row.seq,
            created_at: row.created_at,
            number: row.attempts,
            attempt,
        });
    }
    let tried = i32::from(settlement.attempt.is_some());
    match &settlement.disposition {
        Disposition::Completed { result } => {
            row.last_error = None;
            work.end = Some(Ended::delivery(
                row,
                ArchiveReason::Completed,
                result.as_deref(),
                now,
            ));
        }
        Disposition::Removed => {
            work.end = Some(Ended::delivery(row, ArchiveReason::Removed, None, now))
        }
        Disposition::Failing { due_at, error } => {
            row.failures = row.failures.saturating_add(tried);
            row.last_error = Some(error_kept(error));
            stay(work, WaitState::Failing, *due_at, None);
        }
        Disposition::Parked { error } => {
            row.failures = row.failures.saturating_add(tried);
            row.last_error = Some(error_kept(error));
            stay(work, WaitState::Parked, now, None);
        }
        Disposition::Scheduled {
            due_at,
            asynchronous,
        } => {
            let written = serde_json::to_string(asynchronous).map_err(|error| {
                DbError::Internal(format!("an asynchronous state cannot be written: {error}"))
            })?;
            stay(work, WaitState::Scheduled, *due_at, Some(written));
        }
        Disposition::Held => stay(work, WaitState::Held, now, None),
        Disposition::Postponed { due_at } => row.due_at = due_at.0,
    }
    Ok(SettleOutcome::Written)
}

fn stay(work: &mut Work, state: WaitState, due_at: Micros, asynchronous: Option<String>) {
    work.left_lane |= !state.holds_lane();
    work.now.head &= state.holds_lane();
    work.now.state = state;
    work.now.due_at = due_at.0;
    work.asynchronous = Some(asynchronous);
}

/// Whether nobody has tried or taken over the delivery since it was read. One that has stepped out of its lane meanwhile
/// is not put back into it by a failure.
fn fence_holds(settlement: &Settlement, row: &Waiting) -> bool {
    row.epoch == settlement.fence.epoch
        && i64::from(row.attempts) == i64::from(settlement.fence.attempts)
        && row.state.holds_lane()
}

/// Writes what became of the deliveries; returns the lanes that have a new head.
async fn write<'w>(
    tx: &mut Tx<'_>,
    works: impl Iterator<Item = &'w Work>,
) -> DbResult<std::collections::BTreeSet<(i64, i64)>> {
    let mut works: Vec<&Work> = works.filter(|work| work.changed).collect();
    works.sort_unstable_by_key(|work| (work.was.store, work.was.seq));
    let ended: Vec<Ended> = works.iter().filter_map(|work| work.end.clone()).collect();
    accepted_delete(
        tx,
        works
            .iter()
            .filter(|work| work.end.is_some())
            .map(|work| (work.was.store, work.was.seq)),
    )
    .await?;
    archived_insert(tx, &ended).await?;
    let staying: Vec<&&Work> = works.iter().filter(|work| work.end.is_none()).collect();
    if !staying.is_empty() {
        macro_rules! column {
            ($work:ident => $value:expr) => {
                staying.iter().map(|$work| $value).collect::<Vec<_>>()
            };
        }
        tx.run(
            &ACCEPTED_UPDATE,
            &[
                &column!(work => work.now.store),
                &column!(work => work.now.seq),
                &column!(work => work.now.state.number()),
                &column!(work => work.now.head),
                &column!(work => work.now.due_at),
                &column!(work => work.now.attempts),
                &column!(work => work.now.failures),
                &column!(work => work.now.attempted_at),
                &column!(work => work.now.last_error.as_deref()),
                &column!(work => work.asynchronous.as_ref().and_then(|text| text.as_deref())),
                &column!(work => work.asynchronous.is_none()),
            ],
        )
        .await?;
    }
    for work in &works {
        tx.count(work.was.store, Place::Accepted(work.was.state), -1);
        if work.end.is_none() {
            tx.count(work.was.store, Place::Accepted(work.now.state), 1);
        }
    }
    let left = works
        .iter()
        .filter(|work| work.end.is_some() || work.left_lane)
        .filter_map(|work| work.was.led_lane());
    let moved = lanes_advance(tx, left).await?;
    tx.hint(Hint::endpoints(
        moved.iter().map(|(endpoint, _)| EndpointKey(*endpoint)),
    ));
    Ok(moved)
}

async fn attempts_insert(tx: &mut Tx<'_>, attempts: &[Kept<'_>]) -> DbResult<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($kept:ident => $value:expr) => {
            attempts.iter().map(|$kept| $value).collect::<Vec<_>>()
        };
    }
    tx.run(
        &ATTEMPTS_INSERT,
        &[
            &column!(kept => kept.store),
            &column!(kept => kept.delivery),
            &column!(kept => kept.number),
            &column!(kept => day_of(kept.created_at)),
            &column!(kept => kept.attempt.started_at.0),
            &column!(kept => kept.attempt.duration_us),
            &column!(kept => kept.attempt.request_bytes),
            &column!(kept => kept.attempt.answer_bytes),
            &column!(kept => kept.attempt.status.map(i32::from)),
            &column!(kept => text(&kept.attempt.url)),
            &column!(kept => text(&kept.attempt.outcome)),
            &column!(kept => text(&kept.attempt.error)),
            &column!(kept => text(&kept.attempt.request_headers)),
            &column!(kept => text(&kept.attempt.answer_headers)),
            &column!(kept => text(&kept.attempt.answer_body)),
        ],
    )
    .await?;
    Ok(())
}
