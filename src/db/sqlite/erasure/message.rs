//! One message, with everything that quotes it.

use super::{
    super::{
        archive::{self, Ending, Unwanted},
        codec::{RoutingRecord, part_key},
        delivery::record_read,
        incoming,
        message::BUCKET_BITS,
        route::RoutingRead,
        statement::{Command, Question, statements},
        sweep::ObjectDrop,
    },
    Eraser,
};
use crate::{
    db::DbResult,
    domain::{
        delivery::{ArchiveReason, SkipReason},
        erasure::ERASED_PAYLOAD,
        json::Payload,
        key::{DeliveryKey, EndpointKey},
        message_type::MessageType,
        reference::{ObjectRef, lane_hash, object_of},
    },
};

type Told = (i64, String, Option<String>, Option<String>, String);

statements! {
    /// What a message is about, and its payload.
    MessageTold { seq: i64 } -> Told = "SELECT store, kind, object_type, object_token, payload FROM message WHERE seq = ?1";
    /// Leaves nothing of a message but that it was there.
    MessageBlank<'a> { seq: i64, payload: &'a str } =
        "UPDATE message SET payload = ?2, extra = NULL, object_type = NULL, object_token = NULL WHERE seq = ?1";
    /// What descends from a message and is about nothing (an announcement, a mail) is to be erased too.
    ChildrenAdd<'a> { erasure: i64, parent: i64, erased: &'a str } =
        "INSERT OR IGNORE INTO erasure_work (erasure, kind, token) SELECT ?1, '', CAST(seq AS TEXT) FROM message
         WHERE parent = ?2 AND object_type IS NULL AND seq < ?1 AND payload <> ?3";
    /// Rewrites a routing record.
    RoutingRewrite<'a> { key: i64, body: &'a str } = "UPDATE routing SET body = ?2 WHERE key = ?1";
    /// Leaves a done delivery's state without its words.
    ArchivedBlank { store: i64, seq: i64 } =
        "UPDATE archived SET last_error = NULL, result = NULL WHERE store = ?1 AND seq = ?2";
    /// Leaves attempts' outcomes without their words.
    AttemptsBlank { from: i64, to: i64 } =
        "UPDATE attempt SET url = '', error = '', request_headers = '{}', answer_headers = '{}', answer_body = ''
         WHERE key BETWEEN ?1 AND ?2";
    /// Events that arose from a message.
    MessageEventsDrop { message: i64 } = "DELETE FROM event WHERE message = ?1";
    /// Events that arose from a delivery.
    DeliveryEventsDrop { delivery: i64 } = "DELETE FROM event WHERE delivery = ?1";
}

impl Eraser<'_> {
    /// Erases a message. `shown` is the object on whose timeline it was found: its entry there goes in any case.
    pub(super) fn message(&mut self, seq: i64, shown: Option<&ObjectRef>) -> DbResult<()> {
        if let Some(object) = shown {
            self.leave_timeline(seq, object)?;
        }
        let told = MessageTold { seq }.row(&mut self.session.conn)?;
        let Some((store, kind, object_type, object_token, payload)) = told else {
            return Ok(());
        };
        if store != self.store {
            return Ok(());
        }
        if let (Some(kind), Some(token)) = (&object_type, &object_token)
            && let Ok(object) = ObjectRef::new(kind, token)
        {
            self.leave_timeline(seq, &object)?;
            // The same name in other letters may have copies of its own.
            if shown.is_some_and(|shown| *shown == object && shown.token() != token) {
                self.copies(kind, token)?;
            }
        }
        if let Ok(kind) = MessageType::parse(&kind) {
            for object in object_of(&kind, &Payload::from_stored(payload.as_str())).objects() {
                self.leave_timeline(seq, object)?;
            }
        }
        self.leave_incoming(seq)?;
        for (delivery, _) in record_read(&mut self.session.conn, seq)?.deliveries {
            self.delivery(delivery)?;
        }
        self.leave_routing(seq)?;
        let events = MessageEventsDrop { message: seq }.run(&mut self.session.conn)?;
        self.rows.events += events as u64;
        ChildrenAdd {
            erasure: self.key,
            parent: seq,
            erased: ERASED_PAYLOAD,
        }
        .run(&mut self.session.conn)?;
        if payload != ERASED_PAYLOAD {
            MessageBlank {
                seq,
                payload: ERASED_PAYLOAD,
            }
            .run(&mut self.session.conn)?;
            self.session.erased();
            self.rows.messages += 1;
        }
        Ok(())
    }

    fn leave_timeline(&mut self, seq: i64, object: &ObjectRef) -> DbResult<()> {
        ObjectDrop {
            bucket: seq >> BUCKET_BITS,
            hash: lane_hash(self.store, object),
            message: seq,
        }
        .run(&mut self.session.conn)?;
        Ok(())
    }

    /// A message that was not routed yet never is.
    fn leave_incoming(&mut self, seq: i64) -> DbResult<()> {
        let store = self.store;
        if let Some((kind, accepted_at, routed_up_to)) = incoming::take(self.session, store, seq)? {
            // One that has deliveries already is told by them.
            if routed_up_to.is_none() {
                let message = Unwanted {
                    store,
                    seq,
                    kind,
                    accepted_at,
                };
                archive::archive_message(self.session, message, ArchiveReason::Erased, self.now)?;
            }
        }
        Ok(())
    }

    /// Whom a mapping took it for is what its identifiers say: values of the payload.
    fn leave_routing(&mut self, seq: i64) -> DbResult<()> {
        let rows = RoutingRead {
            from: part_key(seq, 0),
            to: part_key(seq, u32::MAX),
        }
        .rows(&mut self.session.conn)?;
        for (key, body) in rows {
            let Ok(mut record) = RoutingRecord::decode(key, &body) else {
                continue;
            };
            for skip in &mut record.skipped {
                if let SkipReason::Duplicate(values) = &mut skip.reason {
                    "erased".clone_into(values);
                }
            }
            let after = record.encode();
            if after != body {
                let body = after.as_str();
                RoutingRewrite { key, body }.run(&mut self.session.conn)?;
            }
        }
        Ok(())
    }

    fn delivery(&mut self, seq: i64) -> DbResult<()> {
        let store = self.store;
        if let Some((mut waiting, _)) = archive::take(self.session, store, seq)? {
            waiting.last_error = None;
            let ending = Ending {
                reason: ArchiveReason::Erased,
                result: None,
                at: self.now,
            };
            archive::archive(self.session, &waiting, ending)?;
            self.rows.deliveries += 1;
            self.archived
                .push((EndpointKey(waiting.endpoint), DeliveryKey(seq)));
        } else {
            ArchivedBlank { store, seq }.run(&mut self.session.conn)?;
        }
        let attempts = AttemptsBlank {
            from: part_key(seq, 0),
            to: part_key(seq, u32::MAX),
        }
        .run(&mut self.session.conn)?;
        self.rows.attempts += attempts as u64;
        let events = DeliveryEventsDrop { delivery: seq }.run(&mut self.session.conn)?;
        self.rows.events += events as u64;
        Ok(())
    }
}
