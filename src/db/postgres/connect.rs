//! The way to the server: what the address says, TLS, and the settings every connection works under.

use std::{fs::File, io::BufReader, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::{
    Client, Config, Connection, NoTls, Socket,
    config::{Host, SslMode},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{PostgresOptions, fault::fault};
use crate::db::{DbError, DbResult, NODE_LEASE};

/// Why the planner may not choose: the queues' tables are empty at one moment and hold a million rows at the next, so
/// their statistics are wrong when it matters. Every statement of the hub has the index it needs; one plan serves all
/// parameters, and planning over many partitions again and again would cost more than running.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
    SET plan_cache_mode = force_generic_plan; SET jit = off; SET synchronous_commit = on; SET default_transaction_isolation = 'read committed';
    SET client_min_messages = warning; SET max_parallel_workers_per_gather = 0";

/// How long a transaction may stand still between two statements. A node that freezes, or is cut off, in the middle of one holds its locks, on
/// the owners of shards and on lanes, until the server ends it: that has to be before others take over, or they would all wait for it.
const STANDSTILL: Duration = NODE_LEASE.saturating_sub(Duration::from_secs(1));

/// Where the server is and how it is spoken to; made once.
#[derive(Clone)]
pub(super) struct Way {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    settings: String,
    connect_timeout: Duration,
}

impl Way {
    /// Reads the address. Beside what libpq's addresses have, `sslmode=verify-ca` and `verify-full` mean `require`
    /// (which always verifies here), and `sslrootcert=FILE` names further authorities. Without an `sslmode`, loopback and
    /// sockets are spoken to in the clear, anything else over TLS only.
    pub(super) fn new(options: &PostgresOptions) -> DbResult<Self> {
        let refused = |reason: String| {
            DbError::Refused(format!(
                "the address of the database cannot be used: {reason}"
            ))
        };
        let (text, asked) = Asked::take(&options.url).map_err(refused)?;
        // The parser's error does not repeat the address, which may hold a password.
        let mut config: Config = text
            .parse()
            .map_err(|error: tokio_postgres::Error| refused(error.to_string()))?;
        let local = config.get_hosts().iter().all(|host| match host {
            #[cfg(unix)]
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                name == "localhost"
                    || name
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|address| address.is_loopback())
            }
        });
        let mode = asked.mode.unwrap_or(if local {
            SslMode::Disable
        } else {
            SslMode::Require
        });
        config
            .ssl_mode(mode)
            .application_name("integrator")
            .connect_timeout(options.connect_timeout)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(options.statement_timeout)
            .target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        let tls = match mode {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(tls_config(
                asked.root_file.as_deref(),
            )?)),
        };
        let settings = format!(
            "{SETTINGS}; SET statement_timeout = {statement}; SET lock_timeout = {lock}; SET idle_in_transaction_session_timeout = {idle}",
            statement = options.statement_timeout.as_millis(),
            lock = (options.statement_timeout / 2).as_millis(),
            idle = options.statement_timeout.min(STANDSTILL).as_millis(),
        );
        Ok(Self {
            config,
            tls,
            settings,
            connect_timeout: options.connect_timeout,
        })
    }

    /// A new connection whose task runs on the current runtime.
    pub(super) async fn connect(&self) -> DbResult<Client> {
        match &self.tls {
            None => self.connect_with(NoTls, drive).await,
            Some(tls) => self.connect_with(tls.clone(), drive).await,
        }
    }

    /// A new connection whose notifications go to `heard`.
    pub(super) async fn connect_listening(
        &self,
        heard: tokio::sync::mpsc::Sender<String>,
    ) -> DbResult<Client> {
        match &self.tls {
            None => {
                self.connect_with(NoTls, |connection| listen(connection, heard))
                    .await
            }
            Some(tls) => {
                self.connect_with(tls.clone(), |connection| listen(connection, heard))
                    .await
            }
        }
    }

    async fn connect_with<T, F, R>(&self, tls: T, drive: F) -> DbResult<Client>
    where
        T: MakeTlsConnect<Socket>,
        F: FnOnce(Connection<Socket, T::Stream>) -> R,
        R: Future<Output = ()> + Send + 'static,
    {
        let late = |_| DbError::Unavailable("the database did not answer in time".into());
        let whole = async {
            let (client, connection) = self.config.connect(tls).await.map_err(fault)?;
            tokio::spawn(drive(connection));
            client.batch_execute(&self.settings).await.map_err(fault)?;
            Ok(client)
        };
        // The driver's own limit covers one address; this one the whole of it, the greeting included.
        tokio::time::timeout(self.connect_timeout * 2, whole)
            .await
            .map_err(late)?
    }
}

async fn drive<S>(connection: Connection<Socket, S>)
where
    S: tokio_postgres::tls::TlsStream + Unpin + Send,
{
    if let Err(error) = connection.await {
        log::debug!("a connection to the database ended: {error}");
    }
}

async fn listen<S>(mut connection: Connection<Socket, S>, heard: tokio::sync::mpsc::Sender<String>)
where
    S: tokio_postgres::tls::TlsStream + Unpin + Send,
{
    while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await
    {
        match message {
            // A full channel has wake-ups enough.
            Ok(tokio_postgres::AsyncMessage::Notification(hint)) => {
                drop(heard.try_send(hint.payload().to_owned()))
            }
            Ok(_) => {}
            Err(error) => {
                log::debug!("the listening connection to the database ended: {error}");
                return;
            }
        }
    }
}

/// What the address asks for that the driver does not know.
#[derive(Default)]
struct Asked {
    mode: Option<SslMode>,
    root_file: Option<String>,
}

impl Asked {
    /// Takes `sslmode` and `sslrootcert` out of the address.
    fn take(address: &str) -> Result<(String, Self), String> {
        let (base, query) = address.split_once('?').unwrap_or((address, ""));
        let mut asked = Self::default();
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", mode)) => {
                    asked.mode = Some(match mode {
                        "disable" => SslMode::Disable,
                        "allow" | "prefer" => SslMode::Prefer,
                        "require" | "verify-ca" | "verify-full" => SslMode::Require,
                        _ => {
                            return Err(
                                "sslmode is disable, prefer, require, verify-ca or verify-full"
                                    .into(),
                            );
                        }
                    });
                }
                Some(("sslrootcert", file)) => {
                    let path = url::form_urlencoded::parse(format!("f={file}").as_bytes())
                        .next()
                        .map(|(_, value)| value.into_owned());
                    asked.root_file = path;
                }
                _ => rest.push(pair),
            }
        }
        let query = if rest.is_empty() {
            String::new()
        } else {
            format!("?{}", rest.join("&"))
        };
        Ok((format!("{base}{query}"), asked))
    }
}

fn tls_config(root_file: Option<&str>) -> DbResult<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match root_file {
        Some(file) => {
            let unreadable = |reason: String| {
                DbError::Refused(format!("sslrootcert {file} cannot be read: {reason}"))
            };
            let mut reader =
                BufReader::new(File::open(file).map_err(|error| unreadable(error.to_string()))?);
            for certificate in rustls::pki_types::pem::PemObject::pem_reader_iter(&mut reader) {
                let certificate = certificate.map_err(|error: rustls::pki_types::pem::Error| {
                    unreadable(error.to_string())
                })?;
                roots
                    .add(certificate)
                    .map_err(|error| unreadable(error.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DbError::Internal(format!("TLS cannot be set up: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(url: &str) -> DbResult<SslMode> {
        Way::new(&PostgresOptions::new(url)).map(|way| way.config.get_ssl_mode())
    }

    #[test]
    fn only_loopback_is_spoken_to_in_the_clear_unless_told_so() {
        assert_eq!(
            way("postgres://hub@127.0.0.1/hub").unwrap(),
            SslMode::Disable
        );
        assert_eq!(
            way("postgres://hub@localhost:5433/hub").unwrap(),
            SslMode::Disable
        );
        assert_eq!(
            way("postgres://hub@db.example.com/hub").unwrap(),
            SslMode::Require
        );
        assert_eq!(
            way("postgres://hub@db.example.com/hub?sslmode=disable").unwrap(),
            SslMode::Disable
        );
        assert_eq!(
            way("postgres://hub@localhost/hub?sslmode=verify-full&connect_timeout=3").unwrap(),
            SslMode::Require
        );
    }

    #[test]
    fn a_wrong_address_is_refused_without_its_password() {
        for url in [
            "postgres://hub:hunter2@db/hub?sslmode=often",
            "postgres://hub:hunter2@db/hub?colour=red",
            "postgres://hub:hunter2@db:port/",
        ] {
            let error = way(url).unwrap_err();
            assert!(
                matches!(error, DbError::Refused(_)) && !error.to_string().contains("hunter2"),
                "{error}"
            );
        }
    }
}
