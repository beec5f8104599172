//! `/api/stores/:store/tokens`. A token's text is shown once, when it is made; only its digest is kept.

use actix_web::{HttpRequest, HttpResponse};

use crate::{
    db::EntityChange,
    domain::{
        key::TokenKey,
        registry::{Entity, Entry, Scope, Token},
        time::Micros,
    },
    wire::hub_api::TokenDocument,
};

use super::{
    super::{
        auth::{Admin, InStore, digest_of_token},
        error::ApiError,
        extract::Body,
        fields::{Fields, Given, unknown},
    },
    id_in_path,
    stores::only_row,
};

const READ_ONLY: [&str; 5] = ["id", "_id", "token", "created_at", "updated_at"];
const SCOPES: [(&str, Scope); 3] = [
    ("push", Scope::Push),
    ("read", Scope::Read),
    ("admin", Scope::Admin),
];

/// A new token and its text: 32 random bytes, 64 hex digits.
pub fn make(name: &str, scopes: Vec<Scope>, expires_at: Option<Micros>) -> (String, Token) {
    let text = hex::encode(rand::random::<[u8; 32]>());
    let hash = digest_of_token(&text);
    (
        text,
        Token {
            name: name.to_owned(),
            hash,
            scopes,
            expires_at,
        },
    )
}

/// `GET tokens`
pub async fn list(call: InStore<Admin>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(call.store.tokens.values().map(document).collect::<Vec<_>>()))
}

/// `POST tokens`: 201 with the text.
pub async fn create(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::wrapped(body.json()?, "token", &READ_ONLY)?;
    let name = fields.name("name", 100);
    if name.is_none() {
        fields.note("name", "is missing");
    }
    let scopes = read_scopes(&mut fields);
    let expires_at = fields.time("expires_at").value();
    if expires_at.is_some_and(|end| end <= call.hub().now()) {
        fields.note("expires_at", "is in the past");
    }
    fields.finish("token")?;
    let (text, token) = make(&name.unwrap_or_default(), scopes, expires_at);
    let change = EntityChange::Create {
        store: Some(call.key()),
        subject: None,
        entity: Entity::Token(token.clone()),
    };
    let row = only_row(call.caller.change(vec![change]).await?.rows)?;
    let entry = Entry {
        key: TokenKey(row.key),
        id: row.id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        value: token,
    };
    Ok(HttpResponse::Created().json(TokenDocument {
        token: Some(text),
        ..document(&entry)
    }))
}

/// `DELETE tokens/:id`: works no more from the next request on.
pub async fn delete(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = id_in_path(&request);
    let token = call
        .store
        .tokens
        .values()
        .find(|token| Some(token.id) == id)
        .ok_or_else(|| ApiError::not_found("token"))?;
    call.caller
        .change(vec![EntityChange::Delete { key: token.key.0 }])
        .await?;
    Ok(HttpResponse::Ok().json(document(token)))
}

fn read_scopes(fields: &mut Fields<'_>) -> Vec<Scope> {
    let texts = match fields.texts("scopes") {
        Given::Value(texts) => texts,
        Given::Absent | Given::Null => Vec::new(),
    };
    let names = SCOPES.map(|(name, _)| name);
    let mut scopes = Vec::new();
    for text in &texts {
        match SCOPES.iter().find(|(name, _)| name == text) {
            Some((_, scope)) if !scopes.contains(scope) => scopes.push(*scope),
            Some(_) => {}
            None => fields.note("scopes", unknown(text, &names)),
        }
    }
    if texts.is_empty() {
        fields.note("scopes", "name at least one of push, read, admin");
    }
    scopes
}

fn document(token: &Entry<TokenKey, Token>) -> TokenDocument {
    TokenDocument {
        id: token.id,
        name: token.value.name.clone(),
        scopes: token.value.scopes.clone(),
        expires_at: token.value.expires_at,
        created_at: token.created_at,
        token: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn a_new_token_is_long_random_and_kept_as_its_digest() {
        let (one, token) = make("shop", vec![Scope::Push], None);
        let (two, _) = make("shop", vec![Scope::Push], None);
        assert_eq!(one.len(), 64);
        assert_ne!(one, two);
        assert_eq!(token.hash, digest_of_token(&one));
        assert!(!format!("{token:?}").contains(&one));
    }

    #[test]
    fn scopes_are_named_and_misspelt_ones_refused() {
        let read = |text: &str| {
            let raw = RawValue::from_string(text.to_owned()).expect("JSON");
            let mut fields = Fields::read(&raw, "", &[]);
            let scopes = read_scopes(&mut fields);
            fields
                .finish("token")
                .map(|()| scopes)
                .map_err(|error| error.document().errors.to_vec())
        };
        assert_eq!(
            read(r#"{"scopes":["read","push","read"]}"#),
            Ok(vec![Scope::Read, Scope::Push])
        );
        assert_eq!(
            read(r#"{"scopes":["pusch"]}"#),
            Err(vec![
                "scopes: pusch: is unknown, did you mean push?".to_owned()
            ])
        );
        assert_eq!(
            read(r#"{"scopes":[]}"#),
            Err(vec![
                "scopes: name at least one of push, read, admin".to_owned()
            ])
        );
    }
}
