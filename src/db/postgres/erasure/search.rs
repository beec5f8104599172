//! Looking for a customer's address, a stretch of a table at a time.

use super::{
    super::{
        conn::Conn,
        message::{Spot, fit_in_memory},
        statement::statements,
    },
    EVENTS, KNOWN, MESSAGES, Place, SNAPSHOTS,
};
use crate::{
    db::DbResult,
    domain::erasure::{Email, Mention, mention, stands_in},
};

statements! {
    /// The next messages of a store.
    MESSAGES_AFTER = "SELECT seq, accepted_at FROM message WHERE store = $1 AND seq > $2 AND seq < $3 ORDER BY seq LIMIT $4";
    /// What messages are about and say.
    MESSAGE_TEXTS = "SELECT m.seq, m.object_type, m.object_token, m.extra, m.payload
        FROM unnest($1::bigint[], $2::int[]) AS u(seq, day)
        CROSS JOIN LATERAL (SELECT * FROM message WHERE store = $3 AND seq = u.seq AND day = u.day LIMIT 1) m ORDER BY m.seq";
    /// The next snapshots of a store.
    SNAPSHOTS_AFTER = "SELECT noun, token, raw FROM snapshot WHERE store = $1 AND (noun, token) > ($2, $3) ORDER BY noun, token LIMIT $4";
    /// The next known objects of a store.
    KNOWN_AFTER = "SELECT kind, token, raw FROM known_object WHERE store = $1 AND (kind, token) > ($2, $3) ORDER BY kind, token LIMIT $4";
    /// The next events of a store.
    EVENTS_AFTER = "SELECT seq, subject, description, attributes FROM event WHERE store = $1 AND seq > $2 AND seq < $3 ORDER BY seq LIMIT $4";
}

/// What a search came upon.
#[derive(Debug)]
pub(super) enum Found {
    Object { kind: String, token: String },
    Message(i64),
    Event(i64),
}

/// A part of a table.
pub(super) struct Stretch {
    pub(super) store: i64,
    /// What came after the erasure was asked for has this number or a larger one.
    pub(super) below: i64,
    /// Rows that are looked at.
    pub(super) limit: i64,
}

impl Stretch {
    /// What stands in the stretch behind a place, and the place where it ends.
    pub(super) async fn search(
        &self,
        conn: &Conn,
        place: &Place,
        email: &Email,
    ) -> DbResult<(Vec<Found>, Place)> {
        match place.phase {
            MESSAGES => self.messages(conn, place, email).await,
            SNAPSHOTS | KNOWN => self.copies(conn, place, email).await,
            EVENTS => self.events(conn, place, email).await,
            phase => Ok((Vec::new(), Place::beginning(phase + 1))),
        }
    }

    async fn messages(
        &self,
        conn: &Conn,
        place: &Place,
        email: &Email,
    ) -> DbResult<(Vec<Found>, Place)> {
        let rows: Vec<(i64, i64)> = conn
            .rows(
                &MESSAGES_AFTER,
                &[&self.store, &place.position, &self.below, &self.limit],
            )
            .await?;
        let mut spots: Vec<Spot> = rows
            .iter()
            .map(|(seq, made_at)| Spot {
                store: self.store,
                seq: *seq,
                made_at: *made_at,
            })
            .collect();
        if spots.is_empty() {
            return Ok((Vec::new(), Place::beginning(place.phase + 1)));
        }
        spots.truncate(fit_in_memory(conn, &spots).await?);
        let last = spots.last().map(|spot| spot.seq);
        let to = if spots.len() < rows.len() {
            last.map_or_else(|| place.clone(), |last| numbered(place.phase, last))
        } else {
            self.end(place.phase, rows.len(), last)
        };
        let seqs: Vec<i64> = spots.iter().map(|spot| spot.seq).collect();
        let days: Vec<i32> = spots
            .iter()
            .map(|spot| super::super::codec::day_of(spot.made_at))
            .collect();
        type Row = (i64, Option<String>, Option<String>, Option<String>, String);
        let texts: Vec<Row> = conn
            .rows(&MESSAGE_TEXTS, &[&seqs, &days, &self.store])
            .await?;
        let mut found = Vec::new();
        for (seq, kind, token, extra, payload) in texts {
            let beside = extra.map_or(Mention::None, |extra| mention(&extra, email));
            match (mention(&payload, email).max(beside), kind, token) {
                (Mention::None, ..) => {}
                (Mention::AsCustomer, Some(kind), Some(token)) => {
                    found.push(Found::Object { kind, token });
                }
                (Mention::AsCustomer | Mention::Somewhere, ..) => found.push(Found::Message(seq)),
            }
        }
        Ok((found, to))
    }

    /// Copies of objects: any mention there means the object.
    async fn copies(
        &self,
        conn: &Conn,
        place: &Place,
        email: &Email,
    ) -> DbResult<(Vec<Found>, Place)> {
        let statement = match place.phase {
            SNAPSHOTS => &SNAPSHOTS_AFTER,
            _ => &KNOWN_AFTER,
        };
        let rows: Vec<(String, String, Option<String>)> = conn
            .rows(
                statement,
                &[&self.store, &place.at_kind, &place.at_token, &self.limit],
            )
            .await?;
        let to = match rows.last() {
            Some((kind, token, _)) if self.is_full(rows.len()) => Place {
                at_kind: kind.clone(),
                at_token: token.clone(),
                ..place.clone()
            },
            _ => Place::beginning(place.phase + 1),
        };
        let found = rows
            .into_iter()
            .filter(|(_, token, raw)| {
                token.to_lowercase() == email.as_str()
                    || raw
                        .as_deref()
                        .is_some_and(|raw| mention(raw, email) == Mention::AsCustomer)
            })
            .map(|(kind, token, _)| Found::Object { kind, token })
            .collect();
        Ok((found, to))
    }

    async fn events(
        &self,
        conn: &Conn,
        place: &Place,
        email: &Email,
    ) -> DbResult<(Vec<Found>, Place)> {
        let rows: Vec<(i64, String, String, Option<String>)> = conn
            .rows(
                &EVENTS_AFTER,
                &[&self.store, &place.position, &self.below, &self.limit],
            )
            .await?;
        let to = self.end(place.phase, rows.len(), rows.last().map(|row| row.0));
        let names = |text: &str| stands_in(text, email);
        let found = rows
            .into_iter()
            .filter(|(_, subject, description, attributes)| {
                names(subject) || names(description) || attributes.as_deref().is_some_and(names)
            })
            .map(|row| Found::Event(row.0))
            .collect();
        Ok((found, to))
    }

    fn is_full(&self, rows: usize) -> bool {
        i64::try_from(rows).is_ok_and(|rows| rows >= self.limit)
    }

    fn end(&self, phase: i32, rows: usize, last: Option<i64>) -> Place {
        last.filter(|_| self.is_full(rows))
            .map_or_else(|| Place::beginning(phase + 1), |last| numbered(phase, last))
    }
}

fn numbered(phase: i32, position: i64) -> Place {
    Place {
        position,
        ..Place::beginning(phase)
    }
}
