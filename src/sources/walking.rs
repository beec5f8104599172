//! Changes of shops that cannot tell what changed: Solidus, and the Sprees whose search ignores `updated_at` (2.2.14 to 3.1.5).
//!
//! The first poll walks through everything once and notes each object's `updated_at`, silently. After that a poll is
//! three passes, each comparing rows with what is stored and asking only for documents that differ:
//!
//! 1. *quick*: what was completed (carts, users, products: created) since the last poll. One request as a rule: new orders are
//!    seen at once.
//! 2. *open*: orders that wait for a shipment, by shipment state. They are the ones that change. (A filter "not shipped" would
//!    lose those without any shipment state.)
//! 3. *long*: a few pages of everything, so that in the end no change is missed, without a burst.
//!
//! A walk by id loses no row but to deletions, which move the ones behind one place up; the next walk meets those.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    Collection, Cursor, Fetched, Limits, Page, Progress, SetAside, Source, Versions,
    ascending::{
        Fresh, Retry, Start, climb, collections, fetch, fetch_one, read, sizes, sound, start_of,
        stored, unchanged,
    },
    ascent::{Ascent, Step},
    error::SourceError,
    lister::{Lister, Question, belongs},
};
use crate::domain::{
    store_object::{Noun, StoreDocument, store_time},
    time::Micros,
};

/// The shipment states of orders that are not done with.
const OPEN_STATES: [&str; 4] = ["pending", "ready", "partial", "backorder"];

/// A source that compares.
pub(super) struct Walking {
    pub lister: Box<dyn Lister>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    first_mark: Option<i64>,
    quick: Ascent,
    stage: Stage,
    /// The next page of the long walk.
    long_page: u32,
    /// A backfill walks to the end once, and takes up only what changed since its beginning.
    backfill: bool,
    retries: Vec<Retry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    First { page: u32 },
    Quick,
    Open { state: usize, page: u32 },
    Long { pages_left: u32 },
}

#[async_trait(?Send)]
impl Source for Walking {
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
        let mut documents = Vec::new();
        let mut wanted = Vec::new();
        let walked;
        (state.stage, walked) = match state.stage {
            Stage::First { page } => {
                let (rows, is_last) = self
                    .rows(noun, Question::ById, page, limits, &mut set_aside)
                    .await?;
                documents.extend(rows.into_iter().map(|row| row.listed(lister, noun)));
                if is_last {
                    (opening(noun, limits), Progress::CaughtUp)
                } else {
                    (Stage::First { page: page + 1 }, Progress::More)
                }
            }
            Stage::Quick => {
                if !state.quick.is_reading() {
                    wanted.append(&mut state.retries);
                }
                let sizes = sizes(limits, lister);
                let (rows, step) = climb(
                    lister,
                    noun,
                    born(noun),
                    &mut state.quick,
                    &sizes,
                    &mut set_aside,
                )
                .await?;
                wanted.extend(self.changed(noun, rows, &state, versions).await?);
                let next = match step {
                    Step::More => Stage::Quick,
                    Step::CaughtUp if noun == Noun::Order && !state.backfill => {
                        Stage::Open { state: 0, page: 1 }
                    }
                    Step::CaughtUp => Stage::Long {
                        pages_left: limits.walk_pages,
                    },
                };
                (next, Progress::More)
            }
            Stage::Open { state: open, page } => {
                let shipment_state = OPEN_STATES.get(open).copied().unwrap_or("pending");
                let question = Question::Open { shipment_state };
                let (rows, is_last) = self
                    .rows(noun, question, page, limits, &mut set_aside)
                    .await?;
                wanted.extend(self.changed(noun, rows, &state, versions).await?);
                let next = match is_last {
                    false => Stage::Open {
                        state: open,
                        page: page + 1,
                    },
                    true if open + 1 < OPEN_STATES.len() => Stage::Open {
                        state: open + 1,
                        page: 1,
                    },
                    true => Stage::Long {
                        pages_left: limits.walk_pages,
                    },
                };
                (next, Progress::More)
            }
            Stage::Long { pages_left } => {
                if opening(noun, limits) == state.stage {
                    wanted.append(&mut state.retries);
                }
                let (rows, is_last) = self
                    .rows(
                        noun,
                        Question::ByIdDown,
                        state.long_page,
                        limits,
                        &mut set_aside,
                    )
                    .await?;
                wanted.extend(self.changed(noun, rows, &state, versions).await?);
                state.long_page = if is_last { 1 } else { state.long_page + 1 };
                let is_enough = if state.backfill {
                    is_last
                } else {
                    is_last || pages_left <= 1
                };
                if is_enough {
                    (opening(noun, limits), Progress::CaughtUp)
                } else {
                    (
                        Stage::Long {
                            pages_left: pages_left.saturating_sub(1),
                        },
                        Progress::More,
                    )
                }
            }
        };
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
        documents.retain(|document: &StoreDocument| belongs(document));
        Ok(Page {
            documents,
            progress: walked,
            requests: lister.shop().requests() - before,
            set_aside,
            first_mark: state.first_mark.map(Micros),
            mark: Some(state.quick.mark()),
            remaining: lister.shop().remaining(),
            next: stored(&state)?,
        })
    }

    async fn fetch_one(&self, noun: Noun, token: &str) -> Result<Fetched, SourceError> {
        fetch_one(self.lister.as_ref(), noun, token).await
    }
}

impl Walking {
    async fn state(
        &self,
        noun: Noun,
        cursor: &Cursor,
        limits: &Limits,
    ) -> Result<State, SourceError> {
        let (first_mark, from, stage, backfill) = match start_of(cursor) {
            Start::Stored => return read(cursor),
            Start::Since(since) => (Some(since.0), since, opening(noun, limits), true),
            Start::Now => {
                // Read before the walk: what is completed while it lasts, on a page that is done with, is news.
                let newest = match noun {
                    Noun::Order | Noun::Cart => self.lister.newest(noun, born(noun)).await?,
                    _ => self.youngest(noun).await?,
                };
                let from = newest.map_or(Micros(0), |newest| newest.minus(limits.overlap));
                (
                    newest.map(|newest| newest.0),
                    from,
                    Stage::First { page: 1 },
                    false,
                )
            }
        };
        Ok(State {
            first_mark,
            quick: Ascent::starting(from),
            stage,
            long_page: 1,
            backfill,
            retries: Vec::new(),
        })
    }

    /// When the object with the highest id was created.
    async fn youngest(&self, noun: Noun) -> Result<Option<Micros>, SourceError> {
        let listing = self.lister.list(noun, Question::ByIdDown, 1, 1).await?;
        let created_at = listing.rows.iter().filter_map(|listed| {
            let row = listed.row.as_ref().ok()?;
            store_time(row.value.get("created_at")?.as_str()?)
        });
        Ok(created_at.max())
    }

    async fn rows(
        &self,
        noun: Noun,
        question: Question,
        page: u32,
        limits: &Limits,
        set_aside: &mut Vec<SetAside>,
    ) -> Result<(Vec<Fresh>, bool), SourceError> {
        // Walks read a lot and keep little: larger pages than polls of changes.
        let per_page = limits
            .per_page
            .saturating_mul(2)
            .clamp(1, self.lister.max_per_page());
        let listing = self.lister.list(noun, question, page, per_page).await?;
        let is_last = listing.is_last || listing.rows.is_empty();
        let rows = sound(noun, listing, set_aside)
            .into_iter()
            .map(|(row, raw)| Fresh {
                token: row.token,
                id: row.id,
                updated_at: row.updated_at,
                at: row.at,
                raw,
            });
        Ok((rows.collect(), is_last))
    }

    async fn changed(
        &self,
        noun: Noun,
        mut rows: Vec<Fresh>,
        state: &State,
        versions: &dyn Versions,
    ) -> Result<Vec<Retry>, SourceError> {
        if state.backfill {
            let from = state.first_mark.unwrap_or(0);
            rows.retain(|row| store_time(&row.updated_at).is_none_or(|at| at.0 >= from));
        }
        let mut known = unchanged(noun, &rows, versions).await?.into_iter();
        rows.retain(|_| !known.next().unwrap_or(false));
        Ok(rows.into_iter().map(Retry::first).collect())
    }
}

/// The first pass of a poll. Users and products may not be searched by time at all: for them there is the long walk only.
fn opening(noun: Noun, limits: &Limits) -> Stage {
    match noun {
        Noun::Order | Noun::Cart => Stage::Quick,
        _ => Stage::Long {
            pages_left: limits.walk_pages,
        },
    }
}

/// The time by which new objects are found.
fn born(noun: Noun) -> &'static str {
    match noun {
        Noun::Order => "completed_at",
        _ => "created_at",
    }
}
