//! Parameters: per-store configuration values sent along with service requests.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest value, in bytes of its JSON text.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// The type a parameter's value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// True or false.
    Boolean,
    /// A list of objects; arrives as an array or as a JSON string of one.
    List,
}

impl DataType {
    /// Whether a value is of this type, or a text that says one: endpoints send most things as texts.
    #[must_use]
    pub fn holds(self, value: &serde_json::Value) -> bool {
        let text = value.as_str().map(str::trim);
        match self {
            Self::String => text.is_some(),
            Self::Integer => {
                value.is_i64()
                    || value.is_u64()
                    || text.is_some_and(|text| text.parse::<i64>().is_ok())
            }
            Self::Float => {
                value.is_number() || text.is_some_and(|text| text.parse::<f64>().is_ok())
            }
            Self::Boolean => {
                value.is_boolean() || matches!(text, Some("true" | "false" | "1" | "0"))
            }
            Self::List => value.is_array() || text.is_some_and(|text| text.starts_with('[')),
        }
    }

    /// The word used on the wire: `string`, `integer`, ...
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::List => "list",
        }
    }

    /// Reads a value as this type and gives its normal form, as it is stored and sent.
    ///
    /// | type | taken | stored |
    /// |---|---|---|
    /// | string | a text; a number, true or false as its text; null as the empty one | a text, white space kept |
    /// | integer | a whole number in 64 bits, or a text of one | a number |
    /// | float | a finite number, or a text of one | a number |
    /// | boolean | true, false, 1, 0, or a text of these, `yes`, `no`, `on`, `off` | true or false |
    /// | list | an array of objects, a single object (a list of one), or a text holding either as JSON | an array |
    ///
    /// Forms send everything as text and a list as JSON inside it (WIRE A.2), hence the leniency.
    ///
    /// # Errors
    /// The end of a sentence whose subject is the parameter: `must be a whole number`. It never repeats the value, which may be
    /// a secret.
    pub fn read(self, value: &Value) -> Result<Value, String> {
        let read = match self {
            Self::String => match value {
                Value::String(_) => Some(value.clone()),
                Value::Number(number) => Some(Value::String(number.to_string())),
                Value::Bool(flag) => Some(Value::String(flag.to_string())),
                Value::Null => Some(Value::String(String::new())),
                _ => None,
            },
            Self::Integer => integer_of(value).map(Value::from),
            Self::Float => float_of(value),
            Self::Boolean => boolean_of(value).map(Value::Bool),
            Self::List => list_of(value),
        };
        let read = read.ok_or_else(|| {
            match self {
                Self::String => "must be a text",
                Self::Integer => "must be a whole number",
                Self::Float => "must be a number",
                Self::Boolean => "must be true or false",
                Self::List => "must be an array of objects, or a text holding one as JSON",
            }
            .to_owned()
        })?;
        let bytes = match &read {
            Value::String(text) => text.len(),
            Value::Array(_) => read.to_string().len(),
            _ => 0,
        };
        if bytes > MAX_VALUE_BYTES {
            return Err(format!("is longer than {MAX_VALUE_BYTES} bytes"));
        }
        Ok(read)
    }
}

fn integer_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| whole(text.parse().ok()?))
        }
        _ => None,
    }
}

/// A whole number that a double holds exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    // The bound keeps the conversion exact.
    #[allow(clippy::cast_possible_truncation)]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn float_of(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => {
            let number: f64 = text.trim().parse().ok()?;
            // `NaN` and `inf` have no JSON form.
            serde_json::Number::from_f64(number).map(Value::Number)
        }
        _ => None,
    }
}

fn boolean_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64()? {
            1.0 => Some(true),
            0.0 => Some(false),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn list_of(value: &Value) -> Option<Value> {
    let list = match value {
        Value::String(text) if text.trim().is_empty() => Value::Array(Vec::new()),
        Value::String(text) => serde_json::from_str(text).ok()?,
        other => other.clone(),
    };
    match list {
        Value::Object(_) => Some(Value::Array(vec![list])),
        Value::Array(items) if items.iter().all(Value::is_object) => Some(Value::Array(items)),
        _ => None,
    }
}

/// A parameter of an endpoint's answer, to be saved.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ReturnedParameter {
    /// Its full name, already prefixed where the endpoint prefixes.
    pub name: String,
    /// Its value.
    pub value: serde_json::Value,
}

impl std::fmt::Debug for ReturnedParameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReturnedParameter")
            .field("name", &self.name)
            .field("value", &"***")
            .finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_form_sends_as_text_gets_its_type() {
        assert_eq!(DataType::Integer.read(&json!(" 42 ")), Ok(json!(42)));
        assert_eq!(DataType::Integer.read(&json!("42.0")), Ok(json!(42)));
        assert_eq!(DataType::Float.read(&json!("2.5")), Ok(json!(2.5)));
        assert_eq!(DataType::Boolean.read(&json!("1")), Ok(json!(true)));
        assert_eq!(DataType::Boolean.read(&json!("OFF")), Ok(json!(false)));
        assert_eq!(DataType::String.read(&json!(12)), Ok(json!("12")));
    }

    #[test]
    fn a_list_arrives_as_an_array_an_object_or_json_in_a_text() {
        let list = json!([{"Ground": "GND"}]);
        assert_eq!(DataType::List.read(&list), Ok(list.clone()));
        assert_eq!(
            DataType::List.read(&json!({"Ground": "GND"})),
            Ok(list.clone())
        );
        assert_eq!(
            DataType::List.read(&json!("[{\"Ground\":\"GND\"}]")),
            Ok(list)
        );
        assert_eq!(DataType::List.read(&json!("")), Ok(json!([])));
    }

    #[test]
    fn a_refusal_says_what_is_expected_and_never_repeats_the_value() {
        for (kind, value) in [
            (DataType::Integer, json!("s3cret")),
            (DataType::Integer, json!(1.5)),
            (DataType::Float, json!("NaN")),
            (DataType::Boolean, json!("s3cret")),
            (DataType::List, json!("s3cret")),
            (DataType::List, json!([{}, "s3cret"])),
            (DataType::String, json!(["s3cret"])),
        ] {
            let sentence = kind.read(&value).unwrap_err();
            assert!(sentence.starts_with("must be"), "{sentence}");
            assert!(!sentence.contains("s3cret"));
        }
    }

    #[test]
    fn a_value_has_a_greatest_length() {
        let long = json!("x".repeat(MAX_VALUE_BYTES + 1));
        assert!(DataType::String.read(&long).unwrap_err().contains("longer"));
    }

    proptest! {
        #[test]
        fn reading_twice_is_reading_once(text in ".{0,40}", number in any::<i64>(), float in any::<f64>(), flag: bool) {
            let values = [json!(text), json!(number), json!(float), json!(flag), json!([{"a": text}])];
            for kind in [DataType::String, DataType::Integer, DataType::Float, DataType::Boolean, DataType::List] {
                for value in &values {
                    if let Ok(read) = kind.read(value) {
                        prop_assert_eq!(kind.read(&read), Ok(read));
                    }
                }
            }
        }
    }
}
