//! The program `integrator`: everything it does is in the library, see [`integrator::cli`].

use std::process::ExitCode;

/// Messages are many small, short-lived allocations on several threads, which this allocator serves faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    integrator::cli::run()
}
