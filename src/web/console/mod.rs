//! The console for people: server-rendered pages below `/console`, an object's page below `/objects`, the same in a frame below
//! `/embed`.
//!
//! ```text
//! request -> people::Person (session, account) -> a page's handler -> hub or backend -> html::Frame around regions
//! form    -> people::Post (the same, and the form's token) -> what the API would do -> audit -> 303 to the page, with a notice
//! ```
//!
//! Plain HTML does every task; `static/console.js` only adds comfort: it fetches the page again when something changed and
//! puts in the regions (`data-region`) that nobody holds. So a page is written once, as what the server answers, and pages
//! are never put together in the browser. Pages are written with maud rather than with templates of text: a region is a
//! function with typed arguments, which page, live update and embedded frame share, and what is put in is escaped.
//!
//! What is asked stands in the address, named as in the API. What may be seen and done is decided in `people`; the
//! configuration forms go through the readers of the API, so that both refuse the same things with the same words.
//!
//! Read next: `people/mod.rs` for the door, `html/mod.rs` for the pieces, `pages/mod.rs` for the pages.

mod assets;
pub(in crate::web) mod audit;
pub mod html;
mod links;
mod live;
mod once;
pub mod pages;
pub mod people;
mod words;

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::{self, ServiceConfig},
};
use maud::Markup;

/// What all workers of a server share: nothing that a restart may not forget.
#[derive(Debug, Default)]
pub struct ConsoleState {
    /// Failures to sign in.
    pub throttle: people::Throttle,
    /// Forms that take effect once.
    pub once: once::Once,
    /// Rates of the last hours.
    pub pulse: pages::Pulse,
}

/// Nothing from elsewhere, nothing inline, framed by nobody, forms to this hub only (CSP Level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page as an answer, with the headers that every page carries.
#[must_use]
pub fn answer(status: StatusCode, page: Markup) -> HttpResponse {
    answer_under(status, page, POLICY)
}

/// A page under a policy of its own: one that others may frame.
#[must_use]
pub fn answer_under(status: StatusCode, page: Markup, policy: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .insert_header(("Cross-Origin-Opener-Policy", "same-origin"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(page.into_string())
}

/// A page that was asked for and is there.
#[must_use]
pub fn ok(page: Markup) -> HttpResponse {
    answer(StatusCode::OK, page)
}

/// Sends the browser on after a form (303: with GET, so that reloading repeats nothing).
#[must_use]
pub fn go_to(address: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, address))
        .finish()
}

/// Registers the console's routes. `state` is made once per server.
pub fn configure(config: &mut ServiceConfig, state: Arc<ConsoleState>) {
    config
        .app_data(web::Data::from(state))
        .service(
            web::resource("/console/assets/{digest}/{name}").route(web::get().to(assets::serve)),
        )
        .service(web::resource("/embed.js").route(web::get().to(assets::embed_script)))
        .service(
            web::resource("/console/sign-in")
                .route(web::get().to(people::sign_in_page))
                .route(web::post().to(people::sign_in)),
        )
        .service(web::resource("/console/sign-out").route(web::post().to(people::sign_out)))
        .service(web::resource("/console/live").route(web::get().to(live::stream)))
        .configure(pages::configure);
}
