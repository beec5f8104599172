//! The Admin API v3 of Spree 5.5 and later (WIRE D.6).
//!
//! Its documented `sort=a,b` keeps the first key only and sorts it upwards whatever its sign; so a single key goes in `sort`,
//! and two go to Ransack as `q[s][]`. At most 100 rows a page; 300 requests a minute per key in 5.5, 600 in 5.6.

use async_trait::async_trait;

use super::{
    error::SourceError,
    lister::{Key, Lister, Listing, Question, Rows, instant},
    shop::{Credentials, Shop},
    spree_v1::{base_query, listing},
};
use crate::{
    domain::{
        store_object::{Form, Noun},
        time::Micros,
    },
    wire::store::list::v3_list,
};

pub(super) const ROOT: &str = "api/v3/admin";

pub(super) struct AdminV3 {
    pub shop: Shop,
}

pub(super) fn key_header(credentials: &Credentials) -> Vec<(&'static str, String)> {
    match credentials {
        Credentials::Key(key) => vec![("x-spree-api-key", key.clone())],
        Credentials::Application { .. } => Vec::new(),
    }
}

fn route(noun: Noun) -> &'static str {
    match noun {
        Noun::Cart => "orders",
        Noun::User => "customers",
        other => other.collection(),
    }
}

fn expand(noun: Noun) -> Option<(&'static str, String)> {
    match noun {
        Noun::Order | Noun::Cart => {
            Some("items.variant,fulfillments,payments,billing_address,shipping_address,customer")
        }
        Noun::Product => Some("variants"),
        _ => None,
    }
    .map(|parts| ("expand", parts.to_owned()))
}

impl AdminV3 {
    async fn page(
        &self,
        noun: Noun,
        mut query: Vec<(&'static str, String)>,
        page: u32,
        per_page: u32,
    ) -> Result<Listing, SourceError> {
        query.extend(base_query(noun));
        query.extend(expand(noun));
        query.push(("page", page.to_string()));
        query.push(("limit", per_page.to_string()));
        let path = format!("{ROOT}/{}", route(noun));
        let reply = self
            .shop
            .get(&path, &query, &key_header(self.shop.credentials()))
            .await?;
        let list = v3_list(&reply.text).map_err(|odd| SourceError::Malformed {
            place: path,
            why: odd.to_string(),
        })?;
        Ok(listing(
            noun,
            &list,
            "updated_at",
            page,
            per_page,
            reply.store_now,
        ))
    }
}

#[async_trait(?Send)]
impl Lister for AdminV3 {
    fn shop(&self) -> &Shop {
        &self.shop
    }

    fn form(&self) -> Form {
        Form::AdminV3
    }

    fn nouns(&self) -> Vec<Noun> {
        vec![Noun::Order, Noun::Cart, Noun::User, Noun::Product]
    }

    fn rows(&self, _: Noun) -> Rows {
        Rows::Whole
    }

    fn max_per_page(&self) -> u32 {
        100
    }

    async fn list(
        &self,
        noun: Noun,
        question: Question,
        page: u32,
        per_page: u32,
    ) -> Result<Listing, SourceError> {
        let Question::Since { since, .. } = question else {
            return Err(SourceError::Own(
                "the Admin API is asked by time only".to_owned(),
            ));
        };
        let query = vec![
            ("q[updated_at_gteq]", instant(since)),
            ("q[s][]", "updated_at asc".to_owned()),
            ("q[s][]", "id asc".to_owned()),
        ];
        self.page(noun, query, page, per_page).await
    }

    async fn newest(&self, noun: Noun, _: &'static str) -> Result<Option<Micros>, SourceError> {
        let listing = self
            .page(noun, vec![("sort", "-updated_at".to_owned())], 1, 1)
            .await?;
        Ok(listing.newest())
    }

    /// By the shop's own id where that is known, else through the search.
    async fn document(&self, noun: Noun, key: &Key<'_>) -> Result<String, SourceError> {
        let by = match noun {
            Noun::Order | Noun::Cart if !key.id.starts_with("or_") => Some("q[number_eq]"),
            Noun::User if key.id.contains('@') => Some("q[email_eq]"),
            _ => None,
        };
        let Some(filter) = by else {
            let path = format!("{ROOT}/{}/{}", route(noun), key.id);
            let query: Vec<_> = expand(noun).into_iter().collect();
            return Ok(self
                .shop
                .get(&path, &query, &key_header(self.shop.credentials()))
                .await?
                .text);
        };
        let listing = self.page_of_any(noun, filter, key.token).await?;
        listing
            .rows
            .into_iter()
            .find(|listed| {
                listed
                    .row
                    .as_ref()
                    .is_ok_and(|row| row.token.eq_ignore_ascii_case(key.token))
            })
            .map(|listed| listed.raw)
            .ok_or_else(|| SourceError::NotFound {
                what: format!("{noun} {}", self.shop.shown(key.token)),
            })
    }
}

impl AdminV3 {
    async fn page_of_any(
        &self,
        noun: Noun,
        filter: &'static str,
        token: &str,
    ) -> Result<Listing, SourceError> {
        self.page(noun, vec![(filter, token.to_owned())], 1, 5)
            .await
    }
}
