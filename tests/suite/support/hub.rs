//! The real program in its own process, and its API.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use awc::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::eventually;

/// The operator's token of every hub in these tests.
pub const OPERATOR: &str = "operator-token-of-the-tests";

/// How a hub is started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    env: Vec<(String, String)>,
    database: Option<String>,
    file_limit: Option<u64>,
}

impl Setup {
    /// On this database instead of one of its own.
    pub fn on(mut self, database: &str) -> Self {
        self.database = Some(database.to_owned());
        self
    }

    /// Sets a key of the configuration, such as `retry.base_secs`.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        let name = format!(
            "INTEGRATOR__{}",
            key.to_ascii_uppercase().replace('.', "__")
        );
        self.env.push((name, value.to_string()));
        self
    }
}

impl Setup {
    /// No file of the hub's may grow beyond so many bytes.
    pub fn with_file_limit(mut self, bytes: u64) -> Self {
        self.file_limit = Some(bytes);
        self
    }
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body as JSON; null when it is none.
    pub body: Value,
    /// Its body.
    pub text: String,
    /// `Retry-After`.
    pub retry_after: Option<String>,
}

/// A hub in its own process; killed when dropped.
pub struct Hub {
    folder: TempDir,
    /// Where the database is, when not in the folder itself.
    place: Option<PathBuf>,
    setup: Setup,
    child: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
    /// `http://127.0.0.1:PORT`; another after each restart.
    pub url: String,
}

/// A store of a hub.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its id.
    pub id: String,
    /// Its admin token.
    pub token: String,
}

impl Hub {
    /// A hub with quick retries that may post to this machine.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// A hub with this configuration besides.
    pub async fn start_with(setup: Setup) -> Self {
        let mut hub = Self::not_started(setup);
        hub.launch().await;
        hub
    }

    /// A hub whose database is in another place.
    pub async fn start_in(place: &Path, setup: Setup) -> Self {
        let mut hub = Self::not_started(setup);
        hub.place = Some(place.to_owned());
        hub.launch().await;
        hub
    }

    /// Starts the program on its database and waits until it ends by itself: its exit code, and what it said last.
    pub async fn launch_in_vain(&self) -> (Option<i32>, String) {
        let mut command = self.command();
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = tokio::time::timeout(super::PATIENCE, output)
            .await
            .unwrap()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    }

    /// The next start has no limit on the size of files.
    pub fn lift_file_limit(&mut self) {
        self.setup.file_limit = None;
    }

    fn command(&self) -> Command {
        let folder = self.place.as_deref().unwrap_or(self.folder.path());
        let own = || format!("sqlite://{}", folder.join("hub.db").display());
        let database = self.setup.database.clone().unwrap_or_else(own);
        let program = env!("CARGO_BIN_EXE_integrator");
        let mut command = match self.setup.file_limit {
            None => Command::new(program),
            Some(bytes) => {
                // The shell counts blocks of 512 bytes; ignored, the signal leaves an error for whoever writes.
                let script = format!(
                    "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
                    bytes / 512
                );
                let mut shell = Command::new("sh");
                shell.args(["-c", &script, program]);
                shell
            }
        };
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--database", &database])
            .env("INTEGRATOR_OPERATOR_TOKEN", OPERATOR)
            .envs(self.setup.env.iter().cloned());
        command
    }

    fn not_started(setup: Setup) -> Self {
        let quick = Setup::default()
            .with("egress.allow_networks", "127.0.0.0/8")
            .with("retry.base_secs", 1)
            .with("retry.jitter", 0)
            .with("supervision.backoff_base_ms", 10);
        let setup = Setup {
            env: quick.env.into_iter().chain(setup.env).collect(),
            database: setup.database,
            file_limit: setup.file_limit,
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            place: None,
            setup,
            child: None,
            log: Arc::default(),
            url: String::new(),
        }
    }

    /// The folder with its database.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it printed so far, both streams.
    pub fn printed(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Starts the program on its database and waits until it is ready.
    pub async fn launch(&mut self) {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let from = self.log.lock().unwrap().len();
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let log = Arc::clone(&self.log);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    log.lock().unwrap().push(line);
                }
            });
        }
        self.child = Some(child);
        let log = Arc::clone(&self.log);
        self.url = eventually("the hub says where it listens", || async {
            let lines = log.lock().unwrap();
            lines[from..]
                .iter()
                .find_map(|line| line.split("listening on ").nth(1))
                .map(|url| url.trim().to_owned())
        })
        .await;
        eventually("the hub is ready", || async {
            (self.get("", "/health/ready").await.status == 200).then_some(())
        })
        .await;
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; gives the exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.ask_to_stop();
        self.exit_code().await
    }

    /// SIGTERM.
    pub fn ask_to_stop(&self) {
        let child = self.child.as_ref().unwrap();
        let killed = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }

    /// Waits until it has exited; gives the exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        eventually("the hub exits", || {
            let ended = child.try_wait().unwrap();
            async move { ended }
        })
        .await
        .code()
    }

    /// Calls the API.
    pub async fn call(
        &self,
        method: &str,
        token: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        self.try_call(method, token, path, headers, body)
            .await
            .unwrap()
    }

    /// Calls the API; the error says that no answer came.
    pub async fn try_call(
        &self,
        method: &str,
        token: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Result<Answer, String> {
        let client = Client::builder().timeout(Duration::from_secs(30)).finish();
        let mut request = client
            .request(method.parse().unwrap(), format!("{}{path}", self.url))
            .force_close();
        if !token.is_empty() {
            request = request.insert_header(("X-Augury-Token", token));
        }
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let mut response = request
            .send_body(body.into())
            .await
            .map_err(|error| error.to_string())?;
        let bytes = response
            .body()
            .limit(64 << 20)
            .await
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        Ok(Answer {
            status: response.status().as_u16(),
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
            retry_after,
        })
    }

    /// GET.
    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.call("GET", token, path, &[], "").await
    }

    /// POST of JSON.
    pub async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.call(
            "POST",
            token,
            path,
            &[("Content-Type", "application/json")],
            body.to_string(),
        )
        .await
    }

    /// PUT of JSON.
    pub async fn put(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.call(
            "PUT",
            token,
            path,
            &[("Content-Type", "application/json")],
            body.to_string(),
        )
        .await
    }

    /// Makes a store.
    pub async fn store(&self, name: &str) -> Store {
        let answer = self
            .post(OPERATOR, "/api/stores", &json!({"store": {"name": name}}))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        Store {
            id: answer.body["id"].as_str().unwrap().into(),
            token: answer.body["token"].as_str().unwrap().into(),
        }
    }

    /// Makes a mapping from `name` to `url` with further members; gives its id.
    pub async fn mapping(&self, store: &Store, name: &str, url: &str, more: Value) -> String {
        let mut mapping = json!({"name": name, "url": url, "token": "", "messages": ["order:new"], "enabled": true});
        mapping
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = self
            .post(
                &store.token,
                &store.path("/mappings"),
                &json!({"mapping": mapping}),
            )
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body["id"].as_str().unwrap().into()
    }

    /// Pushes a message and gives its id, once it is accepted.
    pub async fn push(&self, store: &Store, kind: &str, payload: Value) -> String {
        let answer = self
            .post(
                &store.token,
                &store.path("/messages"),
                &json!({"message": kind, "payload": payload}),
            )
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body["message_id"].as_str().unwrap().into()
    }

    /// Waits until the rows of a queue that match are enough, and gives them.
    pub async fn rows(
        &self,
        store: &Store,
        queue_and_query: &str,
        what: &str,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        eventually(what, || async {
            let answer = self
                .get(
                    &store.token,
                    &store.path(&format!("/queues/{queue_and_query}")),
                )
                .await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let rows = answer.body["messages"].as_array().unwrap().clone();
            enough(&rows).then_some(rows)
        })
        .await
    }

    /// Waits until nothing is incoming, pending, failing or scheduled.
    pub async fn quiet(&self, store: &Store) -> Value {
        eventually("nothing waits any more", || async {
            let stats = self.get(&store.token, &store.path("/queues")).await.body;
            ["incoming", "pending", "failing", "scheduled"]
                .iter()
                .all(|queue| stats[queue] == 0)
                .then_some(stats)
        })
        .await
    }
}

impl Store {
    /// A path below `/api/stores/ID`.
    pub fn path(&self, rest: &str) -> String {
        format!("/api/stores/{}{rest}", self.id)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the hub printed:\n{}", self.printed());
        }
    }
}
