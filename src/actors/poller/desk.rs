//! One store's polling, turn by turn. See the module above.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{
    super::{backoff::Backoff, shared::Shared, transport::client_of_this_thread},
    beat::{self, Weight},
    door::{Asked, Hint, PollDoor},
    entry::Entry,
};
use crate::{
    db::{
        Backfill, BackfillState, DbResult, FoundRow, ObjectSeen, OddSeen, OwnerKind, PollCommit,
        PollCursor, PollJob, PollOutcome, PollState, PollStep, Pulse,
    },
    domain::{
        event::NewEvent,
        json::PayloadLimits,
        key::StoreKey,
        message::{NewMessage, Source as Origin},
        reference::object_of,
        snapshot::{Announcement, Change, Known, Reading, Snapshot, compare},
        store_object::{Noun, StoreDocument},
        time::Micros,
    },
    sources::{
        Cursor, Fate, Fetched, Found, Limits, Page, Progress, SetAside, Source, SourceError,
        Versions, open, probe_for,
    },
};

/// Pages of one collection in a turn, so that others get theirs.
const PAGES_A_TURN: usize = 20;
/// Hints looked at in a turn.
const HINTS_A_TURN: usize = 50;
/// What is asked for every five minutes is asked for at the configured interval.
const USUAL: Duration = Duration::from_secs(300);
/// When a shop says that no more requests are allowed for now, and not for how long.
const RATE_PAUSE: Duration = Duration::from_secs(10);
/// The pause after the first failure, unless the interval is shorter.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// When a turn wants the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// After so long.
    In(Duration),
    /// Never: the store is not polled (any more).
    Retire,
}

/// A collection that is polled.
struct Lane {
    noun: Noun,
    interval: Duration,
    next_at: Instant,
    backoff: Backoff,
}

/// A shop that was found.
struct Opened {
    source: Box<dyn Source>,
    lanes: Vec<Lane>,
}

/// What a step of the work came to.
enum Ran {
    CaughtUp,
    More,
    Failed(SourceError),
    /// Another has the store, or what was read is out of date: begin anew.
    Lost,
}

/// What is known of the database's side, as of this owner's epoch.
struct Held {
    epoch: i64,
    cursors: HashMap<(Noun, PollJob), (String, bool)>,
    pulses: HashMap<String, Pulse>,
    found: Option<FoundRow>,
    marks: HashMap<Noun, Micros>,
    backfills: Vec<Backfill>,
}

impl Held {
    fn new(epoch: i64, state: PollState) -> Self {
        let marks = state.cursors.iter().filter_map(|cursor| {
            (cursor.job == PollJob::Live).then_some((cursor.noun, cursor.mark?))
        });
        Self {
            epoch,
            marks: marks.collect(),
            pulses: state
                .pulses
                .into_iter()
                .map(|pulse| (pulse.name.clone(), pulse))
                .collect(),
            found: state.found,
            cursors: state
                .cursors
                .into_iter()
                .map(|one| ((one.noun, one.job), (one.cursor, one.done)))
                .collect(),
            backfills: state.backfills,
        }
    }
}

/// See the module.
pub struct Desk {
    shared: Arc<Shared>,
    store: StoreKey,
    door: Arc<PollDoor>,
    held: Option<Held>,
    opened: Option<Opened>,
    /// What the shop was last entered with.
    settings: Vec<u8>,
    /// The shop as a whole is left alone until then.
    quiet_until: Option<Instant>,
    shop_backoff: Backoff,
    database: Backoff,
    backfill_at: Instant,
    backfill_backoff: Backoff,
    probe_again: bool,
}

impl Desk {
    /// For this store; knows nothing yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, store: StoreKey) -> Self {
        let backoff = backoff_of(&shared);
        Self {
            door: shared.directory.door(store),
            shared,
            store,
            held: None,
            opened: None,
            settings: Vec::new(),
            quiet_until: None,
            shop_backoff: backoff,
            database: Backoff::for_database(),
            backfill_at: Instant::now(),
            backfill_backoff: backoff,
            probe_again: false,
        }
    }

    /// Does what is due, and says when to come again.
    pub async fn turn(&mut self) -> Next {
        let registry = self.shared.registry.current();
        let Some(entry) = registry
            .stores
            .get(&self.store)
            .and_then(|store| Entry::of(&store.store.value))
        else {
            return Next::Retire;
        };
        if !self.shared.leases.owns(OwnerKind::Poller, self.store.0) {
            // Another node polls it. Should it be this one's again, it gets a new poller.
            return Next::Retire;
        }
        match self.work(&entry).await {
            Ok(pause) => {
                self.database.succeed();
                Next::In(pause)
            }
            Err(error) => {
                log::warn!(store = self.store.0; "polling waits for the database: {error}");
                // What was in memory may not be what is on disk.
                self.held = None;
                Next::In(self.database.fail())
            }
        }
    }

    async fn work(&mut self, entry: &Entry) -> DbResult<Duration> {
        let asked = self.door.take();
        if self.held.is_none() {
            let epoch = self
                .shared
                .backend
                .owner_claim(OwnerKind::Poller, self.store.0)
                .await?;
            let state = self.shared.backend.poll_state(self.store).await?;
            self.held = Some(Held::new(epoch, state));
        } else if asked.backfills {
            let state = self.shared.backend.poll_state(self.store).await?;
            if let Some(held) = &mut self.held {
                *held = Held::new(held.epoch, state);
            }
        }
        if self.settings != entry.settings {
            self.settings.clone_from(&entry.settings);
            self.opened = None;
            self.quiet_until = None;
            self.shop_backoff.succeed();
        }
        if asked.probe {
            self.probe_again = true;
            self.opened = None;
        }
        if asked.probe || asked.poll {
            self.quiet_until = None;
        }
        if let Some(pause) = self.pause_left() {
            for hint in asked.hints {
                self.door.hint(hint);
            }
            return Ok(pause);
        }
        if self.opened.is_none()
            && let Err(error) = self.open(entry).await?
        {
            self.shop_failed(entry, &error).await?;
            return Ok(self.pause_left().unwrap_or(FIRST_PAUSE));
        }
        self.poll(entry, asked).await
    }

    fn pause_left(&self) -> Option<Duration> {
        let left = self.quiet_until?.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }

    // ---- finding the shop ------------------------------------------------------------------------------------------

    async fn open(&mut self, entry: &Entry) -> DbResult<Result<(), SourceError>> {
        let Some(held) = &self.held else {
            return Ok(Err(own("nothing was read yet")));
        };
        let client = client_of_this_thread(&self.shared.clients);
        let shop = match entry.shop(Rc::clone(&client), &self.shared.config) {
            Ok(shop) => shop,
            Err(error) => return Ok(Err(error)),
        };
        let remembered = held
            .found
            .as_ref()
            .filter(|row| row.settings == entry.settings && !self.probe_again);
        let remembered: Option<Found> = remembered
            .and_then(|row| row.found.as_deref())
            .and_then(|text| serde_json::from_str(text).ok());
        let found = match remembered {
            Some(found) => found,
            None => match self.probe(entry, &shop).await? {
                Ok(found) => found,
                Err(error) => return Ok(Err(error)),
            },
        };
        let source = open(&found, shop);
        let backoff = backoff_of(&self.shared);
        let lanes = source.collections().into_iter().map(|collection| Lane {
            noun: collection.noun,
            interval: interval_of(&self.shared, collection.noun),
            next_at: Instant::now(),
            backoff,
        });
        self.opened = Some(Opened {
            lanes: lanes.collect(),
            source,
        });
        Ok(Ok(()))
    }

    /// Finds out which shop this is, and remembers it.
    async fn probe(
        &mut self,
        entry: &Entry,
        shop: &crate::sources::Shop,
    ) -> DbResult<Result<Found, SourceError>> {
        let probe = probe_for(shop, entry.wanted.as_deref()).await;
        let report = serde_json::json!({
            "steps": probe.steps,
            "cautions": probe.cautions,
            "problem": probe.outcome.as_ref().err().map(ToString::to_string),
        });
        let Some(held) = &mut self.held else {
            return Ok(Err(own("nothing was read yet")));
        };
        let former: Option<Found> = held
            .found
            .as_ref()
            .and_then(|row| row.found.as_deref())
            .and_then(|text| serde_json::from_str(text).ok());
        let found = probe.outcome.as_ref().ok();
        // Another kind of shop reads other cursors: it goes on where the former one stood.
        let is_another = found.is_some() && former.is_some() && found != former.as_ref();
        let restart: Vec<PollCursor> = held
            .marks
            .iter()
            .filter(|_| is_another)
            .map(|(noun, mark)| PollCursor {
                noun: *noun,
                job: PollJob::Live,
                cursor: Cursor::since(mark.minus(limits_of(&self.shared).overlap))
                    .to_json()
                    .to_string(),
                mark: Some(*mark),
                done: false,
            })
            .collect();
        let row = FoundRow {
            settings: entry.settings.clone(),
            // What was found before is kept through a failure: it is asked for again and again anyhow.
            found: found
                .or(former.as_ref())
                .and_then(|found| serde_json::to_string(found).ok())
                .filter(|_| found.is_some() || held_settings_are(held, entry)),
            report: report.to_string(),
            probed_at: self.shared.now(),
        };
        let written = self
            .shared
            .backend
            .poll_found(self.store, held.epoch, row.clone(), restart.clone())
            .await?;
        if !written {
            self.held = None;
            return Ok(Err(own("another poller has the store")));
        }
        held.found = Some(row);
        for cursor in restart {
            held.cursors
                .insert((cursor.noun, cursor.job), (cursor.cursor, false));
        }
        if probe.outcome.is_ok() {
            self.probe_again = false;
        }
        Ok(probe.outcome)
    }

    // ---- polling ---------------------------------------------------------------------------------------------------

    async fn poll(&mut self, entry: &Entry, asked: Asked) -> DbResult<Duration> {
        let now = Instant::now();
        let mut hints = asked.hints.into_iter();
        for hint in hints.by_ref().take(HINTS_A_TURN) {
            self.look(entry, hint).await?;
        }
        for hint in hints {
            self.door.hint(hint);
        }
        if asked.poll
            && let Some(opened) = &mut self.opened
        {
            for lane in &mut opened.lanes {
                lane.next_at = now;
            }
        }
        let due: Vec<Noun> = self
            .opened
            .iter()
            .flat_map(|opened| &opened.lanes)
            .filter(|lane| lane.next_at <= now)
            .map(|lane| lane.noun)
            .collect();
        for noun in due {
            if self.shared.is_stopping() || self.pause_left().is_some() || self.opened.is_none() {
                break;
            }
            self.poll_lane(entry, noun).await?;
        }
        if self.pause_left().is_none()
            && self.opened.is_some()
            && Instant::now() >= self.backfill_at
        {
            self.backfill(entry).await?;
        }
        Ok(self.until_next())
    }

    fn until_next(&self) -> Duration {
        if let Some(pause) = self.pause_left() {
            return pause;
        }
        let Some(opened) = &self.opened else {
            return Duration::ZERO;
        };
        let runs = |backfill: &Backfill| backfill.state == BackfillState::Running;
        let backfill = self
            .held
            .as_ref()
            .is_some_and(|held| held.backfills.iter().any(runs))
            .then_some(self.backfill_at);
        opened
            .lanes
            .iter()
            .map(|lane| lane.next_at)
            .chain(backfill)
            .min()
            .map_or(USUAL, |at| at.saturating_duration_since(Instant::now()))
    }

    /// A collection's poll: pages until nothing is left, or others are to have a turn.
    async fn poll_lane(&mut self, entry: &Entry, noun: Noun) -> DbResult<()> {
        for _ in 0..PAGES_A_TURN {
            if self.shared.is_stopping() {
                return Ok(());
            }
            match self.page(noun, PollJob::Live, Cursor::now()).await? {
                Ran::More if self.pause_left().is_some() => return Ok(()),
                Ran::More => {}
                Ran::CaughtUp => {
                    self.lane_succeeded(entry, noun).await?;
                    return Ok(());
                }
                Ran::Failed(error) => return self.failed(entry, noun, &error).await,
                Ran::Lost => {
                    self.held = None;
                    self.opened = None;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// One page of whoever reads, compared and written.
    async fn page(&mut self, noun: Noun, job: PollJob, first: Cursor) -> DbResult<Ran> {
        let (Some(opened), Some(held)) = (&self.opened, &mut self.held) else {
            return Ok(Ran::Lost);
        };
        let stored = Stored {
            shared: &self.shared,
            store: self.store,
            job,
        };
        let from = held
            .cursors
            .get(&(noun, job))
            .map(|(cursor, _)| cursor.clone());
        let cursor = match &from {
            None => first,
            Some(text) => match serde_json::from_str(text) {
                Ok(value) => Cursor::from_json(value),
                Err(error) => return Ok(Ran::Failed(own(&format!("its cursor: {error}")))),
            },
        };
        let limits = limits_of(&self.shared);
        let page = match opened
            .source
            .poll_page(noun, &cursor, &limits, &stored)
            .await
        {
            Ok(page) => page,
            Err(error) => return Ok(Ran::Failed(error)),
        };
        let Page {
            documents,
            next,
            progress,
            requests,
            set_aside,
            first_mark,
            mark,
            remaining,
        } = page;
        // A stop waits for what is being written, not for what is being asked.
        let _piece = self.shared.work.begin();
        let mut commit = PollCommit {
            store: self.store,
            epoch: held.epoch,
            step: Some(PollStep {
                job,
                noun,
                from,
                to: next.to_json().to_string(),
                mark,
                done: job != PollJob::Live && progress == Progress::CaughtUp,
                documents: documents.len() as u64,
                requests: u64::from(requests),
            }),
            objects: Vec::new(),
            odd: set_aside.into_iter().map(odd_of).collect(),
        };
        stored.compare(documents, first_mark, &mut commit).await?;
        let step = commit.step.clone();
        let outcome = self
            .shared
            .backend
            .poll_commit(commit, self.shared.now())
            .await?;
        let PollOutcome::Written { messages } = outcome else {
            return Ok(Ran::Lost);
        };
        self.shared.metrics.polled(messages);
        if let Some(step) = step {
            held.cursors.insert((noun, job), (step.to, step.done));
            if let (PollJob::Live, Some(mark)) = (job, step.mark) {
                held.marks.insert(noun, mark);
            }
        }
        if messages > 0 {
            self.shared
                .directory
                .ring(super::super::vitals::Office::Router);
        }
        if job != PollJob::Live {
            let requests = requests.max(1);
            let per_minute = held
                .backfills
                .iter()
                .find(|one| PollJob::Backfill(one.key) == job)
                .map_or(1, |one| one.job.per_minute.max(1));
            self.backfill_at = Instant::now()
                + Duration::from_secs_f64(60.0 * f64::from(requests) / f64::from(per_minute));
        }
        if remaining == Some(0) {
            self.quiet_until = Some(Instant::now() + RATE_PAUSE);
        }
        Ok(match progress {
            Progress::More => Ran::More,
            Progress::CaughtUp => Ran::CaughtUp,
        })
    }

    /// Looks at a single object, or has its collection polled.
    async fn look(&mut self, entry: &Entry, hint: Hint) -> DbResult<()> {
        let (noun, token) = match hint {
            Hint::Object(noun, token) => (noun, token),
            Hint::Collection(noun) => {
                self.make_due(noun);
                return Ok(());
            }
        };
        if self.pause_left().is_some() {
            self.door.hint(Hint::Object(noun, token));
            return Ok(());
        }
        let (Some(opened), Some(held)) = (&self.opened, &self.held) else {
            return Ok(());
        };
        if opened.lanes.iter().all(|lane| lane.noun != noun) {
            return Ok(());
        }
        let (document, odd) = match opened.source.fetch_one(noun, &token).await {
            Ok(Fetched::Found(document)) => (Some(*document), None),
            Ok(Fetched::Odd(odd)) => (None, Some(odd)),
            Ok(Fetched::Gone) => return Ok(()),
            Ok(Fetched::OnlyInLists) => {
                self.make_due(noun);
                return Ok(());
            }
            Err(error) => return self.failed(entry, noun, &error).await,
        };
        let _piece = self.shared.work.begin();
        let mut commit = PollCommit {
            store: self.store,
            epoch: held.epoch,
            step: None,
            objects: Vec::new(),
            odd: odd.into_iter().map(odd_of).collect(),
        };
        let stored = Stored {
            shared: &self.shared,
            store: self.store,
            job: PollJob::Live,
        };
        // Without a first mark, everything unseen would be new: the poll, which knows it, says what it is.
        if let Some(document) = document {
            let tokens = vec![document.token.clone()];
            let known = self
                .shared
                .backend
                .snapshot_versions(self.store, document.noun, tokens)
                .await?;
            if known.first().is_none_or(Option::is_none) {
                self.make_due(noun);
                return Ok(());
            }
            stored.compare(vec![document], None, &mut commit).await?;
        }
        let outcome = self
            .shared
            .backend
            .poll_commit(commit, self.shared.now())
            .await?;
        match outcome {
            PollOutcome::Written { messages } if messages > 0 => {
                self.shared
                    .directory
                    .ring(super::super::vitals::Office::Router);
            }
            PollOutcome::Written { .. } => {}
            PollOutcome::Fenced | PollOutcome::Moved => {
                self.held = None;
                self.opened = None;
            }
        }
        Ok(())
    }

    fn make_due(&mut self, noun: Noun) {
        let lanes = self.opened.iter_mut().flat_map(|opened| &mut opened.lanes);
        for lane in lanes.filter(|lane| lane.noun == noun) {
            lane.next_at = Instant::now();
        }
    }

    // ---- backfills -------------------------------------------------------------------------------------------------

    /// A page of the oldest backfill that runs.
    async fn backfill(&mut self, entry: &Entry) -> DbResult<()> {
        let (Some(opened), Some(held)) = (&self.opened, &mut self.held) else {
            return Ok(());
        };
        let running = held
            .backfills
            .iter()
            .filter(|one| one.state == BackfillState::Running)
            .min_by_key(|one| one.key)
            .cloned();
        let Some(backfill) = running else {
            return Ok(());
        };
        let job = PollJob::Backfill(backfill.key);
        let left = backfill.job.nouns.iter().copied().find(|noun| {
            opened.lanes.iter().any(|lane| lane.noun == *noun)
                && !held
                    .cursors
                    .get(&(*noun, job))
                    .is_some_and(|(_, done)| *done)
        });
        let Some(noun) = left else {
            self.shared
                .backend
                .backfill_end(
                    self.store,
                    backfill.key,
                    BackfillState::Done,
                    self.shared.now(),
                )
                .await?;
            held.cursors.retain(|(_, of), _| *of != job);
            held.backfills.retain(|one| one.key != backfill.key);
            return Ok(());
        };
        match self
            .page(noun, job, Cursor::since(backfill.job.since))
            .await?
        {
            Ran::More | Ran::CaughtUp => self.backfill_backoff.succeed(),
            Ran::Failed(error) if beat::is_of_the_shop(&error) => {
                self.failed(entry, noun, &error).await?;
            }
            Ran::Failed(error) => {
                log::warn!(store = self.store.0; "the backfill of {} waits: {error}", noun.collection());
                self.backfill_at = Instant::now() + self.backfill_backoff.fail();
            }
            // Stopped by somebody, or another poller has the store.
            Ran::Lost => self.held = None,
        }
        Ok(())
    }

    // ---- the heartbeat ---------------------------------------------------------------------------------------------

    async fn failed(&mut self, entry: &Entry, noun: Noun, error: &SourceError) -> DbResult<()> {
        if !beat::is_of_the_shop(error) {
            self.shared.metrics.poll_failed(error.kind());
        }
        if matches!(error, SourceError::Ignored { .. }) {
            self.probe_again = true;
            self.opened = None;
        }
        if beat::is_of_the_shop(error) {
            return self.shop_failed(entry, error).await;
        }
        let pause = self
            .opened
            .iter_mut()
            .flat_map(|opened| &mut opened.lanes)
            .find(|lane| lane.noun == noun)
            .map(|lane| {
                let pause = lane.backoff.fail();
                lane.next_at = Instant::now() + pause.max(error.retry_after().unwrap_or_default());
                pause
            });
        log::warn!(
            store = self.store.0, kind = error.kind(), pause_ms = pause.unwrap_or_default().as_millis() as u64;
            "the {} of {} could not be polled: {error}", noun.collection(), entry.name
        );
        self.note(
            entry,
            noun.collection(),
            Some((&error.to_string(), beat::weight(error))),
        )
        .await
    }

    async fn shop_failed(&mut self, entry: &Entry, error: &SourceError) -> DbResult<()> {
        self.shared.metrics.poll_failed(error.kind());
        let pause = self
            .shop_backoff
            .fail()
            .max(error.retry_after().unwrap_or_default());
        self.quiet_until = Some(Instant::now() + pause);
        log::warn!(
            store = self.store.0, kind = error.kind(), pause_ms = pause.as_millis() as u64;
            "{} could not be polled: {error}", entry.name
        );
        self.note(entry, "", Some((&error.to_string(), beat::weight(error))))
            .await
    }

    async fn lane_succeeded(&mut self, entry: &Entry, noun: Noun) -> DbResult<()> {
        let jitter = self.shared.config.poll.jitter_percent as f64 / 100.0;
        let lanes = self.opened.iter_mut().flat_map(|opened| &mut opened.lanes);
        for lane in lanes.filter(|lane| lane.noun == noun) {
            lane.backoff.succeed();
            lane.next_at =
                Instant::now() + lane.interval.mul_f64(1.0 + jitter * rand::random::<f64>());
        }
        self.shop_backoff.succeed();
        self.note(entry, noun.collection(), None).await?;
        self.note(entry, "", None).await
    }

    /// Notes how the shop (no name) or a collection does, and says so when that is news.
    async fn note(
        &mut self,
        entry: &Entry,
        name: &str,
        failure: Option<(&str, Weight)>,
    ) -> DbResult<()> {
        let Some(held) = &mut self.held else {
            return Ok(());
        };
        let now = self.shared.now();
        let pulse = held.pulses.entry(name.to_owned()).or_insert_with(|| Pulse {
            name: name.to_owned(),
            ..Pulse::default()
        });
        let former = pulse.clone();
        let is_news = match failure {
            Some((said, weight)) => {
                beat::fail(pulse, said, weight, self.shared.config.poll.down_after, now)
            }
            None => beat::succeed(pulse, now),
        };
        let events: Vec<NewEvent> = is_news
            .then(|| beat::event(self.store, &entry.name, pulse))
            .into_iter()
            .collect();
        let pulse = pulse.clone();
        let written = self
            .shared
            .backend
            .poll_pulse(self.store, held.epoch, vec![pulse], events, now)
            .await;
        match written {
            Ok(true) if is_news => {
                self.shared.metrics.pulse_changed(failure.is_some());
                self.shared
                    .directory
                    .ring(super::super::vitals::Office::Router);
                Ok(())
            }
            Ok(true) => Ok(()),
            Ok(false) => {
                self.held = None;
                Ok(())
            }
            Err(error) => {
                held.pulses.insert(name.to_owned(), former);
                Err(error)
            }
        }
    }
}

/// The database, as sources and comparisons see it.
struct Stored<'a> {
    shared: &'a Shared,
    store: StoreKey,
    job: PollJob,
}

#[async_trait(?Send)]
impl Versions for Stored<'_> {
    async fn versions(&self, noun: Noun, tokens: &[String]) -> Result<Vec<Option<String>>, String> {
        let (backend, tokens) = (&self.shared.backend, tokens.to_vec());
        let versions = match self.job {
            PollJob::Live => backend.snapshot_versions(self.store, noun, tokens).await,
            PollJob::Backfill(_) => self
                .snapshots(noun, tokens)
                .await
                .map(|all| all.into_iter().map(|one| Some(one?.updated_at)).collect()),
        };
        versions.map_err(|error| error.to_string())
    }
}

impl Stored<'_> {
    /// What is stored of objects. To a backfill, what was only listed when polling began is as good as unknown: it is the past that is
    /// to be told.
    async fn snapshots(&self, noun: Noun, tokens: Vec<String>) -> DbResult<Vec<Option<Snapshot>>> {
        let mut stored = self
            .shared
            .backend
            .snapshot_list(self.store, noun, tokens)
            .await?;
        if self.job != PollJob::Live {
            let is_listed = |snapshot: &Snapshot| matches!(snapshot.known, Known::Listed { .. });
            for one in &mut stored {
                one.take_if(|snapshot| is_listed(snapshot));
            }
        }
        Ok(stored)
    }

    /// Compares documents with what is stored of them, and adds to `commit` what is to be written.
    async fn compare(
        &self,
        documents: Vec<StoreDocument>,
        first_mark: Option<Micros>,
        commit: &mut PollCommit,
    ) -> DbResult<()> {
        let mut known: HashMap<(Noun, String), Option<Snapshot>> = HashMap::new();
        let mut tokens: HashMap<Noun, Vec<String>> = HashMap::new();
        for document in &documents {
            let of_noun = tokens.entry(document.noun).or_default();
            of_noun.push(document.token.clone());
        }
        for (noun, tokens) in tokens {
            let stored = self.snapshots(noun, tokens.clone()).await?;
            known.extend(tokens.into_iter().map(|token| (noun, token)).zip(stored));
        }
        let reading = Reading {
            first_mark,
            currency: None,
            limits: PayloadLimits {
                bytes: self.shared.config.server.max_body_bytes,
                ..PayloadLimits::default()
            },
        };
        for document in documents {
            let key = (document.noun, document.token.clone());
            let stored = known.get(&key).and_then(Option::as_ref);
            let (snapshot, said) = match compare(stored, &document, reading) {
                Ok(Change::Nothing) => continue,
                Ok(Change::Silent(snapshot)) => (snapshot, None),
                Ok(
                    Change::New(snapshot, said)
                    | Change::Updated(snapshot, said)
                    | Change::Canceled(snapshot, said),
                ) => (snapshot, Some(said)),
                Err(odd) => {
                    commit.odd.push(OddSeen {
                        noun: document.noun,
                        token: document.token,
                        why: odd.to_string(),
                        lasting: true,
                    });
                    continue;
                }
            };
            known.insert(key, Some(snapshot.clone()));
            commit.objects.push(ObjectSeen {
                noun: document.noun,
                token: document.token,
                snapshot,
                message: said.map(|said| message_of(self.store, said)),
            });
        }
        Ok(())
    }
}

fn message_of(store: StoreKey, Announcement { kind, payload }: Announcement) -> NewMessage {
    NewMessage {
        store,
        about: object_of(&kind, &payload),
        kind,
        payload,
        source: Origin::Poller,
        ancestry: None,
        test: false,
        extra: None,
    }
}

fn odd_of(odd: SetAside) -> OddSeen {
    OddSeen {
        noun: odd.noun,
        token: odd.token,
        why: odd.why,
        lasting: odd.fate == Fate::LeftAlone,
    }
}

fn held_settings_are(held: &Held, entry: &Entry) -> bool {
    held.found
        .as_ref()
        .is_some_and(|row| row.settings == entry.settings)
}

fn own(why: &str) -> SourceError {
    SourceError::Own(why.to_owned())
}

fn interval_of(shared: &Shared, noun: Noun) -> Duration {
    let usual = noun.usual_interval().as_secs_f64() / USUAL.as_secs_f64();
    Duration::from_secs(shared.config.poll.interval_secs).mul_f64(usual)
}

fn backoff_of(shared: &Shared) -> Backoff {
    let poll = &shared.config.poll;
    Backoff::new(
        FIRST_PAUSE.min(Duration::from_secs(poll.interval_secs)),
        Duration::from_secs(poll.backoff_max_secs),
    )
}

fn limits_of(shared: &Shared) -> Limits {
    let poll = &shared.config.poll;
    Limits {
        per_page: poll.per_page,
        overlap: Duration::from_secs(poll.overlap_secs),
        in_flight: poll.in_flight,
        walk_pages: poll.walk_pages,
        ..Limits::default()
    }
}
