//! Finding out which shop this is, with a few harmless requests, and saying why.
//!
//! The cheapest source first: the connector, then the API of Spree 1.3 to 4.4 under both its addresses (Solidus shares one),
//! then the Admin API; a key that begins with `sk_` can only be the latter's. With an OAuth application there is only the
//! Platform API. A shop with an API of none of these kinds (Spree 5.4 has but the one for storefronts) is told what to do.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Source,
    admin_v3::{self, AdminV3},
    ascending::Ascending,
    connector::Connector,
    error::SourceError,
    platform_v2::{NEEDS_APPLICATION, PlatformV2},
    shop::{Credentials, Shop},
    spree_v1::{Dialect, SpreeV1, key_headers},
    walking::Walking,
};
use crate::{
    domain::store_object::Noun,
    wire::store::list::{classic_list, v3_list},
};

/// What was found: to be remembered, and given to [`open`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "source")]
pub enum Found {
    /// The hub connector's routes.
    HubConnector {
        /// Which of its two forms.
        index: ConnectorIndex,
        /// What it offers.
        collections: Vec<Noun>,
    },
    /// Spree 1.3 to 4.4.
    SpreeV1 {
        /// Where.
        path: ApiPath,
        /// How changes are found.
        changes: Changes,
    },
    /// Solidus.
    Solidus,
    /// Spree 4.3 to 5.3.
    PlatformV2,
    /// Spree 5.5 and later.
    AdminV3,
}

/// The form of the connector's routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorIndex {
    /// A route per collection.
    Collections,
    /// The older one: a single answer with everything.
    Everything,
}

/// Where the API stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiPath {
    /// `/api/orders`: Spree 1.3 to 3.0, Solidus.
    Api,
    /// `/api/v1/orders`: Spree 3.1 to 4.4.
    ApiV1,
}

impl ApiPath {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ApiV1 => "api/v1",
        }
    }
}

/// How changes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changes {
    /// By `updated_at`.
    ByTime,
    /// By walking and comparing: the shop ignores `updated_at`.
    ByWalking,
}

/// One request of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeStep {
    /// The path.
    pub asked: String,
    /// What came.
    pub seen: String,
    /// What that means.
    pub meaning: String,
}

/// What a probe found out.
#[derive(Debug)]
pub struct Probe {
    /// The shop's kind, or why it cannot be polled.
    pub outcome: Result<Found, SourceError>,
    /// Each request in turn.
    pub steps: Vec<ProbeStep>,
    /// What the operator should know about a shop of this kind.
    pub cautions: Vec<String>,
}

/// A source for a shop of this kind.
#[must_use]
pub fn open(found: &Found, shop: Shop) -> Box<dyn Source> {
    match found {
        Found::HubConnector { index, collections } => Box::new(Ascending {
            lister: Box::new(Connector {
                shop,
                index: *index,
                nouns: collections.clone(),
            }),
        }),
        Found::SpreeV1 { path, changes } => {
            let lister = Box::new(SpreeV1 {
                shop,
                path: *path,
                dialect: Dialect::Spree,
            });
            match changes {
                Changes::ByTime => Box::new(Ascending { lister }),
                Changes::ByWalking => Box::new(Walking { lister }),
            }
        }
        Found::Solidus => Box::new(Walking {
            lister: Box::new(SpreeV1 {
                shop,
                path: ApiPath::Api,
                dialect: Dialect::Solidus,
            }),
        }),
        Found::PlatformV2 => Box::new(Ascending {
            lister: Box::new(PlatformV2::new(shop)),
        }),
        Found::AdminV3 => Box::new(Ascending {
            lister: Box::new(AdminV3 { shop }),
        }),
    }
}

impl Found {
    /// The name of the kind, as operators ask for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::HubConnector { .. } => "hub_connector",
            Self::SpreeV1 { .. } => "spree_v1",
            Self::Solidus => "solidus",
            Self::PlatformV2 => "spree_platform_v2",
            Self::AdminV3 => "spree_admin_v3",
        }
    }
}

/// The kinds that can be asked for by name.
pub const KINDS: [&str; 5] = [
    "hub_connector",
    "spree_v1",
    "solidus",
    "spree_platform_v2",
    "spree_admin_v3",
];

/// Asks until it knows. Reads only; at most eight requests.
pub async fn probe(shop: &Shop) -> Probe {
    probe_for(shop, None).await
}

/// As [`probe`], for one of [`KINDS`] alone: where a shop has several APIs, the one that is wanted.
pub async fn probe_for(shop: &Shop, wanted: Option<&str>) -> Probe {
    let mut asking = Asking {
        wanted,
        shop,
        steps: Vec::new(),
        cautions: Vec::new(),
        refused: None,
    };
    let mut outcome = asking.everything().await;
    if let (Ok(found), Some(wanted)) = (&outcome, wanted)
        && found.name() != wanted
    {
        outcome = Err(SourceError::Unsupported(format!(
            "this shop answers as {}, not as {wanted}: set the store's source to {} or to auto",
            found.name(),
            found.name()
        )));
    }
    Probe {
        outcome,
        steps: asking.steps,
        cautions: asking.cautions,
    }
}

/// No row is newer: what a filter by it lets through, it did not look at.
const FAR_FUTURE: &str = "2099-01-01T00:00:00Z";

/// An answer that leads on, or one that ends the probe.
enum Verdict<T> {
    Is(T),
    IsNot,
}

struct Asking<'a> {
    wanted: Option<&'a str>,
    shop: &'a Shop,
    steps: Vec<ProbeStep>,
    cautions: Vec<String>,
    /// The first refusal of the key: the answer, if nothing else is found.
    refused: Option<SourceError>,
}

impl Asking<'_> {
    async fn everything(&mut self) -> Result<Found, SourceError> {
        let is_admin_key = match self.shop.credentials() {
            Credentials::Application { .. } => {
                return match self.platform().await? {
                    Verdict::Is(found) => Ok(found),
                    Verdict::IsNot => Err(self.nothing_else().await?),
                };
            }
            Credentials::Key(key) => key.starts_with("sk_"),
        };
        let wants = |kinds: &[&str]| self.wanted.is_none_or(|wanted| kinds.contains(&wanted));
        let (connector, classic, admin) = (
            wants(&["hub_connector"]),
            wants(&["spree_v1", "solidus"]),
            wants(&["spree_admin_v3"]),
        );
        if is_admin_key && let Verdict::Is(found) = self.admin().await? {
            return Ok(found);
        }
        if !is_admin_key {
            if connector && let Verdict::Is(found) = self.connector().await? {
                return Ok(found);
            }
            for path in [ApiPath::ApiV1, ApiPath::Api] {
                if classic && let Verdict::Is(found) = self.classic(path).await? {
                    return Ok(found);
                }
            }
            if admin && let Verdict::Is(found) = self.admin().await? {
                return Ok(found);
            }
        }
        Err(self.nothing_else().await?)
    }

    /// `GET api/integrator?message=hub:poll`
    async fn connector(&mut self) -> Result<Verdict<Found>, SourceError> {
        let path = "api/integrator";
        let query = [("message", "hub:poll".to_owned())];
        let headers = key_headers(self.shop.credentials(), Dialect::Spree);
        let reply = match self.shop.get(path, &query, &headers).await {
            Ok(reply) => reply,
            Err(error) => return self.no(path, error, "the hub connector is not installed"),
        };
        let body: Value = serde_json::from_str(&reply.text).unwrap_or_default();
        if let Some(collections) = body.get("collections").and_then(Value::as_array) {
            let nouns: Vec<Noun> = collections
                .iter()
                .filter_map(|collection| Noun::of_collection(collection.get("name")?.as_str()?))
                .collect();
            self.step(
                path,
                "a list of collections",
                "the hub connector is installed: whole documents, one request a page",
            );
            return Ok(Verdict::Is(Found::HubConnector {
                index: ConnectorIndex::Collections,
                collections: nouns,
            }));
        }
        if body.pointer("/orders/page").is_some_and(Value::is_array) {
            self.step(
                path,
                "orders in one answer with everything",
                "an older hub connector is installed",
            );
            let mut collections = vec![Noun::Order];
            if body.pointer("/stock_transfers/page").is_some() {
                collections.push(Noun::StockTransfer);
            }
            return Ok(Verdict::Is(Found::HubConnector {
                index: ConnectorIndex::Everything,
                collections,
            }));
        }
        self.step(
            path,
            "JSON of another shape",
            "this is not the hub connector",
        );
        Ok(Verdict::IsNot)
    }

    /// One row of orders, then the canary.
    async fn classic(&mut self, path: ApiPath) -> Result<Verdict<Found>, SourceError> {
        let orders = format!("{}/orders", path.as_str());
        // Solidus reads its own header, older Solidus and Spree the other one: both, at an address that both have.
        let dialect = match path {
            ApiPath::Api => Dialect::Solidus,
            ApiPath::ApiV1 => Dialect::Spree,
        };
        let headers = key_headers(self.shop.credentials(), dialect);
        let one = [("per_page", "1".to_owned())];
        let reply = match self.shop.get(&orders, &one, &headers).await {
            Ok(reply) => reply,
            Err(error) => {
                return self.no(
                    &orders,
                    error,
                    "the API of Spree 1.3 to 4.4 is not at this address",
                );
            }
        };
        let Ok(list) = classic_list(&reply.text, "orders") else {
            self.step(
                &orders,
                "JSON without a list of orders",
                "this is another API",
            );
            return Ok(Verdict::IsNot);
        };
        let first: Value = list
            .rows
            .first()
            .and_then(|row| serde_json::from_str(row.get()).ok())
            .unwrap_or_default();
        let is_solidus = path == ApiPath::Api
            && (list.total.is_some() || first.get("covered_by_store_credit").is_some());
        if is_solidus {
            self.step(
                &orders,
                "a list of orders with a total count",
                "Solidus: changes are found by comparing, since it ignores updated_at",
            );
            self.cautions.push(WALKING.to_owned());
            return Ok(Verdict::Is(Found::Solidus));
        }
        self.step(&orders, "a list of orders", "the API of Spree 1.3 to 4.4");
        if first.is_null() {
            self.cautions.push("the shop lists no orders yet, so it could not be tried whether it filters them by updated_at; it is watched while polling".to_owned());
        } else if first.get("currency").is_none() {
            self.cautions.push("this is Spree 1.3: payments and shipments do not touch their order there, so their changes are not seen before the order itself changes".to_owned());
        }
        let canary = [
            ("per_page", "1".to_owned()),
            ("q[updated_at_gteq]", FAR_FUTURE.to_owned()),
        ];
        let reply = self.shop.get(&orders, &canary, &headers).await?;
        let is_empty = classic_list(&reply.text, "orders").is_ok_and(|list| list.rows.is_empty());
        let changes = if is_empty {
            self.step(
                &orders,
                "no orders updated after 2099",
                "the filter by updated_at works: a change costs two requests",
            );
            Changes::ByTime
        } else {
            self.step(&orders, "orders, though asked for those updated after 2099", "the filter by updated_at is ignored (Spree 2.2.14 to 3.1.5): changes are found by comparing");
            self.cautions.push(WALKING.to_owned());
            Changes::ByWalking
        };
        Ok(Verdict::Is(Found::SpreeV1 { path, changes }))
    }

    async fn admin(&mut self) -> Result<Verdict<Found>, SourceError> {
        let path = format!("{}/orders", admin_v3::ROOT);
        let query = [
            ("limit", "1".to_owned()),
            ("q[updated_at_gteq]", FAR_FUTURE.to_owned()),
        ];
        let headers = admin_v3::key_header(self.shop.credentials());
        match self.shop.get(&path, &query, &headers).await {
            Ok(reply) => match v3_list(&reply.text) {
                Ok(list) if list.rows.is_empty() => {
                    self.step(
                        &path,
                        "no orders updated after 2099",
                        "the Admin API of Spree 5.5 or later: a change costs one request",
                    );
                    Ok(Verdict::Is(Found::AdminV3))
                }
                Ok(_) => {
                    self.step(
                        &path,
                        "orders, though asked for those updated after 2099",
                        "an Admin API that ignores the filter by updated_at",
                    );
                    Err(SourceError::Unsupported("the shop's Admin API ignores the filter by updated_at; update Spree, or let the shop push its changes".to_owned()))
                }
                Err(_) => {
                    self.step(&path, "JSON without a list", "this is another API");
                    Ok(Verdict::IsNot)
                }
            },
            Err(error) => self.no(&path, error, "there is no Admin API (Spree 5.5 and later)"),
        }
    }

    async fn platform(&mut self) -> Result<Verdict<Found>, SourceError> {
        let path = "spree_oauth/token";
        let platform = PlatformV2::new(self.shop.again()?);
        if let Err(error) = platform.token().await {
            return self.no(path, error, "there is no OAuth server");
        }
        self.step(path, "an access token", "the shop knows the application");
        let orders = "api/v2/platform/orders";
        let query = [
            ("per_page", "1".to_owned()),
            ("filter[updated_at_gteq]", FAR_FUTURE.to_owned()),
        ];
        match platform.get(orders, &query).await {
            Ok(_) => {
                self.step(
                    orders,
                    "a list",
                    "the Platform API (Spree 4.3 to 5.3): a change costs one request",
                );
                Ok(Verdict::Is(Found::PlatformV2))
            }
            Err(error) => self.no(orders, error, "the shop has no Platform API"),
        }
    }

    /// What else may be there, to tell the operator what to do.
    async fn nothing_else(&mut self) -> Result<SourceError, SourceError> {
        if let Some(refused) = self.refused.take() {
            return Ok(refused);
        }
        let path = "api/v3/store/products";
        let asked = self.shop.get(path, &[], &[]).await;
        if speaks_json(&asked) {
            self.step(
                path,
                "an API for storefronts",
                "Spree 5.4: it has no API by which orders can be polled",
            );
            return Ok(SourceError::Unsupported(NO_ADMIN_API.to_owned()));
        }
        self.step(path, "nothing", "no Spree 5.4 either");
        let path = "api/v2/platform/orders";
        let asked = self.shop.get(path, &[], &[]).await;
        if speaks_json(&asked) && matches!(self.shop.credentials(), Credentials::Key(_)) {
            self.step(
                path,
                "an API that asks for an access token",
                "the Platform API (Spree 4.3 to 5.3) is there, and needs an OAuth application",
            );
            return Ok(SourceError::Unsupported(NEEDS_APPLICATION.to_owned()));
        }
        self.step(path, "nothing", "no Platform API either");
        Ok(match asked {
            Err(error @ (SourceError::NotJson { .. } | SourceError::WrongAddress { .. })) => error,
            _ => SourceError::WrongAddress {
                address: self.shop.address(),
                why: "none of the APIs of Spree and Solidus answers there".to_owned(),
            },
        })
    }

    /// A "no" that leads on, or an error that ends the probe.
    fn no<T>(
        &mut self,
        path: &str,
        error: SourceError,
        meaning: &str,
    ) -> Result<Verdict<T>, SourceError> {
        match error {
            SourceError::NotFound { .. } => {
                self.step(path, "404", meaning);
                Ok(Verdict::IsNot)
            }
            // A shop's front page or a redirect to it in place of a 404.
            SourceError::NotJson {
                status: 200..=499, ..
            } => {
                self.step(path, "a page for people", meaning);
                Ok(Verdict::IsNot)
            }
            // Perhaps the key is for another of the APIs; perhaps a gate before the shop says so of every address.
            SourceError::WrongKey { .. } => {
                self.step(path, "401", "whatever is there does not know the key");
                self.refused.get_or_insert(error);
                Ok(Verdict::IsNot)
            }
            other => {
                let seen = other.to_string();
                self.step(path, &seen, "the probe ends here");
                Err(other)
            }
        }
    }

    fn step(&mut self, asked: &str, seen: &str, meaning: &str) {
        self.steps.push(ProbeStep {
            asked: asked.to_owned(),
            seen: seen.to_owned(),
            meaning: meaning.to_owned(),
        });
    }
}

/// Whether something answered as an API does, be it with a refusal.
fn speaks_json<T>(answer: &Result<T, SourceError>) -> bool {
    matches!(
        answer,
        Ok(_)
            | Err(SourceError::WrongKey { .. }
                | SourceError::Forbidden { .. }
                | SourceError::Refused { .. })
    )
}

const WALKING: &str = "this shop cannot tell what changed: new and open orders are seen with every poll, changes to others when the \
long walk comes by; let the shop push its changes to be quicker";

const NO_ADMIN_API: &str = "Spree 5.4 has no API by which orders can be polled: update to Spree 5.5, or install the gem \
spree_legacy_api_v2 and enter an OAuth application, or let the shop's webhooks push to this hub";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_remembered_as_json() {
        for found in [
            Found::SpreeV1 {
                path: ApiPath::ApiV1,
                changes: Changes::ByWalking,
            },
            Found::HubConnector {
                index: ConnectorIndex::Everything,
                collections: vec![Noun::Order, Noun::StockTransfer],
            },
            Found::AdminV3,
        ] {
            let text = serde_json::to_string(&found).unwrap();
            assert_eq!(
                serde_json::from_str::<Found>(&text).unwrap(),
                found,
                "{text}"
            );
        }
    }
}
