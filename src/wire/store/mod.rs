//! What store APIs answer: lists, rows and errors of every version, read leniently.
//!
//! A document is never turned into a type here: it stays the text that the shop sent, and only what polling needs is read
//! from it (its id, its token, its timestamps). So a field nobody expected, or one of a type nobody expected, is no reason
//! to fail. [`jsonapi`] is the exception that proves it: the Platform API cuts its documents into pieces, which are joined.
//!
//! Read next: `list.rs`.

pub mod jsonapi;
pub mod list;
pub mod row;
