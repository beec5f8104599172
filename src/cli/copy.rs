//! `integrator copy`: moves a hub from the embedded database to PostgreSQL.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

use super::Outcome;
use crate::{config::DatabaseUrl, db::copy};

/// Copy the embedded database into an empty PostgreSQL database
///
/// Stop the hub first. Nothing of the embedded database is changed. A copy that was cut short goes on where it stopped when it is run
/// again; at the end every row is read back and compared. Then start the hub with the new address.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The embedded database, such as sqlite://data/integrator.db
    #[arg(long, value_name = "URL")]
    from: String,
    /// The empty PostgreSQL database. The environment keeps its password out of the list of processes
    #[arg(
        long,
        value_name = "URL",
        env = "INTEGRATOR_COPY_TO",
        hide_env_values = true
    )]
    to: String,
}

/// Copies, showing how far it came.
pub fn run(args: Args) -> Outcome {
    let (from, to) = (
        DatabaseUrl::parse(&args.from)?,
        DatabaseUrl::parse(&args.to)?,
    );
    let (DatabaseUrl::Sqlite { path }, DatabaseUrl::Postgres { url }) = (&from, &to) else {
        return Err("a copy goes --from sqlite://PATH --to postgres://...".into());
    };
    let bar = progress_bar();
    let copied = copy::copy(path, url.expose(), |progress| {
        bar.set_length(progress.of);
        bar.set_position(progress.rows.min(progress.of));
        bar.set_message(progress.table);
    });
    bar.finish_and_clear();
    let report = copied?;
    let mut out = std::io::stdout();
    for (table, rows) in report.tables.iter().filter(|(_, rows)| *rows > 0) {
        writeln!(out, "{table:>16} {rows}")?;
    }
    writeln!(out, "{from} is in {to}, every row read back and the same")?;
    Ok(())
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {pos} of about {len} rows, {msg} {elapsed}")
    {
        bar.set_style(style);
    }
    bar
}
