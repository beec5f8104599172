//! A timeline as a story in a shop's words: what was placed, who took it, who refused it and why, what comes next.
//!
//! A delivery is one line, however often it was tried: the failures before it are told in it, with the tries counted.

use std::collections::HashMap;

use maud::{Markup, html};

use crate::{
    db::{EventRow, Locator, MessageRef, Timeline, TimelineEntry},
    domain::{
        delivery::{ArchiveReason, Attempt, SkipReason, WaitState},
        event::Level,
        id::Id,
        key::MappingKey,
        message::Source,
        registry::StoreSnapshot,
        time::Micros,
    },
    web::console::{
        html::{Foreign, Mark, Passage, clock, moment, span_words},
        links,
    },
};

/// Lines that stand at both ends when a story is long; the middle is folded.
const ENDS: usize = 25;

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub enum Viewer {
    /// Somebody signed in, who may open messages of this store.
    Person {
        /// The store.
        store: Id,
    },
    /// A frame: no links into the console.
    Frame,
}

struct Line {
    at: Micros,
    mark: Mark,
    words: Markup,
    more: Option<Markup>,
    message: Option<Id>,
}

/// A story, told once, shown wherever.
pub struct Story {
    lines: Vec<Line>,
    open: Vec<(Mark, Markup)>,
    now: Micros,
}

/// The application a mapping belongs to, as people call it: `warehouse.ship` is Warehouse.
fn app(store: &StoreSnapshot, mapping: MappingKey) -> String {
    app_name(
        store
            .mapping_name(mapping)
            .unwrap_or("an application that is gone"),
    )
}

fn app_name(mapping: &str) -> String {
    let name = mapping
        .split('.')
        .next()
        .unwrap_or(mapping)
        .replace('_', " ");
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// `order:new` is "Order placed".
fn happened(kind: &str) -> String {
    let known = match kind {
        "order:new" => "Order placed",
        "order:updated" => "Order changed",
        "order:canceled" | "order:cancelled" => "Order canceled",
        "shipment:ready" => "Shipment ready to be sent",
        "shipment:confirm" | "shipment:shipped" => "Shipment sent",
        "shipment:new" => "Shipment made",
        "payment:new" | "payment:captured" => "Payment received",
        "return_authorization:new" | "return:new" => "Return announced",
        "user:new" => "Customer registered",
        "product:new" => "Product added",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let words = kind.replace(':', " ").replace(['_', '-'], " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

impl Story {
    /// The story of a timeline.
    pub fn of(store: &StoreSnapshot, timeline: &Timeline, now: Micros) -> Self {
        let mut story = Self {
            lines: Vec::new(),
            open: Vec::new(),
            now,
        };
        let mut attempts: HashMap<Id, Vec<&Attempt>> = HashMap::new();
        for entry in &timeline.entries {
            if let TimelineEntry::Attempt {
                delivery_id,
                attempt,
                ..
            } = entry
            {
                attempts.entry(*delivery_id).or_default().push(attempt);
            }
        }
        for entry in &timeline.entries {
            match entry {
                TimelineEntry::Message(message) => story.message(store, message),
                TimelineEntry::Delivery {
                    id,
                    mapping,
                    location,
                    attempts: tries,
                    due_at,
                    last_error,
                    at,
                    completed_at,
                    ..
                } => {
                    let own = attempts.get(id).map(Vec::as_slice).unwrap_or_default();
                    let last = own.last().map_or(*at, |attempt| attempt.started_at);
                    let delivery = Told {
                        id: *id,
                        app: app(store, *mapping),
                        tries: *tries,
                        error: last_error.as_deref(),
                        due_at: *due_at,
                        attempts: own,
                    };
                    story.delivery(&delivery, *location, completed_at.unwrap_or(last));
                }
                TimelineEntry::Event(event) => story.event(event),
                TimelineEntry::Attempt { .. } => {}
            }
        }
        story.lines.sort_by_key(|line| line.at);
        story
    }

    fn message(&mut self, store: &StoreSnapshot, message: &MessageRef) {
        // Notifications stand here as the events that they are.
        if message.kind.starts_with("notification:") {
            return;
        }
        let what = happened(&message.kind);
        let words = match &message.source {
            Source::Consumer(_) => html! { "This led to: " (Foreign(&what)) },
            Source::Endpoint(name) => {
                html! { (Foreign(&app_name(name))) " says: " (Foreign(&what)) }
            }
            Source::Person(name) => html! { (Foreign(&what)) ", by " (Foreign(name)) },
            _ => html! { (Foreign(&what)) },
        };
        self.lines.push(Line {
            at: message.at,
            mark: Mark::Incoming,
            words,
            more: None,
            message: Some(message.id),
        });
        for skip in &message.skipped {
            let app = app(store, skip.mapping);
            let words = html! { "Not sent to " (Foreign(&app)) ": " @match &skip.reason {
                SkipReason::Filtered(filter) => { "its conditions do not hold (" (Foreign(filter)) ")" }
                SkipReason::Duplicate(_) => { "it had this before" }
                SkipReason::Disabled => { "it is switched off" }
            } };
            self.lines.push(Line {
                at: message.at,
                mark: Mark::NotSent,
                words,
                more: None,
                message: Some(message.id),
            });
        }
        if message.location == Locator::Archived(ArchiveReason::NoSubscriber) {
            self.lines.push(Line {
                at: message.at,
                mark: Mark::NotSent,
                words: html! { "Not sent: no application listens to this" },
                more: None,
                message: Some(message.id),
            });
        }
    }

    fn delivery(&mut self, told: &Told<'_>, location: Locator, at: Micros) {
        let Told { app, tries, .. } = told;
        let error = html! { (Foreign(told.error.unwrap_or("no reason was given"))) };
        let failed = told
            .attempts
            .iter()
            .filter(|attempt| !attempt.error.is_empty())
            .count();
        let times = html! { @if *tries > 1 { " (" (tries) " tries)" } };
        let due = told
            .due_at
            .map(|due| html! { " in " (span_words(due.since(self.now))) " (" (clock(due)) ")" });
        let due = due.unwrap_or_default();
        let (mark, words, open) = match location {
            Locator::Accepted(WaitState::Pending) if *tries > 0 => (
                Mark::Sending,
                html! { "Sending to " (Foreign(app)) " again" },
                Some(html! { (Foreign(app)) " is tried again" }),
            ),
            Locator::Accepted(WaitState::Pending) => (
                Mark::Pending,
                html! { "Waits to be sent to " (Foreign(app)) },
                Some(html! { "Waits to be sent to " (Foreign(app)) }),
            ),
            Locator::Accepted(WaitState::Failing) => (
                Mark::Failing,
                html! { (Foreign(app)) " refused: " (error) (times) ". Tries again" (due) },
                Some(html! { (Foreign(app)) " tries again" (due) }),
            ),
            Locator::Accepted(WaitState::Scheduled) => (
                Mark::Scheduled,
                html! { (Foreign(app)) " works on it, asked again" (due) },
                Some(html! { (Foreign(app)) " works on it" }),
            ),
            Locator::Accepted(WaitState::Parked) => (
                Mark::Parked,
                html! { (Foreign(app)) ": " (error) (times) ". Needs a person" },
                Some(html! { (Foreign(app)) " needs a person" }),
            ),
            Locator::Accepted(WaitState::Held) => (
                Mark::Held,
                html! { (Foreign(app)) " is switched off; it waits" },
                Some(html! { (Foreign(app)) " is switched off" }),
            ),
            Locator::Archived(ArchiveReason::Completed) => (
                Mark::Completed,
                html! { (Foreign(app)) " took it" @if failed > 0 { " after " (failed) @if failed == 1 { " refusal" } @else { " refusals" } } },
                None,
            ),
            Locator::Archived(ArchiveReason::Archived) => (
                Mark::Archived,
                html! { "Put aside for " (Foreign(app)) " by a person" },
                None,
            ),
            Locator::Archived(ArchiveReason::Erased) => (
                Mark::Archived,
                html! { "Not sent to " (Foreign(app)) ": it was erased on request" },
                None,
            ),
            Locator::Archived(_) => (
                Mark::Archived,
                html! { "Not sent to " (Foreign(app)) ": it was removed" },
                None,
            ),
            Locator::Incoming | Locator::Routed => return,
        };
        if let Some(open) = open {
            self.open.push((mark, open));
        }
        self.lines.push(Line {
            at,
            mark,
            words,
            more: told.failures(),
            message: Some(told.id),
        });
    }

    fn event(&mut self, event: &EventRow) {
        let times = html! { @if event.occurrences > 1 { " (" (event.occurrences) " times)" } };
        let app = if event.origin == "integrator" {
            "Integrator".to_owned()
        } else {
            app_name(&event.origin)
        };
        let (mark, words) = match event.level {
            Level::Info => (
                Mark::Completed,
                html! { (Foreign(&app)) ": " (Foreign(&event.subject)) (times) },
            ),
            Level::Warn => (
                Mark::Failing,
                html! { "Warning from " (Foreign(&app)) ": " (Foreign(&event.subject)) (times) },
            ),
            Level::Error => (
                Mark::Parked,
                html! { "Problem at " (Foreign(&app)) ": " (Foreign(&event.subject)) (times) },
            ),
        };
        let more = (!event.description.is_empty() && event.description != event.subject)
            .then(|| html! { p { (Passage(&event.description, 1_000)) } });
        self.lines.push(Line {
            at: event.last_at,
            mark,
            words,
            more,
            message: event.message_id,
        });
    }

    /// What is going on now; what is done when nothing is.
    pub fn now(&self, _viewer: Viewer) -> Markup {
        let worst = if self.open.iter().any(|(mark, _)| *mark == Mark::Parked) {
            "bad"
        } else {
            ""
        };
        html! {
            @if !self.lines.is_empty() {
                div .notice .now .(if self.open.is_empty() { "good" } else { worst }) {
                    @if self.open.is_empty() { span .s-done { (Mark::Completed.shape()) } p { "Everything is done." } }
                    @else { ul aria-label="Now" { @for (mark, words) in self.open.iter().take(12) { li .(mark.class()) { (mark.shape()) span { (words) } } } } }
                }
            }
        }
    }

    /// The story itself, oldest first.
    pub fn list(&self, viewer: Viewer) -> Markup {
        let folded = self.lines.len() > 2 * ENDS;
        html! {
            @if folded {
                ol { @for line in self.lines.iter().take(ENDS) { (self.line(line, viewer)) } }
                details #middle { summary { (self.lines.len() - 2 * ENDS) " more in between" } ol { @for line in self.lines.iter().skip(ENDS).take(self.lines.len() - 2 * ENDS) { (self.line(line, viewer)) } } }
                ol { @for line in self.lines.iter().skip(self.lines.len() - ENDS) { (self.line(line, viewer)) } }
            } @else { ol { @for line in &self.lines { (self.line(line, viewer)) } } }
        }
    }

    fn line(&self, line: &Line, viewer: Viewer) -> Markup {
        let today = line.at.date().date_naive() == self.now.date().date_naive();
        html! {
            li {
                time datetime=(line.at.rfc3339()) title=(moment(line.at)) { @if !today { span .day { (line.at.date().format("%-d %b")) } " " } (clock(line.at)) }
                span .knot .(line.mark.class()) title=(line.mark.shop_word()) { (line.mark.shape()) span .unseen { (line.mark.shop_word()) ": " } }
                div {
                    (line.words)
                    @if let (Viewer::Person { store }, Some(id)) = (viewer, line.message) { " " a .meta href=(links::message(store, id)) { "open" } }
                    @if let Some(more) = &line.more { details { summary .meta { "details" } (more) } }
                }
            }
        }
    }
}

struct Told<'a> {
    id: Id,
    app: String,
    tries: u32,
    error: Option<&'a str>,
    due_at: Option<Micros>,
    attempts: &'a [&'a Attempt],
}

impl Told<'_> {
    /// The tries, when there was more than the one that worked.
    fn failures(&self) -> Option<Markup> {
        let failed = self
            .attempts
            .iter()
            .any(|attempt| !attempt.error.is_empty());
        failed.then(|| {
            html! {
                ul { @for attempt in self.attempts.iter().take(30) { li {
                    (clock(attempt.started_at)) " "
                    @if attempt.error.is_empty() { "answered" } @else { (Foreign(&attempt.error)) }
                } } }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_in_words() {
        assert_eq!(happened("order:new"), "Order placed");
        assert_eq!(happened("stock_item:change"), "Stock item change");
        assert_eq!(app_name("warehouse.ship"), "Warehouse");
    }
}
