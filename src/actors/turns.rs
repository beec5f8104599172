//! The turns of an actor that looks for stored work: one look at a time; the next one when something will be due, after a pause
//! when it failed, or at once when it was woken meanwhile.

use std::time::Duration;

use actix::prelude::*;

use super::backoff::Backoff;
use crate::{db::DbResult, domain::time::Micros};

/// Looks by itself after so long: for work that another node was asked for, and a clock that was set.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// See the module.
pub struct Turns {
    is_looking: bool,
    woken_meanwhile: bool,
    timer: Option<SpawnHandle>,
    backoff: Backoff,
}

impl Turns {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            is_looking: false,
            woken_meanwhile: false,
            timer: None,
            backoff: Backoff::for_database(),
        }
    }

    /// Whether a look may begin, which it then does. While one is at work, it is only remembered that another is wanted.
    pub fn begin<A: Actor<Context = Context<A>>>(&mut self, ctx: &mut Context<A>) -> bool {
        if self.is_looking {
            self.woken_meanwhile = true;
            return false;
        }
        self.is_looking = true;
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        true
    }

    /// A look is over; `ran` says when something will be due. How long until the next one; `None`: it is wanted at once.
    pub fn end(&mut self, ran: &DbResult<Option<Micros>>, now: Micros) -> Option<Duration> {
        self.is_looking = false;
        let pause = match ran {
            Ok(next) => {
                self.backoff.succeed();
                next.map_or(LOOK_AGAIN, |next| next.since(now).min(LOOK_AGAIN))
            }
            Err(_) => self.backoff.fail(),
        };
        (!std::mem::take(&mut self.woken_meanwhile)).then(|| pause.max(Duration::from_millis(1)))
    }

    /// The timer of the next look, which one that begins earlier cancels.
    pub fn wait(&mut self, timer: SpawnHandle) {
        self.timer = Some(timer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DbError;

    #[test]
    fn the_next_look_is_when_something_is_due_and_within_half_a_minute() {
        let (mut turns, now) = (Turns::new(), Micros(1_000_000));
        let due = |secs| Ok(Some(now.plus(Duration::from_secs(secs))));
        assert_eq!(turns.end(&due(7), now), Some(Duration::from_secs(7)));
        assert_eq!(turns.end(&due(70), now), Some(LOOK_AGAIN));
        assert_eq!(turns.end(&Ok(None), now), Some(LOOK_AGAIN));
        let overdue = Ok(Some(Micros(0)));
        assert_eq!(turns.end(&overdue, now), Some(Duration::from_millis(1)));
    }

    #[test]
    fn a_look_that_failed_is_made_again_after_a_growing_pause() {
        let (mut turns, now) = (Turns::new(), Micros(0));
        let failed = || Err(DbError::Missing("job"));
        let first = turns.end(&failed(), now);
        assert!(first < turns.end(&failed(), now));
        turns.end(&Ok(None), now);
        assert_eq!(turns.end(&failed(), now), first);
    }

    #[test]
    fn who_was_woken_meanwhile_looks_at_once() {
        let mut turns = Turns::new();
        turns.woken_meanwhile = true;
        assert_eq!(turns.end(&Ok(None), Micros(0)), None);
        assert_eq!(turns.end(&Ok(None), Micros(0)), Some(LOOK_AGAIN));
    }
}
