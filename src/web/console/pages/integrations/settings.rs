//! Services and settings of an application as a form, made from its endpoint.json, and the signup that it comes to.
//!
//! A parameter's field is named `p.` and its short name. What several services declare is asked for once. A stored secret is
//! never shown: an empty field keeps it.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;

use crate::{
    domain::{
        integration::{Allowed, FieldType, Integration, Service, ServiceParameter},
        key::IntegrationKey,
        registry::{Entry, Parameter, StoreSnapshot},
        signup::{Signup, short_name, whole_name},
    },
    web::console::{
        html::{Foreign, Mark, Problems, hidden, select_field, text_area, text_field},
        pages::mappings::pattern_text,
        people::{Fields, Person},
    },
};

/// A parameter that is asked for once, and the services that want it.
struct Wanted<'a> {
    short: &'a str,
    declared: &'a ServiceParameter,
    services: Vec<&'a str>,
    /// The short name of the boolean without which it does not matter.
    needs: Option<&'a str>,
}

impl Wanted<'_> {
    fn field(&self) -> String {
        field_of(self.short)
    }
}

fn field_of(short: &str) -> String {
    format!("p.{short}")
}

/// All parameters of all services in their order, those that a boolean enables right behind it.
fn wanted(integration: &Integration) -> Vec<Wanted<'_>> {
    let short = |name| short_name(&integration.name, name);
    let mut all: Vec<Wanted<'_>> = Vec::new();
    for service in &integration.services {
        for declared in &service.requires.parameters {
            let own = short(&declared.name);
            if let Some(known) = all.iter_mut().find(|one| one.short == own) {
                known.services.push(&service.name);
                continue;
            }
            let mut others = service.requires.parameters.iter();
            let control = others.find(|other| {
                short(&other.name) != own
                    && (other.enables.iter().any(|name| short(name) == own)
                        || (declared.depends_on.as_deref())
                            .is_some_and(|name| short(name) == short(&other.name)))
            });
            all.push(Wanted {
                short: own,
                declared,
                services: vec![&service.name],
                needs: control.map(|other| short(&other.name)),
            });
        }
    }
    let (free, bound): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.needs.is_none());
    let mut bound: Vec<Option<Wanted<'_>>> = bound.into_iter().map(Some).collect();
    let mut ordered = Vec::new();
    for one in free {
        let name = one.short;
        ordered.push(one);
        for slot in &mut bound {
            if slot.as_ref().is_some_and(|other| other.needs == Some(name)) {
                ordered.extend(slot.take());
            }
        }
    }
    // What depends on something that depends itself comes last.
    ordered.extend(bound.into_iter().flatten());
    ordered
}

/// What is stored under a parameter's whole name.
fn stored<'a>(
    store: &'a StoreSnapshot,
    integration: &Integration,
    short: &str,
) -> Option<&'a Parameter> {
    let whole = whole_name(&integration.name, short);
    let mut own = store.parameters.values();
    own.find(|entry| entry.value.name == whole)
        .map(|entry| &entry.value)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(_) => serde_json::to_string_pretty(value).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// The form. `typed`: what stood in it when it was refused.
pub fn form(
    person: &Person,
    store: &StoreSnapshot,
    entry: &Entry<IntegrationKey, Integration>,
    action: &str,
    typed: Option<&Fields>,
    problems: &Problems,
) -> Markup {
    let integration = &entry.value;
    let wanted = wanted(integration);
    let connected = is_connected(store, entry.key);
    html! {
        form method="post" action=(action) data-enables="" {
            (problems.summary()) (hidden("form_token", &person.form_token))
            fieldset { legend { "Services" } @for service in &integration.services { (service_row(store, entry, service, typed, connected)) } }
            @if !wanted.is_empty() { fieldset { legend { "Settings" }
                p .meta { "They become parameters of this store, sent along with the services that want them." }
                @for one in &wanted {
                    @let shown = field(store, integration, one, typed, problems);
                    @if let Some(needs) = one.needs {
                        div .bound data-needs=(field_of(needs)) { p .meta { "Matters only with " (Foreign(needs)) ":" } (shown) }
                    } @else { (shown) }
                }
            } }
            button .main name="action" value="signup" { @if connected { "Save services and settings" } @else { "Connect" } }
        }
    }
}

/// Whether somebody has signed up for it: it has mappings.
pub fn is_connected(store: &StoreSnapshot, key: IntegrationKey) -> bool {
    let mut mappings = store.mappings.values();
    mappings.any(|mapping| mapping.value.integration == Some(key))
}

fn service_row(
    store: &StoreSnapshot,
    entry: &Entry<IntegrationKey, Integration>,
    service: &Service,
    typed: Option<&Fields>,
    connected: bool,
) -> Markup {
    let name = whole_name(&entry.value.name, &service.name);
    let mapping = (store.mappings.values()).find(|mapping| mapping.value.name == name);
    let on = match typed {
        Some(typed) => typed.all("enabled").any(|name| name == service.name),
        None if connected => mapping.is_some_and(|mapping| mapping.value.enabled),
        None => true,
    };
    html! {
        div .service {
            label .check {
                input type="checkbox" name="enabled" value=(service.name) checked[on || service.required] disabled[service.required];
                span { strong { (Foreign(&service.name)) } @if !service.description.is_empty() { ": " (Foreign(&service.description)) } }
            }
            p .meta {
                @if service.required { "Needed by the application: it cannot be switched off. " }
                @if service.recommends.messages.is_empty() { "It recommends no message types: choose them in its mapping. " } @else { "Gets " @for pattern in &service.recommends.messages { code { (Foreign(&pattern_text(pattern))) } " " } }
                @if !service.recommends.filters.is_empty() { "with " (service.recommends.filters.len()) " filters " }
                @if let Some(schedule) = &service.recommends.schedule { "and is asked " (Foreign(&schedule.describe())) " " }
                @for (name, words) in &service.requires.other { span { "Needs " (Foreign(name)) ": " (Foreign(words)) " " } }
                @if let Some(mapping) = mapping { a href=(format!("/console/mappings/{}?store={}", mapping.id, store.store.id)) { "Its mapping" } @if !mapping.value.enabled { " (off)" } }
            }
        }
    }
}

/// Who wants it, what it is for, and how it may look.
fn hint(one: &Wanted<'_>, kept: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    if kept {
        parts.push("Set, and kept secret. Leave it empty to keep it.".into());
    }
    if !one.declared.description.is_empty() {
        let words: String = one.declared.description.chars().take(300).collect();
        let words = words.trim();
        let end = if words.ends_with(['.', '!', '?', ':', ')']) {
            ""
        } else {
            "."
        };
        parts.push(format!("{words}{end}"));
    }
    match &one.declared.allowed {
        Some(Allowed::Pattern(pattern)) => parts.push(format!("Must match {pattern}")),
        Some(Allowed::Values(values)) if one.declared.data_type == FieldType::List => {
            parts.push(format!("Each one of {}", values.join(", ")));
        }
        _ => {}
    }
    match one.declared.data_type {
        FieldType::List => parts.push("A JSON array of objects.".into()),
        FieldType::Integer => parts.push("A whole number.".into()),
        _ => {}
    }
    if one.declared.optional {
        parts.push("May stay empty.".into());
    }
    parts.push(format!("For {}.", one.services.join(", ")));
    crate::web::console::html::plain(&parts.join(" "))
}

fn field(
    store: &StoreSnapshot,
    integration: &Integration,
    one: &Wanted<'_>,
    typed: Option<&Fields>,
    problems: &Problems,
) -> Markup {
    let name = one.field();
    let known = stored(store, integration, one.short);
    let kept = known.is_some_and(|known| known.secret);
    let value = match (typed, known) {
        (Some(typed), _) => typed.raw(&name).to_owned(),
        (None, Some(known)) if !known.secret => text_of(&known.value),
        (None, Some(_)) => String::new(),
        (None, None) => one
            .declared
            .default
            .as_ref()
            .map_or_else(String::new, text_of),
    };
    let hint = hint(one, kept);
    let label = crate::web::console::html::plain(one.short);
    match (one.declared.data_type, &one.declared.allowed) {
        (FieldType::Boolean, _) => boolean(&name, &label, &value, &hint, kept, problems),
        (FieldType::List, _) => text_area(&name, &label, 4, &value, &hint, problems),
        (_, Some(Allowed::Values(values))) => {
            let nothing = if kept {
                Some(("", "as it is (kept secret)"))
            } else if one.declared.optional || value.is_empty() {
                Some(("", "nothing"))
            } else {
                None
            };
            let values = values.iter().map(|value| (value.as_str(), value.as_str()));
            select_field(
                &name,
                &label,
                nothing.into_iter().chain(values),
                &value,
                &hint,
                problems,
            )
        }
        (FieldType::Password, _) => text_field(&name, &label, "password", "", &hint, problems),
        (FieldType::Integer, _) => text_field(&name, &label, "number", &value, &hint, problems),
        _ => text_field(&name, &label, "text", &value, &hint, problems),
    }
}

/// A box to check; where the stored value is secret, a choice that can leave it alone.
fn boolean(
    name: &str,
    label: &str,
    value: &str,
    hint: &str,
    kept: bool,
    problems: &Problems,
) -> Markup {
    if kept {
        let choices = [
            ("", "as it is (kept secret)"),
            ("true", "yes"),
            ("false", "no"),
        ];
        return select_field(name, label, choices, value, hint, problems);
    }
    html! {
        div .field {
            label .check { input #(name) type="checkbox" name=(name) value="true" checked[value == "true"] aria-describedby=(format!("{name}-hint")); span { strong { (label) } } }
            p .hint id=(format!("{name}-hint")) { (hint) }
        }
    }
}

/// What the form's fields mean as a signup. Booleans are always said, as the fields that they enable hang on them.
pub fn signup_of(fields: &Fields, store: &StoreSnapshot, integration: &Integration) -> Signup {
    let mut parameters = BTreeMap::new();
    for one in wanted(integration) {
        let typed = fields.raw(&one.field());
        let kept = stored(store, integration, one.short).is_some_and(|known| known.secret);
        let is_box = one.declared.data_type == FieldType::Boolean && !kept;
        if !typed.trim().is_empty() {
            parameters.insert(one.short.to_owned(), Value::from(typed));
        } else if is_box {
            parameters.insert(one.short.to_owned(), Value::Bool(false));
        }
    }
    Signup {
        parameters,
        enabled: fields.all("enabled").map(str::to_owned).collect(),
    }
}

/// The sentences of a refused signup, each at its field.
pub fn problems_of_signup(errors: &[String]) -> Problems {
    let mut problems = Problems::default();
    for sentence in errors {
        match sentence
            .strip_prefix("parameters.")
            .and_then(|rest| rest.split_once(": "))
        {
            Some((short, said)) => problems.add(&field_of(short), format!("{short} {said}")),
            None => problems.add("main", sentence.clone()),
        }
    }
    problems
}

/// Its warnings and errors in plain words, and what to do about them.
pub fn complaints(integration: &Integration) -> Markup {
    html! {
        @if !integration.error_messages.is_empty() { div .notice .bad { span .s-parked { (Mark::Parked.shape()) } div {
            p { strong { "Its description cannot be used." } }
            ul { @for sentence in &integration.error_messages { li { (Foreign(sentence)) } } }
            p .muted { "Is the address right, and does the application run? It is read again every five minutes, or at once with \"Read it again\". An application that has no endpoint.json can have its services entered by hand." }
        } } }
        @if !integration.warnings.is_empty() { details .fold { summary { (integration.warnings.len()) @if integration.warnings.len() == 1 { " thing is" } @else { " things are" } " odd in its description, and was understood all the same" }
            ul { @for sentence in &integration.warnings { li { (Foreign(sentence)) } } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn acme() -> Integration {
        let parameter = |name: &str, more: Value| {
            let mut whole = json!({ "name": name });
            if let (Some(whole), Some(more)) = (whole.as_object_mut(), more.as_object()) {
                whole.extend(more.clone());
            }
            whole
        };
        serde_json::from_value(json!({
            "name": "acme", "url": "https://acme.example", "category": "shipping",
            "services": [
                {"name": "send", "path": "/send", "requires": {"parameters": [
                    parameter("insurer", json!({"depends_on": "insured"})),
                    parameter("acme.api_key", json!({"data_type": "password"})),
                    parameter("insured", json!({"data_type": "boolean", "enables": ["sum"]})),
                    parameter("sum", json!({"data_type": "integer"}))]}},
                {"name": "cancel", "path": "/cancel", "requires": {"parameters": [parameter("api_key", json!({}))]}},
            ],
        }))
        .expect("an integration")
    }

    #[test]
    fn what_a_box_enables_stands_behind_it_and_nothing_is_asked_twice() {
        let acme = acme();
        let asked: Vec<_> = wanted(&acme)
            .iter()
            .map(|one| (one.short.to_owned(), one.needs.map(str::to_owned)))
            .collect();
        let needs = Some("insured".to_owned());
        assert_eq!(
            asked,
            [
                ("api_key".to_owned(), None),
                ("insured".to_owned(), None),
                ("insurer".to_owned(), needs.clone()),
                ("sum".to_owned(), needs),
            ]
        );
        assert_eq!(wanted(&acme)[0].services, ["send", "cancel"]);
    }

    #[test]
    fn a_refused_value_is_told_at_its_field() {
        let problems = problems_of_signup(&[
            "parameters.speed: must be one of slow, fast".to_owned(),
            "services: acme has none yet".to_owned(),
        ]);
        assert_eq!(
            problems.0,
            [
                (
                    "p.speed".to_owned(),
                    "speed must be one of slow, fast".to_owned()
                ),
                ("main".to_owned(), "services: acme has none yet".to_owned()),
            ]
        );
    }
}
