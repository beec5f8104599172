//! The window: the deliveries a dispatcher holds in memory, each from the moment it is read until its outcome is written.
//!
//! Reads leave out what is held, so nothing is attempted twice at once, and a lane whose head is held stays shut because the database
//! gives out heads only. The size is bounded, so memory follows what is in flight and not what waits.

use std::collections::{HashMap, VecDeque};

use crate::domain::{
    delivery::Delivery,
    key::{DeliveryKey, MappingKey},
    time::Micros,
};

enum Hold {
    /// Read, not begun.
    Waiting,
    /// Being posted.
    InFlight { mapping: MappingKey },
    /// Its outcome is being written by the settler of this generation.
    Settling { settler: u64 },
    /// Its outcome could not be written; left alone until then.
    SetAside { until: Micros },
}

/// See the module.
pub struct Window {
    size: usize,
    waiting: VecDeque<Delivery>,
    holds: HashMap<DeliveryKey, Hold>,
    in_flight: usize,
    by_mapping: HashMap<MappingKey, usize>,
    /// How many are set aside.
    aside: usize,
    /// The settler of the last [`Window::let_go`].
    settler: u64,
}

impl Window {
    /// An empty window of `size` deliveries.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            size,
            waiting: VecDeque::new(),
            holds: HashMap::new(),
            in_flight: 0,
            by_mapping: HashMap::new(),
            aside: 0,
            settler: 0,
        }
    }

    /// How many it can hold.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many more it can hold.
    #[must_use]
    pub fn room(&self) -> usize {
        self.size.saturating_sub(self.holds.len())
    }

    /// Everything held.
    #[must_use]
    pub fn held(&self) -> Vec<DeliveryKey> {
        self.holds.keys().copied().collect()
    }

    /// Held in any way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.holds.is_empty()
    }

    /// Read and not begun.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Being posted.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Posted, outcome not written yet.
    #[must_use]
    pub fn settling(&self) -> usize {
        self.holds
            .len()
            .saturating_sub(self.waiting.len() + self.in_flight + self.aside)
    }

    /// Being posted for this mapping.
    #[must_use]
    pub fn in_flight_of(&self, mapping: MappingKey) -> usize {
        self.by_mapping.get(&mapping).copied().unwrap_or(0)
    }

    /// Read and not begun, of this mapping.
    #[must_use]
    pub fn waiting_of(&self, mapping: MappingKey) -> usize {
        self.waiting_that(|one| one.mapping == mapping)
    }

    /// How many of those read and not begun are such.
    #[must_use]
    pub fn waiting_that(&self, is_such: impl Fn(&Delivery) -> bool) -> usize {
        self.waiting.iter().filter(|one| is_such(one)).count()
    }

    /// Takes in what was read. What is held already is dropped.
    pub fn take_in(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            if let std::collections::hash_map::Entry::Vacant(entry) = self.holds.entry(delivery.key)
            {
                entry.insert(Hold::Waiting);
                self.waiting.push_back(delivery);
            }
        }
    }

    /// The first waiting delivery that may begin, in order of due time. It counts as in flight from now on.
    pub fn begin_first(
        &mut self,
        mut may_begin: impl FnMut(&Self, &Delivery) -> bool,
    ) -> Option<Delivery> {
        let position = (0..self.waiting.len()).find(|index| {
            self.waiting
                .get(*index)
                .is_some_and(|one| may_begin(self, one))
        })?;
        let delivery = self.waiting.remove(position)?;
        self.holds.insert(
            delivery.key,
            Hold::InFlight {
                mapping: delivery.mapping,
            },
        );
        self.in_flight += 1;
        *self.by_mapping.entry(delivery.mapping).or_default() += 1;
        Some(delivery)
    }

    /// Its attempt has ended; its outcome goes to the settler of this generation.
    pub fn settle(&mut self, key: DeliveryKey, settler: u64) {
        let Some(hold) = self.holds.get_mut(&key) else {
            return;
        };
        let former = std::mem::replace(hold, Hold::Settling { settler });
        self.land(Some(former));
    }

    /// Its outcome is written, or nobody here will learn of it. Late word of an earlier attempt changes nothing.
    pub fn settled(&mut self, key: DeliveryKey) {
        if matches!(self.holds.get(&key), Some(Hold::Settling { .. })) {
            self.holds.remove(&key);
        }
    }

    /// Lets go of it, whatever it is doing.
    fn release(&mut self, key: DeliveryKey) {
        let former = self.holds.remove(&key);
        if matches!(former, Some(Hold::Waiting)) {
            self.waiting.retain(|one| one.key != key);
        }
        self.land(former);
    }

    /// Its outcome cannot be written: to attempt it again at once would post it for ever.
    pub fn set_aside(&mut self, key: DeliveryKey, until: Micros) {
        self.release(key);
        self.holds.insert(key, Hold::SetAside { until });
        self.aside += 1;
    }

    /// Gives up what was not begun, so that it is read anew when needed.
    pub fn forget_waiting(&mut self) {
        for delivery in self.waiting.drain(..) {
            self.holds.remove(&delivery.key);
        }
    }

    /// Forgets a delivery that was not begun.
    pub fn forget(&mut self, key: DeliveryKey) {
        if matches!(self.holds.get(&key), Some(Hold::Waiting)) {
            self.release(key);
        }
    }

    /// Lets go of outcomes handed to a settler that was replaced, and of what was set aside until `now`.
    /// Returns how many, which are then read anew.
    pub fn let_go(&mut self, settler: u64, now: Micros) -> usize {
        if self.settler == settler && self.aside == 0 {
            return 0;
        }
        self.settler = settler;
        let before = self.holds.len();
        self.holds.retain(|_, hold| match hold {
            Hold::Settling { settler: theirs } => *theirs == settler,
            Hold::SetAside { until } => now < *until,
            Hold::Waiting | Hold::InFlight { .. } => true,
        });
        self.aside = self
            .holds
            .values()
            .filter(|hold| matches!(hold, Hold::SetAside { .. }))
            .count();
        before - self.holds.len()
    }

    fn land(&mut self, former: Option<Hold>) {
        if let Some(Hold::InFlight { mapping }) = former {
            self.in_flight = self.in_flight.saturating_sub(1);
            if let Some(count) = self.by_mapping.get_mut(&mapping) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_mapping.remove(&mapping);
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{
        delivery::WaitState,
        id::IdSeal,
        json::Payload,
        key::{EndpointKey, MessageKey, StoreKey},
        message::{Message, Source},
        message_type::MessageType,
        reference::About,
    };

    pub fn delivery(key: i64, mapping: i64) -> Delivery {
        let id = IdSeal::new(1).seal(key, Micros(0));
        Delivery {
            key: DeliveryKey(key),
            id,
            message: Arc::new(Message {
                key: MessageKey(1),
                id,
                store: StoreKey(1),
                kind: MessageType::parse("order:new").expect("a type"),
                payload: Payload::empty(),
                about: About::default(),
                source: Source::Scheduler,
                ancestry: None,
                test: false,
                extra: None,
                accepted_at: Micros(0),
            }),
            mapping: MappingKey(mapping),
            endpoint: EndpointKey(1),
            lane: None,
            state: WaitState::Pending,
            attempts: 0,
            failures: 0,
            since: Micros(0),
            asynchronous: None,
        }
    }

    #[test]
    fn what_is_held_takes_room_until_its_outcome_is_written() {
        let mut window = Window::new(3);
        window.take_in(vec![delivery(1, 1), delivery(2, 1)]);
        let first = window.begin_first(|_, _| true).expect("one waits");
        assert_eq!(
            (first.key, window.room(), window.in_flight()),
            (DeliveryKey(1), 1, 1)
        );
        window.settle(first.key, 1);
        assert_eq!(
            (window.room(), window.in_flight(), window.settling()),
            (1, 0, 1)
        );
        window.settled(first.key);
        assert_eq!((window.room(), window.held()), (2, vec![DeliveryKey(2)]));
    }

    #[test]
    fn a_mapping_at_its_limit_does_not_stop_the_others() {
        let mut window = Window::new(9);
        window.take_in(vec![delivery(1, 1), delivery(2, 1), delivery(3, 2)]);
        let below = |window: &Window, one: &Delivery| window.in_flight_of(one.mapping) < 1;
        let begun: Vec<i64> = std::iter::from_fn(|| window.begin_first(below))
            .map(|one| one.key.0)
            .collect();
        assert_eq!(begun, [1, 3]);
    }

    #[test]
    fn what_was_given_to_a_replaced_settler_is_let_go() {
        let mut window = Window::new(9);
        window.take_in(vec![delivery(1, 1), delivery(2, 1)]);
        window.begin_first(|_, _| true);
        window.begin_first(|_, _| true);
        window.settle(DeliveryKey(1), 1);
        window.settle(DeliveryKey(2), 2);
        assert_eq!(window.let_go(2, Micros(0)), 1);
        assert_eq!(window.held(), [DeliveryKey(2)]);
    }

    #[test]
    fn what_cannot_be_written_is_left_alone_for_a_while() {
        let mut window = Window::new(2);
        window.take_in(vec![delivery(1, 1)]);
        window.begin_first(|_, _| true);
        window.set_aside(DeliveryKey(1), Micros(100));
        window.take_in(vec![delivery(1, 1)]);
        assert_eq!((window.waiting(), window.let_go(1, Micros(99))), (0, 0));
        assert_eq!(window.let_go(1, Micros(100)), 1);
        assert!(window.is_empty());
    }

    #[test]
    fn what_is_taken_in_twice_is_held_once() {
        let mut window = Window::new(9);
        window.take_in(vec![delivery(1, 1)]);
        window.take_in(vec![delivery(1, 1)]);
        assert_eq!(window.waiting(), 1);
        window.forget(DeliveryKey(1));
        assert!(window.is_empty());
    }
}
