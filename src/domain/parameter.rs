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
