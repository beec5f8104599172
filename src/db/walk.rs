//! Lists as walks: down one index, newest first, a bounded number of rows, keeping those that match.
//!
//! Every list's order is that of its keys, and every table has indexes that end in the key. So a list picks the index that
//! fits its narrowest filter and walks it; the other filters are checked on the way. A walk that has looked at
//! [`ROWS_EXAMINED`] rows stops and says where: the page then holds what was found, and the next page goes on from there,
//! so that no filter however rare reads a million rows at once. A filter with several values (two spellings of a type) is
//! several walks, merged.
//!
//! Here is what both backends do with walks and what they find; the walks themselves, their texts and their indexes, are
//! each backend's own. Texts are put together from numbers only: nothing that a client wrote becomes part of a statement.

/// Rows that one walk looks at, at most.
pub(in crate::db) const ROWS_EXAMINED: usize = 20_000;

/// Pages that are counted ahead for clients that count pages.
const PAGES_COUNTED: usize = 40;

/// Which keys a walk may give: from `least` (with it) to below `below`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) struct Range {
    pub(in crate::db) least: i64,
    pub(in crate::db) below: i64,
}

impl Range {
    /// Every key: the first is 1.
    pub(in crate::db) const ALL: Self = Self {
        least: 0,
        below: i64::MAX,
    };

    /// Every key below this one.
    pub(in crate::db) fn below(below: i64) -> Self {
        Self { below, ..Self::ALL }
    }
}

/// What walks found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::db) struct Found {
    /// Keys, newest first.
    pub(in crate::db) keys: Vec<i64>,
    /// Where looking stopped, when it stopped before the end: older rows are still to be looked at.
    pub(in crate::db) stopped_at: Option<i64>,
}

impl Found {
    /// Takes in what another walk over the same range found, in any order.
    pub(in crate::db) fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        // Below the newest stop some walk has not looked yet.
        self.stopped_at = self.stopped_at.max(other.stopped_at);
    }

    /// The newest `limit` keys of all that was added, as far as every walk has looked.
    pub(in crate::db) fn merged(mut self, limit: usize) -> Self {
        if let Some(stop) = self.stopped_at {
            self.keys.retain(|key| *key >= stop);
        }
        self.keys.sort_unstable_by(|one, other| other.cmp(one));
        self.keys.dedup();
        if self.keys.len() >= limit {
            self.keys.truncate(limit);
            self.stopped_at = None;
        }
        self
    }
}

/// A page of what walks found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::db) struct Page {
    /// The page's keys, newest first.
    pub(in crate::db) keys: Vec<i64>,
    /// Where the next page begins.
    pub(in crate::db) next: Option<i64>,
    /// How many match, counted up to `counted_up_to`.
    pub(in crate::db) matching: usize,
    /// Where counting stopped.
    pub(in crate::db) counted_up_to: usize,
}

/// How many keys a page needs to know: its own, one more, and those that are counted.
pub(in crate::db) fn keys_wanted(skip: usize, limit: usize) -> usize {
    limit
        .saturating_mul(PAGES_COUNTED)
        .max(skip.saturating_add(limit).saturating_add(1))
}

/// Cuts a page out of what was found.
pub(in crate::db) fn page(found: &Found, skip: usize, limit: usize) -> Page {
    let keys: Vec<i64> = found.keys.iter().skip(skip).take(limit).copied().collect();
    let more = found.keys.len() > skip.saturating_add(limit);
    let next = if more {
        keys.last().copied()
    } else {
        found.stopped_at
    };
    let counted_up_to = limit.saturating_mul(PAGES_COUNTED);
    Page {
        keys,
        next,
        matching: found.keys.len().min(counted_up_to),
        counted_up_to,
    }
}

/// `column IN (1,2,3)`; of nothing, a condition that nothing meets.
pub(in crate::db) fn among(column: &str, numbers: impl IntoIterator<Item = i64>) -> String {
    let numbers: Vec<String> = numbers
        .into_iter()
        .map(|number| number.to_string())
        .collect();
    if numbers.is_empty() {
        "FALSE".into()
    } else {
        format!("{column} IN ({})", numbers.join(","))
    }
}

/// Conditions joined, empty ones left out.
pub(in crate::db) fn all_of(conditions: &[String]) -> String {
    let given: Vec<&str> = conditions
        .iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .collect();
    given.join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keys: &[i64], stopped_at: Option<i64>) -> Found {
        Found {
            keys: keys.to_vec(),
            stopped_at,
        }
    }

    #[test]
    fn merged_walks_give_the_newest_keys_once() {
        let mut all = Found::default();
        all.add(found(&[9, 5, 3], None));
        all.add(found(&[8, 5, 4], None));
        assert_eq!(all.clone().merged(10), found(&[9, 8, 5, 4, 3], None));
        assert_eq!(all.merged(2), found(&[9, 8], None));
    }

    #[test]
    fn nothing_is_given_below_where_some_walk_stopped() {
        let mut all = Found::default();
        all.add(found(&[9, 2], None));
        all.add(found(&[8], Some(6)));
        all.add(found(&[], Some(4)));
        assert_eq!(all.clone().merged(10), found(&[9, 8], Some(6)));
        assert_eq!(all.merged(2), found(&[9, 8], None));
    }

    #[test]
    fn a_page_goes_on_behind_its_last_key_or_where_looking_stopped() {
        let whole = page(&found(&[9, 8, 7], Some(3)), 0, 2);
        assert_eq!((whole.keys, whole.next), (vec![9, 8], Some(8)));
        let last = page(&found(&[9, 8, 7], Some(3)), 2, 2);
        assert_eq!((last.keys, last.next), (vec![7], Some(3)));
        assert_eq!((last.matching, last.counted_up_to), (3, 80));
    }

    #[test]
    fn one_of_nothing_is_met_by_nothing() {
        assert_eq!(among("seq", []), "FALSE");
        assert_eq!(among("seq", [1, 2]), "seq IN (1,2)");
    }
}
