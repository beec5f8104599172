//! What a dispatcher is told, and what it makes of it. Everything ends in [`Dispatcher::pump`].

use actix::prelude::*;

use super::{
    super::{bell::Wake, vitals::Ping},
    Dispatcher, Forget, Retire, SET_ASIDE,
    attempt::Verdict,
    report::{Answered, AttemptTold, Note, Noted},
};
use crate::{actors::BreakerState, db::SettleOutcome};

impl Handler<Wake> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.ringing.answer();
        self.more = true;
        self.pump(ctx);
    }
}

impl Handler<Answered> for Dispatcher {
    type Result = ();

    fn handle(&mut self, answered: Answered, ctx: &mut Self::Context) {
        let Answered {
            key,
            verdict,
            told,
            settler,
        } = answered;
        // From here on the task lives by itself, until the outcome is written.
        if let Some(task) = self.tasks.remove(&key) {
            task.let_live();
        }
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
        self.cell.tell(|cell| cell.rate.count(now));
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
        self.pump(ctx);
    }
}

impl Handler<Noted> for Dispatcher {
    type Result = ();

    fn handle(&mut self, noted: Noted, ctx: &mut Self::Context) {
        let Noted {
            key,
            due_at,
            outcome,
        } = noted;
        match outcome {
            Note::Settled(settled) => {
                self.window.settled(key);
                self.more |= settled.lane_moved;
                match settled.outcome {
                    SettleOutcome::Written => self.note_due(due_at),
                    SettleOutcome::Gone => self.more = true,
                    SettleOutcome::Fenced => {
                        log::warn!(endpoint = self.endpoint.0; "another dispatcher has taken over; starting anew");
                        ctx.stop();
                        return;
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
        self.pump(ctx);
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
        ctx.stop();
    }
}

impl Handler<Ping> for Dispatcher {
    type Result = ();

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) {
        self.guard.hear(ping);
    }
}
