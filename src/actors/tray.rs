//! Trays: what tasks and other threads put down for an actor, which takes up everything at once.
//!
//! A mailbox costs an allocation, a wake-up and a turn of the actor for each message. Where thousands a second come from many sides
//! (pushes for Intake, finished attempts for the Settler, their outcomes for a dispatcher) they lie on a tray instead, and one
//! [`Collect`] in the mailbox stands for all of them. As with a [`super::bell::Bell`], the actor answers the ring before it looks, so what
//! is put down while it looks rings anew.
//!
//! What lies on a tray is bounded by whoever puts it there: pushes by [`super::intake::Load`], attempts by the windows of the dispatchers.
//! What nobody takes up is dropped with the tray, and tells so by its own `Drop` where somebody waits for it.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use actix::{Message, Recipient};

/// Something lies on the tray.
#[derive(Debug, Clone, Copy)]
pub struct Collect;

impl Message for Collect {
    type Result = ();
}

/// See the module. Clones are the same tray.
pub struct Tray<T>(Arc<Inner<T>>);

struct Inner<T> {
    /// `None` once closed.
    items: Mutex<Option<Vec<T>>>,
    ringing: AtomicBool,
    to: OnceLock<Recipient<Collect>>,
}

impl<T> Tray<T> {
    /// A tray for an actor that is not known yet: until [`Tray::belong`] is called nobody is woken.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            items: Mutex::new(Some(Vec::new())),
            ringing: AtomicBool::new(false),
            to: OnceLock::new(),
        }))
    }

    /// Says whose tray it is, once. The actor looks by itself when it starts.
    pub fn belong(&self, to: Recipient<Collect>) {
        self.0.to.get_or_init(|| to);
    }

    /// Puts an item down and wakes the actor, unless it is about to look anyhow. On a closed tray it is dropped.
    pub fn put(&self, item: T) {
        let mut items = self.items();
        let Some(open) = items.as_mut() else {
            drop(items);
            return;
        };
        open.push(item);
        drop(items);
        if self.0.ringing.swap(true, Ordering::SeqCst) {
            return;
        }
        // A full mailbox has a heartbeat in it, on which the actor looks as well; a closed one belongs to an actor that is gone, and
        // its successor gets a tray of its own.
        let is_heard = self
            .0
            .to
            .get()
            .is_some_and(|to| to.try_send(Collect).is_ok());
        if !is_heard {
            self.0.ringing.store(false, Ordering::SeqCst);
        }
    }

    /// Wakes nobody until the next [`Tray::take`]: the actor is busy, and will look by itself when it is done.
    pub fn hush(&self) {
        self.0.ringing.store(true, Ordering::SeqCst);
    }

    /// Takes up all that lies here.
    #[must_use]
    pub fn take(&self) -> Vec<T> {
        self.0.ringing.store(false, Ordering::SeqCst);
        self.items()
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Drops what lies here, and whatever is put down from now on: for an actor that ends and whose senders shall know at once.
    pub fn close(&self) {
        // Dropped after the lock is released: what is dropped may run code of its own.
        let items = self.items().take();
        drop(items);
    }

    fn items(&self) -> std::sync::MutexGuard<'_, Option<Vec<T>>> {
        self.0.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Tray<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> std::fmt::Debug for Tray<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tray").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use actix::prelude::*;
    use tokio::sync::mpsc;

    use super::*;

    struct Collector {
        tray: Tray<u32>,
        seen: mpsc::UnboundedSender<Vec<u32>>,
    }

    impl Actor for Collector {
        type Context = Context<Self>;
    }

    impl Handler<Collect> for Collector {
        type Result = ();

        fn handle(&mut self, _: Collect, _: &mut Self::Context) {
            self.seen.send(self.tray.take()).ok();
        }
    }

    #[actix_web::test]
    async fn what_is_put_down_together_is_taken_up_at_once() {
        let tray = Tray::new();
        let (seen, mut collected) = mpsc::unbounded_channel();
        let collector = Collector {
            tray: tray.clone(),
            seen,
        };
        tray.belong(collector.start().recipient());
        for round in [vec![1, 2, 3], vec![4]] {
            round.iter().for_each(|item| tray.put(*item));
            assert_eq!(collected.recv().await, Some(round));
        }
    }

    #[actix_web::test]
    async fn a_hushed_tray_wakes_nobody_until_somebody_has_looked() {
        let tray = Tray::new();
        let (seen, mut collected) = mpsc::unbounded_channel();
        let collector = Collector {
            tray: tray.clone(),
            seen,
        };
        tray.belong(collector.start().recipient());
        tray.hush();
        tray.put(1);
        assert_eq!(tray.take(), [1], "what is put down while hushed stays");
        tray.put(2);
        assert_eq!(collected.recv().await, Some(vec![2]), "and this rang anew");
    }

    #[test]
    fn a_closed_tray_drops_what_lies_there_and_what_comes() {
        let tray = Tray::new();
        let item = Arc::new(());
        tray.put(Arc::clone(&item));
        tray.close();
        tray.put(Arc::clone(&item));
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(tray.take().is_empty());
    }

    #[test]
    fn what_lay_there_before_the_actor_was_known_stays() {
        let tray = Tray::new();
        tray.put(1);
        tray.put(2);
        assert_eq!(tray.take(), [1, 2]);
        assert_eq!(tray.take(), [0; 0]);
    }
}
