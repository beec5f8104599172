//! Writing routing decisions: claims, deliveries, derived messages, the routing record, and the incoming row that goes.

use std::sync::Arc;

use super::{
    archive::{Unwanted, archive_message},
    codec::{RoutingRecord, part_key},
    event::{Repeat, event_store},
    incoming,
    loops::descendant_store,
    session::{Place, Session},
    statement::{Command, Question, statements},
};
use crate::{
    db::{DbResult, OwnerKind, RouteOutcome, RouteProgress, Routed, Skip},
    domain::{
        delivery::{ArchiveReason, Delivery, NewDelivery, SkipReason, WaitState},
        key::{DeliveryKey, EndpointKey},
        message::Message,
        time::Micros,
    },
};

statements! {
    /// A message of the incoming queue: its kind, when it was accepted, how far it is routed.
    IncomingRead { store: i64, seq: i64 } -> (i64, i64, Option<i64>) =
        "SELECT kind, accepted_at, routed_up_to FROM incoming WHERE store = ?1 AND seq = ?2";
    /// Notes the last mapping that a chunk has dealt with.
    IncomingAdvance { store: i64, seq: i64, up_to: i64 } =
        "UPDATE incoming SET routed_up_to = ?3 WHERE store = ?1 AND seq = ?2";
    /// Accepts a delivery, which is its lane's head when nothing holds that lane.
    AcceptedInsert<'a> {
        store: i64, seq: i64, endpoint: i64, mapping: i64, kind: i64, message: i64, lane: Option<i64>, now: i64,
        claim: Option<&'a [u8]>, head: bool,
    } = "INSERT INTO accepted (store, seq, endpoint, mapping, kind, message, lane, pos, head, state, due_at, attempts, failures,
         since, created_at, claim) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?2, ?10, 0, ?8, 0, 0, ?8, ?8, ?9)";
    /// Whether a delivery holds this lane.
    LaneHeld { endpoint: i64, lane: i64 } -> i64 =
        "SELECT 1 FROM accepted WHERE endpoint = ?1 AND lane = ?2 AND state < 3 LIMIT 1";
    /// Claims what a delivery is about for its mapping; changes nothing when another one has it.
    ClaimTake<'a> { mapping: i64, key: &'a [u8], delivery: i64, expires_at: i64, now: i64 } =
        "INSERT INTO claim (mapping, key, delivery, expires_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (mapping, key)
         DO UPDATE SET delivery = excluded.delivery, expires_at = excluded.expires_at WHERE claim.expires_at <= ?5";
    /// Writes a routing record.
    RoutingInsert<'a> { key: i64, body: &'a str } = "INSERT INTO routing (key, body) VALUES (?1, ?2)";
    /// The routing records of a message.
    RoutingRead { from: i64, to: i64 } -> (i64, String) =
        "SELECT key, body FROM routing WHERE key BETWEEN ?1 AND ?2 ORDER BY key";
    /// Whether a store is deleted.
    StoreDeleted { store: i64 } -> bool = "SELECT deleted FROM registry WHERE key = ?1 AND kind = 'store'";
}

/// Writes the decisions, or nothing when they were made with an older registry or by a former owner.
pub(super) fn route(
    session: &mut Session,
    batch: &[Routed],
    registry_version: i64,
    epoch: i64,
    now: Micros,
) -> DbResult<RouteOutcome> {
    if session.epoch(OwnerKind::Router, 0)? != epoch {
        return Ok(RouteOutcome::Fenced);
    }
    if registry_version < session.registry_version {
        return Ok(RouteOutcome::RegistryMoved);
    }
    let mut total = Total::default();
    for routed in batch {
        route_one(session, routed, now, &mut total)?;
    }
    Ok(RouteOutcome::Done {
        accepted: total.accepted,
        derived: total.derived,
        endpoints: total.endpoints(),
    })
}

/// What decisions came to.
#[derive(Default)]
pub(super) struct Total {
    endpoints: Vec<EndpointKey>,
    /// Heads of lanes among the new deliveries, where their messages are at hand.
    pub(super) fresh: Vec<Delivery>,
    pub(super) accepted: u64,
    pub(super) derived: u64,
}

impl Total {
    /// The endpoints that have new deliveries, each once.
    pub(super) fn endpoints(mut self) -> Vec<EndpointKey> {
        self.endpoints.sort_unstable();
        self.endpoints.dedup();
        self.endpoints
    }
}

/// What is known of a message in work.
pub(super) struct Entry {
    /// The key of its type.
    pub(super) kind: i64,
    pub(super) accepted_at: i64,
    /// The last mapping that an earlier chunk has dealt with.
    pub(super) done_up_to: Option<i64>,
    /// The message, where it is at hand.
    pub(super) message: Option<Arc<Message>>,
}

fn route_one(
    session: &mut Session,
    routed: &Routed,
    now: Micros,
    total: &mut Total,
) -> DbResult<()> {
    let (store, seq) = (routed.store.0, routed.message.0);
    // The last chunk takes the row out at once; an earlier one looks whether its turn has passed.
    let row = match routed.progress {
        RouteProgress::Done => incoming::take(session, store, seq)?,
        RouteProgress::UpTo(_) => IncomingRead { store, seq }.row(&mut session.conn)?,
    };
    let Some((kind, accepted_at, done_up_to)) = row else {
        return Ok(());
    };
    if matches!(routed.progress, RouteProgress::UpTo(mapping) if done_up_to.is_some_and(|done| mapping.0 <= done))
    {
        return Ok(());
    }
    let entry = Entry {
        kind,
        accepted_at,
        done_up_to,
        message: None,
    };
    carry_out(session, routed, entry, now, total)
}

/// Writes what follows from a decision. The message is in the incoming queue only if this is not the last chunk.
pub(super) fn carry_out(
    session: &mut Session,
    routed: &Routed,
    entry: Entry,
    now: Micros,
    total: &mut Total,
) -> DbResult<()> {
    let (store, seq) = (routed.store.0, routed.message.0);
    let Entry {
        kind,
        accepted_at,
        done_up_to,
        message,
    } = entry;
    let done_up_to_key = done_up_to.unwrap_or(i64::MIN);
    let mut record = RoutingRecord {
        deliveries: Vec::with_capacity(routed.deliveries.len()),
        skipped: routed.skipped.clone(),
    };
    // A chunk that overlaps an earlier one (its router had not seen that one's commit) repeats nothing.
    record
        .skipped
        .retain(|skip| skip.mapping.0 > done_up_to_key);
    for delivery in routed
        .deliveries
        .iter()
        .filter(|delivery| delivery.mapping.0 > done_up_to_key)
    {
        match accept(
            session,
            Source {
                store,
                message: seq,
                kind,
            },
            delivery,
            now,
        )? {
            Outcome::Accepted { key, head } => {
                record.deliveries.push((key, delivery.mapping.0));
                if let Some(message) = message.as_ref().filter(|_| head) {
                    total.fresh.push(Delivery {
                        key: DeliveryKey(key),
                        id: session.id(key, now),
                        message: Arc::clone(message),
                        mapping: delivery.mapping,
                        endpoint: delivery.endpoint,
                        lane: delivery.lane,
                        state: WaitState::Pending,
                        attempts: 0,
                        failures: 0,
                        since: now,
                        asynchronous: None,
                    });
                }
                total.endpoints.push(delivery.endpoint);
                total.accepted += 1;
            }
            Outcome::Skipped(skip) => record.skipped.push(skip),
        }
    }
    for message in &routed.derived {
        total.derived += u64::from(descendant_store(session, message, None, now)?);
    }
    for event in &routed.events {
        total.derived += event_store(session, event, Repeat::ByWords, now)?;
    }
    let earlier = if done_up_to.is_some() {
        records(session, seq)?
    } else {
        Vec::new()
    };
    if !record.deliveries.is_empty() || !record.skipped.is_empty() {
        let part = u32::try_from(earlier.len()).unwrap_or(u32::MAX);
        RoutingInsert {
            key: part_key(seq, part),
            body: &record.encode(),
        }
        .run(&mut session.conn)?;
    }
    if let RouteProgress::UpTo(mapping) = routed.progress {
        IncomingAdvance {
            store,
            seq,
            up_to: mapping.0,
        }
        .run(&mut session.conn)?;
        return Ok(());
    }
    let wanted = |record: &RoutingRecord| !record.deliveries.is_empty();
    if !wanted(&record) && !earlier.iter().any(wanted) {
        let subscribed = !record.skipped.is_empty() || !earlier.is_empty();
        let reason = if (StoreDeleted { store })
            .row(&mut session.conn)?
            .unwrap_or(false)
        {
            ArchiveReason::Removed
        } else if subscribed {
            ArchiveReason::NotWanted
        } else {
            ArchiveReason::NoSubscriber
        };
        archive_message(
            session,
            Unwanted {
                store,
                seq,
                kind,
                accepted_at,
            },
            reason,
            now,
        )?;
    }
    Ok(())
}

fn records(session: &mut Session, message: i64) -> DbResult<Vec<RoutingRecord>> {
    let rows = RoutingRead {
        from: part_key(message, 0),
        to: part_key(message, u32::MAX),
    }
    .rows(&mut session.conn)?;
    rows.iter()
        .map(|(key, body)| RoutingRecord::decode(*key, body))
        .collect()
}

#[derive(Clone, Copy)]
struct Source {
    store: i64,
    message: i64,
    kind: i64,
}

enum Outcome {
    Accepted { key: i64, head: bool },
    Skipped(Skip),
}

fn accept(
    session: &mut Session,
    source: Source,
    delivery: &NewDelivery,
    now: Micros,
) -> DbResult<Outcome> {
    let seq = session.next();
    let mapping = delivery.mapping.0;
    if let Some(claim) = &delivery.claim {
        let expires_at = now.plus(session.options.claim_age).0;
        let taken = ClaimTake {
            mapping,
            key: claim.key.as_bytes(),
            delivery: seq,
            expires_at,
            now: now.0,
        }
        .run(&mut session.conn)?;
        if taken == 0 {
            let reason = SkipReason::Duplicate(claim.text.clone());
            return Ok(Outcome::Skipped(Skip {
                mapping: delivery.mapping,
                reason,
            }));
        }
    }
    let endpoint = delivery.endpoint.0;
    let head = match delivery.lane {
        Some(lane) => (LaneHeld { endpoint, lane })
            .row(&mut session.conn)?
            .is_none(),
        None => true,
    };
    AcceptedInsert {
        head,
        store: source.store,
        seq,
        endpoint,
        mapping,
        kind: source.kind,
        message: source.message,
        lane: delivery.lane,
        now: now.0,
        claim: delivery
            .claim
            .as_ref()
            .map(|claim| claim.key.as_bytes().as_slice()),
    }
    .run(&mut session.conn)?;
    session.count(source.store, Place::Accepted(WaitState::Pending), 1);
    Ok(Outcome::Accepted { key: seq, head })
}
