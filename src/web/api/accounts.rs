//! `POST /api/login` and `/api/signup`: how the browser client of 2013 finds its stores (WIRE A.1).
//!
//! That hub had accounts with passwords; this one has tokens. So the password of a login *is* a token of the store (or the operator's),
//! and the invite code of a signup is the operator's token: whoever was given one may make a store, nobody else.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::{
    actors::Hub,
    db::EntityChange,
    domain::{
        key::StoreKey,
        registry::{Entity, Principal, Registry, Scope},
    },
};

use super::{
    super::{
        auth::{digest_of_token, token_of},
        console::audit,
        error::ApiError,
        extract::Body,
        fields::{Fields, Given},
        forms,
    },
    stores::{self, only_row},
    tokens,
};

/// What clients call the hub's environment.
const ENVIRONMENT: &str = "production";

/// `POST /api/login`: the stores a token opens.
pub async fn login(request: HttpRequest, body: Body) -> Result<HttpResponse, ApiError> {
    let hub = hub_of(&request)?;
    let document = forms::document(&body, request.query_string())?;
    let mut outer = Fields::read(&document, "", &["signup", "utf8", "commit"]);
    let (email, password) = match outer.raw("user") {
        Given::Value(raw) => {
            let mut user = Fields::read(raw, "user.", &[]);
            let found = (user.text("email").value(), user.text("password").value());
            outer.note_all(user.into_problems());
            found
        }
        Given::Absent | Given::Null => {
            outer.note("user", "is missing");
            (None, None)
        }
    };
    outer.finish("login")?;
    let token = password
        .filter(|password| !password.trim().is_empty())
        .or_else(|| token_of(request.headers()).map(str::to_owned))
        .ok_or_else(|| {
            ApiError::invalid_field("login", "user.password", "is missing: a token of the store")
        })?;
    let (registry, principal) = whose(&hub, &token).await?;
    let principal = principal.ok_or_else(ApiError::bad_token)?;
    let mut stores: Vec<_> = registry
        .stores
        .values()
        .filter(|store| match principal {
            Principal::Operator => true,
            Principal::Store { store: own, .. } => own == store.store.key,
        })
        .collect();
    stores.sort_by_key(|store| store.store.key);
    let stores: Vec<_> = stores
        .into_iter()
        .map(|store| {
            let own = &store.store;
            json!({"id": own.id, "name": own.value.name, "api_url": own.value.api_url})
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({
        "env": ENVIRONMENT, "user": email, "auth_token": token.trim(), "stores": stores,
    })))
}

/// `POST /api/signup`: a new store, for whoever has the operator's token as invite code.
pub async fn signup(request: HttpRequest, body: Body) -> Result<HttpResponse, ApiError> {
    let hub = hub_of(&request)?;
    let document = forms::document(&body, request.query_string())?;
    let mut outer = Fields::read(&document, "", &["utf8", "commit"]);
    let Given::Value(raw) = outer.raw("signup") else {
        return Err(ApiError::invalid_field("signup", "signup", "is missing"));
    };
    outer.finish("signup")?;
    let mut fields = Fields::read(raw, "signup.", &["password"]);
    let email = fields.text("email").value();
    let invite = fields
        .text("invite_code")
        .value()
        .filter(|code| !code.trim().is_empty())
        .or_else(|| token_of(request.headers()).map(str::to_owned));
    let (url, version) = (fields.address("url"), fields.text("version").value());
    let api_key = fields.text("api_key").value().filter(|key| !key.is_empty());
    let name = fields.name("name", 100);
    if name.is_none() {
        fields.note("name", "is missing");
    }
    let (registry, invited) = match invite {
        Some(code) => whose(&hub, &code).await?,
        None => (hub.registry(), None),
    };
    if invited != Some(Principal::Operator) {
        fields.note(
            "invite_code",
            "must be the token of this hub's operator, who makes stores",
        );
    }
    fields.finish("signup")?;
    let name = name.unwrap_or_default();
    let store = crate::domain::registry::Store {
        name: name.clone(),
        api_url: url.value(),
        api_key,
        source: Some(stores::AUTO.to_owned()),
        version,
        webhook_secret: None,
    };
    let create = EntityChange::Create {
        store: None,
        subject: None,
        entity: Entity::Store(store),
    };
    let record = |changes| audit::recorded(&registry, "operator", changes);
    let row = only_row(hub.change_registry(record(vec![create])).await?.rows)?;
    let (text, token) = tokens::make("signup", vec![Scope::Admin], None);
    let create = EntityChange::Create {
        store: Some(StoreKey(row.key)),
        subject: None,
        entity: Entity::Token(token),
    };
    hub.change_registry(record(vec![create])).await?;
    Ok(HttpResponse::Created().json(json!({
        "env": ENVIRONMENT, "user": email, "auth_token": text, "store_id": row.id, "store_name": name,
    })))
}

fn hub_of(request: &HttpRequest) -> Result<Hub, ApiError> {
    request
        .app_data::<Hub>()
        .cloned()
        .ok_or_else(|| ApiError::internal(&"the server was made without a hub"))
}

/// Whom a token's text speaks for, by the newest registry.
async fn whose(hub: &Hub, text: &str) -> Result<(Arc<Registry>, Option<Principal>), ApiError> {
    let registry = match principal_of(&hub.registry(), text, hub) {
        Some(_) => hub.newest_registry().await,
        None => hub.registry_before_refusing().await?,
    };
    let principal = principal_of(&registry, text, hub);
    Ok((registry, principal))
}

/// Whom a token's text speaks for, while it lives.
fn principal_of(registry: &Registry, text: &str, hub: &Hub) -> Option<Principal> {
    let principal = registry.principals.get(&digest_of_token(text.trim()))?;
    if let Principal::Store { store, token } = principal {
        let token = registry.stores.get(store)?.tokens.get(token)?;
        token.value.alive(hub.now()).then_some(())?;
    }
    Some(principal.clone())
}
