//! What others ask of a store's poller: look now, at this, or probe again. Kept in memory only: a wish that is lost costs the time
//! until the next poll.

use std::sync::{Mutex, PoisonError};

use crate::domain::store_object::Noun;

/// Objects that may wait to be looked at; beyond that, whole collections are polled instead.
const MOST_HINTS: usize = 500;

/// Something to look at now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// This object, by its token or the shop's id of it.
    Object(Noun, String),
    /// Whatever changed of this kind.
    Collection(Noun),
}

/// What was asked for since the last look.
#[derive(Debug, Default)]
pub struct Asked {
    /// Poll all collections now.
    pub poll: bool,
    /// Find out anew which shop this is.
    pub probe: bool,
    /// Backfills began or ended.
    pub backfills: bool,
    /// Look at these.
    pub hints: Vec<Hint>,
}

/// Where wishes are put; one per store, stays when its poller is replaced.
#[derive(Debug, Default)]
pub struct PollDoor(Mutex<Asked>);

impl PollDoor {
    /// Everything is to be polled now.
    pub fn poll_now(&self) {
        self.with(|asked| asked.poll = true);
    }

    /// The shop is to be probed again.
    pub fn probe_now(&self) {
        self.with(|asked| asked.probe = true);
    }

    /// Backfills began or ended.
    pub fn look_at_backfills(&self) {
        self.with(|asked| asked.backfills = true);
    }

    /// Something is to be looked at.
    pub fn hint(&self, hint: Hint) {
        self.with(|asked| {
            let (Hint::Object(noun, _) | Hint::Collection(noun)) = &hint;
            let whole = Hint::Collection(*noun);
            if asked.hints.contains(&hint) || asked.hints.contains(&whole) {
                return;
            }
            if asked.hints.len() < MOST_HINTS {
                asked.hints.push(hint);
            } else {
                asked.hints.push(whole);
            }
        });
    }

    /// Takes what was asked for.
    #[must_use]
    pub fn take(&self) -> Asked {
        let mut taken = Asked::default();
        self.with(|asked| std::mem::swap(asked, &mut taken));
        taken
    }

    fn with(&self, change: impl FnOnce(&mut Asked)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_hint_is_kept_once_and_a_flood_becomes_a_poll() {
        let door = PollDoor::default();
        for number in 0..2 * MOST_HINTS {
            let hint = || Hint::Object(Noun::Order, format!("R{number}"));
            door.hint(hint());
            door.hint(hint());
        }
        let asked = door.take();
        assert_eq!(asked.hints.len(), MOST_HINTS + 1);
        assert_eq!(asked.hints.last(), Some(&Hint::Collection(Noun::Order)));
        assert!(door.take().hints.is_empty());
    }
}
