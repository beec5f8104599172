//! Erasing on request, a bounded step at a time.
//!
//! An erasure is a row of `erasure` and its list of work, `erasure_work`: objects, and messages that are about nothing. A
//! step takes one entry of work and erases some of its messages; an object's entry goes when no message older than the
//! erasure is left on its timeline, with its events and copies. When the list is empty, an erasure of a customer searches
//! the next stretch of a table for the address (`search.rs`), which adds to the list. Place and list move in the
//! transaction that erases, so a crash loses nothing and repeats nothing.
//!
//! What a step will do is read before, without locks; its transaction locks the erasure's row, which orders the nodes, and
//! does nothing when the erasure, or what is to be erased, has moved on meanwhile.

use super::{
    codec::text, conn::Conn, core::Core, objects::messages_about, people, polling,
    statement::statements, tx::Tx,
};
use crate::{
    db::{DbError, DbResult, ErasedRows, Erasure, ErasureStep, NewAudit, NewErasure, PageKey},
    domain::{
        erasure::{Email, ErasureSubject},
        id::IdSeal,
        key::{DeliveryKey, EndpointKey, ErasureKey, StoreKey},
        reference::ObjectRef,
        store_object::Noun,
        time::Micros,
    },
};

pub(super) mod message;
pub(super) mod search;

use self::{message::Plan, search::Found};

statements! {
    /// Takes down what is to be erased, unless it is being erased.
    ERASURE_INSERT = "INSERT INTO erasure (key, store, kind, digest, who, asked_at, email, phase, position)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, -1) ON CONFLICT (store, digest) WHERE done_at IS NULL DO NOTHING";
    /// An erasure of the same that is not done.
    ERASURE_RUNNING = "SELECT key FROM erasure WHERE done_at IS NULL AND store = $1 AND digest = $2";
    /// Erasures of a store.
    ERASURE_ROWS = "SELECT key, kind, digest, who, asked_at, done_at, objects, messages, deliveries, attempts, events, copies
        FROM erasure WHERE store = $1 AND key >= $2 AND key < $3 ORDER BY key DESC LIMIT $4";
    /// The oldest erasure that is not done.
    ERASURE_NEXT = "SELECT key, store, email, phase, position, at_kind, at_token FROM erasure WHERE done_at IS NULL ORDER BY key LIMIT 1";
    /// Where an erasure stands, and goes on standing until the transaction ends.
    ERASURE_PLACE = "SELECT phase, position, at_kind, at_token FROM erasure WHERE key = $1 AND done_at IS NULL FOR UPDATE";
    /// An erasure has come further.
    ERASURE_ADVANCE = "UPDATE erasure SET phase = $2, position = $3, at_kind = $4, at_token = $5 WHERE key = $1";
    /// Counts what was erased.
    ERASURE_COUNT = "UPDATE erasure SET objects = objects + $2, messages = messages + $3, deliveries = deliveries + $4,
        attempts = attempts + $5, events = events + $6, copies = copies + $7 WHERE key = $1";
    /// An erasure is done: what it was about goes.
    ERASURE_END = "UPDATE erasure SET done_at = $2, email = NULL, at_kind = '', at_token = '' WHERE key = $1 AND done_at IS NULL";
    /// Adds to the work.
    WORK_INSERT = "INSERT INTO erasure_work (erasure, kind, token)
        SELECT $1::bigint, u.kind, u.token FROM unnest($2::text[], $3::text[]) AS u(kind, token) ON CONFLICT DO NOTHING";
    /// What is to be done next: messages first, they are done at once.
    WORK_NEXT = "SELECT kind, token FROM erasure_work WHERE erasure = $1 ORDER BY kind, token LIMIT $2";
    /// Work that is done.
    WORK_DROP = "DELETE FROM erasure_work WHERE erasure = $1 AND kind = $2 AND token = ANY ($3::text[])";
    /// Events by number.
    EVENTS_DROP = "WITH gone AS (DELETE FROM event WHERE store = $1 AND seq = ANY ($2::bigint[]) RETURNING seq),
        forgotten AS (DELETE FROM event_repeat WHERE event IN (SELECT seq FROM gone)) SELECT count(*) FROM gone";
    /// Events about an object.
    OBJECT_EVENTS_DROP = "WITH old AS (SELECT store, seq, day FROM event WHERE store = $1 AND ref_fold = $2 AND ref_fold IS NOT NULL
            AND ref_type = $3 AND seq < $4 ORDER BY seq LIMIT $5),
        gone AS (DELETE FROM event e USING old WHERE e.store = old.store AND e.seq = old.seq AND e.day = old.day RETURNING e.seq),
        forgotten AS (DELETE FROM event_repeat WHERE event IN (SELECT seq FROM gone)) SELECT count(*) FROM gone";
    /// Forgets a known object.
    KNOWN_FORGET = "DELETE FROM known_object WHERE store = $1 AND kind = $2 AND token = $3";
    /// Forgets that a document was set aside.
    ODD_FORGET = "DELETE FROM set_aside WHERE store = $1 AND noun = $2 AND token = $3";
}

/// What is searched for a customer's address, in this order. The numbers are stored.
const MESSAGES: i32 = 0;
const SNAPSHOTS: i32 = 1;
const KNOWN: i32 = 2;
const EVENTS: i32 = 3;
/// Nothing is left to search.
const SEARCHED: i32 = 4;

/// How far an erasure has come.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    phase: i32,
    /// The last number searched; -1 before the first.
    position: i64,
    /// The last object searched, of tables whose rows have no numbers.
    at_kind: String,
    at_token: String,
}

impl Place {
    /// Where the search of a table begins.
    fn beginning(phase: i32) -> Self {
        Self {
            phase,
            position: -1,
            at_kind: String::new(),
            at_token: String::new(),
        }
    }
}

/// Takes down what is to be erased.
pub(super) async fn insert(tx: &mut Tx<'_>, new: &NewErasure, now: Micros) -> DbResult<Erasure> {
    let digest = new.subject.digest(new.store);
    let digest = digest.as_slice();
    let key = tx
        .numbers(1)
        .await?
        .next()
        .ok_or_else(|| DbError::Internal("the sequence gave no number".into()))?;
    let (kind, email, phase): (i32, Option<&str>, i32) = match &new.subject {
        ErasureSubject::Object(_) => (0, None, SEARCHED),
        ErasureSubject::Customer(email) => (1, Some(email.as_str()), MESSAGES),
    };
    let (store, who) = (new.store.0, text(&new.who));
    let inserted = tx
        .run(
            &ERASURE_INSERT,
            &[&key, &store, &kind, &digest, &who, &now.0, &email, &phase],
        )
        .await?;
    if inserted == 0 {
        let running: Option<(i64,)> = tx.row(&ERASURE_RUNNING, &[&store, &digest]).await?;
        let (running,) = running
            .ok_or_else(|| DbError::Unavailable("an erasure has just ended, ask again".into()))?;
        return read(tx.conn, tx.seal(), new.store, running).await;
    }
    let work = match &new.subject {
        ErasureSubject::Object(object) => {
            vec![(object.kind().to_owned(), object.token().to_owned())]
        }
        ErasureSubject::Customer(email) => ["user", "customer"]
            .map(|kind| (kind.to_owned(), email.as_str().to_owned()))
            .to_vec(),
    };
    work_add(tx, key, &work).await?;
    let what = if kind == 0 { "object" } else { "customer" };
    let entry = NewAudit {
        store: Some(new.store),
        who: new.who.clone(),
        action: "erased".into(),
        subject: format!("{what} with the digest {}", hex::encode(digest)),
        was: None,
        is: None,
    };
    people::audit_insert(tx, &[entry], now).await?;
    read(tx.conn, tx.seal(), new.store, key).await
}

async fn work_add(tx: &mut Tx<'_>, erasure: i64, work: &[(String, String)]) -> DbResult<()> {
    if work.is_empty() {
        return Ok(());
    }
    let kinds: Vec<_> = work.iter().map(|(kind, _)| text(kind)).collect();
    let tokens: Vec<_> = work.iter().map(|(_, token)| text(token)).collect();
    tx.run(&WORK_INSERT, &[&erasure, &kinds, &tokens]).await?;
    Ok(())
}

type ErasureRow = (
    i64,
    i32,
    Vec<u8>,
    String,
    i64,
    Option<i64>,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
);

async fn read(conn: &Conn, seal: IdSeal, store: StoreKey, key: i64) -> DbResult<Erasure> {
    let row: Option<ErasureRow> = conn
        .row(
            &ERASURE_ROWS,
            &[&store.0, &key, &key.saturating_add(1), &1_i64],
        )
        .await?;
    row.map(|row| erasure_of(seal, store, row))
        .ok_or(DbError::Missing("erasure"))
}

/// Erasures of a store, newest first.
pub(super) async fn list(
    conn: &Conn,
    seal: IdSeal,
    store: StoreKey,
    before: Option<PageKey>,
    limit: usize,
) -> DbResult<Vec<Erasure>> {
    let below = before.map_or(i64::MAX, |key| key.0);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<ErasureRow> = conn
        .rows(&ERASURE_ROWS, &[&store.0, &i64::MIN, &below, &limit])
        .await?;
    let erasure = |row| erasure_of(seal, store, row);
    Ok(rows.into_iter().map(erasure).collect())
}

fn erasure_of(seal: IdSeal, store: StoreKey, row: ErasureRow) -> Erasure {
    let (key, kind, digest, who, asked_at, done_at, ..) = row;
    let (.., objects, messages, deliveries, attempts, events, copies) = row;
    Erasure {
        key: ErasureKey(key),
        id: seal.seal(key, Micros(asked_at)),
        store,
        is_customer: kind == 1,
        digest: <[u8; 16]>::try_from(digest).unwrap_or_default(),
        who,
        asked_at: Micros(asked_at),
        done_at: done_at.map(Micros),
        rows: ErasedRows {
            objects: objects.cast_unsigned(),
            messages: messages.cast_unsigned(),
            deliveries: deliveries.cast_unsigned(),
            attempts: attempts.cast_unsigned(),
            events: events.cast_unsigned(),
            copies: copies.cast_unsigned(),
        },
    }
}

/// The oldest erasure that is not done, and what its next step does.
#[derive(Debug)]
pub(super) struct Next {
    key: i64,
    store: i64,
    place: Place,
    task: Task,
}

#[derive(Debug)]
enum Task {
    /// Messages that are about nothing; entries of work whose messages are gone are done with them.
    Messages { plan: Plan, done: Vec<String> },
    /// Some of an object's messages.
    Object(Plan),
    /// No message of an object is left: its events and copies, and it is done.
    ObjectEnd(ObjectRef),
    /// Work that cannot be read, which no version of this program wrote.
    Odd { kind: String, token: String },
    /// A stretch of a table was searched: what was found, and where the search goes on.
    Searched { found: Vec<Found>, to: Place },
    /// Nothing is left.
    End,
}

/// Reads what comes next.
pub(super) async fn next(core: &Core, limit: usize) -> DbResult<Option<Next>> {
    let conn = core.read().await?;
    let next = look(&conn, limit).await?;
    conn.done();
    Ok(next)
}

async fn look(conn: &Conn, limit: usize) -> DbResult<Option<Next>> {
    type Row = (i64, i64, Option<String>, i32, i64, String, String);
    let row: Option<Row> = conn.row(&ERASURE_NEXT, &[]).await?;
    let Some((key, store, email, phase, position, at_kind, at_token)) = row else {
        return Ok(None);
    };
    let place = Place {
        phase,
        position,
        at_kind,
        at_token,
    };
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let work: Vec<(String, String)> = conn.rows(&WORK_NEXT, &[&key, &most]).await?;
    let email = email.as_deref().and_then(|text| Email::parse(text).ok());
    let task = match (work.first(), email) {
        (Some((kind, _)), _) if kind.is_empty() => {
            let mut tokens: Vec<String> = work
                .into_iter()
                .filter(|(kind, _)| kind.is_empty())
                .map(|(_, token)| token)
                .collect();
            let seqs = tokens.iter().filter_map(|token| token.parse().ok());
            let plan = Plan::of_messages(conn, store, seqs.collect()).await?;
            let later: Vec<String> = plan.later.iter().map(i64::to_string).collect();
            tokens.retain(|token| !later.contains(token));
            Task::Messages { plan, done: tokens }
        }
        (Some((kind, token)), _) => match ObjectRef::new(kind, token) {
            Ok(object) => {
                let messages =
                    messages_about(conn, StoreKey(store), &object, Some(key), limit).await?;
                if messages.is_empty() {
                    Task::ObjectEnd(object)
                } else {
                    Task::Object(Plan::of_object(conn, store, object, messages).await?)
                }
            }
            Err(_) => Task::Odd {
                kind: kind.clone(),
                token: token.clone(),
            },
        },
        (None, Some(email)) if phase < SEARCHED => {
            let stretch = search::Stretch {
                store,
                below: key,
                limit: most,
            };
            let (found, to) = stretch.search(conn, &place, &email).await?;
            Task::Searched { found, to }
        }
        (None, _) => Task::End,
    };
    Ok(Some(Next {
        key,
        store,
        place,
        task,
    }))
}

/// What one step erases and counts.
struct Eraser<'a, 't, 'c> {
    tx: &'a mut Tx<'c>,
    next: &'t Next,
    rows: ErasedRows,
    archived: Vec<(EndpointKey, DeliveryKey)>,
    now: Micros,
}

/// Does what was read, if the erasure still stands where it was.
pub(super) async fn step(
    tx: &mut Tx<'_>,
    next: &Next,
    limit: usize,
    now: Micros,
) -> DbResult<ErasureStep> {
    let waiting = match &next.task {
        Task::Messages { plan, .. } | Task::Object(plan) => plan.waiting,
        _ => 0,
    };
    let singly = tx.lanes(waiting);
    let place: Option<(i32, i64, String, String)> = tx.row(&ERASURE_PLACE, &[&next.key]).await?;
    let place = place.map(|(phase, position, at_kind, at_token)| Place {
        phase,
        position,
        at_kind,
        at_token,
    });
    let mut eraser = Eraser {
        tx,
        next,
        rows: ErasedRows::default(),
        archived: Vec::new(),
        now,
    };
    if place.as_ref() == Some(&next.place) {
        eraser.carry_out(singly, limit).await?;
        eraser.count().await?;
    }
    Ok(ErasureStep::Worked {
        archived: eraser.archived,
    })
}

impl Eraser<'_, '_, '_> {
    async fn count(&mut self) -> DbResult<()> {
        let rows = self.rows;
        if rows == ErasedRows::default() {
            return Ok(());
        }
        let numbers = [
            rows.objects,
            rows.messages,
            rows.deliveries,
            rows.attempts,
            rows.events,
            rows.copies,
        ];
        let [objects, messages, deliveries, attempts, events, copies] =
            numbers.map(u64::cast_signed);
        self.tx
            .run(
                &ERASURE_COUNT,
                &[
                    &self.next.key,
                    &objects,
                    &messages,
                    &deliveries,
                    &attempts,
                    &events,
                    &copies,
                ],
            )
            .await?;
        Ok(())
    }

    async fn carry_out(&mut self, singly: bool, limit: usize) -> DbResult<()> {
        let key = self.next.key;
        match &self.next.task {
            Task::Messages { plan, done } => {
                if self.messages(plan, singly).await? {
                    self.tx.run(&WORK_DROP, &[&key, &"", done]).await?;
                }
                Ok(())
            }
            Task::Object(plan) => self.messages(plan, singly).await.map(|_| ()),
            Task::ObjectEnd(object) => self.object_end(object, limit).await,
            Task::Odd { kind, token } => {
                self.tx
                    .run(&WORK_DROP, &[&key, kind, &[token.as_str()].as_slice()])
                    .await?;
                Ok(())
            }
            Task::Searched { found, to } => {
                self.take_down(found).await?;
                self.tx
                    .run(
                        &ERASURE_ADVANCE,
                        &[&key, &to.phase, &to.position, &to.at_kind, &to.at_token],
                    )
                    .await?;
                Ok(())
            }
            Task::End => {
                self.tx.run(&ERASURE_END, &[&key, &self.now.0]).await?;
                Ok(())
            }
        }
    }

    async fn take_down(&mut self, found: &[Found]) -> DbResult<()> {
        let (mut work, mut events) = (Vec::new(), Vec::new());
        for one in found {
            match one {
                Found::Object { kind, token } => work.push((kind.clone(), token.clone())),
                Found::Message(seq) => work.push((String::new(), seq.to_string())),
                Found::Event(seq) => events.push(*seq),
            }
        }
        work_add(self.tx, self.next.key, &work).await?;
        if !events.is_empty() {
            let gone: Option<(i64,)> = self
                .tx
                .row(&EVENTS_DROP, &[&self.next.store, &events])
                .await?;
            self.rows.events += gone.map_or(0, |(gone,)| gone.cast_unsigned());
        }
        Ok(())
    }

    /// No message is left: events and copies go, then the work.
    async fn object_end(&mut self, object: &ObjectRef, limit: usize) -> DbResult<()> {
        let (key, store) = (self.next.key, self.next.store);
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let (fold, kind, token) = (text(object.folded()), object.kind(), text(object.token()));
        let gone: Option<(i64,)> = self
            .tx
            .row(&OBJECT_EVENTS_DROP, &[&store, &fold, &kind, &key, &most])
            .await?;
        let gone = gone.map_or(0, |(gone,)| gone);
        self.rows.events += gone.cast_unsigned();
        if gone >= most {
            return Ok(());
        }
        self.copies(object.kind(), object.token()).await?;
        // Another node may have done the same.
        let done = self
            .tx
            .run(&WORK_DROP, &[&key, &kind, &[&*token].as_slice()])
            .await?;
        self.rows.objects += done;
        Ok(())
    }

    /// Copies of an object under this very name.
    async fn copies(&mut self, kind: &str, token: &str) -> DbResult<()> {
        let store = self.next.store;
        if let Some(noun) = Noun::ALL.into_iter().find(|noun| noun.name() == kind) {
            let erased = polling::erase(self.tx, StoreKey(store), noun, token).await?;
            self.rows.copies += u64::from(erased);
        }
        let token = text(token);
        for statement in [&KNOWN_FORGET, &ODD_FORGET] {
            self.rows.copies += self.tx.run(statement, &[&store, &kind, &token]).await?;
        }
        Ok(())
    }
}
