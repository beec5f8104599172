//! `integrator migrate`: brings the database up to this version without starting the hub.

use std::io::Write;

use super::{ConfigArgs, Outcome, database, environment, init_logging};

/// Bring the database up to this version
///
/// `serve` does the same at its start. Fails, without touching anything, when the file belongs to a newer version, is
/// damaged, or is in use.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Opens the database, which migrates it, and closes it again.
pub fn run(args: Args) -> Outcome {
    let config = args.config.load(environment())?.config;
    init_logging(&config.log, std::env::var("RUST_LOG").ok().as_deref());
    drop(database::open(&config, &database::Ear::default())?);
    writeln!(
        std::io::stdout(),
        "the database {} is up to date",
        config.database.url
    )?;
    Ok(())
}
