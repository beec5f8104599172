//! Wake-ups. They carry no data: the database is the truth, and a wake-up and a timer lead to the same function. Losing one costs
//! latency and never a message.
//!
//! A burst of wake-ups is one: a [`Bell`] that has been rung and not yet answered is not rung again, so a thousand pushes
//! put one message into a mailbox. The order matters: whoever is woken answers the bell *before* it looks, so a ring that comes
//! while it looks is a new one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix::{Message, Recipient};

/// There may be work: look.
#[derive(Debug, Clone, Copy)]
pub struct Wake;

impl Message for Wake {
    type Result = ();
}

/// What the woken actor holds of its bell.
#[derive(Debug, Clone, Default)]
pub struct Ringing(Arc<AtomicBool>);

impl Ringing {
    /// Takes note of the ring; later ones are heard again.
    pub fn answer(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// How others wake an actor. Cheap to clone.
#[derive(Clone)]
pub struct Bell {
    ringing: Ringing,
    to: Recipient<Wake>,
}

impl Bell {
    /// A bell of one life of an actor; a restarted actor gets a new one.
    #[must_use]
    pub fn new(to: Recipient<Wake>, ringing: Ringing) -> Self {
        Self { ringing, to }
    }

    /// Wakes the actor, unless it is about to wake anyhow.
    pub fn ring(&self) {
        if self.ringing.0.swap(true, Ordering::SeqCst) {
            return;
        }
        // A full mailbox will be worked off and a closed one belongs to an actor that looks by itself when it starts.
        if self.to.try_send(Wake).is_err() {
            self.ringing.answer();
        }
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}
