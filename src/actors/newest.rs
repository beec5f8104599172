//! Reading the registry for a request, so that what was configured on one node holds on all of them at once.
//!
//! A node learns of what others configured by a hint, a moment later, or within seconds should the hint be lost. A client behind a
//! balancer must not notice: it makes a token on one node and pushes with it through another. So before a request is refused
//! for what may be new, the database is asked. However many ask, one reading is under way: whoever comes meanwhile shares
//! the next one, which begins after all of them came and so sees what they mean. Whoever might be anybody keeps a pace besides, so that
//! a flood of wrong tokens costs the database a few short statements a second.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

use crate::db::{DbError, DbResult};

/// The last readings. See the module.
#[derive(Debug, Default)]
pub struct Readings(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    /// When one was begun.
    begun: Option<Instant>,
    /// When the last one that came to an end was begun, and whether the database answered.
    ended: Option<(Instant, bool)>,
}

impl Readings {
    /// Waits for a reading that begins from now on, at least `pace` after the one before; makes it, unless somebody else does.
    ///
    /// # Errors
    /// Those of the reading.
    pub async fn next<F>(&self, pace: Duration, read: impl FnOnce() -> F) -> DbResult<()>
    where
        F: Future<Output = DbResult<()>>,
    {
        let asked = Instant::now();
        loop {
            let mut last = self.0.lock().await;
            if let Some((_, answered)) = last.ended.filter(|(begun, _)| *begun >= asked) {
                let away = || DbError::Unavailable("the registry could not be read".into());
                return if answered { Ok(()) } else { Err(away()) };
            }
            let free_at = last.begun.map(|begun| begun + pace);
            if let Some(free_at) = free_at.filter(|at| *at > Instant::now()) {
                drop(last);
                sleep_until(free_at).await;
                continue;
            }
            let begun = Instant::now();
            last.begun = Some(begun);
            let outcome = read().await;
            last.ended = Some((begun, outcome.is_ok()));
            return outcome;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    const NO_PACE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn whoever_comes_while_one_reads_shares_the_next_one() {
        let (readings, count) = (Readings::default(), AtomicUsize::new(0));
        let ask = || {
            readings.next(NO_PACE, || async {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(())
            })
        };
        let outcomes = join_all((0..50).map(|_| ask())).await;
        assert!(outcomes.iter().all(Result::is_ok));
        // The first one's, and one that began when all the others had come.
        assert_eq!(count.load(Ordering::SeqCst), 2);
        ask().await.unwrap();
        assert_eq!(
            count.load(Ordering::SeqCst),
            3,
            "what was read before is old"
        );
    }

    #[tokio::test]
    async fn those_who_may_be_anybody_keep_a_pace() {
        let (readings, count) = (Readings::default(), AtomicUsize::new(0));
        let pace = Duration::from_millis(30);
        let ask = || {
            readings.next(pace, || async {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        };
        let began = Instant::now();
        for _ in 0..4 {
            ask().await.unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 4);
        assert!(began.elapsed() >= pace * 3);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_shared_it_and_then_forgotten() {
        let readings = Readings::default();
        let away = || DbError::Unavailable("gone".into());
        let fail = || readings.next(NO_PACE, || async move { Err(away()) });
        let outcomes = join_all((0..3).map(|_| fail())).await;
        assert!(outcomes.iter().all(Result::is_err));
        readings.next(NO_PACE, || async { Ok(()) }).await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_leaves_the_reading_to_the_next_one() {
        let readings = Readings::default();
        let gone = readings.next(NO_PACE, std::future::pending::<DbResult<()>>);
        let waited = tokio::time::timeout(Duration::from_millis(1), gone).await;
        assert!(waited.is_err());
        readings.next(NO_PACE, || async { Ok(()) }).await.unwrap();
    }
}
