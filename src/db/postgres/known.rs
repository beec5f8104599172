//! Known objects: reading and merging them. The rows of everything that news are about are locked first, those of unknown
//! objects by a place that is held for them, so that two nodes do not both call an object new; then the batch is merged in
//! memory in its order, and what came out is written.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::{
    codec::text,
    conn::Conn,
    event::Made,
    say::{Said, What, say},
    statement::statements,
    tx::Tx,
};
use crate::{
    db::{DbResult, Learnt, ObjectState},
    domain::{
        event::{Level, NewEvent},
        key::{DeliveryKey, StoreKey},
        known_object::ObjectNews,
        message::NewMessage,
        settle::ReturnedObject,
        time::Micros,
    },
};

statements! {
    /// What is known of an object.
    KNOWN_READ = "SELECT updated_at, digest, raw FROM known_object WHERE store = $1 AND kind = $2 AND token = $3 AND raw <> ''";
    /// What is known of objects, kept from others until the transaction ends.
    KNOWN_LOCK = "SELECT k.store, k.kind, k.token, k.raw FROM known_object k
        JOIN unnest($1::bigint[], $2::text[], $3::text[]) AS u(store, kind, token) ON k.store = u.store AND k.kind = u.kind AND k.token = u.token
        ORDER BY 1, 2, 3 FOR UPDATE OF k";
    /// Holds the places of objects that nothing was known of; answers with what is known by now.
    KNOWN_PLACE = "INSERT INTO known_object (store, kind, token, updated_at, digest, raw)
        SELECT u.store, u.kind, u.token, 0, ''::bytea, '' FROM unnest($1::bigint[], $2::text[], $3::text[]) AS u(store, kind, token)
        ORDER BY 1, 2, 3 ON CONFLICT (store, kind, token) DO UPDATE SET raw = known_object.raw RETURNING store, kind, token, raw";
    /// Writes what is known of objects.
    KNOWN_WRITE = "UPDATE known_object k SET updated_at = $6::bigint, digest = u.digest, raw = u.raw
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::text[]) AS u(store, kind, token, digest, raw)
        WHERE k.store = u.store AND k.kind = u.kind AND k.token = u.token";
    /// Gives places back that nothing was written into.
    KNOWN_LEAVE = "DELETE FROM known_object k USING unnest($1::bigint[], $2::text[], $3::text[]) AS u(store, kind, token)
        WHERE k.store = u.store AND k.kind = u.kind AND k.token = u.token AND k.raw = ''";
}

/// An object's store, kind and token.
type Name = (i64, String, String);

/// News that a settlement (or a push) brings. `group` numbers what brings it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) group: usize,
    pub(super) news: &'a ObjectNews,
    /// The delivery whose answer they are.
    pub(super) delivery: Option<DeliveryKey>,
}

/// What one piece of news came to.
#[derive(Debug)]
pub(super) struct Learning {
    pub(super) group: usize,
    delivery: Option<DeliveryKey>,
    what: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// Nothing new.
    Unchanged,
    /// A message tells everybody.
    Message(Box<NewMessage>),
    /// It could not be taken.
    Refused(Box<NewEvent>),
}

impl Learning {
    /// What is to be said about it.
    pub(super) fn said(&self) -> Option<Said<'_>> {
        let what = match &self.what {
            Outcome::Unchanged => return None,
            Outcome::Message(message) => What::Message(message, self.delivery),
            Outcome::Refused(event) => What::Event(event),
        };
        Some(Said {
            group: self.group,
            what,
        })
    }
}

/// What is known of an object.
pub(super) async fn state(
    conn: &Conn,
    store: StoreKey,
    kind: &str,
    token: &str,
) -> DbResult<Option<ObjectState>> {
    let found: Option<(i64, Vec<u8>, String)> = conn
        .row(&KNOWN_READ, &[&store.0, &text(kind), &text(token)])
        .await?;
    Ok(found.map(|(updated_at, digest, raw)| ObjectState {
        digest: <[u8; 16]>::try_from(digest).unwrap_or_else(|_| digest_of(&raw)),
        raw,
        updated_at: Micros(updated_at),
    }))
}

/// Merges pushed objects and says what they came to.
pub(super) async fn merge(tx: &mut Tx<'_>, news: &ObjectNews, now: Micros) -> DbResult<Learnt> {
    let told = [Told {
        group: 0,
        news,
        delivery: None,
    }];
    let learnings = learn(tx, &told, now).await?;
    let said: Vec<Said<'_>> = learnings.iter().filter_map(Learning::said).collect();
    let stored = say(tx, &said, 1, &Made::new(), now).await?;
    let unchanged = |learning: &&Learning| matches!(learning.what, Outcome::Unchanged);
    Ok(Learnt {
        messages: stored.first().copied().unwrap_or(0),
        unchanged: learnings.iter().filter(unchanged).count() as u64,
    })
}

/// Takes news in and stores what is known since; what is to be said comes back, in order, its types learnt.
pub(super) async fn learn(
    tx: &mut Tx<'_>,
    told: &[Told<'_>],
    now: Micros,
) -> DbResult<Vec<Learning>> {
    let names: BTreeSet<Name> = told
        .iter()
        .flat_map(|told| {
            told.news
                .objects
                .iter()
                .map(|object| name(told.news, object))
        })
        .collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut known = lock(tx, names).await?;
    let mut changed: BTreeSet<Name> = BTreeSet::new();
    let mut learnings = Vec::new();
    for Told {
        group,
        news,
        delivery,
    } in told
    {
        for object in &news.objects {
            let name = name(news, object);
            let stored = known.get(&name).map(String::as_str);
            let what = match news.learn(stored.filter(|raw| !raw.is_empty()), object) {
                Err(problem) => Outcome::Refused(Box::new(refused(news, *delivery, problem))),
                Ok(learned) => {
                    if let Some(raw) = learned.raw {
                        changed.insert(name.clone());
                        known.insert(name, text(&raw).into_owned());
                    }
                    learned.message.map_or(Outcome::Unchanged, |message| {
                        Outcome::Message(Box::new(message))
                    })
                }
            };
            learnings.push(Learning {
                group: *group,
                delivery: *delivery,
                what,
            });
        }
    }
    write(tx, &known, &changed, now).await?;
    let messages = learnings
        .iter()
        .filter_map(|learning| match &learning.what {
            Outcome::Message(message) => Some(&**message),
            _ => None,
        });
    tx.learn_kinds_inside(messages).await?;
    Ok(learnings)
}

fn name(news: &ObjectNews, object: &ReturnedObject) -> Name {
    (
        news.store.0,
        text(&object.kind).into_owned(),
        text(&object.id).into_owned(),
    )
}

/// What is known of these, nothing as an empty text; nobody else changes it until the transaction ends.
async fn lock(tx: &mut Tx<'_>, names: BTreeSet<Name>) -> DbResult<BTreeMap<Name, String>> {
    let (stores, kinds, tokens) = columns(&names);
    let rows: Vec<(i64, String, String, String)> =
        tx.rows(&KNOWN_LOCK, &[&stores, &kinds, &tokens]).await?;
    let named = |(store, kind, token, raw)| ((store, kind, token), raw);
    let mut known: BTreeMap<Name, String> = rows.into_iter().map(named).collect();
    let new: BTreeSet<Name> = names
        .into_iter()
        .filter(|name| !known.contains_key(name))
        .collect();
    if !new.is_empty() {
        let (stores, kinds, tokens) = columns(&new);
        let rows: Vec<(i64, String, String, String)> =
            tx.rows(&KNOWN_PLACE, &[&stores, &kinds, &tokens]).await?;
        known.extend(rows.into_iter().map(named));
    }
    Ok(known)
}

fn columns<'n>(
    names: impl IntoIterator<Item = &'n Name>,
) -> (Vec<i64>, Vec<&'n str>, Vec<&'n str>) {
    let (mut stores, mut kinds, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for (store, kind, token) in names {
        stores.push(*store);
        kinds.push(kind.as_str());
        tokens.push(token.as_str());
    }
    (stores, kinds, tokens)
}

async fn write(
    tx: &mut Tx<'_>,
    known: &BTreeMap<Name, String>,
    changed: &BTreeSet<Name>,
    now: Micros,
) -> DbResult<()> {
    if !changed.is_empty() {
        let (stores, kinds, tokens) = columns(changed);
        let raws: Vec<&str> = changed
            .iter()
            .map(|name| known.get(name).map_or("", String::as_str))
            .collect();
        let digests: Vec<[u8; 16]> = raws.iter().map(|raw| digest_of(raw)).collect();
        let digests: Vec<&[u8]> = digests.iter().map(<[u8; 16]>::as_slice).collect();
        let params: super::conn::Params<'_> = &[&stores, &kinds, &tokens, &digests, &raws, &now.0];
        tx.run(&KNOWN_WRITE, params).await?;
    }
    let empty: Vec<&Name> = known
        .iter()
        .filter(|(_, raw)| raw.is_empty())
        .map(|(name, _)| name)
        .collect();
    if !empty.is_empty() {
        let (stores, kinds, tokens) = columns(empty);
        tx.run(&KNOWN_LEAVE, &[&stores, &kinds, &tokens]).await?;
    }
    Ok(())
}

fn digest_of(raw: &str) -> [u8; 16] {
    let whole: [u8; 32] = Sha256::digest(raw.as_bytes()).into();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

fn refused(news: &ObjectNews, delivery: Option<DeliveryKey>, problem: String) -> NewEvent {
    NewEvent {
        store: news.store,
        level: Level::Warn,
        subject: format!("{} said something that was not taken", news.source.label()),
        description: problem,
        reference: None,
        message: news.ancestry.map(|line| line.parent),
        delivery,
        origin: "integrator".into(),
        attributes: None,
        announce: None,
    }
}
