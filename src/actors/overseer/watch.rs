//! The watch over the Overseer: when it ends or hangs, nobody is left to mend anything, so the process ends and is started again by whoever
//! started it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// How often the watch looks within its patience: a process that was halted and goes on misses one look, not all.
const LOOKS: u32 = 3;

/// What to do when the node cannot go on; gets one sentence.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Ends the process with an error. Nothing is flushed and nothing needs to be: what was accepted is on disk.
#[must_use]
pub fn exit_process() -> OnFatal {
    Arc::new(|reason| {
        log::error!("the hub cannot go on and ends: {reason}");
        std::process::exit(70);
    })
}

/// Held by the Overseer. A thread of its own counts the beats; dropping it without [`Watch::disarm`] is the Overseer's end.
pub struct Watch {
    beats: Arc<AtomicU64>,
    armed: Arc<AtomicBool>,
    on_fatal: OnFatal,
    _stop: mpsc::Sender<()>,
}

impl Watch {
    /// Calls `on_fatal` when the Overseer ends, or gives no beat for `patience`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(patience: Duration, on_fatal: OnFatal) -> std::io::Result<Self> {
        let beats = Arc::new(AtomicU64::new(0));
        let armed = Arc::new(AtomicBool::new(true));
        let (stop, stopped) = mpsc::channel();
        let watcher = {
            let (beats, armed, on_fatal) = (
                Arc::clone(&beats),
                Arc::clone(&armed),
                Arc::clone(&on_fatal),
            );
            move || {
                let (mut last, mut missed) = (0, 0);
                while stopped.recv_timeout(patience / LOOKS) == Err(RecvTimeoutError::Timeout) {
                    let now = beats.load(Ordering::SeqCst);
                    missed = if now == last { missed + 1 } else { 0 };
                    last = now;
                    if missed >= LOOKS && armed.load(Ordering::SeqCst) {
                        on_fatal("its overseer does not answer");
                        return;
                    }
                }
            }
        };
        thread::Builder::new()
            .name("overseer-watch".into())
            .spawn(watcher)?;
        Ok(Self {
            beats,
            armed,
            on_fatal,
            _stop: stop,
        })
    }

    /// The Overseer lives.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::SeqCst);
    }

    /// Its end is wanted.
    pub fn disarm(&self) {
        self.armed.store(false, Ordering::SeqCst);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.armed.swap(false, Ordering::SeqCst) {
            (self.on_fatal)("its overseer ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(patience: Duration) -> (Watch, mpsc::Receiver<String>) {
        let (told, tells) = mpsc::channel();
        let watch = Watch::start(
            patience,
            Arc::new(move |reason| told.send(reason.to_owned()).expect("the test listens")),
        );
        (watch.expect("a thread"), tells)
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn an_overseer_that_ends_is_fatal() {
        let (watch, tells) = watch(PATIENCE);
        drop(watch);
        assert_eq!(
            tells.recv_timeout(PATIENCE).as_deref(),
            Ok("its overseer ended")
        );
    }

    #[test]
    fn an_overseer_that_hangs_is_fatal() {
        let (watch, tells) = watch(Duration::from_millis(5));
        assert_eq!(
            tells.recv_timeout(PATIENCE).as_deref(),
            Ok("its overseer does not answer")
        );
        watch.disarm();
    }

    #[test]
    fn an_overseer_that_is_told_to_end_is_not() {
        let (watch, tells) = watch(PATIENCE);
        watch.disarm();
        drop(watch);
        assert!(tells.try_recv().is_err());
    }
}
