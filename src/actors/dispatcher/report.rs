//! What an attempt's task tells its dispatcher, and how its outcome gets to the Settler.

use std::{sync::Arc, time::Duration};

use actix::{Addr, Message};
use tokio::sync::oneshot;

use super::{
    super::{
        settler::{Refused, Settle},
        shared::{Piece, Shared},
        vitals::Office,
    },
    Dispatcher,
    attempt::{Conclusion, Verdict},
};
use crate::{
    db::{SettleOutcome, Settled},
    domain::{
        delivery::{Disposition, Settlement},
        key::DeliveryKey,
        time::Micros,
    },
};

/// An attempt has ended; its outcome is on its way to the Settler.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) key: DeliveryKey,
    pub(super) verdict: Verdict,
    pub(super) told: AttemptTold,
    /// How long the attempt took; `None` when none was spent.
    pub(super) took: Option<Duration>,
    pub(super) settler: u64,
}

impl Message for Answered {
    type Result = ();
}

#[derive(Debug)]
pub(super) enum AttemptTold {
    Completed,
    Failed(String),
    Neither,
}

/// What became of an outcome.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) key: DeliveryKey,
    pub(super) due_at: Option<Micros>,
    pub(super) outcome: Note,
}

impl Message for Noted {
    type Result = ();
}

#[derive(Debug)]
pub(super) enum Note {
    Settled(Settled),
    Refused,
    /// The Settler was replaced before it answered: the database knows.
    Unknown,
}

/// What an attempt's task needs to report.
pub(super) struct Report {
    pub(super) shared: Arc<Shared>,
    pub(super) to: Addr<Dispatcher>,
    pub(super) piece: Piece,
    /// When the message was accepted: where its latency begins.
    pub(super) accepted_at: Micros,
}

impl Report {
    /// Reports an attempt's end, then sees to it that its outcome is written.
    pub(super) async fn conclude(self, concluded: Conclusion) {
        let Conclusion {
            settlement,
            verdict,
        } = concluded;
        let told = match &settlement.disposition {
            Disposition::Completed { .. } => AttemptTold::Completed,
            Disposition::Failing { error, .. } | Disposition::Parked { error } => {
                AttemptTold::Failed(error.clone())
            }
            _ => AttemptTold::Neither,
        };
        let settler = self.shared.directory.vitals(Office::Settler).generation();
        let answered = Answered {
            key: settlement.key,
            verdict,
            told,
            took: settlement.attempt.as_ref().map(|attempt| {
                Duration::from_micros(attempt.duration_us.try_into().unwrap_or_default())
            }),
            settler,
        };
        // Once its dispatcher has this, the task is no more bound to it. A dispatcher that fell over needs no word.
        self.to.send(answered).await.ok();
        self.settle(settlement).await;
    }

    /// Has a settlement written and reports what became of it.
    pub(super) async fn settle(self, settlement: Settlement) {
        let key = settlement.key;
        let due_at = match &settlement.disposition {
            Disposition::Failing { due_at, .. }
            | Disposition::Scheduled { due_at, .. }
            | Disposition::Postponed { due_at } => Some(*due_at),
            _ => None,
        };
        let is_success = matches!(settlement.disposition, Disposition::Completed { .. });
        let shared = Arc::clone(&self.shared);
        let outcome = match hand_over(&self.shared, settlement, self.piece).await {
            Some(Ok(settled)) => {
                if is_success && settled.outcome == SettleOutcome::Written {
                    shared
                        .metrics
                        .delivered(shared.now().since(self.accepted_at));
                }
                Note::Settled(settled)
            }
            Some(Err(Refused)) => Note::Refused,
            None => Note::Unknown,
        };
        self.to
            .send(Noted {
                key,
                due_at,
                outcome,
            })
            .await
            .ok();
    }
}

async fn hand_over(
    shared: &Shared,
    settlement: Settlement,
    piece: Piece,
) -> Option<Result<Settled, Refused>> {
    let settler = shared.directory.settler.get()?;
    let (answer, answered) = oneshot::channel();
    settler
        .send(Settle {
            settlement,
            answer,
            piece,
        })
        .await
        .ok()?;
    answered.await.ok()
}
