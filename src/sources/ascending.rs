//! Changes of shops that list them by time.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{
    Collection, Cursor, Fate, Fetched, Limits, Page, Progress, SetAside, Source, Versions,
    ascent::{Ascent, Disorder, Sizes, Stamp, Step},
    error::SourceError,
    lister::{Key, Listed, Lister, Listing, Question, Rows, belongs, whole},
};
use crate::domain::{
    store_object::{Noun, Sight, StoreDocument},
    time::Micros,
};

/// How many polls ask again for a document that the shop could not show.
const TRIES: u8 = 8;
/// How many such documents are remembered.
const RETRIES_MAX: usize = 200;

/// A source that asks for what changed since its mark.
pub(super) struct Ascending {
    pub lister: Box<dyn Lister>,
}

/// Where it stands. `start` is what [`Cursor::since`] writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    ascent: Ascent,
    first_mark: Option<i64>,
    /// During the first poll: rows up to here were there before it.
    listed_up_to: Option<i64>,
    retries: Vec<Retry>,
}

/// A document that the shop could not show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Retry {
    token: String,
    id: String,
    tries: u8,
}

/// How a cursor begins.
pub(super) enum Start {
    Now,
    Since(Micros),
    Stored,
}

pub(super) fn start_of(cursor: &Cursor) -> Start {
    match cursor.to_json() {
        serde_json::Value::Null => Start::Now,
        value => match value.get("since").and_then(serde_json::Value::as_i64) {
            Some(since) => Start::Since(Micros(since)),
            None => Start::Stored,
        },
    }
}

#[async_trait(?Send)]
impl Source for Ascending {
    fn collections(&self) -> Vec<Collection> {
        collections(self.lister.as_ref())
    }

    async fn poll_page(
        &self,
        noun: Noun,
        cursor: &Cursor,
        limits: &Limits,
        versions: &dyn Versions,
    ) -> Result<Page, SourceError> {
        let lister = self.lister.as_ref();
        let before = lister.shop().requests();
        let mut state = self.state(noun, cursor, limits).await?;
        let mut set_aside = Vec::new();
        let mut wanted = Vec::new();
        if !state.ascent.is_reading() {
            wanted.append(&mut state.retries);
        }
        let sizes = sizes(limits, lister);
        let (fresh, step) = climb(
            lister,
            noun,
            "updated_at",
            &mut state.ascent,
            &sizes,
            &mut set_aside,
        )
        .await?;
        let mut documents = Vec::new();
        let mut changed = Vec::new();
        for found in fresh {
            match state.listed_up_to {
                Some(listed) if found.at.0 <= listed => documents.push(found.listed(lister, noun)),
                _ => changed.push(found),
            }
        }
        let known = unchanged(noun, &changed, versions).await?;
        let mut places = known.into_iter();
        // Where a row is the document, its text decides; where it is less, a known time spares the request.
        changed.retain(|_| !places.next().unwrap_or(false) || lister.rows(noun) == Rows::Whole);
        for found in changed {
            match lister.rows(noun) {
                Rows::Whole => documents.push(found.changed(lister, noun)),
                Rows::Partial => wanted.push(Retry::first(found)),
            }
        }
        fetch(
            lister,
            noun,
            wanted,
            limits,
            &mut documents,
            &mut state.retries,
            &mut set_aside,
        )
        .await?;
        if step == Step::CaughtUp {
            state.listed_up_to = None;
        }
        documents.retain(belongs);
        Ok(Page {
            documents,
            progress: progress(step),
            requests: lister.shop().requests() - before,
            set_aside,
            first_mark: state.first_mark.map(Micros),
            mark: Some(state.ascent.mark()),
            remaining: lister.shop().remaining(),
            next: stored(&state)?,
        })
    }

    async fn fetch_one(&self, noun: Noun, token: &str) -> Result<Fetched, SourceError> {
        if !self.lister.shows_single(noun) {
            return Ok(Fetched::OnlyInLists);
        }
        fetch_one(self.lister.as_ref(), noun, token).await
    }
}

impl Ascending {
    async fn state(
        &self,
        noun: Noun,
        cursor: &Cursor,
        limits: &Limits,
    ) -> Result<State, SourceError> {
        let (from, first_mark, listed_up_to) = match start_of(cursor) {
            Start::Stored => return read(cursor),
            Start::Since(since) => (since, Some(since.0), None),
            // Everything dated within the overlap is noted silently, so that what commits late stands out as new.
            Start::Now => match self.lister.newest(noun, "updated_at").await? {
                Some(newest) => {
                    let from = newest.minus(limits.overlap);
                    (from, Some(from.0), Some(newest.0))
                }
                None => (Micros(0), None, None),
            },
        };
        Ok(State {
            ascent: Ascent::starting(from),
            first_mark,
            listed_up_to,
            retries: Vec::new(),
        })
    }
}

/// A row that was not seen before.
pub(super) struct Fresh {
    pub token: String,
    pub id: String,
    pub updated_at: String,
    pub at: Micros,
    pub raw: String,
}

impl Fresh {
    pub fn listed(self, lister: &dyn Lister, noun: Noun) -> StoreDocument {
        StoreDocument {
            sight: Sight::Listed,
            ..self.changed(lister, noun)
        }
    }

    pub fn changed(self, lister: &dyn Lister, noun: Noun) -> StoreDocument {
        StoreDocument {
            noun,
            form: lister.form(),
            token: self.token,
            id: self.id,
            updated_at: self.updated_at,
            raw: self.raw,
            sight: Sight::Changed,
        }
    }
}

impl Retry {
    pub fn first(row: Fresh) -> Self {
        Self {
            token: row.token,
            id: row.id,
            tries: 0,
        }
    }
}

/// One page up.
pub(super) async fn climb(
    lister: &dyn Lister,
    noun: Noun,
    clock: &'static str,
    ascent: &mut Ascent,
    sizes: &Sizes,
    set_aside: &mut Vec<SetAside>,
) -> Result<(Vec<Fresh>, Step), SourceError> {
    let ask = ascent.ask(sizes);
    let question = Question::Since {
        clock,
        since: ask.since,
    };
    let listing = lister.list(noun, question, ask.page, ask.per_page).await?;
    let (is_last, store_now) = (listing.is_last, listing.store_now);
    let rows = sound(noun, listing, set_aside);
    let is_whole = lister.rows(noun) == Rows::Whole;
    let stamps: Vec<Stamp> = rows
        .iter()
        .map(|(row, raw)| Listed::stamp(row, raw, is_whole))
        .collect();
    let place = || noun.collection().to_owned();
    let (fresh, step) = ascent
        .absorb(&stamps, is_last, store_now, sizes)
        .map_err(|disorder| SourceError::Ignored {
            place: place(),
            parameter: match disorder {
                Disorder::FilterIgnored => "the filter by time",
                Disorder::SortIgnored => "the sort order",
                Disorder::PageIgnored => "the page number",
            },
        })?;
    let mut fresh = fresh.into_iter().peekable();
    let mut found = Vec::new();
    for (place, (row, raw)) in rows.into_iter().enumerate() {
        if fresh.next_if_eq(&place).is_some() {
            found.push(Fresh {
                token: row.token,
                id: row.id,
                updated_at: row.updated_at,
                at: row.at,
                raw,
            });
        }
    }
    Ok((found, step))
}

/// The rows that can be worked with; the others are set aside.
pub(super) fn sound(
    noun: Noun,
    listing: Listing,
    set_aside: &mut Vec<SetAside>,
) -> Vec<(crate::wire::store::row::Row, String)> {
    let mut rows = Vec::with_capacity(listing.rows.len());
    for listed in listing.rows {
        match listed.row {
            Ok(row) => rows.push((row, listed.raw)),
            Err(why) => set_aside.push(SetAside {
                noun,
                token: name_of(&listed.raw),
                why,
                fate: Fate::LeftAlone,
            }),
        }
    }
    rows
}

/// Whatever names an odd row.
fn name_of(raw: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(raw).unwrap_or_default();
    ["number", "id", "email", "sku"]
        .into_iter()
        .find_map(|member| value.get(member).and_then(crate::wire::store::row::text))
        .unwrap_or_else(|| "without a name".to_owned())
}

/// Of each row: is the stored snapshot of the same time or later?
pub(super) async fn unchanged(
    noun: Noun,
    rows: &[Fresh],
    versions: &dyn Versions,
) -> Result<Vec<bool>, SourceError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let tokens: Vec<String> = rows.iter().map(|row| row.token.clone()).collect();
    let known = versions
        .versions(noun, &tokens)
        .await
        .map_err(SourceError::Own)?;
    Ok(rows
        .iter()
        .zip(known)
        .map(|(row, known)| known.is_some_and(|known| is_covered(&row.updated_at, &known)))
        .collect())
}

/// Whether what is stored is newer, or as new to the fraction of a second. Whole seconds prove nothing: two changes share one.
fn is_covered(listed: &str, known: &str) -> bool {
    use crate::domain::store_object::store_time;
    match (store_time(listed), store_time(known)) {
        (Some(listed_at), Some(known_at)) => {
            known_at > listed_at || (known == listed && listed.contains('.'))
        }
        _ => false,
    }
}

/// Asks for whole documents, a few at a time. What one document is to blame for is set aside; anything else ends the page.
pub(super) async fn fetch(
    lister: &dyn Lister,
    noun: Noun,
    wanted: Vec<Retry>,
    limits: &Limits,
    documents: &mut Vec<StoreDocument>,
    retries: &mut Vec<Retry>,
    set_aside: &mut Vec<SetAside>,
) -> Result<(), SourceError> {
    let mut answers = stream::iter(wanted)
        .map(|wish| async move {
            let key = Key {
                token: &wish.token,
                id: &wish.id,
            };
            let answer = lister.document(noun, &key).await;
            (wish, answer)
        })
        .buffered(limits.in_flight.max(1));
    while let Some((mut wish, answer)) = answers.next().await {
        let outcome = match answer {
            Ok(raw) => whole(noun, lister.form(), raw),
            // Deleted since it was listed.
            Err(SourceError::NotFound { .. }) => continue,
            Err(error) if error.may_be_the_documents() => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        match outcome {
            Ok(document) => documents.push(document),
            Err(why) => {
                wish.tries += 1;
                let is_first = wish.tries == 1;
                let token = wish.token.clone();
                let fate = if wish.tries < TRIES && retries.len() < RETRIES_MAX {
                    retries.push(wish);
                    Fate::TriedAgain
                } else {
                    Fate::LeftAlone
                };
                if is_first || fate == Fate::LeftAlone {
                    set_aside.push(SetAside {
                        noun,
                        token,
                        why,
                        fate,
                    });
                }
            }
        }
    }
    Ok(())
}

pub(super) async fn fetch_one(
    lister: &dyn Lister,
    noun: Noun,
    token: &str,
) -> Result<Fetched, SourceError> {
    let odd = |why: String| {
        Fetched::Odd(SetAside {
            noun,
            token: token.to_owned(),
            why,
            fate: Fate::LeftAlone,
        })
    };
    match lister.document(noun, &Key { token, id: token }).await {
        Ok(raw) => Ok(match whole(noun, lister.form(), raw) {
            Ok(document) if belongs(&document) => Fetched::Found(Box::new(document)),
            Ok(_) => Fetched::Gone,
            Err(why) => odd(why),
        }),
        Err(SourceError::NotFound { .. }) => Ok(Fetched::Gone),
        Err(error) if error.may_be_the_documents() => Ok(odd(error.to_string())),
        Err(error) => Err(error),
    }
}

pub(super) fn collections(lister: &dyn Lister) -> Vec<Collection> {
    let of = |noun: Noun| Collection {
        noun,
        interval: noun.usual_interval(),
    };
    lister.nouns().into_iter().map(of).collect()
}

pub(super) fn sizes(limits: &Limits, lister: &dyn Lister) -> Sizes {
    Sizes {
        per_page: limits.per_page.clamp(1, lister.max_per_page()),
        max_per_page: lister.max_per_page(),
        overlap: limits.overlap,
        seen_max: limits.seen_max,
    }
}

pub(super) fn progress(step: Step) -> Progress {
    match step {
        Step::More => Progress::More,
        Step::CaughtUp => Progress::CaughtUp,
    }
}

pub(super) fn read<T: serde::de::DeserializeOwned>(cursor: &Cursor) -> Result<T, SourceError> {
    T::deserialize(cursor.to_json()).map_err(|error| {
        SourceError::Own(format!("the cursor is of another kind of source: {error}"))
    })
}

pub(super) fn stored<T: Serialize>(state: &T) -> Result<Cursor, SourceError> {
    serde_json::to_value(state)
        .map(Cursor::from_json)
        .map_err(|error| SourceError::Own(error.to_string()))
}
