//! The door: signing in, signing out, and making the first account of a new hub.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use maud::{Markup, html};

use crate::{
    actors::Hub,
    db::{EntityChange, NewAudit, SessionEnd, SessionRow},
    domain::registry::{Account, Entity, Principal, Role},
    web::{
        auth::digest_of_token,
        console::{
            ConsoleState, answer,
            html::{Problems, bare_page, hidden, span_words, text_field},
        },
    },
};

use super::{
    Post, Refusal,
    door::{Fields, hub_of, is_foreign, read_form},
    password::{MIN_PASSWORD_CHARS, hash_password, verify_password},
    session::{
        SESSION_TIME, digest_of_session, fits_form, form_token, new_text, session_cookie, text_of,
    },
};

/// `GET /console/sign-in?next=`
///
/// # Errors
/// 500 when the server was made without a hub.
pub async fn sign_in_page(request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let hub = hub_of(&request)?;
    if hub.registry().accounts.is_empty() {
        // The first one may just have been made, on another node.
        hub.registry_before_refusing().await?;
    }
    let fields = Fields::read(request.query_string());
    Ok(door(
        &hub,
        &request,
        &fields,
        &Problems::default(),
        StatusCode::OK,
    ))
}

/// `POST /console/sign-in`
///
/// # Errors
/// 403 for a form from elsewhere, 503 without a database.
pub async fn sign_in(
    request: HttpRequest,
    state: web::Data<ConsoleState>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let hub = hub_of(&request)?;
    let fields = read_form(&mut payload.into_inner()).await?;
    let text = text_of(&hub, &request).unwrap_or_default();
    if is_foreign(&hub, &request) || !fits_form(&text, fields.get("form_token")) {
        let mut problems = Problems::default();
        problems.add("name", "Please send this again: the page was older than its cookie. Cookies must be allowed for this site.");
        return Ok(door(
            &hub,
            &request,
            &fields,
            &problems,
            StatusCode::FORBIDDEN,
        ));
    }
    let name = fields.get("name").to_lowercase();
    let peer = request
        .peer_addr()
        .map(|peer| peer.ip().to_string())
        .unwrap_or_default();
    let (by_name, by_peer) = (format!("name:{name}"), format!("peer:{peer}"));
    let keys = [by_name.as_str(), by_peer.as_str()];
    let mut problems = Problems::default();
    if let Some(wait) = state.throttle.wait(&keys, hub.now()) {
        problems.add(
            "password",
            format!("Too many failures. Try again in {}.", span_words(wait)),
        );
        return Ok(door(
            &hub,
            &request,
            &fields,
            &problems,
            StatusCode::TOO_MANY_REQUESTS,
        ));
    }
    // The account or its password may be new, from another node.
    let registry = hub.registry_before_refusing().await?;
    let account = match registry.accounts.is_empty() {
        true => first_account(&hub, &fields, &name, &mut problems).await?,
        false => {
            let known = registry
                .accounts
                .values()
                .find(|entry| entry.value.name == name)
                .cloned();
            let fits = verify_password(
                fields.raw("password").to_owned(),
                known.as_ref().map(|entry| entry.value.password.clone()),
            )
            .await;
            match known.filter(|_| fits) {
                Some(entry) => Some(entry.key),
                None => {
                    problems.add("password", "The name or the password is wrong.");
                    None
                }
            }
        }
    };
    let Some(account) = account else {
        state.throttle.fail(&keys, hub.now());
        return Ok(door(
            &hub,
            &request,
            &fields,
            &problems,
            StatusCode::UNAUTHORIZED,
        ));
    };
    state.throttle.succeed(&keys);
    let now = hub.now();
    // A new text, whatever the browser brought: nobody can prepare a session for somebody else.
    let text = new_text();
    let row = SessionRow {
        digest: digest_of_session(&text),
        account,
        created_at: now,
        expires_at: now.plus(SESSION_TIME),
    };
    hub.backend().session_end(SessionEnd::Expired(now)).await?;
    hub.backend().session_insert(row).await?;
    let next = Some(fields.get("next"))
        .filter(|next| is_own(next))
        .unwrap_or("/console");
    Ok(HttpResponse::SeeOther()
        .cookie(session_cookie(&hub, &text))
        .insert_header((header::LOCATION, next))
        .finish())
}

/// `POST /console/sign-out`
///
/// # Errors
/// 503 without a database: then the session is not over, and must not look so.
pub async fn sign_out(post: Post) -> Result<HttpResponse, Refusal> {
    let hub = &post.person.hub;
    hub.backend()
        .session_end(SessionEnd::One(post.person.session.clone()))
        .await?;
    Ok(HttpResponse::SeeOther()
        .cookie(session_cookie(hub, ""))
        .insert_header((header::LOCATION, "/console/sign-in?signed_out=1"))
        .finish())
}

/// Whether an address is on this hub: a path, and not `//elsewhere`.
fn is_own(next: &str) -> bool {
    next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.chars().all(|c| c.is_ascii_graphic())
}

async fn first_account(
    hub: &Hub,
    fields: &Fields,
    name: &str,
    problems: &mut Problems,
) -> Result<Option<crate::domain::key::AccountKey>, Refusal> {
    let is_operator = hub
        .registry()
        .principals
        .get(&digest_of_token(fields.get("token")))
        == Some(&Principal::Operator);
    if !is_operator {
        problems.add("token", "This is not the operator's token. The hub printed it once at its first start, or INTEGRATOR_OPERATOR_TOKEN sets it.");
    }
    check_name(name, problems);
    check_new_password(fields, problems);
    if !problems.is_empty() {
        return Ok(None);
    }
    let password = hash_password(fields.raw("new_password").to_owned())
        .await
        .ok_or_else(|| Refusal::failed(&"a password could not be hashed", true))?;
    let entity = Entity::Account(Account {
        name: name.to_owned(),
        password,
        role: Role::Operator,
        stores: Vec::new(),
    });
    let delta = hub
        .change_registry(vec![EntityChange::Create {
            store: None,
            subject: None,
            entity,
        }])
        .await?;
    let change = NewAudit {
        store: None,
        who: name.to_owned(),
        action: "created".into(),
        subject: format!("account {name}, the first"),
        was: None,
        is: None,
    };
    hub.backend().audit_insert(vec![change], hub.now()).await?;
    Ok(delta
        .rows
        .first()
        .map(|row| crate::domain::key::AccountKey(row.key)))
}

/// Whether a name can be an account's.
pub(in crate::web::console) fn check_name(name: &str, problems: &mut Problems) {
    let fits = (1..=64).contains(&name.chars().count())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+'));
    if !fits {
        problems.add("name", "A name has 1 to 64 letters, digits, and . - _ @ +");
    }
}

/// Whether `new_password` is one, and `again` repeats it.
pub(in crate::web::console) fn check_new_password(fields: &Fields, problems: &mut Problems) {
    let password = fields.raw("new_password");
    if password.chars().count() < MIN_PASSWORD_CHARS {
        problems.add("new_password", format!("A password has at least {MIN_PASSWORD_CHARS} characters; three or four words make a good one."));
    } else if password.len() > 1_000 {
        problems.add("new_password", "A password has at most 1,000 bytes.");
    } else if password != fields.raw("again") {
        problems.add("again", "The two passwords differ.");
    }
}

fn door(
    hub: &Hub,
    request: &HttpRequest,
    fields: &Fields,
    problems: &Problems,
    status: StatusCode,
) -> HttpResponse {
    let text = text_of(hub, request).unwrap_or_else(new_text);
    let first = hub.registry().accounts.is_empty();
    let body = html! {
        @if fields.some("signed_out").is_some() { div .notice .good role="status" { p { "You are signed out." } } }
        h1 { @if first { "Make the first account" } @else { "Sign in" } }
        @if first { p { "This hub has no accounts yet. The operator's token proves that it is yours; from then on you sign in with a name and a password." } }
        form method="post" action="/console/sign-in" {
            (complaints(problems))
            (hidden("form_token", &form_token(&text)))
            (hidden("next", fields.get("next")))
            @if first { (text_field("token", "Operator's token", "password", "", "Printed once at the first start, or set by INTEGRATOR_OPERATOR_TOKEN.", problems)) }
            (text_field("name", "Name", "text", fields.get("name"), "", problems))
            @if first {
                (text_field("new_password", "Password", "password", "", "At least 10 characters.", problems))
                (text_field("again", "The same password again", "password", "", "", problems))
                button .main { "Make the account and sign in" }
            } @else {
                (text_field("password", "Password", "password", "", "", problems))
                button .main { "Sign in" }
            }
        }
    };
    let mut shown = answer(
        status,
        bare_page(if first { "First account" } else { "Sign in" }, None, body),
    );
    // Fails only for a cookie that is no header's value, and this one is hex.
    let _ = shown.add_cookie(&session_cookie(hub, &text));
    shown
}

fn complaints(problems: &Problems) -> Markup {
    html! { @for (_, sentence) in &problems.0 { div .notice .bad role="alert" { p { (sentence) } } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        for (next, own) in [
            ("/console/events?q=1", true),
            ("//evil.example", false),
            ("/\\evil", false),
            ("https://evil", false),
            ("", false),
        ] {
            assert_eq!(is_own(next), own, "{next}");
        }
    }
}
