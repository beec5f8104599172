//! `integrator push`: pushes messages from files in batches.

use std::{
    fs::File,
    io::{BufRead, BufReader, IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    Outcome,
    hub_client::{CallError, HubClient, random_token},
};

/// Messages in one request; the hub takes up to 1,000.
const BATCH_ITEMS: usize = 500;

/// Bytes in one request at most, unless one message alone is longer.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// How often a full or silent hub is asked again before giving up.
const TRIES: u32 = 8;

/// Push messages from files to a hub
///
/// A file holds one message, an array of messages, or one message a line (JSON lines). Messages go out in batches, each message with an idempotency
/// key of this run, so that nothing is accepted twice when a batch has to be sent again; a second run pushes everything anew. Exit code 1 when anything was refused; the line and the
/// reason are on standard error, and everything else has been accepted.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The store's id
    #[arg(long, value_name = "ID")]
    store: String,
    /// A token with scope push
    #[arg(
        long,
        value_name = "T",
        env = "INTEGRATOR_TOKEN",
        hide_env_values = true
    )]
    token: String,
    /// The hub's address
    #[arg(long, value_name = "HUB", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Files to read; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Some messages were refused.
#[derive(Debug, thiserror::Error)]
#[error("{refused} of {total} messages were refused")]
struct Refused {
    refused: usize,
    total: usize,
}

/// Pushes all files and prints a summary to standard output.
pub fn run(args: Args) -> Outcome {
    actix_rt::System::new().block_on(push(args))
}

async fn push(args: Args) -> Outcome {
    let hub = HubClient::new(&args.url)?;
    let mut pusher = Pusher {
        hub,
        path: format!("/api/stores/{}/messages/batch", args.store),
        token: args.token,
        run: random_token().chars().take(16).collect(),
        batch: Vec::new(),
        batch_bytes: 0,
        accepted: 0,
        refused: 0,
        progress: progress_bar(),
    };
    // All are opened before anything is sent: a name that is mistyped stops the whole run, not its second half.
    let mut readers: Vec<(String, Box<dyn BufRead>)> = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        let reader: Box<dyn BufRead> = if name == "-" {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            let opened = File::open(file).map_err(|source| Unreadable {
                name: name.clone(),
                source,
            })?;
            Box::new(BufReader::new(opened))
        };
        readers.push((name, reader));
    }
    for (name, reader) in readers {
        pusher.read(&name, reader).await?;
    }
    pusher.flush().await?;
    pusher.progress.finish_and_clear();
    let (accepted, refused) = (pusher.accepted, pusher.refused);
    writeln!(std::io::stdout(), "{accepted} accepted, {refused} refused")?;
    if refused > 0 {
        return Err(Refused {
            refused,
            total: accepted + refused,
        }
        .into());
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read {name}")]
struct Unreadable {
    name: String,
    source: std::io::Error,
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} messages, {per_sec} {elapsed}")
    {
        bar.set_style(style);
    }
    bar
}

/// A message to push, with where it stands.
struct Item {
    place: String,
    raw: String,
}

struct Pusher {
    hub: HubClient,
    path: String,
    token: String,
    /// What makes this run's idempotency keys different from another's.
    run: String,
    batch: Vec<Item>,
    batch_bytes: usize,
    accepted: usize,
    refused: usize,
    progress: ProgressBar,
}

#[derive(Deserialize)]
struct BatchAnswer {
    results: Vec<Value>,
}

impl Pusher {
    async fn read(&mut self, name: &str, mut reader: Box<dyn BufRead>) -> Outcome {
        let mut number = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let unreadable = |source| Unreadable {
                name: name.to_owned(),
                source,
            };
            if reader.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
                return Ok(());
            }
            number += 1;
            let place = format!("{name}:{number}");
            let Ok(text) = std::str::from_utf8(&line) else {
                self.refuse(&place, "is not valid UTF-8");
                continue;
            };
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() {
                continue;
            }
            // A first line that is no value of its own begins a document over several lines; an array is one in any case.
            let is_begun =
                || serde_json::from_str::<&RawValue>(text).is_err_and(|error| error.is_eof());
            if number == 1 && (text.starts_with('[') || is_begun()) {
                let mut document = text.to_owned();
                document.push('\n');
                reader.read_to_string(&mut document).map_err(unreadable)?;
                for (place, raw) in whole(name, &document) {
                    self.add(place, raw).await?;
                }
                return Ok(());
            }
            self.add(place, text.to_owned()).await?;
        }
    }

    async fn add(&mut self, place: String, raw: String) -> Outcome {
        if let Err(error) = serde_json::from_str::<&RawValue>(&raw) {
            self.refuse(&place, &format!("is not JSON: {error}"));
            return Ok(());
        }
        if self.batch.len() >= BATCH_ITEMS || self.batch_bytes + raw.len() > BATCH_BYTES {
            self.flush().await?;
        }
        self.batch_bytes += raw.len();
        let sequence = self.accepted + self.refused + self.batch.len();
        self.batch.push(Item {
            place,
            raw: keyed(raw, &format!("{}-{sequence}", self.run)),
        });
        Ok(())
    }

    fn refuse(&mut self, place: &str, reason: &str) {
        self.refused += 1;
        self.progress.suspend(|| {
            // Nothing is left to do when standard error is gone; the exit code tells.
            let _ = writeln!(std::io::stderr(), "{place}: {reason}");
        });
    }

    async fn flush(&mut self) -> Outcome {
        let mut waiting = vec![std::mem::take(&mut self.batch)];
        self.batch_bytes = 0;
        while let Some(mut batch) = waiting.pop() {
            if batch.is_empty() {
                continue;
            }
            let lines: Vec<String> = batch
                .iter()
                .map(|item| item.raw.replace(['\n', '\r'], " "))
                .collect();
            match self.send(Bytes::from(lines.join("\n"))).await? {
                Sent::Results(results) => self.note(&batch, &results),
                // The hub takes shorter bodies than we send: halves, in order, until one message alone is too long.
                Sent::TooLarge(reason) => match batch.as_slice() {
                    [item] => self.refuse(&item.place, &reason),
                    _ => {
                        let rest = batch.split_off(batch.len() / 2);
                        waiting.extend([rest, batch]);
                    }
                },
            }
        }
        Ok(())
    }

    fn note(&mut self, batch: &[Item], results: &[Value]) {
        for (index, item) in batch.iter().enumerate() {
            match results.get(index) {
                Some(result) if result.get("message_id").is_some() => self.accepted += 1,
                Some(result) => self.refuse(&item.place, &reason(result)),
                None => self.refuse(&item.place, "the hub did not say what became of it"),
            }
        }
        self.progress
            .set_position(u64::try_from(self.accepted).unwrap_or(u64::MAX));
    }

    async fn send(&self, body: Bytes) -> Result<Sent, Box<dyn std::error::Error>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let reply = self
                .hub
                .call(
                    &self.token,
                    &self.path,
                    "application/x-ndjson",
                    body.clone(),
                )
                .await;
            let wait = match reply {
                Ok(reply) if reply.status == 200 => {
                    let answer: BatchAnswer = serde_json::from_str(&reply.body)
                        .map_err(|_| CallError::Missing("results"))?;
                    return Ok(Sent::Results(answer.results));
                }
                Ok(reply) if reply.status == 413 => {
                    let answer = serde_json::from_str(&reply.body).unwrap_or_default();
                    return Ok(Sent::TooLarge(reason(&answer)));
                }
                Ok(reply) if matches!(reply.status, 409 | 429 | 503) && tries < TRIES => reply
                    .retry_after
                    .unwrap_or(Duration::from_secs(1))
                    .min(Duration::from_secs(60)),
                Ok(reply) => {
                    return Err(CallError::Refused {
                        status: reply.status,
                        body: reply.body,
                    }
                    .into());
                }
                Err(CallError::NoAnswer(_)) if tries < TRIES => {
                    Duration::from_secs(u64::from(tries))
                }
                Err(error) => return Err(error.into()),
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// What became of a request.
enum Sent {
    /// One result for each message, in order.
    Results(Vec<Value>),
    /// The hub takes no body this long; its words.
    TooLarge(String),
}

/// The messages of a whole document: its elements when it is an array, else itself.
fn whole(name: &str, text: &str) -> Vec<(String, String)> {
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(items) => items
            .iter()
            .enumerate()
            .map(|(index, raw)| (format!("{name}[{index}]"), raw.get().to_owned()))
            .collect(),
        Err(_) => vec![(name.to_owned(), text.trim().to_owned())],
    }
}

/// The message with an idempotency key of this run, unless it is no object or has one of its own.
fn keyed(raw: String, key: &str) -> String {
    #[derive(Deserialize)]
    struct Own<'a> {
        #[serde(borrow, default)]
        idempotency_key: Option<&'a RawValue>,
    }
    let has_none =
        serde_json::from_str::<Own<'_>>(&raw).is_ok_and(|own| own.idempotency_key.is_none());
    match raw.strip_prefix('{').map(str::trim_start) {
        Some(rest) if has_none && !rest.starts_with('}') => {
            format!("{{\"idempotency_key\":\"{key}\",{rest}")
        }
        _ => raw,
    }
}

/// Why a message was refused, in one line.
fn reason(result: &Value) -> String {
    let listed: Vec<&str> = result
        .get("errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match (
        listed.is_empty(),
        result.get("error").and_then(Value::as_str),
    ) {
        (false, _) => listed.join("; "),
        (true, Some(error)) => error.to_owned(),
        (true, None) => "refused without a reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_gets_a_key_unless_it_has_one() {
        assert_eq!(
            keyed(r#"{ "message":"a:b"}"#.into(), "k"),
            r#"{"idempotency_key":"k","message":"a:b"}"#
        );
        let own = r#"{"message":"a:b","idempotency_key":"mine"}"#;
        assert_eq!(keyed(own.into(), "k"), own);
        assert_eq!(keyed("{}".into(), "k"), "{}");
        assert_eq!(keyed("[1]".into(), "k"), "[1]");
    }

    #[test]
    fn an_array_is_its_elements_and_anything_else_itself() {
        assert_eq!(
            whole("f", r#"[{"a":1}, 2]"#),
            [
                ("f[0]".to_owned(), "{\"a\":1}".to_owned()),
                ("f[1]".to_owned(), "2".to_owned())
            ]
        );
        assert_eq!(whole("f", "{\n}\n"), [("f".to_owned(), "{\n}".to_owned())]);
    }

    #[test]
    fn the_reason_names_the_fields() {
        assert_eq!(
            reason(
                &serde_json::json!({"error": "Invalid.", "errors": ["message: is empty", "payload: is missing"]})
            ),
            "message: is empty; payload: is missing"
        );
        assert_eq!(
            reason(&serde_json::json!({"error": "Invalid."})),
            "Invalid."
        );
    }
}
