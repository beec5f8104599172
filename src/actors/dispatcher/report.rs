//! What an attempt's task tells its dispatcher, and how its outcome gets to the Settler and back.
//!
//! Both ways lead over trays ([`super::super::tray`]): an attempt that has ended puts a word on its dispatcher's tray and its outcome on the
//! Settler's, and is over; the Settler puts what became of it on the dispatcher's. So a batch of outcomes costs one turn of the actor.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        settler::{Sender, Settle},
        shared::{Piece, Shared},
        tray::Tray,
        vitals::Office,
    },
    attempt::{Conclusion, Verdict},
};
use crate::{
    db::Settled,
    domain::{
        delivery::{Delivery, Disposition, Settlement},
        key::DeliveryKey,
        time::Micros,
    },
};

/// What lies on a dispatcher's tray.
#[derive(Debug)]
pub enum Told {
    /// An attempt has ended.
    Answered(Answered),
    /// Its outcome was written, or not.
    Noted(Noted),
    /// These were accepted just now and are due. A hint: reading what is due finds them, too.
    Fresh(Vec<Delivery>),
}

/// An attempt has ended; its outcome is on its way to the Settler.
#[derive(Debug)]
pub struct Answered {
    pub(super) key: DeliveryKey,
    pub(super) verdict: Verdict,
    pub(super) told: AttemptTold,
    /// How long the attempt took; `None` when none was spent.
    pub(super) took: Option<Duration>,
    pub(super) settler: u64,
}

#[derive(Debug)]
pub(super) enum AttemptTold {
    Completed,
    Failed(String),
    Neither,
}

/// What became of an outcome.
#[derive(Debug)]
pub struct Noted {
    pub(super) key: DeliveryKey,
    pub(super) due_at: Option<Micros>,
    pub(super) note: Note,
}

/// What the Settler says of an outcome.
#[derive(Debug)]
pub enum Note {
    /// The database has it, or needs it no more.
    Settled(Settled),
    /// The database refuses it, now and later.
    Refused,
    /// The Settler was replaced before it answered: the database knows.
    Unknown,
}

/// Where what became of an outcome goes. Dropped unanswered, it says that nobody knows.
#[derive(Debug)]
pub struct Reply {
    tray: Tray<Told>,
    key: DeliveryKey,
    due_at: Option<Micros>,
    note: Note,
}

impl Reply {
    /// Answers.
    pub fn answer(mut self, note: Note) {
        self.note = note;
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.tray.put(Told::Noted(Noted {
            key: self.key,
            due_at: self.due_at,
            note: std::mem::replace(&mut self.note, Note::Unknown),
        }));
    }
}

/// What an attempt's task needs to report.
pub(super) struct Report {
    pub(super) shared: Arc<Shared>,
    pub(super) tray: Tray<Told>,
    pub(super) piece: Piece,
    /// When the message was accepted: where its latency begins.
    pub(super) accepted_at: Micros,
}

impl Report {
    /// Reports an attempt's end and has its outcome written. Nothing is awaited, so a task that has come here is not cut off, and
    /// what an endpoint answered is written down even if its dispatcher falls over.
    pub(super) fn conclude(self, concluded: Conclusion) {
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
        self.tray.put(Told::Answered(Answered {
            key: settlement.key,
            verdict,
            told,
            took: settlement.attempt.as_ref().map(|attempt| {
                Duration::from_micros(attempt.duration_us.try_into().unwrap_or_default())
            }),
            settler,
        }));
        self.settle(settlement);
    }

    /// Has a settlement written.
    pub(super) fn settle(self, settlement: Settlement) {
        let due_at = match &settlement.disposition {
            Disposition::Failing { due_at, .. }
            | Disposition::Scheduled { due_at, .. }
            | Disposition::Postponed { due_at } => Some(*due_at),
            _ => None,
        };
        let sender = Sender {
            reply: Reply {
                tray: self.tray,
                key: settlement.key,
                due_at,
                note: Note::Unknown,
            },
            piece: self.piece,
            accepted_at: self.accepted_at,
        };
        let settle = Settle { settlement, sender };
        if let Some(settler) = self.shared.directory.settler.get() {
            settler.put(settle);
        }
    }
}
