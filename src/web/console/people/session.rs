//! Sessions: a cookie with a random text, and the tokens of forms that follow from it.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{actors::Hub, web::auth::digest_of_token};

/// How long a session lives.
pub const SESSION_TIME: Duration = Duration::from_secs(14 * 24 * 3_600);

const PLAIN_NAME: &str = "integrator_session";
/// The prefix makes browsers insist on `Secure`, no domain and path `/` (RFC 6265bis, 4.1.3.2).
const SECURE_NAME: &str = "__Host-integrator_session";

/// A text nobody can guess: 32 random bytes as hex.
#[must_use]
pub fn new_text() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// The token of forms for whoever holds this cookie.
#[must_use]
pub fn form_token(text: &str) -> String {
    hex::encode(Sha256::digest(format!("form:{text}").as_bytes()))
}

/// Whether `given` is the token of forms of this cookie.
#[must_use]
pub fn fits_form(text: &str, given: &str) -> bool {
    form_token(text).as_bytes().ct_eq(given.as_bytes()).into()
}

/// The digest under which a session is kept.
#[must_use]
pub fn digest_of_session(text: &str) -> String {
    digest_of_token(text)
}

/// Whether others reach this hub by TLS.
#[must_use]
pub fn is_secure(hub: &Hub) -> bool {
    hub.config()
        .server
        .public_url
        .as_ref()
        .is_some_and(|url| url.scheme() == "https")
}

/// The cookie that carries a session's text; an empty text removes it.
#[must_use]
pub fn session_cookie(hub: &Hub, text: &str) -> Cookie<'static> {
    let secure = is_secure(hub);
    let name = if secure { SECURE_NAME } else { PLAIN_NAME };
    let mut cookie = Cookie::build(name, text.to_owned())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .finish();
    if text.is_empty() {
        cookie.make_removal();
    } else {
        let seconds = i64::try_from(SESSION_TIME.as_secs()).unwrap_or(i64::MAX);
        cookie.set_max_age(actix_web::cookie::time::Duration::seconds(seconds));
    }
    cookie
}

/// The session's text that came with a request.
#[must_use]
pub fn text_of(hub: &Hub, request: &HttpRequest) -> Option<String> {
    let name = if is_secure(hub) {
        SECURE_NAME
    } else {
        PLAIN_NAME
    };
    let text = request.cookie(name)?.value().to_owned();
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}
