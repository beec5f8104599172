//! One's own account: password, sessions, theme.

use actix_web::{
    HttpResponse,
    cookie::{Cookie, SameSite},
};
use maud::html;

use crate::{
    db::{EntityChange, SessionEnd},
    domain::registry::{Account, Entity},
    web::console::{
        audit, go_to,
        html::{Foreign, Frame, Notice, Problems, hidden, text_field},
        ok,
        people::{
            Fields, Person, Post, Refusal, check_new_password, hash_password, verify_password,
        },
    },
};

/// `GET /console/me`
pub async fn page(person: Person, request: actix_web::HttpRequest) -> HttpResponse {
    let fields = Fields::read(request.query_string());
    show(
        &person,
        &Problems::default(),
        Notice::of(fields.get("notice")),
    )
}

fn show(person: &Person, problems: &Problems, notice: Option<Notice>) -> HttpResponse {
    let body = html! {
        h1 { (Foreign(person.name())) }
        p { "You are " (person.account.value.role.word()) "." }
        section .panel {
            h2 { "Change the password" }
            form method="post" action="/console/me" {
                (problems.summary())
                (hidden("form_token", &person.form_token))
                (text_field("password", "Your password now", "password", "", "", problems))
                (text_field("new_password", "New password", "password", "", "At least 10 characters.", problems))
                (text_field("again", "The new one again", "password", "", "", problems))
                button .main { "Change it" }
            }
            p .meta { "All your other sessions are signed out by this." }
        }
    };
    ok(Frame {
        title: "Your account",
        person,
        store: None,
        place: "/me",
        notice,
        live: false,
    }
    .around(body))
}

/// `POST /console/me`
pub async fn change(post: Post) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let mut problems = Problems::default();
    if !verify_password(
        fields.raw("password").to_owned(),
        Some(person.account.value.password.clone()),
    )
    .await
    {
        problems.add("password", "This is not your password.");
    }
    check_new_password(&fields, &mut problems);
    if !problems.is_empty() {
        return Ok(show(&person, &problems, None));
    }
    let password = hash_password(fields.raw("new_password").to_owned())
        .await
        .ok_or_else(|| Refusal::failed(&"a password could not be hashed", true))?;
    let entity = Entity::Account(Account {
        password,
        ..person.account.value.clone()
    });
    audit::change(
        &person,
        vec![EntityChange::Replace {
            key: person.account.key.0,
            entity,
        }],
    )
    .await?;
    person
        .hub
        .backend()
        .session_end(SessionEnd::Others {
            account: person.account.key,
            keep: person.session.clone(),
        })
        .await?;
    Ok(go_to("/console/me?notice=password"))
}

/// `POST /console/theme`: light, dark, or as the system has it.
pub async fn theme(post: Post) -> HttpResponse {
    let theme = match post.fields.get("theme") {
        theme @ ("light" | "dark") => theme.to_owned(),
        _ => String::new(),
    };
    let mut cookie = Cookie::build("theme", theme.clone())
        .path("/")
        .same_site(SameSite::Lax)
        .http_only(true)
        .finish();
    if theme.is_empty() {
        cookie.make_removal();
    } else {
        cookie.set_max_age(actix_web::cookie::time::Duration::days(365));
    }
    let back = Some(post.fields.get("back"))
        .filter(|back| back.starts_with("/console") && !back.contains('\\'))
        .unwrap_or("/console");
    HttpResponse::SeeOther()
        .cookie(cookie)
        .insert_header(("Location", back))
        .finish()
}
