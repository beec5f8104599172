//! Reading a list that is sorted by a timestamp, oldest first, without losing a row: pure, one page at a time.
//!
//! Three things make the obvious way (page 1, page 2, ...) lose changes (WIRE D.0):
//!
//! - *Drift.* A row that changes moves to the end, and all behind it move up one: the next page misses one. So there is only
//!   a page 1: after each, the mark moves to the last row's time, and page 1 is asked for again from there.
//! - *Ties.* More rows may share a time than fit on a page. Then a larger page is asked for; where that has its limit, page
//!   2, 3, ... are read until the time changes, and then once more *backwards*: rows leave the group and never join it, so a
//!   row's place only falls, and a reader that goes down cannot pass it.
//! - *Late commits.* A transaction may commit with a time older than rows already read. So each poll starts an overlap
//!   before the mark, and drops what was seen.
//!
//! The mark is the shop's time, never ours. Rows dated beyond the shop's own clock are read but do not move it: one order
//! of 2099 must not end the polling.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::domain::time::Micros;

/// How far before `since` a row may be dated: where a shop shows whole seconds, its filter sees fractions.
const COARSENESS: i64 = 1_000_000;
/// How far ahead of the shop's clock a row may be dated and still be believed.
const AHEAD: Duration = Duration::from_secs(600);
/// How often a group of ties is read backwards while each time something new turns up.
const PASSES: u8 = 5;
/// How much more may be remembered in the middle of a group of ties.
const STRETCH: usize = 4;

/// What the engine needs to know of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The shop's id.
    pub id: String,
    /// The time that the list is sorted by.
    pub at: Micros,
    /// Of the row's text.
    pub hash: u64,
    /// Whether the time is shown in whole seconds and the row is less than the document, so that a second change within the
    /// second would not show.
    pub coarse: bool,
}

/// The hash of a row's text.
#[must_use]
pub fn row_hash(text: &str) -> u64 {
    // Keyed with constants, so the same in every run of this version; a new version at worst reads an overlap twice.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Sizes of pages and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Rows per page as a rule.
    pub per_page: u32,
    /// The most that the shop gives.
    pub max_per_page: u32,
    /// How far before the mark each poll starts.
    pub overlap: Duration,
    /// The most rows to remember.
    pub seen_max: usize,
}

/// The next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Rows of this time and later.
    pub since: Micros,
    /// From 1.
    pub page: u32,
    /// Rows per page.
    pub per_page: u32,
}

/// What to do after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask again.
    More,
    /// Everything was read.
    CaughtUp,
}

/// Why a page cannot be worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disorder {
    /// Rows from before the time asked for.
    FilterIgnored,
    /// Not sorted.
    SortIgnored,
    /// Page after page holds the same rows.
    PageIgnored,
}

/// How far a list was read. Serialises into the cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ascent {
    /// The newest time that was read.
    mark: i64,
    /// No poll starts before this: the start, or where the memory of rows ends.
    floor: i64,
    /// Mid-poll only.
    reading: Option<Reading>,
    /// Rows read since `mark - overlap`, by id.
    seen: BTreeMap<String, Seen>,
}

/// `at`, `hash`, and whether it must be looked at once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen(i64, u64, bool);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Reading {
    since: i64,
    page: u32,
    per_page: u32,
    tie: Tie,
    /// Of the ids of the page before.
    page_hash: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tie {
    /// The time moves from page to page.
    None,
    /// Reading on by page.
    Onward,
    /// Reading back; then on from `next`, or done.
    Back {
        top: u32,
        next: Option<i64>,
        fresh: bool,
        passes: u8,
    },
}

impl Ascent {
    /// Starts at `from`.
    #[must_use]
    pub fn starting(from: Micros) -> Self {
        Self {
            mark: from.0,
            floor: from.0,
            reading: None,
            seen: BTreeMap::new(),
        }
    }

    /// The newest time that was read.
    #[must_use]
    pub fn mark(&self) -> Micros {
        Micros(self.mark)
    }

    /// Whether a poll is under way.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// The next request; begins a poll if none is under way.
    pub fn ask(&mut self, sizes: &Sizes) -> Ask {
        let start = Micros(self.mark).minus(sizes.overlap).0.max(self.floor);
        let reading = self.reading.get_or_insert(Reading {
            since: start,
            page: 1,
            per_page: sizes.per_page,
            tie: Tie::None,
            page_hash: 0,
        });
        Ask {
            since: Micros(reading.since),
            page: reading.page,
            per_page: reading.per_page,
        }
    }

    /// Takes the page that was asked for: the places of rows not seen before, and what to do next. `is_last` says that the
    /// shop has no rows behind these.
    ///
    /// # Errors
    /// [`Disorder`]; the ascent is then to be thrown away, and the one from before the page kept.
    pub fn absorb(
        &mut self,
        rows: &[Stamp],
        is_last: bool,
        store_now: Option<Micros>,
        sizes: &Sizes,
    ) -> Result<(Vec<usize>, Step), Disorder> {
        let Some(mut reading) = self.reading else {
            return Ok((Vec::new(), Step::CaughtUp));
        };
        if rows.iter().any(|row| row.at.0 < reading.since - COARSENESS) {
            return Err(Disorder::FilterIgnored);
        }
        if !rows.is_sorted_by_key(|row| row.at) {
            return Err(Disorder::SortIgnored);
        }
        let page_hash = ids_hash(rows);
        if reading.tie == Tie::Onward && !rows.is_empty() && page_hash == reading.page_hash {
            return Err(Disorder::PageIgnored);
        }
        reading.page_hash = page_hash;
        let fresh = self.note(rows, store_now);
        let believed = |row: &&Stamp| store_now.is_none_or(|now| row.at <= now.plus(AHEAD));
        let last = rows.iter().rev().find(believed).map(|row| row.at.0);
        let all_believed = rows.iter().all(|row| believed(&row));
        if let Some(last) = last {
            self.mark = self.mark.max(last);
        }
        // Behind a row of the future stand only more of them.
        let is_last = is_last || !all_believed || rows.is_empty();
        let next = self.next(
            reading,
            last.unwrap_or(reading.since),
            is_last,
            !fresh.is_empty(),
            sizes,
        );
        self.reading = next;
        self.forget(sizes);
        let step = if next.is_some() {
            Step::More
        } else {
            Step::CaughtUp
        };
        Ok((fresh, step))
    }

    fn note(&mut self, rows: &[Stamp], store_now: Option<Micros>) -> Vec<usize> {
        let mut fresh = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let is_hot =
                row.coarse && store_now.is_some_and(|now| row.at.seconds() >= now.seconds());
            let entry = Seen(row.at.0, row.hash, is_hot);
            match self.seen.get(&row.id) {
                Some(Seen(at, hash, was_hot))
                    if (*at, *hash) == (row.at.0, row.hash) && (!was_hot || is_hot) => {}
                _ => {
                    fresh.push(place);
                    self.seen.insert(row.id.clone(), entry);
                }
            }
        }
        fresh
    }

    fn next(
        &self,
        reading: Reading,
        last: i64,
        is_last: bool,
        any_fresh: bool,
        sizes: &Sizes,
    ) -> Option<Reading> {
        let from = |since: i64| Reading {
            since,
            page: 1,
            per_page: sizes.per_page,
            tie: Tie::None,
            page_hash: 0,
        };
        match reading.tie {
            Tie::None if is_last => None,
            Tie::None if last > reading.since => Some(from(last)),
            Tie::None if reading.per_page < sizes.max_per_page => Some(Reading {
                per_page: reading.per_page.saturating_mul(4).min(sizes.max_per_page),
                ..reading
            }),
            Tie::None => Some(Reading {
                page: 2,
                tie: Tie::Onward,
                ..reading
            }),
            Tie::Onward if is_last || last > reading.since => Some(Reading {
                page: reading.page - 1,
                tie: Tie::Back {
                    top: reading.page - 1,
                    next: (!is_last).then_some(last),
                    fresh: false,
                    passes: 1,
                },
                ..reading
            }),
            Tie::Onward => Some(Reading {
                page: reading.page + 1,
                ..reading
            }),
            Tie::Back {
                top,
                next,
                fresh,
                passes,
            } => {
                let fresh = fresh || any_fresh;
                if reading.page > 1 {
                    Some(Reading {
                        page: reading.page - 1,
                        tie: Tie::Back {
                            top,
                            next,
                            fresh,
                            passes,
                        },
                        ..reading
                    })
                } else if fresh && passes < PASSES {
                    Some(Reading {
                        page: top,
                        tie: Tie::Back {
                            top,
                            next,
                            fresh: false,
                            passes: passes + 1,
                        },
                        ..reading
                    })
                } else {
                    next.map(from)
                }
            }
        }
    }

    /// Forgets rows from before the overlap, and the oldest of too many: then no poll goes back behind them. What the poll
    /// under way may meet again is kept, up to [`STRETCH`] times as much.
    fn forget(&mut self, sizes: &Sizes) {
        let start = Micros(self.mark).minus(sizes.overlap).0.max(self.floor);
        let since = self
            .reading
            .map_or(start, |reading| reading.since.min(start));
        self.seen.retain(|_, seen| seen.0 >= since - COARSENESS);
        if self.seen.len() <= sizes.seen_max {
            return;
        }
        let mut times: Vec<i64> = self.seen.values().map(|seen| seen.0).collect();
        times.sort_unstable();
        let cut = times[times.len() - sizes.seen_max];
        // What shares the time of the first row kept is kept with it, or forgotten whole.
        let is_first_group = times.first() == Some(&cut);
        let mut keep_from = if is_first_group || cut >= self.mark {
            cut.saturating_add(1)
        } else {
            cut
        };
        if let Some(reading) = self.reading
            && self.seen.len() <= sizes.seen_max.saturating_mul(STRETCH)
        {
            keep_from = keep_from.min(reading.since);
        }
        self.seen.retain(|_, seen| seen.0 >= keep_from);
        self.floor = self.floor.max(keep_from);
    }
}

fn ids_hash(rows: &[Stamp]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for row in rows {
        row.id.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
#[path = "tests/ascent.rs"]
mod tests;
