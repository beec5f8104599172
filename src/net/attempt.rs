//! What the client, the connector and the transport know together about the attempt that is being polled.
//!
//! awc hides which connection a request runs on. All of an attempt is one future, though, polled on one thread, so a
//! task-local around it reaches every call that awc makes to our connector and our transport on its behalf.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
};

use super::{
    failure::{Failure, Malformed, Phase},
    head::Framing,
    target::Target,
    transport::Link,
};

tokio::task_local! {
    static ATTEMPT: Rc<Attempt>;
}

/// Whether an idle connection may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    /// An idle one, if there is any.
    Allowed,
    /// None: one was stale, so the others of that time are suspect too.
    FreshOnly,
}

/// Notes about one attempt. Written by the connector and the transport, read by the client when the future has ended.
pub(super) struct Attempt {
    pub(super) target: Target,
    pub(super) reuse: Reuse,
    /// How far it has come.
    pub(super) phase: Cell<Phase>,
    /// The connection, from the first byte written.
    pub(super) link: OnceCell<Rc<Link>>,
    /// Whether that connection had carried a request before.
    pub(super) link_was_used: Cell<bool>,
    /// Whether any byte of an answer came.
    pub(super) answer_began: Cell<bool>,
    /// Whether the connection ended (closed or reset) during the attempt.
    pub(super) link_ended: Cell<bool>,
    /// How the final answer's body ends.
    pub(super) framing: Cell<Framing>,
    /// A failure more precise than what can be told through awc's errors.
    pub(super) cause: RefCell<Option<Failure>>,
}

impl Attempt {
    pub(super) fn new(target: Target, reuse: Reuse) -> Rc<Self> {
        Rc::new(Self {
            target,
            reuse,
            phase: Cell::new(Phase::Connecting),
            link: OnceCell::new(),
            link_was_used: Cell::new(false),
            answer_began: Cell::new(false),
            link_ended: Cell::new(false),
            framing: Cell::new(Framing::Empty),
            cause: RefCell::new(None),
        })
    }

    /// Runs `work` as this attempt.
    pub(super) async fn scope<F: Future>(self: &Rc<Self>, work: F) -> F::Output {
        ATTEMPT.scope(Rc::clone(self), work).await
    }

    /// The attempt being polled, if any.
    pub(super) fn current() -> Option<Rc<Self>> {
        ATTEMPT.try_with(Rc::clone).ok()
    }

    /// Whether bytes that are read now belong to an answer: before the first byte is written, awc only looks whether an
    /// idle connection is still alive.
    pub(super) fn has_begun(&self) -> bool {
        self.link.get().is_some()
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.cause.borrow_mut().get_or_insert(failure);
    }

    pub(super) fn fail_malformed(&self, reason: Malformed) {
        self.fail(Failure::MalformedAnswer { reason });
    }

    /// Whether it failed on a connection that had been idle and gave not a single byte: the usual race between our
    /// request and the endpoint's closing of a connection it no longer wants (RFC 9112, 9.3.1).
    pub(super) fn met_stale_connection(&self) -> bool {
        self.link_was_used.get() && self.link_ended.get() && !self.answer_began.get()
    }
}
