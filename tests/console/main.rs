//! The console in a real browser: headless Chromium, driven through chromedriver, in front of the real program.
//!
//! Needs `chromium` and `chromedriver` on the path (Debian: the packages chromium and chromium-driver; `scripts/test` installs
//! them). `INTEGRATOR_SCREENSHOTS=FOLDER` keeps pictures of every page; `INTEGRATOR_AXE=FILE` (axe-core's `axe.min.js`) adds axe's rules.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod access;
mod applications;
mod browser;
mod comfort;
mod embedding;
mod hostile;
mod looks;
mod shops;
mod tasks;

#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the suite, which uses all of it"
)]
#[path = "../suite/support/mod.rs"]
mod support;
