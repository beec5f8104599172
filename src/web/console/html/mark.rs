//! States: one shape and one word each, the same on every page. The shape tells them apart without colour.

use maud::{Markup, PreEscaped, html};

use crate::{
    db::Locator,
    domain::delivery::{ArchiveReason, WaitState},
};

/// What a message or delivery is doing, or what an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Accepted, not yet routed.
    Incoming,
    /// Waits for its first attempt, or its turn.
    Pending,
    /// On its way right now.
    Sending,
    /// Failed, tried again when due.
    Failing,
    /// The endpoint works on it.
    Scheduled,
    /// Waits for a person.
    Parked,
    /// Waits while its mapping is disabled or its endpoint answers nobody.
    Held,
    /// Done.
    Completed,
    /// Nobody got it, for a reason.
    NotSent,
    /// Given up by a person or with its mapping.
    Archived,
}

impl Mark {
    /// The operator's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Incoming => "Incoming",
            Self::Pending => "Pending",
            Self::Sending => "Sending",
            Self::Failing => "Failing",
            Self::Scheduled => "Scheduled",
            Self::Parked => "Parked",
            Self::Held => "Held",
            Self::Completed => "Completed",
            Self::NotSent => "Not sent",
            Self::Archived => "Archived",
        }
    }

    /// The shopkeeper's word.
    #[must_use]
    pub fn shop_word(self) -> &'static str {
        match self {
            Self::Incoming => "Received",
            Self::Pending | Self::Held => "Waiting",
            Self::Sending => "Sending",
            Self::Failing => "Tries again",
            Self::Scheduled => "Being worked on",
            Self::Parked => "Needs a person",
            Self::Completed => "Done",
            Self::NotSent => "Not sent",
            Self::Archived => "Put aside",
        }
    }

    /// Its class in the style sheet.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Incoming => "s-incoming",
            Self::Pending => "s-pending",
            Self::Sending => "s-sending",
            Self::Failing => "s-failing",
            Self::Scheduled => "s-scheduled",
            Self::Parked => "s-parked",
            Self::Held => "s-held",
            Self::Completed => "s-done",
            Self::NotSent | Self::Archived => "s-none",
        }
    }

    /// The shape alone, for places where the word stands beside it anyway.
    #[must_use]
    pub fn shape(self) -> Markup {
        const STROKE: &str = r#"fill="none" stroke="currentColor" stroke-width="1.75""#;
        let inner = match self {
            Self::Incoming => format!(r#"<path d="M2 8h10M8 4l4 4-4 4" {STROKE}/>"#),
            Self::Pending => format!(r#"<circle cx="8" cy="8" r="5.5" {STROKE}/>"#),
            Self::Sending => format!(
                r#"<circle cx="8" cy="8" r="5.5" {STROKE}/><path d="M8 2.5a5.5 5.5 0 0 1 0 11z" fill="currentColor"/>"#
            ),
            Self::Failing => r#"<path d="M8 2 15 14H1z" fill="currentColor"/>"#.to_owned(),
            Self::Scheduled => format!(
                r#"<circle cx="8" cy="8" r="5.5" {STROKE}/><path d="M8 4.5V8l2.5 2" {STROKE}/>"#
            ),
            Self::Parked => {
                r#"<path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor"/>"#.to_owned()
            }
            Self::Held => r#"<path d="M4 3h3v10H4zM9 3h3v10H9z" fill="currentColor"/>"#.to_owned(),
            Self::Completed => format!(r#"<path d="M2.5 8.5 6 12l7.5-8" {STROKE}/>"#),
            Self::NotSent => format!(r#"<path d="M3 8h10" {STROKE}/>"#),
            Self::Archived => format!(r#"<path d="M4 4l8 8M12 4l-8 8" {STROKE}/>"#),
        };
        PreEscaped(format!(
            r#"<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{inner}</svg>"#
        ))
    }

    /// Shape and word.
    #[must_use]
    pub fn show(self) -> Markup {
        html! { span .state .(self.class()) { (self.shape()) (self.word()) } }
    }

    /// Shape and the shopkeeper's word.
    #[must_use]
    pub fn show_shop(self) -> Markup {
        html! { span .state .(self.class()) { (self.shape()) (self.shop_word()) } }
    }
}

/// The state of what is at this place.
#[must_use]
pub fn mark_of(location: Locator) -> Mark {
    match location {
        Locator::Incoming => Mark::Incoming,
        Locator::Routed => Mark::Completed,
        Locator::Accepted(WaitState::Pending) => Mark::Pending,
        Locator::Accepted(WaitState::Failing) => Mark::Failing,
        Locator::Accepted(WaitState::Scheduled) => Mark::Scheduled,
        Locator::Accepted(WaitState::Parked) => Mark::Parked,
        Locator::Accepted(WaitState::Held) => Mark::Held,
        Locator::Archived(ArchiveReason::Completed) => Mark::Completed,
        Locator::Archived(ArchiveReason::NoSubscriber | ArchiveReason::NotWanted) => Mark::NotSent,
        Locator::Archived(_) => Mark::Archived,
    }
}
