//! Who asks, and whether they may.
//!
//! A token's text is hashed and the digest looked up in the registry. The comparison need not take constant time: what an
//! attacker could learn from its timing is how much of a digest fits, and nobody can steer a digest (SHA-256) towards one.
//!
//! The operator may do everything. A store's token knows only its own store: any other store is not forbidden but *not
//! there* (404), so that ids of stores tell nothing.
//!
//! Where several nodes share a database, what one of them was told must hold on all: before a token or a store is refused as unknown the
//! database is asked, and whoever reads or changes the configuration sees it as it is there. A push with a token that this node
//! knows asks nothing.

use std::{
    future::{Ready, ready},
    marker::PhantomData,
    sync::Arc,
};

use futures_util::future::{Either, FutureExt, LocalBoxFuture};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{AUTHORIZATION, HeaderMap},
};
use sha2::{Digest, Sha256};

use crate::{
    actors::Hub,
    db::{DbResult, EntityChange, RegistryDelta},
    domain::{
        id::Id,
        key::{StoreKey, TokenKey},
        registry::{Principal, Registry, Scope, StoreSnapshot},
    },
};

use super::{console::audit, error::ApiError};

/// The digest under which the registry knows a token: SHA-256 of its text, 64 hex digits.
#[must_use]
pub fn digest_of_token(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The token of a request, from whichever header carries one: `X-Augury-Token` (dialect 1), `X-Hub-Access-Token`
/// (dialect 2), `Authorization: Bearer` (RFC 6750). Empty ones count as absent: clients of 2013 send them.
#[must_use]
pub fn token_of(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| {
            let (scheme, token) = value.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
    [text("x-augury-token"), text("x-hub-access-token"), bearer]
        .into_iter()
        .flatten()
        .find(|token| !token.is_empty())
}

/// Whoever sent the request, with a valid token.
#[derive(Clone)]
pub struct Caller {
    /// The hub.
    pub hub: Hub,
    /// The registry as it was when the request came.
    pub registry: Arc<Registry>,
    /// Whom the token speaks for.
    pub principal: Principal,
}

/// What an extractor answers: at once, or after a look into the database.
type Asked<T> = Either<Ready<Result<T, ApiError>>, LocalBoxFuture<'static, Result<T, ApiError>>>;

/// Lets a request in by the registry that this node knows, or by the newest one.
type LetIn<T> = fn(&HttpRequest, &Hub, Arc<Registry>) -> Result<T, ApiError>;

/// Lets a request in. `as_it_is`: it is about the configuration, so that an old one will not do, and not just before a refusal.
fn let_in<T: 'static>(request: &HttpRequest, as_it_is: bool, by: LetIn<T>) -> Asked<T> {
    let Some(hub) = request.app_data::<Hub>() else {
        let error = ApiError::internal(&"the server was made without a hub");
        return Either::Left(ready(Err(error)));
    };
    let known = hub.registry();
    let version = known.version;
    let first = by(request, hub, known);
    let may_change = match &first {
        Ok(_) => as_it_is,
        Err(error) => error.may_be_out_of_date() && token_of(request.headers()).is_some(),
    };
    if !may_change || hub.is_alone() {
        return Either::Left(ready(first));
    }
    let (request, hub) = (request.clone(), hub.clone());
    let look = async move {
        let newest = match &first {
            Ok(_) => hub.newest_registry().await,
            Err(_) => hub.registry_before_refusing().await?,
        };
        if newest.version == version {
            return first;
        }
        by(&request, &hub, newest)
    };
    Either::Right(look.boxed_local())
}

impl Caller {
    fn of(request: &HttpRequest, hub: &Hub, registry: Arc<Registry>) -> Result<Self, ApiError> {
        let token = token_of(request.headers()).ok_or_else(ApiError::no_token)?;
        let principal = registry
            .principals
            .get(&digest_of_token(token))
            .ok_or_else(ApiError::bad_token)?
            .clone();
        let caller = Self {
            hub: hub.clone(),
            registry,
            principal,
        };
        match caller.token() {
            Some((_, token)) if !token.alive(caller.hub.now()) => Err(ApiError::bad_token()),
            _ => Ok(caller),
        }
    }

    fn token(&self) -> Option<(StoreKey, &crate::domain::registry::Token)> {
        let Principal::Store { store, token } = &self.principal else {
            return None;
        };
        let entry = self.registry.stores.get(store)?.tokens.get(token)?;
        Some((*store, &entry.value))
    }

    /// Fails unless the operator asks.
    ///
    /// # Errors
    /// 403.
    pub fn operator(&self) -> Result<(), ApiError> {
        match self.principal {
            Principal::Operator => Ok(()),
            Principal::Store { .. } => Err(ApiError::operator_only()),
        }
    }

    /// The store with this id, when the caller may do there what needs `scope`.
    ///
    /// # Errors
    /// 404 when there is no such store for this caller, 403 when the token lacks the scope.
    pub fn enter(&self, store: &str, scope: Scope) -> Result<Arc<StoreSnapshot>, ApiError> {
        let found = store
            .parse::<Id>()
            .ok()
            .and_then(|id| self.registry.store_by_id(id));
        let found = found.ok_or_else(ApiError::store_not_found)?;
        if self.principal == Principal::Operator {
            return Ok(found.clone());
        }
        match self.token() {
            Some((own, _)) if own != found.store.key => Err(ApiError::store_not_found()),
            Some((_, token)) if token.allows(scope, self.hub.now()) => Ok(found.clone()),
            Some(_) => Err(ApiError::missing_scope(scope)),
            None => Err(ApiError::bad_token()),
        }
    }

    /// Changes the configuration, and records in the audit log that this caller did.
    ///
    /// # Errors
    /// Those of the database; nothing was changed then.
    pub async fn change(&self, changes: Vec<EntityChange>) -> DbResult<RegistryDelta> {
        // Not the bare name: a token may be named like a person.
        let who = match self.principal {
            Principal::Operator => self.name().to_owned(),
            Principal::Store { .. } => format!("token {}", self.name()),
        };
        let changes = audit::recorded(&self.registry, &who, changes);
        self.hub.change_registry(changes).await
    }

    /// Who that is, for people: the token's name, or `operator`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.token()
            .map_or("operator", |(_, token)| token.name.as_str())
    }

    /// The token that idempotency keys are kept under. The operator's has no row: 0, which no row has.
    #[must_use]
    pub fn token_key(&self) -> TokenKey {
        match self.principal {
            Principal::Operator => TokenKey(0),
            Principal::Store { token, .. } => token,
        }
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Asked<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let_in(request, true, Self::of)
    }
}

/// A push in the second dialect, which names its store in the header `X-Hub-Store`; without it, that is the token's own.
pub struct Pushing {
    /// Who pushes.
    pub caller: Caller,
    /// The store as it was when the request came.
    pub store: Arc<StoreSnapshot>,
}

impl Pushing {
    fn of(request: &HttpRequest, hub: &Hub, registry: Arc<Registry>) -> Result<Self, ApiError> {
        let caller = Caller::of(request, hub, registry)?;
        let named = request
            .headers()
            .get("x-hub-store")
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
            .filter(|id| !id.is_empty());
        let own = || {
            let (store, _) = caller.token()?;
            let snapshot = caller.registry.stores.get(&store)?;
            Some(snapshot.store.id.to_string())
        };
        let id = named.map(str::to_owned).or_else(own);
        let store = caller.enter(id.as_deref().unwrap_or_default(), Scope::Push)?;
        Ok(Self { caller, store })
    }
}

impl FromRequest for Pushing {
    type Error = ApiError;
    type Future = Asked<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let_in(request, false, Self::of)
    }
}

/// What a route needs, as a type, so that no handler can forget to ask.
pub trait Needs: 'static {
    /// The scope.
    const SCOPE: Scope;
}

/// Pushing messages.
pub struct Push;
/// Reading.
pub struct Read;
/// Changing.
pub struct Admin;

impl Needs for Push {
    const SCOPE: Scope = Scope::Push;
}
impl Needs for Read {
    const SCOPE: Scope = Scope::Read;
}
impl Needs for Admin {
    const SCOPE: Scope = Scope::Admin;
}

/// A request to the store named in its path, from somebody who may do there what `S` says.
pub struct InStore<S> {
    /// Who asks.
    pub caller: Caller,
    /// The store as it was when the request came.
    pub store: Arc<StoreSnapshot>,
    scope: PhantomData<S>,
}

impl<S> InStore<S> {
    /// The hub.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.caller.hub
    }

    /// The store's key.
    #[must_use]
    pub fn key(&self) -> StoreKey {
        self.store.store.key
    }
}

impl<S: Needs> InStore<S> {
    fn of(request: &HttpRequest, hub: &Hub, registry: Arc<Registry>) -> Result<Self, ApiError> {
        let caller = Caller::of(request, hub, registry)?;
        let store = caller.enter(
            request.match_info().get("store").unwrap_or_default(),
            S::SCOPE,
        )?;
        Ok(Self {
            caller,
            store,
            scope: PhantomData,
        })
    }
}

impl<S: Needs> FromRequest for InStore<S> {
    type Error = ApiError;
    type Future = Asked<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let_in(request, S::SCOPE != Scope::Push, Self::of)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn token(headers: &[(&str, &str)]) -> Option<String> {
        let mut request = TestRequest::default();
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        token_of(request.to_http_request().headers()).map(str::to_owned)
    }

    #[test]
    fn a_token_travels_in_any_of_three_headers() {
        for header in [
            ("X-Augury-Token", "t"),
            ("X-Hub-Access-Token", " t "),
            ("Authorization", "bearer t"),
        ] {
            assert_eq!(token(&[header]).as_deref(), Some("t"), "{header:?}");
        }
    }

    #[test]
    fn an_empty_token_is_none_and_hides_no_other() {
        assert_eq!(token(&[("X-Augury-Token", "")]), None);
        assert_eq!(token(&[("Authorization", "Basic dTpw")]), None);
        assert_eq!(
            token(&[("X-Augury-Token", ""), ("Authorization", "Bearer t")]).as_deref(),
            Some("t")
        );
    }
}
