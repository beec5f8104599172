//! `integrator serve`: runs the hub until it is told to stop.

use std::{
    future::Future,
    io::Write,
    net::TcpListener,
    sync::Arc,
    time::Duration,
};

use actix_rt::signal::unix::{SignalKind, signal};

use super::{ConfigArgs, Outcome, environment, init_logging, operator_token};
use crate::{
    actors::Hub,
    config::{Config, Secret},
    db::sqlite::SqliteBackend,
    web,
};

/// Run the hub
///
/// Migrates the database first. Ready when it prints `listening on http://HOST:PORT`. SIGTERM or Ctrl-C: it stops accepting,
/// finishes what is in flight for at most `server.shutdown_secs`, and exits with 0.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs until a signal comes or the hub dies.
pub fn run(args: Args) -> Outcome {
    let effective = args.config.load(environment())?;
    init_logging(&effective.config.log, std::env::var("RUST_LOG").ok().as_deref())?;
    let operator_token = operator_token(environment())?;
    Program { config: effective.config, operator_token, quiet: false }.run(|_| std::future::pending())
}

/// A hub with its web server, as `serve` and `demo` run it.
pub(super) struct Program {
    pub(super) config: Config,
    pub(super) operator_token: Option<Secret>,
    /// Says nothing on standard output but the line that it is ready.
    pub(super) quiet: bool,
}
