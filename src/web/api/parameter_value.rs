//! A parameter's value in the type it is said to have. Old clients send every value as text, so each type reads its text too.

use serde_json::{Value, value::RawValue};

use crate::domain::parameter::DataType;

/// The longest value, in bytes of JSON.
const MAX_BYTES: usize = 64 * 1024;

/// Reads `raw` as a value of type `data_type`.
///
/// # Errors
/// What is wrong with it.
pub fn read(raw: &RawValue, data_type: DataType) -> Result<Value, String> {
    if raw.get().len() > MAX_BYTES {
        return Err(format!("must have at most {MAX_BYTES} bytes"));
    }
    let value: Value =
        serde_json::from_str(raw.get()).map_err(|error| format!("cannot be read: {error}"))?;
    convert(value, data_type)
}

/// Turns a value into one of type `data_type`.
///
/// # Errors
/// What is wrong with it.
pub fn convert(value: Value, data_type: DataType) -> Result<Value, String> {
    match data_type {
        DataType::String => match value {
            Value::String(_) => Ok(value),
            Value::Null => Ok(Value::from("")),
            Value::Number(number) => Ok(Value::from(number.to_string())),
            Value::Bool(truth) => Ok(Value::from(truth.to_string())),
            other => Err(format!("must be a text, found {}", word(&other))),
        },
        DataType::Integer => match &value {
            Value::Number(number) if number.is_i64() => Ok(value),
            Value::String(text) => text
                .trim()
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| "must be a whole number, found another text".to_owned()),
            other => Err(format!("must be a whole number, found {}", word(other))),
        },
        DataType::Float => match &value {
            Value::Number(_) => Ok(value),
            Value::String(text) => {
                let number = text
                    .trim()
                    .parse::<f64>()
                    .ok()
                    .filter(|number| number.is_finite());
                number
                    .map(Value::from)
                    .ok_or_else(|| "must be a number, found another text".to_owned())
            }
            other => Err(format!("must be a number, found {}", word(other))),
        },
        DataType::Boolean => {
            let text = match &value {
                Value::Bool(_) => return Ok(value),
                Value::String(text) => text.trim().to_ascii_lowercase(),
                Value::Number(number) => number.to_string(),
                other => return Err(format!("must be true or false, found {}", word(other))),
            };
            match text.as_str() {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err("must be true or false, found something else".to_owned()),
            }
        }
        DataType::List => {
            let list = match value {
                Value::String(text) => serde_json::from_str(&text).map_err(|_| {
                    "must be an array of objects, or such an array as a JSON text".to_owned()
                })?,
                other => other,
            };
            match &list {
                Value::Array(items) => match items.iter().position(|item| !item.is_object()) {
                    None => Ok(list),
                    Some(index) => Err(format!(
                        "must be an array of objects, but item {index} is none"
                    )),
                },
                other => Err(format!(
                    "must be an array of objects, found {}",
                    word(other)
                )),
            }
        }
    }
}

/// The type that a value has by itself, for requests that do not say one.
pub fn type_of(raw: &RawValue) -> DataType {
    match serde_json::from_str::<Value>(raw.get()) {
        Ok(Value::Array(_)) => DataType::List,
        Ok(Value::Bool(_)) => DataType::Boolean,
        Ok(Value::Number(number)) if number.is_i64() => DataType::Integer,
        Ok(Value::Number(_)) => DataType::Float,
        _ => DataType::String,
    }
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "another number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_type_reads_its_values_and_their_texts() {
        for (data_type, given, kept) in [
            (DataType::String, json!("k"), json!("k")),
            (DataType::String, json!(12), json!("12")),
            (DataType::String, json!(null), json!("")),
            (DataType::Integer, json!(" 12 "), json!(12)),
            (DataType::Integer, json!(-3), json!(-3)),
            (DataType::Float, json!("1.5"), json!(1.5)),
            (DataType::Float, json!(2), json!(2)),
            (DataType::Boolean, json!("TRUE"), json!(true)),
            (DataType::Boolean, json!("0"), json!(false)),
            (DataType::Boolean, json!(1), json!(true)),
            (
                DataType::List,
                json!("[{\"UPS\":\"GND\"}]"),
                json!([{"UPS": "GND"}]),
            ),
            (DataType::List, json!([]), json!([])),
        ] {
            assert_eq!(
                convert(given.clone(), data_type),
                Ok(kept),
                "{data_type:?} {given}"
            );
        }
    }

    #[test]
    fn what_is_of_another_type_is_told() {
        for (data_type, given, said) in [
            (DataType::Integer, json!("12.5"), "must be a whole number"),
            (DataType::Integer, json!(1.5), "must be a whole number"),
            (DataType::Float, json!("NaN"), "must be a number"),
            (DataType::Boolean, json!("yes"), "must be true or false"),
            (DataType::List, json!([{}, 1]), "item 1 is none"),
            (DataType::List, json!("[{"), "as a JSON text"),
            (
                DataType::String,
                json!({}),
                "must be a text, found an object",
            ),
        ] {
            let problem = convert(given.clone(), data_type).expect_err("of another type");
            assert!(problem.contains(said), "{data_type:?} {given}: {problem}");
        }
    }
}
