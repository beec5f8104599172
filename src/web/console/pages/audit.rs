//! The audit log: who changed what, and when.

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use serde_json::Value;

use crate::{
    db::{AuditQuery, AuditRow, PageKey},
    web::console::{
        html::{Foreign, Frame, When},
        ok,
        people::{Fields, Person, Refusal},
    },
};

const ROWS: usize = 50;

/// `GET /console/audit`: operators see all, others what concerns their stores.
pub async fn page(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let stores = if person.is_operator() {
        None
    } else {
        Some(
            person
                .stores()
                .iter()
                .map(|store| store.store.key)
                .collect(),
        )
    };
    let after = fields.get("after").parse().ok().map(PageKey);
    let rows = person
        .hub
        .backend()
        .audit_list(AuditQuery {
            stores,
            after,
            limit: ROWS,
        })
        .await?;
    let next = rows
        .last()
        .filter(|_| rows.len() == ROWS)
        .map(|row| row.key);
    let body = html! {
        h1 { "Audit log" }
        p .muted { "Every change made in this console, secrets masked." }
        @if rows.is_empty() { div .panel .empty { p { "Nothing was changed yet." } } } @else {
            table .cards {
                thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Did" } th scope="col" { "To" } th scope="col" { "Was, is" } } }
                tbody { @for row in &rows { tr {
                    td { (When { at: row.at, now: person.now }) }
                    td { (Foreign(&row.change.who)) }
                    td { (row.change.action) }
                    td { (Foreign(&row.change.subject)) }
                    td { (difference(row)) }
                } } }
            }
            @if let Some(next) = next { nav .pages { a .button rel="next" href=(format!("/console/audit?after={next}")) { "Older" } } }
        }
    };
    let frame = Frame {
        title: "Audit log",
        person: &person,
        store: None,
        place: "/audit",
        notice: None,
        live: false,
    };
    Ok(ok(frame.around(body)))
}

/// The members that differ.
fn difference(row: &AuditRow) -> Markup {
    let read = |text: &Option<String>| {
        text.as_deref()
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
            .and_then(|value| value.as_object().cloned())
    };
    let (was, is) = (
        read(&row.change.was).unwrap_or_default(),
        read(&row.change.is).unwrap_or_default(),
    );
    if row.change.was.is_none() || row.change.is.is_none() {
        let whole = if row.change.is.is_some() { is } else { was };
        return html! { @if !whole.is_empty() { details { summary .meta { "Details" } dl .facts { @for (name, value) in whole { dt { (name) } dd .mono { (Foreign(&plain(&value))) } } } } } };
    }
    let mut names: Vec<&String> = was
        .keys()
        .chain(is.keys().filter(|name| !was.contains_key(*name)))
        .collect();
    names.retain(|name| was.get(*name) != is.get(*name));
    html! {
        @if names.is_empty() { span .muted { "a secret, or nothing" } }
        @for name in names { div .mono { (name) ": " @if let Some(was) = was.get(name) { span .was { (Foreign(&plain(was))) } " " } @if let Some(is) = is.get(name) { span .is { (Foreign(&plain(is))) } } } }
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
