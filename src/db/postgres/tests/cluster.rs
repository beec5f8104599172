//! A throwaway PostgreSQL of the tests' own, made with the system's package and gone with the process that started it.
//!
//! One server for each test process, on a loopback port of its own, without `fsync` and in memory where there is room (tests of
//! crashes start one of their own); a database for each test. PostgreSQL refuses to run as root, so root's server runs as the package's user `postgres`.

use std::{
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// What to say when there is no PostgreSQL.
const MISSING: &str = "PostgreSQL is not installed; on Debian and Ubuntu: apt-get install postgresql (the tests start a server of their own)";

/// A running server.
pub struct Cluster {
    /// The port on loopback.
    pub port: u16,
    /// Where its files are.
    pub folder: PathBuf,
    bin: PathBuf,
    /// Its standard input is what keeps the server alive.
    _keeper: Child,
}

/// The server of this process.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start("fsync=off full_page_writes=off"))
}

impl Cluster {
    /// Starts a server; `settings` are further `name=value` pairs, separated by blanks.
    pub fn start(settings: &str) -> Self {
        let mut builder = tempfile::Builder::new();
        builder.prefix("integrator-pg-");
        let in_memory = builder.tempdir_in("/dev/shm");
        let folder = in_memory.or_else(|_| builder.tempdir()).unwrap().keep();
        Self::start_in(folder, settings)
    }

    /// Starts a server whose files are in this folder, which goes with it.
    pub fn start_in(folder: PathBuf, settings: &str) -> Self {
        let bin = binaries();
        // A port that was free a moment ago; nothing else here hands out ports of that range.
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let as_root = is_root();
        if as_root {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        let files = folder.join("data");
        run(as_server(as_root, &bin.join("initdb"))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&files));
        let settings: String = settings
            .split_whitespace()
            .map(|pair| format!(" -c {pair}"))
            .collect();
        // The server ends, and its files go, when this process closes its end of the pipe: by ending, in whatever way.
        let script = format!(
            "cd / && {bin}/pg_ctl -w -s -D {files} -l {folder}/log -o \"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=300 \
             -c max_locks_per_transaction=256{settings}\" start && echo up; cat > /dev/null; {bin}/pg_ctl -s -D {files} -m immediate stop; rm -rf {folder}",
            bin = bin.display(),
            files = files.display(),
            folder = folder.display(),
        );
        let mut command = as_server(as_root, Path::new("sh"));
        let mut keeper = command
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Whoever waits for the end of what this process prints does not wait for the server.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = [0; 3];
        let read = keeper.stdout.as_mut().unwrap().read_exact(&mut said);
        assert!(
            read.is_ok() && &said == b"up\n",
            "PostgreSQL did not start: {}",
            log(&folder)
        );
        Self {
            port,
            folder,
            bin,
            _keeper: keeper,
        }
    }

    /// A new, empty database; its address.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hub_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        run(Command::new(self.bin.join("createdb")).args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-p",
            &self.port.to_string(),
            &name,
        ]));
        self.url(&name)
    }

    /// The address of a database.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Stops the server as a crash would and starts it again.
    pub fn restart(&self) {
        let mut command = as_server(is_root(), &self.bin.join("pg_ctl"));
        run(command
            .current_dir("/")
            .args(["-w", "-s", "-m", "immediate", "-l"])
            .arg(self.folder.join("log"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("restart"));
    }

    /// Runs SQL as a person at a shell would; returns what it printed, unadorned.
    pub fn sql(&self, url: &str, text: &str) -> String {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                url,
                "-c",
                text,
            ])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{text}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Where the newest installed server's programs are.
fn binaries() -> PathBuf {
    let of_debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    let of_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let mut found: Vec<PathBuf> = of_debian
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort_by_key(|bin| {
        bin.parent()
            .and_then(|v| v.file_name()?.to_str()?.parse::<u32>().ok())
    });
    found
        .pop()
        .or_else(|| of_path.into_iter().find(|bin| bin.join("initdb").exists()))
        .expect(MISSING)
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// A command as the user that the server runs as.
fn as_server(as_root: bool, program: &Path) -> Command {
    if !as_root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command
        .args(["-u", "postgres", "--"])
        .arg(program)
        .current_dir("/");
    command
}

fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
