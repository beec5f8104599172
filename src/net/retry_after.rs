//! `Retry-After`: when an endpoint asks to be left alone (RFC 9110, 10.2.3).

use std::time::{Duration, UNIX_EPOCH};

/// A wish, in the form in which it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// So long from the answer on.
    Delay(Duration),
    /// Not before this time, in microseconds since the epoch.
    At(i64),
}

impl RetryAfter {
    /// Reads a header's value: whole seconds, or an HTTP date in any of its three forms. `None` if it is neither; the
    /// header is then as good as absent.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number too large for 64 bits is a wish for "very long", and bounded by the caller like any other.
            let seconds = text.parse().unwrap_or(u64::MAX);
            return Some(Self::Delay(Duration::from_secs(seconds)));
        }
        let at = httpdate::parse_http_date(text).ok()?;
        let since_epoch = at.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since_epoch.as_micros()).ok().map(Self::At)
    }

    /// How long to wait at `now` (microseconds since the epoch); zero for a time that has passed. The caller caps it.
    pub fn wait_from(self, now: i64) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::At(at) => {
                let wait = at.saturating_sub(now);
                Duration::from_micros(u64::try_from(wait).unwrap_or(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_all_three_date_forms_are_read() {
        assert_eq!(
            RetryAfter::parse(b" 120 "),
            Some(RetryAfter::Delay(Duration::from_secs(120)))
        );
        let at = Some(RetryAfter::At(784_111_777_000_000));
        assert_eq!(RetryAfter::parse(b"Sun, 06 Nov 1994 08:49:37 GMT"), at);
        assert_eq!(RetryAfter::parse(b"Sunday, 06-Nov-94 08:49:37 GMT"), at);
        assert_eq!(RetryAfter::parse(b"Sun Nov  6 08:49:37 1994"), at);
    }

    #[test]
    fn anything_else_is_as_good_as_absent() {
        for value in ["", "soon", "-1", "1.5", "+3", "\u{ff11}"] {
            assert_eq!(RetryAfter::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_date_counts_from_now_and_a_past_one_not_at_all() {
        let at = RetryAfter::At(10_000_000);
        assert_eq!(at.wait_from(4_000_000), Duration::from_secs(6));
        assert_eq!(at.wait_from(11_000_000), Duration::ZERO);
    }

    #[test]
    fn a_number_beyond_64_bits_is_a_very_long_wish() {
        assert_eq!(
            RetryAfter::parse(b"99999999999999999999999"),
            Some(RetryAfter::Delay(Duration::from_secs(u64::MAX)))
        );
    }
}
