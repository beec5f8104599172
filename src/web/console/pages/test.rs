//! The test tool: start from a sample or a real message, edit it, push it, follow it.

use actix_web::{HttpRequest, HttpResponse};
use maud::html;
use serde_json::value::to_raw_value;

use crate::{
    actors::AcceptError,
    db::{Acceptance, Accepted},
    domain::{id::Id, json::PayloadLimits, message::Source, registry::StoreSnapshot},
    web::{
        api::pushed::Pusher,
        console::{
            audit, go_to,
            html::{Foreign, Frame, Notice, Problems, check_box, hidden, text_area, text_field},
            links, ok,
            people::{Fields, Person, Post, Refusal},
        },
    },
};

const SAMPLES: [(&str, &str); 5] = [
    (
        "order:new",
        r#"{"order":{"number":"R100200300","status":"complete","email":"spree@example.com","totals":{"item":30,"adjustment":4,"tax":1.5,"shipping":2.5,"payment":34,"order":34},"line_items":[{"sku":"TW-TOTE","name":"Tidewater tote","quantity":2,"price":15}]}}"#,
    ),
    (
        "order:canceled",
        r#"{"order":{"number":"R100200300","status":"canceled","email":"spree@example.com"}}"#,
    ),
    (
        "shipment:ready",
        r#"{"shipment":{"number":"H100200300","order_number":"R100200300","status":"ready","tracking":null,"items":[{"sku":"TW-TOTE","quantity":2}]}}"#,
    ),
    ("stock:change", r#"{"sku":"TW-TOTE","quantity":10}"#),
    ("user:new", r#"{"user":{"email":"ann@example.com"}}"#),
];

/// `GET /console/test?sample=&from=`
pub async fn page(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let (kind, payload) = match fields.get("from").parse::<Id>() {
        Ok(id) => {
            let message = person
                .hub
                .backend()
                .message_detail(store.store.key, id)
                .await?
                .message;
            (
                message.kind.as_str().to_owned(),
                pretty(message.payload.as_str()),
            )
        }
        Err(_) => {
            let (kind, payload) = SAMPLES
                .iter()
                .find(|(kind, _)| *kind == fields.get("sample"))
                .unwrap_or(&SAMPLES[0]);
            ((*kind).to_owned(), pretty(payload))
        }
    };
    let typed = Fields(vec![
        ("message".into(), kind),
        ("payload".into(), payload),
        ("test".into(), "true".into()),
    ]);
    Ok(show(
        &person,
        &store,
        &typed,
        &Problems::default(),
        Notice::of(fields.get("notice")),
    ))
}

/// JSON with line breaks and indents; members, numbers and texts stay as they were written.
fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    let mut letters = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(letter) = letters.next() {
        if quoted {
            out.push(letter);
            quoted = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            continue;
        }
        match letter {
            '"' => {
                quoted = true;
                out.push(letter);
            }
            '{' | '[' => {
                out.push(letter);
                while letters.next_if(|next| next.is_whitespace()).is_some() {}
                match letters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            letter if letter.is_whitespace() => {}
            letter => out.push(letter),
        }
    }
    out
}

fn show(
    person: &Person,
    store: &StoreSnapshot,
    typed: &Fields,
    problems: &Problems,
    notice: Option<Notice>,
) -> HttpResponse {
    let may = person.changes(store.store.key);
    let id = store.store.id.to_string();
    let body = html! {
        div .head { h1 { "Push a test message" } span .muted { (Foreign(&store.store.value.name)) } }
        ul .chips aria-label="Samples" { @for (kind, _) in SAMPLES { li { a href=(links::with("/console/test", &[("store", id.as_str()), ("sample", kind)])) { (kind) } } } }
        @if may {
            form method="post" action=(format!("/console/test?store={id}")) {
                (problems.summary()) (hidden("form_token", &person.form_token))
                (text_field("message", "Type", "text", typed.get("message"), "Such as order:new", problems))
                (text_area("payload", "Payload", 18, typed.raw("payload"), "A JSON object. To start from a real message, open it and choose Edit and push.", problems))
                (check_box("test", "true", "Mark it as a test (origin: test); it is delivered all the same", typed.some("test").is_some()))
                button .main { "Push" }
            }
        } @else { p { "You may look, not push." } }
    };
    ok(Frame {
        title: "Test",
        person,
        store: Some(store),
        place: "/test",
        notice,
        live: false,
    }
    .around(body))
}

/// `POST /console/test`
pub async fn push(post: Post, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let store = person.store(Fields::read(request.query_string()).some("store"))?;
    person.admin(store.store.key)?;
    let mut problems = Problems::default();
    let payload: Option<Box<serde_json::value::RawValue>> =
        match serde_json::from_str(fields.raw("payload")) {
            Ok(payload) => Some(payload),
            Err(error) => {
                problems.add(
                    "payload",
                    format!(
                        "This is no JSON: line {}, column {}.",
                        error.line(),
                        error.column()
                    ),
                );
                None
            }
        };
    let Some(payload) = payload else {
        return Ok(show(&person, &store, &fields, &problems, None));
    };
    let limits = PayloadLimits {
        bytes: person.hub.config().server.max_body_bytes,
        ..PayloadLimits::default()
    };
    let pusher = Pusher {
        store: store.store.key,
        source: Source::Person(person.name().to_owned()),
        limits,
    };
    let kind =
        to_raw_value(fields.get("message")).map_err(|error| Refusal::failed(&error, false))?;
    let text = format!(
        r#"{{"message":{},"payload":{}}}"#,
        kind.get(),
        payload.get()
    );
    let raw: Box<serde_json::value::RawValue> =
        serde_json::from_str(&text).map_err(|error| Refusal::failed(&error, false))?;
    let mut message = match pusher.read(&raw) {
        Ok(pushed) => pushed.message,
        Err(error) => {
            return Ok(show(
                &person,
                &store,
                &fields,
                &super::mapping_form::problems_of(&error),
                None,
            ));
        }
    };
    message.test = fields.some("test").is_some();
    let kind = message.kind.as_str().to_owned();
    let accepted = person
        .hub
        .accept(vec![Acceptance {
            message,
            idempotency: None,
        }])
        .await
        .map_err(|error| match error {
            AcceptError::Db(error) => error.into(),
            error => Refusal::failed(&error, true),
        })?;
    let id = match accepted.first() {
        Some(Accepted::New { id, .. } | Accepted::Repeated { id }) => *id,
        _ => return Err(Refusal::failed(&"a pushed message was not answered", false)),
    };
    audit::note(
        &person,
        Some(store.store.key),
        "pushed",
        format!("message {id} of {kind}"),
    )
    .await?;
    Ok(go_to(&links::noticed(
        &links::message(store.store.id, id),
        "pushed",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_and_stays_what_it_was() {
        let text = r#"{"b":[1.50,{"a":"x, \"{y}\""}],"a":{},"c":[ ]}"#;
        let shown = pretty(text);
        assert!(
            shown.contains("1.50") && shown.contains("\n    {\n"),
            "{shown}"
        );
        let squeezed = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(squeezed(&shown), squeezed(text));
    }
}
