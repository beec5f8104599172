//! Acting on many deliveries: first a page that counts, then a stored job that can be undone.
//!
//! The count is of exactly what will be touched: rows that were checked, or all that match the filters and are not newer than the newest
//! row there was when they were counted. When the same question has more rows at the time of the deed, it is asked again.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::{
    db::{JobCount, JobQuery, JobQuestion, Locator, Queue, QueueRow},
    domain::{
        delivery::ArchiveReason,
        id::Id,
        job::{FASTEST, Job, JobKind, MOST_NAMED, NewJob},
        registry::StoreSnapshot,
    },
    web::{
        api::jobs::{MOST_OPEN, nothing, queue_of},
        console::{
            ConsoleState, go_to,
            html::{Foreign, Frame, When, hidden, mark_of},
            links, ok,
            once::FormUse,
            people::{Fields, Person, Post, Refusal},
        },
    },
};

use super::queues::{FILTERS, Question, count_words, kept, question, queue_of as queue_named};

/// Deliveries that the count page shows as examples.
const SAMPLES: usize = 5;

/// What is asked, from the address and the form.
struct Asked {
    kind: JobKind,
    /// The queue's name in addresses.
    place: &'static str,
    /// The store and filters of the address.
    query: Fields,
    /// Rows that were checked; `None`: all that match.
    ids: Option<Vec<Id>>,
    /// The newest row counted before.
    bound: Option<i64>,
    /// How many were counted before.
    counted: Option<u64>,
}

impl Asked {
    fn read(place: &str, query: Fields, fields: &Fields) -> Result<Self, Refusal> {
        let (queue, place) = queue_named(place).ok_or(Refusal::Missing("queue to act on"))?;
        let word = fields.get("action");
        let kind = JobKind::ALL
            .into_iter()
            .find(|kind| kind.word() == word && queue_of(*kind) == queue)
            .ok_or_else(|| Refusal::Unreadable("The form says no action of this queue".into()))?;
        let ids = (fields.get("which") != "all").then(|| {
            let ids = fields.all("id").filter_map(|id| id.parse().ok());
            ids.take(MOST_NAMED).collect()
        });
        Ok(Self {
            kind,
            place,
            query,
            ids,
            bound: fields.get("bound").parse().ok(),
            counted: fields.get("count").parse().ok(),
        })
    }

    fn queue(&self) -> Queue {
        queue_of(self.kind)
    }

    fn back(&self) -> String {
        links::with(
            &format!("/console/queues/{}", self.place),
            &kept(&self.query),
        )
    }

    /// All that the queue holds: nothing narrows it.
    fn is_whole(&self) -> bool {
        self.ids.is_none() && FILTERS.iter().all(|name| self.query.some(name).is_none())
    }

    /// What the job stores of the question, for people.
    fn words(&self) -> String {
        let mut words = Map::new();
        match &self.ids {
            Some(ids) => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                words.insert("ids".into(), Value::from(ids));
            }
            None => {
                for (name, value) in kept(&self.query) {
                    if name != "store" && !value.is_empty() {
                        words.insert(name.into(), Value::from(value));
                    }
                }
            }
        }
        Value::Object(words).to_string()
    }

    async fn job_question(
        &self,
        person: &Person,
        store: &StoreSnapshot,
    ) -> Result<JobQuestion, Refusal> {
        let nothing = nothing(store.store.key, self.kind);
        let mut asked = match &self.ids {
            Some(ids) => JobQuestion {
                ids: Some(ids.clone()),
                ..nothing
            },
            None => {
                let types = person.hub.backend().message_types(store.store.key).await?;
                let mut pairs = self.query.clone();
                pairs.0.retain(|(name, _)| name != "after");
                match question(&pairs, self.queue(), &types, store) {
                    Question::Rows(query) => JobQuestion {
                        query: *query,
                        ids: None,
                        ..nothing
                    },
                    Question::Nothing => nothing,
                    Question::Wrong(problems) => {
                        return Err(Refusal::Unreadable(problems.join("; ")));
                    }
                }
            }
        };
        asked.upper = self.bound;
        Ok(asked)
    }
}

/// `POST /console/queues/:queue` with the filters in the address, `which` and `id` in the form, and `step` `count` or `do`.
pub async fn act(
    post: Post,
    place: web::Path<String>,
    request: HttpRequest,
    state: web::Data<ConsoleState>,
) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let query = Fields::read(request.query_string());
    let store = person.store(query.some("store"))?;
    person.admin(store.store.key)?;
    let asked = Asked::read(&place, query, &fields)?;
    let question = asked.job_question(&person, &store).await?;
    let backend = person.hub.backend();
    let counted = backend.job_count(question.clone(), person.now).await?;
    let doubt = match (fields.get("step"), asked.counted) {
        ("do", Some(before)) => {
            if counted.count() > before {
                Some("More match now than when you were asked. Please look again.")
            } else if asked.is_whole() && !is_number(fields.get("typed"), counted.count()) {
                Some("Nothing narrows this down: type the number to say that you mean all of it.")
            } else {
                return begin(&person, &store, &asked, counted, &fields, &state).await;
            }
        }
        _ => None,
    };
    let samples = samples(&person, &asked, &question).await?;
    let page = CountPage {
        person: &person,
        store: &store,
        asked: &asked,
        counted: &counted,
        samples: &samples,
        per_sec: fields
            .get("rate")
            .parse()
            .unwrap_or(person.hub.config().jobs.rate_per_sec),
        doubt,
    };
    let frame = Frame {
        title: title(asked.kind),
        person: &person,
        store: Some(&store),
        place: "/queues/accepted",
        notice: None,
        live: false,
    };
    Ok(ok(frame.around(page.show())))
}

/// What an action is called on buttons and pages.
pub fn title(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Retry => "Try now",
        JobKind::Archive => "Archive",
        JobKind::Replay => "Send again",
    }
}

/// `1,204 deliveries`
pub fn deliveries(count: u64) -> String {
    let noun = if count == 1 { "delivery" } else { "deliveries" };
    format!("{} {noun}", count_words(count))
}

fn is_number(typed: &str, count: u64) -> bool {
    typed.replace([',', ' ', '.'], "").parse() == Ok(count)
}

/// A few of the rows that would be touched, newest first.
async fn samples(
    person: &Person,
    asked: &Asked,
    question: &JobQuestion,
) -> Result<Vec<QueueRow>, Refusal> {
    let backend = person.hub.backend();
    let mut query = question.query.clone();
    query.queue = asked.queue();
    let mut rows = Vec::new();
    match &question.ids {
        Some(ids) => {
            query.limit = 1;
            for id in ids.iter().take(SAMPLES) {
                query.message = Some(*id);
                let page = backend.queue_list(query.clone()).await?;
                rows.extend(page.rows.into_iter().filter(|row| row.id == *id));
            }
        }
        None => {
            query.limit = 10 * SAMPLES;
            rows = backend.queue_list(query).await?.rows;
        }
    }
    rows.retain(|row| {
        let fits = match row.location {
            Locator::Accepted(state) => asked.kind.acts_on(state),
            _ => row.mapping.is_some(),
        };
        fits && asked.bound.is_none_or(|bound| row.page_key.0 <= bound)
    });
    rows.truncate(SAMPLES);
    Ok(rows)
}

struct CountPage<'a> {
    person: &'a Person,
    store: &'a StoreSnapshot,
    asked: &'a Asked,
    counted: &'a JobCount,
    samples: &'a [QueueRow],
    per_sec: u32,
    doubt: Option<&'a str>,
}

impl CountPage<'_> {
    fn show(&self) -> Markup {
        let (kind, count) = (self.asked.kind, self.counted.count());
        let back = self.asked.back();
        let mut by_mapping: BTreeMap<&str, u64> = BTreeMap::new();
        let mut delivered = 0;
        for group in &self.counted.groups {
            let name = self.store.mapping_name(group.mapping);
            *by_mapping
                .entry(name.unwrap_or("a mapping that is gone"))
                .or_default() += group.count;
            if group.location == Locator::Archived(ArchiveReason::Completed) {
                delivered += group.count;
            }
        }
        html! {
            p .crumbs { a href=(back) { "Back to the queue" } }
            h1 { (title(kind)) ": " (deliveries(count)) }
            @if let Some(doubt) = self.doubt { div .notice .warn role="alert" { p { (doubt) } } }
            @if count == 0 {
                p { "None of them can be " @match kind { JobKind::Retry => "tried", JobKind::Archive => "archived", JobKind::Replay => "sent again" } " now." }
                a .button href=(back) { "Back" }
            } @else {
                section .panel {
                    h2 { "To whom" }
                    ul { @for (name, count) in by_mapping { li { (Foreign(name)) ": " (count_words(count)) } } }
                    @if delivered > 0 { p { strong { (count_words(delivered)) " of them were delivered before." } " Their endpoints get them a second time." } }
                    h2 { "For example" }
                    ul .family { @for row in self.samples { (self.sample(row)) } }
                    p { (meaning(kind)) }
                    (self.form(&back, count))
                }
            }
        }
    }

    fn sample(&self, row: &QueueRow) -> Markup {
        html! {
            li {
                (mark_of(row.location).show()) " "
                a href=(links::message(self.store.store.id, row.id)) { (Foreign(&row.kind)) } " "
                @if let Some(object) = &row.object { (Foreign(&object.to_string())) } " "
                span .meta { (When { at: row.created_at, now: self.person.now }) }
            }
        }
    }

    fn form(&self, back: &str, count: u64) -> Markup {
        let kind = self.asked.kind;
        let once = hex::encode(rand::random::<[u8; 12]>());
        let undo = self.person.hub.config().jobs.undo_secs;
        html! {
            form method="post" action=(back) {
                (hidden("form_token", &self.person.form_token)) (hidden("step", "do")) (hidden("once", &once))
                (hidden("bound", &self.counted.chosen.upper.to_string())) (hidden("count", &count.to_string()))
                @match &self.asked.ids {
                    Some(ids) => { (hidden("which", "checked")) @for id in ids { (hidden("id", &id.to_string())) } }
                    None => { (hidden("which", "all")) }
                }
                div .field {
                    label for="rate" { "At most so many a second" }
                    input #rate name="rate" type="number" min="1" max=(FASTEST) value=(self.per_sec);
                }
                @if self.asked.is_whole() {
                    div .field {
                        label for="typed" { "No filter is set: this is everything. Type the number " (count) }
                        input #typed name="typed" inputmode="numeric" autocomplete="off" required;
                    }
                }
                p .muted { "It begins after " (undo) " s; until then it can be undone." }
                div .actions { button .main name="action" value=(kind.word()) { (title(kind)) " (" (count_words(count)) ")" } a .button href=(back) { "Do nothing" } }
            }
        }
    }
}

fn meaning(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Retry => {
            "Each goes to the end of its lane and is tried at once, within the endpoint's limits, its failures counted anew."
        }
        JobKind::Archive => "Each leaves the queue undelivered. What it claimed is free again.",
        JobKind::Replay => {
            "Each is sent again as a new delivery, to its mapping as it is now, within the endpoint's limits. Identifiers are not asked again."
        }
    }
}

async fn begin(
    person: &Person,
    store: &StoreSnapshot,
    asked: &Asked,
    counted: JobCount,
    fields: &Fields,
    state: &ConsoleState,
) -> Result<HttpResponse, Refusal> {
    // A form that was sent twice is one wish.
    let once = fields.get("once");
    if let FormUse::Again(made) = state.once.take(once) {
        let made = made.and_then(|id| id.parse().ok());
        return Ok(go_to(&made.map_or_else(
            || format!("/console/actions?store={}", store.store.id),
            |id| links::action(store.store.id, id),
        )));
    }
    let begun = ask(person, store, asked, counted, fields).await;
    let made = begun.as_ref().ok().map(|job| job.id.to_string());
    state.once.keep(once, made);
    Ok(go_to(&links::action(store.store.id, begun?.id)))
}

async fn ask(
    person: &Person,
    store: &StoreSnapshot,
    asked: &Asked,
    counted: JobCount,
    fields: &Fields,
) -> Result<Job, Refusal> {
    let open = JobQuery {
        stores: Some(vec![store.store.key]),
        kinds: JobKind::ALL.to_vec(),
        id: None,
        open: true,
        after: None,
        limit: usize::from(u16::MAX),
    };
    if person.hub.backend().job_list(open).await?.len() >= MOST_OPEN {
        return Err(Refusal::Unreadable(format!(
            "{MOST_OPEN} actions of this store are waiting or running; let some end first"
        )));
    }
    let usual = &person.hub.config().jobs;
    let rate = fields.get("rate").parse().unwrap_or(usual.rate_per_sec);
    let new = NewJob {
        store: store.store.key,
        kind: asked.kind,
        count: counted.count(),
        chosen: counted.chosen,
        asked: asked.words(),
        per_sec: rate.clamp(1, FASTEST),
        who: person.name().to_owned(),
        begins_at: person.now.plus(Duration::from_secs(usual.undo_secs)),
    };
    Ok(person.hub.job_begin(new).await?)
}
