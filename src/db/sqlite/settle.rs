//! Writing finished attempts: the fence, the delivery's next place, the attempt, and what the endpoint said.

use super::{
    archive::{self, Ending, Waiting},
    codec::{part_key, small, state_number},
    event::{Repeat, event_store},
    known,
    loops::descendant_store,
    registry::parameter_save,
    session::{Place, Session},
    statement::{Command, Question, statements},
};
use crate::{
    db::{DbError, DbResult, OwnerKind, SettleOutcome, Settled},
    domain::{
        delivery::{ArchiveReason, Asynchronous, Attempt, Disposition, Settlement, WaitState},
        time::Micros,
    },
};

/// The longest error kept with a delivery, in bytes.
const ERROR_BYTES: usize = 2000;

statements! {
    /// A delivery after an attempt that did not end it.
    AcceptedUpdate<'a> {
        store: i64, seq: i64, state: i64, head: bool, due_at: i64, attempts: i64, failures_more: i64, attempted_at: Option<i64>,
        last_error: Option<&'a str>, asynchronous: Option<&'a str>,
    } = "UPDATE accepted SET state = ?3, head = ?4, due_at = ?5, attempts = ?6, failures = failures + ?7,
         attempted_at = coalesce(?8, attempted_at), last_error = coalesce(?9, last_error), asynchronous = ?10
         WHERE store = ?1 AND seq = ?2";
    /// A delivery that is tried later after all.
    AcceptedPostpone { store: i64, seq: i64, due_at: i64 } = "UPDATE accepted SET due_at = ?3 WHERE store = ?1 AND seq = ?2";
    /// Whether a mapping lives and is enabled.
    MappingEnabled { mapping: i64 } -> bool =
        "SELECT coalesce(json_extract(body, '$.enabled'), 0) FROM registry WHERE key = ?1 AND kind = 'mapping' AND deleted = 0";
    /// Keeps an attempt.
    AttemptInsert<'a> {
        key: i64, started_at: i64, duration_us: i64, url: &'a str, status: Option<i64>, outcome: &'a str, error: &'a str,
        request_headers: &'a str, request_bytes: i64, answer_headers: &'a str, answer_body: &'a str, answer_bytes: i64,
    } = "INSERT OR REPLACE INTO attempt (key, started_at, duration_us, url, status, outcome, error, request_headers, request_bytes,
         answer_headers, answer_body, answer_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
}

/// Writes finished attempts, each or nothing of it.
pub(super) fn settle(
    session: &mut Session,
    batch: &[Settlement],
    now: Micros,
) -> DbResult<Vec<Settled>> {
    // One new version of the registry for the whole call, whatever the number of parameters.
    let mut version = None;
    batch
        .iter()
        .map(|settlement| settle_one(session, settlement, now, &mut version))
        .collect()
}

fn settle_one(
    session: &mut Session,
    settlement: &Settlement,
    now: Micros,
    version: &mut Option<i64>,
) -> DbResult<Settled> {
    let nothing = |outcome| Settled {
        outcome,
        lane_moved: false,
        messages: 0,
        registry_moved: false,
    };
    let lane_moved = match &settlement.disposition {
        Disposition::Completed { result } => {
            match complete(session, settlement, result.as_deref(), now)? {
                Some(moved) => moved,
                None => return Ok(nothing(SettleOutcome::Gone)),
            }
        }
        disposition => {
            let Some(waiting) = archive::read(session, settlement.store.0, settlement.key.0)?
            else {
                return Ok(nothing(SettleOutcome::Gone));
            };
            if !fence_holds(session, settlement, &waiting)? {
                return Ok(nothing(SettleOutcome::Fenced));
            }
            let waiting = attempt_keep(session, settlement, waiting)?;
            dispose(
                session,
                disposition,
                &waiting,
                settlement.attempt.is_some(),
                now,
            )?
        }
    };
    let mut settled = Settled {
        outcome: SettleOutcome::Written,
        lane_moved,
        messages: 0,
        registry_moved: false,
    };
    for message in &settlement.messages {
        settled.messages += u64::from(descendant_store(
            session,
            message,
            Some(settlement.key),
            now,
        )?);
    }
    for event in &settlement.events {
        settled.messages += event_store(session, event, Repeat::ByWords, now)?;
    }
    if let Some(news) = &settlement.objects {
        settled.messages += known::learn(session, news, Some(settlement.key), now)?.messages;
    }
    for parameter in &settlement.parameters {
        settled.registry_moved |=
            parameter_save(session, settlement.store, parameter, version, now)?;
    }
    Ok(settled)
}

/// A success needs no fence: what the endpoint took, it took.
fn complete(
    session: &mut Session,
    settlement: &Settlement,
    result: Option<&str>,
    now: Micros,
) -> DbResult<Option<bool>> {
    let Some((waiting, moved)) = archive::take(session, settlement.store.0, settlement.key.0)?
    else {
        return Ok(None);
    };
    let mut waiting = attempt_keep(session, settlement, waiting)?;
    waiting.last_error = None;
    archive::archive(
        session,
        &waiting,
        Ending {
            reason: ArchiveReason::Completed,
            result,
            at: now,
        },
    )?;
    Ok(Some(moved))
}

/// Whether the settlement was made from the delivery as it is now.
fn fence_holds(
    session: &mut Session,
    settlement: &Settlement,
    waiting: &Waiting,
) -> DbResult<bool> {
    let epoch = session.epoch(OwnerKind::Dispatcher, waiting.endpoint)?;
    Ok(settlement
        .fence
        .holds(epoch, small(waiting.attempts), waiting.state))
}

/// Keeps the attempt under the delivery's next number, which a late success may have to take later than it thought.
fn attempt_keep(
    session: &mut Session,
    settlement: &Settlement,
    mut waiting: Waiting,
) -> DbResult<Waiting> {
    let Some(attempt) = &settlement.attempt else {
        return Ok(waiting);
    };
    waiting.attempts += 1;
    waiting.attempted_at = Some(attempt.started_at.0);
    let number = u32::try_from(waiting.attempts).unwrap_or(u32::MAX);
    attempt_insert(session, part_key(waiting.seq, number), attempt)?;
    Ok(waiting)
}

fn attempt_insert(session: &mut Session, key: i64, attempt: &Attempt) -> DbResult<()> {
    AttemptInsert {
        key,
        started_at: attempt.started_at.0,
        duration_us: attempt.duration_us,
        url: &attempt.url,
        status: attempt.status.map(i64::from),
        outcome: &attempt.outcome,
        error: &attempt.error,
        request_headers: &attempt.request_headers,
        request_bytes: attempt.request_bytes,
        answer_headers: &attempt.answer_headers,
        answer_body: &attempt.answer_body,
        answer_bytes: attempt.answer_bytes,
    }
    .run(&mut session.conn)?;
    Ok(())
}

/// Puts a delivery where its disposition says; returns whether its lane moved on.
fn dispose(
    session: &mut Session,
    disposition: &Disposition,
    waiting: &Waiting,
    tried: bool,
    now: Micros,
) -> DbResult<bool> {
    match disposition {
        Disposition::Completed { .. } => {
            Err(DbError::Internal("a success is settled elsewhere".into()))
        }
        Disposition::Failing { due_at, error } => stay(
            session,
            waiting,
            Stay {
                state: WaitState::Failing,
                due_at: *due_at,
                failed: tried,
                error: Some(error),
                asynchronous: None,
            },
        ),
        Disposition::Parked { error } => stay(
            session,
            waiting,
            Stay {
                state: WaitState::Parked,
                due_at: now,
                failed: tried,
                error: Some(error),
                asynchronous: None,
            },
        ),
        Disposition::Scheduled {
            due_at,
            asynchronous,
        } => {
            let asynchronous = Some(asynchronous);
            stay(
                session,
                waiting,
                Stay {
                    state: WaitState::Scheduled,
                    due_at: *due_at,
                    failed: false,
                    error: None,
                    asynchronous,
                },
            )
        }
        // Enabled since its dispatcher looked, and what it held was released before this: nobody would release it again.
        // It stays where it is, and its dispatcher looks anew.
        Disposition::Held if is_enabled(session, waiting.mapping)? => Ok(true),
        Disposition::Held => stay(
            session,
            waiting,
            Stay {
                state: WaitState::Held,
                due_at: now,
                failed: false,
                error: None,
                asynchronous: None,
            },
        ),
        Disposition::Postponed { due_at } => {
            AcceptedPostpone {
                store: waiting.store,
                seq: waiting.seq,
                due_at: due_at.0,
            }
            .run(&mut session.conn)?;
            Ok(false)
        }
        Disposition::Removed => {
            let Some((_, moved)) = archive::take(session, waiting.store, waiting.seq)? else {
                return Ok(false);
            };
            archive::archive(
                session,
                waiting,
                Ending {
                    reason: ArchiveReason::Removed,
                    result: None,
                    at: now,
                },
            )?;
            Ok(moved)
        }
    }
}

fn is_enabled(session: &mut Session, mapping: i64) -> DbResult<bool> {
    Ok((MappingEnabled { mapping })
        .row(&mut session.conn)?
        .unwrap_or(false))
}

struct Stay<'a> {
    state: WaitState,
    due_at: Micros,
    failed: bool,
    error: Option<&'a str>,
    asynchronous: Option<&'a Asynchronous>,
}

fn stay(session: &mut Session, waiting: &Waiting, stay: Stay<'_>) -> DbResult<bool> {
    let leaves = !stay.state.holds_lane();
    let asynchronous = stay
        .asynchronous
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| {
            DbError::Internal(format!("an asynchronous state cannot be written: {error}"))
        })?;
    AcceptedUpdate {
        store: waiting.store,
        seq: waiting.seq,
        state: state_number(stay.state),
        head: waiting.head && !leaves,
        due_at: stay.due_at.0,
        attempts: waiting.attempts,
        failures_more: i64::from(stay.failed),
        attempted_at: waiting.attempted_at,
        last_error: stay
            .error
            .map(|error| super::event::cut(error, ERROR_BYTES)),
        asynchronous: asynchronous.as_deref(),
    }
    .run(&mut session.conn)?;
    session.count(waiting.store, Place::Accepted(waiting.state), -1);
    session.count(waiting.store, Place::Accepted(stay.state), 1);
    if leaves && waiting.head {
        archive::lane_advance(session, waiting)
    } else {
        Ok(false)
    }
}
