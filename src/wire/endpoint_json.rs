//! endpoint.json: how an application describes itself, in every spelling that was ever published (WIRE part C).
//!
//! Reading never gives up early: what can be understood is kept in its clean form, and there are two lists of sentences. *Errors* make
//! the application unusable (it is not JSON, it has no service). *Warnings* tell which old spelling was read as what, and what was
//! left out: a bad filter, a pattern that cannot be compiled. Of an application with five services one of which has no path, four are usable.

use serde_json::{Map, Value};

use crate::domain::{
    integration::{
        Allowed, EndpointDescription, FieldType, Requires, Service, ServiceParameter, compile,
        is_name,
    },
    parameter::DataType,
    settle::cut,
};

mod recommends;
mod words;

use words::field_type;

/// The longest document, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most services of one application.
pub const MAX_SERVICES: usize = 200;

/// The most parameters of one service.
pub const MAX_PARAMETERS: usize = 200;

/// The most message types, filters, allowed values or enabled names that are taken of one list.
const MAX_ITEMS: usize = 200;

/// The longest line, in characters.
const LINE_CHARS: usize = 300;

/// The longest text, in characters.
const TEXT_CHARS: usize = 10_000;

/// The most sentences of one kind.
const MAX_SENTENCES: usize = 100;

/// Reads the document as it came over the network.
#[must_use]
pub fn read(body: &[u8]) -> EndpointDescription {
    let reader = Reader::default();
    if body.len() > MAX_BYTES {
        return reader.unusable(format!(
            "endpoint.json: is {} bytes long, at most {MAX_BYTES} are read",
            body.len()
        ));
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return reader.unusable("endpoint.json: is not UTF-8".to_owned());
    };
    let text = text.trim_start_matches('\u{feff}');
    match serde_json::from_str(text) {
        Ok(Value::Object(document)) => reader.read(document),
        Ok(_) => reader.unusable("endpoint.json: must be an object".to_owned()),
        Err(_) if text.trim_start().starts_with('<') => reader.unusable(
            "endpoint.json: is a web page and not JSON; is the address the application's?"
                .to_owned(),
        ),
        Err(error) => reader.unusable(format!("endpoint.json: is not JSON: {error}")),
    }
}

/// Reads services that a person entered: an array as in endpoint.json, with the same leniency, or an object holding one.
/// Only `services`, `error_messages` and `warnings` of the answer are filled.
#[must_use]
pub fn read_services(services: &Value) -> EndpointDescription {
    let mut document = Map::new();
    match services {
        Value::Object(object) => document = object.clone(),
        other => {
            document.insert("services".to_owned(), other.clone());
        }
    }
    // Name and texts of the integration are given elsewhere.
    for name in ["display", "description", "help", "icon_url"] {
        document.remove(name);
    }
    let mut description = Reader {
        by_hand: true,
        ..Reader::default()
    }
    .read(document);
    description.name = None;
    description
}

/// One reading: what was found so far.
#[derive(Default)]
struct Reader {
    out: EndpointDescription,
    by_hand: bool,
}

impl Reader {
    fn unusable(mut self, sentence: String) -> EndpointDescription {
        self.error(sentence);
        self.out
    }

    fn error(&mut self, sentence: String) {
        push_sentence(&mut self.out.error_messages, sentence);
    }

    fn warn(&mut self, sentence: String) {
        push_sentence(&mut self.out.warnings, sentence);
    }

    fn read(mut self, mut document: Map<String, Value>) -> EndpointDescription {
        if !self.by_hand {
            self.read_name(document.remove("name"));
        }
        self.out.display = self.text(document.remove("display"), "display", LINE_CHARS);
        self.out.description = self.text(document.remove("description"), "description", TEXT_CHARS);
        self.out.help = self.text(document.remove("help"), "help", TEXT_CHARS);
        self.out.icon_url = self.text(document.remove("icon_url"), "icon_url", LINE_CHARS);
        let services = self.either(&mut document, "", &["services", "consumers"]);
        match services {
            Some(Value::Array(services)) if services.is_empty() => self.error(
                "services: is empty; enter the services by hand if the application has any"
                    .to_owned(),
            ),
            Some(Value::Array(services)) => self.read_services(services),
            Some(_) => self.error("services: must be an array of objects".to_owned()),
            None => self.error(
                "services: is missing; enter the services by hand if the application has any"
                    .to_owned(),
            ),
        }
        self.out
    }

    fn read_name(&mut self, name: Option<Value>) {
        match name {
            Some(Value::String(name)) if is_name(name.trim()) => {
                self.out.name = Some(name.trim().to_owned());
            }
            None => self.warn("name: is missing; the registered name is used".to_owned()),
            Some(_) => self.warn(
                "name: must be small letters, digits, - and _; the registered name is used"
                    .to_owned(),
            ),
        }
    }

    fn read_services(&mut self, services: Vec<Value>) {
        if services.len() > MAX_SERVICES {
            self.warn(format!(
                "services: {} given, the first {MAX_SERVICES} were read",
                services.len()
            ));
        }
        for (index, service) in services.into_iter().take(MAX_SERVICES).enumerate() {
            let place = format!("services[{index}]");
            match service {
                Value::Object(object) => self.read_service(object, &place),
                _ => self.warn(format!("{place}: is no object and was left out")),
            }
        }
        if self.out.services.is_empty() {
            self.error("services: none of them can be used".to_owned());
        }
    }

    fn read_service(&mut self, mut object: Map<String, Value>, place: &str) {
        let name = self.text(object.remove("name"), &format!("{place}.name"), LINE_CHARS);
        let path = self.text(object.remove("path"), &format!("{place}.path"), 500);
        let Some(name) = name.filter(|name| is_name(name)) else {
            return self.warn(format!(
                "{place}.name: must be small letters, digits, - and _; the service was left out"
            ));
        };
        let place = format!("services.{name}");
        if self.out.services.iter().any(|own| own.name == name) {
            return self.warn(format!("{place}: stands twice; the first one counts"));
        }
        let Some(path) = path else {
            return self.warn(format!(
                "{place}.path: is missing; the service was left out"
            ));
        };
        if path.contains(|c: char| c.is_whitespace() || c.is_control()) || path.contains("://") {
            return self.warn(format!(
                "{place}.path: must be a path such as /{name}; the service was left out"
            ));
        }
        let path = format!("/{}", path.trim_start_matches('/'));
        let description = self
            .text(
                object.remove("description"),
                &format!("{place}.description"),
                TEXT_CHARS,
            )
            .unwrap_or_default();
        let required = self.flag(object.remove("required"), &format!("{place}.required"));
        let requires = self.section(&mut object, &place, &["requires"]);
        let requires = self.read_requires(requires, &place);
        let recommends = self.section(
            &mut object,
            &place,
            &["recommends", "reccomends", "recomends"],
        );
        let recommends = self.read_recommends(recommends, &place);
        // What a service produces was dropped from the protocol within a year; the hub never used it.
        object.remove("produces");
        self.out.services.push(Service {
            name,
            path,
            description,
            required: required.unwrap_or(false),
            requires,
            recommends,
        });
    }

    fn read_requires(&mut self, mut section: Map<String, Value>, place: &str) -> Requires {
        let place = format!("{place}.requires");
        section.remove("humanizers");
        let parameters = self.either(
            &mut section,
            &place,
            &["parameters", "paramaters", "paramters", "params"],
        );
        let mut requires = Requires::default();
        match parameters {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                if items.len() > MAX_PARAMETERS {
                    self.warn(format!(
                        "{place}.parameters: {} given, the first {MAX_PARAMETERS} were read",
                        items.len()
                    ));
                }
                for (index, item) in items.into_iter().take(MAX_PARAMETERS).enumerate() {
                    let place = format!("{place}.parameters[{index}]");
                    if let Some(parameter) = self.read_parameter(item, &place) {
                        if requires
                            .parameters
                            .iter()
                            .any(|own| own.name == parameter.name)
                        {
                            self.warn(format!(
                                "{place}: {} stands twice; the first one counts",
                                parameter.name
                            ));
                        } else {
                            requires.parameters.push(parameter);
                        }
                    }
                }
            }
            Some(_) => self.warn(format!(
                "{place}.parameters: must be an array; it was left out"
            )),
        }
        for (name, value) in section.into_iter().take(MAX_ITEMS) {
            match value {
                Value::String(text) => {
                    requires
                        .other
                        .insert(cut(&name, LINE_CHARS), cut(&text, TEXT_CHARS));
                }
                _ => self.warn(format!(
                    "{place}.{}: is no text and was left out",
                    cut(&name, 100)
                )),
            }
        }
        requires
    }

    fn read_parameter(&mut self, item: Value, place: &str) -> Option<ServiceParameter> {
        let mut object = match item {
            Value::Object(object) => object,
            Value::String(name) => {
                self.warn(format!("{place}: is a bare text, read as its name"));
                Map::from_iter([("name".to_owned(), Value::String(name))])
            }
            _ => {
                self.warn(format!("{place}: is no object and was left out"));
                return None;
            }
        };
        let name = self.text(object.remove("name"), &format!("{place}.name"), LINE_CHARS);
        // Dots are allowed here: `order_confirmation.from`.
        let Some(name) =
            name.filter(|name| name.len() <= 200 && !name.contains(char::is_whitespace))
        else {
            self.warn(format!(
                "{place}.name: is missing or has blanks; the parameter was left out"
            ));
            return None;
        };
        let place = place.rsplit_once('[').map_or(place, |(list, _)| list);
        let place = format!("{place}.{name}");
        let description = match object.remove("description") {
            None if object.get("value").is_some_and(Value::is_string) => {
                self.warn(format!("{place}: the description was found under value"));
                object.remove("value")
            }
            other => other,
        };
        let description = self
            .text(description, &format!("{place}.description"), TEXT_CHARS)
            .unwrap_or_default();
        let data_type =
            self.read_type(object.remove("data_type").or(object.remove("type")), &place);
        let default = self.read_default(object.remove("default"), data_type.data_type(), &place);
        let allowed = self.read_allowed(object.remove("allowed"), &place);
        let optional = self.flag(object.remove("optional"), &format!("{place}.optional"));
        Some(ServiceParameter {
            enables: self.names(object.remove("enables"), &format!("{place}.enables")),
            depends_on: self.text(
                object.remove("depends_on"),
                &format!("{place}.depends_on"),
                LINE_CHARS,
            ),
            name,
            description,
            data_type,
            default,
            allowed,
            optional: optional.unwrap_or(false),
        })
    }

    fn read_type(&mut self, value: Option<Value>, place: &str) -> FieldType {
        let word = match value {
            None | Some(Value::Null) => return FieldType::String,
            Some(Value::String(word)) => word,
            Some(_) => String::new(),
        };
        let (kind, known) = field_type(&word);
        if !known {
            self.warn(format!(
                "{place}.data_type: {} is not known and was read as {}",
                cut(&word, 40),
                kind.data_type().word()
            ));
        }
        kind
    }

    fn read_default(&mut self, value: Option<Value>, kind: DataType, place: &str) -> Option<Value> {
        let value = value.filter(|value| !value.is_null() && value.as_str() != Some(""))?;
        match kind.read(&value) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.warn(format!("{place}.default: {problem}; it was left out"));
                None
            }
        }
    }

    fn read_allowed(&mut self, value: Option<Value>, place: &str) -> Option<Allowed> {
        match value? {
            Value::Null => None,
            Value::String(pattern) if pattern.trim().is_empty() => None,
            Value::String(pattern) => match compile(&pattern) {
                Ok(_) if pattern.len() <= 1_000 => Some(Allowed::Pattern(pattern)),
                _ => {
                    self.warn(format!(
                        "{place}.allowed: is no regular expression that this hub can use; every value is accepted"
                    ));
                    None
                }
            },
            Value::Array(items) if items.is_empty() => None,
            Value::Array(items) => Some(Allowed::Values(
                items
                    .iter()
                    .take(1_000)
                    .filter_map(|item| match item {
                        Value::String(text) => Some(text.clone()),
                        Value::Number(number) => Some(number.to_string()),
                        Value::Bool(flag) => Some(flag.to_string()),
                        _ => None,
                    })
                    .collect(),
            )),
            _ => {
                self.warn(format!("{place}.allowed: must be a list or a regular expression; every value is accepted"));
                None
            }
        }
    }

    /// The first of several spellings that is there; another than the first is told.
    fn either(
        &mut self,
        section: &mut Map<String, Value>,
        place: &str,
        names: &[&str],
    ) -> Option<Value> {
        let mut found = None;
        for name in names {
            let Some(value) = section.remove(*name) else {
                continue;
            };
            let dot = if place.is_empty() { "" } else { "." };
            if found.is_some() {
                self.warn(format!(
                    "{place}{dot}{name}: was left out, since {} is there too",
                    names[0]
                ));
                continue;
            }
            if *name != names[0] {
                self.warn(format!("{place}{dot}{name}: was read as {}", names[0]));
            }
            found = Some(value);
        }
        found
    }

    /// An object under one of several spellings; anything else is empty.
    fn section(
        &mut self,
        object: &mut Map<String, Value>,
        place: &str,
        names: &[&str],
    ) -> Map<String, Value> {
        match self.either(object, place, names) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(section)) => section,
            Some(Value::Array(items)) if items.is_empty() => Map::new(),
            Some(_) => {
                self.warn(format!(
                    "{place}.{}: must be an object; it was left out",
                    names[0]
                ));
                Map::new()
            }
        }
    }

    /// A text without blanks around it; numbers and booleans as text; nothing for null and the empty text.
    fn text(&mut self, value: Option<Value>, place: &str, chars: usize) -> Option<String> {
        let text = match value? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null => return None,
            _ => {
                self.warn(format!("{place}: must be a text; it was left out"));
                return None;
            }
        };
        let text = text.trim();
        if text.chars().count() > chars {
            self.warn(format!("{place}: was cut after {chars} characters"));
        }
        (!text.is_empty()).then(|| cut(text, chars))
    }

    fn flag(&mut self, value: Option<Value>, place: &str) -> Option<bool> {
        let value = value.filter(|value| !value.is_null())?;
        let read = DataType::Boolean.read(&value);
        if read.is_err() {
            self.warn(format!("{place}: must be true or false; it was left out"));
        }
        read.ok()?.as_bool()
    }

    /// Texts of an array; a single text counts as an array of one.
    fn names(&mut self, value: Option<Value>, place: &str) -> Vec<String> {
        match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(items)) => {
                let count = items.len();
                let names: Vec<String> = items
                    .into_iter()
                    .filter_map(|item| item.as_str().map(|text| cut(text, LINE_CHARS)))
                    .take(MAX_ITEMS)
                    .collect();
                if names.len() < count {
                    self.warn(format!(
                        "{place}: {} items were left out",
                        count - names.len()
                    ));
                }
                names
            }
            Some(_) => {
                self.warn(format!(
                    "{place}: must be an array of texts; it was left out"
                ));
                Vec::new()
            }
        }
    }
}

fn push_sentence(list: &mut Vec<String>, sentence: String) {
    match list.len() {
        len if len < MAX_SENTENCES => list.push(cut(&sentence, 500)),
        MAX_SENTENCES => list.push("and more of this kind".to_owned()),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/endpoint_json.rs"]
mod tests;
