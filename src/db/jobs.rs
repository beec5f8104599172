//! What goes into and comes out of [`super::Backend`] about stored jobs.

use serde_json::json;

use crate::domain::{
    id::Id,
    job::{Chosen, Job, JobEnd, JobKind, ReplayTarget},
    key::{DeliveryKey, EndpointKey, JobKey, MappingKey, StoreKey},
};

use super::{Locator, NewAudit, PageKey, QueueQuery};

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
