//! Endpoint applications of every age, as stand-ins that behave the way those applications did, each met by the real program over
//! real HTTP. One test for each behaviour; the conformance table in the documentation names them.

mod describing;
mod first_dialect;
mod pushing;
mod rules;
mod schedules;
mod second_dialect;
mod signing;
