//! The experiment behind the tables of the embedded database: the same work done on two designs, and on variations of one.
//!
//! `cargo bench --bench tables -- [messages]` moves messages of 2.5 KB through their whole life (accepted, routed to one
//! mapping, attempted, archived) in batches of 128, three transactions a batch, WAL and `synchronous=FULL`, and prints one
//! line per design: messages a second, CPU and bytes written per message. What came of it is told in `docs/database.md`.
//!
//! * `tables`: a table is a state. `incoming` and `accepted` hold unfinished work only; rows move.
//! * `backend`: the same through `SqliteBackend` as the hub uses it, with what the hub reads in between (what waits for
//!   routing, what is due), across its threads.
//! * `wide`: one delivery table with a state column; rows stay, partial indexes tell the states apart.

mod backend;

use std::{path::Path, time::Instant};

use diesel::{
    connection::SimpleConnection,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Binary, Nullable, Text},
    sqlite::{Sqlite, SqliteConnection},
};

/// A statement whose text never changes: prepared once for each connection, because its `QueryId` is static.
macro_rules! statement {
    ($name:ident $(-> $row:ty)?: $($text:literal $($field:ident: $rust:ty = $sql:ty)?),+ $(,)?) => {
        struct $name<'a> { $($($field: $rust,)?)+ life: std::marker::PhantomData<&'a ()> }
        impl QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }
        impl QueryFragment<Sqlite> for $name<'_> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                $(out.push_sql($text); $(out.push_bind_param::<$sql, _>(&self.$field)?;)?)+
                Ok(())
            }
        }
        impl RunQueryDsl<SqliteConnection> for $name<'_> {}
        $(impl Query for $name<'_> { type SqlType = $row; })?
    };
}

statement!(MessageInsert:
    "INSERT INTO message (seq, store, kind, object_type, object_token, source_kind, source_name, parent, depth, test, accepted_at, payload) VALUES (" seq: i64 = BigInt,
    ", 1, 'order:new', 'order', " token: &'a str = Text, ", 'push', 'shop', NULL, 0, 0, " at: i64 = BigInt, ", " payload: &'a str = Text, ")");
statement!(ObjectInsert:
    "INSERT INTO object_message (bucket, object_hash, message) VALUES (" bucket: i64 = BigInt, ", " hash: i64 = BigInt, ", " message: i64 = BigInt, ")");
statement!(IncomingInsert: "INSERT INTO incoming (store, seq) VALUES (1, " seq: i64 = BigInt, ")");
statement!(IncomingDelete: "DELETE FROM incoming WHERE store = 1 AND seq = " seq: i64 = BigInt);
statement!(RoutingInsert: "INSERT INTO routing (id, body) VALUES (" id: i64 = BigInt, ", " body: &'a str = Text, ")");
statement!(AcceptedInsert:
    "INSERT INTO accepted (store, seq, endpoint, mapping, kind, message, lane, pos, head, state, due_at, attempts, failures, since, created_at, claim) VALUES (1, " seq: i64 = BigInt,
    ", 7, 8, 9, " message: i64 = BigInt, ", " lane: i64 = BigInt, ", " pos: i64 = BigInt,
    ", NOT EXISTS (SELECT 1 FROM accepted WHERE endpoint = 7 AND lane = " lane2: i64 = BigInt, " AND state < 3), 0, "
    due: i64 = BigInt, ", 0, 0, " since: i64 = BigInt, ", " created: i64 = BigInt, ", " claim: Option<&'a [u8]> = Nullable<Binary>, ")");
statement!(AcceptedDelete -> (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt):
    "DELETE FROM accepted WHERE store = 1 AND seq = " seq: i64 = BigInt,
    " RETURNING endpoint, mapping, kind, message, lane, head, created_at");
statement!(LaneNext -> BigInt:
    "UPDATE accepted SET head = 1 WHERE (store, seq) = (SELECT store, seq FROM accepted WHERE endpoint = 7 AND lane = " lane: i64 = BigInt,
    " AND state < 3 ORDER BY pos LIMIT 1) RETURNING seq");
statement!(ArchivedInsert:
    "INSERT INTO archived (store, seq, endpoint, mapping, kind, message, reason, attempts, created_at, attempted_at, completed_at) VALUES (1, " seq: i64 = BigInt,
    ", " endpoint: i64 = BigInt, ", " mapping: i64 = BigInt, ", " kind: i64 = BigInt, ", " message: i64 = BigInt,
    ", 0, 1, " created: i64 = BigInt, ", " attempted: i64 = BigInt, ", " completed: i64 = BigInt, ")");
statement!(AttemptInsert:
    "INSERT INTO attempt (id, started_at, duration_us, url, status, outcome, error, request_headers, request_bytes, answer_headers, answer_body, answer_bytes) VALUES (" id: i64 = BigInt,
    ", " at: i64 = BigInt, ", 1500, 'http://endpoint.example/send_order', 200, 'completed', '', '{\"content-type\":\"application/json\",\"x-hub-token\":\"***\"}', 2600, '{\"content-type\":\"application/json\"}', '{\"message_id\":\"54f46d880123456789abcdef\"}', 40)");
statement!(AttemptPairInsert:
    "INSERT INTO attempt (delivery, number, started_at, duration_us, url, status, outcome, error, request_headers, request_bytes, answer_headers, answer_body, answer_bytes) VALUES (" id: i64 = BigInt,
    ", 1, " at: i64 = BigInt, ", 1500, 'http://endpoint.example/send_order', 200, 'completed', '', '{\"content-type\":\"application/json\",\"x-hub-token\":\"***\"}', 2600, '{\"content-type\":\"application/json\"}', '{\"message_id\":\"54f46d880123456789abcdef\"}', 40)");
statement!(WideInsert:
    "INSERT INTO delivery (seq, store, endpoint, mapping, kind, message, lane, pos, head, state, due_at, attempts, failures, since, created_at, claim) VALUES (" seq: i64 = BigInt,
    ", 1, 7, 8, 9, " message: i64 = BigInt, ", " lane: i64 = BigInt, ", " pos: i64 = BigInt,
    ", NOT EXISTS (SELECT 1 FROM delivery WHERE endpoint = 7 AND lane = " lane2: i64 = BigInt, " AND state < 3), 0, "
    due: i64 = BigInt, ", 0, 0, " since: i64 = BigInt, ", " created: i64 = BigInt, ", " claim: Option<&'a [u8]> = Nullable<Binary>, ")");
statement!(WideSettle -> (BigInt, BigInt):
    "UPDATE delivery SET state = 9, head = 0, attempts = 1, attempted_at = " attempted: i64 = BigInt, ", completed_at = " completed: i64 = BigInt,
    " WHERE state < 5 AND seq = " seq: i64 = BigInt, " RETURNING lane, head");
statement!(WideNext -> BigInt:
    "UPDATE delivery SET head = 1 WHERE seq = (SELECT seq FROM delivery WHERE endpoint = 7 AND lane = " lane: i64 = BigInt,
    " AND state < 3 ORDER BY pos LIMIT 1) RETURNING seq");
statement!(SequenceWrite: "UPDATE meta SET value = " value: i64 = BigInt, " WHERE name = 'sequence'");
statement!(CountAdd: "INSERT INTO queue_count (store, state, n) VALUES (1, " state: i64 = BigInt, ", " n: i64 = BigInt,
    ") ON CONFLICT (store, state) DO UPDATE SET n = n + excluded.n");

macro_rules! run {
    ($conn:expr, $name:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $name { $($field: $value,)* life: std::marker::PhantomData }.execute($conn).expect(stringify!($name))
    };
}

const COMMON: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('sequence', 0);
CREATE TABLE queue_count (store INTEGER, state INTEGER, n INTEGER NOT NULL, PRIMARY KEY (store, state)) STRICT, WITHOUT ROWID;
CREATE TABLE message (seq INTEGER PRIMARY KEY, store INTEGER NOT NULL, kind TEXT NOT NULL, object_type TEXT, object_token TEXT,
  source_kind TEXT NOT NULL, source_name TEXT NOT NULL, parent INTEGER, parent_id BLOB, root INTEGER, depth INTEGER NOT NULL, test INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL, extra TEXT, payload TEXT NOT NULL) STRICT;
CREATE INDEX message_parent ON message (parent) WHERE parent IS NOT NULL;
CREATE TABLE object_message (bucket INTEGER NOT NULL, object_hash INTEGER NOT NULL, message INTEGER NOT NULL,
  PRIMARY KEY (bucket, object_hash, message)) STRICT, WITHOUT ROWID;
CREATE TABLE incoming (store INTEGER NOT NULL, seq INTEGER NOT NULL, routed_up_to INTEGER, PRIMARY KEY (store, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE routing (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
";

const ATTEMPT: &str = "CREATE TABLE attempt (id INTEGER PRIMARY KEY, started_at INTEGER NOT NULL, duration_us INTEGER NOT NULL, url TEXT NOT NULL,
  status INTEGER, outcome TEXT NOT NULL, error TEXT NOT NULL, request_headers TEXT NOT NULL, request_bytes INTEGER NOT NULL,
  answer_headers TEXT NOT NULL, answer_body TEXT NOT NULL, answer_bytes INTEGER NOT NULL) STRICT;";

const ATTEMPT_PAIR: &str = "CREATE TABLE attempt (delivery INTEGER NOT NULL, number INTEGER NOT NULL, started_at INTEGER NOT NULL, duration_us INTEGER NOT NULL, url TEXT NOT NULL,
  status INTEGER, outcome TEXT NOT NULL, error TEXT NOT NULL, request_headers TEXT NOT NULL, request_bytes INTEGER NOT NULL,
  answer_headers TEXT NOT NULL, answer_body TEXT NOT NULL, answer_bytes INTEGER NOT NULL, PRIMARY KEY (delivery, number)) STRICT, WITHOUT ROWID;";

const DELIVERY_COLUMNS: &str = "store INTEGER NOT NULL, seq INTEGER NOT NULL, endpoint INTEGER NOT NULL, mapping INTEGER NOT NULL, kind INTEGER NOT NULL,
  message INTEGER NOT NULL, lane INTEGER, pos INTEGER NOT NULL, head INTEGER NOT NULL, state INTEGER NOT NULL, due_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL, failures INTEGER NOT NULL, since INTEGER NOT NULL, created_at INTEGER NOT NULL, attempted_at INTEGER,
  last_error TEXT, asynchronous TEXT, claim BLOB, replay_of INTEGER";

/// A variation: everything else is as in the design.
#[derive(Clone, Copy)]
struct Variation {
    name: &'static str,
    wide: bool,
    page_bytes: u32,
    /// Messages per bucket of the object index, as a power of two of sequence numbers; 63: one bucket.
    bucket_shift: u32,
    attempt_pair: bool,
    archived_rowid: bool,
    mapping_index: bool,
    one_transaction: bool,
}

const DESIGN: Variation = Variation {
    name: "tables",
    wide: false,
    page_bytes: 4096,
    bucket_shift: 63,
    attempt_pair: false,
    archived_rowid: false,
    mapping_index: true,
    one_transaction: false,
};

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let messages: i64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60_000);
    let only = arguments.next();
    let variations = [
        Variation {
            name: "wide: one delivery table",
            wide: true,
            ..DESIGN
        },
        DESIGN,
        Variation {
            name: "tables, no mapping index",
            mapping_index: false,
            ..DESIGN
        },
        Variation {
            name: "tables, object buckets 2^16",
            bucket_shift: 16,
            ..DESIGN
        },
        Variation {
            name: "tables, object buckets 2^14",
            bucket_shift: 14,
            ..DESIGN
        },
        Variation {
            name: "tables, 8 KB pages",
            page_bytes: 8192,
            ..DESIGN
        },
        Variation {
            name: "tables, 8 KB, buckets 2^16",
            page_bytes: 8192,
            bucket_shift: 16,
            ..DESIGN
        },
        Variation {
            name: "tables, 16 KB, buckets 2^16",
            page_bytes: 16384,
            bucket_shift: 16,
            ..DESIGN
        },
        Variation {
            name: "tables, attempts WITHOUT ROWID",
            attempt_pair: true,
            ..DESIGN
        },
        Variation {
            name: "tables, archived with rowid",
            archived_rowid: true,
            ..DESIGN
        },
        Variation {
            name: "tables, one transaction",
            one_transaction: true,
            ..DESIGN
        },
        Variation {
            name: "tables, 16 KB, 2^16, one tx",
            page_bytes: 16384,
            bucket_shift: 16,
            one_transaction: true,
            ..DESIGN
        },
    ];
    println!(
        "{:34} {:>10} {:>8} {:>10}",
        "design", "messages/s", "CPU us", "bytes/msg"
    );
    if only.as_deref().is_none_or(|word| "backend".contains(word)) {
        backend::measure(messages);
    }
    for variation in variations {
        if only
            .as_deref()
            .is_none_or(|word| variation.name.contains(word))
        {
            measure(variation, messages);
        }
    }
}

fn print_line(name: &str, done: i64, started: Instant, cpu: i64, written: i64) {
    println!(
        "{:34} {:>10.0} {:>8.1} {:>10}",
        name,
        done as f64 / started.elapsed().as_secs_f64(),
        (cpu_us() - cpu) as f64 / done as f64,
        (written_bytes() - written) / done,
    );
}

fn measure(variation: Variation, messages: i64) {
    let folder = tempfile::tempdir_in(std::env::var("TABLES_DIR").unwrap_or_else(|_| ".".into()))
        .expect("a folder to write to");
    let mut conn = open(&folder.path().join("hub.db"), variation);
    let payload = "x".repeat(2500);
    let (started, cpu, written) = (Instant::now(), cpu_us(), written_bytes());
    let mut seq = 10_000_000;
    for _ in 0..messages / 128 {
        batch(&mut conn, variation, &mut seq, &payload);
    }
    let done = messages / 128 * 128;
    print_line(variation.name, done, started, cpu, written);
}

fn open(path: &Path, variation: Variation) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(&path.to_string_lossy()).expect("a database");
    let archived = "store INTEGER NOT NULL, seq INTEGER NOT NULL, endpoint INTEGER, mapping INTEGER, kind INTEGER NOT NULL, message INTEGER NOT NULL,
      reason INTEGER NOT NULL, attempts INTEGER NOT NULL, created_at INTEGER NOT NULL, attempted_at INTEGER, completed_at INTEGER NOT NULL,
      last_error TEXT, result TEXT, replay_of INTEGER";
    let mut script = format!(
        "PRAGMA page_size = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; {COMMON}",
        variation.page_bytes
    );
    script += if variation.attempt_pair {
        ATTEMPT_PAIR
    } else {
        ATTEMPT
    };
    if variation.wide {
        script += &format!(
            "CREATE TABLE delivery ({DELIVERY_COLUMNS}, completed_at INTEGER, result TEXT, PRIMARY KEY (seq)) STRICT;
             CREATE INDEX delivery_due ON delivery (endpoint, due_at, pos) WHERE head = 1;
             CREATE INDEX delivery_lane ON delivery (endpoint, lane, pos) WHERE lane IS NOT NULL AND state < 3;
             CREATE INDEX delivery_waiting ON delivery (store, seq) WHERE state < 5;
             CREATE INDEX delivery_mapping_waiting ON delivery (mapping, seq) WHERE state < 5;
             CREATE INDEX delivery_archived ON delivery (store, seq) WHERE state >= 5;
             CREATE INDEX delivery_mapping ON delivery (mapping, seq) WHERE state >= 5;
             CREATE INDEX delivery_kind ON delivery (kind, seq) WHERE state >= 5;"
        );
    } else {
        script += &format!(
            "CREATE TABLE accepted ({DELIVERY_COLUMNS}, PRIMARY KEY (store, seq)) STRICT, WITHOUT ROWID;
             CREATE INDEX accepted_due ON accepted (endpoint, due_at, pos) WHERE head = 1;
             CREATE INDEX accepted_lane ON accepted (endpoint, lane, pos) WHERE lane IS NOT NULL AND state < 3;
             CREATE INDEX accepted_state ON accepted (store, state, seq) WHERE state <> 0;"
        );
        if variation.mapping_index {
            script += "CREATE INDEX accepted_mapping ON accepted (mapping, seq);";
        }
        script += &if variation.archived_rowid {
            format!("CREATE TABLE archived ({archived}, PRIMARY KEY (seq)) STRICT; CREATE INDEX archived_store ON archived (store, seq);").replace("seq INTEGER NOT NULL, endpoint", "seq INTEGER, endpoint")
        } else {
            format!(
                "CREATE TABLE archived ({archived}, PRIMARY KEY (store, seq)) STRICT, WITHOUT ROWID;"
            )
        };
        script += "CREATE INDEX archived_mapping ON archived (mapping, seq);
             CREATE INDEX archived_kind ON archived (kind, seq);
             CREATE INDEX archived_reason ON archived (store, reason, seq) WHERE reason <> 0;";
    }
    conn.batch_execute(&script).expect("the tables");
    // A year of other objects, so that the object index has the depth it will have in service.
    let shift = variation.bucket_shift;
    conn.batch_execute(&format!(
        "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000)
         INSERT INTO object_message SELECT (i * 5) >> {shift}, random(), i * 5 FROM n ORDER BY 1, 2; COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"
    ))
    .expect("the other objects");
    conn
}

fn batch(conn: &mut SqliteConnection, variation: Variation, seq: &mut i64, payload: &str) {
    let first = *seq;
    let object = |n: i64| (n / 4).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
    let each = || (0..128).map(move |n| first + n);
    begin(conn);
    for n in each() {
        run!(
            conn,
            MessageInsert {
                seq: n,
                token: "R123456789",
                at: n,
                payload: payload
            }
        );
        run!(
            conn,
            ObjectInsert {
                bucket: n >> variation.bucket_shift,
                hash: object(n),
                message: n
            }
        );
        run!(conn, IncomingInsert { seq: n });
    }
    between(conn, variation, *seq, 0, 128);
    for n in each() {
        run!(conn, IncomingDelete { seq: n });
        let delivery = n + 128;
        run!(
            conn,
            RoutingInsert {
                id: n << 16,
                body: &format!("[1,[[{delivery},8]],[]]")
            }
        );
        let (lane, at) = (object(n), n);
        if variation.wide {
            run!(
                conn,
                WideInsert {
                    seq: delivery,
                    message: n,
                    lane: lane,
                    pos: delivery,
                    lane2: lane,
                    due: at,
                    since: at,
                    created: at,
                    claim: None
                }
            );
        } else {
            run!(
                conn,
                AcceptedInsert {
                    seq: delivery,
                    message: n,
                    lane: lane,
                    pos: delivery,
                    lane2: lane,
                    due: at,
                    since: at,
                    created: at,
                    claim: None
                }
            );
        }
    }
    between(conn, variation, *seq, 1, 128);
    for n in each() {
        let delivery = n + 128;
        if variation.wide {
            let (lane, head): (i64, i64) = WideSettle {
                attempted: n,
                completed: n,
                seq: delivery,
                life: std::marker::PhantomData,
            }
            .get_result(conn)
            .expect("settled");
            let _ = head;
            let _: Vec<i64> = WideNext {
                lane,
                life: std::marker::PhantomData,
            }
            .load(conn)
            .expect("next");
        } else {
            let (endpoint, mapping, kind, message, lane, _head, created): (
                i64,
                i64,
                i64,
                i64,
                i64,
                i64,
                i64,
            ) = AcceptedDelete {
                seq: delivery,
                life: std::marker::PhantomData,
            }
            .get_result(conn)
            .expect("settled");
            let _: Vec<i64> = LaneNext {
                lane,
                life: std::marker::PhantomData,
            }
            .load(conn)
            .expect("next");
            run!(
                conn,
                ArchivedInsert {
                    seq: delivery,
                    endpoint: endpoint,
                    mapping: mapping,
                    kind: kind,
                    message: message,
                    created: created,
                    attempted: n,
                    completed: n
                }
            );
        }
        if variation.attempt_pair {
            run!(
                conn,
                AttemptPairInsert {
                    id: delivery,
                    at: n
                }
            );
        } else {
            run!(
                conn,
                AttemptInsert {
                    id: delivery << 16 | 1,
                    at: n
                }
            );
        }
    }
    finish(conn, *seq, 2, 128);
    *seq += 256;
}

fn begin(conn: &mut SqliteConnection) {
    conn.batch_execute("BEGIN IMMEDIATE").expect("begin");
}

fn between(conn: &mut SqliteConnection, variation: Variation, seq: i64, state: i64, n: i64) {
    if !variation.one_transaction {
        finish(conn, seq, state, n);
        begin(conn);
    }
}

fn finish(conn: &mut SqliteConnection, seq: i64, state: i64, n: i64) {
    run!(conn, CountAdd { state: state, n: n });
    run!(conn, SequenceWrite { value: seq });
    conn.batch_execute("COMMIT").expect("commit");
}

/// User and system time of this process so far, in microseconds (ticks of 10 ms: measure for seconds).
fn cpu_us() -> i64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    [11, 12]
        .iter()
        .filter_map(|at| fields.get(*at)?.parse::<i64>().ok())
        .sum::<i64>()
        * 10_000
}

/// Bytes this process caused to be written to the disk's cache so far.
fn written_bytes() -> i64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines()
        .find_map(|line| line.strip_prefix("wchar: ")?.trim().parse().ok())
        .unwrap_or(0)
}
