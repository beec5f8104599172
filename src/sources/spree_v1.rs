//! The API of Spree 1.3 to 4.4 and of Solidus: `/api/orders`, from Spree 3.1 on `/api/v1/orders` (WIRE D.1, D.3).
//!
//! Lists of orders hold rows, so an order costs a second request; users and products come whole. Several sort keys go as an
//! array (`q[s][]`): joined by a comma, Ransack reads one key whose direction is garbage.

use async_trait::async_trait;

use super::{
    error::SourceError,
    lister::{Key, Listed, Lister, Listing, Question, Rows, instant, is_last},
    probe::ApiPath,
    shop::{Credentials, Shop},
};
use crate::{
    domain::{
        store_object::{Form, Noun},
        time::Micros,
    },
    wire::store::list::{ListPage, classic_list},
};

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Spree,
    Solidus,
}

pub(super) struct SpreeV1 {
    pub shop: Shop,
    pub path: ApiPath,
    pub dialect: Dialect,
}

/// The headers with the key. Solidus from 3.0 on reads `Authorization` only, before 2.10 the other one only.
pub(super) fn key_headers(
    credentials: &Credentials,
    dialect: Dialect,
) -> Vec<(&'static str, String)> {
    let Credentials::Key(key) = credentials else {
        return Vec::new();
    };
    let mut headers = vec![("x-spree-token", key.clone())];
    if dialect == Dialect::Solidus {
        headers.push(("authorization", format!("Bearer {key}")));
    }
    headers
}

/// Carts and orders are one list, told apart by their completion.
pub(super) fn base_query(noun: Noun) -> Vec<(&'static str, String)> {
    match noun {
        Noun::Order => vec![("q[completed_at_not_null]", "1".to_owned())],
        Noun::Cart => vec![("q[completed_at_null]", "1".to_owned())],
        _ => Vec::new(),
    }
}

fn list_name(noun: Noun) -> &'static str {
    match noun {
        Noun::Cart => "orders",
        other => other.collection(),
    }
}

impl SpreeV1 {
    async fn page(
        &self,
        noun: Noun,
        query: Vec<(&str, String)>,
        clock: &'static str,
        page: u32,
        per_page: u32,
    ) -> Result<Listing, SourceError> {
        let name = list_name(noun);
        let path = format!("{}/{name}", self.path.as_str());
        let reply = self
            .shop
            .get(
                &path,
                &query,
                &key_headers(self.shop.credentials(), self.dialect),
            )
            .await?;
        let list = classic_list(&reply.text, name).map_err(|odd| SourceError::Malformed {
            place: path.clone(),
            why: odd.to_string(),
        })?;
        Ok(listing(noun, &list, clock, page, per_page, reply.store_now))
    }

    fn query(&self, noun: Noun, page: u32, per_page: u32) -> Vec<(&'static str, String)> {
        let mut query = base_query(noun);
        query.push(("page", page.to_string()));
        query.push(("per_page", per_page.to_string()));
        query
    }
}

/// Rows of a list as the sources read them.
pub(super) fn listing(
    noun: Noun,
    list: &ListPage<'_>,
    clock: &'static str,
    page: u32,
    per_page: u32,
    store_now: Option<Micros>,
) -> Listing {
    Listing {
        rows: list
            .rows
            .iter()
            .map(|raw| Listed::read(noun, raw, clock))
            .collect(),
        is_last: is_last(page, per_page, list.pages, list.rows.len()),
        store_now,
    }
}

#[async_trait(?Send)]
impl Lister for SpreeV1 {
    fn shop(&self) -> &Shop {
        &self.shop
    }

    fn form(&self) -> Form {
        Form::Classic
    }

    fn nouns(&self) -> Vec<Noun> {
        vec![Noun::Order, Noun::Cart, Noun::User, Noun::Product]
    }

    fn rows(&self, noun: Noun) -> Rows {
        match noun {
            Noun::Order | Noun::Cart => Rows::Partial,
            _ => Rows::Whole,
        }
    }

    fn max_per_page(&self) -> u32 {
        500
    }

    async fn list(
        &self,
        noun: Noun,
        question: Question,
        page: u32,
        per_page: u32,
    ) -> Result<Listing, SourceError> {
        let mut query = self.query(noun, page, per_page);
        let clock = match question {
            Question::Since { clock, since } => {
                let filter = match clock {
                    "completed_at" => "q[completed_at_gteq]",
                    "created_at" => "q[created_at_gteq]",
                    _ => "q[updated_at_gteq]",
                };
                query.push((filter, instant(since)));
                query.push(("q[s][]", format!("{clock} asc")));
                query.push(("q[s][]", "id asc".to_owned()));
                clock
            }
            Question::ById => {
                query.push(("q[s]", "id asc".to_owned()));
                "updated_at"
            }
            Question::ByIdDown => {
                query.push(("q[s]", "id desc".to_owned()));
                "updated_at"
            }
            Question::Open { shipment_state } => {
                query.push(("q[state_eq]", "complete".to_owned()));
                query.push(("q[shipment_state_eq]", shipment_state.to_owned()));
                query.push(("q[s]", "id asc".to_owned()));
                "updated_at"
            }
        };
        self.page(noun, query, clock, page, per_page).await
    }

    async fn newest(&self, noun: Noun, clock: &'static str) -> Result<Option<Micros>, SourceError> {
        let mut query = self.query(noun, 1, 1);
        query.push(("q[s]", format!("{clock} desc")));
        let listing = self.page(noun, query, clock, 1, 1).await?;
        Ok(listing.newest())
    }

    async fn document(&self, noun: Noun, key: &Key<'_>) -> Result<String, SourceError> {
        let headers = key_headers(self.shop.credentials(), self.dialect);
        let is_id = key.id != key.token || key.id.bytes().all(|byte| byte.is_ascii_digit());
        let (name, by) = match noun {
            Noun::Order | Noun::Cart => ("orders", key.token),
            Noun::User | Noun::Product if is_id => (noun.collection(), key.id),
            // A user by e-mail, a product by SKU: through the search.
            Noun::User => return self.search(noun, "q[email_eq]", key.token).await,
            Noun::Product => {
                return self
                    .search(noun, "q[variants_including_master_sku_eq]", key.token)
                    .await;
            }
            _ => {
                return Err(SourceError::NotFound {
                    what: noun.collection().to_owned(),
                });
            }
        };
        let path = format!("{}/{name}/{by}", self.path.as_str());
        Ok(self.shop.get(&path, &[], &headers).await?.text)
    }
}

impl SpreeV1 {
    async fn search(
        &self,
        noun: Noun,
        filter: &'static str,
        token: &str,
    ) -> Result<String, SourceError> {
        let mut query = self.query(noun, 1, 5);
        query.push((filter, token.to_owned()));
        let listing = self.page(noun, query, "updated_at", 1, 5).await?;
        // The filter may have been ignored: only a row of that very token is the one.
        let is_it = |listed: &Listed| {
            listed
                .row
                .as_ref()
                .is_ok_and(|row| row.token.eq_ignore_ascii_case(token))
        };
        listing
            .rows
            .into_iter()
            .find(is_it)
            .map(|listed| listed.raw)
            .ok_or_else(|| SourceError::NotFound {
                what: format!("{noun} {}", self.shop.shown(token)),
            })
    }
}
