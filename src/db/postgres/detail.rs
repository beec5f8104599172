//! One message or delivery, whole: with its parent, its children, who did not get it, and what was said about it.

use super::{
    codec::{day_of, small},
    conn::Conn,
    delivery::{DeliveryRow, deliveries_read, id_open, places_read, record_read},
    event_list::{About, events_about},
    job::marks,
    message::{HeadRow, MADE_READ, Spot, head, heads_read, messages_read},
    statement::statements,
};
use crate::{
    db::{
        ChildRow, DbError, DbResult, Locator, MessageDetail, ParentRow, shown::Head,
        sqlite::codec::RoutingRecord,
    },
    domain::{
        delivery::Attempt,
        id::{Id, IdSeal},
        key::{DeliveryKey, StoreKey},
        message::Message,
        time::Micros,
    },
};

/// Children of each kind that are shown.
const CHILDREN: usize = 500;

/// Events that are shown.
const EVENTS: usize = 100;

statements! {
    /// Messages that descend from a row at once, none of which was accepted before it.
    DERIVED = "SELECT seq, store, kind, object_type, object_token, source_kind, source_name, parent, parent_made, root, depth, test,
        accepted_at FROM message WHERE parent = $1 AND parent IS NOT NULL AND day >= $2::int ORDER BY seq LIMIT $3";
    /// The head of a lane.
    LANE_HEAD = "SELECT seq, created_at FROM accepted WHERE endpoint = $1 AND lane = $2 AND lane IS NOT NULL AND state < 3 ORDER BY pos LIMIT 1";
    /// The attempts of a delivery.
    ATTEMPTS = "SELECT number, started_at, duration_us, url, status, outcome, error, request_headers, request_bytes, answer_headers,
        answer_body, answer_bytes FROM attempt WHERE store = $1 AND delivery = $2 AND day = $3::int ORDER BY number";
}

/// The message or delivery of this store with this id.
pub(super) async fn detail(
    conn: &Conn,
    seal: IdSeal,
    store: StoreKey,
    id: Id,
) -> DbResult<MessageDetail> {
    let missing = DbError::Missing("message");
    let Some((seq, made_at)) = id_open(conn, seal, store.0, id).await? else {
        return Err(missing);
    };
    // An archive row with the message's own number is the message's, not a delivery's.
    let row = deliveries_read(conn, store.0, &[seq], made_at)
        .await?
        .remove(&seq)
        .filter(|row| row.mapping.is_some());
    match row {
        Some(delivery) => delivery_detail(conn, seal, store, delivery).await,
        None => {
            message_detail(
                conn,
                seal,
                Spot {
                    store: store.0,
                    seq,
                    made_at,
                },
            )
            .await
        }
    }
}

async fn whole_message(conn: &Conn, seal: IdSeal, spot: Spot) -> DbResult<Message> {
    messages_read(conn, seal, &[spot])
        .await?
        .pop()
        .unwrap_or(Err(DbError::Missing("message")))
}

async fn message_detail(conn: &Conn, seal: IdSeal, spot: Spot) -> DbResult<MessageDetail> {
    let Spot {
        store,
        seq,
        made_at,
    } = spot;
    let message = whole_message(conn, seal, spot).await?;
    let location = places_read(conn, store, &[seq], made_at)
        .await?
        .remove(&seq)
        .unwrap_or(Locator::Routed);
    let RoutingRecord {
        deliveries,
        skipped,
    } = record_read(conn, seq, made_at).await?;
    let mut children = deliveries_of(conn, seal, &message, &deliveries).await?;
    children.extend(derived(conn, seal, StoreKey(store), seq, made_at).await?);
    let parent = match message.ancestry {
        Some(line) => {
            let spot = Spot {
                store,
                seq: line.parent.0,
                made_at: i64::from(line.parent_id.second()) * 1_000_000,
            };
            heads_read(conn, seal, &[spot])
                .await?
                .pop()
                .map(Head::parent)
        }
        None => None,
    };
    Ok(MessageDetail {
        id: message.id,
        delivery: None,
        location,
        created_at: message.accepted_at,
        parent,
        children,
        skipped,
        events: events_about(
            conn,
            seal,
            StoreKey(store),
            About::Message(seq, made_at),
            EVENTS,
        )
        .await?,
        message,
    })
}

async fn delivery_detail(
    conn: &Conn,
    seal: IdSeal,
    store: StoreKey,
    row: DeliveryRow,
) -> DbResult<MessageDetail> {
    let message = whole_message(conn, seal, row.message).await?;
    let behind: Option<(i64, i64)> = match row.waits_behind() {
        Some((endpoint, lane)) => conn.row(&LANE_HEAD, &[&endpoint, &lane]).await?,
        None => None,
    };
    let behind = behind.map(|(seq, made)| seal.seal(seq, Micros(made)));
    let replay_of = match row.replay_of {
        Some(earlier) => made(conn, store.0, earlier)
            .await?
            .map(|made| seal.seal(earlier, Micros(made))),
        None => None,
    };
    let made_at = row.created_at.0;
    let jobs = marks(conn, seal, row.seq).await?;
    Ok(MessageDetail {
        id: row.id(seal),
        location: row.location,
        created_at: row.created_at,
        parent: Some(ParentRow {
            id: message.id,
            kind: message.kind.as_str().to_owned(),
        }),
        children: derived(conn, seal, store, row.seq, made_at).await?,
        skipped: Vec::new(),
        events: events_about(conn, seal, store, About::Delivery(row.seq, made_at), EVENTS).await?,
        delivery: Some(row.detail(behind, replay_of, jobs)),
        message,
    })
}

async fn deliveries_of(
    conn: &Conn,
    seal: IdSeal,
    message: &Message,
    deliveries: &[(i64, i64)],
) -> DbResult<Vec<ChildRow>> {
    let keys: Vec<i64> = deliveries
        .iter()
        .map(|(delivery, _)| *delivery)
        .take(CHILDREN)
        .collect();
    let mut rows = deliveries_read(conn, message.store.0, &keys, message.accepted_at.0).await?;
    Ok(keys
        .iter()
        .filter_map(|key| rows.remove(key))
        .map(|row| row.child(seal, message.kind.as_str()))
        .collect())
}

/// Messages derived from a message, or returned for a delivery.
async fn derived(
    conn: &Conn,
    seal: IdSeal,
    store: StoreKey,
    parent: i64,
    made_at: i64,
) -> DbResult<Vec<ChildRow>> {
    let limit = i64::try_from(CHILDREN).unwrap_or(i64::MAX);
    let rows: Vec<HeadRow> = conn
        .rows(&DERIVED, &[&parent, &day_of(made_at), &limit])
        .await?;
    let heads: Vec<Head> = rows
        .into_iter()
        .filter_map(|row| head(seal, row).ok())
        .filter(|head| head.store == store.0)
        .collect();
    let keys: Vec<i64> = heads.iter().map(|head| head.key).collect();
    let places = places_read(conn, store.0, &keys, made_at).await?;
    Ok(heads.into_iter().map(|head| head.child(&places)).collect())
}

/// When the message or delivery with this number was made, wherever it is.
async fn made(conn: &Conn, store: i64, seq: i64) -> DbResult<Option<i64>> {
    let row: Option<(i64, i64, Option<i64>)> = conn
        .row(&MADE_READ, &[&[store].as_slice(), &[seq].as_slice()])
        .await?;
    Ok(row.and_then(|(.., made)| made))
}

/// Every attempt of a delivery, oldest first.
pub(super) async fn attempts(
    conn: &Conn,
    store: StoreKey,
    delivery: DeliveryKey,
) -> DbResult<Vec<Attempt>> {
    match made(conn, store.0, delivery.0).await? {
        Some(made_at) => attempts_of(conn, store, delivery.0, made_at).await,
        None => Err(DbError::Missing("delivery")),
    }
}

/// The attempts of a delivery made then.
pub(super) async fn attempts_of(
    conn: &Conn,
    store: StoreKey,
    delivery: i64,
    made_at: i64,
) -> DbResult<Vec<Attempt>> {
    type Row = (
        i32,
        i64,
        i64,
        String,
        Option<i32>,
        String,
        String,
        String,
        i64,
        String,
        String,
        i64,
    );
    let rows: Vec<Row> = conn
        .rows(&ATTEMPTS, &[&store.0, &delivery, &day_of(made_at)])
        .await?;
    let read = |row: Row| {
        let (
            number,
            started_at,
            duration_us,
            url,
            status,
            outcome,
            error,
            request_headers,
            request_bytes,
            ..,
        ) = row;
        let (.., answer_headers, answer_body, answer_bytes) = row;
        Attempt {
            number: small(number),
            started_at: Micros(started_at),
            duration_us,
            url,
            status: status.and_then(|status| u16::try_from(status).ok()),
            outcome,
            error,
            request_headers,
            request_bytes,
            answer_headers,
            answer_body,
            answer_bytes,
        }
    };
    Ok(rows.into_iter().map(read).collect())
}
