//! A request's query string, read strictly: a filter that is misspelt would show too much without a word.
//!
//! Empty values count as absent, since forms of 2013 send all their fields. `_` (a cache buster) and `environment` are sent by
//! those clients everywhere and mean nothing here.

use std::str::FromStr;

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime};

use crate::{db::PageKey, domain::time::Micros};

use super::{error::ApiError, fields::unknown};

/// Rows on a page of any list.
pub const PER_PAGE: usize = 25;
/// The last page that may be asked for by number, and the most that are counted.
pub const LAST_PAGE: usize = 40;

const IGNORED: [&str; 2] = ["_", "environment"];

/// The parameters of a query and what is wrong with them so far.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    problems: Vec<String>,
}

impl Query {
    /// Reads a query string whose parameters may be those in `known`.
    #[must_use]
    pub fn read(text: &str, known: &[&str]) -> Self {
        let mut query = Self {
            pairs: Vec::new(),
            problems: Vec::new(),
        };
        match serde_urlencoded::from_str::<Vec<(String, String)>>(text) {
            Ok(pairs) => query.pairs = pairs,
            Err(_) => query.problems.push("query: is not valid UTF-8".to_owned()),
        }
        for (name, _) in &query.pairs {
            if !known.contains(&name.as_str()) && !IGNORED.contains(&name.as_str()) {
                query.problems.push(unknown(name, known));
            }
        }
        query
    }

    /// The value of a parameter, when it has one.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let value = self
            .pairs
            .iter()
            .rev()
            .find(|(known, _)| known == name)?
            .1
            .trim();
        (!value.is_empty()).then_some(value)
    }

    /// The value of a parameter as a `T`; what cannot be read is noted with the reader's words.
    pub fn parsed<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        match self.text(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(name, error);
                None
            }
        }
    }

    /// Notes that something is wrong.
    pub fn note(&mut self, name: &str, problem: impl std::fmt::Display) {
        self.problems.push(format!("{name}: {problem}"));
    }

    /// The page asked for: by number, by key, or both (then the number counts from the key).
    pub fn page(&mut self) -> PageAsked {
        let number = match self.text("page").map(str::parse::<usize>) {
            None => 1,
            Some(Ok(number)) if (1..=LAST_PAGE).contains(&number) => number,
            Some(Ok(number)) if number > LAST_PAGE => {
                let further = "follow next from there on";
                self.note(
                    "page",
                    format_args!("pages are numbered up to {LAST_PAGE}, {further}"),
                );
                1
            }
            Some(_) => {
                self.note(
                    "page",
                    format_args!("must be a number from 1 to {LAST_PAGE}"),
                );
                1
            }
        };
        let after = self
            .text("after")
            .or_else(|| self.text("next"))
            .map(read_key);
        if after == Some(None) {
            self.note("after", "is no key that a list gave as next");
        }
        PageAsked {
            number,
            after: after.flatten(),
        }
    }

    /// The instant a parameter names: RFC 3339, or a date and time without an offset (then UTC), or a date. `bound` says
    /// what a date means, and that the end is exclusive while people mean the instant they wrote to be in.
    pub fn time(&mut self, name: &str, bound: Bound) -> Option<Micros> {
        let text = self.text(name)?;
        match read_time(text, bound) {
            Some(at) => Some(at),
            None => {
                self.note(
                    name,
                    "must be a time such as 2026-03-02T14:06:00Z or a date",
                );
                None
            }
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with all that was noted.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid("query", self.problems))
        }
    }
}

/// Which end of a span of time is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Its start, inclusive.
    From,
    /// Its end, made exclusive: one step of what was written is added.
    Until,
}

fn read_time(text: &str, bound: Bound) -> Option<Micros> {
    // An offset's plus sign that was not escaped in the query arrives as a space.
    let escaped = |text: &str| DateTime::parse_from_rfc3339(&text.replace(' ', "+")).ok();
    let instant = DateTime::parse_from_rfc3339(text)
        .ok()
        .or_else(|| escaped(text))
        .map(|at| at.to_utc())
        .or_else(|| {
            [
                "%Y-%m-%dT%H:%M:%S%.f",
                "%Y-%m-%d %H:%M:%S%.f",
                "%Y-%m-%dT%H:%M",
                "%Y-%m-%d %H:%M",
            ]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .map(|at| at.and_utc())
        });
    let (at, step) = match instant {
        // Answers show milliseconds: whoever copies one of them means all of it.
        Some(at) => (at, Duration::milliseconds(1)),
        None => {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .or_else(|_| NaiveDate::parse_from_str(text, "%Y/%m/%d"));
            (
                date.ok()?.and_hms_opt(0, 0, 0)?.and_utc(),
                Duration::days(1),
            )
        }
    };
    match bound {
        Bound::From => Some(at.into()),
        Bound::Until => Some(at.checked_add_signed(step)?.into()),
    }
}

/// A page as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageAsked {
    /// Its number, from 1.
    pub number: usize,
    /// The key behind which page 1 begins.
    pub after: Option<PageKey>,
}

impl PageAsked {
    /// Rows to skip after the key.
    #[must_use]
    pub fn skip(self) -> usize {
        self.number.saturating_sub(1) * PER_PAGE
    }
}

/// How many pages `matching` rows fill, at least one and at most [`LAST_PAGE`] (which then means "at least").
#[must_use]
pub fn pages_of(matching: usize) -> usize {
    matching.div_ceil(PER_PAGE).clamp(1, LAST_PAGE)
}

/// A page's key as the API gives it away: opaque, and of a form that can change (`1` is its version).
#[must_use]
pub fn write_key(key: PageKey) -> String {
    format!("1{:016x}", key.0 as u64)
}

/// Reads what [`write_key`] wrote; `None` when the text is nothing of the kind.
pub fn read_key(text: &str) -> Option<PageKey> {
    let digits = text.strip_prefix('1').filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16)
        .ok()
        .map(|number| PageKey(number as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Result<PageAsked, Vec<String>> {
        let mut query = Query::read(text, &["page", "after", "next", "state"]);
        let page = query.page();
        query
            .finish()
            .map(|()| page)
            .map_err(|error| error.document().errors.to_vec())
    }

    #[test]
    fn a_page_is_asked_for_by_number_or_by_key() {
        assert_eq!(
            page(""),
            Ok(PageAsked {
                number: 1,
                after: None
            })
        );
        assert_eq!(
            page("page=&_=1361&environment=production"),
            Ok(PageAsked {
                number: 1,
                after: None
            })
        );
        assert_eq!(page("page=3").map(PageAsked::skip), Ok(50));
        for key in [PageKey(0), PageKey(i64::MAX), PageKey(-1)] {
            let text = write_key(key);
            assert_eq!(
                page(&format!("after={text}")).map(|page| page.after),
                Ok(Some(key))
            );
            assert_eq!(
                page(&format!("next={text}")).map(|page| page.after),
                Ok(Some(key))
            );
        }
    }

    #[test]
    fn pages_beyond_the_fortieth_go_by_next() {
        assert_eq!(
            page("page=41"),
            Err(vec![
                "page: pages are numbered up to 40, follow next from there on".to_owned()
            ])
        );
        assert_eq!(
            page("page=0"),
            Err(vec!["page: must be a number from 1 to 40".to_owned()])
        );
        assert_eq!(
            page("after=zz"),
            Err(vec!["after: is no key that a list gave as next".to_owned()])
        );
        assert_eq!(
            (pages_of(0), pages_of(25), pages_of(26), pages_of(1001)),
            (1, 1, 2, 40)
        );
    }

    #[test]
    fn a_misspelt_filter_is_told_and_not_dropped() {
        assert_eq!(
            page("stat=failing"),
            Err(vec!["stat: is unknown, did you mean state?".to_owned()])
        );
    }

    #[test]
    fn times_are_read_in_every_form_that_clients_send() {
        let at = |text: &str| read_time(text, Bound::From).map(Micros::rfc3339);
        for text in [
            "2015-03-02T14:06:00Z",
            "2015-03-02T16:06:00+02:00",
            "2015-03-02T16:06:00 02:00",
            "2015-03-02 14:06",
        ] {
            assert_eq!(
                at(text).as_deref(),
                Some("2015-03-02T14:06:00.000Z"),
                "{text}"
            );
        }
        assert_eq!(
            at("2015-03-02").as_deref(),
            Some("2015-03-02T00:00:00.000Z")
        );
        assert_eq!(at("yesterday"), None);
        let until = |text: &str| read_time(text, Bound::Until).map(Micros::rfc3339);
        assert_eq!(
            until("2015-03-02").as_deref(),
            Some("2015-03-03T00:00:00.000Z")
        );
        assert_eq!(
            until("2015-03-02T14:06:00.120Z").as_deref(),
            Some("2015-03-02T14:06:00.121Z")
        );
    }
}
