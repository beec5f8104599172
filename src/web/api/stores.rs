//! `/api/stores`: the tenants. Making and deleting them is the operator's; a store's own token sees and changes its own.
//!
//! `PUT` is a partial update: a field left out keeps its value, null clears it, and the masked `api_key` of our own answers
//! keeps the stored one.

use actix_web::HttpResponse;

use crate::{
    db::EntityChange,
    domain::{
        id::Id,
        registry::{Entity, EntityRow, Scope, Store},
        time::Micros,
    },
    wire::hub_api::StoreDocument,
};

use super::{
    super::{
        auth::{Admin, Caller, InStore, Read},
        error::ApiError,
        extract::Body,
        fields::{Fields, Given, MASK, is_masked, unknown},
    },
    tokens,
};

const READ_ONLY: [&str; 5] = ["id", "_id", "token", "created_at", "updated_at"];

/// The store's API is found out.
pub const AUTO: &str = "auto";

/// The kinds of store API that can be asked for: `auto`, and those of [`crate::sources::KINDS`].
const SOURCES: [&str; 6] = {
    let [connector, v1, solidus, v2, v3] = crate::sources::KINDS;
    ["auto", connector, v1, solidus, v2, v3]
};

/// `GET /api/stores`: those the caller may see, oldest first.
pub async fn list(caller: Caller) -> Result<HttpResponse, ApiError> {
    let mut stores: Vec<_> = caller
        .registry
        .stores
        .values()
        .filter(|store| {
            caller
                .enter(&store.store.id.to_string(), Scope::Read)
                .is_ok()
        })
        .collect();
    stores.sort_by_key(|store| store.store.key);
    let documents: Vec<_> = stores
        .into_iter()
        .map(|store| {
            document(
                store.store.id,
                store.store.created_at,
                store.store.updated_at,
                &store.store.value,
            )
        })
        .collect();
    Ok(HttpResponse::Ok().json(documents))
}

/// `POST /api/stores`: 201 with a token of scope `admin`, shown this once.
pub async fn create(caller: Caller, body: Body) -> Result<HttpResponse, ApiError> {
    caller.operator()?;
    let mut fields = Fields::wrapped(body.json()?, "store", &READ_ONLY)?;
    let store = read(&mut fields, None);
    fields.finish("store")?;
    let change = EntityChange::Create {
        store: None,
        subject: None,
        entity: Entity::Store(store),
    };
    let row = only_row(caller.change(vec![change]).await?.rows)?;
    let key = crate::domain::key::StoreKey(row.key);
    let (text, token) = tokens::make("first token", vec![Scope::Admin], None);
    let change = EntityChange::Create {
        store: Some(key),
        subject: None,
        entity: Entity::Token(token),
    };
    if let Err(error) = caller.change(vec![change]).await {
        // A store that nobody has a token for would be of no use, and the caller would make a second one.
        if let Err(second) = caller
            .change(vec![EntityChange::Delete { key: row.key }])
            .await
        {
            log::warn!(store = row.id.to_string().as_str(); "a store without a token stays behind: {second}");
        }
        return Err(error.into());
    }
    Ok(HttpResponse::Created().json(StoreDocument {
        token: Some(text),
        ..row_document(row)?
    }))
}

/// `GET /api/stores/:id`
pub async fn show(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    let entry = &call.store.store;
    Ok(HttpResponse::Ok().json(document(
        entry.id,
        entry.created_at,
        entry.updated_at,
        &entry.value,
    )))
}

/// `PUT /api/stores/:id`
pub async fn update(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::wrapped(body.json()?, "store", &READ_ONLY)?;
    let store = read(&mut fields, Some(&call.store.store.value));
    fields.finish("store")?;
    let change = EntityChange::Replace {
        key: call.key().0,
        entity: Entity::Store(store),
    };
    let row = only_row(call.caller.change(vec![change]).await?.rows)?;
    Ok(HttpResponse::Ok().json(row_document(row)?))
}

/// `DELETE /api/stores/:id`: with everything that belongs to it; what waits is archived as removed.
pub async fn delete(call: InStore<Admin>) -> Result<HttpResponse, ApiError> {
    call.caller.operator()?;
    let entry = &call.store.store;
    call.caller
        .change(vec![EntityChange::Delete { key: entry.key.0 }])
        .await?;
    Ok(HttpResponse::Ok().json(document(
        entry.id,
        entry.created_at,
        entry.updated_at,
        &entry.value,
    )))
}

/// Reads a store over what is stored of it.
pub fn read(fields: &mut Fields<'_>, stored: Option<&Store>) -> Store {
    let name = fields.name("name", 100);
    if name.is_none() && stored.is_none() {
        fields.note("name", "is missing");
    }
    let api_url = fields
        .address("api_url")
        .or_stored(stored.and_then(|store| store.api_url.clone()));
    let api_key = secret(
        fields,
        "api_key",
        stored.and_then(|store| store.api_key.clone()),
    );
    let webhook_secret = secret(
        fields,
        "webhook_secret",
        stored.and_then(|store| store.webhook_secret.clone()),
    );
    let stored_source =
        stored.map_or_else(|| Some("auto".to_owned()), |store| store.source.clone());
    let source = fields
        .text("source")
        .or_stored(stored_source)
        .filter(|source| !source.is_empty());
    if let Some(source) = source.as_deref().filter(|source| !SOURCES.contains(source)) {
        fields.note("source", unknown(source, &SOURCES));
    }
    let version = fields
        .text("version")
        .or_stored(stored.and_then(|store| store.version.clone()));
    if version.as_deref().is_some_and(|version| version.len() > 50) {
        fields.note("version", "must have at most 50 characters");
    }
    let name = name
        .or_else(|| stored.map(|store| store.name.clone()))
        .unwrap_or_default();
    Store {
        name,
        api_url,
        api_key,
        source,
        version,
        webhook_secret,
    }
}

/// A secret: our own mask keeps the stored one, an empty text clears it.
fn secret(fields: &mut Fields<'_>, name: &'static str, stored: Option<String>) -> Option<String> {
    match fields.text(name) {
        Given::Value(text) if is_masked(&text) => {
            if stored.is_none() {
                fields.note(name, "is masked, give the key itself");
            }
            stored
        }
        Given::Value(text) if text.is_empty() => None,
        other => other.or_stored(stored),
    }
}

fn document(id: Id, created_at: Micros, updated_at: Micros, store: &Store) -> StoreDocument {
    StoreDocument {
        id,
        name: store.name.clone(),
        api_url: store.api_url.clone(),
        api_key: store.api_key.as_ref().map(|_| MASK),
        source: store.source.clone(),
        version: store.version.clone(),
        webhook_secret: store.webhook_secret.as_ref().map(|_| MASK),
        created_at,
        updated_at,
        token: None,
    }
}

fn row_document(row: EntityRow) -> Result<StoreDocument, ApiError> {
    match &row.entity {
        Entity::Store(store) => Ok(document(row.id, row.created_at, row.updated_at, store)),
        other => Err(ApiError::internal(&format_args!(
            "a store was written, a {} came back",
            other.kind()
        ))),
    }
}

/// The one row that a change of one thing gives back.
pub(super) fn only_row(rows: Vec<EntityRow>) -> Result<EntityRow, ApiError> {
    rows.into_iter()
        .next()
        .ok_or_else(|| ApiError::internal(&"a change of the registry gave no row back"))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn stored() -> Store {
        Store {
            name: "Tidewater".into(),
            api_url: Some("http://shop/api/".into()),
            api_key: Some("k-123".into()),
            source: Some("spree_v1".into()),
            version: None,
            webhook_secret: Some("w-456".into()),
        }
    }

    fn read_text(text: &str, stored: Option<&Store>) -> Result<Store, Vec<String>> {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        let mut fields = Fields::wrapped(&raw, "store", &READ_ONLY)
            .map_err(|error| error.document().errors.to_vec())?;
        let store = read(&mut fields, stored);
        fields
            .finish("store")
            .map(|()| store)
            .map_err(|error| error.document().errors.to_vec())
    }

    #[test]
    fn only_a_name_is_needed_and_the_source_is_found_out() {
        let store = read_text(r#"{"store":{"name":" Tidewater "}}"#, None).expect("a store");
        assert_eq!(
            (store.name.as_str(), store.source.as_deref(), store.api_url),
            ("Tidewater", Some("auto"), None)
        );
        assert_eq!(
            read_text(r#"{"store":{}}"#, None),
            Err(vec!["name: is missing".to_owned()])
        );
    }

    #[test]
    fn what_we_showed_can_be_sent_back_and_changes_nothing() {
        let shown = document(
            "55f2a0b784a8160c7b000001".parse().expect("an id"),
            Micros(0),
            Micros(0),
            &stored(),
        );
        let text = serde_json::json!({ "store": shown }).to_string();
        assert!(text.contains(r#""api_key":"***""#), "{text}");
        assert_eq!(read_text(&text, Some(&stored())), Ok(stored()));
    }

    #[test]
    fn null_clears_and_absence_keeps() {
        let store = read_text(
            r#"{"store":{"api_key":null,"source":null}}"#,
            Some(&stored()),
        )
        .expect("a store");
        assert_eq!(
            (store.api_key, store.source, store.api_url),
            (None, None, stored().api_url)
        );
    }

    #[test]
    fn an_unknown_source_and_a_mask_for_nothing_are_refused() {
        assert_eq!(
            read_text(
                r#"{"store":{"name":"x","source":"spree_v2","api_key":"***"}}"#,
                None
            ),
            Err(vec![
                "api_key: is masked, give the key itself".to_owned(),
                "source: spree_v2: is unknown, did you mean spree_v1?".to_owned(),
            ])
        );
    }
}
