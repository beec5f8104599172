//! What goes into and comes out of [`super::Backend`] about stored jobs.

use serde_json::json;

use crate::domain::{
    id::{Id, IdSeal},
    job::{Chosen, Job, JobEnd, JobKind, JobState, NewJob, ReplayTarget},
    key::{DeliveryKey, EndpointKey, JobKey, MappingKey, StoreKey},
    time::Micros,
};

use super::{DbError, DbResult, Locator, NewAudit, PageKey, QueueQuery};

/// What a job would touch, to be counted.
#[derive(Debug, Clone, PartialEq)]
pub struct JobQuestion {
    /// What would be done.
    pub kind: JobKind,
    /// The filters of a list of the queue that the kind acts on; its paging does not matter.
    pub query: QueueQuery,
    /// Only rows with these ids.
    pub ids: Option<Vec<Id>>,
    /// The newest row counted before; `None`: the newest there is.
    pub upper: Option<i64>,
}

/// What a job would touch.
#[derive(Debug, Clone, PartialEq)]
pub struct JobCount {
    /// The rows, for [`crate::domain::job::NewJob`].
    pub chosen: Chosen,
    /// How many there are of each mapping and place.
    pub groups: Vec<JobGroup>,
}

/// Rows of one mapping that are in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobGroup {
    /// The mapping.
    pub mapping: MappingKey,
    /// Where they are.
    pub location: Locator,
    /// How many.
    pub count: u64,
}

impl JobCount {
    /// How many rows in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.groups.iter().map(|group| group.count).sum()
    }
}

/// Which jobs. Every `None` means "any".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobQuery {
    /// Of these stores.
    pub stores: Option<Vec<StoreKey>>,
    /// Of these kinds.
    pub kinds: Vec<JobKind>,
    /// The one with this id.
    pub id: Option<Id>,
    /// Only those that something is still to come of, oldest first.
    pub open: bool,
    /// Older than this one.
    pub after: Option<PageKey>,
    /// Rows to return at most.
    pub limit: usize,
}

impl JobQuery {
    /// Whether a job is of the stores and kinds that are asked for.
    pub(in crate::db) fn fits(&self, job: &Job) -> bool {
        let of_store = |stores: &Vec<StoreKey>| stores.contains(&job.new.store);
        self.stores.as_ref().is_none_or(of_store) && self.kinds.contains(&job.new.kind)
    }
}

/// A step of a job to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct JobTurn {
    /// The job.
    pub job: JobKey,
    /// For replays: the live mappings of its store, in order of key.
    pub targets: Vec<ReplayTarget>,
    /// The version of the registry that the targets were read from.
    pub registry_version: i64,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum JobStep {
    /// Written.
    Stepped {
        /// The job after it.
        job: Box<Job>,
        /// Deliveries that were touched and whose dispatchers are to be told.
        touched: Vec<(EndpointKey, DeliveryKey)>,
    },
    /// There was nothing to do: too early, over, gone, or another made the step.
    Nothing,
    /// The registry is newer than the targets; nothing was written.
    RegistryMoved,
}

/// A job to be ended before it is through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndJob {
    /// The store it must be of.
    pub store: StoreKey,
    /// Which.
    pub job: JobKey,
    /// How.
    pub end: JobEnd,
    /// Who says so; `None`: the hub itself, which is not recorded as a change.
    pub who: Option<String>,
}

/// A mark on a delivery that a job touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobMark {
    /// The job's id.
    pub id: Id,
    /// What it did.
    pub kind: JobKind,
}

/// What the audit log says of a job that somebody asked for or stopped; written with the job by every backend.
#[must_use]
pub fn job_audit(job: &Job, who: &str) -> NewAudit {
    let filters: serde_json::Value = serde_json::from_str(&job.new.asked).unwrap_or_default();
    let (action, is) = if job.state.is_open() {
        let is = json!({"filters": filters, "count": job.new.count, "rate_per_sec": job.new.per_sec, "starts_at": job.new.begins_at});
        ("created", is)
    } else {
        let action = if job.is_undone() { "undone" } else { "stopped" };
        (action, json!({"done": job.done, "count": job.new.count}))
    };
    NewAudit {
        store: Some(job.new.store),
        who: who.to_owned(),
        action: action.to_owned(),
        subject: format!("{} in bulk, {}", job.new.kind.word(), job.id),
        was: None,
        is: Some(is.to_string()),
    }
}

/// What the event on a touched delivery says.
#[must_use]
pub fn job_words(job: &Job) -> (String, String) {
    let (who, id) = (&job.new.who, job.id);
    match job.new.kind {
        JobKind::Retry => (
            format!("Tried again by {who}"),
            format!("In bulk, action {id}."),
        ),
        JobKind::Archive => (
            format!("Archived by {who}"),
            format!("In bulk, action {id}."),
        ),
        JobKind::Replay => (
            format!("Sent again by {who}"),
            format!("In bulk, replay {id}."),
        ),
    }
}

/// A job as it is stored: key, store, kind, state, cursor, next step, done, skipped, count and speed; then who, created, begins,
/// began, ended, error, what was asked and what was chosen. `N` is the type of a small number.
pub(in crate::db) type JobRow<N> = (
    (i64, i64, N, N, i64, i64, i64, i64, i64, i64),
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

/// The job of a row.
///
/// # Errors
/// [`DbError::Unreadable`] for a kind, state or choice that this version does not know.
pub(in crate::db) fn job_of<N: TryInto<i32>>(seal: IdSeal, row: JobRow<N>) -> DbResult<Job> {
    let ((key, store, kind, state, cursor, next_at, done, skipped, count, per_sec), rest) = row;
    let (who, created_at, begins_at, began_at, ended_at, error, asked, chosen) = rest;
    let unreadable = |reason: String| DbError::Unreadable {
        table: "job",
        key,
        reason,
    };
    let kind = kind.try_into().ok().and_then(JobKind::from_number);
    let state = state.try_into().ok().and_then(JobState::from_number);
    let (Some(kind), Some(state)) = (kind, state) else {
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
