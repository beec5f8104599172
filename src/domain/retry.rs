//! When a failed delivery is tried again, and when it is given to a person.

use std::time::Duration;

use super::time::Micros;

/// The hub's retry policy, tightened by a mapping's options.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Failures are retried at all.
    pub allowed: bool,
    /// The delay after the first failure; doubles with each further one.
    pub base: Duration,
    /// The longest delay, also the most that `Retry-After` may ask for.
    pub cap: Duration,
    /// Share of the delay that jitter may add, 0 to 1. Jitter only adds.
    pub jitter: f64,
    /// Failures after which the delivery is parked.
    pub max_failures: u32,
    /// Time since acceptance (or release) after which the delivery is parked.
    pub deadline: Duration,
    /// Delays of the mapping's own instead of the exponential ones; the last repeats.
    pub schedule: Option<Vec<Duration>>,
}

/// What happens to a delivery that just failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAttempt {
    /// Try again then.
    At(Micros),
    /// Give it to a person.
    Park(ParkReason),
}

/// Why a failed delivery is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkReason {
    /// Its mapping allows no retries.
    RetriesOff,
    /// It failed as often as it may.
    TooManyFailures,
    /// The next attempt would be past its deadline.
    PastDeadline,
    /// The endpoint said that the address is gone for good (410).
    Gone,
}

/// When to try again after the `failures`-th failure in a row (from 1), at `now`.
///
/// `since` is when the delivery was accepted or released; `retry_after` is the endpoint's wish, a floor up to the cap;
/// `random` is uniform in 0..1.
#[must_use]
pub fn next_attempt(
    policy: &RetryPolicy,
    failures: u32,
    since: Micros,
    now: Micros,
    retry_after: Option<Duration>,
    random: f64,
) -> NextAttempt {
    if !policy.allowed {
        return NextAttempt::Park(ParkReason::RetriesOff);
    }
    if failures >= policy.max_failures {
        return NextAttempt::Park(ParkReason::TooManyFailures);
    }
    let delay = delay_before_jitter(policy, failures).min(policy.cap);
    let delay = delay.max(retry_after.unwrap_or_default().min(policy.cap));
    let delay = delay + delay.mul_f64(policy.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0));
    let due_at = now.plus(delay);
    if due_at.since(since) > policy.deadline {
        return NextAttempt::Park(ParkReason::PastDeadline);
    }
    NextAttempt::At(due_at)
}

fn delay_before_jitter(policy: &RetryPolicy, failures: u32) -> Duration {
    let step = failures.saturating_sub(1);
    if let Some(schedule) = &policy.schedule {
        let last = schedule.len().saturating_sub(1);
        let index = usize::try_from(step).unwrap_or(last).min(last);
        return schedule.get(index).copied().unwrap_or(policy.base);
    }
    let factor = 2u32.checked_pow(step).unwrap_or(u32::MAX);
    policy.base.checked_mul(factor).unwrap_or(policy.cap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            allowed: true,
            base: Duration::from_secs(5),
            cap: Duration::from_secs(3600),
            jitter: 0.1,
            max_failures: 20,
            deadline: Duration::from_secs(432_000),
            schedule: None,
        }
    }

    fn delay_secs(
        policy: &RetryPolicy,
        failures: u32,
        retry_after: Option<u64>,
        random: f64,
    ) -> u64 {
        match next_attempt(
            policy,
            failures,
            Micros(0),
            Micros(0),
            retry_after.map(Duration::from_secs),
            random,
        ) {
            NextAttempt::At(at) => at.since(Micros(0)).as_secs(),
            NextAttempt::Park(reason) => panic!("parked: {reason:?}"),
        }
    }

    #[test]
    fn the_delay_doubles_up_to_its_cap() {
        let seconds: Vec<u64> = (1..=12)
            .map(|n| delay_secs(&policy(), n, None, 0.0))
            .collect();
        assert_eq!(
            seconds,
            [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
        );
    }

    #[test]
    fn retry_after_is_a_floor_up_to_the_cap() {
        assert_eq!(delay_secs(&policy(), 1, Some(90), 0.0), 90);
        assert_eq!(delay_secs(&policy(), 6, Some(90), 0.0), 160);
        assert_eq!(delay_secs(&policy(), 1, Some(1_000_000), 0.0), 3600);
    }

    #[test]
    fn a_schedule_of_its_own_repeats_its_last_delay() {
        let policy = RetryPolicy {
            schedule: Some([1, 7].map(Duration::from_secs).into()),
            ..policy()
        };
        let seconds: Vec<u64> = (1..=4).map(|n| delay_secs(&policy, n, None, 0.0)).collect();
        assert_eq!(seconds, [1, 7, 7, 7]);
    }

    #[test]
    fn a_delivery_is_parked_for_the_reason_that_applies() {
        let park = |policy: &RetryPolicy, failures, now| {
            next_attempt(policy, failures, Micros(0), Micros(now), None, 0.0)
        };
        let off = RetryPolicy {
            allowed: false,
            ..policy()
        };
        assert_eq!(park(&off, 1, 0), NextAttempt::Park(ParkReason::RetriesOff));
        assert_eq!(
            park(&policy(), 20, 0),
            NextAttempt::Park(ParkReason::TooManyFailures)
        );
        assert_eq!(
            park(&policy(), 1, 432_000_000_000),
            NextAttempt::Park(ParkReason::PastDeadline)
        );
    }

    proptest! {
        #[test]
        fn jitter_only_adds(failures in 1u32..19, random in 0.0f64..1.0) {
            let plain = delay_secs(&policy(), failures, None, 0.0);
            let jittered = delay_secs(&policy(), failures, None, random);
            prop_assert!(jittered >= plain && jittered <= plain + plain / 10 + 1);
        }
    }
}
