//! Schedules: when a scheduler pushes its message.
//!
//! Either every so many seconds, minutes, hours, days, weeks or months, or by a cron expression in a time zone. All of it is a pure
//! function of the *anchor* (when the schedule was made or last changed) and the last tick, so every node computes the same
//! ticks and a restart moves none. What was decided:
//!
//! - **Intervals** tick at anchor + n × interval. Seconds to weeks have a fixed length (a day is 24 hours). **Months** are the
//!   calendar's, in UTC, always counted from the anchor: from 31 January it is 28 February, then 31 March, not 28 March.
//! - **Cron** has five fields (minute, hour, day of month, month, day of week; names, ranges, steps, `L`, `W`, `#`) or a nickname
//!   such as `@daily`, read by the clock on the wall of its time zone. When that clock skips an hour, a fixed time in it (`30 2 * * *`)
//!   runs once, at the first instant after the gap. When it repeats an hour, a fixed time runs once, the first time; a pattern with a
//!   star or step in minutes or hours (`*/15 * * * *`) runs in both, because it means an interval.
//! - **Missed ticks** (the program was down) are made up for once: the newest of them is due, the others are only counted.

use std::{fmt, str::FromStr};

use chrono::{Months, TimeZone};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::time::Micros;

/// The greatest count of an interval.
pub const MAX_COUNT: u32 = 100_000;

/// The longest cron expression, in bytes.
pub const MAX_CRON_BYTES: usize = 120;

/// Missed ticks of a cron expression are counted up to here.
const MAX_COUNTED: u64 = 1_000;

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interval {
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
    /// 24 hours each.
    Days,
    /// Seven days each.
    Weeks,
    /// Months of the calendar.
    Months,
}

impl Interval {
    /// All of them, the shortest first.
    pub const ALL: [Self; 6] = [
        Self::Seconds,
        Self::Minutes,
        Self::Hours,
        Self::Days,
        Self::Weeks,
        Self::Months,
    ];

    /// The plural word used on the wire: `minutes`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::Days => "days",
            Self::Weeks => "weeks",
            Self::Months => "months",
        }
    }

    /// Reads the word, singular or plural, in any case.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|own| text == own.word() || text == own.singular())
    }

    fn singular(self) -> &'static str {
        self.word().strip_suffix('s').unwrap_or(self.word())
    }

    /// Its length in microseconds; months have none.
    fn micros(self) -> Option<i64> {
        const SECOND: i64 = 1_000_000;
        match self {
            Self::Seconds => Some(SECOND),
            Self::Minutes => Some(60 * SECOND),
            Self::Hours => Some(3_600 * SECOND),
            Self::Days => Some(86_400 * SECOND),
            Self::Weeks => Some(7 * 86_400 * SECOND),
            Self::Months => None,
        }
    }
}

/// Why a schedule is refused: `field: sentence`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A count of zero, or a huge one.
    #[error("count: must be a whole number from 1 to {MAX_COUNT}")]
    Count,
    /// An unknown unit.
    #[error("interval: must be seconds, minutes, hours, days, weeks or months")]
    Interval,
    /// A cron expression that cannot be read.
    #[error("cron: {problem}")]
    Cron {
        /// What is wrong, as a sentence.
        problem: String,
    },
    /// A cron expression for days that never come.
    #[error("cron: never comes true")]
    Never,
    /// An unknown time zone.
    #[error("time_zone: is not known, expected a name such as Europe/Berlin or UTC")]
    TimeZone,
    /// Neither or both ways of saying when.
    #[error("count: give either count and interval, or cron with an optional time_zone")]
    Form,
}

/// A cron expression with its time zone.
#[derive(Clone)]
pub struct CronSchedule {
    text: String,
    zone: Tz,
    cron: Box<Cron>,
}

impl CronSchedule {
    /// Reads an expression of five fields or a nickname, and the name of a time zone (IANA; empty is UTC).
    ///
    /// # Errors
    /// When one of them cannot be read, or the expression never comes true (30 February).
    pub fn read(text: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone = match zone.trim() {
            "" => Tz::UTC,
            name => Tz::from_str(name).map_err(|_| ScheduleError::TimeZone)?,
        };
        let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let problem = |problem: &str| ScheduleError::Cron {
            problem: problem.to_owned(),
        };
        if text.is_empty() {
            return Err(problem("is empty"));
        }
        if text.len() > MAX_CRON_BYTES {
            return Err(problem("is too long"));
        }
        if !text.is_ascii() {
            return Err(problem("has letters in it that no cron expression has"));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(&text)
            .map_err(|error| problem(&in_one_sentence(&error.to_string())))?;
        let schedule = Self {
            text,
            zone,
            cron: Box::new(cron),
        };
        // A year after the start of a leap year's cycle: everything that ever happens has happened by then.
        match schedule.next_after(Micros(0)) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never),
        }
    }

    /// The expression, single spaces between its fields.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of its time zone.
    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    fn next_after(&self, after: Micros) -> Option<Micros> {
        let local = self.local(after)?;
        let next = self.cron.find_next_occurrence(&local, false).ok()?;
        let next = Micros::from(next.to_utc());
        (next > after).then_some(next)
    }

    /// The newest tick at or before an instant.
    fn newest_until(&self, until: Micros) -> Option<Micros> {
        let local = self.local(until)?;
        let newest = self.cron.find_previous_occurrence(&local, true).ok()?;
        Some(Micros::from(newest.to_utc()))
    }

    /// An instant by the clock on the wall, in whole seconds.
    fn local(&self, at: Micros) -> Option<chrono::DateTime<Tz>> {
        self.zone.timestamp_opt(at.seconds(), 0).single()
    }
}

fn in_one_sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.trim_end_matches('.').chars().take(200).collect()
}

impl fmt::Debug for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronSchedule({} {})", self.text, self.zone.name())
    }
}

impl PartialEq for CronSchedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

/// When a scheduler ticks. In the API `{"count":30,"interval":"minutes"}` (the count may be a text) or
/// `{"cron":"30 2 * * *","time_zone":"Europe/Berlin"}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// Every so many units.
    Every {
        /// How many, at least 1.
        count: u32,
        /// Of what.
        interval: Interval,
    },
    /// By the calendar.
    Cron(CronSchedule),
}

/// What is to be done about a schedule now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    NotYet {
        /// The next tick; none within chrono's range of dates.
        next: Option<Micros>,
    },
    /// One push, however many ticks were missed.
    Now {
        /// The newest tick that has come: the new "last".
        tick: Micros,
        /// How many older ones were missed and are not made up for; of a cron expression counted up to 1,000.
        missed: u64,
        /// The next tick.
        next: Option<Micros>,
    },
}

impl Schedule {
    /// An interval.
    ///
    /// # Errors
    /// When the count is 0 or above [`MAX_COUNT`].
    pub fn every(count: u32, interval: Interval) -> Result<Self, ScheduleError> {
        if (1..=MAX_COUNT).contains(&count) {
            Ok(Self::Every { count, interval })
        } else {
            Err(ScheduleError::Count)
        }
    }

    /// A cron expression with the name of its time zone; an empty name is UTC.
    ///
    /// # Errors
    /// As [`CronSchedule::read`].
    pub fn cron(text: &str, zone: &str) -> Result<Self, ScheduleError> {
        CronSchedule::read(text, zone).map(Self::Cron)
    }

    /// The first tick after `after`; both instants in microseconds. Ticks of an interval begin one interval after `anchor`.
    #[must_use]
    pub fn next_after(&self, anchor: Micros, after: Micros) -> Option<Micros> {
        match self {
            Self::Cron(cron) => cron.next_after(after.max(anchor)),
            Self::Every { count, interval } => {
                let ticks = ticks_until(anchor, *count, *interval, after)?;
                tick(anchor, *count, *interval, ticks.checked_add(1)?)
            }
        }
    }

    /// The next `count` ticks after `after`, for people.
    #[must_use]
    pub fn next_runs(&self, anchor: Micros, after: Micros, count: usize) -> Vec<Micros> {
        std::iter::successors(self.next_after(anchor, after), |tick| {
            self.next_after(anchor, *tick)
        })
        .take(count)
        .collect()
    }

    /// Whether a tick has come since `last` (the newest tick that was pushed, none before the first).
    ///
    /// When the clock stands before `last`, nothing is due until it has passed it: no tick is ever pushed twice.
    #[must_use]
    pub fn due(&self, anchor: Micros, last: Option<Micros>, now: Micros) -> Due {
        let last = last.unwrap_or(anchor).max(anchor);
        let first = match self.next_after(anchor, last) {
            Some(first) if first <= now => first,
            next => return Due::NotYet { next },
        };
        let (tick, missed) = match self {
            Self::Every { count, interval } => {
                let before = ticks_until(anchor, *count, *interval, last).unwrap_or(0);
                let until = ticks_until(anchor, *count, *interval, now).unwrap_or(0);
                let tick = tick(anchor, *count, *interval, until).unwrap_or(first);
                (tick, until.saturating_sub(before).saturating_sub(1))
            }
            Self::Cron(cron) => {
                let tick = cron
                    .newest_until(now)
                    .filter(|tick| (first..=now).contains(tick))
                    .unwrap_or(first);
                let older = std::iter::successors(Some(first), |at| cron.next_after(*at))
                    .take_while(|at| *at < tick)
                    .take(usize::try_from(MAX_COUNTED).unwrap_or(usize::MAX))
                    .count();
                (tick, older as u64)
            }
        };
        Due::Now {
            tick,
            missed,
            next: self.next_after(anchor, now),
        }
    }

    /// In words, for people: `every 30 minutes`, `At 02:30. (Europe/Berlin)`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Every { count: 1, interval } => format!("every {}", interval.singular()),
            Self::Every { count, interval } => format!("every {count} {}", interval.word()),
            Self::Cron(cron) => format!(
                "{} ({})",
                cron.cron.describe().trim_end_matches('.'),
                cron.zone()
            ),
        }
    }
}

/// How many ticks there are after `anchor`, up to and with `until`.
fn ticks_until(anchor: Micros, count: u32, interval: Interval, until: Micros) -> Option<u64> {
    if until <= anchor {
        return Some(0);
    }
    if let Some(unit) = interval.micros() {
        let span = i128::from(unit) * i128::from(count);
        return u64::try_from((i128::from(until.0) - i128::from(anchor.0)) / span).ok();
    }
    use chrono::Datelike;
    let (from, to) = (anchor.date(), until.date());
    let months =
        i64::from(to.year() - from.year()) * 12 + i64::from(to.month()) - i64::from(from.month());
    // Months passed by the calendar's pages are one too many while the day or the time of day has not come yet.
    let pages = u64::try_from(months).ok()? / u64::from(count);
    let reached = tick(anchor, count, interval, pages).is_some_and(|tick| tick <= until);
    Some(if reached {
        pages
    } else {
        pages.saturating_sub(1)
    })
}

/// The `n`th tick after `anchor`; the anchor itself for 0.
fn tick(anchor: Micros, count: u32, interval: Interval, n: u64) -> Option<Micros> {
    match interval.micros() {
        Some(unit) => {
            let span = unit.checked_mul(i64::from(count))?;
            let offset = span.checked_mul(i64::try_from(n).ok()?)?;
            anchor.0.checked_add(offset).map(Micros)
        }
        None => {
            let months = u32::try_from(n).ok()?.checked_mul(count)?;
            let date = anchor.date().checked_add_months(Months::new(months))?;
            Some(Micros::from(date))
        }
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(2))?;
        match self {
            Self::Every { count, interval } => {
                map.serialize_entry("count", count)?;
                map.serialize_entry("interval", interval.word())?;
            }
            Self::Cron(cron) => {
                map.serialize_entry("cron", cron.text())?;
                map.serialize_entry("time_zone", cron.zone())?;
            }
        }
        map.end()
    }
}

/// A schedule's members as they come, before they are checked.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ScheduleFields {
    /// How many units; a number or a text of one.
    #[serde(default)]
    pub count: Option<serde_json::Value>,
    /// The unit.
    #[serde(default)]
    pub interval: Option<String>,
    /// A cron expression.
    #[serde(default)]
    pub cron: Option<String>,
    /// Its time zone.
    #[serde(default)]
    pub time_zone: Option<String>,
}

impl ScheduleFields {
    /// Checks them.
    ///
    /// # Errors
    /// `field: sentence`.
    pub fn check(&self) -> Result<Schedule, ScheduleError> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        match (&self.count, filled(&self.interval), filled(&self.cron)) {
            (None, None, Some(cron)) => {
                Schedule::cron(&cron, self.time_zone.as_deref().unwrap_or_default())
            }
            (count, Some(interval), None) => {
                // `{"interval":"hours"}` alone means every hour.
                let count = match count {
                    None | Some(serde_json::Value::Null) => 1,
                    Some(serde_json::Value::String(text)) => {
                        text.trim().parse().map_err(|_| ScheduleError::Count)?
                    }
                    Some(value) => value
                        .as_u64()
                        .and_then(|count| u32::try_from(count).ok())
                        .ok_or(ScheduleError::Count)?,
                };
                let interval = Interval::read(&interval).ok_or(ScheduleError::Interval)?;
                Schedule::every(count, interval)
            }
            (Some(_), None, None) => Err(ScheduleError::Interval),
            _ => Err(ScheduleError::Form),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ScheduleFields::deserialize(deserializer)?
            .check()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/schedule.rs"]
mod tests;
