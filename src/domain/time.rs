//! Instants as the hub stores them: whole microseconds since the Unix epoch, UTC.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant: microseconds since 1970-01-01T00:00:00Z. Both databases store it as a BIGINT.
///
/// On the outside it is RFC 3339 text with milliseconds, such as `2026-03-02T14:06:00.120Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub i64);

impl Micros {
    /// The instant `span` later; stops at the end of the range instead of wrapping.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// The instant `span` earlier; stops at the start of the range instead of wrapping.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The same instant as a chrono date; the epoch when it is out of chrono's range.
    #[must_use]
    pub fn date(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// RFC 3339 with milliseconds and `Z`, as every document of the API shows it.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.date().to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

impl From<DateTime<Utc>> for Micros {
    fn from(date: DateTime<Utc>) -> Self {
        Self(date.timestamp_micros())
    }
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text)
            .map(|date| Self(date.timestamp_micros()))
            .map_err(|_| de::Error::custom("expected a time such as 2026-03-02T14:06:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_shown_with_milliseconds_and_read_back() {
        let at = Micros(1_425_305_160_120_999);
        assert_eq!(at.rfc3339(), "2015-03-02T14:06:00.120Z");
        let read: Micros = serde_json::from_str("\"2015-03-02T14:06:00.120+00:00\"").unwrap();
        assert_eq!(read, Micros(1_425_305_160_120_000));
    }

    #[test]
    fn adding_and_subtracting_stop_at_the_ends_of_the_range() {
        assert_eq!(Micros(i64::MAX).plus(Duration::from_secs(1)).0, i64::MAX);
        assert_eq!(Micros(i64::MIN).minus(Duration::MAX).0, i64::MIN);
        assert_eq!(Micros(5).since(Micros(9)), Duration::ZERO);
    }
}
