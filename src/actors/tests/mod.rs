//! The hub as a whole on a real database, with a stage in place of the network.

mod accepting;
mod delivering;
mod jobs;
mod rig;
mod routing;
mod supervision;
mod troubled;
mod troubles;
