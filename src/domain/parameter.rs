//! Parameters: per-store configuration values sent along with service requests.

use serde::{Deserialize, Serialize};

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
