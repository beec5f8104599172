//! `/api/stores/:store/parameters`. The body is not wrapped: `{name,data_type,value}`, and here `secret` beside it.
//!
//! A value is secret unless `"secret":false` is said, and a secret one is shown as `***` only. Sending the mask back keeps
//! the value; making a secret public takes giving it anew, or the mask would be a thin one.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::{
    db::EntityChange,
    domain::{
        id::Id,
        key::ParameterKey,
        parameter::DataType,
        registry::{Entity, EntityRow, Entry, Parameter, StoreSnapshot},
        time::Micros,
    },
    wire::hub_api::ParameterDocument,
};

use super::{
    super::{
        auth::{Admin, InStore, Read},
        error::ApiError,
        extract::Body,
        fields::{Fields, Given, MASK, is_masked, unknown},
    },
    id_in_path,
    parameter_value::{convert, read as read_value, type_of},
    stores::only_row,
};

const READ_ONLY: [&str; 5] = ["id", "_id", "store_id", "created_at", "updated_at"];
const DATA_TYPES: [(&str, DataType); 5] = [
    ("string", DataType::String),
    ("integer", DataType::Integer),
    ("float", DataType::Float),
    ("boolean", DataType::Boolean),
    ("list", DataType::List),
];

/// `GET parameters`: oldest first.
pub async fn list(call: InStore<Read>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(
        call.store
            .parameters
            .values()
            .map(|entry| entry_document(entry, &call.store))
            .collect::<Vec<_>>(),
    ))
}

/// `POST parameters`: 201.
pub async fn create(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::read(body.json()?, "", &READ_ONLY);
    let parameter = read(&mut fields, None);
    let parameter = as_declared(&mut fields, parameter, None, &call.store);
    fields.finish("parameter")?;
    let change = EntityChange::Create {
        store: Some(call.key()),
        subject: None,
        entity: Entity::Parameter(parameter),
    };
    let row = only_row(call.caller.change(vec![change]).await?.rows)?;
    Ok(HttpResponse::Created().json(row_document(row, &call.store)?))
}

/// `GET parameters/:id`
pub async fn show(call: InStore<Read>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(entry_document(find(&call.store, &request)?, &call.store)))
}

/// `PUT parameters/:id`
pub async fn update(
    call: InStore<Admin>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    let mut fields = Fields::read(body.json()?, "", &READ_ONLY);
    let parameter = read(&mut fields, Some(&entry.value));
    let parameter = as_declared(&mut fields, parameter, Some(&entry.value), &call.store);
    fields.finish("parameter")?;
    let change = EntityChange::Replace {
        key: entry.key.0,
        entity: Entity::Parameter(parameter),
    };
    let row = only_row(call.caller.change(vec![change]).await?.rows)?;
    Ok(HttpResponse::Ok().json(row_document(row, &call.store)?))
}

/// `DELETE parameters/:id`: mappings send it no more.
pub async fn delete(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let entry = find(&call.store, &request)?;
    call.caller
        .change(vec![EntityChange::Delete { key: entry.key.0 }])
        .await?;
    Ok(HttpResponse::Ok().json(entry_document(entry, &call.store)))
}

fn find<'a>(
    store: &'a StoreSnapshot,
    request: &HttpRequest,
) -> Result<&'a Entry<ParameterKey, Parameter>, ApiError> {
    let id = id_in_path(request);
    store
        .parameters
        .values()
        .find(|entry| Some(entry.id) == id)
        .ok_or_else(|| ApiError::not_found("parameter"))
}

/// Reads a parameter over what is stored of it.
pub fn read(fields: &mut Fields<'_>, stored: Option<&Parameter>) -> Parameter {
    let name = fields.name("name", 100);
    match &name {
        Some(name) if name.contains(char::is_whitespace) => {
            fields.note("name", "must not hold white space")
        }
        None if stored.is_none() => fields.note("name", "is missing"),
        _ => {}
    }
    let secret = fields.truth("secret").value();
    let said = read_type(fields);
    let raw = match fields.raw("value") {
        Given::Value(raw)
            if serde_json::from_str::<String>(raw.get()).is_ok_and(|text| is_masked(&text)) =>
        {
            if stored.is_none() {
                fields.note("value", "is masked, give the value itself");
            }
            None
        }
        Given::Value(raw) => Some(raw),
        Given::Null => Some(serde_json::value::RawValue::NULL),
        Given::Absent => {
            if stored.is_none() {
                fields.note("value", "is missing");
            }
            None
        }
    };
    let data_type = said
        .or_else(|| stored.map(|stored| stored.data_type))
        .unwrap_or_else(|| raw.map(type_of).unwrap_or_default());
    let value = match (raw, stored) {
        (Some(raw), _) => read_value(raw, data_type),
        (None, Some(stored)) => convert(stored.value.clone(), data_type),
        (None, None) => Ok(Value::Null),
    };
    let value = value.unwrap_or_else(|problem| {
        fields.note("value", problem);
        Value::Null
    });
    if raw.is_none() && secret == Some(false) && stored.is_some_and(|stored| stored.secret) {
        fields.note(
            "secret",
            "a value that was secret is shown only when it is given anew",
        );
    }
    Parameter {
        name: name
            .or_else(|| stored.map(|stored| stored.name.clone()))
            .unwrap_or_default(),
        data_type,
        value,
        secret: secret.unwrap_or_else(|| stored.is_none_or(|stored| stored.secret)),
    }
}

/// Holds a parameter to what the applications that this store can use declare of it: the first says its type, all say which values are
/// allowed, as at signup. What stays as it was is not complained about: a description may have changed since.
pub fn as_declared(
    fields: &mut Fields<'_>,
    parameter: Parameter,
    stored: Option<&Parameter>,
    store: &StoreSnapshot,
) -> Parameter {
    let is_same = |stored: &Parameter| {
        let members = |own: &Parameter| (own.name.clone(), own.data_type, own.value.clone());
        members(stored) == members(&parameter)
    };
    if !fields.is_sound() || stored.is_some_and(is_same) {
        return parameter;
    }
    for entry in store.offered() {
        let integration = &entry.value;
        let Some(first) = integration.declared(&parameter.name).next() else {
            continue;
        };
        let data_type = first.data_type.data_type();
        if stored.is_some_and(|own| own.data_type != parameter.data_type)
            && parameter.data_type != data_type
        {
            let wanted = format_args!(
                "must be {}, as {} declares it",
                data_type.word(),
                integration.name
            );
            fields.note("data_type", wanted);
            return parameter;
        }
        let value = match data_type.read(&parameter.value) {
            Ok(value) => value,
            Err(problem) => {
                let by = format_args!("{problem}, as {} declares it", integration.name);
                fields.note("value", by);
                return parameter;
            }
        };
        let is_blank = value.as_str().is_some_and(|text| text.trim().is_empty());
        let problem = integration
            .declared(&parameter.name)
            .filter(|own| !(is_blank && own.optional))
            .find_map(|own| own.allowed.as_ref()?.check(&value).err());
        if let Some(problem) = problem {
            fields.note("value", problem);
        }
        return Parameter {
            data_type,
            value,
            ..parameter
        };
    }
    parameter
}

fn read_type(fields: &mut Fields<'_>) -> Option<DataType> {
    let text = fields
        .text("data_type")
        .value()
        .filter(|text| !text.is_empty())?;
    let found = DATA_TYPES
        .iter()
        .find(|(name, _)| *name == text.to_ascii_lowercase())
        .map(|(_, data_type)| *data_type);
    if found.is_none() {
        let names = DATA_TYPES.map(|(name, _)| name);
        fields.note(
            "data_type",
            format_args!("{} (known: {})", unknown(&text, &names), names.join(", ")),
        );
    }
    found
}

fn entry_document(
    entry: &Entry<ParameterKey, Parameter>,
    store: &StoreSnapshot,
) -> ParameterDocument {
    document(
        entry.id,
        entry.created_at,
        entry.updated_at,
        &entry.value,
        store,
    )
}

fn row_document(row: EntityRow, store: &StoreSnapshot) -> Result<ParameterDocument, ApiError> {
    match &row.entity {
        Entity::Parameter(parameter) => Ok(document(
            row.id,
            row.created_at,
            row.updated_at,
            parameter,
            store,
        )),
        other => Err(ApiError::internal(&format_args!(
            "a parameter was written, a {} came back",
            other.kind()
        ))),
    }
}

fn document(
    id: Id,
    created_at: Micros,
    updated_at: Micros,
    parameter: &Parameter,
    store: &StoreSnapshot,
) -> ParameterDocument {
    ParameterDocument {
        id,
        store_id: store.store.id,
        name: parameter.name.clone(),
        data_type: parameter.data_type,
        value: if parameter.secret {
            Value::from(MASK)
        } else {
            parameter.value.clone()
        },
        secret: parameter.secret,
        created_at,
        updated_at,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::RawValue};

    use super::*;

    fn read_text(text: &str, stored: Option<&Parameter>) -> Result<Parameter, Vec<String>> {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        let mut fields = Fields::read(&raw, "", &READ_ONLY);
        let parameter = read(&mut fields, stored);
        fields
            .finish("parameter")
            .map(|()| parameter)
            .map_err(|error| error.document().errors.to_vec())
    }

    fn stored() -> Parameter {
        Parameter {
            name: "acme.api_key".into(),
            data_type: DataType::String,
            value: json!("k-123"),
            secret: true,
        }
    }

    /// A store that knows an application `acme` with a parameter of each kind.
    fn store() -> std::sync::Arc<StoreSnapshot> {
        use crate::domain::{
            key::StoreKey,
            registry::{EntityRow, Registry},
        };
        let row = |key, kind: &str, body: Value| EntityRow {
            key,
            id: "54d1c0aa84a81618ab000001".parse().expect("an id"),
            store: Some(StoreKey(1)),
            subject: None,
            entity: Entity::from_json(kind, &body.to_string()).expect("an entity"),
            created_at: Micros(0),
            updated_at: Micros(0),
            deleted: false,
            version: 1,
        };
        let parameters = json!([
            {"name": "speed", "allowed": ["slow", "fast"], "optional": true},
            {"name": "acme.tries", "data_type": "integer", "allowed": "^[1-9]$"},
        ]);
        let services =
            json!([{"name": "send", "path": "/send", "requires": {"parameters": parameters}}]);
        let integration = json!({"name": "acme", "url": "http://app.example", "category": "custom", "services": services});
        let rows = vec![
            row(1, "store", json!({"name": "shop"})),
            row(2, "integration", integration),
        ];
        Registry::default().apply(rows, 1).stores[&StoreKey(1)].clone()
    }

    fn declared(text: &str, stored: Option<&Parameter>) -> Result<Parameter, Vec<String>> {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        let mut fields = Fields::read(&raw, "", &READ_ONLY);
        let parameter = read(&mut fields, stored);
        let parameter = as_declared(&mut fields, parameter, stored, &store());
        let told = fields.finish("parameter").map(|()| parameter);
        told.map_err(|error| error.document().errors.to_vec())
    }

    #[test]
    fn a_later_value_is_held_to_what_the_application_declares() {
        let speed = Parameter {
            name: "acme.speed".into(),
            value: json!("slow"),
            ..stored()
        };
        let said = |text: &str, stored: &Parameter| match declared(text, Some(stored)) {
            Ok(parameter) => parameter.value.to_string(),
            Err(errors) => errors.join("; "),
        };
        assert_eq!(
            said(r#"{"value":"warp"}"#, &speed),
            "value: must be one of slow, fast"
        );
        assert_eq!(said(r#"{"value":"fast"}"#, &speed), r#""fast""#);
        assert_eq!(said(r#"{"value":""}"#, &speed), r#""""#, "it is optional");
        assert_eq!(
            said(r#"{"value":[{"a":"b"}],"data_type":"list"}"#, &speed),
            "data_type: must be string, as acme declares it"
        );
        let tries = Parameter {
            name: "acme.tries".into(),
            data_type: DataType::Integer,
            value: json!(3),
            secret: true,
        };
        assert_eq!(said(r#"{"value":"4"}"#, &tries), "4");
        assert_eq!(
            said(r#"{"value":"12"}"#, &tries),
            "value: must match ^[1-9]$"
        );
        assert_eq!(
            said(r#"{"value":"many"}"#, &tries),
            "value: must be a whole number"
        );
        let made = declared(r#"{"name":"acme.tries","value":"many"}"#, None);
        assert_eq!(
            made,
            Err(vec![
                "value: must be a whole number, as acme declares it".to_owned()
            ])
        );
        let old = Parameter {
            value: json!("gone"),
            ..speed
        };
        assert_eq!(
            said(r#"{"value":"***"}"#, &old),
            r#""gone""#,
            "what stays is left alone"
        );
        assert_eq!(
            declared(r#"{"name":"other","value":"warp"}"#, None).map(|own| own.value),
            Ok(json!("warp"))
        );
    }

    #[test]
    fn a_value_is_secret_unless_said_otherwise() {
        let parameter = read_text(
            r#"{"name":"acme.api_key","data_type":"string","value":"k"}"#,
            None,
        )
        .expect("read");
        assert!(parameter.secret);
        let parameter = read_text(
            r#"{"name":"acme.x","value":"12","data_type":"integer","secret":false}"#,
            None,
        )
        .expect("read");
        assert_eq!((parameter.secret, parameter.value), (false, json!(12)));
    }

    #[test]
    fn a_mask_keeps_the_value() {
        let text = r#"{"id":"x","store_id":"y","name":"acme.key","value":"***","data_type":"string","secret":true}"#;
        let renamed = Parameter {
            name: "acme.key".into(),
            ..stored()
        };
        assert_eq!(read_text(text, Some(&stored())), Ok(renamed));
        assert_eq!(
            read_text(text, None),
            Err(vec!["value: is masked, give the value itself".to_owned()])
        );
    }

    #[test]
    fn a_secret_is_not_made_public_by_a_flag() {
        let errors = read_text(r#"{"secret":false}"#, Some(&stored())).expect_err("refused");
        assert_eq!(
            errors,
            ["secret: a value that was secret is shown only when it is given anew"]
        );
        let shown = read_text(r#"{"secret":false,"value":"new"}"#, Some(&stored())).expect("read");
        assert_eq!((shown.secret, shown.value), (false, json!("new")));
    }

    #[test]
    fn a_type_that_is_left_out_follows_the_value_and_a_misspelt_one_is_told() {
        let parameter =
            read_text(r#"{"name":"acme.map","value":[{"a":"b"}]}"#, None).expect("read");
        assert_eq!(parameter.data_type, DataType::List);
        assert_eq!(
            read_text(r#"{"name":"a","value":"1","data_type":"intger"}"#, None),
            Err(vec![
                "data_type: intger: is unknown, did you mean integer? (known: string, integer, float, boolean, list)".to_owned()
            ])
        );
    }
}
