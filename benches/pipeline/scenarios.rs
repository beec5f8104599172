//! The scenarios. Each starts a hub of its own on an empty database, sets up its endpoints and runs phases; a phase is a load, the
//! wait until everything it brought is delivered and archived, and a line of the report.

use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Database, Options, fill,
    hub::{DATABASE, Hub, Store},
    ledger::Ledger,
    limits::own_cpu_us,
    load::{self, Outcome, Pace},
    server::Server,
    sink::{Sink, Temper},
    stats::{Line, Report, histogram, millis},
};

/// A phase in which nothing has arrived for so long is given up, and what is missing is told.
const STALL_SECS: u64 = 20;
/// Connections of the fixed rate.
const FIXED_CONNECTIONS: usize = 8;
/// Counters of `/metrics` that hold commits, and fsyncs of the database's files.
const COMMITS: &[&str] = &["integrator_db_commits_total"];
const STATEMENTS: &[&str] = &["integrator_db_commands_total"];
const FSYNCS: &[&str] = &["integrator_db_fsyncs_total"];

/// The names that `--scenario` takes.
pub const NAMES: &[&str] = &[
    "one", "ten", "thousand", "object", "sick", "backlog", "archived",
];

/// Runs the scenario of this name.
pub async fn run(name: &str, options: &Options, report: &mut Report) -> io::Result<()> {
    match name {
        "one" => one(options, report).await,
        "ten" => fan_out(options, report).await,
        "thousand" => thousand(options, report).await,
        "object" => object(options, report).await,
        "sick" => sick(options, report).await,
        "backlog" => backlog(options, report).await,
        _ => archived(options, report).await,
    }
}

/// A hub, a store of it and its endpoints.
struct Stage {
    hub: Hub,
    store: Store,
    sink: Sink,
    /// Deliveries per message that the sink is to see.
    fan_out: u32,
    settings: Vec<(String, String)>,
    folder: TempDir,
    server: Option<Server>,
}

/// What a phase does.
#[derive(Clone, Copy)]
enum Load {
    /// Users who wait for the delivery of their message.
    Delivered(usize),
    /// Users who wait for the answer only, for a part of the time; the rest is what the hub needs to catch up.
    Answered(usize),
    /// So many messages a second.
    Fixed(f64),
}

/// When a phase is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Everything is archived.
    Archived,
    /// Everything that the sink counts has arrived; other endpoints have work for longer.
    Arrived,
}

impl Stage {
    async fn set(
        options: &Options,
        tempers: Vec<Temper>,
        fan_out: u32,
        kinds: Vec<String>,
    ) -> io::Result<Self> {
        let folder = tempfile::tempdir_in(&options.folder)?;
        let sink = Sink::start(tempers, Ledger::new(fan_out)).await?;
        let mut settings = options.settings();
        let server = match options.database {
            Database::Sqlite => None,
            Database::Postgres => Some(Server::start(folder.path())?),
        };
        settings.extend(
            server
                .iter()
                .map(|server| (DATABASE.to_owned(), server.url.clone())),
        );
        let mut hub = Hub::start(&options.hub, folder.path(), &settings).await?;
        let store = hub.store(kinds, options.bytes).await?;
        Ok(Self {
            hub,
            store,
            sink,
            fan_out,
            settings,
            folder,
            server,
        })
    }

    async fn subscribe(&mut self, endpoint: usize, kinds: &[&str]) -> io::Result<()> {
        let url = self.sink.url(endpoint);
        let name = format!("endpoint{endpoint}");
        self.hub.subscribe(&self.store, &name, &url, kinds).await
    }

    /// Stops the hub, fills its archive and starts another on it.
    async fn filled(self, options: &Options, report: &mut Report) -> io::Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_err(io::Error::other)?.as_micros();
        let now = u64::try_from(now).map_err(io::Error::other)?;
        let (database, count) = (self.folder.path().join("hub.db"), options.archived);
        self.again(options, move |hub| {
            drop(hub);
            let rate = fill::archive(&database, count, now)?;
            let bytes = std::fs::metadata(&database).map_or(0, |file| file.len());
            report.add(
                Line::new("archived", format!("{count} written"))
                    .with("rows_per_sec", rate)
                    .with("database_mb", bytes as f64 / 1e6),
            );
            Ok(())
        })
        .await
    }

    /// Kills the hub and starts another on the same database.
    async fn restart(self, options: &Options) -> io::Result<Self> {
        let end = |hub: Hub| {
            hub.kill();
            Ok(())
        };
        self.again(options, end).await
    }

    async fn again(
        self,
        options: &Options,
        end: impl FnOnce(Hub) -> io::Result<()>,
    ) -> io::Result<Self> {
        let Self {
            hub,
            mut store,
            sink,
            fan_out,
            settings,
            folder,
            server,
        } = self;
        end(hub)?;
        let hub = Hub::start(&options.hub, folder.path(), &settings).await?;
        store.target.address = hub.address;
        Ok(Self {
            hub,
            store,
            sink,
            fan_out,
            settings,
            folder,
            server,
        })
    }

    async fn phase(
        &mut self,
        options: &Options,
        scenario: &'static str,
        name: &str,
        load: Load,
        until: Until,
    ) -> io::Result<Line> {
        let ledger = Ledger::new(self.fan_out);
        self.sink.record(Rc::clone(&ledger));
        let archived_before = self.hub.queues(&self.store).await?.archived;
        let commits_before = self.hub.metric(COMMITS).await;
        let fsyncs_before = self.hub.metric(FSYNCS).await;
        let profiler = options.profile(self.hub.pid(), scenario, name);
        let (usage, own) = (self.hub.usage(), own_cpu_us());
        let server_before = self.server.as_ref().map(Server::cpu_us);
        let statements_before = self.hub.metric(STATEMENTS).await;
        let target = &self.store.target;
        let outcome = match load {
            Load::Delivered(users) => {
                load::closed(
                    target,
                    &ledger,
                    users,
                    Pace::Delivered,
                    options.span(),
                    u64::MAX,
                )
                .await?
            }
            Load::Answered(users) => {
                load::closed(
                    target,
                    &ledger,
                    users,
                    Pace::Answered,
                    options.span() / 3,
                    u64::MAX,
                )
                .await?
            }
            Load::Fixed(rate) => {
                load::fixed(target, &ledger, FIXED_CONNECTIONS, rate, options.span()).await?
            }
        };
        self.drain(&ledger, archived_before, until).await?;
        let mut line = Line::new(scenario, name);
        let (messages, deliveries) = (outcome.accepted as f64, ledger.deliveries() as f64);
        figures(&mut line, &outcome, &ledger);
        let (after, own) = (self.hub.usage(), own_cpu_us() - own);
        if let Some(mut profiler) = profiler {
            profiler.wait()?;
        }
        let cpu = (after.cpu_us - usage.cpu_us) as f64;
        line.set("cpu_us_per_message", cpu / messages);
        line.set("cpu_us_per_delivery", cpu / deliveries.max(1.0));
        line.set("peak_mb", self.hub.memory_mb().1);
        line.set(
            "written_bytes_per_message",
            (after.written_bytes - usage.written_bytes) as f64 / messages,
        );
        let per_message = |before: Option<f64>, after: Option<f64>| {
            after
                .zip(before)
                .map(|(after, before)| (after - before) / messages)
        };
        let commits = self.hub.metric(COMMITS).await;
        let fsyncs = self.hub.metric(FSYNCS).await;
        line.set_if("commits_per_message", per_message(commits_before, commits));
        line.set_if("fsyncs_per_message", per_message(fsyncs_before, fsyncs));
        if let (Some(server), Some(before)) = (&self.server, server_before) {
            let cpu = server.cpu_us().saturating_sub(before) as f64;
            line.set("server_cpu_us_per_message", cpu / messages);
            let statements = self.hub.metric(STATEMENTS).await;
            line.set_if(
                "statements_per_message",
                per_message(statements_before, statements),
            );
        }
        line.set("own_cpu_us", own as f64 / messages);
        Ok(line)
    }

    /// Waits until what was sent has arrived, and is archived.
    async fn drain(
        &mut self,
        ledger: &Ledger,
        archived_before: u64,
        until: Until,
    ) -> io::Result<()> {
        let (mut seen, mut since) = (ledger.deliveries(), Instant::now());
        loop {
            let has_arrived = ledger.deliveries() >= ledger.expected();
            if has_arrived && until == Until::Arrived {
                return Ok(());
            }
            let mut progress = ledger.deliveries();
            if has_arrived {
                let queues = self.hub.queues(&self.store).await?;
                if queues.archived
                    >= archived_before
                        .saturating_add(ledger.expected())
                        .min(u64::MAX / 2)
                {
                    return Ok(());
                }
                progress += queues.archived;
            }
            if progress > seen {
                (seen, since) = (progress, Instant::now());
            }
            if since.elapsed() > Duration::from_secs(STALL_SECS) {
                println!(
                    "  gave up: {} of {} deliveries arrived, and the rest did not come for {STALL_SECS} s",
                    ledger.deliveries(),
                    ledger.expected()
                );
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until everything is routed.
    async fn routed(&mut self) -> io::Result<()> {
        while self.hub.queues(&self.store).await?.incoming > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

fn figures(line: &mut Line, outcome: &Outcome, ledger: &Ledger) {
    line.set(
        "accepted_per_sec",
        outcome.accepted as f64 / outcome.took.as_secs_f64(),
    );
    line.set_if("post_p50_ms", millis(&outcome.post, 0.5));
    line.set_if("post_p99_ms", millis(&outcome.post, 0.99));
    // From the first message to the last arrival: catching up included, opening the users' connections not.
    let span = ledger.last_arrival().saturating_sub(ledger.first_sent());
    let whole = span.max(1) as f64 / 1e6;
    line.set("delivered_per_sec", ledger.deliveries() as f64 / whole);
    line.set_if("endpoint_p50_ms", millis(&ledger.latency(), 0.5));
    line.set_if("endpoint_p99_ms", millis(&ledger.latency(), 0.99));
    if outcome.refused > 0 {
        line.set("refused", outcome.refused as f64);
    }
    if ledger.repeats() > 0 {
        line.set("repeats", ledger.repeats() as f64);
    }
    let missing = ledger.expected() - ledger.deliveries();
    if missing > 0 {
        line.set("missing", missing as f64);
    }
}

fn orders() -> Vec<String> {
    vec!["order:new".to_owned()]
}

/// One endpoint; every message about another order.
async fn one(options: &Options, report: &mut Report) -> io::Result<()> {
    let mut stage = Stage::set(options, vec![Temper::Quick], 1, orders()).await?;
    let mut idle = Line::new("one", "start, idle");
    idle.set("start_ms", stage.hub.started_in.as_secs_f64() * 1e3);
    tokio::time::sleep(Duration::from_secs(1)).await;
    idle.set("idle_mb", stage.hub.memory_mb().0);
    report.add(idle);
    stage.subscribe(0, &["order:new"]).await?;
    let phases = [
        ("one at a time", Load::Delivered(1)),
        ("closed loop", Load::Delivered(options.users)),
        ("burst, then catch up", Load::Answered(options.users)),
    ];
    let fixed = format!("fixed {}/s", options.rate);
    let load = Load::Fixed(options.rate);
    report.add(
        stage
            .phase(options, "one", &fixed, load, Until::Archived)
            .await?,
    );
    for (name, load) in phases {
        report.add(
            stage
                .phase(options, "one", name, load, Until::Archived)
                .await?,
        );
    }
    Ok(())
}

/// Ten endpoints that all get every message.
async fn fan_out(options: &Options, report: &mut Report) -> io::Result<()> {
    let mut stage = Stage::set(options, vec![Temper::Quick; 10], 10, orders()).await?;
    for endpoint in 0..10 {
        stage.subscribe(endpoint, &["order:new"]).await?;
    }
    let users = options.users.min(128);
    for (name, load) in [
        ("closed loop", Load::Delivered(users)),
        ("burst, then catch up", Load::Answered(users)),
    ] {
        report.add(
            stage
                .phase(options, "ten", name, load, Until::Archived)
                .await?,
        );
    }
    Ok(())
}

/// A thousand endpoints, each with a message type of its own.
async fn thousand(options: &Options, report: &mut Report) -> io::Result<()> {
    const ENDPOINTS: usize = 1000;
    let kinds: Vec<String> = (0..ENDPOINTS).map(|n| format!("order:k{n}")).collect();
    let tempers = vec![Temper::Quick; ENDPOINTS];
    let mut stage = Stage::set(options, tempers, 1, kinds.clone()).await?;
    for (endpoint, kind) in kinds.iter().enumerate() {
        stage.subscribe(endpoint, &[kind]).await?;
    }
    let load = Load::Delivered(options.users);
    report.add(
        stage
            .phase(options, "thousand", "closed loop", load, Until::Archived)
            .await?,
    );
    Ok(())
}

/// Every message about the same order, so that they go one after another; and the same with ten orders.
async fn object(options: &Options, report: &mut Report) -> io::Result<()> {
    let mut stage = Stage::set(options, vec![Temper::Quick], 1, orders()).await?;
    stage.subscribe(0, &["order:new"]).await?;
    for (name, objects) in [
        ("all about one order", 1),
        ("about ten orders", 10),
        ("about 50,000 orders", 50_000),
    ] {
        stage.store.target.objects = objects;
        let load = Load::Delivered(options.users);
        report.add(
            stage
                .phase(options, "object", name, load, Until::Archived)
                .await?,
        );
    }
    Ok(())
}

/// Eight healthy endpoints alone, then with sick ones beside them: one takes two seconds and one is dead; then one hangs, too.
async fn sick(options: &Options, report: &mut Report) -> io::Result<()> {
    let mut tempers = vec![Temper::Quick; 8];
    tempers.extend([Temper::Slow(Duration::from_secs(2)), Temper::Hangs]);
    let mut stage = Stage::set(options, tempers, 8, orders()).await?;
    for endpoint in 0..8 {
        stage.subscribe(endpoint, &["order:new"]).await?;
    }
    let load = Load::Delivered(options.users.min(128));
    let alone = stage
        .phase(
            options,
            "sick",
            "eight healthy alone",
            load,
            Until::Archived,
        )
        .await?;
    stage.subscribe(8, &["order:new"]).await?;
    let dead = dead_url().await?;
    stage
        .hub
        .subscribe(&stage.store, "dead", &dead, &["order:new"])
        .await?;
    let mut beside = stage
        .phase(
            options,
            "sick",
            "with one slow, one dead",
            load,
            Until::Arrived,
        )
        .await?;
    compare(&mut beside, &alone);
    stage.subscribe(9, &["order:new"]).await?;
    let mut hanging = stage
        .phase(options, "sick", "and one that hangs", load, Until::Arrived)
        .await?;
    compare(&mut hanging, &alone);
    for line in [alone, beside, hanging] {
        report.add(line);
    }
    Ok(())
}

/// One endpoint alone, then while a million messages wait for another where nobody listens; then a cold start with them.
async fn backlog(options: &Options, report: &mut Report) -> io::Result<()> {
    let mut stage = Stage::set(options, vec![Temper::Quick], 1, orders()).await?;
    stage.subscribe(0, &["order:new"]).await?;
    let load = Load::Delivered(options.users);
    let alone = stage
        .phase(options, "backlog", "healthy alone", load, Until::Archived)
        .await?;
    report.add(alone.clone());
    wait_for_the_dead(&mut stage, options, report).await?;
    let mut beside = stage
        .phase(
            options,
            "backlog",
            "healthy beside the dead",
            load,
            Until::Arrived,
        )
        .await?;
    compare(&mut beside, &alone);
    report.add(beside);
    let mut stage = stage.restart(options).await?;
    report.add(cold_start(&mut stage, "backlog").await?);
    let mut after = stage
        .phase(
            options,
            "backlog",
            "healthy after the start",
            load,
            Until::Arrived,
        )
        .await?;
    compare(&mut after, &alone);
    report.add(after);
    Ok(())
}

/// Fills the queue of an endpoint where nobody listens.
async fn wait_for_the_dead(
    stage: &mut Stage,
    options: &Options,
    report: &mut Report,
) -> io::Result<()> {
    let dead = dead_url().await?;
    stage
        .hub
        .subscribe(&stage.store, "dead", &dead, &["order:waits"])
        .await?;
    let mut target = stage.store.target.clone();
    target.kinds = vec!["order:waits".to_owned()];
    target.objects = options.waiting;
    let usage = stage.hub.usage();
    let begin = Instant::now();
    let took = load::prefill(&target, options.waiting, 4).await?;
    stage.routed().await?;
    let count = options.waiting as f64;
    let line = Line::new("backlog", format!("{} in batches", options.waiting))
        .with("accepted_per_sec", count / took.as_secs_f64())
        .with(
            "cpu_us_per_message",
            (stage.hub.usage().cpu_us - usage.cpu_us) as f64 / count,
        )
        .with("peak_mb", stage.hub.memory_mb().1)
        .with("waiting_mb", stage.hub.memory_mb().0)
        .with("routed_per_sec", count / begin.elapsed().as_secs_f64());
    report.add(line);
    Ok(())
}

async fn cold_start(stage: &mut Stage, scenario: &'static str) -> io::Result<Line> {
    let line = Line::new(scenario, "cold start")
        .with("start_ms", stage.hub.started_in.as_secs_f64() * 1e3)
        .with("idle_mb", stage.hub.memory_mb().0);
    Ok(line)
}

/// The rate with an empty archive, then with millions archived; lists' first pages; a cold start.
async fn archived(options: &Options, report: &mut Report) -> io::Result<()> {
    let mut stage = Stage::set(options, vec![Temper::Quick], 1, orders()).await?;
    stage.subscribe(0, &["order:new"]).await?;
    let load = Load::Delivered(options.users);
    let empty = stage
        .phase(options, "archived", "empty", load, Until::Archived)
        .await?;
    report.add(empty.clone());
    let mut stage = stage.filled(options, report).await?;
    let mut full = stage
        .phase(options, "archived", "full", load, Until::Archived)
        .await?;
    compare(&mut full, &empty);
    report.add(full);
    wait_for_the_dead(&mut stage, options, report).await?;
    let mut stage = stage.restart(options).await?;
    let mut line = cold_start(&mut stage, "archived").await?;
    for (list, key) in LISTS {
        let path = stage.store.path(list);
        let mut times = histogram();
        for _ in 0..20 {
            let begin = Instant::now();
            let (status, _) = stage.hub.call("GET", &path, &Value::Null).await?;
            if status != 200 {
                return Err(io::Error::other(format!(
                    "{path} was answered with {status}"
                )));
            }
            times.saturating_record(u64::try_from(begin.elapsed().as_micros()).unwrap_or(1));
        }
        line.set_if(key, millis(&times, 0.95));
    }
    report.add(line);
    Ok(())
}

/// First pages of lists that are timed with millions of rows behind them, and the names of their figures.
const LISTS: &[(&str, &str)] = &[
    ("queues/archived", "archived_list_ms"),
    ("queues/archived?message=order%3Anew", "by_type_ms"),
    ("queues/archived?state=archived", "without_success_ms"),
    (
        "queues/archived?object=order%2FR000000000001",
        "by_object_ms",
    ),
    (
        "queues/archived?start_date=2020-01-01&end_date=2020-01-02",
        "by_old_date_ms",
    ),
    ("queues/accepted", "accepted_list_ms"),
    ("notifications", "events_ms"),
    ("objects/order/R000000000001", "timeline_ms"),
    ("endpoints", "endpoints_ms"),
];

/// Adds what part of another phase's rate this one reached.
fn compare(line: &mut Line, base: &Line) {
    let rates = line
        .get("delivered_per_sec")
        .zip(base.get("delivered_per_sec"));
    line.set_if(
        "percent_of_alone",
        rates.map(|(rate, base)| rate / base * 100.0),
    );
}

/// An address of this machine where nobody listens: it was free a moment ago, and this is not the machine's busiest hour.
async fn dead_url() -> io::Result<String> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    Ok(format!("http://{}/dead", listener.local_addr()?))
}
