//! How a store's shop answers: what the probe found, the pulse of each collection, backfills, documents set aside.

use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    db::{Backfill, BackfillState, PollJob, PollState, Pulse, PulseState, SetAsideRow},
    domain::{registry::StoreSnapshot, store_object::Noun, time::Micros},
    sources::Found,
    web::console::{
        html::{Foreign, Mark, Problems, When, check_box, hidden, text_field},
        pages::queues::count_words,
        people::{Fields, Person, Refusal},
    },
};

use super::form::source_words;

/// Documents set aside that the page shows.
const SET_ASIDE: usize = 20;

/// What is known of a store's shop.
pub struct Shop {
    /// Whether it is polled at all.
    pub polled: bool,
    state: PollState,
    found: Option<Found>,
    report: Report,
    set_aside: Vec<SetAsideRow>,
    /// The probe's row is about the shop as it is entered now.
    is_current: bool,
}

/// What a probe told, as it was stored.
#[derive(Debug, Default, Deserialize)]
struct Report {
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    cautions: Vec<String>,
    #[serde(default)]
    problem: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Step {
    asked: String,
    seen: String,
    meaning: String,
}

/// Whether a probe has told anything about the shop as it is entered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is under way, or about to begin.
    NotYet,
    /// It knows the shop.
    Known,
    /// The shop cannot be polled like this.
    Refused,
}

impl Shop {
    /// Reads it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn read(person: &Person, store: &StoreSnapshot) -> Result<Self, Refusal> {
        let key = store.store.key;
        let polled = person.hub.is_polled(key);
        let backend = person.hub.backend();
        let state = backend.poll_state(key).await?;
        let set_aside = backend.set_aside_list(key, None, SET_ASIDE + 1).await?;
        let row = state.found.as_ref();
        let found = row
            .and_then(|row| row.found.as_deref())
            .and_then(|text| serde_json::from_str(text).ok());
        let report = row
            .and_then(|row| serde_json::from_str(&row.report).ok())
            .unwrap_or_default();
        let is_current = row.is_some_and(|row| person.hub.is_probed(key, row));
        Ok(Self {
            polled,
            state,
            found,
            report,
            set_aside,
            is_current,
        })
    }

    /// The heartbeat of the shop as a whole.
    pub fn pulse(&self) -> Option<&Pulse> {
        self.state.pulses.iter().find(|pulse| pulse.name.is_empty())
    }

    /// Whether a probe has told something about the shop as it is entered now.
    pub fn asked(&self) -> Asked {
        match (self.is_current, &self.report.problem) {
            (false, _) => Asked::NotYet,
            (true, Some(_)) => Asked::Refused,
            (true, None) => Asked::Known,
        }
    }

    /// The collections that are polled, or were.
    fn nouns(&self) -> Vec<Noun> {
        let seen = |noun: &Noun| {
            self.state.cursors.iter().any(|cursor| cursor.noun == *noun)
                || (self.state.pulses.iter()).any(|pulse| pulse.name == noun.collection())
        };
        Noun::ALL.into_iter().filter(seen).collect()
    }

    fn mark(&self, noun: Noun, job: PollJob) -> Option<Micros> {
        let mut cursors = self.state.cursors.iter();
        cursors
            .find(|cursor| cursor.noun == noun && cursor.job == job)
            .and_then(|cursor| cursor.mark)
            // An empty collection is read from the beginning of time.
            .filter(|mark| mark.0 > 0)
    }

    /// What it was found to be, in words.
    pub fn found_words(&self) -> Option<&str> {
        self.found.as_ref().map(|found| source_words(found.name()))
    }
}

/// A heartbeat as a shape and a word.
pub fn pulse_mark(pulse: Option<&Pulse>) -> Markup {
    let (mark, word) = match pulse {
        Some(Pulse {
            state: PulseState::Up,
            ..
        }) => (Mark::Completed, "Answers"),
        Some(Pulse {
            state: PulseState::Down,
            ..
        }) => (Mark::Parked, "Down"),
        Some(Pulse { failures, .. }) if *failures > 0 => (Mark::Failing, "Failed, is tried again"),
        _ => (Mark::Pending, "Not asked yet"),
    };
    html! { span .state .(mark.class()) { (mark.shape()) (word) } }
}

/// What the probe found, step by step.
pub fn findings(shop: &Shop, now: Micros) -> Markup {
    let asked = shop.asked();
    html! {
        @if asked == Asked::NotYet {
            p .state .s-sending { (Mark::Sending.shape()) "The shop is being asked which one it is..." }
            @if let Some(error) = shop.pulse().and_then(|pulse| pulse.last_error.as_ref()) { p { "So far: " (Foreign(error)) } }
        } @else {
            ol .checks {
                @for (at, step) in shop.report.steps.iter().enumerate() {
                    @let last = at + 1 == shop.report.steps.len() && asked == Asked::Known;
                    li {
                        span .(if last { "s-done" } else { "muted" }) { @if last { (Mark::Completed.shape()) } @else { (Mark::NotSent.shape()) } }
                        div { p { span .mono { "GET " (Foreign(&step.asked)) } ": " (Foreign(&step.seen)) } p .meta { (Foreign(&step.meaning)) } }
                    }
                }
            }
            @match (&shop.report.problem, &shop.found) {
                (Some(problem), _) => { div .notice .bad { span .s-parked { (Mark::Parked.shape()) } p { strong { "It cannot be polled like this:" } " " (Foreign(problem)) } } }
                (None, Some(found)) => { div .notice .good { span .s-done { (Mark::Completed.shape()) } p { "It is polled as: " strong { (source_words(found.name())) } "." } } }
                (None, None) => {}
            }
            @for caution in &shop.report.cautions { div .notice .warn { span .s-failing { (Mark::Failing.shape()) } p { (Foreign(&sentence(caution))) } } }
            @if let Some(row) = &shop.state.found { p .meta { "Asked " (When { at: row.probed_at, now }) } }
        }
    }
}

/// A text with a capital at its beginning and a full stop at its end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let stop = if text.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{first}{}{stop}", letters.as_str())
}

/// The heartbeats of the shop and its collections.
pub fn pulses(shop: &Shop, now: Micros) -> Markup {
    let whole = shop.pulse();
    let is_down = whole.is_some_and(|pulse| pulse.state == PulseState::Down);
    html! {
        p { (pulse_mark(whole)) @if let Some(since) = whole.and_then(|pulse| pulse.since) { span .muted { " since " (When { at: since, now }) } } }
        @if let Some(pulse) = whole.filter(|pulse| pulse.state != PulseState::Up)
            && let Some(error) = &pulse.last_error {
            div .notice .bad { span .s-parked { (Mark::Parked.shape()) } div {
                p { (Foreign(error)) }
                p .muted { "It is tried again with growing pauses. Nothing that changes meanwhile is lost." }
            } }
        }
        @let nouns = shop.nouns();
        @if nouns.is_empty() { p .muted { "Nothing was read of it yet." } } @else {
            table .cards {
                thead { tr { th scope="col" { "Collection" } th scope="col" { "Pulse" } th scope="col" { "Read up to" } th scope="col" { "Last answer" } th scope="col" { "Last failure" } } }
                tbody { @for noun in nouns {
                    @let own = shop.state.pulses.iter().find(|pulse| pulse.name == noun.collection());
                    tr {
                        td { (noun.collection()) }
                        td { @if is_down { (pulse_mark(whole)) } @else { (pulse_mark(own)) } }
                        td data-label="read up to" { @match shop.mark(noun, PollJob::Live) { Some(at) => { (When { at, now }) } None => { "-" } } }
                        td data-label="last answer" { @match own.and_then(|own| own.last_success_at) { Some(at) => { (When { at, now }) } None => { "-" } } }
                        td data-label="last failure" { @match own.and_then(|own| own.last_failure_at) { Some(at) => { (When { at, now }) @if let Some(error) = own.and_then(|own| own.last_error.as_ref()) { span .meta { (Foreign(error)) } } } None => { "-" } } }
                    }
                } }
            }
            p .meta { "\"Read up to\" is the newest change read, in the shop's own time." }
        }
    }
}

/// Documents that could not be read; nothing when there are none.
pub fn set_aside(shop: &Shop, now: Micros) -> Markup {
    html! {
        @if !shop.set_aside.is_empty() {
            h3 { "Documents set aside" }
            p .muted { "They could not be read. The rest went on." }
            table .cards {
                thead { tr { th scope="col" { "Object" } th scope="col" { "Why" } th scope="col" { "Times" } th scope="col" { "Last" } } }
                tbody { @for row in shop.set_aside.iter().take(SET_ASIDE) { tr {
                    td { (Foreign(&row.noun)) " " (Foreign(&row.token)) }
                    td { (Foreign(&row.why)) span .meta { @if row.lasting { "left alone until it changes" } @else { "tried again with the next polls" } } }
                    td data-label="times" { (row.occurrences) }
                    td { (When { at: row.last_at, now }) }
                } } }
            }
            @if shop.set_aside.len() > SET_ASIDE { p .meta { "The newest " (SET_ASIDE) "; the API lists all of them." } }
        }
    }
}

/// How far each backfill is.
pub fn backfills(person: &Person, shop: &Shop, address: &str, may: bool) -> Markup {
    let now = person.now;
    html! {
        @if shop.state.backfills.is_empty() { p .muted { "None yet. The first poll starts from now; a backfill tells the past." } } @else {
            table .cards {
                thead { tr { th scope="col" { "Since" } th scope="col" { "Of" } th scope="col" { "State" } th scope="col" { "Progress" } th .number scope="col" { "Documents" } th .number scope="col" { "Messages" } th .number scope="col" { "Requests" } th scope="col" { span .unseen { "Actions" } } } }
                tbody { @for backfill in shop.state.backfills.iter().take(20) { tr {
                    td { (backfill.job.since.date().format("%Y-%m-%d")) }
                    td { @for noun in &backfill.job.nouns { (noun.collection()) " " } }
                    td { (state_of(backfill.state)) @if let Some(at) = backfill.ended_at { span .meta { (When { at, now }) } } @else { span .meta { "begun " (When { at: backfill.created_at, now }) } } }
                    td data-label="progress" { (progress(shop, backfill)) }
                    td .number data-label="documents" { (count_words(backfill.documents)) }
                    td .number data-label="messages" { (count_words(backfill.messages)) }
                    td .number data-label="requests" { (count_words(backfill.requests)) }
                    td { @if may && backfill.state == BackfillState::Running { form method="post" action=(address) {
                        (hidden("form_token", &person.form_token)) (hidden("backfill", &backfill.id.to_string()))
                        button name="action" value="stop_backfill" { "Stop" }
                    } } }
                } } }
            }
        }
    }
}

fn state_of(state: BackfillState) -> Markup {
    let (mark, word) = match state {
        BackfillState::Running => (Mark::Sending, "At work"),
        BackfillState::Done => (Mark::Completed, "Done"),
        BackfillState::Stopped => (Mark::Archived, "Stopped"),
    };
    html! { span .state .(mark.class()) { (mark.shape()) (word) } }
}

/// Which share of the asked-for time was read, in hundredths; `None` while nothing was.
fn share(shop: &Shop, backfill: &Backfill) -> Option<u32> {
    if backfill.state == BackfillState::Done {
        return Some(100);
    }
    let whole = backfill.created_at.since(backfill.job.since).as_secs_f64();
    let (mut sum, mut known) = (0.0, false);
    for noun in &backfill.job.nouns {
        let mut cursors = shop.state.cursors.iter();
        let own = cursors
            .find(|cursor| cursor.noun == *noun && cursor.job == PollJob::Backfill(backfill.key));
        sum += match own {
            Some(cursor) if cursor.done => 1.0,
            Some(cursor) if whole > 0.0 => cursor
                .mark
                .map_or(0.0, |mark| {
                    mark.since(backfill.job.since).as_secs_f64() / whole
                })
                .clamp(0.0, 1.0),
            _ => 0.0,
        };
        known |= own.is_some();
    }
    let mean = sum / backfill.job.nouns.len().max(1) as f64;
    // Between 0 and 100, so nothing is cut off.
    known.then_some((mean * 100.0).floor() as u32)
}

fn progress(shop: &Shop, backfill: &Backfill) -> Markup {
    html! {
        @match share(shop, backfill) {
            Some(share) => { span .share { progress max="100" value=(share) aria-label=(format!("{share} percent of the time asked for")) {} (share) " %" } }
            None => { "-" }
        }
    }
}

/// The form that begins a backfill.
pub fn backfill_form(
    person: &Person,
    shop: &Shop,
    address: &str,
    typed: &Fields,
    problems: &Problems,
) -> Markup {
    let known = shop.nouns();
    let nouns = if known.is_empty() {
        vec![Noun::Order]
    } else {
        known
    };
    let begun = typed.some("since").is_some();
    html! {
        details .fold open[!problems.is_empty()] { summary { "Begin a backfill" }
            form method="post" action=(address) {
                (problems.summary()) (hidden("form_token", &person.form_token))
                (text_field("since", "Everything that changed since", "date", typed.get("since"), "A date in the shop's time. What the hub has seen and has not changed makes no message.", problems))
                fieldset { legend { "Of" } @for noun in nouns { (check_box("collections", noun.collection(), noun.collection(), if begun { typed.all("collections").any(|name| name == noun.collection()) } else { noun == Noun::Order })) } }
                (text_field("per_minute", "Requests a minute, at most", "number", typed.get("per_minute"), &format!("Empty: {}. It runs beside the poll.", person.hub.config().poll.backfill_per_minute), problems))
                button .main name="action" value="backfill" { "Begin" }
            }
        }
    }
}
