//! What the parts can do alone on this machine, in the same run: figures to hold the hub's against.

use std::sync::Arc;

use std::{
    fs, io,
    time::{Duration, Instant},
};

use integrator::{
    db::{
        Acceptance, Backend, DbResult, EntityChange, OwnerKind, RouteProgress, Routed, RouterLease,
        ShardSet,
        sqlite::{SqliteBackend, SqliteOptions},
    },
    domain::{
        delivery::{Attempt, Delivery, Disposition, Fence, NewDelivery, Settlement},
        json::{Payload, PayloadLimits},
        key::{EndpointKey, MappingKey, StoreKey},
        message::{Incoming, NewMessage, Source},
        message_type::{MessageType, TypePattern},
        reference::{About, lane_hash},
        registry::{Entity, Mapping, Store},
        time::Micros,
    },
};

use crate::{
    Options,
    ledger::Ledger,
    load::{self, Pace, Target},
    order::Template,
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

/// The bare database: the same messages through the same tables by the hub's own statements, in batches of `batch`, each step a
/// transaction of its own, one after another, with nothing else of the hub around them.
pub async fn database(options: &Options, batch: usize, report: &mut Report) -> io::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let path = folder.path().join("hub.db");
    let backend = SqliteBackend::open(SqliteOptions::new(path)).map_err(io::Error::other)?;
    let bare = Bare::new(&backend).await.map_err(io::Error::other)?;
    let payload = payload_of(options.bytes)?;
    let (cpu, written) = (own_cpu_us(), own_written_bytes());
    let begin = Instant::now();
    let mut done = 0_u64;
    while begin.elapsed() < options.span() {
        bare.life(&backend, &payload, done, batch)
            .await
            .map_err(io::Error::other)?;
        done += batch as u64;
    }
    let count = done as f64;
    let line = Line::new("limit", format!("database, batches of {batch}"))
        .with("accepted_per_sec", count / begin.elapsed().as_secs_f64())
        .with("delivered_per_sec", count / begin.elapsed().as_secs_f64())
        .with("cpu_us_per_message", (own_cpu_us() - cpu) as f64 / count)
        .with(
            "written_bytes_per_message",
            (own_written_bytes() - written) as f64 / count,
        )
        .with("commits_per_message", 3.0 / batch as f64);
    report.add(line);
    Ok(())
}

/// A store with one mapping, and whom the database takes for its router and dispatcher.
struct Bare {
    store: StoreKey,
    mapping: MappingKey,
    version: i64,
    router: RouterLease,
    dispatcher: i64,
}

impl Bare {
    async fn new(backend: &SqliteBackend) -> DbResult<Self> {
        let store = Entity::Store(Store {
            name: "Benchmark".into(),
            api_url: None,
            api_key: None,
            source: None,
            version: None,
            webhook_secret: None,
        });
        let created = |store, entity| EntityChange::Create {
            store,
            subject: None,
            entity,
        };
        let delta = backend
            .registry_change(vec![created(None, store)], Micros(1))
            .await?;
        let store = StoreKey(delta.rows.first().map_or(0, |row| row.key));
        let mapping = Mapping {
            name: "endpoint".into(),
            url: "http://127.0.0.1/e0".into(),
            token: String::new(),
            integration: None,
            messages: vec![TypePattern::parse("order:new").expect("a type")],
            parameters: Vec::new(),
            identifiers: Default::default(),
            filters: Vec::new(),
            options: Default::default(),
            enabled: true,
            required: false,
        };
        let delta = backend
            .registry_change(
                vec![created(Some(store), Entity::Mapping(mapping))],
                Micros(1),
            )
            .await?;
        let mapping = MappingKey(delta.rows.first().map_or(0, |row| row.key));
        Ok(Self {
            store,
            mapping,
            version: delta.version,
            router: backend.router_claim(ShardSet::ALL).await?,
            dispatcher: backend
                .owner_claim(OwnerKind::Dispatcher, mapping.0)
                .await?,
        })
    }

    /// A batch from acceptance to the archive.
    async fn life(
        &self,
        backend: &SqliteBackend,
        payload: &Payload,
        from: u64,
        batch: usize,
    ) -> DbResult<()> {
        let now = Micros(1_700_000_000_000_000 + i64::try_from(from).unwrap_or(0));
        let endpoint = EndpointKey(self.mapping.0);
        let numbers = from..from + batch as u64;
        let batch_in = numbers.map(|n| self.acceptance(payload, n)).collect();
        backend.incoming_insert(batch_in, now).await?;
        let incoming = backend
            .incoming_waiting(batch, Vec::new(), ShardSet::ALL)
            .await?;
        let routed = incoming.iter().map(|one| self.routed(one, endpoint));
        let routed = routed.collect();
        backend
            .incoming_route(routed, self.version, self.router.clone(), now)
            .await?;
        let due = backend
            .accepted_due(endpoint, now, batch, Vec::new().into())
            .await?;
        let settled = due.deliveries.iter().map(|one| self.settlement(one, now));
        backend
            .accepted_settle(Arc::new(settled.collect()), now)
            .await?;
        Ok(())
    }

    fn acceptance(&self, payload: &Payload, n: u64) -> Acceptance {
        let about = About::given("order", &format!("R{:012}", n % 50_000)).unwrap_or_default();
        Acceptance {
            message: NewMessage {
                store: self.store,
                kind: MessageType::parse("order:new").expect("a type"),
                payload: payload.clone(),
                about,
                source: Source::Push("admin".into()),
                ancestry: None,
                test: false,
                extra: None,
            },
            idempotency: None,
        }
    }

    fn routed(&self, incoming: &Incoming, endpoint: EndpointKey) -> Routed {
        let message = &incoming.message;
        let object = message.about.primary.as_ref();
        Routed {
            message: message.key,
            store: self.store,
            deliveries: vec![NewDelivery {
                mapping: self.mapping,
                endpoint,
                lane: object.map(|object| lane_hash(self.store.0, object)),
                claim: None,
            }],
            skipped: Vec::new(),
            derived: Vec::new(),
            events: Vec::new(),
            progress: RouteProgress::Done,
        }
    }

    fn settlement(&self, delivery: &Delivery, now: Micros) -> Settlement {
        Settlement {
            key: delivery.key,
            store: self.store,
            fence: Fence {
                epoch: self.dispatcher,
                attempts: 0,
            },
            attempt: Some(Attempt {
                number: 1,
                started_at: now,
                duration_us: 1500,
                url: "http://127.0.0.1:40000/e0".into(),
                status: Some(200),
                outcome: "completed".into(),
                error: String::new(),
                request_headers: r#"{"content-type":"application/json","user-agent":"Integrator/0.1.0","x-augury-token":"***"}"#.into(),
                request_bytes: 2600,
                answer_headers: r#"{"content-length":"41","content-type":"application/json"}"#.into(),
                answer_body: r#"{"message_id":"54f46d880123456789abcdef"}"#.into(),
                answer_bytes: 41,
            }),
            disposition: Disposition::Completed { result: None },
            messages: Vec::new(),
            objects: None,
            events: Vec::new(),
            parameters: Vec::new(),
        }
    }
}

fn payload_of(bytes: usize) -> io::Result<Payload> {
    let template = Template::new("order:new", bytes);
    let whole: serde_json::Value = serde_json::from_slice(template.bytes())?;
    let payload = whole.get("payload").map(ToString::to_string);
    Payload::parse(&payload.unwrap_or_default(), PayloadLimits::default()).map_err(io::Error::other)
}

fn own_written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}
