//! Pieces of a page that every page shares: foreign text, times, states, JSON, charts, forms, and the frame around it all.
//!
//! Each is a value that renders itself or a function that returns [`maud::Markup`], so a region of a page is one function,
//! and page and embedded frame show it through the same escaping. maud escapes what is put into it; [`Foreign`] goes
//! further for what strangers wrote: it isolates the writing direction and draws characters that would otherwise be invisible.
//!
//! Read next: `layout.rs` for the frame, `mark.rs` for the states.

mod chart;
mod fold;
mod foreign;
mod form;
mod layout;
mod mark;
mod rail;
mod when;

pub use chart::{Series, chart};
pub use fold::{diff_table, json_tree};
pub use foreign::{Foreign, Passage, plain};
pub use form::{Problems, check_box, delete_fold, hidden, select_field, text_area, text_field};
pub use layout::{Frame, Notice, bare_page};
pub use mark::{Mark, mark_of};
pub use rail::rail;
pub use when::{When, clock, moment, span_words};
