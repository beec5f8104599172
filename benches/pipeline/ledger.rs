//! What was sent when, and what arrived where: the benchmark's own book, from which every latency and every loss is read.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Instant,
};

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;

use crate::stats::histogram;

/// The book. Load generator and sink share one thread and one clock, so a latency is a difference of two of its readings.
pub struct Ledger {
    start: Instant,
    /// Deliveries that each message is to have.
    fan_out: u32,
    /// Microseconds since `start` at which message n was (to be) sent.
    sent: RefCell<Vec<u64>>,
    /// Deliveries of message n so far.
    arrived: RefCell<Vec<u32>>,
    /// From sending to each of its deliveries, in microseconds.
    latency: RefCell<Histogram<u64>>,
    deliveries: Cell<u64>,
    repeats: Cell<u64>,
    last_arrival: Cell<u64>,
    /// A permit for each message that is wholly delivered; closed loops wait for them.
    pub done: Semaphore,
}

impl Ledger {
    /// An empty book.
    pub fn new(fan_out: u32) -> Rc<Self> {
        Rc::new(Self {
            start: Instant::now(),
            fan_out,
            sent: RefCell::default(),
            arrived: RefCell::default(),
            latency: RefCell::new(histogram()),
            deliveries: Cell::new(0),
            repeats: Cell::new(0),
            last_arrival: Cell::new(0),
            done: Semaphore::new(0),
        })
    }

    /// Microseconds since the book was opened.
    pub fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// An instant on this book's clock.
    pub fn at(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.start);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes that a message is sent at `at`; returns its number.
    pub fn send(&self, at: u64) -> u64 {
        let mut sent = self.sent.borrow_mut();
        sent.push(at);
        self.arrived.borrow_mut().push(0);
        sent.len() as u64 - 1
    }

    /// Messages sent.
    pub fn sent(&self) -> u64 {
        self.sent.borrow().len() as u64
    }

    /// Deliveries that all messages sent are to have.
    pub fn expected(&self) -> u64 {
        self.sent() * u64::from(self.fan_out)
    }

    /// Notes an arrival. Messages of an earlier book are passed over.
    pub fn arrive(&self, n: u64) {
        let now = self.now();
        let index = usize::try_from(n).unwrap_or(usize::MAX);
        let Some(sent) = self.sent.borrow().get(index).copied() else {
            return;
        };
        let mut arrived = self.arrived.borrow_mut();
        let Some(count) = arrived.get_mut(index) else {
            return;
        };
        if *count >= self.fan_out {
            self.repeats.set(self.repeats.get() + 1);
            return;
        }
        *count += 1;
        let is_complete = *count == self.fan_out;
        self.last_arrival.set(now);
        self.deliveries.set(self.deliveries.get() + 1);
        self.latency
            .borrow_mut()
            .saturating_record(now.saturating_sub(sent).max(1));
        if is_complete {
            self.done.add_permits(1);
        }
    }

    /// Deliveries so far, repeats not counted.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.get()
    }

    /// Deliveries beyond the first to the same endpoint.
    pub fn repeats(&self) -> u64 {
        self.repeats.get()
    }

    /// When the newest delivery came.
    pub fn last_arrival(&self) -> u64 {
        self.last_arrival.get()
    }

    /// When the first message was sent.
    pub fn first_sent(&self) -> u64 {
        self.sent.borrow().first().copied().unwrap_or(0)
    }

    /// From sending to each delivery, in microseconds.
    pub fn latency(&self) -> Histogram<u64> {
        self.latency.borrow().clone()
    }
}
