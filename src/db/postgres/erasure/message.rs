//! Messages, with everything that quotes them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        archive::{Ended, Waiting, accepted_lock, archived_insert, finish, lanes_lock_of},
        codec::day_of,
        conn::Conn,
        delivery::{CLOCK_SLACK, accepted_rows},
        hint::Hint,
        incoming,
        message::{Spot, fit_in_memory},
        route::{INCOMING_LOCK, ROUTING_READ},
        statement::statements,
    },
    Eraser,
};
use crate::{
    db::{DbResult, sqlite::codec::RoutingRecord},
    domain::{
        delivery::{ArchiveReason, SkipReason},
        erasure::ERASED_PAYLOAD,
        json::Payload,
        key::{DeliveryKey, EndpointKey},
        message_type::MessageType,
        reference::{ObjectRef, lane_hash, object_of},
    },
};

statements! {
    /// When messages of a store were accepted, on whatever day that was.
    MESSAGE_SPOTS = "SELECT seq, accepted_at FROM message WHERE store = $1 AND seq = ANY ($2::bigint[]) ORDER BY seq";
    /// What messages are about, and their payloads.
    MESSAGES_TOLD = "SELECT m.seq, m.accepted_at, m.kind, m.object_type, m.object_token, m.payload
        FROM unnest($1::bigint[], $2::int[]) AS u(seq, day)
        CROSS JOIN LATERAL (SELECT * FROM message WHERE store = $3 AND seq = u.seq AND day = u.day LIMIT 1) m ORDER BY m.seq";
    /// Takes messages off timelines.
    OBJECTS_DROP = "DELETE FROM object_message o USING unnest($1::bigint[], $2::bigint[], $3::int[]) AS u(hash, message, day)
        WHERE o.object_hash = u.hash AND o.message = u.message AND o.day = u.day";
    /// Leaves nothing of messages but that they were there.
    MESSAGES_BLANK = "UPDATE message m SET payload = $4, extra = NULL, object_type = NULL, object_token = NULL
        FROM unnest($1::bigint[], $2::int[]) AS u(seq, day)
        WHERE m.store = $3 AND m.seq = u.seq AND m.day = u.day AND m.payload <> $4";
    /// What descends from messages and is about nothing (an announcement, a mail) is to be erased too.
    CHILDREN_ADD = "INSERT INTO erasure_work (erasure, kind, token) SELECT $1::bigint, '', m.seq::text FROM message m
        WHERE m.parent = ANY ($2::bigint[]) AND m.parent IS NOT NULL AND m.object_type IS NULL AND m.seq < $1::bigint AND m.payload <> $3
        ON CONFLICT DO NOTHING";
    /// Rewrites routing records.
    ROUTING_REWRITE = "UPDATE routing r SET body = u.body FROM unnest($1::bigint[], $2::int[], $3::int[], $4::text[]) AS u(message, day, part, body)
        WHERE r.message = u.message AND r.part = u.part AND r.day = u.day";
    /// Leaves done deliveries' states without their words; not of those made before a day.
    ARCHIVED_BLANK = "UPDATE archived SET last_error = NULL, result = NULL WHERE store = $1 AND seq = ANY ($2::bigint[]) AND day >= $3::int";
    /// Leaves attempts' outcomes without their words; not of deliveries made before a day.
    ATTEMPTS_BLANK = "UPDATE attempt SET url = '', error = '', request_headers = '{}', answer_headers = '{}', answer_body = ''
        WHERE store = $1 AND delivery = ANY ($2::bigint[]) AND day >= $3::int";
    /// Events that arose from messages.
    MESSAGE_EVENTS_DROP = "WITH gone AS (DELETE FROM event WHERE message = ANY ($1::bigint[]) AND message IS NOT NULL RETURNING seq),
        forgotten AS (DELETE FROM event_repeat WHERE event IN (SELECT seq FROM gone)) SELECT count(*) FROM gone";
    /// Events that arose from deliveries.
    DELIVERY_EVENTS_DROP = "WITH gone AS (DELETE FROM event WHERE delivery = ANY ($1::bigint[]) AND delivery IS NOT NULL RETURNING seq),
        forgotten AS (DELETE FROM event_repeat WHERE event IN (SELECT seq FROM gone)) SELECT count(*) FROM gone";
}

/// What a message is about, and its payload.
#[derive(Debug)]
struct Told {
    seq: i64,
    accepted_at: i64,
    kind: String,
    object: Option<(String, String)>,
    payload: String,
}

/// Messages that a step erases, as they were read before it.
#[derive(Debug)]
pub(super) struct Plan {
    /// The object on whose timeline they were found: their entries there go in any case.
    shown: Option<ObjectRef>,
    /// Numbers and days of all.
    spots: Vec<(i64, i32)>,
    /// Those that are there.
    told: Vec<Told>,
    /// Their deliveries.
    deliveries: BTreeSet<i64>,
    /// How many of those wait.
    pub(super) waiting: usize,
    /// Messages that were asked for and are left to a later step, because these hold enough.
    pub(super) later: Vec<i64>,
}

impl Plan {
    /// Messages by number.
    pub(super) async fn of_messages(conn: &Conn, store: i64, seqs: Vec<i64>) -> DbResult<Self> {
        let spots: Vec<(i64, i64)> = conn.rows(&MESSAGE_SPOTS, &[&store, &seqs]).await?;
        Self::read(conn, store, None, spots).await
    }

    /// Messages of an object: numbers, and times of the days they were accepted on.
    pub(super) async fn of_object(
        conn: &Conn,
        store: i64,
        object: ObjectRef,
        messages: Vec<(i64, i64)>,
    ) -> DbResult<Self> {
        Self::read(conn, store, Some(object), messages).await
    }

    async fn read(
        conn: &Conn,
        store: i64,
        shown: Option<ObjectRef>,
        mut at: Vec<(i64, i64)>,
    ) -> DbResult<Self> {
        let spots: Vec<Spot> = at
            .iter()
            .map(|(seq, made_at)| Spot {
                store,
                seq: *seq,
                made_at: *made_at,
            })
            .collect();
        let fit = if spots.is_empty() {
            0
        } else {
            fit_in_memory(conn, &spots).await?
        };
        let later = at.drain(fit..).map(|(seq, _)| seq).collect();
        let spots: Vec<(i64, i32)> = at
            .into_iter()
            .map(|(seq, made_at)| (seq, day_of(made_at)))
            .collect();
        let (seqs, days): (Vec<i64>, Vec<i32>) = spots.iter().copied().unzip();
        type Row = (i64, i64, String, Option<String>, Option<String>, String);
        let rows: Vec<Row> = conn.rows(&MESSAGES_TOLD, &[&seqs, &days, &store]).await?;
        let told: Vec<Told> = rows
            .into_iter()
            .map(|(seq, accepted_at, kind, of, token, payload)| Told {
                seq,
                accepted_at,
                kind,
                object: of.zip(token),
                payload,
            })
            .collect();
        let (seqs, days) = numbers(&told);
        let rows: Vec<(i64, i32, String)> = conn.rows(&ROUTING_READ, &[&seqs, &days]).await?;
        let deliveries = deliveries_of(&rows);
        let keys: Vec<i64> = deliveries.iter().copied().collect();
        let waiting = accepted_rows(conn, store, &keys).await?.len();
        Ok(Self {
            shown,
            spots,
            told,
            deliveries,
            waiting,
            later,
        })
    }
}

fn numbers(told: &[Told]) -> (Vec<i64>, Vec<i32>) {
    told.iter()
        .map(|told| (told.seq, day_of(told.accepted_at)))
        .unzip()
}

fn deliveries_of(rows: &[(i64, i32, String)]) -> BTreeSet<i64> {
    rows.iter()
        .filter_map(|(message, _, body)| RoutingRecord::decode(*message, body).ok())
        .flat_map(|record| record.deliveries)
        .map(|(delivery, _)| delivery)
        .collect()
}

impl Eraser<'_, '_, '_> {
    /// Erases messages. False, and nothing is done, when they were routed meanwhile: the next step reads them anew.
    pub(super) async fn messages(&mut self, plan: &Plan, singly: bool) -> DbResult<bool> {
        let store = self.next.store;
        let (seqs, days) = numbers(&plan.told);
        // Those that are not routed wholly stay so, the others have all their deliveries.
        let waiting: Vec<(i64, i64, i64, i64, Option<i64>)> = self
            .tx
            .rows(&INCOMING_LOCK, &[&vec![store; seqs.len()], &seqs])
            .await?;
        let records: Vec<(i64, i32, String)> = self.tx.rows(&ROUTING_READ, &[&seqs, &days]).await?;
        if deliveries_of(&records) != plan.deliveries {
            return Ok(false);
        }
        let keys: Vec<(i64, i64)> = plan.deliveries.iter().map(|seq| (store, *seq)).collect();
        lanes_lock_of(self.tx, &keys, singly).await?;
        self.deliveries(plan, &keys).await?;
        self.leave_timelines(plan).await?;
        self.leave_incoming(&waiting).await?;
        self.leave_routing(plan, &records).await?;
        let gone: Option<(i64,)> = self.tx.row(&MESSAGE_EVENTS_DROP, &[&seqs]).await?;
        self.rows.events += gone.map_or(0, |(gone,)| gone.cast_unsigned());
        self.tx
            .run(&CHILDREN_ADD, &[&self.next.key, &seqs, &ERASED_PAYLOAD])
            .await?;
        self.rows.messages += self
            .tx
            .run(&MESSAGES_BLANK, &[&seqs, &days, &store, &ERASED_PAYLOAD])
            .await?;
        Ok(true)
    }

    async fn deliveries(&mut self, plan: &Plan, keys: &[(i64, i64)]) -> DbResult<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let store = self.next.store;
        let mut rows: Vec<Waiting> = accepted_lock(self.tx, keys).await?.into_values().collect();
        rows.sort_unstable_by_key(|row| row.seq);
        for row in &mut rows {
            row.last_error = None;
        }
        finish(self.tx, &rows, ArchiveReason::Erased, self.now).await?;
        self.rows.deliveries += rows.len() as u64;
        let ended = rows
            .iter()
            .map(|row| (EndpointKey(row.endpoint), DeliveryKey(row.seq)));
        self.archived.extend(ended);
        self.tx.hint(Hint::endpoints(
            rows.iter().map(|row| EndpointKey(row.endpoint)),
        ));
        let seqs: Vec<i64> = keys.iter().map(|(_, seq)| *seq).collect();
        let oldest = plan.told.iter().map(|told| told.accepted_at).min();
        let since = day_of(oldest.unwrap_or(0).saturating_sub(CLOCK_SLACK));
        self.tx
            .run(&ARCHIVED_BLANK, &[&store, &seqs, &since])
            .await?;
        self.rows.attempts += self
            .tx
            .run(&ATTEMPTS_BLANK, &[&store, &seqs, &since])
            .await?;
        let gone: Option<(i64,)> = self.tx.row(&DELIVERY_EVENTS_DROP, &[&seqs]).await?;
        self.rows.events += gone.map_or(0, |(gone,)| gone.cast_unsigned());
        Ok(())
    }

    async fn leave_timelines(&mut self, plan: &Plan) -> DbResult<()> {
        let store = self.next.store;
        let mut entries: BTreeSet<(i64, i64, i32)> = BTreeSet::new();
        let mut others: BTreeSet<(&str, &str)> = BTreeSet::new();
        if let Some(shown) = &plan.shown {
            let hash = lane_hash(store, shown);
            entries.extend(plan.spots.iter().map(|(seq, day)| (hash, *seq, *day)));
        }
        for told in &plan.told {
            let day = day_of(told.accepted_at);
            if let Some((kind, token)) = &told.object
                && let Ok(object) = ObjectRef::new(kind, token)
            {
                entries.insert((lane_hash(store, &object), told.seq, day));
                // The same name in other letters may have copies of its own.
                let in_other_letters =
                    |shown: &ObjectRef| *shown == object && shown.token() != token;
                if plan.shown.as_ref().is_some_and(in_other_letters) {
                    others.insert((kind, token));
                }
            }
            if let Ok(kind) = MessageType::parse(&told.kind) {
                let about = object_of(&kind, &Payload::from_stored(told.payload.as_str()));
                let hashes = about.objects().map(|object| lane_hash(store, object));
                entries.extend(hashes.map(|hash| (hash, told.seq, day)));
            }
        }
        let hashes: Vec<i64> = entries.iter().map(|(hash, ..)| *hash).collect();
        let seqs: Vec<i64> = entries.iter().map(|(_, seq, _)| *seq).collect();
        let days: Vec<i32> = entries.iter().map(|(.., day)| *day).collect();
        self.tx.run(&OBJECTS_DROP, &[&hashes, &seqs, &days]).await?;
        for (kind, token) in others {
            self.copies(kind, token).await?;
        }
        Ok(())
    }

    /// A message that was not routed yet never is.
    async fn leave_incoming(
        &mut self,
        waiting: &[(i64, i64, i64, i64, Option<i64>)],
    ) -> DbResult<()> {
        let keys: Vec<(i64, i64)> = waiting
            .iter()
            .map(|(store, seq, ..)| (*store, *seq))
            .collect();
        let mut removed = incoming::remove(self.tx, &keys).await?;
        // One that has deliveries already is told by them.
        let has_none = |seq: i64| waiting.iter().any(|row| row.1 == seq && row.4.is_none());
        removed.retain(|message| has_none(message.seq));
        let ended: Vec<Ended> = removed
            .iter()
            .map(|message| Ended::message(message, ArchiveReason::Erased, self.now))
            .collect();
        archived_insert(self.tx, &ended).await
    }

    /// Whom a mapping took it for is what its identifiers say: values of the payload.
    async fn leave_routing(&mut self, plan: &Plan, records: &[(i64, i32, String)]) -> DbResult<()> {
        let made: BTreeMap<i64, i32> = plan
            .told
            .iter()
            .map(|told| (told.seq, day_of(told.accepted_at)))
            .collect();
        let (mut seqs, mut days, mut parts, mut bodies) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (message, part, body) in records {
            let Ok(mut record) = RoutingRecord::decode(*message, body) else {
                continue;
            };
            for skip in &mut record.skipped {
                if let SkipReason::Duplicate(values) = &mut skip.reason {
                    "erased".clone_into(values);
                }
            }
            let after = record.encode();
            if after != *body {
                seqs.push(*message);
                days.push(made.get(message).copied().unwrap_or_default());
                parts.push(*part);
                bodies.push(after);
            }
        }
        if !seqs.is_empty() {
            self.tx
                .run(&ROUTING_REWRITE, &[&seqs, &days, &parts, &bodies])
                .await?;
        }
        Ok(())
    }
}
