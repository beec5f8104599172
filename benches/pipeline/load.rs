//! The load: closed loops (each user waits for its answer, or for its delivery, before the next message) and a fixed rate.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::sync::{Mutex, mpsc};

use crate::{
    http::{self, Connection},
    ledger::Ledger,
    order::Template,
    stats::histogram,
};

/// What to push, and where.
#[derive(Clone)]
pub struct Target {
    /// The hub, or the sink itself.
    pub address: SocketAddr,
    /// The path of single messages.
    pub path: String,
    /// A token with the scope `push`.
    pub token: String,
    /// The message types, in turn.
    pub kinds: Vec<String>,
    /// Bytes of a message.
    pub bytes: usize,
    /// Orders that the messages are about, in turn.
    pub objects: u64,
}

impl Target {
    fn requests(&self) -> Rc<Vec<Template>> {
        let headers = [
            ("content-type", "application/json"),
            ("x-augury-token", self.token.as_str()),
        ];
        let mut requests = Vec::new();
        for kind in &self.kinds {
            let message = Template::new(kind, self.bytes);
            let whole = http::request("POST", &self.path, self.address, &headers, message.bytes());
            let head = whole.len() - message.bytes().len();
            requests.push(message.behind(whole.get(..head).unwrap_or_default()));
        }
        Rc::new(requests)
    }
}

/// When a closed loop begins its next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// After the answer.
    Answered,
    /// After the answer, and only while less than one message per user is on its way.
    Delivered,
}

/// What became of a load.
#[derive(Debug)]
pub struct Outcome {
    /// Messages answered with 2xx.
    pub accepted: u64,
    /// Answers 503 and 429; those messages were pushed again.
    pub refused: u64,
    /// How long it took, to the last answer.
    pub took: Duration,
    /// From sending to the answer, in microseconds.
    pub post: Histogram<u64>,
}

struct Tally {
    accepted: Cell<u64>,
    refused: Cell<u64>,
    post: RefCell<Histogram<u64>>,
}

impl Tally {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            accepted: Cell::new(0),
            refused: Cell::new(0),
            post: RefCell::new(histogram()),
        })
    }

    fn outcome(&self, took: Duration) -> Outcome {
        Outcome {
            accepted: self.accepted.get(),
            refused: self.refused.get(),
            took,
            post: self.post.borrow().clone(),
        }
    }
}

/// `users` connections push as fast as they are answered, for `span` or until `most` messages are sent.
pub async fn closed(
    target: &Target,
    ledger: &Rc<Ledger>,
    users: usize,
    pace: Pace,
    span: Duration,
    most: u64,
) -> io::Result<Outcome> {
    let tally = Tally::new();
    if pace == Pace::Delivered {
        ledger.done.add_permits(users);
    }
    let mut connections = Vec::new();
    for _ in 0..users {
        connections.push(Connection::open(target.address).await?);
    }
    let requests = target.requests();
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for connection in connections {
        let (ledger, tally) = (Rc::clone(ledger), Rc::clone(&tally));
        let mut pusher = Pusher::new(connection, &requests, target.objects);
        tasks.push(tokio::task::spawn_local(async move {
            while begin.elapsed() < span && ledger.sent() < most {
                if pace == Pace::Delivered {
                    let rest = span.saturating_sub(begin.elapsed());
                    match tokio::time::timeout(rest, ledger.done.acquire()).await {
                        Ok(Ok(permit)) => permit.forget(),
                        _ => break,
                    }
                }
                let now = ledger.now();
                let n = ledger.send(now);
                pusher.push(n, now, &ledger, &tally).await?;
            }
            Ok::<(), io::Error>(())
        }));
    }
    for task in tasks {
        task.await.map_err(io::Error::other)??;
    }
    Ok(tally.outcome(begin.elapsed()))
}

/// Pushes `rate` messages a second for `span`, whatever the answers take.
///
/// A thread of its own gives the beat, and a latency counts from the beat: a message that has to wait for a free connection has
/// that in its figure, so a slow hub cannot hide by slowing the load (no coordinated omission).
pub async fn fixed(
    target: &Target,
    ledger: &Rc<Ledger>,
    connections: usize,
    rate: f64,
    span: Duration,
) -> io::Result<Outcome> {
    let tally = Tally::new();
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Connection::open(target.address).await?);
    }
    let (beats, due) = mpsc::unbounded_channel();
    let due = Rc::new(Mutex::new(due));
    let begin = Instant::now();
    let metronome = std::thread::spawn(move || {
        let beat = Duration::from_secs_f64(1.0 / rate);
        let mut next = begin;
        while next.duration_since(begin) < span {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            if beats.send(Instant::now()).is_err() {
                return;
            }
            next += beat;
        }
    });
    let requests = target.requests();
    let mut tasks = Vec::new();
    for connection in opened {
        let (due, ledger, tally) = (Rc::clone(&due), Rc::clone(ledger), Rc::clone(&tally));
        let mut pusher = Pusher::new(connection, &requests, target.objects);
        tasks.push(tokio::task::spawn_local(async move {
            loop {
                let beat = due.lock().await.recv().await;
                let Some(beat) = beat else {
                    return Ok::<(), io::Error>(());
                };
                let at = ledger.at(beat);
                let n = ledger.send(at);
                pusher.push(n, at, &ledger, &tally).await?;
            }
        }));
    }
    for task in tasks {
        task.await.map_err(io::Error::other)??;
    }
    let outcome = tally.outcome(begin.elapsed());
    metronome
        .join()
        .map_err(|_| io::Error::other("the metronome broke"))?;
    Ok(outcome)
}

/// One user: a connection, and the requests it sends in turn.
struct Pusher {
    connection: Connection,
    requests: Rc<Vec<Template>>,
    objects: u64,
    bytes: Vec<u8>,
}

impl Pusher {
    fn new(connection: Connection, requests: &Rc<Vec<Template>>, objects: u64) -> Self {
        Self {
            connection,
            requests: Rc::clone(requests),
            objects,
            bytes: Vec::new(),
        }
    }

    /// Pushes message `n`, which was due at `at`, until it is accepted.
    async fn push(&mut self, n: u64, at: u64, ledger: &Ledger, tally: &Tally) -> io::Result<()> {
        let turn = usize::try_from(n).unwrap_or(0) % self.requests.len().max(1);
        let Some(request) = self.requests.get(turn) else {
            return Ok(());
        };
        self.bytes.clear();
        request.write(&mut self.bytes, n, n % self.objects);
        loop {
            match self.connection.exchange(&self.bytes).await? {
                200..=299 => break,
                503 | 429 => {
                    tally.refused.set(tally.refused.get() + 1);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                status => {
                    let body = String::from_utf8_lossy(self.connection.body()).into_owned();
                    return Err(io::Error::other(format!(
                        "a push was answered with {status}: {body}"
                    )));
                }
            }
        }
        tally.accepted.set(tally.accepted.get() + 1);
        let took = ledger.now().saturating_sub(at).max(1);
        tally.post.borrow_mut().saturating_record(took);
        Ok(())
    }
}

/// Pushes `count` messages in batches of a thousand JSON lines, over a few connections. They are in no book.
pub async fn prefill(target: &Target, count: u64, connections: u64) -> io::Result<Duration> {
    let begin = Instant::now();
    let next = Rc::new(Cell::new(0_u64));
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (target, next) = (target.clone(), Rc::clone(&next));
        tasks.push(tokio::task::spawn_local(async move {
            let mut connection = Connection::open(target.address).await?;
            let kind = target.kinds.first().cloned().unwrap_or_default();
            let message = Template::new(&kind, target.bytes);
            let headers = [
                ("content-type", "application/x-ndjson"),
                ("x-augury-token", target.token.as_str()),
            ];
            let path = format!("{}/batch", target.path);
            loop {
                let from = next.get();
                let until = (from + 1000).min(count);
                if from == until {
                    return Ok::<(), io::Error>(());
                }
                next.set(until);
                let mut lines = Vec::with_capacity(1000 * (target.bytes + 64));
                for n in from..until {
                    message.write(&mut lines, n, n % target.objects);
                    lines.push(b'\n');
                }
                let request = http::request("POST", &path, target.address, &headers, &lines);
                loop {
                    match connection.exchange(&request).await? {
                        200..=299 => break,
                        503 | 429 => tokio::time::sleep(Duration::from_millis(50)).await,
                        status => {
                            let body = String::from_utf8_lossy(connection.body()).into_owned();
                            return Err(io::Error::other(format!(
                                "a batch was answered with {status}: {body}"
                            )));
                        }
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.map_err(io::Error::other)??;
    }
    Ok(begin.elapsed())
}
