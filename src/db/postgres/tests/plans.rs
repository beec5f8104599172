//! The plan of every statement, read: an index for every table, and of a table cut by day only the day that is meant.

use super::*;
use crate::db::{
    Queue, QueueQuery,
    postgres::{
        archive, delivery, detail, due, erasure, event, event_list, incoming, job, known, lists,
        message, node, objects, open, owner, partition, people, person, polling, registry, route,
        say, schedule, settle, statement::Sql, sweep, tx, walk::Walk,
    },
    walk::{ROWS_EXAMINED, Range},
};

/// Statements that may read a table whole: the registry of stores and tables at start, a node's heartbeat and the list of nodes (a row for each
/// node, and one for each routing shard, endpoint, polled and scheduled store), and upkeep, which looks for what is left of a few old rows, or sums
/// small counters.
const WHOLE: &[&str] = &[
    "KEPT_MESSAGES",
    "KEPT_DELIVERIES",
    "STRAY_ARCHIVED",
    "STRAY_EVENTS",
    "STRAY_ATTEMPTS",
    "STRAY_MESSAGES",
    "STRAY_ROUTING",
    "STRAY_OBJECTS",
    "PARTITIONS",
    "DETACHED",
    "STRANGERS",
    "APPLIED",
    "TOTALS",
    "RUNS_READ",
    "RUNS_DROP",
    "NODES_ALIVE",
    "NODES_FORGET",
    "NODES_READ",
    "SHARES",
    "OWNERS",
    "OWNERS_LEAVE",
    "NEWEST",
];

fn every_statement() -> Vec<Sql> {
    [
        archive::ALL,
        delivery::ALL,
        detail::ALL,
        due::ALL,
        erasure::ALL,
        erasure::message::ALL,
        erasure::search::ALL,
        event::ALL,
        event_list::ALL,
        incoming::ALL,
        job::ALL,
        job::CHOOSE,
        job::STEP,
        known::ALL,
        lists::ALL,
        message::ALL,
        node::ALL,
        objects::ALL,
        open::ALL,
        owner::ALL,
        partition::ALL,
        people::ALL,
        person::ALL,
        polling::ALL,
        registry::ALL,
        route::ALL,
        say::ALL,
        schedule::ALL,
        settle::ALL,
        sweep::ALL,
        tx::ALL,
    ]
    .concat()
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    let db = open(&cluster().database());
    let core = std::sync::Arc::clone(&db.core);
    let bad = db.ground.on(async move {
        let conn = core.read().await?;
        let mut bad = Vec::new();
        for sql in every_statement()
            .into_iter()
            .filter(|sql| !WHOLE.contains(&sql.name))
        {
            let parameters = (1..40)
                .take_while(|n| sql.text.contains(&format!("${n}")))
                .count();
            let nulls = vec!["NULL"; parameters].join(", ");
            let arguments = if parameters == 0 {
                String::new()
            } else {
                format!("({nulls})")
            };
            conn.batch(&format!("PREPARE looked_at AS {}", sql.text))
                .await?;
            let plan: Vec<(String,)> = conn
                .rows_once(&format!("EXPLAIN EXECUTE looked_at{arguments}"))
                .await?;
            conn.batch("DEALLOCATE looked_at").await?;
            if plan.iter().any(|(line,)| line.contains("Seq Scan on")) {
                bad.push(format!("{}: {plan:#?}", sql.name));
            }
        }
        Ok(bad)
    });
    let bad = bad.await.unwrap();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// The indexes that were really entered, of those a statement might have used.
async fn entered(db: &PostgresBackend, text: String) -> Vec<String> {
    let core = std::sync::Arc::clone(&db.core);
    let plan = db.ground.on(async move {
        let conn = core.read().await?;
        conn.rows_once::<(String,)>(&format!(
            "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, SUMMARY OFF) {text}"
        ))
        .await
    });
    let entered = |(line,): (String,)| {
        (line.contains("Index") && line.contains(" on ") && !line.contains("never executed"))
            .then_some(line)
    };
    plan.await
        .unwrap()
        .into_iter()
        .filter_map(entered)
        .collect()
}

#[tokio::test]
async fn a_message_is_looked_up_in_its_own_day_only() {
    let now = super::super::clock();
    let shop = Shop::start(now).await;
    shop.deliver(&orders(20)).await;
    let due = shop.due().await;
    let list = |values: Vec<i64>| {
        format!(
            "ARRAY[{}]::bigint[]",
            values
                .iter()
                .map(i64::to_string)
                .collect::<Vec<_>>()
                .join(",")
        )
    };
    let day = super::super::codec::day_of(now.0);
    let text = message::MESSAGES_READ
        .text
        .replace(
            "$1::bigint[]",
            &list(due.iter().map(|_| shop.store.0).collect()),
        )
        .replace(
            "$2::bigint[]",
            &list(due.iter().map(|delivery| delivery.message.key.0).collect()),
        )
        .replace("$3::int[]", &format!("array_fill({day}, ARRAY[20])"));
    let entered = entered(&shop.db, text).await;
    assert!(
        matches!(&entered[..], [one] if one.contains(&format!("message_d{day}"))),
        "{entered:#?}"
    );
}

#[tokio::test]
async fn lists_walk_down_an_index_and_stop() {
    let shop = Shop::start(super::super::clock()).await;
    let mut bad = Vec::new();
    let all = QueueQuery {
        store: shop.store,
        queue: Queue::Archived,
        kinds: None,
        states: None,
        reasons: None,
        source: None,
        from: None,
        until: None,
        message: None,
        mapping: None,
        object: None,
        after: None,
        skip: 0,
        limit: 50,
    };
    let queries = [
        all.clone(),
        QueueQuery {
            queue: Queue::Incoming,
            ..all.clone()
        },
        QueueQuery {
            queue: Queue::Accepted,
            ..all.clone()
        },
        QueueQuery {
            mapping: Some(MappingKey(3)),
            ..all.clone()
        },
        QueueQuery {
            source: Some(crate::db::ArchivedSource::Incoming),
            ..all.clone()
        },
    ];
    let mut walks: Vec<Walk> = queries
        .iter()
        .flat_map(|query| lists::walks(query, None))
        .collect();
    walks.extend(lists::walks(&all, Some(&[5])));
    for (enter, filter) in [
        ("store = 1", ""),
        ("store = 1 AND level = 2", ""),
        ("message = 1", "store = 1"),
        ("delivery = 1", "store = 1"),
    ] {
        walks.push(Walk {
            table: "event",
            enter: enter.into(),
            filter: filter.into(),
        });
    }
    for walk in walks {
        let core = std::sync::Arc::clone(&shop.db.core);
        let text = walk.text(Range::ALL, 50);
        assert!(walk.filter.is_empty() || text.contains(&ROWS_EXAMINED.to_string()));
        let plan = shop.db.ground.on(async move {
            core.read()
                .await?
                .rows_once::<(String,)>(&format!("EXPLAIN {text}"))
                .await
        });
        let plan: Vec<String> = plan
            .await
            .unwrap()
            .into_iter()
            .map(|(line,)| line)
            .collect();
        if plan
            .iter()
            .any(|line| line.contains("Seq Scan on") || line.contains("Sort  ("))
        {
            bad.push(format!("{walk:?}: {plan:#?}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// How many rows of the incoming queue a look touches.
async fn touched(shop: &Shop, shards: &str, limit: usize) -> usize {
    let text = incoming::WAITING
        .text
        .replace("$1::bigint[]", "ARRAY[]::bigint[]")
        .replace("$2::bigint", &format!("{limit}::bigint"))
        .replace("$3::smallint", "0::smallint")
        .replace("$4::smallint[]", &format!("ARRAY[{shards}]::smallint[]"));
    let core = std::sync::Arc::clone(&shop.db.core);
    let plan = shop.db.ground.on(async move {
        let text = format!("EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, SUMMARY OFF) {text}");
        core.read().await?.rows_once::<(String,)>(&text).await
    });
    let lines: Vec<String> = plan
        .await
        .unwrap()
        .into_iter()
        .map(|(line,)| line)
        .collect();
    let scans = lines.iter().filter(|line| line.contains(" on incoming"));
    let number = |line: &str, word: &str| -> usize {
        let rest = line.split(word).nth(1).unwrap();
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        digits.parse().unwrap()
    };
    scans
        .filter(|line| !line.contains("never executed"))
        .map(|line| {
            assert!(line.contains("using incoming_shard"), "{lines:#?}");
            number(line, "rows=") * number(line, "loops=")
        })
        .sum()
}

/// However much waits in shards of other nodes, a router enters its own only.
#[tokio::test]
async fn a_look_into_the_incoming_queue_jumps_over_other_shards() {
    let shop = Shop::start(super::super::clock()).await;
    cluster().sql(
        &shop.url,
        "INSERT INTO incoming (store, seq, kind, accepted_at, shard)
         SELECT n % 3, n, 1, 0, CASE WHEN n > 19990 THEN 9 ELSE n % 4 * 20 END FROM generate_series(1, 20000) AS n",
    );
    let all: Vec<String> = (0..64).map(|shard| shard.to_string()).collect();
    // Shard 9 alone: the ten that wait there, and a step for each pair of shard and store that is met.
    let own = (0..64).map(|shard| if shard <= 9 { "9" } else { "NULL" });
    let own: Vec<&str> = own.collect();
    let one = touched(&shop, &own.join(","), 100).await;
    assert!((10..40).contains(&one), "{one}");
    let whole = touched(&shop, &all.join(","), 100).await;
    assert!((100..1000).contains(&whole), "{whole}");
    let mut none = all;
    none.iter_mut().for_each(|shard| *shard = "NULL".into());
    assert!(touched(&shop, &none.join(","), 100).await <= 1);
}
