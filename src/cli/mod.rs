//! The program's commands.
//!
//! Each command is a file with its `Args` (flags and arguments, read by clap) and a `run` that returns when the command is done.
//! To add one, write such a file, and give it a variant in `Command` and a line in [`Command::run`]. What commands share: where
//! the configuration comes from (`config_args`), the operator's token (`operator_token`) and the log (`logging`).
//!
//! What does not live here: anything that a test or another program would want to call. A command reads its arguments, calls
//! the layers below, and says how it went. Errors end up here, and their whole chain is printed once, by [`run`].
//!
//! Read `check_config.rs` next, the smallest command.

mod check_config;
mod check_endpoint;
mod config_args;
mod copy;
mod database;
mod demo;
mod hub_client;
mod logging;
mod migrate;
mod operator_token;
mod push;
mod serve;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use config_args::{ConfigArgs, environment};
pub use logging::init as init_logging;
pub use operator_token::{OPERATOR_TOKEN_VARIABLE, OperatorTokenError, operator_token};

/// How a command ends: an error is printed with its sources, and the program exits with 1.
pub type Outcome = Result<(), Box<dyn Error>>;

const EXIT_CODES: &str = "\
Exit codes:
  0  done (for a server: stopped as asked)
  1  failed; the reason is on standard error
  2  the command line was not understood";

#[derive(Debug, Parser)]
#[command(name = "integrator", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Demo(demo::Args),
    Push(push::Args),
    Migrate(migrate::Args),
    Copy(copy::Args),
    CheckEndpoint(check_endpoint::Args),
    CheckConfig(check_config::Args),
}

impl Command {
    fn run(self) -> Outcome {
        match self {
            Self::Serve(args) => serve::run(args),
            Self::Demo(args) => demo::run(args),
            Self::Push(args) => push::run(args),
            Self::Migrate(args) => migrate::run(args),
            Self::Copy(args) => copy::run(args),
            Self::CheckEndpoint(args) => check_endpoint::run(args),
            Self::CheckConfig(args) => check_config::run(args),
        }
    }
}

/// Runs the command that the process's arguments name. Exit codes: 0 done, 1 failed, 2 the command line was not understood.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with exit code 0. Nothing is left to do if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// An error and its sources in one sentence. No error's text repeats its source's.
fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        said.push_str(": ");
        said.push_str(&error.to_string());
        source = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_exits_with_2_and_help_with_0() {
        assert_eq!(
            Cli::try_parse_from(["integrator", "dance"])
                .unwrap_err()
                .exit_code(),
            2
        );
        assert_eq!(
            Cli::try_parse_from(["integrator", "check-config", "--listn", "x"])
                .unwrap_err()
                .exit_code(),
            2
        );
        assert_eq!(
            Cli::try_parse_from(["integrator", "--version"])
                .unwrap_err()
                .exit_code(),
            0
        );
    }

    #[test]
    fn an_error_is_told_with_its_sources() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open the shop")]
        struct Outer(#[source] std::fmt::Error);
        assert_eq!(
            chain(&Outer(std::fmt::Error)),
            format!("cannot open the shop: {}", std::fmt::Error)
        );
    }
}
