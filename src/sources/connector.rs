//! The routes of the hub connector, a gem of 2013-14 that many stores still carry (WIRE D.2): the cheapest source there is, one
//! request per page of whole documents.
//!
//! Its lists are sorted by `updated_at` upwards, without a tie-break: rows of one time come in any order, so a page of them is
//! only to be trusted when all fit on it.

use async_trait::async_trait;

use super::{
    error::SourceError,
    lister::{Key, Lister, Listing, Question, Rows, instant},
    probe::ConnectorIndex,
    shop::Shop,
    spree_v1::{Dialect, key_headers, listing},
};
use crate::{
    domain::{
        store_object::{Form, Noun},
        time::Micros,
    },
    wire::store::list::{ListPage, classic_list, index_list},
};

pub(super) struct Connector {
    pub shop: Shop,
    pub index: ConnectorIndex,
    pub nouns: Vec<Noun>,
}

impl Connector {
    async fn page(
        &self,
        noun: Noun,
        since: Micros,
        page: u32,
        per_page: u32,
    ) -> Result<(Listing, Option<u64>), SourceError> {
        let headers = key_headers(self.shop.credentials(), Dialect::Spree);
        let name = noun.collection();
        let since = ("since", instant(since));
        let (path, query) = match self.index {
            ConnectorIndex::Collections => (
                format!("api/integrator/{name}"),
                vec![
                    since,
                    ("page", page.to_string()),
                    ("per_page", per_page.to_string()),
                ],
            ),
            // One answer holds all collections: of the others as little as can be.
            ConnectorIndex::Everything => {
                let mut query = vec![since];
                for (collection, page_member, size_member) in EVERYTHING {
                    let (page, size) = if collection == noun {
                        (page, per_page)
                    } else {
                        (1, 1)
                    };
                    query.push((page_member, page.to_string()));
                    query.push((size_member, size.to_string()));
                }
                ("api/integrator".to_owned(), query)
            }
        };
        let reply = self.shop.get(&path, &query, &headers).await?;
        let list: ListPage<'_> = match self.index {
            ConnectorIndex::Collections => classic_list(&reply.text, name),
            ConnectorIndex::Everything => index_list(&reply.text, name),
        }
        .map_err(|odd| SourceError::Malformed {
            place: path.clone(),
            why: odd.to_string(),
        })?;
        let rows = listing(noun, &list, "updated_at", page, per_page, reply.store_now);
        Ok((rows, list.pages))
    }
}

/// The collections of the older index, and their paging parameters.
const EVERYTHING: [(Noun, &str, &str); 2] = [
    (Noun::Order, "orders_page", "orders_per_page"),
    (
        Noun::StockTransfer,
        "stock_transfers_page",
        "stock_transfers_per_page",
    ),
];

#[async_trait(?Send)]
impl Lister for Connector {
    fn shop(&self) -> &Shop {
        &self.shop
    }

    fn form(&self) -> Form {
        Form::Classic
    }

    fn nouns(&self) -> Vec<Noun> {
        self.nouns.clone()
    }

    fn rows(&self, _: Noun) -> Rows {
        Rows::Whole
    }

    fn max_per_page(&self) -> u32 {
        500
    }

    fn shows_single(&self, _: Noun) -> bool {
        false
    }

    async fn list(
        &self,
        noun: Noun,
        question: Question,
        page: u32,
        per_page: u32,
    ) -> Result<Listing, SourceError> {
        match question {
            Question::Since { since, .. } => Ok(self.page(noun, since, page, per_page).await?.0),
            _ => Err(SourceError::Own(
                "the connector lists by time only".to_owned(),
            )),
        }
    }

    /// The list goes upwards only, so the newest is on the last page: two requests.
    async fn newest(&self, noun: Noun, _: &'static str) -> Result<Option<Micros>, SourceError> {
        let (mut listing, pages) = self.page(noun, Micros(0), 1, 1).await?;
        if let Some(last) = pages.filter(|pages| *pages > 1) {
            let last = u32::try_from(last).unwrap_or(u32::MAX);
            listing = self.page(noun, Micros(0), last, 1).await?.0;
        }
        Ok(listing.newest())
    }

    /// There is no route for one. The core's own shows other members than the lists do, and would look like a change.
    async fn document(&self, noun: Noun, _: &Key<'_>) -> Result<String, SourceError> {
        Err(SourceError::NotFound {
            what: format!("route for a single {noun}"),
        })
    }
}
