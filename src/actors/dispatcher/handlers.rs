//! What a dispatcher is told, and what it makes of it. Everything ends in [`Dispatcher::pump`].

use actix::prelude::*;

use super::{
    super::{
        bell::Wake,
        tray::{Collect, Tray},
        vitals::Ping,
    },
    Dispatcher, Forget, Life, Retire, SET_ASIDE,
    attempt::Verdict,
    report::{Answered, AttemptTold, Note, Noted, Told},
};
use crate::{actors::BreakerState, db::SettleOutcome, domain::delivery::Delivery};

impl Handler<Wake> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.ringing.answer();
        self.more = true;
        self.pump(ctx);
    }
}

impl Handler<Collect> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: Collect, ctx: &mut Self::Context) {
        self.pump(ctx);
    }
}

impl Dispatcher {
    /// Takes up what ended attempts and the Settler have told. Returns false when another dispatcher has taken over.
    pub(super) fn take_up_told(&mut self) -> bool {
        self.tray.take().into_iter().all(|told| match told {
            Told::Answered(answered) => {
                self.take_up_answer(answered);
                true
            }
            Told::Noted(noted) => self.take_up_note(noted),
            Told::Fresh(fresh) => {
                self.take_up_fresh(fresh);
                true
            }
        })
    }

    /// Takes in what was accepted just now, unless something older may be due that was not read: then it is read with that, in its turn. A
    /// read that runs already may see a fresh delivery long after it is done, and one that has run may have brought it already; then
    /// nothing is taken in, and the next read shows what is left. Where mappings have shares, half of the window is left to reads.
    fn take_up_fresh(&mut self, fresh: Vec<Delivery>) {
        let is_current = matches!(self.life, Life::Serving { .. }) && !self.more && !self.reading;
        let is_news = fresh.iter().all(|one| one.key > self.newest);
        let leaves_half = || self.window.waiting() + fresh.len() <= self.window.size() / 2;
        let fits = fresh.len() <= self.window.room() && (self.shares.are_none() || leaves_half());
        if is_current && is_news && fits {
            self.hold(fresh);
        } else {
            self.more = true;
        }
    }

    fn take_up_answer(&mut self, answered: Answered) {
        let Answered {
            key,
            verdict,
            told,
            took,
            settler,
        } = answered;
        // It has ended.
        self.tasks.remove(&key);
        self.window.settle(key, settler);
        let now = self.shared.now();
        match verdict {
            Verdict::Well => {
                if self.breaker.state() != BreakerState::Closed {
                    log::info!(endpoint = self.endpoint.0; "the breaker closes: the endpoint answers again");
                }
                self.breaker.succeed();
            }
            Verdict::Ill => {
                let before = self.breaker.state();
                self.breaker.fail(key, now);
                if before == BreakerState::Closed && self.breaker.state() == BreakerState::Open {
                    log::warn!(endpoint = self.endpoint.0; "the breaker opens: the endpoint failed with every message; they wait, and no attempts are spent");
                }
            }
            Verdict::AskedToWait(wait) => {
                self.breaker.abstain(key, now);
                self.asked_to_wait = self.asked_to_wait.max(Some(now.plus(wait)));
            }
            Verdict::Silent => self.breaker.abstain(key, now),
        }
        self.cell.tell(|cell| {
            cell.rate.count(now);
            if let Some(took) = took {
                cell.times.count(took);
            }
        });
        self.cell.tell(|cell| match told {
            AttemptTold::Completed => {
                cell.completed += 1;
                cell.last_completed_at = Some(now);
            }
            AttemptTold::Failed(error) => {
                cell.failed += 1;
                cell.last_failed_at = Some(now);
                cell.last_error = Some(error);
            }
            AttemptTold::Neither => {}
        });
    }

    fn take_up_note(&mut self, noted: Noted) -> bool {
        let Noted { key, due_at, note } = noted;
        match note {
            Note::Settled(settled) => {
                self.window.settled(key);
                self.more |= settled.lane_moved;
                match settled.outcome {
                    SettleOutcome::Written => self.note_due(due_at),
                    SettleOutcome::Gone => self.more = true,
                    SettleOutcome::Fenced => {
                        log::warn!(endpoint = self.endpoint.0; "another dispatcher has taken over; starting anew");
                        return false;
                    }
                }
            }
            Note::Refused => {
                let until = self.shared.now().plus(SET_ASIDE);
                self.window.set_aside(key, until);
                self.note_due(Some(until));
            }
            Note::Unknown => {
                self.window.settled(key);
                self.more = true;
            }
        }
        true
    }
}

impl Handler<Forget> for Dispatcher {
    type Result = ();

    fn handle(&mut self, forget: Forget, ctx: &mut Self::Context) {
        for delivery in forget.0 {
            self.window.forget(delivery);
        }
        self.more = true;
        self.pump(ctx);
    }
}

impl Handler<Retire> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        self.guard.retire();
        // The tray knows this actor's address, and as long as anybody does the actor starts over.
        self.tray = Tray::new();
        ctx.stop();
    }
}

impl Handler<Ping> for Dispatcher {
    type Result = ();

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) {
        self.guard.hear(ping);
    }
}
