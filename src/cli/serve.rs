//! `integrator serve`: runs the hub until it is told to stop.

use std::{
    future::Future,
    io::Write,
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    ConfigArgs, Outcome, database, environment, hub_client::random_token, init_logging,
    operator_token,
};
use crate::{
    actors::{Hub, SystemClock},
    config::{Config, Secret},
    db::{EntityChange, LoopBounds, sqlite::SqliteOptions},
    domain::registry::{Entity, Principal},
    web,
};

/// Run the hub
///
/// Migrates the database first. Ready when it prints `listening on http://HOST:PORT`. SIGTERM or Ctrl-C: it stops accepting,
/// finishes what is in flight for at most `server.shutdown_secs`, and exits with 0.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs until a signal comes or the hub dies.
pub fn run(args: Args) -> Outcome {
    let effective = args.config.load(environment())?;
    init_logging(
        &effective.config.log,
        std::env::var("RUST_LOG").ok().as_deref(),
    );
    let operator_token = operator_token(environment())?;
    Program {
        config: effective.config,
        operator_token,
        quiet: false,
    }
    .run(|_| std::future::pending())
}

/// A hub with its web server, as `serve` and `demo` run it.
pub(super) struct Program {
    pub(super) config: Config,
    pub(super) operator_token: Option<Secret>,
    /// Leaves out what only the operator of a lasting hub wants to know.
    pub(super) quiet: bool,
}

/// What can go wrong before the hub runs, besides configuration and database.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("cannot listen on {address}")]
    Listen {
        address: String,
        source: std::io::Error,
    },
    #[error("the web server ended by itself")]
    Ended(#[source] std::io::Error),
}

impl Program {
    /// Runs until a signal comes, `beside` ends, or the web server fails. `beside` is given the hub's address.
    pub(super) fn run<F, Fut>(self, beside: F) -> Outcome
    where
        F: FnOnce(String) -> Fut + 'static,
        Fut: Future<Output = Outcome> + 'static,
    {
        actix_rt::System::new().block_on(self.serve(beside))
    }

    async fn serve<F, Fut>(self, beside: F) -> Outcome
    where
        F: FnOnce(String) -> Fut + 'static,
        Fut: Future<Output = Outcome> + 'static,
    {
        let Self {
            config,
            operator_token,
            quiet,
        } = self;
        let listen = &config.server.listen;
        let listener =
            TcpListener::bind((listen.host.as_str(), listen.port)).map_err(|source| {
                ServeError::Listen {
                    address: listen.to_string(),
                    source,
                }
            })?;
        let address = listener.local_addr()?;
        let patience = Duration::from_secs(config.server.shutdown_secs);
        let ear = database::Ear::default();
        let opened = database::open(&config, &ear)?;
        let hub = Hub::start(config, opened.backend(), Arc::new(SystemClock)).await?;
        // Nobody else sets it.
        let _ = ear.set(hub.clone());
        ensure_operator(&hub, operator_token, quiet).await?;
        let server = web::server(hub.clone(), listener)?;
        let handle = server.handle();
        let mut running = actix_rt::spawn(server);
        let base = format!("http://{address}");
        say(&format!("listening on {base}"));
        log::info!("listening on {base}");

        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut beside = actix_rt::spawn(beside(base));
        let ended: Outcome = tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            outcome = &mut beside => outcome.unwrap_or_else(|panic| Err(panic.into())),
            outcome = &mut running => match outcome {
                Ok(Err(error)) => Err(ServeError::Ended(error).into()),
                Ok(Ok(())) => Ok(()),
                Err(panic) => Err(panic.into()),
            },
        };
        hub.close();
        beside.abort();
        log::info!("stopping; what is in flight gets {} s", patience.as_secs());
        let until = Instant::now() + patience;
        // Requests that are being answered need the intake, so the door closes first.
        handle.stop(true).await;
        hub.stop(until.saturating_duration_since(Instant::now()))
            .await;
        if let Err(error) = opened.fold() {
            log::warn!(
                "the database's log could not be folded in, the next start will do it: {error}"
            );
        }
        log::info!("stopped");
        ended
    }
}

/// The embedded database as the configuration wants it.
pub(super) fn sqlite_options(
    config: &Config,
) -> Result<SqliteOptions, crate::config::OnlyEmbedded> {
    let mut options = SqliteOptions::new(config.database.url.embedded()?);
    options.readers = config.database.readers;
    options.writer_cache_kib = config.database.cache_mib.saturating_mul(1024);
    options.loop_bounds = loop_bounds(config);
    options.claim_age = claim_age(config);
    Ok(options)
}

/// How deep and wide messages may descend from one another.
pub(super) fn loop_bounds(config: &Config) -> LoopBounds {
    LoopBounds {
        max_depth: config.loops.max_depth,
        max_descendants: u32::try_from(config.loops.max_descendants).unwrap_or(u32::MAX),
        max_per_object_hour: u32::try_from(config.loops.max_per_object_hour).unwrap_or(u32::MAX),
    }
}

/// How long what a mapping took counts as taken.
pub(super) fn claim_age(config: &Config) -> Duration {
    match config.identifiers.expire_days {
        // Never: longer than any database lives, short enough to add to a date.
        0 => Duration::from_secs(1_000 * 365 * 86_400),
        days => Duration::from_secs(days.saturating_mul(86_400)),
    }
}

/// Sets the operator's token to the given one; makes one, and says it this once, where there never was any.
async fn ensure_operator(hub: &Hub, given: Option<Secret>, quiet: bool) -> Outcome {
    let registry = hub.registry();
    let known = registry
        .principals
        .iter()
        .find(|(_, principal)| **principal == Principal::Operator)
        .map(|(hash, _)| hash.clone());
    let token = match given {
        Some(token) => token,
        None if known.is_some() => return Ok(()),
        None => {
            let token = random_token();
            say(&format!(
                "the operator's token is {token}\nkeep it: it is shown this once, only its hash is stored"
            ));
            Secret::new(token)
        }
    };
    let hash = web::digest_of_token(token.expose());
    if known.as_ref() == Some(&hash) {
        return Ok(());
    }
    let entity = Entity::Operator { hash };
    let former = hub
        .backend()
        .registry_changes(0)
        .await?
        .rows
        .into_iter()
        .find(|row| !row.deleted && row.entity.kind() == "operator");
    let change = match former {
        Some(row) => EntityChange::Replace {
            key: row.key,
            entity,
        },
        None => EntityChange::Create {
            store: None,
            subject: None,
            entity,
        },
    };
    hub.change_registry(vec![change]).await?;
    if known.is_some() && !quiet {
        log::warn!("the operator's token was replaced by the one given in the environment");
    }
    Ok(())
}

/// One line (or two) on standard output, for whoever started the program. A reader that is gone is no reason to stop.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
