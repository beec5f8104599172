//! The log: one line per record on standard error, for people or for machines.
//!
//! ```text
//! 2026-01-02T03:04:05.678Z INFO  integrator::actors::intake: a batch was committed messages=12 duration_ms=3
//! {"time":"2026-01-02T03:04:05.678Z","level":"info","target":"integrator::actors::intake","message":"a batch was committed","messages":12,"duration_ms":3}
//! ```
//!
//! Fields are the key-value pairs of the `log` macros (`info!(messages = 12; "a batch was committed")`). A record is always one
//! line, whatever its parts hold, so that nothing that came from outside can forge a second one.

use std::fmt::Write as _;
use std::io::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use log::kv::{Error as KvError, Key, Value, VisitSource};
use log::{LevelFilter, Record};
use serde_json::{Map, Value as Json};

use crate::config::{LogConfig, LogFormat};

/// The members of a JSON line that fields cannot take; a field of such a name gets a `_` behind it.
const RESERVED: [&str; 4] = ["time", "level", "target", "message"];

/// Starts the log of this process, and logs panics as errors from now on. `rust_log` is the value of `RUST_LOG`, which replaces
/// the configured level when it is not empty. A second call changes nothing.
pub fn init(config: &LogConfig, rust_log: Option<&str>) {
    let mut builder = env_logger::Builder::new();
    match rust_log.filter(|filters| !filters.trim().is_empty()) {
        Some(filters) => builder.parse_filters(filters),
        None => {
            let level = config.level.filter();
            builder
                .filter_level(level.min(LevelFilter::Warn))
                .filter_module("integrator", level)
        }
    };
    let format = config.format;
    builder.format(move |out, record| {
        let line = match format {
            LogFormat::Text => text_line(record, Utc::now()),
            LogFormat::Json => json_line(record, Utc::now()),
        };
        writeln!(out, "{line}")
    });
    if builder.try_init().is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Instead of the default's several lines, which no reader of JSON lines expects.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map_or_else(String::new, ToString::to_string);
    let thread = std::thread::current();
    let payload = panic.payload();
    let literal = payload.downcast_ref::<&str>().copied();
    let reason = literal
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given");
    log::error!(place = place, thread = thread.name().unwrap_or("unnamed"); "a thread panicked: {reason}");
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn text_line(record: &Record<'_>, time: DateTime<Utc>) -> String {
    let mut line = format!(
        "{} {:<5} {}: ",
        rfc3339(time),
        record.level(),
        record.target()
    );
    push_escaped(&mut line, &record.args().to_string());
    // Neither visitor fails.
    let _ = record.key_values().visit(&mut TextFields(&mut line));
    line
}

fn json_line(record: &Record<'_>, time: DateTime<Utc>) -> String {
    let mut fields = JsonFields(Map::new());
    let _ = record.key_values().visit(&mut fields);
    let mut line = format!(
        "{{\"time\":\"{}\",\"level\":\"{}\",\"target\":{},\"message\":{}",
        rfc3339(time),
        record.level().as_str().to_lowercase(),
        Json::from(record.target()),
        Json::from(record.args().to_string()),
    );
    for (key, value) in fields.0 {
        let _ = write!(line, ",{}:{value}", Json::from(key));
    }
    line.push('}');
    line
}

/// Line breaks and other control characters as `\n`, `\u{1b}`, ...
fn push_escaped(line: &mut String, text: &str) {
    for character in text.chars() {
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
}

struct TextFields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for TextFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), KvError> {
        let text = value.to_string();
        let plain = !text.is_empty()
            && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"=\\".contains(c));
        self.0.push(' ');
        self.0.push_str(key.as_str());
        self.0.push('=');
        match plain {
            true => self.0.push_str(&text),
            false => push_escaped(self.0, &Json::from(text).to_string()),
        }
        Ok(())
    }
}

struct JsonFields(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for JsonFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), KvError> {
        let mut name = key.as_str().to_owned();
        if RESERVED.contains(&key.as_str()) {
            name.push('_');
        }
        self.0.insert(name, to_json(&value));
        Ok(())
    }
}

/// Numbers and truths stay what they are; everything else is text.
fn to_json(value: &Value<'_>) -> Json {
    if let Some(truth) = value.to_bool() {
        return Json::from(truth);
    }
    if let Some(number) = value.to_u64() {
        return Json::from(number);
    }
    if let Some(number) = value.to_i64() {
        return Json::from(number);
    }
    match value.to_f64().and_then(serde_json::Number::from_f64) {
        Some(number) => Json::Number(number),
        None => Json::from(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    /// The line of a record with these fields, at a fixed time.
    fn line(format: LogFormat, sentence: &str, fields: &[(&str, Value<'_>)]) -> String {
        let time = DateTime::from_timestamp_millis(1_767_323_045_678).unwrap();
        let args = format_args!("{sentence}").to_string();
        let line = match format {
            LogFormat::Text => text_line,
            LogFormat::Json => json_line,
        };
        line(
            &Record::builder()
                .level(Level::Info)
                .target("integrator::x")
                .args(format_args!("{args}"))
                .key_values(&fields)
                .build(),
            time,
        )
    }

    #[test]
    fn a_text_line_holds_time_level_target_sentence_and_fields() {
        let fields = [
            ("store", Value::from("64f0")),
            ("duration_ms", Value::from(12)),
            ("why", Value::from("no answer")),
        ];
        assert_eq!(
            line(LogFormat::Text, "an attempt failed", &fields),
            "2026-01-02T03:04:05.678Z INFO  integrator::x: an attempt failed store=64f0 duration_ms=12 why=\"no answer\""
        );
    }

    #[test]
    fn a_json_line_is_one_object_whose_numbers_are_numbers() {
        let fields = [
            ("duration_ms", Value::from(12)),
            ("share", Value::from(0.5)),
            ("ok", Value::from(true)),
            ("level", Value::from("x")),
        ];
        let line = line(LogFormat::Json, "said \"so\"", &fields);
        let read: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "time": "2026-01-02T03:04:05.678Z", "level": "info", "target": "integrator::x", "message": "said \"so\"",
                "duration_ms": 12, "share": 0.5, "ok": true, "level_": "x",
            })
        );
        assert!(line.starts_with("{\"time\":"), "{line}");
    }

    #[test]
    fn nothing_in_a_record_can_start_a_second_line() {
        let fields = [("name", Value::from("a\nb\u{1b}[2J"))];
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = line(format, "one\ntwo\r", &fields);
            assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        }
    }
}
