//! A delivery's life as a model, every order of events tried: messages are accepted, routed in chunks, read, posted, arrive, are
//! answered and settled; the program crashes, a dispatcher or a router is replaced while its predecessor still
//! works, a person releases what is parked, requests of the dead arrive late. For small numbers, but for all of them.
//!
//! The model decides nothing by itself: it calls the program's own pure functions (`route`, `settle` with its retry
//! policy, `Fence::holds`, `Disposition::leads_to`, `WaitState::holds_lane`) and keeps the tables as the database does:
//! each arrow of the design is one step that happens whole or not at all. That the database keeps heads of lanes so is the
//! conformance suite's to show (`a_random_history_keeps_heads_and_counters_right`).
//!
//! The properties are the hub's promises. `life.rs` has the state and its steps, `rules.rs` the calls into the program.

// Helpers of tests fail as tests do; the lint knows test functions only.
#![allow(clippy::unwrap_used)]

mod life;
mod rules;

use stateright::{Checker, Model};

use life::{Bounds, Life};
use rules::Rules;

fn check(bounds: Bounds, rules: Rules) -> impl Checker<Life> {
    Life::new(bounds, rules)
        .checker()
        .threads(1)
        .spawn_bfs()
        .join()
}

/// One mapping; two messages about one order; a crash, and an owner that is replaced while it works.
const OWNERS: Bounds = Bounds {
    orders: &["R1", "R1"],
    mappings: 1,
    crashes: 1,
    takeovers: 1,
    releases: 0,
    failures: 2,
};

/// A person releases something parked; another order goes its own way.
const RELEASE: Bounds = Bounds {
    orders: &["R1", "R1", "R2"],
    mappings: 1,
    crashes: 0,
    takeovers: 0,
    releases: 1,
    failures: 1,
};

/// Two mappings, routed one at a time.
const FAN_OUT: Bounds = Bounds {
    orders: &["R1", "R1"],
    mappings: 2,
    crashes: 1,
    takeovers: 0,
    releases: 0,
    failures: 1,
};

#[test]
fn the_promises_hold_in_every_order_of_events() {
    for bounds in [OWNERS, RELEASE, FAN_OUT] {
        let checked = check(bounds, Rules::default());
        eprintln!("{} states of {bounds:?}", checked.unique_state_count());
        checked.assert_properties();
        assert!(checked.unique_state_count() > 1000);
    }
}

#[test]
fn a_failing_head_that_left_its_lane_would_be_found() {
    let rules = Rules {
        holds_lane: |state| state == integrator::domain::delivery::WaitState::Pending,
        ..Rules::default()
    };
    let checked = check(OWNERS, rules);
    assert!(
        checked
            .discovery("an endpoint sees an object's messages in order")
            .is_some()
    );
}

#[test]
fn a_fence_that_let_everything_through_would_be_found() {
    let rules = Rules {
        fence_holds: |_, _, _, _| true,
        ..Rules::default()
    };
    let checked = check(OWNERS, rules);
    assert!(
        checked
            .discovery("only the owner's latest attempt can fail a delivery")
            .is_some()
    );
}
