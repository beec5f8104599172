//! What people do to waiting deliveries: try now, archive; and what follows when a mapping is enabled or deleted.

use diesel::sqlite::SqliteConnection;

use super::{
    archive::{self, Ending, Waiting},
    codec::RowKey,
    event::{Repeat, event_store},
    message::heads_read,
    session::{Place, Session},
    statement::{Command, Question, statements},
};
use crate::{
    db::{DbError, DbResult, HeldMapping},
    domain::{
        delivery::{ArchiveReason, WaitState},
        event::{Level, NewEvent},
        key::{DeliveryKey, EndpointKey, MappingKey, MessageKey, StoreKey},
        time::Micros,
    },
};

statements! {
    /// A delivery that had stepped out goes to the tail of its lane.
    AcceptedReturn { store: i64, seq: i64, pos: i64, endpoint: i64, lane: Option<i64>, now: i64 } =
        "UPDATE accepted SET state = 0, head = NOT EXISTS (SELECT 1 FROM accepted WHERE endpoint = ?4 AND lane = ?5 AND state < 3),
         pos = ?3, due_at = ?6, since = ?6, failures = 0, asynchronous = NULL WHERE store = ?1 AND seq = ?2";
    /// A delivery in its lane is tried now, its failures counted anew.
    AcceptedHasten { store: i64, seq: i64, now: i64 } =
        "UPDATE accepted SET state = 0, due_at = ?3, since = ?3, failures = 0, asynchronous = NULL WHERE store = ?1 AND seq = ?2";
    /// The store of a mapping, deleted or not.
    MappingStore { mapping: i64 } -> i64 = "SELECT store FROM registry WHERE key = ?1 AND kind = 'mapping'";
    /// Held deliveries of a mapping, oldest first.
    HeldRows { store: i64, mapping: i64, limit: i64 } -> i64 =
        "SELECT seq FROM accepted WHERE store = ?1 AND state = 4 AND mapping = ?2 ORDER BY seq LIMIT ?3";
    /// Waiting deliveries of a mapping, oldest first.
    MappingRows { store: i64, mapping: i64, limit: i64 } -> i64 =
        "SELECT seq FROM accepted WHERE store = ?1 AND mapping = ?2 ORDER BY seq LIMIT ?3";
}

/// Tries a waiting delivery now.
pub(super) fn release(
    session: &mut Session,
    store: StoreKey,
    delivery: DeliveryKey,
    person: &str,
    now: Micros,
) -> DbResult<EndpointKey> {
    let waiting = waiting(session, store, delivery)?;
    back_to_lane(session, &waiting, now)?;
    let subject = format!("Tried again by {person}");
    note(session, &waiting, subject, String::new(), now)?;
    Ok(EndpointKey(waiting.endpoint))
}

/// Archives a waiting delivery on a person's word.
pub(super) fn archive(
    session: &mut Session,
    store: StoreKey,
    delivery: DeliveryKey,
    person: &str,
    now: Micros,
) -> DbResult<EndpointKey> {
    let (waiting, _) =
        archive::take(session, store.0, delivery.0)?.ok_or(DbError::Missing("delivery"))?;
    archive::archive(
        session,
        &waiting,
        Ending {
            reason: ArchiveReason::Archived,
            result: None,
            at: now,
        },
    )?;
    let subject = format!("Archived by {person}");
    note(session, &waiting, subject, String::new(), now)?;
    Ok(EndpointKey(waiting.endpoint))
}

/// The deliveries that a step of [`tidy`] deals with; read apart, because finding them may walk past many others.
pub(super) fn tidy_rows(
    conn: &mut SqliteConnection,
    mapping: MappingKey,
    what: HeldMapping,
    limit: usize,
) -> DbResult<Vec<RowKey>> {
    let Some(store) = (MappingStore { mapping: mapping.0 }).row(conn)? else {
        return Ok(Vec::new());
    };
    let (mapping, limit) = (mapping.0, i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = match what {
        HeldMapping::Release => HeldRows {
            store,
            mapping,
            limit,
        }
        .rows(conn)?,
        HeldMapping::Remove => MappingRows {
            store,
            mapping,
            limit,
        }
        .rows(conn)?,
    };
    Ok(rows.into_iter().map(|seq| (store, seq)).collect())
}

/// Releases or removes these deliveries; those that are not waiting so any more are passed over.
pub(super) fn tidy(
    session: &mut Session,
    rows: &[RowKey],
    what: HeldMapping,
    now: Micros,
) -> DbResult<usize> {
    for (store, seq) in rows {
        match what {
            HeldMapping::Release => {
                if let Some(waiting) =
                    archive::read(session, *store, *seq)?.filter(|row| row.state == WaitState::Held)
                {
                    back_to_lane(session, &waiting, now)?;
                }
            }
            HeldMapping::Remove => {
                if let Some((waiting, _)) = archive::take(session, *store, *seq)? {
                    archive::archive(
                        session,
                        &waiting,
                        Ending {
                            reason: ArchiveReason::Removed,
                            result: None,
                            at: now,
                        },
                    )?;
                }
            }
        }
    }
    Ok(rows.len())
}

fn waiting(session: &mut Session, store: StoreKey, delivery: DeliveryKey) -> DbResult<Waiting> {
    archive::read(session, store.0, delivery.0)?.ok_or(DbError::Missing("delivery"))
}

/// A waiting delivery is tried now, its failures counted anew.
pub(super) fn back_to_lane(session: &mut Session, waiting: &Waiting, now: Micros) -> DbResult<()> {
    let (store, seq) = (waiting.store, waiting.seq);
    if waiting.state.holds_lane() {
        AcceptedHasten {
            store,
            seq,
            now: now.0,
        }
        .run(&mut session.conn)?;
    } else {
        let pos = session.next();
        AcceptedReturn {
            store,
            seq,
            pos,
            endpoint: waiting.endpoint,
            lane: waiting.lane,
            now: now.0,
        }
        .run(&mut session.conn)?;
    }
    session.count(store, Place::Accepted(waiting.state), -1);
    session.count(store, Place::Accepted(WaitState::Pending), 1);
    Ok(())
}

/// The event that says who did it.
pub(super) fn note(
    session: &mut Session,
    waiting: &Waiting,
    subject: String,
    description: String,
    now: Micros,
) -> DbResult<()> {
    let head = heads_read(&mut session.conn, session.seal, [waiting.message])?.pop();
    let event = NewEvent {
        store: StoreKey(waiting.store),
        level: Level::Info,
        subject,
        description,
        reference: head.and_then(|head| head.object),
        message: Some(MessageKey(waiting.message)),
        delivery: Some(DeliveryKey(waiting.seq)),
        origin: "integrator".into(),
        attributes: None,
        announce: None,
    };
    event_store(session, &event, Repeat::ByWords, now)?;
    Ok(())
}
