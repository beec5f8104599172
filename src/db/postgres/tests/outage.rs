//! A server that goes away: callers are told, nothing answered is lost, and it goes on by itself.

use super::{cluster::Cluster, *};
use crate::db::DbError;

#[tokio::test]
async fn a_server_that_was_killed_is_waited_for_and_nothing_answered_is_lost() {
    let server = Cluster::start("");
    let url = server.database();
    let shop = Shop::at(&url, Micros(1_800_000_000_000_000)).await;
    let mut answered = shop.push(&orders(3)).await;
    let (down, mut refused) = (
        tokio::task::spawn_blocking(move || {
            server.restart();
            server
        }),
        0,
    );
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    loop {
        let batch = vec![Acceptance {
            message: shop.message("R9"),
            idempotency: None,
        }];
        match shop.db.incoming_insert(batch, shop.now).await {
            Ok(accepted) => match accepted[..] {
                [Accepted::New { key, .. }] => answered.push(key),
                ref other => panic!("{other:?}"),
            },
            Err(DbError::Unavailable(_)) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        if down.is_finished()
            && (refused > 0 || answered.len() > 10)
            && shop.db.ping().await.is_ok()
        {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "it did not come back"
        );
        tokio::task::yield_now().await;
    }
    let _server = down.await.unwrap();
    assert!(refused > 0, "the outage was noticed");
    let waiting = shop
        .db
        .incoming_waiting(1_000_000, Vec::new(), crate::db::ShardSet::ALL)
        .await
        .unwrap();
    let there: std::collections::HashSet<MessageKey> = waiting
        .into_iter()
        .map(|incoming| incoming.message.key)
        .collect();
    assert!(answered.iter().all(|key| there.contains(key)));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_a_wrong_address_refused() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let opened = PostgresBackend::open(PostgresOptions::new(format!(
        "postgres://hub@127.0.0.1:{nobody}/hub"
    )));
    assert!(matches!(opened.map(drop), Err(DbError::Unavailable(_))));
    let opened = PostgresBackend::open(PostgresOptions::new(
        "postgres://hub@127.0.0.1/hub?sslmode=sometimes",
    ));
    assert!(matches!(opened.map(drop), Err(DbError::Refused(_))));
}

#[tokio::test]
async fn tables_of_another_program_are_left_alone() {
    let url = cluster().database();
    cluster().sql(&url, "CREATE TABLE theirs (a INT)");
    let opened = PostgresBackend::open(PostgresOptions::new(&url));
    assert!(matches!(opened.map(drop), Err(DbError::Refused(_))));
    assert_eq!(
        cluster().sql(
            &url,
            "SELECT count(*) FROM pg_class WHERE relname IN ('message', 'schema_migration')"
        ),
        "0"
    );
}
