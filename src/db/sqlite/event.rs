//! Writing events: once, and counted when they are said again.

use super::{
    loops::descendant_store,
    message::MessageMade,
    session::Session,
    statement::{Command, Question, statements},
};
pub(super) use crate::db::events::{Repeat, cut};
use crate::{
    db::{
        DbResult,
        events::{kept_words, level_number},
    },
    domain::{event::NewEvent, reference::ObjectRef, time::Micros},
};

statements! {
    /// Writes an event.
    EventInsert<'a> {
        seq: i64, store: i64, level: i64, subject: &'a str, description: &'a str, ref_type: Option<&'a str>,
        ref_token: Option<&'a str>, ref_fold: Option<&'a str>, message: Option<i64>, delivery: Option<i64>,
        arose_at: Option<i64>, origin: &'a str, attributes: Option<&'a str>, at: i64, dedupe: Option<&'a [u8]>,
    } = "INSERT INTO event (seq, store, level, subject, description, ref_type, ref_token, ref_fold, message, delivery, arose_at,
         origin, attributes, first_at, last_at, dedupe, occurrences)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15, 1)";
    /// Counts an event that was said before.
    EventRepeat<'a> { dedupe: &'a [u8], at: i64 } =
        "UPDATE event SET occurrences = occurrences + 1, last_at = max(last_at, ?2) WHERE dedupe = ?1";
}

/// Writes an event, or counts it when it was said before; its announcement becomes incoming with the first.
/// Returns how many messages that were.
pub(super) fn event_store(
    session: &mut Session,
    event: &NewEvent,
    repeat: Repeat,
    now: Micros,
) -> DbResult<u64> {
    let (subject, description) = kept_words(event);
    let dedupe = repeat.dedupe(event);
    if let Some(dedupe) = &dedupe
        && (EventRepeat { dedupe, at: now.0 }).run(&mut session.conn)? > 0
    {
        return Ok(0);
    }
    let arose_at = arose_at(session, event)?;
    let seq = session.next();
    EventInsert {
        seq,
        store: event.store.0,
        level: level_number(event.level).into(),
        subject,
        description,
        ref_type: event.reference.as_ref().map(ObjectRef::kind),
        ref_token: event.reference.as_ref().map(ObjectRef::token),
        ref_fold: event.reference.as_ref().map(ObjectRef::folded),
        message: event.message.map(|key| key.0),
        delivery: event.delivery.map(|key| key.0),
        arose_at,
        origin: &event.origin,
        attributes: event.attributes.as_deref(),
        at: now.0,
        dedupe: dedupe.as_deref(),
    }
    .run(&mut session.conn)?;
    match &event.announce {
        Some(message) => descendant_store(session, message, event.delivery, now).map(u64::from),
        None => Ok(0),
    }
}

/// When the delivery (else the message) it arose from was made.
fn arose_at(session: &mut Session, event: &NewEvent) -> DbResult<Option<i64>> {
    if let Some(delivery) = event.delivery {
        let (store, seq) = (event.store.0, delivery.0);
        return super::archive::delivery_made(&mut session.conn, store, seq);
    }
    match event.message {
        Some(message) => MessageMade { seq: message.0 }.row(&mut session.conn),
        None => Ok(None),
    }
}
