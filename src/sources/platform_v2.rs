//! The Platform API v2 of Spree 4.3 to 5.3 (WIRE D.4): JSON:API behind an OAuth application.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde::Deserialize;

use super::{
    error::SourceError,
    lister::{Key, Listed, Lister, Listing, Question, Rows, instant, is_last},
    shop::{Credentials, Reply, Shop},
};
use crate::{
    domain::{
        store_object::{Form, Noun},
        time::Micros,
    },
    wire::store::jsonapi::{JoinedPage, join},
};

const ROOT: &str = "api/v2/platform";
/// A token is renewed this long before it expires.
const EARLY: Duration = Duration::from_secs(60);

pub(super) struct PlatformV2 {
    pub shop: Shop,
    pub token: RefCell<Option<Token>>,
}

/// An access token, and until when it is used. Measured, not dated: no clock has to agree with the shop's.
pub(super) struct Token {
    text: String,
    until: Instant,
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl PlatformV2 {
    pub fn new(shop: Shop) -> Self {
        Self {
            shop,
            token: RefCell::new(None),
        }
    }

    /// The token in hand, else a new one.
    pub async fn token(&self) -> Result<String, SourceError> {
        if let Some(token) = self
            .token
            .borrow()
            .as_ref()
            .filter(|token| token.until > Instant::now())
        {
            return Ok(token.text.clone());
        }
        let Credentials::Application { id, secret } = self.shop.credentials() else {
            return Err(SourceError::Unsupported(NEEDS_APPLICATION.to_owned()));
        };
        let asked = Instant::now();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", "admin"),
        ];
        let reply = self
            .shop
            .post_form("spree_oauth/token", &form)
            .await
            .map_err(|error| match error {
                // RFC 6749, 5.2: invalid_client may be a 400 as well as a 401.
                SourceError::Refused {
                    status: 400, says, ..
                } => SourceError::WrongKey { says },
                other => other,
            })?;
        let token: TokenReply =
            serde_json::from_str(&reply.text).map_err(|_| SourceError::Malformed {
                place: "spree_oauth/token".to_owned(),
                why: "it holds no access_token".to_owned(),
            })?;
        self.shop.learn_secret(&token.access_token);
        let lifetime = Duration::from_secs(token.expires_in.unwrap_or(3600));
        *self.token.borrow_mut() = Some(Token {
            text: token.access_token.clone(),
            until: asked + lifetime.saturating_sub(EARLY.min(lifetime / 2)),
        });
        Ok(token.access_token)
    }

    /// Gets, with a new token if the one in hand was revoked.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Reply, SourceError> {
        let had_token = self.token.borrow().is_some();
        let authorized = |token: String| [("authorization", format!("Bearer {token}"))];
        let answer = self
            .shop
            .get(path, query, &authorized(self.token().await?))
            .await;
        match answer {
            Err(SourceError::WrongKey { .. }) if had_token => {
                *self.token.borrow_mut() = None;
                self.shop
                    .get(path, query, &authorized(self.token().await?))
                    .await
            }
            other => other,
        }
    }

    async fn page(
        &self,
        noun: Noun,
        mut query: Vec<(&str, String)>,
        page: u32,
        per_page: u32,
    ) -> Result<Listing, SourceError> {
        match noun {
            Noun::Order => query.push(("filter[completed_at_not_null]", "true".to_owned())),
            Noun::Cart => query.push(("filter[completed_at_null]", "true".to_owned())),
            _ => {}
        }
        query.push(("page", page.to_string()));
        query.push(("per_page", per_page.to_string()));
        query.push(("include", includes(noun).to_owned()));
        let path = format!("{ROOT}/{}", route(noun));
        let reply = self.get(&path, &query).await?;
        let joined = joined(&path, &reply.text)?;
        Ok(Listing {
            rows: joined
                .documents
                .iter()
                .map(|document| Listed::of_value(noun, document, "updated_at"))
                .collect(),
            is_last: is_last(page, per_page, joined.pages, joined.documents.len()),
            store_now: reply.store_now,
        })
    }
}

pub(super) const NEEDS_APPLICATION: &str = "this shop speaks the Platform API (Spree 4.3 to 5.3): create an OAuth application in \
its admin (or with Spree::OauthApplication.create!(name: 'Integrator', scopes: 'admin')) and enter its client id and secret";

fn joined(path: &str, text: &str) -> Result<JoinedPage, SourceError> {
    join(text).map_err(|odd| SourceError::Malformed {
        place: path.to_owned(),
        why: odd.to_string(),
    })
}

fn route(noun: Noun) -> &'static str {
    match noun {
        Noun::Cart => "orders",
        other => other.collection(),
    }
}

fn includes(noun: Noun) -> &'static str {
    match noun {
        Noun::Order | Noun::Cart => {
            "line_items.variant,shipments,payments,billing_address,shipping_address,all_adjustments"
        }
        Noun::Product => "variants",
        _ => "",
    }
}

#[async_trait(?Send)]
impl Lister for PlatformV2 {
    fn shop(&self) -> &Shop {
        &self.shop
    }

    fn form(&self) -> Form {
        Form::Classic
    }

    fn nouns(&self) -> Vec<Noun> {
        vec![Noun::Order, Noun::Cart, Noun::User, Noun::Product]
    }

    fn rows(&self, _: Noun) -> Rows {
        Rows::Whole
    }

    /// Beyond 500 the API silently gives 25.
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
        let Question::Since { since, .. } = question else {
            return Err(SourceError::Own(
                "the Platform API is asked by time only".to_owned(),
            ));
        };
        let query = vec![
            ("filter[updated_at_gteq]", instant(since)),
            ("sort", "updated_at,id".to_owned()),
        ];
        self.page(noun, query, page, per_page).await
    }

    async fn newest(&self, noun: Noun, _: &'static str) -> Result<Option<Micros>, SourceError> {
        let listing = self
            .page(noun, vec![("sort", "-updated_at".to_owned())], 1, 1)
            .await?;
        Ok(listing.newest())
    }

    async fn document(&self, noun: Noun, key: &Key<'_>) -> Result<String, SourceError> {
        let missing = || SourceError::NotFound {
            what: format!("{noun} {}", self.shop.shown(key.token)),
        };
        let include = ("include", includes(noun).to_owned());
        let is_email = noun == Noun::User && key.token.contains('@');
        let (path, query) = if is_email {
            (
                format!("{ROOT}/users"),
                vec![("filter[email_eq]", key.token.to_owned()), include],
            )
        } else {
            let by = match noun {
                Noun::Order | Noun::Cart => key.token,
                _ => key.id,
            };
            (format!("{ROOT}/{}/{by}", route(noun)), vec![include])
        };
        let reply = self.get(&path, &query).await?;
        let mut documents = joined(&path, &reply.text)?.documents.into_iter();
        let found = documents.find(|document| {
            !is_email
                || document
                    .get("email")
                    .and_then(serde_json::Value::as_str)
                    .is_some_and(|email| email.eq_ignore_ascii_case(key.token))
        });
        found
            .map(|document| document.to_string())
            .ok_or_else(missing)
    }
}
