//! An archive of millions, written straight into the tables while no hub runs: through the hub it would take the better part of an hour.
//!
//! The rows are those that a delivered message leaves behind: the message, its place on its object's timeline, its routing record, its attempt
//! and its archive row, with ages spread over the last weeks.

use std::{fs::File, io, path::Path, time::Instant};

use diesel::{
    Connection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types::BigInt,
    sqlite::SqliteConnection,
};

/// Messages of one transaction.
const CHUNK: u64 = 100_000;
/// The payloads; what is measured is the number of rows.
const PAYLOAD: &str = r#"{"order":{"number":"R000000000000","status":"complete","email":"maria.lindqvist@example.com","totals":{"order":114.95}}}"#;
/// How far back the oldest lie, in microseconds: well within what is kept by default.
const AGE: u64 = 14 * 86_400 * 1_000_000;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Archives `count` messages of the one store and mapping that `database` knows. Returns how many rows a second were written.
pub fn archive(database: &Path, count: u64, now_us: u64) -> io::Result<f64> {
    let path = database.to_string_lossy();
    let mut conn = SqliteConnection::establish(&path).map_err(io::Error::other)?;
    run(
        &mut conn,
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; PRAGMA wal_autocheckpoint = 20000",
    )?;
    let mut known = |sql: &str| -> io::Result<i64> {
        let rows: Vec<Number> = diesel::sql_query(sql)
            .load(&mut conn)
            .map_err(io::Error::other)?;
        rows.first()
            .map(|row| row.number)
            .ok_or_else(|| io::Error::other(format!("no row for {sql}")))
    };
    let store = known("SELECT key AS number FROM registry WHERE kind = 'store' AND deleted = 0")?;
    let mapping =
        known("SELECT key AS number FROM registry WHERE kind = 'mapping' AND deleted = 0")?;
    let kind = known("SELECT key AS number FROM message_type WHERE kind = 'order:new'")?;
    let mut sequence = known("SELECT value AS number FROM meta WHERE name = 'sequence'")?;
    let (begin, mut done) = (Instant::now(), 0);
    while done < count {
        let chunk = CHUNK.min(count - done);
        let from = now_us - AGE + AGE / count * done;
        let step = AGE / count;
        let rows = format!(
            "WITH RECURSIVE row(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM row WHERE i + 1 < {chunk})"
        );
        run(&mut conn, &format!(
            "BEGIN IMMEDIATE;
             {rows} INSERT INTO message (seq, store, kind, object_type, object_token, source_kind, source_name, depth, test, accepted_at, payload)
               SELECT {sequence} + 2 * i + 1, {store}, 'order:new', 'order', printf('R%012d', i % 50000), 'push', 'admin', 0, 0,
                      {from} + i * {step}, '{PAYLOAD}' FROM row;
             {rows} INSERT INTO object_message (bucket, object_hash, message)
               SELECT ({sequence} + 2 * i + 1) >> 16, (i * 2654435761) % 1000000007, {sequence} + 2 * i + 1 FROM row ORDER BY 1, 2, 3;
             {rows} INSERT INTO routing (key, body)
               SELECT ({sequence} + 2 * i + 1) << 16, printf('[1,[[%d,{mapping}]],[]]', {sequence} + 2 * i + 2) FROM row;
             {rows} INSERT INTO attempt (key, started_at, duration_us, url, status, outcome, error, request_headers, request_bytes,
                                         answer_headers, answer_body, answer_bytes)
               SELECT (({sequence} + 2 * i + 2) << 16) | 1, {from} + i * {step}, 1500, 'http://127.0.0.1:40000/e0', 200, 'completed', '',
                      '{{\"content-type\":\"application/json\"}}', 250, '{{\"content-length\":\"41\"}}', '', 41 FROM row;
             {rows} INSERT INTO archived (store, seq, endpoint, mapping, kind, message, reason, attempts, created_at, attempted_at, completed_at)
               SELECT {store}, {sequence} + 2 * i + 2, {mapping}, {mapping}, {kind}, {sequence} + 2 * i + 1, 0, 1, {from} + i * {step},
                      {from} + i * {step}, {from} + i * {step} FROM row;
             UPDATE queue_count SET n = n + {chunk} WHERE store = {store} AND place = 6;
             UPDATE meta SET value = {sequence} + 2 * {chunk} WHERE name = 'sequence';
             COMMIT"
        ))?;
        sequence += 2 * i64::try_from(chunk).unwrap_or(0);
        done += chunk;
    }
    run(&mut conn, "PRAGMA wal_checkpoint(TRUNCATE)")?;
    // Gigabytes that the system has still to write would be in the way of every fsync that is measured next.
    File::open(database)?.sync_all()?;
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

fn run(conn: &mut SqliteConnection, sql: &str) -> io::Result<()> {
    conn.batch_execute(sql).map_err(io::Error::other)
}
