//! What goes wrong, caused for real: endpoints that answer nonsense or nothing, disks that are full, locked or damaged, more than can be
//! delivered, and being told to stop in the middle of it. Being killed is in `crash.rs`.

mod disk;
mod endpoints;
mod load;
