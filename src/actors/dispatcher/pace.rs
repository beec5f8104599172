//! Pace: how many requests a second a mapping allows. A token bucket that holds what one second allows, and at least one.

use std::{collections::HashMap, time::Duration};

use crate::domain::{key::MappingKey, time::Micros};

struct Bucket {
    tokens: f64,
    filled_at: Micros,
}

/// The buckets of an endpoint's mappings.
#[derive(Default)]
pub struct Pace(HashMap<MappingKey, Bucket>);

impl Pace {
    /// Takes a token of the mapping, or says when there will be one. `per_sec` is read anew each time: it may have been changed.
    ///
    /// # Errors
    /// When to ask again.
    pub fn take(&mut self, mapping: MappingKey, per_sec: f64, now: Micros) -> Result<(), Micros> {
        if !per_sec.is_finite() || per_sec <= 0.0 {
            return Ok(());
        }
        let most = per_sec.max(1.0);
        let bucket = self.0.entry(mapping).or_insert(Bucket {
            tokens: most,
            filled_at: now,
        });
        bucket.tokens =
            (bucket.tokens + now.since(bucket.filled_at).as_secs_f64() * per_sec).min(most);
        bucket.filled_at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = ((1.0 - bucket.tokens) / per_sec).min(3600.0);
        // Rounded up to a whole millisecond, so that the token is there when asked for.
        Err(now.plus(Duration::from_secs_f64(wait) + Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: MappingKey = MappingKey(1);

    #[test]
    fn a_second_holds_as_many_as_the_rate_says() {
        let mut pace = Pace::default();
        let taken = (0..100)
            .filter(|i| pace.take(M, 10.0, Micros(i * 10_000)).is_ok())
            .count();
        assert!(
            (19..=20).contains(&taken),
            "the bucket's ten and ten more within the second: {taken}"
        );
    }

    #[test]
    fn whoever_comes_when_told_gets_a_token() {
        let mut pace = Pace::default();
        assert_eq!(pace.take(M, 0.5, Micros(0)), Ok(()));
        let at = pace
            .take(M, 0.5, Micros(0))
            .expect_err("the bucket is empty");
        assert!(at > Micros(1_900_000) && at < Micros(2_100_000), "{at:?}");
        assert_eq!(pace.take(M, 0.5, at), Ok(()));
    }

    #[test]
    fn a_rate_that_makes_no_sense_limits_nothing() {
        let mut pace = Pace::default();
        assert!((0..10).all(|_| pace.take(M, 0.0, Micros(0)).is_ok()));
        assert!((0..10).all(|_| pace.take(M, f64::NAN, Micros(0)).is_ok()));
    }
}
