//! What a transition says besides moving rows: messages that descend from others, and events.
//!
//! Messages that descend from messages are bounded in depth, in number and in pace ([`crate::db::loops`]).

use std::collections::{BTreeMap, HashMap};

use super::{
    codec::day_of,
    event::{Made, Repeat, events_store},
    message::messages_store,
    statement::statements,
    tx::Tx,
};
use crate::{
    db::{
        DbResult,
        loops::{Bound, hour_of, repetition_of},
    },
    domain::{event::NewEvent, key::DeliveryKey, message::NewMessage, time::Micros},
};

statements! {
    /// More descendants of roots; how many there are now.
    LINEAGE_ADD = "INSERT INTO lineage (root, descendants, day) SELECT u.root, u.n, $3::int FROM unnest($1::bigint[], $2::bigint[]) AS u(root, n)
        ORDER BY 1 ON CONFLICT (root) DO UPDATE SET descendants = lineage.descendants + excluded.descendants, day = excluded.day
        RETURNING root, descendants";
    /// More messages of a type about an object in this hour; how many there are now.
    REPETITION_ADD = "INSERT INTO repetition (hour, hash, n) SELECT $3::bigint, u.hash, u.n FROM unnest($1::bigint[], $2::bigint[]) AS u(hash, n)
        ORDER BY 2 ON CONFLICT (hour, hash) DO UPDATE SET n = repetition.n + excluded.n RETURNING hash, n";
}

/// One thing that is said. `group` numbers what says it: a settlement or a routing decision of the batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) group: usize,
    pub(super) what: What<'a>,
}

/// What it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum What<'a> {
    /// A message, perhaps an answer's to this delivery.
    Message(&'a NewMessage, Option<DeliveryKey>),
    /// An event; its announcement becomes incoming the first time.
    Event(&'a NewEvent),
}

/// The messages that saying all this may store, for [`Tx::learn_kinds`].
pub(super) fn messages_of<'a>(said: &[Said<'a>]) -> impl Iterator<Item = &'a NewMessage> {
    said.iter().filter_map(|said| match said.what {
        What::Message(message, _) => Some(message),
        What::Event(event) => event.announce.as_deref(),
    })
}

/// Writes events and messages; returns for each group how many messages became incoming. A bounded number of statements,
/// whatever the number of groups.
pub(super) async fn say(
    tx: &mut Tx<'_>,
    said: &[Said<'_>],
    groups: usize,
    made: &Made,
    now: Micros,
) -> DbResult<Vec<u64>> {
    let mut stored = vec![0; groups];
    if said.is_empty() {
        return Ok(stored);
    }
    let events: Vec<(&NewEvent, Repeat)> = said
        .iter()
        .filter_map(|said| match said.what {
            What::Event(event) => Some((event, Repeat::ByWords)),
            What::Message(..) => None,
        })
        .collect();
    let mut is_new = events_store(tx, &events, made, now).await?.into_iter();
    let mut candidates: Vec<(usize, &NewMessage, Option<DeliveryKey>)> = Vec::new();
    for said in said {
        match said.what {
            What::Message(message, delivery) => candidates.push((said.group, message, delivery)),
            What::Event(event) => {
                if let (Some(true), Some(message)) = (is_new.next(), &event.announce) {
                    candidates.push((said.group, message, event.delivery));
                }
            }
        }
    }
    let bounds = bounds_reached(tx, &candidates, now).await?;
    let mut passed: Vec<(usize, &NewMessage)> = Vec::new();
    let mut loops: Vec<(NewEvent, Vec<u8>)> = Vec::new();
    for ((group, message, delivery), bound) in candidates.into_iter().zip(bounds) {
        match bound {
            None => passed.push((group, message)),
            Some(bound) => loops.push(bound.event(message, delivery)),
        }
    }
    let seqs = tx.numbers(passed.len()).await?;
    let fresh: Vec<(i64, &NewMessage)> = seqs
        .zip(&passed)
        .map(|(seq, (_, message))| (seq, *message))
        .collect();
    messages_store(tx, &fresh, now).await?;
    for (group, _) in passed {
        if let Some(n) = stored.get_mut(group) {
            *n += 1;
        }
    }
    let loops: Vec<(&NewEvent, Repeat)> = loops
        .iter()
        .map(|(event, digest)| (event, Repeat::Of(digest.clone())))
        .collect();
    events_store(tx, &loops, made, now).await?;
    Ok(stored)
}

async fn bounds_reached(
    tx: &mut Tx<'_>,
    candidates: &[(usize, &NewMessage, Option<DeliveryKey>)],
    now: Micros,
) -> DbResult<Vec<Option<Bound>>> {
    let bounds = tx.options().loop_bounds;
    let hour = hour_of(now);
    let mut reached: Vec<Option<Bound>> = candidates
        .iter()
        .map(|(_, message, _)| Bound::on_depth(bounds, message))
        .collect();
    let root_of = |message: &NewMessage| message.ancestry.map(|line| line.root.0);
    let day = day_of(now.0);
    let roots = tally(candidates, &reached, root_of);
    if !roots.is_empty() {
        let (keys, ns): (Vec<i64>, Vec<i64>) = roots.iter().unzip();
        let now_there: Vec<(i64, i64)> = tx.rows(&LINEAGE_ADD, &[&keys, &ns, &day]).await?;
        judge(
            candidates,
            &mut reached,
            &roots,
            now_there,
            root_of,
            i64::from(bounds.max_descendants),
            |root| Bound::on_descendants(bounds, root),
        );
    }
    let hashes = tally(candidates, &reached, repetition_of);
    if !hashes.is_empty() {
        let (keys, ns): (Vec<i64>, Vec<i64>) = hashes.iter().unzip();
        let now_there: Vec<(i64, i64)> = tx.rows(&REPETITION_ADD, &[&keys, &ns, &hour]).await?;
        judge(
            candidates,
            &mut reached,
            &hashes,
            now_there,
            repetition_of,
            i64::from(bounds.max_per_object_hour),
            |hash| Bound::on_pace(bounds, hash, hour),
        );
    }
    Ok(reached)
}

/// How many of the messages that passed so far count under each key.
fn tally(
    candidates: &[(usize, &NewMessage, Option<DeliveryKey>)],
    reached: &[Option<Bound>],
    key_of: impl Fn(&NewMessage) -> Option<i64>,
) -> BTreeMap<i64, i64> {
    let mut counts = BTreeMap::new();
    for ((_, message, _), _) in candidates
        .iter()
        .zip(reached)
        .filter(|(_, bound)| bound.is_none())
    {
        if let Some(key) = key_of(message) {
            *counts.entry(key).or_insert(0) += 1;
        }
    }
    counts
}

/// Marks the messages that are over a bound: counted in order, on from what was there before this batch.
fn judge(
    candidates: &[(usize, &NewMessage, Option<DeliveryKey>)],
    reached: &mut [Option<Bound>],
    added: &BTreeMap<i64, i64>,
    now_there: Vec<(i64, i64)>,
    key_of: impl Fn(&NewMessage) -> Option<i64>,
    most: i64,
    bound: impl Fn(i64) -> Bound,
) {
    let mut count: HashMap<i64, i64> = now_there
        .into_iter()
        .map(|(key, n)| (key, n - added.get(&key).copied().unwrap_or(0)))
        .collect();
    for ((_, message, _), place) in candidates
        .iter()
        .zip(reached)
        .filter(|(_, place)| place.is_none())
    {
        let Some(key) = key_of(message) else { continue };
        let n = count.entry(key).or_insert(0);
        *n += 1;
        if *n > most {
            *place = Some(bound(key));
        }
    }
}

/// Writes events of the hub's own.
pub(super) async fn say_events(tx: &mut Tx<'_>, events: &[NewEvent], now: Micros) -> DbResult<()> {
    let said: Vec<Said<'_>> = events
        .iter()
        .map(|event| Said {
            group: 0,
            what: What::Event(event),
        })
        .collect();
    tx.learn_kinds(messages_of(&said)).await?;
    say(tx, &said, 1, &Made::new(), now).await.map(|_| ())
}
