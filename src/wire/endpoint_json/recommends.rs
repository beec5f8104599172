//! What a service recommends for its mapping: messages, identifiers, filters, options, a schedule.

use serde_json::{Map, Value};

use super::{
    MAX_ITEMS, Reader,
    words::{looks_like_pattern, retype},
};
use crate::domain::{
    filter::{CompiledFilters, Filter},
    identifier::{IdentifierError, Identifiers},
    integration::Recommends,
    lookup::PathSet,
    message_type::TypePattern,
    registry::Dialect,
    schedule::ScheduleFields,
    settle::cut,
};

impl Reader {
    /// Reads what a service's mapping should be like.
    pub(super) fn read_recommends(
        &mut self,
        mut section: Map<String, Value>,
        place: &str,
    ) -> Recommends {
        let place = format!("{place}.recommends");
        let mut recommends = Recommends::default();
        let messages = self.either(&mut section, &place, &["messages", "keys"]);
        for name in self.names(messages, &format!("{place}.messages")) {
            match TypePattern::parse(name.trim()) {
                Ok(pattern) if recommends.messages.contains(&pattern) => {}
                Ok(pattern) => recommends.messages.push(pattern),
                Err(error) => self.warn(format!(
                    "{place}.messages: {} {error}; it was left out",
                    cut(&name, 100)
                )),
            }
        }
        recommends.identifiers = self.read_identifiers(section.remove("identifiers"), &place);
        for name in ["event_key", "events_key", "events", "event_details"] {
            if section.remove(name).is_some() {
                self.warn(format!(
                    "{place}.{name}: is a hint of 2013 that has no use any more"
                ));
            }
        }
        recommends.filters = self.read_filters(section.remove("filters"), &place);
        let mut options = self.section(&mut section, &place, &["options"]);
        // A few files have it one level up.
        for name in ["retries_allowed", "allow_retries"] {
            if let Some(value) = section.remove(name) {
                options.insert(name.to_owned(), value);
            }
        }
        let retries = self.either(
            &mut options,
            &format!("{place}.options"),
            &["retries_allowed", "allow_retries"],
        );
        recommends.options.retries_allowed =
            self.flag(retries, &format!("{place}.options.retries_allowed"));
        recommends.options.dialect = match options.remove("dialect") {
            Some(Value::String(word)) if word == "2" => Some(Dialect::Two),
            Some(Value::Number(number)) if number.as_u64() == Some(2) => Some(Dialect::Two),
            _ => None,
        };
        if let Some(value) = section.remove("schedule").filter(|value| !value.is_null()) {
            let read = serde_json::from_value::<ScheduleFields>(value)
                .map_err(|_| "must be an object of count and interval".to_owned())
                .and_then(|fields| fields.check().map_err(|error| error.to_string()));
            match read {
                Ok(schedule) => recommends.schedule = Some(schedule),
                Err(problem) => self.warn(format!("{place}.schedule: {problem}; it was left out")),
            }
        }
        recommends
    }

    fn read_identifiers(&mut self, value: Option<Value>, place: &str) -> Identifiers {
        let mut identifiers = Identifiers::default();
        match retype(value) {
            None => {}
            Some(Value::Object(object)) => {
                for (name, path) in object {
                    let added = match path.as_str() {
                        Some(path) => identifiers
                            .add(&name, path)
                            .map_err(|error: IdentifierError| error.to_string()),
                        None => Err("must be a path".to_owned()),
                    };
                    if let Err(problem) = added {
                        self.warn(format!(
                            "{place}.identifiers.{}: {problem}; it was left out",
                            cut(&name, 100)
                        ));
                    }
                }
            }
            Some(_) => self.warn(format!(
                "{place}.identifiers: must be an object of names and paths; it was left out"
            )),
        }
        identifiers
    }

    fn read_filters(&mut self, value: Option<Value>, place: &str) -> Vec<Filter> {
        let items = match retype(value) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(object @ Value::Object(_)) => vec![object],
            Some(_) => {
                self.warn(format!(
                    "{place}.filters: must be an array; it was left out"
                ));
                return Vec::new();
            }
        };
        let mut filters = Vec::new();
        for (index, mut item) in items.into_iter().take(MAX_ITEMS).enumerate() {
            let place = format!("{place}.filters[{index}]");
            let text = |name| item.get(name).and_then(Value::as_str);
            if text("operator") == Some("contains") && text("value").is_some_and(looks_like_pattern)
            {
                self.warn(format!(
                    "{place}: contains with what looks like a regular expression was read as match"
                ));
                item["operator"] = Value::from("match");
            }
            match serde_json::from_value::<Filter>(item) {
                Ok(filter) => filters.push(filter),
                Err(error) => self.warn(format!("{place}: {error}; it was left out")),
            }
        }
        if let Err(error) = CompiledFilters::compile(&filters, &mut PathSet::new()) {
            self.warn(format!("{place}.{error}; all filters were left out"));
            filters.clear();
        }
        filters
    }
}
