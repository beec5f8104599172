//! The range of a number.

use std::fmt;

use toml::Value;

/// A key's smallest and largest value, both allowed.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Bound {
    pub(in crate::config) key: &'static str,
    min: f64,
    max: f64,
}

impl Bound {
    /// Whole numbers are exact up to 2^53, far above every limit in use.
    pub(super) const fn new(key: &'static str, min: f64, max: f64) -> Self {
        Self { key, min, max }
    }

    /// Whether `value` lies within. What is no number has been refused by its type already.
    pub(in crate::config) fn holds(&self, value: &Value) -> bool {
        let number = match value {
            Value::Integer(number) => *number as f64,
            Value::Float(number) => *number,
            _ => return true,
        };
        (self.min..=self.max).contains(&number)
    }

    /// The unit that the key's name ends with, as a word.
    fn unit(&self) -> &'static str {
        match self.key.rsplit('_').next() {
            Some("secs") => "seconds, ",
            Some("ms") => "milliseconds, ",
            Some("hours") => "hours, ",
            Some("days") => "days, ",
            Some("bytes") => "bytes, ",
            Some("mib") => "MiB, ",
            _ => "a number ",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}from {} to {}", self.unit(), self.min, self.max)
    }
}
