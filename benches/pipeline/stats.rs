//! What a phase measured, as a line of the table and as JSON.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

/// Times in microseconds, from 1 us to 10 minutes, three digits exact.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds that the crate allows")
}

/// Milliseconds at a quantile; `None` when nothing was recorded.
pub fn millis(times: &Histogram<u64>, quantile: f64) -> Option<f64> {
    let is_measured = !times.is_empty();
    is_measured.then(|| times.value_at_quantile(quantile) as f64 / 1000.0)
}

/// One line of the report. What a phase does not measure is `None`.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// The scenario's name.
    pub scenario: &'static str,
    /// What was done.
    pub phase: String,
    /// Named figures, in the order of [`COLUMNS`] or beyond.
    figures: Vec<(&'static str, f64)>,
}

/// The columns of the table: key, heading, digits after the point.
const COLUMNS: &[(&str, &str, usize)] = &[
    ("accepted_per_sec", "accept/s", 0),
    ("post_p50_ms", "post p50", 2),
    ("post_p99_ms", "p99 ms", 2),
    ("delivered_per_sec", "deliver/s", 0),
    ("endpoint_p50_ms", "to end p50", 2),
    ("endpoint_p99_ms", "p99 ms", 2),
    ("cpu_us_per_message", "cpu us/msg", 1),
    ("cpu_us_per_delivery", "us/deliv", 1),
    ("peak_mb", "peak MB", 0),
    ("written_bytes_per_message", "bytes/msg", 0),
    ("commits_per_message", "commits/msg", 4),
    ("fsyncs_per_message", "fsyncs/msg", 4),
];

impl Line {
    /// A line without figures.
    pub fn new(scenario: &'static str, phase: impl Into<String>) -> Self {
        Self {
            scenario,
            phase: phase.into(),
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn set(&mut self, key: &'static str, value: f64) {
        self.figures.push((key, value));
    }

    /// Adds a figure where there is one.
    pub fn set_if(&mut self, key: &'static str, value: Option<f64>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Adds a figure.
    pub fn with(mut self, key: &'static str, value: f64) -> Self {
        self.set(key, value);
        self
    }

    /// A figure.
    pub fn get(&self, key: &str) -> Option<f64> {
        self.figures
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| *value)
    }

    /// The line as a JSON object.
    pub fn to_json(&self) -> Value {
        let mut figures = Map::new();
        for (key, value) in &self.figures {
            figures.insert((*key).to_owned(), json!(value));
        }
        json!({"scenario": self.scenario, "phase": self.phase, "figures": figures})
    }

    /// The line as a row of the table; figures without a column stand behind it by name.
    fn row(&self) -> String {
        let mut text = format!("{:<10} {:<26}", self.scenario, self.phase);
        for (key, heading, digits) in COLUMNS {
            let width = heading.len().max(7);
            match self.get(key) {
                Some(value) => text.push_str(&format!(" {value:>width$.digits$}")),
                None => text.push_str(&format!(" {:>width$}", "-")),
            }
        }
        for (key, value) in &self.figures {
            if !COLUMNS.iter().any(|(column, ..)| column == key) {
                text.push_str(&format!("  {key}={value:.2}"));
            }
        }
        text
    }
}

/// The heading of the table.
pub fn heading() -> String {
    let mut text = format!("{:<10} {:<26}", "scenario", "phase");
    for (_, heading, _) in COLUMNS {
        let width = heading.len().max(7);
        text.push_str(&format!(" {heading:>width$}"));
    }
    text
}

/// Collects lines, printing each as soon as it is there.
#[derive(Debug, Default)]
pub struct Report {
    /// The lines so far.
    pub lines: Vec<Line>,
}

impl Report {
    /// Adds a line and prints it.
    pub fn add(&mut self, line: Line) {
        if self.lines.is_empty() {
            println!("{}", heading());
        }
        println!("{}", line.row());
        self.lines.push(line);
    }
}
