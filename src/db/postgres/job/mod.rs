//! Stored jobs: what they choose, how far they are, and their steps.
//!
//! A step is found by a reader (`choose.rs`), because finding the next rows may walk past many others, and made in one
//! transaction (`step.rs`), which locks the job's row first and looks at it again: when its cursor is not the one that was
//! read, another worker or another node made the step. Whoever holds a job's row may go on to lock lanes; nobody who holds
//! lanes wants a job's row.

mod choose;
mod step;

use super::{codec::text, conn::Conn, core::Core, people, statement::statements, tx::Tx};
use crate::{
    db::{DbError, DbResult, EndJob, JobMark, JobQuery, choosing::Picked, job_audit},
    domain::{
        id::IdSeal,
        job::{Job, JobKind, JobState, NewJob, Turn},
        key::{JobKey, StoreKey},
        time::Micros,
    },
};

#[cfg(test)]
pub(super) use choose::ALL as CHOOSE;
pub(super) use choose::count;
#[cfg(test)]
pub(super) use step::ALL as STEP;
pub(super) use step::step;

/// The columns of a job, in the order of the table.
type JobRow = (
    i64,
    i64,
    i32,
    i32,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
    String,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    String,
    String,
);

statements! {
    /// Stores a job.
    JOB_INSERT = "INSERT INTO job (key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at,
        asked, chosen) VALUES ($1, $2, $3, 0, $4, $5, 0, 0, $6, $7, $8, $9, $10, $11, $12)";
    /// Writes how far a job is.
    JOB_WRITE = "UPDATE job SET state = $2, cursor = $3, next_at = $4, done = $5, skipped = $6, began_at = $7, ended_at = $8, error = $9
        WHERE key = $1";
    /// A job.
    JOB_READ = "SELECT key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at, began_at,
        ended_at, error, asked, chosen FROM job WHERE key = $1";
    /// A job, kept from others until the transaction ends.
    JOB_LOCK = "SELECT key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at, began_at,
        ended_at, error, asked, chosen FROM job WHERE key = $1 FOR UPDATE";
    /// Jobs that something is still to come of, oldest first.
    JOBS_OPEN = "SELECT key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at, began_at,
        ended_at, error, asked, chosen FROM job WHERE state < 2 AND key > $1 AND kind = ANY ($3::int[]) ORDER BY key LIMIT $2";
    /// Jobs of all stores, newest first.
    JOBS_ALL = "SELECT key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, who, created_at, begins_at, began_at,
        ended_at, error, asked, chosen FROM job WHERE key < $1 AND kind = ANY ($3::int[]) ORDER BY key DESC LIMIT $2";
    /// Jobs of some stores, newest first.
    JOBS_OF = "SELECT j.key, j.store, j.kind, j.state, j.cursor, j.next_at, j.done, j.skipped, j.count, j.per_sec, j.who, j.created_at,
        j.begins_at, j.began_at, j.ended_at, j.error, j.asked, j.chosen
        FROM (SELECT DISTINCT k FROM unnest($4::bigint[]) AS s(k)) u CROSS JOIN LATERAL (SELECT * FROM job WHERE store = u.k AND key < $1
        AND kind = ANY ($3::int[]) ORDER BY key DESC LIMIT $2) j ORDER BY j.key DESC LIMIT $2";
    /// The jobs that touched a delivery, oldest first.
    MARKS_OF = "SELECT j.key, j.created_at, j.kind FROM job_mark m JOIN job j ON j.key = m.job WHERE m.delivery = $1 ORDER BY j.key";
    /// Drops marks of jobs that ended before a time, of the oldest jobs.
    MARKS_EXPIRE = "DELETE FROM job_mark WHERE ctid = ANY (ARRAY (SELECT m.ctid
        FROM (SELECT key, ended_at FROM job ORDER BY key LIMIT $2) o
        CROSS JOIN LATERAL (SELECT ctid FROM job_mark WHERE job = o.key LIMIT $2) m WHERE o.ended_at < $1 LIMIT $2))";
    /// Drops jobs that ended before a time and have no marks any more, of the oldest jobs.
    JOBS_EXPIRE = "DELETE FROM job WHERE key = ANY (ARRAY (SELECT o.key FROM (SELECT key, ended_at FROM job ORDER BY key LIMIT $2) o
        WHERE o.ended_at < $1 AND NOT EXISTS (SELECT 1 FROM job_mark m WHERE m.job = o.key) LIMIT $3))";
}

/// Stores a job.
pub(super) async fn create(tx: &mut Tx<'_>, new: &NewJob, now: Micros) -> DbResult<Job> {
    let chosen = serde_json::to_string(&new.chosen)
        .map_err(|error| DbError::Internal(format!("a job cannot be written: {error}")))?;
    let key = tx.numbers(1).await?.next();
    let key = key.ok_or_else(|| DbError::Internal("the sequence gave no number".into()))?;
    let job = Job::asked(new.clone(), JobKey(key), tx.id(key, now), now);
    tx.run(
        &JOB_INSERT,
        &[
            &key,
            &new.store.0,
            &new.kind.number(),
            &job.cursor,
            &job.next_at.0,
            &number(new.count),
            &i64::from(new.per_sec),
            &text(&new.who),
            &now.0,
            &new.begins_at.0,
            &text(&new.asked),
            &text(&chosen),
        ],
    )
    .await?;
    people::audit_insert(tx, &[job_audit(&job, &new.who)], now).await?;
    Ok(job)
}

/// Ends an open job.
pub(super) async fn end(tx: &mut Tx<'_>, end: &EndJob, now: Micros) -> DbResult<Option<Job>> {
    let found = lock(tx, end.job)
        .await?
        .filter(|job| job.new.store == end.store && job.state.is_open());
    let Some(job) = found else {
        return Ok(None);
    };
    let after = job.ended(end.end.clone(), now);
    write(tx, &after).await?;
    if let Some(who) = &end.who {
        people::audit_insert(tx, &[job_audit(&after, who)], now).await?;
    }
    Ok(Some(after))
}

/// The job, when it may make a step now, and the rows that the step would be about.
pub(super) async fn look(core: &Core, key: JobKey, now: Micros) -> DbResult<Option<(Job, Picked)>> {
    let conn = core.read().await?;
    let found = match read(&conn, core.seal, key).await? {
        Some(job) => match job.turn(now) {
            Turn::Step(rows) => {
                let picked = choose::pick(&conn, &job, rows).await?;
                Some((job, picked))
            }
            Turn::NotBefore(_) | Turn::Over => None,
        },
        None => None,
    };
    conn.done();
    Ok(found)
}

/// Jobs.
pub(super) async fn list(conn: &Conn, seal: IdSeal, query: &JobQuery) -> DbResult<Vec<Job>> {
    let fits = |job: &Job| {
        let of_store = |stores: &Vec<StoreKey>| stores.contains(&job.new.store);
        query.stores.as_ref().is_none_or(of_store) && query.kinds.contains(&job.new.kind)
    };
    if let Some(id) = query.id {
        let found = read(conn, seal, JobKey(seal.open(id))).await?;
        return Ok(found
            .into_iter()
            .filter(|job| job.id == id && fits(job))
            .collect());
    }
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let kinds: Vec<i32> = query.kinds.iter().map(|kind| kind.number()).collect();
    let before = query.after.map_or(i64::MAX, |key| key.0);
    let rows: Vec<JobRow> = match &query.stores {
        _ if query.open => {
            let after = query.after.map_or(i64::MIN, |key| key.0);
            conn.rows(&JOBS_OPEN, &[&after, &limit, &kinds]).await?
        }
        None => conn.rows(&JOBS_ALL, &[&before, &limit, &kinds]).await?,
        Some(stores) => {
            let stores: Vec<i64> = stores.iter().map(|store| store.0).collect();
            conn.rows(&JOBS_OF, &[&before, &limit, &kinds, &stores])
                .await?
        }
    };
    // One that cannot be read must not hide the others.
    let read = |row| {
        job(seal, row)
            .map_err(|error| log::error!("{error}; the job is left out"))
            .ok()
    };
    Ok(rows.into_iter().filter_map(read).filter(fits).collect())
}

/// The jobs that touched a delivery.
pub(super) async fn marks(conn: &Conn, seal: IdSeal, delivery: i64) -> DbResult<Vec<JobMark>> {
    let rows: Vec<(i64, i64, i32)> = conn.rows(&MARKS_OF, &[&delivery]).await?;
    let mark = |(key, created_at, kind): (i64, i64, i32)| {
        Some(JobMark {
            id: seal.seal(key, Micros(created_at)),
            kind: JobKind::from_number(kind)?,
        })
    };
    Ok(rows.into_iter().filter_map(mark).collect())
}

/// Drops jobs that ended before a time, with their marks, oldest first and at most `limit` rows. Returns how many.
pub(super) async fn drop_old(conn: &Conn, before: Micros, limit: i64) -> DbResult<usize> {
    let marks = conn.run(&MARKS_EXPIRE, &[&before.0, &limit]).await?;
    let left = limit.saturating_sub(number(marks));
    let jobs = if left > 0 {
        conn.run(&JOBS_EXPIRE, &[&before.0, &limit, &left]).await?
    } else {
        0
    };
    Ok(usize::try_from(marks + jobs).unwrap_or(usize::MAX))
}

async fn read(conn: &Conn, seal: IdSeal, key: JobKey) -> DbResult<Option<Job>> {
    let row: Option<JobRow> = conn.row(&JOB_READ, &[&key.0]).await?;
    row.map(|row| job(seal, row)).transpose()
}

/// A job, which nobody else changes until the transaction ends.
async fn lock(tx: &mut Tx<'_>, key: JobKey) -> DbResult<Option<Job>> {
    let row: Option<JobRow> = tx.row(&JOB_LOCK, &[&key.0]).await?;
    row.map(|row| job(tx.seal(), row)).transpose()
}

async fn write(tx: &mut Tx<'_>, job: &Job) -> DbResult<()> {
    tx.run(
        &JOB_WRITE,
        &[
            &job.key.0,
            &job.state.number(),
            &job.cursor,
            &job.next_at.0,
            &number(job.done),
            &number(job.skipped),
            &job.began_at.map(|at| at.0),
            &job.ended_at.map(|at| at.0),
            &job.error.as_deref().map(text),
        ],
    )
    .await
    .map(|_| ())
}

fn job(seal: IdSeal, row: JobRow) -> DbResult<Job> {
    let (key, store, kind, state, cursor, next_at, done, skipped, count, per_sec, ..) = row;
    let (.., who, created_at, begins_at, began_at, ended_at, error, asked, chosen) = row;
    let unreadable = |reason: String| DbError::Unreadable {
        table: "job",
        key,
        reason,
    };
    let (Some(kind), Some(state)) = (JobKind::from_number(kind), JobState::from_number(state))
    else {
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
