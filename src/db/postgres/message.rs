//! Messages on disk: storing them once, reading them back.

use super::{
    codec::{day_of, small, text},
    conn::Conn,
    hint::Hint,
    statement::statements,
    tx::{Place, Tx},
};
use crate::{
    db::{
        DbError, DbResult,
        shown::{Head, object_of},
    },
    domain::{
        id::IdSeal,
        key::MessageKey,
        message::{Ancestry, Message, NewMessage, Source},
        reference::{lane_hash, shard_of},
        time::Micros,
    },
};

statements! {
    /// Stores messages.
    MESSAGE_INSERT = "INSERT INTO message (seq, store, day, kind, object_type, object_token, source_kind, source_name, parent,
        parent_made, root, depth, test, accepted_at, extra, payload)
        SELECT u.seq, u.store, $15::int, u.kind, u.object_type, u.object_token, u.source_kind, u.source_name, u.parent,
        u.parent_made, u.root, u.depth, u.test, $16::bigint, u.extra, u.payload
        FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
        $9::bigint[], $10::bigint[], $11::int[], $12::bool[], $13::text[], $14::text[]) AS u(seq, store, kind, object_type,
        object_token, source_kind, source_name, parent, parent_made, root, depth, test, extra, payload)";
    /// Puts messages on objects' timelines.
    OBJECT_INSERT = "INSERT INTO object_message (object_hash, message, day)
        SELECT u.hash, u.message, $3::int FROM unnest($1::bigint[], $2::bigint[]) AS u(hash, message) ON CONFLICT DO NOTHING";
    /// Puts messages into the incoming queue.
    INCOMING_INSERT = "INSERT INTO incoming (store, seq, kind, accepted_at, shard)
        SELECT u.store, u.seq, u.kind, $5::bigint, u.shard
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[]) AS u(store, seq, kind, shard)";
    /// Whole messages by key: a lookup in one partition for each.
    MESSAGES_READ = "SELECT m.seq, m.store, m.kind, m.object_type, m.object_token, m.source_kind, m.source_name, m.parent,
        m.parent_made, m.root, m.depth, m.test, m.accepted_at, m.extra, m.payload
        FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS u(store, seq, day)
        CROSS JOIN LATERAL (SELECT * FROM message WHERE store = u.store AND seq = u.seq AND day = u.day LIMIT 1) m";
    /// How long messages are.
    MESSAGE_SIZES = "SELECT m.seq, m.bytes FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS u(store, seq, day)
        CROSS JOIN LATERAL (SELECT seq, octet_length(payload)::bigint AS bytes FROM message WHERE store = u.store AND seq = u.seq
        AND day = u.day LIMIT 1) m";
    /// Messages by key, without what is long.
    HEADS_READ = "SELECT m.seq, m.store, m.kind, m.object_type, m.object_token, m.source_kind, m.source_name, m.parent,
        m.parent_made, m.root, m.depth, m.test, m.accepted_at
        FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS u(store, seq, day)
        CROSS JOIN LATERAL (SELECT * FROM message WHERE store = u.store AND seq = u.seq AND day = u.day LIMIT 1) m";
    /// When rows were made, wherever they are: deliveries and messages draw from one sequence.
    MADE_READ = "SELECT u.store, u.seq, coalesce((SELECT created_at FROM accepted a WHERE a.store = u.store AND a.seq = u.seq),
        (SELECT created_at FROM archived d WHERE d.store = u.store AND d.seq = u.seq LIMIT 1),
        (SELECT accepted_at FROM message m WHERE m.store = u.store AND m.seq = u.seq LIMIT 1))
        FROM unnest($1::bigint[], $2::bigint[]) AS u(store, seq)";
}

/// The most bytes of payloads that one look into a queue brings into memory; the first message is read whatever its size.
pub(super) const BYTES_AT_ONCE: usize = 16 << 20;

/// The columns of a message but its payload and extra members.
pub(super) type HeadRow = (
    i64,
    i64,
    String,
    Option<String>,
    Option<String>,
    String,
    String,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    i32,
    bool,
    i64,
);

/// Where a message is stored: store, number, and when it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) store: i64,
    pub(super) seq: i64,
    pub(super) made_at: i64,
}

/// Stores messages as they are, with their timeline entries, and puts them into the incoming queue under these numbers.
pub(super) async fn messages_store(
    tx: &mut Tx<'_>,
    messages: &[(i64, &NewMessage)],
    now: Micros,
) -> DbResult<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let day = day_of(now.0);
    let all = || messages.iter().map(|(_, message)| *message);
    let line = || all().map(|message| message.ancestry);
    let seqs: Vec<i64> = messages.iter().map(|(seq, _)| *seq).collect();
    let stores: Vec<i64> = all().map(|message| message.store.0).collect();
    let kinds: Vec<&str> = all().map(|message| message.kind.as_str()).collect();
    let kind_keys = all()
        .map(|message| tx.kind(message))
        .collect::<DbResult<Vec<i64>>>()?;
    let object_types: Vec<_> = all()
        .map(|message| {
            message
                .about
                .primary
                .as_ref()
                .map(|object| text(object.kind()))
        })
        .collect();
    let object_tokens: Vec<_> = all()
        .map(|message| {
            message
                .about
                .primary
                .as_ref()
                .map(|object| text(object.token()))
        })
        .collect();
    let source_kinds: Vec<&str> = all().map(|message| message.source.kind()).collect();
    let source_names: Vec<_> = all().map(|message| text(message.source.name())).collect();
    let parents: Vec<Option<i64>> = line().map(|line| line.map(|line| line.parent.0)).collect();
    let parents_made: Vec<Option<i64>> = line()
        .map(|line| line.map(|line| i64::from(line.parent_id.second()) * 1_000_000))
        .collect();
    let roots: Vec<Option<i64>> = line().map(|line| line.map(|line| line.root.0)).collect();
    let depths: Vec<i32> = line()
        .map(|line| line.map_or(0, |line| i32::try_from(line.depth).unwrap_or(i32::MAX)))
        .collect();
    let tests: Vec<bool> = all().map(|message| message.test).collect();
    let extras: Vec<Option<_>> = all()
        .map(|message| message.extra.as_deref().map(text))
        .collect();
    let payloads: Vec<&str> = all().map(|message| message.payload.as_str()).collect();
    let shards: Vec<i16> = messages
        .iter()
        .map(|(seq, message)| {
            i16::from(shard_of(
                message.store.0,
                message.about.primary.as_ref(),
                seq.cast_unsigned(),
            ))
        })
        .collect();
    let (hashes, shown): (Vec<i64>, Vec<i64>) = messages
        .iter()
        .flat_map(|(seq, message)| {
            message
                .about
                .objects()
                .map(|object| (lane_hash(message.store.0, object), *seq))
        })
        .unzip();
    tx.run(
        &MESSAGE_INSERT,
        &[
            &seqs,
            &stores,
            &kinds,
            &object_types,
            &object_tokens,
            &source_kinds,
            &source_names,
            &parents,
            &parents_made,
            &roots,
            &depths,
            &tests,
            &extras,
            &payloads,
            &day,
            &now.0,
        ],
    )
    .await?;
    let object_params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&hashes, &shown, &day];
    let incoming_params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&stores, &seqs, &kind_keys, &shards, &now.0];
    let objects = async {
        if shown.is_empty() {
            Ok(0)
        } else {
            tx.conn.run(&OBJECT_INSERT, &object_params).await
        }
    };
    tokio::try_join!(objects, tx.conn.run(&INCOMING_INSERT, &incoming_params))?;
    for store in stores {
        tx.count(store, Place::Incoming, 1);
    }
    tx.hint(Hint::incoming());
    Ok(())
}

fn spots(spots: &[Spot]) -> (Vec<i64>, Vec<i64>, Vec<i32>) {
    let stores = spots.iter().map(|spot| spot.store).collect();
    let seqs = spots.iter().map(|spot| spot.seq).collect();
    (
        stores,
        seqs,
        spots.iter().map(|spot| day_of(spot.made_at)).collect(),
    )
}

/// How many of these entries, from the first on, hold no more than [`BYTES_AT_ONCE`]; one at least. Entries may share a message.
pub(super) async fn fit_in_memory(conn: &Conn, at: &[Spot]) -> DbResult<usize> {
    let (stores, seqs, days) = spots(at);
    let sizes: Vec<(i64, i64)> = conn.rows(&MESSAGE_SIZES, &[&stores, &seqs, &days]).await?;
    let mut sizes: std::collections::HashMap<i64, i64> = sizes.into_iter().collect();
    let mut room = i64::try_from(BYTES_AT_ONCE).unwrap_or(i64::MAX);
    for (count, spot) in at.iter().enumerate() {
        room = room.saturating_sub(sizes.remove(&spot.seq).unwrap_or(0));
        if room < 0 {
            return Ok(count.max(1));
        }
    }
    Ok(at.len())
}

/// The whole messages at these places, in no order; rows that cannot be read are told beside them.
pub(super) async fn messages_read(
    conn: &Conn,
    seal: IdSeal,
    at: &[Spot],
) -> DbResult<Vec<Result<Message, DbError>>> {
    if at.is_empty() {
        return Ok(Vec::new());
    }
    let (stores, seqs, days) = spots(at);
    type Row = (
        i64,
        i64,
        String,
        Option<String>,
        Option<String>,
        String,
        String,
        Option<i64>,
        Option<i64>,
        Option<i64>,
        i32,
        bool,
        i64,
        Option<String>,
        String,
    );
    let rows: Vec<Row> = conn.rows(&MESSAGES_READ, &[&stores, &seqs, &days]).await?;
    Ok(rows
        .into_iter()
        .map(|(a, b, c, d, e, f, g, h, i, j, k, l, m, extra, payload)| {
            whole(
                seal,
                (a, b, c, d, e, f, g, h, i, j, k, l, m),
                extra,
                payload,
            )
        })
        .collect())
}

/// The messages at these places without their payloads, in no order; those that cannot be read are left out and logged.
pub(super) async fn heads_read(conn: &Conn, seal: IdSeal, at: &[Spot]) -> DbResult<Vec<Head>> {
    if at.is_empty() {
        return Ok(Vec::new());
    }
    let (stores, seqs, days) = spots(at);
    let rows: Vec<HeadRow> = conn.rows(&HEADS_READ, &[&stores, &seqs, &days]).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| head(seal, row).map_err(|error| log::error!("{error}")).ok())
        .collect())
}

pub(super) fn whole(
    seal: IdSeal,
    row: HeadRow,
    extra: Option<String>,
    payload: String,
) -> Result<Message, DbError> {
    head(seal, row)?.whole(extra, payload)
}

pub(super) fn head(seal: IdSeal, row: HeadRow) -> Result<Head, DbError> {
    let (
        key,
        store,
        kind,
        object_type,
        object_token,
        source_kind,
        source_name,
        parent,
        parent_made,
        root,
        depth,
        test,
        at,
    ) = row;
    let ancestry = match (parent, parent_made, root) {
        (Some(parent), Some(made), Some(root)) => Some(Ancestry {
            parent: MessageKey(parent),
            parent_id: seal.seal(parent, Micros(made)),
            root: MessageKey(root),
            depth: small(depth),
        }),
        _ => None,
    };
    Ok(Head {
        key,
        id: seal.seal(key, Micros(at)),
        store,
        kind,
        object: object_of(key, object_type, object_token)?,
        source: Source::from_parts(&source_kind, &source_name),
        ancestry,
        test,
        accepted_at: Micros(at),
    })
}
