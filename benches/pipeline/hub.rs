//! The hub under test: the real program as a process of its own, and what the system knows of it.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    http::{self, Connection},
    load::Target,
};

const OPERATOR_TOKEN: &str = "benchmark-operator-token-0123456789abcdef";
/// The setting that names another database than a file in the folder.
pub const DATABASE: &str = "INTEGRATOR__DATABASE__URL";
/// The longest wait for a start; ten million archived messages must not need it.
const START_SECS: u64 = 120;
/// How long it may take to stop when it is asked to.
const STOP_TIME: Duration = Duration::from_secs(30);
/// Ticks of `/proc/PID/stat` a second: `USER_HZ`, 100 on every Linux this runs on.
pub const TICKS_PER_SEC: u64 = 100;

/// A running hub. Ends with its value.
pub struct Hub {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From starting the process to its readiness.
    pub started_in: Duration,
    operator: Connection,
}

/// What the system has counted for the process since its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time, in microseconds.
    pub cpu_us: u64,
    /// Bytes that went (or will go) to the disk.
    pub written_bytes: u64,
}

impl Hub {
    /// Starts a hub on the database in `folder` and waits until it is ready.
    pub async fn start(
        program: &Path,
        folder: &Path,
        settings: &[(String, String)],
    ) -> io::Result<Self> {
        let begin = Instant::now();
        let named = settings
            .iter()
            .find(|(key, _)| key == DATABASE)
            .map(|(_, url)| url.clone());
        let own = || format!("sqlite://{}", folder.join("hub.db").display());
        let database = named.unwrap_or_else(own);
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--database", &database])
            .env("INTEGRATOR_OPERATOR_TOKEN", OPERATOR_TOKEN)
            .env("INTEGRATOR__EGRESS__ALLOW_NETWORKS", "127.0.0.0/8")
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (says, said) = mpsc::channel();
        let log = folder.join("hub.log");
        watch(child.stdout.take(), says.clone(), log.with_extension("out"));
        watch(child.stderr.take(), says, log.clone());
        let address = tokio::task::spawn_blocking(move || {
            said.recv_timeout(Duration::from_secs(START_SECS)).ok()
        })
        .await
        .map_err(io::Error::other)?;
        let Some(address) = address else {
            child.kill().ok();
            child.wait().ok();
            let log = fs::read_to_string(&log).unwrap_or_default();
            return Err(io::Error::other(format!("the hub did not start:\n{log}")));
        };
        let operator = Connection::open(address).await?;
        let mut hub = Self {
            child,
            address,
            started_in: Duration::ZERO,
            operator,
        };
        while hub.call("GET", "/health/ready", &Value::Null).await?.0 != 200 {
            if begin.elapsed() > Duration::from_secs(START_SECS) {
                return Err(io::Error::other("the hub did not become ready"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        hub.started_in = begin.elapsed();
        Ok(hub)
    }

    /// One call of the API, as the operator.
    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> io::Result<(u16, Value)> {
        let bytes = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let headers = [
            ("content-type", "application/json"),
            ("x-augury-token", OPERATOR_TOKEN),
        ];
        let request = http::request(method, path, self.address, &headers, &bytes);
        let status = self.operator.exchange(&request).await?;
        let answer = serde_json::from_slice(self.operator.body()).unwrap_or(Value::Null);
        Ok((status, answer))
    }

    async fn make(&mut self, path: &str, body: &Value) -> io::Result<Value> {
        let (status, answer) = self.call("POST", path, body).await?;
        match status {
            200..=299 => Ok(answer),
            _ => Err(io::Error::other(format!(
                "POST {path} was answered with {status}: {answer}"
            ))),
        }
    }

    /// Makes a store; returns where to push messages of these types.
    pub async fn store(&mut self, kinds: Vec<String>, bytes: usize) -> io::Result<Store> {
        let answer = self
            .make("/api/stores", &json!({"store": {"name": "Benchmark"}}))
            .await?;
        let text = |key: &str| match answer.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => Err(io::Error::other(format!("a new store without {key:?}"))),
        };
        let (id, token) = (text("id")?, text("token")?);
        Ok(Store {
            target: Target {
                address: self.address,
                path: format!("/api/stores/{id}/messages"),
                token,
                kinds,
                bytes,
                objects: 50_000,
            },
            id,
        })
    }

    /// Subscribes an endpoint to message types.
    pub async fn subscribe(
        &mut self,
        store: &Store,
        name: &str,
        url: &str,
        kinds: &[&str],
    ) -> io::Result<()> {
        let path = format!("/api/stores/{}/mappings", store.id);
        let token = "benchmark-endpoint-token-0123456789abcdef";
        let body =
            json!({"mapping": {"name": name, "url": url, "token": token, "messages": kinds}});
        self.make(&path, &body).await.map(drop)
    }

    /// How many messages each queue of a store holds: incoming and archived.
    pub async fn queues(&mut self, store: &Store) -> io::Result<Queues> {
        let path = format!("/api/stores/{}/queues", store.id);
        let (status, answer) = self.call("GET", &path, &Value::Null).await?;
        if status != 200 {
            return Ok(Queues {
                incoming: 0,
                archived: u64::MAX / 2,
            });
        }
        let count = |key: &str| match answer.get(key) {
            Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
            _ => 0,
        };
        Ok(Queues {
            incoming: count("incoming"),
            archived: count("archived"),
        })
    }

    /// What the system has counted so far.
    pub fn usage(&self) -> Usage {
        let read = |name: &str| fs::read_to_string(self.proc(name)).unwrap_or_default();
        Usage {
            cpu_us: cpu_ticks(self.child.id(), 2) * 1_000_000 / TICKS_PER_SEC,
            written_bytes: field(&read("io"), "write_bytes:"),
        }
    }

    /// Resident memory now and at its highest, in megabytes.
    pub fn memory_mb(&self) -> (f64, f64) {
        let status = fs::read_to_string(self.proc("status")).unwrap_or_default();
        let mb = |key: &str| field(&status, key) as f64 / 1024.0;
        (mb("VmRSS:"), mb("VmHWM:"))
    }

    /// The sum over all labels of a counter in `/metrics`; `None` where the hub has none of this name.
    pub async fn metric(&mut self, names: &[&str]) -> Option<f64> {
        let request = http::request(
            "GET",
            "/metrics",
            self.address,
            &[("x-augury-token", OPERATOR_TOKEN)],
            b"",
        );
        if self.operator.exchange(&request).await.ok()? != 200 {
            return None;
        }
        let text = String::from_utf8_lossy(self.operator.body()).into_owned();
        let values: Vec<f64> = text
            .lines()
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                let name = series.split_once('{').map_or(series, |(name, _)| name);
                names.contains(&name).then(|| value.parse().ok()).flatten()
            })
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }

    /// The process, for a profiler.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the hub as a power cut would.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Asks it to stop, and gives it some time.
impl Drop for Hub {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        let begin = Instant::now();
        while asked.is_ok() && begin.elapsed() < STOP_TIME {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.end();
    }
}

/// A store of the hub under test.
pub struct Store {
    /// Where to push.
    pub target: Target,
    id: String,
}

impl Store {
    /// A path below the store's.
    pub fn path(&self, below: &str) -> String {
        format!("/api/stores/{}/{below}", self.id)
    }
}

/// How many messages wait for routing, and how many deliveries are done.
#[derive(Debug, Clone, Copy)]
pub struct Queues {
    /// Not routed yet.
    pub incoming: u64,
    /// Done.
    pub archived: u64,
}

/// The first `fields` of a process's user time, system time, and those of its children that ended, in ticks.
pub fn cpu_ticks(pid: u32, fields: usize) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name in parentheses and may hold anything; behind it, utime is the 12th.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    behind
        .split_whitespace()
        .skip(11)
        .take(fields)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum()
}

fn field(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Copies what the hub says into a file, and tells the address when it comes by.
fn watch<R: Read + Send + 'static>(
    stream: Option<R>,
    says: mpsc::Sender<SocketAddr>,
    file: PathBuf,
) {
    let Some(stream) = stream else { return };
    std::thread::spawn(move || {
        let mut file = fs::File::create(file).ok();
        let mut kept = 0;
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let address = line
                .split_once("listening on http://")
                .and_then(|(_, rest)| rest.split_whitespace().next())
                .map(|text| text.trim_end_matches(|end: char| !end.is_ascii_digit()))
                .and_then(|text| text.parse().ok());
            if let Some(address) = address {
                says.send(address).ok();
            }
            // A bound, since an endpoint that is dead on purpose may be told about often.
            if kept < 1 << 20 {
                kept += line.len();
                if let Some(file) = &mut file {
                    writeln!(file, "{line}").ok();
                }
            }
        }
    });
}
