//! The heartbeat: when a shop or a collection counts as down, and what is said then.

use crate::{
    db::{Pulse, PulseState},
    domain::{
        event::{Level, NewEvent},
        json::Payload,
        key::StoreKey,
        message::{NewMessage, Source},
        message_type::MessageType,
        reference::About,
        time::Micros,
    },
    sources::SourceError,
};

/// How much a failure says about the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The shop wants to be left alone for a while; it answers.
    None,
    /// It may pass.
    One,
    /// It stays until somebody does something.
    Final,
}

/// How much this failure says.
#[must_use]
pub fn weight(error: &SourceError) -> Weight {
    match error {
        SourceError::RateLimited { .. } | SourceError::Own(_) => Weight::None,
        SourceError::WrongAddress { .. }
        | SourceError::WrongKey { .. }
        | SourceError::Unsupported(_) => Weight::Final,
        _ => Weight::One,
    }
}

/// Whether this failure is the shop's as a whole, so that asking for other collections is of no use.
#[must_use]
pub fn is_of_the_shop(error: &SourceError) -> bool {
    !matches!(
        error,
        SourceError::Forbidden { .. }
            | SourceError::NotFound { .. }
            | SourceError::Refused { .. }
            | SourceError::Malformed { .. }
            | SourceError::Own(_)
    )
}

/// Notes a failure. True when it went down with this one.
pub fn fail(pulse: &mut Pulse, said: &str, weight: Weight, down_after: u32, now: Micros) -> bool {
    pulse.last_failure_at = Some(now);
    pulse.last_error = Some(said.to_owned());
    if weight == Weight::None {
        return false;
    }
    pulse.failures = pulse.failures.saturating_add(1);
    let is_down = weight == Weight::Final || pulse.failures >= down_after;
    if !is_down || pulse.state == PulseState::Down {
        return false;
    }
    pulse.state = PulseState::Down;
    pulse.since = Some(now);
    true
}

/// Notes a success. True when it came up again with this one.
pub fn succeed(pulse: &mut Pulse, now: Micros) -> bool {
    let was = pulse.state;
    pulse.last_success_at = Some(now);
    pulse.failures = 0;
    pulse.last_error = None;
    if was != PulseState::Up {
        pulse.state = PulseState::Up;
        pulse.since = Some(now);
    }
    was == PulseState::Down
}

/// What is said of a change.
#[must_use]
pub fn event(store: StoreKey, shop: &str, pulse: &Pulse) -> NewEvent {
    let what = if pulse.name.is_empty() {
        format!("The shop {shop}")
    } else {
        format!("The {} of the shop {shop}", pulse.name.replace('_', " "))
    };
    let (level, subject, description) = match pulse.state {
        PulseState::Down => (
            Level::Error,
            format!("{what} cannot be polled"),
            format!(
                "{}. It is tried again and again; nothing that changes there meanwhile is lost.",
                pulse.last_error.as_deref().unwrap_or("It does not answer")
            ),
        ),
        _ => (
            Level::Info,
            format!("{what} can be polled again"),
            String::new(),
        ),
    };
    let text = serde_json::json!({"subject": subject, "description": description}).to_string();
    let announce = MessageType::parse(&format!("notification:{}", level.word()))
        .ok()
        .map(|kind| {
            Box::new(NewMessage {
                store,
                kind,
                payload: Payload::from_stored(text),
                about: About::default(),
                source: Source::Hub("poller".into()),
                ancestry: None,
                test: false,
                extra: None,
            })
        });
    NewEvent {
        store,
        level,
        subject,
        description,
        reference: None,
        message: None,
        delivery: None,
        origin: "integrator".into(),
        attributes: None,
        announce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_down_and_coming_up_are_noticed_once_each() {
        let mut pulse = Pulse::default();
        let mut went = Vec::new();
        for at in 0..5 {
            went.push(fail(&mut pulse, "502", Weight::One, 3, Micros(at)));
        }
        assert_eq!(went, [false, false, true, false, false]);
        assert_eq!(pulse.since, Some(Micros(2)));
        assert!(succeed(&mut pulse, Micros(9)));
        assert!(!succeed(&mut pulse, Micros(10)));
        assert_eq!((pulse.failures, pulse.last_error), (0, None));
    }

    #[test]
    fn a_wrong_key_counts_at_once_and_a_rate_limit_never() {
        let mut pulse = Pulse::default();
        let wrong = SourceError::WrongKey { says: "no".into() };
        let limited = SourceError::RateLimited { retry_after: None };
        for _ in 0..9 {
            assert!(!fail(&mut pulse, "429", weight(&limited), 3, Micros(1)));
        }
        assert!(fail(&mut pulse, "401", weight(&wrong), 3, Micros(1)));
    }

    #[test]
    fn the_first_answer_is_no_news() {
        let mut pulse = Pulse::default();
        assert!(!succeed(&mut pulse, Micros(1)));
        assert_eq!(pulse.state, PulseState::Up);
    }
}
