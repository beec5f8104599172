//! What the parts can do alone on this machine, in the same run: figures to hold the hub's against.

use std::{fs, io, time::Duration};

use crate::{
    Options,
    ledger::Ledger,
    load::{self, Pace, Target},
    sink::{Sink, Temper},
    stats::{Line, Report, millis},
};

/// The generator straight to the sink: no hub that this benchmark measures can look better than this.
pub async fn direct(options: &Options, report: &mut Report) -> io::Result<()> {
    let ledger = Ledger::new(1);
    let sink = Sink::start(vec![Temper::Quick], ledger.clone()).await?;
    let target = Target {
        address: sink.address,
        path: "/e0".to_owned(),
        token: "none".to_owned(),
        kinds: vec!["order:new".to_owned()],
        bytes: options.bytes,
        objects: 50_000,
    };
    let cpu = own_cpu_us();
    let outcome = load::closed(
        &target,
        &ledger,
        options.users,
        Pace::Answered,
        options.span(),
        u64::MAX,
    )
    .await?;
    let secs = outcome.took.as_secs_f64();
    let mut line = Line::new("limit", "generator to sink, closed");
    line.set("accepted_per_sec", outcome.accepted as f64 / secs);
    line.set_if("post_p50_ms", millis(&outcome.post, 0.5));
    line.set_if("post_p99_ms", millis(&outcome.post, 0.99));
    line.set("delivered_per_sec", ledger.deliveries() as f64 / secs);
    line.set(
        "own_cpu_us",
        (own_cpu_us() - cpu) as f64 / outcome.accepted.max(1) as f64,
    );
    report.add(line);

    let ledger = Ledger::new(1);
    sink.record(ledger.clone());
    let span = options.span().min(Duration::from_secs(5));
    let outcome = load::fixed(&target, &ledger, 8, options.rate, span).await?;
    let mut line = Line::new("limit", format!("generator to sink, {}/s", options.rate));
    line.set_if("post_p50_ms", millis(&outcome.post, 0.5));
    line.set_if("post_p99_ms", millis(&outcome.post, 0.99));
    line.set_if("endpoint_p50_ms", millis(&ledger.latency(), 0.5));
    line.set_if("endpoint_p99_ms", millis(&ledger.latency(), 0.99));
    report.add(line);
    Ok(())
}

/// CPU time of the benchmark's own process, in microseconds.
pub fn own_cpu_us() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks: u64 = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks * 10_000
}
