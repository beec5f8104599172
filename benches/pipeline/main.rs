//! The whole hub under load: `cargo bench --bench pipeline [-- --scenario NAME --seconds N --json FILE --quick --full]`.
//!
//! It starts the real program as a process of its own on an empty database, and runs load generator and sink beside it in one
//! thread of this process, whose cost is told as `own_cpu_us` and is not counted to the hub. Everything is bounded in count and time, and
//! goes over loopback only. The same run measures what the parts can do alone, as limits to hold the hub against.
//!
//! Read next: `scenarios.rs` for what is done, `ledger.rs` for how latency is counted, and `docs/performance.md` for the figures.

#[path = "../../src/db/postgres/tests/cluster.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared with the tests"
)]
mod cluster;
mod fill;
mod http;
mod hub;
mod ledger;
mod limits;
mod load;
mod order;
mod scenarios;
mod server;
mod sink;
mod stats;

use std::{
    io,
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use clap::Parser;
use serde_json::json;

use stats::Report;

/// Measures the hub from push to endpoint.
#[derive(Debug, Clone, Parser)]
#[command(name = "pipeline")]
pub struct Options {
    /// Only these scenarios, with commas between them: limits, one, ten, thousand, object, sick, backlog, archived.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Seconds of load per phase.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Users of a closed loop.
    #[arg(long, default_value_t = 256)]
    users: usize,
    /// Messages a second at the fixed rate.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 2500)]
    bytes: usize,
    /// Messages that wait for a dead endpoint.
    #[arg(long, default_value_t = 1_000_000)]
    waiting: u64,
    /// Messages in the archive.
    #[arg(long, default_value_t = 10_000_000)]
    archived: u64,
    /// Where to put the databases; they are removed afterwards.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// Which database: a file of its own for each scenario, or a PostgreSQL server started for it, whose cost is told beside the hub's.
    #[arg(long, value_enum, default_value_t = Database::Sqlite)]
    database: Database,
    /// The program to measure; another build of it, to compare.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_integrator"))]
    hub: PathBuf,
    /// Settings of the hub, as environment variables: `INTEGRATOR__DISPATCH__THREADS=1`.
    #[arg(long = "set")]
    set: Vec<String>,
    /// Record a profile of the hub in each phase with `perf`, into this folder.
    #[arg(long)]
    perf: Option<PathBuf>,
    /// Also write the report as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Two seconds per phase, and a hundredth of the waiting and archived messages: only to see that everything works.
    #[arg(long)]
    quick: bool,
    /// With the scenario that first archives millions of messages.
    #[arg(long)]
    full: bool,
    /// `cargo bench` passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Database {
    /// The embedded one.
    Sqlite,
    /// PostgreSQL, from the system's package.
    Postgres,
}

impl Options {
    /// How long a phase loads.
    pub fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Environment variables of the hub.
    pub fn settings(&self) -> Vec<(String, String)> {
        let pairs = self.set.iter().filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Starts `perf` on a process for the length of a phase, when asked to.
    pub fn profile(&self, pid: u32, scenario: &str, phase: &str) -> Option<Child> {
        let name: String = format!("{scenario}-{phase}.perf");
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        let file = self.perf.as_ref()?.join(name);
        let mut perf = Command::new("perf");
        perf.args([
            "record",
            "-q",
            "--call-graph",
            "dwarf,16384",
            "-F",
            "997",
            "-p",
            &pid.to_string(),
            "-o",
        ])
        .arg(file)
        .args(["--", "sleep", &self.seconds.to_string()]);
        perf.spawn()
            .inspect_err(|error| println!("  no profile: {error}"))
            .ok()
    }

    fn wants(&self, name: &str) -> bool {
        match self.scenario.is_empty() {
            true => name != "archived" || self.full,
            false => self.scenario.iter().any(|wanted| wanted == name),
        }
    }
}

fn main() -> io::Result<()> {
    let mut options = Options::parse();
    if options.quick {
        options.seconds = options.seconds.min(2.0);
        options.waiting /= 100;
        options.archived /= 100;
    }
    std::fs::create_dir_all(&options.folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut report = Report::default();
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, run(&options, &mut report));
    if let Some(file) = &options.json {
        let lines: Vec<_> = report.lines.iter().map(stats::Line::to_json).collect();
        let about = json!({"seconds": options.seconds, "users": options.users, "bytes": options.bytes,
            "cores": std::thread::available_parallelism().map_or(0, usize::from), "lines": lines});
        std::fs::write(file, format!("{about:#}\n"))?;
    }
    outcome
}

async fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    if options.wants("limits") {
        limits::direct(options, report).await?;
        for batch in [1, 32, 128, 512] {
            limits::database(options, batch, report).await?;
        }
    }
    for name in scenarios::NAMES {
        if options.wants(name) {
            scenarios::run(name, options, report).await?;
        }
    }
    Ok(())
}
