//! Fields of forms: a label each, hints and complaints tied to them, and a summary on top that leads there.

use maud::{Markup, html};

use super::foreign::{Foreign, plain};

/// What is wrong with a form: field and sentence.
#[derive(Debug, Clone, Default)]
pub struct Problems(pub Vec<(String, String)>);

impl Problems {
    /// Adds a complaint about a field.
    pub fn add(&mut self, field: &str, sentence: impl Into<String>) {
        self.0.push((field.to_owned(), sentence.into()));
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, field: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _)| own == field)
            .map(|(_, sentence)| sentence.as_str())
    }

    /// All complaints with links to their fields; nothing when there are none.
    #[must_use]
    pub fn summary(&self) -> Markup {
        html! {
            @if !self.0.is_empty() {
                div .notice .bad role="alert" tabindex="-1" autofocus {
                    div {
                        p { strong { "Not saved yet." } " What you typed is still here:" }
                        ul { @for (field, sentence) in &self.0 { li { a href=(format!("#{field}")) { (sentence) } } } }
                    }
                }
            }
        }
    }
}

/// A line of text. `kind` is the input's type, `hint` may be empty.
#[must_use]
pub fn text_field(
    name: &str,
    label: &str,
    kind: &str,
    value: &str,
    hint: &str,
    problems: &Problems,
) -> Markup {
    let wrong = problems.of(name);
    let described = format!("{name}-hint");
    let complete = match (kind, name) {
        ("password", "new_password" | "again") => "new-password",
        ("password", "password") => "current-password",
        ("password", _) => "off",
        (_, "name") => "off",
        _ => "on",
    };
    html! {
        div .field {
            label for=(name) { (label) }
            input #(name) name=(name) type=(kind) value=(value) autocomplete=(complete) spellcheck="false"
                aria-describedby=[(!hint.is_empty()).then_some(&described)] aria-invalid=[wrong.map(|_| "true")];
            @if !hint.is_empty() { p .hint id=(described) { (hint) } }
            @if let Some(wrong) = wrong { p .wrong { (wrong) } }
        }
    }
}

/// Many lines of text.
#[must_use]
pub fn text_area(
    name: &str,
    label: &str,
    rows: u32,
    value: &str,
    hint: &str,
    problems: &Problems,
) -> Markup {
    let wrong = problems.of(name);
    let described = format!("{name}-hint");
    html! {
        div .field {
            label for=(name) { (label) }
            // The line break after the tag is dropped by browsers, so a value that begins with one keeps it.
            textarea #(name) name=(name) rows=(rows) spellcheck="false" aria-describedby=[(!hint.is_empty()).then_some(&described)]
                aria-invalid=[wrong.map(|_| "true")] { "\n" (value) }
            @if !hint.is_empty() { p .hint id=(described) { (hint) } }
            @if let Some(wrong) = wrong { p .wrong { (wrong) } }
        }
    }
}

/// One of several values, each with its words.
#[must_use]
pub fn select_field<'a>(
    name: &str,
    label: &str,
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
    chosen: &str,
    hint: &str,
    problems: &Problems,
) -> Markup {
    let wrong = problems.of(name);
    let described = format!("{name}-hint");
    html! {
        div .field {
            label for=(name) { (label) }
            select #(name) name=(name) aria-describedby=[(!hint.is_empty()).then_some(&described)] aria-invalid=[wrong.map(|_| "true")] {
                @for (value, words) in options { option value=(value) selected[value == chosen] { (plain(words)) } }
            }
            @if !hint.is_empty() { p .hint id=(described) { (hint) } }
            @if let Some(wrong) = wrong { p .wrong { (wrong) } }
        }
    }
}

/// A fold that deletes something after its name was typed: what goes with it stands in `consequence`.
#[must_use]
pub fn delete_fold(
    action: &str,
    form_token: &str,
    name: &str,
    consequence: &str,
    problems: &Problems,
) -> Markup {
    let wrong = problems.of("confirm");
    html! {
        details .fold open[wrong.is_some()] {
            summary { "Delete " (Foreign(name)) }
            form method="post" action=(action) {
                p { (consequence) }
                (hidden("form_token", form_token))
                (text_field("confirm", "Type its name to confirm", "text", "", &format!("{} exactly as it stands there.", plain(name)), problems))
                button .danger name="action" value="delete" { "Delete it for good" }
            }
        }
    }
}

/// A box to check.
#[must_use]
pub fn check_box(name: &str, value: &str, label: &str, checked: bool) -> Markup {
    html! {
        label .check { input type="checkbox" name=(name) value=(value) checked[checked]; span { (Foreign(label)) } }
    }
}

/// A value that travels with the form.
#[must_use]
pub fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}
