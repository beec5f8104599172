//! Stored jobs: what they choose, how far they are, and their steps.
//!
//! A step is found by a reader (`choose.rs`), because finding the next rows may walk past many others, and made by the writer
//! (`step.rs`), which looks at the job again first: when its cursor is not the one that was read, another made the step.

mod choose;
mod step;

use diesel::sqlite::SqliteConnection;

use super::{
    people,
    session::Session,
    statement::{Command, Question, key_list, statements},
};
use crate::{
    db::{DbError, DbResult, EndJob, JobMark, JobQuery, job_audit},
    domain::{
        id::IdSeal,
        job::{Job, JobKind, JobState, NewJob},
        key::{JobKey, StoreKey},
        time::Micros,
    },
};

pub(super) use choose::{chosen, go_on, pick};
#[cfg(test)]
pub(super) use step::ALL as STEP;
pub(super) use step::step;

type JobRow = (
    (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64),
    (
        String,
        i64,
        i64,
        Option<i64>,
        Option<i64>,
        Option<String>,
        String,
        String,
    ),
);

statements! {
    /// Stores a job.
    JobInsert<'a> {
        key: i64, store: i64, kind: i64, cursor: i64, next_at: i64, count: i64, per_sec: i64, who: &'a str, created_at: i64,
        begins_at: i64, asked: &'a str, chosen: &'a str,
    } = "INSERT INTO job (key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at,
         asked, chosen) VALUES (?1, ?2, ?3, 0, ?4, ?5, 0, 0, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    /// Writes how far a job is.
    JobWrite<'a> {
        key: i64, state: i64, cursor: i64, next_at: i64, done: i64, skipped: i64, began_at: Option<i64>, ended_at: Option<i64>,
        error: Option<&'a str>,
    } = "UPDATE job SET state = ?2, cursor = ?3, next_at = ?4, done = ?5, skipped = ?6, began_at = ?7, ended_at = ?8, error = ?9
         WHERE key = ?1";
    /// A job.
    JobRead { key: i64 } -> JobRow =
        "SELECT key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at, began_at,
         ended_at, error, asked, chosen FROM job WHERE key = ?1";
    /// Jobs that something is still to come of, oldest first.
    JobsOpen<'a> { after: i64, limit: i64, kinds: &'a str } -> JobRow =
        "SELECT key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at, began_at,
         ended_at, error, asked, chosen FROM job WHERE state < 2 AND key > ?1 AND kind IN (SELECT value FROM json_each(?3))
         ORDER BY key LIMIT ?2";
    /// Jobs of all stores, newest first.
    JobsAll<'a> { before: i64, limit: i64, kinds: &'a str } -> JobRow =
        "SELECT key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at, began_at,
         ended_at, error, asked, chosen FROM job WHERE key < ?1 AND kind IN (SELECT value FROM json_each(?3))
         ORDER BY key DESC LIMIT ?2";
    /// Jobs of a store, newest first.
    JobsOf<'a> { before: i64, limit: i64, kinds: &'a str, store: i64 } -> JobRow =
        "SELECT key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at, began_at,
         ended_at, error, asked, chosen FROM job WHERE store = ?4 AND key < ?1 AND kind IN (SELECT value FROM json_each(?3))
         ORDER BY key DESC LIMIT ?2";
    /// Marks a delivery with a job.
    MarkInsert { delivery: i64, job: i64 } = "INSERT INTO job_mark (delivery, job) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    /// The jobs that touched a delivery, oldest first.
    MarksOf { delivery: i64 } -> (i64, i64, i64) =
        "SELECT job.key, job.created_at, job.kind FROM job_mark JOIN job ON job.key = job_mark.job WHERE delivery = ?1 ORDER BY job.key";
    /// The oldest jobs, with their ends.
    JobsOldest { limit: i64 } -> (i64, Option<i64>) = "SELECT key, ended_at FROM job ORDER BY key LIMIT ?1";
    /// Drops a job's marks.
    MarksDrop { job: i64, limit: i64 } =
        "DELETE FROM job_mark WHERE (delivery, job) IN (SELECT delivery, job FROM job_mark WHERE job = ?1 LIMIT ?2)";
    /// Drops a job.
    JobDrop { key: i64 } = "DELETE FROM job WHERE key = ?1";
}

/// Stores a job.
pub(super) fn create(session: &mut Session, new: &NewJob, now: Micros) -> DbResult<Job> {
    let chosen = serde_json::to_string(&new.chosen)
        .map_err(|error| DbError::Internal(format!("a job cannot be written: {error}")))?;
    let key = session.next();
    let job = Job::asked(new.clone(), JobKey(key), session.id(key, now), now);
    JobInsert {
        key,
        store: new.store.0,
        kind: i64::from(new.kind.number()),
        cursor: job.cursor,
        next_at: job.next_at.0,
        count: number(new.count),
        per_sec: i64::from(new.per_sec),
        who: &new.who,
        created_at: now.0,
        begins_at: new.begins_at.0,
        asked: &new.asked,
        chosen: &chosen,
    }
    .run(&mut session.conn)?;
    people::audit_insert(session, &[job_audit(&job, &new.who)], now)?;
    Ok(job)
}

/// Ends an open job.
pub(super) fn end(session: &mut Session, end: &EndJob, now: Micros) -> DbResult<Option<Job>> {
    let found = read(&mut session.conn, session.seal, end.job)?
        .filter(|job| job.new.store == end.store && job.state.is_open());
    let Some(job) = found else {
        return Ok(None);
    };
    let after = job.ended(end.end.clone(), now);
    write(session, &after)?;
    if let Some(who) = &end.who {
        people::audit_insert(session, &[job_audit(&after, who)], now)?;
    }
    Ok(Some(after))
}

/// A job.
pub(super) fn read(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    key: JobKey,
) -> DbResult<Option<Job>> {
    (JobRead { key: key.0 })
        .row(conn)?
        .map(|row| job(seal, row))
        .transpose()
}

/// Jobs.
pub(super) fn list(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    query: &JobQuery,
) -> DbResult<Vec<Job>> {
    let fits = |job: &Job| {
        let of_store = |stores: &Vec<StoreKey>| stores.contains(&job.new.store);
        query.stores.as_ref().is_none_or(of_store) && query.kinds.contains(&job.new.kind)
    };
    if let Some(id) = query.id {
        let found = read(conn, seal, JobKey(seal.open(id)))?;
        return Ok(found
            .into_iter()
            .filter(|job| job.id == id && fits(job))
            .collect());
    }
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let kinds = key_list(query.kinds.iter().map(|kind| i64::from(kind.number())));
    let kinds = kinds.as_str();
    let before = query.after.map_or(i64::MAX, |key| key.0);
    let mut rows = Vec::new();
    match &query.stores {
        _ if query.open => {
            let after = query.after.map_or(i64::MIN, |key| key.0);
            rows.extend(
                JobsOpen {
                    after,
                    limit,
                    kinds,
                }
                .rows(conn)?,
            );
        }
        None => rows.extend(
            JobsAll {
                before,
                limit,
                kinds,
            }
            .rows(conn)?,
        ),
        Some(stores) => {
            for store in stores {
                rows.extend(
                    JobsOf {
                        before,
                        limit,
                        kinds,
                        store: store.0,
                    }
                    .rows(conn)?,
                );
            }
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.0.0));
            rows.truncate(query.limit);
        }
    }
    // One that cannot be read must not hide the others.
    let read = |row| {
        job(seal, row)
            .map_err(|error| log::error!("{error}; the job is left out"))
            .ok()
    };
    Ok(rows.into_iter().filter_map(read).filter(fits).collect())
}

/// The jobs that touched a delivery.
pub(super) fn marks(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    delivery: i64,
) -> DbResult<Vec<JobMark>> {
    let mark = |(key, created_at, kind): (i64, i64, i64)| {
        Some(JobMark {
            id: seal.seal(key, Micros(created_at)),
            kind: kind_read(kind)?,
        })
    };
    Ok((MarksOf { delivery })
        .rows(conn)?
        .into_iter()
        .filter_map(mark)
        .collect())
}

/// Drops jobs that ended before a time, with their marks, oldest first and at most `limit` rows. Returns how many.
pub(super) fn drop_old(session: &mut Session, before: Micros, limit: i64) -> DbResult<usize> {
    let mut dropped = 0;
    for (key, ended_at) in (JobsOldest { limit }).rows(&mut session.conn)? {
        if ended_at.is_none_or(|at| at >= before.0) {
            continue;
        }
        let left = limit - number(dropped as u64);
        let marks = MarksDrop {
            job: key,
            limit: left,
        }
        .run(&mut session.conn)?;
        dropped += marks;
        if number(dropped as u64) >= limit {
            break;
        }
        dropped += JobDrop { key }.run(&mut session.conn)?;
    }
    Ok(dropped)
}

fn write(session: &mut Session, job: &Job) -> DbResult<()> {
    JobWrite {
        key: job.key.0,
        state: i64::from(job.state.number()),
        cursor: job.cursor,
        next_at: job.next_at.0,
        done: number(job.done),
        skipped: number(job.skipped),
        began_at: job.began_at.map(|at| at.0),
        ended_at: job.ended_at.map(|at| at.0),
        error: job.error.as_deref(),
    }
    .run(&mut session.conn)?;
    Ok(())
}

fn kind_read(number: i64) -> Option<JobKind> {
    JobKind::from_number(i32::try_from(number).ok()?)
}

fn job(seal: IdSeal, row: JobRow) -> DbResult<Job> {
    let ((key, store, kind, state, cursor, next_at, done, skipped, count, per_sec), rest) = row;
    let (who, created_at, begins_at, began_at, ended_at, error, asked, chosen) = rest;
    let unreadable = |reason: String| DbError::Unreadable {
        table: "job",
        key,
        reason,
    };
    let state = i32::try_from(state).ok().and_then(JobState::from_number);
    let (Some(kind), Some(state)) = (kind_read(kind), state) else {
        return Err(unreadable("unknown kind or state".into()));
    };
    let chosen =
        serde_json::from_str(&chosen).map_err(|error| unreadable(format!("choice: {error}")))?;
    Ok(Job {
        key: JobKey(key),
        id: seal.seal(key, Micros(created_at)),
        new: NewJob {
            store: StoreKey(store),
            kind,
            chosen,
            asked,
            count: count.max(0).cast_unsigned(),
            per_sec: u32::try_from(per_sec).unwrap_or(1),
            who,
            begins_at: Micros(begins_at),
        },
        state,
        cursor,
        next_at: Micros(next_at),
        done: done.max(0).cast_unsigned(),
        skipped: skipped.max(0).cast_unsigned(),
        created_at: Micros(created_at),
        began_at: began_at.map(Micros),
        ended_at: ended_at.map(Micros),
        error,
    })
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
