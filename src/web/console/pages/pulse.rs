//! Rates of the last day: how many messages came in, how many deliveries went out, minute by minute.
//!
//! Counted from the hub's running counters, which begin with the process: so a restart leaves a gap, and never a wrong number.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{actors::Hub, domain::time::Micros};

/// Between two looks at the counters.
const STEP: Duration = Duration::from_secs(10);
/// Minutes kept: a day.
const MINUTES: usize = 24 * 60;

#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    accepted: u64,
    delivered: u64,
}

#[derive(Debug, Clone, Copy)]
struct Minute {
    number: i64,
    counted: Counters,
}

#[derive(Debug, Default)]
struct Kept {
    last: Option<Counters>,
    minutes: VecDeque<Minute>,
}

/// The rates; one per server.
#[derive(Debug, Default)]
pub struct Pulse {
    kept: Mutex<Kept>,
    started: AtomicBool,
}

/// Rates for a chart, oldest first; `None` where nothing was measured.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Messages accepted, per minute.
    pub accepted: Vec<Option<f64>>,
    /// Deliveries completed, per minute.
    pub delivered: Vec<Option<f64>>,
}

impl Pulse {
    /// Begins to count, once.
    pub fn start(state: &std::sync::Arc<super::super::ConsoleState>, hub: &Hub) {
        if state.pulse.started.swap(true, Ordering::SeqCst) {
            return;
        }
        let (state, hub) = (std::sync::Arc::downgrade(state), hub.clone());
        actix_rt::spawn(async move {
            loop {
                let Some(state) = state.upgrade() else { return };
                let mut delivered = 0;
                let registry = hub.registry();
                for store in registry.stores.keys() {
                    delivered += hub
                        .endpoint_states(*store)
                        .await
                        .iter()
                        .map(|endpoint| endpoint.completed)
                        .sum::<u64>();
                }
                state.pulse.observe(hub.accepted(), delivered, hub.now());
                drop(state);
                tokio::time::sleep(STEP).await;
            }
        });
    }

    fn observe(&self, accepted: u64, delivered: u64, now: Micros) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.seconds().div_euclid(60);
        let read = Counters {
            accepted,
            delivered,
        };
        let last = kept.last.replace(read).unwrap_or(read);
        // A deleted endpoint takes its counter along: then nothing is known of this step.
        let more = Counters {
            accepted: accepted.saturating_sub(last.accepted),
            delivered: delivered.saturating_sub(last.delivered),
        };
        match kept.minutes.back_mut() {
            Some(minute) if minute.number == number => {
                minute.counted.accepted += more.accepted;
                minute.counted.delivered += more.delivered;
            }
            _ => {
                kept.minutes.push_back(Minute {
                    number,
                    counted: more,
                });
                if kept.minutes.len() > MINUTES {
                    kept.minutes.pop_front();
                }
            }
        }
    }

    /// `points` rates of `minutes` each, up to the last whole minute.
    pub fn rates(&self, points: usize, minutes: usize, now: Micros) -> Rates {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let end = now.seconds().div_euclid(60);
        let span = i64::try_from(minutes).unwrap_or(1);
        let mut rates = Rates {
            accepted: vec![None; points],
            delivered: vec![None; points],
        };
        let mut measured = vec![0.0; points];
        for minute in kept.minutes.iter().filter(|minute| minute.number < end) {
            let back = usize::try_from((end - 1 - minute.number) / span).unwrap_or(usize::MAX);
            let Some(at) = points.checked_sub(back.saturating_add(1)) else {
                continue;
            };
            if let (Some(accepted), Some(delivered), Some(measured)) = (
                rates.accepted.get_mut(at),
                rates.delivered.get_mut(at),
                measured.get_mut(at),
            ) {
                *accepted = Some(accepted.unwrap_or(0.0) + minute.counted.accepted as f64);
                *delivered = Some(delivered.unwrap_or(0.0) + minute.counted.delivered as f64);
                *measured += 1.0;
            }
        }
        for (at, minutes) in measured
            .iter()
            .enumerate()
            .filter(|(_, minutes)| **minutes > 0.0)
        {
            for series in [&mut rates.accepted, &mut rates.delivered] {
                if let Some(Some(value)) = series.get_mut(at) {
                    *value /= minutes;
                }
            }
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_gathers_what_was_counted_in_it() {
        let pulse = Pulse::default();
        let minute = |number: i64| Micros(number * 60_000_000 + 5_000_000);
        pulse.observe(100, 50, minute(10));
        pulse.observe(130, 60, minute(10));
        pulse.observe(140, 60, minute(11));
        pulse.observe(150, 61, minute(13));
        let rates = pulse.rates(4, 1, minute(14));
        assert_eq!(rates.accepted, [Some(30.0), Some(10.0), None, Some(10.0)]);
        assert_eq!(rates.delivered, [Some(10.0), Some(0.0), None, Some(1.0)]);
    }

    #[test]
    fn wider_points_are_means_of_what_was_measured() {
        let pulse = Pulse::default();
        pulse.observe(0, 0, Micros(0));
        pulse.observe(60, 0, Micros(60_000_000));
        pulse.observe(80, 0, Micros(120_000_000));
        let rates = pulse.rates(1, 15, Micros(180_000_000));
        assert_eq!(rates.accepted, [Some(80.0 / 3.0)]);
    }
}
