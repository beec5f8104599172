//! The rail of a task in steps: what is done, where one is, what is left.

use maud::{Markup, html};

/// The steps; `now` counts from 0.
#[must_use]
pub fn rail(steps: &[&str], now: usize) -> Markup {
    html! {
        ol .rail aria-label="Steps" {
            @for (at, step) in steps.iter().enumerate() {
                li .is-done[at < now] aria-current=[(at == now).then_some("step")] { (step) @if at < now { span .unseen { " (done)" } } }
            }
        }
    }
}
