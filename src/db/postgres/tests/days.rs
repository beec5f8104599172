//! Days: rows fall into the day their id names, old days go whole, and what waits is kept.

use super::*;
use crate::{db::SweepBounds, domain::key::DeliveryKey};

const DAY_SECS: u64 = 86_400;

#[tokio::test]
async fn an_old_day_is_dropped_whole_but_for_what_still_waits() {
    let url = cluster().database();
    let now = super::super::clock();
    let shop = Shop::at(&url, now).await;
    shop.deliver(&["R1".to_owned(), "R2".to_owned()]).await;
    let due = shop.due().await;
    shop.complete(&due[..1]).await;
    let day = super::super::codec::day_of(now.0);
    let rows = |table: &str| cluster().sql(&url, &format!("SELECT count(*) FROM {table}"));
    assert_eq!(
        (
            rows(&format!("message_d{day}")),
            rows(&format!("archived_d{day}")),
            rows("message_default")
        ),
        ("2".into(), "1".into(), "0".into())
    );
    let bounds = SweepBounds {
        rows: 100,
        archived_age: Duration::from_secs(90 * DAY_SECS),
        event_age: Duration::from_secs(90 * DAY_SECS),
    };
    let later = now.plus(Duration::from_secs(92 * DAY_SECS));
    let mut archived = 0;
    loop {
        let report = shop.db.sweep(bounds, later).await.unwrap();
        archived += report.archived;
        if !report.more {
            break;
        }
    }
    assert_eq!(archived, 1);
    assert_eq!(
        cluster().sql(
            &url,
            &format!("SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_d{day}'")
        ),
        "0"
    );
    assert_eq!(
        (rows("message"), rows("archived")),
        ("1".into(), "0".into())
    );
    assert_eq!(shop.due().await, due[1..], "what waits has its message");
    assert_eq!(shop.db.queue_stats(shop.store).await.unwrap().archived, 0);
    assert!(
        shop.db
            .attempt_list(shop.store, DeliveryKey(due[0].key.0))
            .await
            .is_err()
    );
    // The days around the later time were made, so that what comes then has its own.
    let ahead = super::super::codec::day_of(later.0) + 7;
    assert_eq!(
        cluster().sql(
            &url,
            &format!("SELECT count(*) FROM pg_class WHERE relname = 'message_d{ahead}'")
        ),
        "1"
    );
}
