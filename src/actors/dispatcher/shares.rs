//! Shares: how much of the window a mapping with a limit of its own may fill.
//!
//! All mappings of an integration share one window, and it is read in order of due time. A mapping that may only send one request at a time, or ten
//! a second, would fill it with its backlog, and the others' deliveries would never be read. So such a mapping gets a bounded share; once
//! it has that, reads leave it out until half of its share has begun. Mappings without limits of their own need no share: they are begun as
//! fast as the endpoint allows, in order of due time.

use std::collections::{HashMap, HashSet};

use crate::domain::{
    delivery::Delivery,
    key::{EndpointKey, MappingKey},
    registry::{MappingOptions, Registry},
};

use super::window::Window;

/// See the module.
#[derive(Debug, Default)]
pub struct Shares {
    /// The registry that the next two were made from.
    version: Option<i64>,
    /// Mappings with limits of their own at an endpoint of several.
    limited: HashSet<MappingKey>,
    /// How many deliveries each of them may have waiting in the window.
    share: usize,
    /// Those that have their share: the next read leaves them out.
    left_out: Vec<MappingKey>,
}

impl Shares {
    /// Takes in what is configured now. When that makes other shares, what waits in the window was taken in under the former ones: it goes back, to be
    /// read anew. True then.
    pub fn refresh(
        &mut self,
        registry: &Registry,
        endpoint: EndpointKey,
        window: &mut Window,
    ) -> bool {
        if self.version == Some(registry.version) {
            return false;
        }
        self.version = Some(registry.version);
        let owner = registry.endpoints.get(&endpoint);
        let store = owner.and_then(|store| registry.stores.get(store));
        let own = store.map(|store| {
            let all = store.mappings.values();
            all.filter(move |mapping| store.endpoint_of(mapping) == endpoint)
        });
        let (mut all, mut limited) = (0, HashSet::new());
        for mapping in own.into_iter().flatten() {
            all += 1;
            if has_limit(&mapping.value.options) {
                limited.insert(mapping.key);
            }
        }
        if all < 2 {
            limited.clear();
        }
        self.bound(limited, window)
    }

    /// The share leaves room for one more mapping than those that are limited.
    fn bound(&mut self, limited: HashSet<MappingKey>, window: &mut Window) -> bool {
        if self.limited == limited {
            return false;
        }
        self.share = (window.size() / (limited.len() + 1)).max(1);
        self.limited = limited;
        self.left_out.clear();
        window.forget_waiting();
        true
    }

    /// Whether no mapping has a share: all may fill the window.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.limited.is_empty()
    }

    /// Of what was read, what the window may take in. The rest stays in the database, and its mapping is left out of the next reads.
    pub fn admit(&mut self, window: &Window, mut read: Vec<Delivery>) -> Vec<Delivery> {
        if self.limited.is_empty() {
            return read;
        }
        let mut counts: HashMap<MappingKey, usize> = HashMap::new();
        read.retain(|one| {
            if !self.limited.contains(&one.mapping) {
                return true;
            }
            let count = counts
                .entry(one.mapping)
                .or_insert_with(|| window.waiting_of(one.mapping));
            let has_room = *count < self.share;
            if has_room {
                *count += 1;
            } else if !self.left_out.contains(&one.mapping) {
                self.left_out.push(one.mapping);
            }
            has_room
        });
        read
    }

    /// Mappings that the next read leaves out.
    #[must_use]
    pub fn left_out(&self) -> Vec<MappingKey> {
        self.left_out.clone()
    }

    /// Lets mappings in again that have begun half of their share. True when there are any: more can be read then.
    pub fn let_in(&mut self, window: &Window) -> bool {
        let before = self.left_out.len();
        let low = self.share / 2;
        self.left_out
            .retain(|mapping| window.waiting_of(*mapping) > low);
        before > self.left_out.len()
    }

    /// What waits in the window and no limit of a mapping holds up.
    #[must_use]
    pub fn waiting_freely(&self, window: &Window) -> usize {
        if self.limited.is_empty() {
            return window.waiting();
        }
        window.waiting_that(|one| !self.limited.contains(&one.mapping))
    }
}

fn has_limit(options: &MappingOptions) -> bool {
    options.concurrency.is_some() || options.rate_per_sec.is_some()
}

#[cfg(test)]
mod tests {
    use super::{super::window::tests::delivery, *};

    const SLOW: i64 = 1;
    const FREE: i64 = 2;

    fn shares(size: usize) -> Shares {
        let mut shares = Shares::default();
        let limited = HashSet::from([MappingKey(SLOW)]);
        assert!(shares.bound(limited, &mut Window::new(size)));
        shares
    }

    fn backlog(mapping: i64, keys: std::ops::Range<i64>) -> Vec<Delivery> {
        keys.map(|key| delivery(key, mapping)).collect()
    }

    #[test]
    fn a_limited_mappings_backlog_fills_its_share_and_no_more() {
        let (mut shares, mut window) = (shares(10), Window::new(10));
        let taken = shares.admit(&window, backlog(SLOW, 0..10));
        window.take_in(taken);
        assert_eq!((window.waiting(), window.room()), (5, 5));
        assert_eq!(shares.left_out(), [MappingKey(SLOW)]);
        let taken = shares.admit(&window, backlog(FREE, 20..25));
        assert_eq!(taken.len(), 5, "the others have the rest");
    }

    #[test]
    fn what_a_limit_holds_up_does_not_count_as_work_at_hand() {
        let (mut shares, mut window) = (shares(10), Window::new(10));
        window.take_in(shares.admit(&window, backlog(SLOW, 0..4)));
        assert_eq!((window.waiting(), shares.waiting_freely(&window)), (4, 0));
        window.take_in(shares.admit(&window, backlog(FREE, 4..6)));
        assert_eq!(shares.waiting_freely(&window), 2);
    }

    #[test]
    fn a_mapping_is_let_in_again_when_half_of_its_share_has_begun() {
        let (mut shares, mut window) = (shares(8), Window::new(8));
        window.take_in(shares.admit(&window, backlog(SLOW, 0..8)));
        assert!(!shares.let_in(&window));
        window.begin_first(|_, _| true);
        assert!(!shares.let_in(&window), "three of four still wait");
        window.begin_first(|_, _| true);
        assert!(shares.let_in(&window));
        assert!(shares.left_out().is_empty());
    }

    #[test]
    fn a_window_filled_before_there_were_shares_is_read_anew() {
        let (mut shares, mut window) = (Shares::default(), Window::new(8));
        window.take_in(shares.admit(&window, backlog(SLOW, 0..8)));
        assert_eq!(window.room(), 0, "standing alone it has the whole window");
        window.begin_first(|_, _| true);
        let limited = HashSet::from([MappingKey(SLOW)]);
        assert!(shares.bound(limited.clone(), &mut window));
        assert_eq!((window.in_flight(), window.room()), (1, 7));
        assert!(!shares.bound(limited, &mut window), "nothing has changed");
    }
}
