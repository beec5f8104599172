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
    data_type.read(&value)
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
}
