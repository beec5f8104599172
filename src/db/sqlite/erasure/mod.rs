//! Erasing on request, a bounded step at a time.
//!
//! An erasure is a row of `erasure` and its list of work, `erasure_work`: objects, and messages that are about nothing. A
//! step takes one entry of work and erases some of its messages; an object's entry goes when no message older than the
//! erasure is left on its timeline, with its events and copies. When the list is empty, an erasure of a customer searches the next
//! stretch of a table for the address, which adds to the list. Place and list move in the transaction that erases, so a
//! crash loses nothing and repeats nothing.
//!
//! Reading happens on a reader's connection; the writer checks that the erasure stands where it was read.

use diesel::{connection::SimpleConnection, sqlite::SqliteConnection};

use super::{
    fault::fault,
    message::fit_in_memory,
    objects::messages_about,
    people, polling,
    session::Session,
    statement::{Command, Question, key_list, statements},
};
use crate::{
    db::{DbError, DbResult, ErasedRows, Erasure, ErasureStep, NewAudit, NewErasure, PageKey},
    domain::{
        erasure::{Email, ErasureSubject, Mention, mention, stands_in},
        id::IdSeal,
        key::{DeliveryKey, EndpointKey, ErasureKey, StoreKey},
        reference::ObjectRef,
        store_object::Noun,
        time::Micros,
    },
};

pub(super) mod message;

type ErasureRow = (
    (i64, i64, i64, Vec<u8>, String, i64, Option<i64>),
    (i64, i64, i64, i64, i64, i64),
);

statements! {
    /// Takes down what is to be erased.
    ErasureInsert<'a> {
        key: i64, store: i64, kind: i64, digest: &'a [u8], who: &'a str, at: i64, email: Option<&'a str>, phase: i64,
    } = "INSERT INTO erasure (key, store, kind, digest, who, asked_at, email, phase, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, -1)";
    /// An erasure of the same that is not done.
    ErasureRunning<'a> { store: i64, digest: &'a [u8] } -> i64 =
        "SELECT key FROM erasure WHERE done_at IS NULL AND store = ?1 AND digest = ?2";
    /// Erasures of a store.
    ErasureRows { store: i64, least: i64, below: i64, limit: i64 } -> ErasureRow =
        "SELECT key, store, kind, digest, who, asked_at, done_at, objects, messages, deliveries, attempts, events, copies
         FROM erasure WHERE store = ?1 AND key >= ?2 AND key < ?3 ORDER BY key DESC LIMIT ?4";
    /// The oldest erasure that is not done.
    ErasureNext {} -> (i64, i64, Option<String>, i64, i64) =
        "SELECT key, store, email, phase, position FROM erasure WHERE done_at IS NULL ORDER BY key LIMIT 1";
    /// Where an erasure stands.
    ErasurePlace { key: i64 } -> (i64, i64) = "SELECT phase, position FROM erasure WHERE key = ?1 AND done_at IS NULL";
    /// An erasure has come further.
    ErasureAdvance { key: i64, phase: i64, position: i64 } = "UPDATE erasure SET phase = ?2, position = ?3 WHERE key = ?1";
    /// Counts what was erased.
    ErasureCount { key: i64, objects: i64, messages: i64, deliveries: i64, attempts: i64, events: i64, copies: i64 } =
        "UPDATE erasure SET objects = objects + ?2, messages = messages + ?3, deliveries = deliveries + ?4, attempts = attempts + ?5,
         events = events + ?6, copies = copies + ?7 WHERE key = ?1";
    /// An erasure is done: what it was about goes.
    ErasureEnd { key: i64, at: i64 } = "UPDATE erasure SET done_at = ?2, email = NULL WHERE key = ?1 AND done_at IS NULL";
    /// Adds to the work.
    WorkInsert<'a> { erasure: i64, kind: &'a str, token: &'a str } =
        "INSERT OR IGNORE INTO erasure_work (erasure, kind, token) VALUES (?1, ?2, ?3)";
    /// What is to be done next: messages first, they are done at once.
    WorkNext { erasure: i64, limit: i64 } -> (String, String) =
        "SELECT kind, token FROM erasure_work WHERE erasure = ?1 ORDER BY kind, token LIMIT ?2";
    /// Work that is done.
    WorkDrop<'a> { erasure: i64, kind: &'a str, token: &'a str } =
        "DELETE FROM erasure_work WHERE erasure = ?1 AND kind = ?2 AND token = ?3";
    /// The next messages, with their stores.
    MessagesAfter { after: i64, below: i64, limit: i64 } -> (i64, i64) =
        "SELECT seq, store FROM message WHERE seq > ?1 AND seq < ?2 ORDER BY seq LIMIT ?3";
    /// What messages are about and say.
    MessageTexts<'a> { keys: &'a str } -> (i64, Option<String>, Option<String>, Option<String>, String) =
        "SELECT seq, object_type, object_token, extra, payload FROM message WHERE seq IN (SELECT value FROM json_each(?1)) ORDER BY seq";
    /// The next snapshots, whole those of a store.
    SnapshotsAfter { after: i64, below: i64, limit: i64, store: i64 } -> (i64, i64, String, String, Option<String>) =
        "SELECT key, store, noun, token, CASE WHEN store = ?4 THEN raw END FROM snapshot WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3";
    /// The next known objects, whole those of a store.
    KnownAfter { after: i64, below: i64, limit: i64, store: i64 } -> (i64, i64, String, String, Option<String>) =
        "SELECT key, store, kind, token, CASE WHEN store = ?4 THEN raw END FROM known_object WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3";
    /// The next events.
    EventsAfter { after: i64, below: i64, limit: i64 } -> (i64, i64, String, String, Option<String>) =
        "SELECT seq, store, subject, description, attributes FROM event WHERE seq > ?1 AND seq < ?2 ORDER BY seq LIMIT ?3";
    /// Events by key.
    EventsDrop<'a> { keys: &'a str } = "DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?1))";
    /// Events about an object.
    ObjectEventsDrop<'a> { store: i64, token: &'a str, kind: &'a str, below: i64, limit: i64 } =
        "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE store = ?1 AND ref_fold = ?2 AND ref_type = ?3 AND seq < ?4 LIMIT ?5)";
    /// Forgets a known object.
    KnownDrop<'a> { store: i64, kind: &'a str, token: &'a str } =
        "DELETE FROM known_object WHERE store = ?1 AND kind = ?2 AND token = ?3";
    /// Forgets that a document was set aside.
    OddForget<'a> { store: i64, noun: &'a str, token: &'a str } =
        "DELETE FROM set_aside WHERE store = ?1 AND noun = ?2 AND token = ?3";
}

/// What is searched for a customer's address, in this order. The numbers are stored.
const MESSAGES: i64 = 0;
const SNAPSHOTS: i64 = 1;
const KNOWN: i64 = 2;
const EVENTS: i64 = 3;
/// Nothing is left to search.
const SEARCHED: i64 = 4;

/// Takes down what is to be erased.
pub(super) fn insert(session: &mut Session, new: &NewErasure, now: Micros) -> DbResult<Erasure> {
    let digest = new.subject.digest(new.store);
    let running = ErasureRunning {
        store: new.store.0,
        digest: &digest,
    };
    if let Some(key) = running.row(&mut session.conn)? {
        return read(&mut session.conn, session.seal, new.store, key);
    }
    let key = session.next();
    let (kind, email, phase) = match &new.subject {
        ErasureSubject::Object(_) => (0, None, SEARCHED),
        ErasureSubject::Customer(email) => (1, Some(email.as_str()), MESSAGES),
    };
    ErasureInsert {
        key,
        store: new.store.0,
        kind,
        digest: &digest,
        who: &new.who,
        at: now.0,
        email,
        phase,
    }
    .run(&mut session.conn)?;
    match &new.subject {
        ErasureSubject::Object(object) => work_add(session, key, object.kind(), object.token())?,
        ErasureSubject::Customer(email) => {
            for kind in ["user", "customer"] {
                work_add(session, key, kind, email.as_str())?;
            }
        }
    }
    let what = if kind == 0 { "object" } else { "customer" };
    let entry = NewAudit {
        store: Some(new.store),
        who: new.who.clone(),
        action: "erased".into(),
        subject: format!("{what} with the digest {}", hex::encode(digest)),
        was: None,
        is: None,
    };
    people::audit_insert(session, &[entry], now)?;
    read(&mut session.conn, session.seal, new.store, key)
}

fn work_add(session: &mut Session, erasure: i64, kind: &str, token: &str) -> DbResult<()> {
    WorkInsert {
        erasure,
        kind,
        token,
    }
    .run(&mut session.conn)?;
    Ok(())
}

fn read(conn: &mut SqliteConnection, seal: IdSeal, store: StoreKey, key: i64) -> DbResult<Erasure> {
    let row = ErasureRows {
        store: store.0,
        least: key,
        below: key.saturating_add(1),
        limit: 1,
    }
    .row(conn)?;
    row.map(|row| erasure_of(seal, row))
        .ok_or(DbError::Missing("erasure"))
}

/// Erasures of a store, newest first.
pub(super) fn list(
    conn: &mut SqliteConnection,
    seal: IdSeal,
    store: StoreKey,
    before: Option<PageKey>,
    limit: usize,
) -> DbResult<Vec<Erasure>> {
    let rows = ErasureRows {
        store: store.0,
        least: i64::MIN,
        below: before.map_or(i64::MAX, |key| key.0),
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
    }
    .rows(conn)?;
    Ok(rows.into_iter().map(|row| erasure_of(seal, row)).collect())
}

fn erasure_of(seal: IdSeal, row: ErasureRow) -> Erasure {
    let ((key, store, kind, digest, who, asked_at, done_at), counts) = row;
    let (objects, messages, deliveries, attempts, events, copies) = counts;
    Erasure {
        key: ErasureKey(key),
        id: seal.seal(key, Micros(asked_at)),
        store: StoreKey(store),
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
    phase: i64,
    position: i64,
    task: Task,
}

#[derive(Debug)]
enum Task {
    /// Messages by their numbers, that are about nothing.
    Messages(Vec<i64>),
    /// Some of an object's messages; none: its events and copies, and it is done.
    Object {
        object: ObjectRef,
        messages: Vec<i64>,
    },
    /// Work that cannot be read, which no version of this program wrote.
    Odd { kind: String, token: String },
    /// A stretch of a table was searched: what was found, and where it ended (`None`: at the table's end).
    Searched {
        found: Vec<Found>,
        up_to: Option<i64>,
    },
    /// Nothing is left.
    End,
}

/// What a search came upon.
#[derive(Debug)]
enum Found {
    Object { kind: String, token: String },
    Message(i64),
    Event(i64),
}

/// Reads what comes next.
pub(super) fn next(conn: &mut SqliteConnection, limit: usize) -> DbResult<Option<Next>> {
    let Some((key, store, email, phase, position)) = (ErasureNext {}).row(conn)? else {
        return Ok(None);
    };
    let work = WorkNext {
        erasure: key,
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
    }
    .rows(conn)?;
    let email = email.as_deref().and_then(|text| Email::parse(text).ok());
    let task = match (work.first(), email) {
        (Some((kind, _)), _) if kind.is_empty() => Task::Messages(
            work.iter()
                .filter(|(kind, _)| kind.is_empty())
                .filter_map(|(_, token)| token.parse().ok())
                .collect(),
        ),
        (Some((kind, token)), _) => match ObjectRef::new(kind, token) {
            Ok(object) => {
                let messages = messages_about(conn, StoreKey(store), &object, Some(key), limit)?;
                Task::Object { object, messages }
            }
            Err(_) => Task::Odd {
                kind: kind.clone(),
                token: token.clone(),
            },
        },
        (None, Some(email)) if phase < SEARCHED => {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let stretch = Stretch {
                store,
                after: position,
                below: key,
                limit,
            };
            let (found, up_to) = stretch.search(conn, phase, &email)?;
            Task::Searched { found, up_to }
        }
        (None, _) => Task::End,
    };
    Ok(Some(Next {
        key,
        store,
        phase,
        position,
        task,
    }))
}

/// A part of a table.
struct Stretch {
    store: i64,
    after: i64,
    below: i64,
    limit: i64,
}

impl Stretch {
    fn search(
        &self,
        conn: &mut SqliteConnection,
        phase: i64,
        email: &Email,
    ) -> DbResult<(Vec<Found>, Option<i64>)> {
        let (after, below, limit, store) = (self.after, self.below, self.limit, self.store);
        match phase {
            MESSAGES => self.search_messages(conn, email),
            SNAPSHOTS => {
                let rows = SnapshotsAfter {
                    after,
                    below,
                    limit,
                    store,
                }
                .rows(conn)?;
                Ok(self.copies(rows, email))
            }
            KNOWN => {
                let rows = KnownAfter {
                    after,
                    below,
                    limit,
                    store,
                }
                .rows(conn)?;
                Ok(self.copies(rows, email))
            }
            EVENTS => {
                let rows = EventsAfter {
                    after,
                    below,
                    limit,
                }
                .rows(conn)?;
                let up_to = self.end(rows.len(), rows.last().map(|row| row.0));
                let names = |text: &str| stands_in(text, email);
                let found = rows
                    .into_iter()
                    .filter(|(_, of, subject, description, attributes)| {
                        *of == store
                            && (names(subject)
                                || names(description)
                                || attributes.as_deref().is_some_and(names))
                    })
                    .map(|row| Found::Event(row.0))
                    .collect();
                Ok((found, up_to))
            }
            _ => Ok((Vec::new(), None)),
        }
    }

    fn search_messages(
        &self,
        conn: &mut SqliteConnection,
        email: &Email,
    ) -> DbResult<(Vec<Found>, Option<i64>)> {
        let mut rows = MessagesAfter {
            after: self.after,
            below: self.below,
            limit: self.limit,
        }
        .rows(conn)?;
        let full = rows.len();
        let keys: Vec<i64> = rows.iter().map(|row| row.0).collect();
        rows.truncate(fit_in_memory(conn, &keys, &keys)?);
        let up_to = if rows.len() < full {
            rows.last().map(|row| row.0)
        } else {
            self.end(full, rows.last().map(|row| row.0))
        };
        let own = key_list(
            rows.iter()
                .filter(|row| row.1 == self.store)
                .map(|row| row.0),
        );
        let mut found = Vec::new();
        for (seq, kind, token, extra, payload) in (MessageTexts { keys: &own }).rows(conn)? {
            let beside = extra.map_or(Mention::None, |extra| mention(&extra, email));
            match (mention(&payload, email).max(beside), kind, token) {
                (Mention::None, ..) => {}
                (Mention::AsCustomer, Some(kind), Some(token)) => {
                    found.push(Found::Object { kind, token });
                }
                (Mention::AsCustomer | Mention::Somewhere, ..) => found.push(Found::Message(seq)),
            }
        }
        Ok((found, up_to))
    }

    /// Copies of objects: any mention there means the object.
    fn copies(
        &self,
        rows: Vec<(i64, i64, String, String, Option<String>)>,
        email: &Email,
    ) -> (Vec<Found>, Option<i64>) {
        let up_to = self.end(rows.len(), rows.last().map(|row| row.0));
        let found = rows
            .into_iter()
            .filter(|(_, of, _, token, raw)| {
                *of == self.store
                    && (token.to_lowercase() == email.as_str()
                        || raw
                            .as_deref()
                            .is_some_and(|raw| mention(raw, email) == Mention::AsCustomer))
            })
            .map(|(_, _, kind, token, _)| Found::Object { kind, token })
            .collect();
        (found, up_to)
    }

    fn end(&self, rows: usize, last: Option<i64>) -> Option<i64> {
        last.filter(|_| i64::try_from(rows).is_ok_and(|rows| rows >= self.limit))
    }
}

/// What one step erases and counts.
struct Eraser<'a> {
    session: &'a mut Session,
    key: i64,
    store: i64,
    rows: ErasedRows,
    archived: Vec<(EndpointKey, DeliveryKey)>,
    now: Micros,
}

/// Does what was read, if the erasure still stands where it was.
pub(super) fn step(
    session: &mut Session,
    next: &Next,
    limit: usize,
    now: Micros,
) -> DbResult<ErasureStep> {
    if (ErasurePlace { key: next.key }).row(&mut session.conn)? != Some((next.phase, next.position))
    {
        return Ok(ErasureStep::Worked {
            archived: Vec::new(),
        });
    }
    session.forget_messages();
    // What is freed is overwritten with zeros, so that nothing of it stays in the file.
    session
        .conn
        .batch_execute("PRAGMA secure_delete = ON")
        .map_err(fault)?;
    let mut eraser = Eraser {
        session,
        key: next.key,
        store: next.store,
        rows: ErasedRows::default(),
        archived: Vec::new(),
        now,
    };
    let outcome = eraser.carry_out(next, limit);
    let (rows, archived) = (eraser.rows, eraser.archived);
    session
        .conn
        .batch_execute("PRAGMA secure_delete = OFF")
        .map_err(fault)?;
    outcome?;
    ErasureCount {
        key: next.key,
        objects: rows.objects.cast_signed(),
        messages: rows.messages.cast_signed(),
        deliveries: rows.deliveries.cast_signed(),
        attempts: rows.attempts.cast_signed(),
        events: rows.events.cast_signed(),
        copies: rows.copies.cast_signed(),
    }
    .run(&mut session.conn)?;
    Ok(ErasureStep::Worked { archived })
}

impl Eraser<'_> {
    fn carry_out(&mut self, next: &Next, limit: usize) -> DbResult<()> {
        match &next.task {
            Task::Messages(messages) => {
                for seq in messages {
                    self.message(*seq, None)?;
                    self.work_done("", &seq.to_string())?;
                }
                Ok(())
            }
            Task::Object { object, messages } if messages.is_empty() => {
                self.object_end(object, limit)
            }
            Task::Object { object, messages } => messages
                .iter()
                .try_for_each(|seq| self.message(*seq, Some(object))),
            Task::Odd { kind, token } => self.work_done(kind, token),
            Task::Searched { found, up_to } => {
                self.take_down(found)?;
                let (phase, position) =
                    up_to.map_or((next.phase + 1, -1), |up_to| (next.phase, up_to));
                ErasureAdvance {
                    key: self.key,
                    phase,
                    position,
                }
                .run(&mut self.session.conn)?;
                Ok(())
            }
            Task::End => {
                ErasureEnd {
                    key: self.key,
                    at: self.now.0,
                }
                .run(&mut self.session.conn)?;
                Ok(())
            }
        }
    }

    fn take_down(&mut self, found: &[Found]) -> DbResult<()> {
        let mut events = Vec::new();
        for one in found {
            match one {
                Found::Object { kind, token } => work_add(self.session, self.key, kind, token)?,
                Found::Message(seq) => work_add(self.session, self.key, "", &seq.to_string())?,
                Found::Event(seq) => events.push(*seq),
            }
        }
        if !events.is_empty() {
            let keys = key_list(events);
            let gone = EventsDrop { keys: &keys }.run(&mut self.session.conn)?;
            self.rows.events += gone as u64;
        }
        Ok(())
    }

    /// No message is left: events and copies go, then the work.
    fn object_end(&mut self, object: &ObjectRef, limit: usize) -> DbResult<()> {
        let events = ObjectEventsDrop {
            store: self.store,
            token: object.folded(),
            kind: object.kind(),
            below: self.key,
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        }
        .run(&mut self.session.conn)?;
        self.rows.events += events as u64;
        if events >= limit {
            return Ok(());
        }
        self.copies(object.kind(), object.token())?;
        self.rows.objects += 1;
        self.work_done(object.kind(), object.token())
    }

    /// Copies of an object under this very name.
    fn copies(&mut self, kind: &str, token: &str) -> DbResult<()> {
        let store = self.store;
        if let Some(noun) = Noun::ALL.into_iter().find(|noun| noun.name() == kind) {
            let erased = polling::erase(self.session, StoreKey(store), noun, token)?;
            self.rows.copies += u64::from(erased);
        }
        let known = KnownDrop { store, kind, token }.run(&mut self.session.conn)?;
        let noun = kind;
        let odd = OddForget { store, noun, token }.run(&mut self.session.conn)?;
        self.rows.copies += (known + odd) as u64;
        Ok(())
    }

    fn work_done(&mut self, kind: &str, token: &str) -> DbResult<()> {
        WorkDrop {
            erasure: self.key,
            kind,
            token,
        }
        .run(&mut self.session.conn)?;
        Ok(())
    }
}
