//! The REST API below `/api`: thin handlers, and pure functions that turn stored things into documents.
//!
//! A handler says what it needs in its arguments: [`super::auth::InStore`] a valid token with a scope for the store in the
//! path, [`super::extract::Body`] the body up to its limit. It reads straight from the backend, changes through the hub, and
//! answers with a document of [`crate::wire::hub_api`].
//!
//! Every address knows its methods and answers any other with 405 and `Allow`; `HEAD` goes wherever `GET` does.
//!
//! Read next: `push.rs` for the way in, `places.rs` for how states are worded.

mod accounts;
mod endpoints;
mod erasures;
mod global_integrations;
pub(in crate::web) mod integrations;
pub(in crate::web) mod jobs;
pub(in crate::web) mod mapping_fields;
mod mappings;
pub(in crate::web) mod message;
mod nodes;
mod notifications;
mod objects;
pub(in crate::web) mod parameter_value;
pub(in crate::web) mod parameters;
pub(in crate::web) mod places;
pub(in crate::web) mod polling;
mod push;
pub(super) mod push2;
pub(in crate::web) mod pushed;
pub(in crate::web) mod queues;
pub(in crate::web) mod rules;
mod samples;
pub(in crate::web) mod schedulers;
pub(in crate::web) mod signup;
pub(in crate::web) mod stores;
pub(in crate::web) mod tokens;

use std::future::ready;

use actix_web::{
    Handler, HttpResponse, Resource, Responder, Route, guard,
    http::Method,
    web::{self, ServiceConfig},
};

use super::{error::ApiError, openapi};

/// Registers every route below `/api`.
pub fn configure(config: &mut ServiceConfig) {
    let store = "/api/stores/{store}";
    config
        // Patterns are tried one after another, so what is asked for most often stands first.
        .service(at(&format!("{store}/messages"), "POST").route(on(Method::POST, push::one)))
        .service(
            at(&format!("{store}/messages/batch"), "POST").route(on(Method::POST, push::batch)),
        )
        .service(
            at("/api/stores", "GET, HEAD, POST")
                .route(get(stores::list))
                .route(on(Method::POST, stores::create)),
        )
        .service(
            at(store, "GET, HEAD, PUT, DELETE")
                .route(get(stores::show))
                .route(on(Method::PUT, stores::update))
                .route(on(Method::DELETE, stores::delete)),
        )
        .service(
            at(&format!("{store}/tokens"), "GET, HEAD, POST")
                .route(get(tokens::list))
                .route(on(Method::POST, tokens::create)),
        )
        .service(
            at(&format!("{store}/tokens/{{id}}"), "DELETE")
                .route(on(Method::DELETE, tokens::delete)),
        )
        .service(
            at(&format!("{store}/messages/{{id}}"), "GET, HEAD, PUT")
                .route(get(message::show))
                .route(on(Method::PUT, message::act)),
        )
        .service(
            at(&format!("{store}/messages/{{id}}/attempts"), "GET, HEAD")
                .route(get(message::attempts)),
        )
        .service(at(&format!("{store}/queues"), "GET, HEAD").route(get(queues::stats)))
        .service(at(&format!("{store}/queues/{{queue}}"), "GET, HEAD").route(get(queues::list)))
        .service(
            at(&format!("{store}/mappings"), "GET, HEAD, POST")
                .route(get(mappings::list))
                .route(on(Method::POST, mappings::create)),
        )
        .service(
            at(
                &format!("{store}/mappings/{{id}}"),
                "GET, HEAD, PUT, DELETE",
            )
            .route(get(mappings::show))
            .route(on(Method::PUT, mappings::update))
            .route(on(Method::DELETE, mappings::delete)),
        )
        .service(
            at(&format!("{store}/parameters"), "GET, HEAD, POST")
                .route(get(parameters::list))
                .route(on(Method::POST, parameters::create)),
        )
        .service(
            at(
                &format!("{store}/parameters/{{id}}"),
                "GET, HEAD, PUT, DELETE",
            )
            .route(get(parameters::show))
            .route(on(Method::PUT, parameters::update))
            .route(on(Method::DELETE, parameters::delete)),
        )
        .service(at(&format!("{store}/notifications"), "GET, HEAD").route(get(notifications::list)))
        .service(
            at(&format!("{store}/available_messages"), "GET, HEAD")
                .route(get(queues::available_messages)),
        )
        // Its name until July 2013.
        .service(
            at(&format!("{store}/available_keys"), "GET, HEAD")
                .route(get(queues::available_messages)),
        )
        .service(
            at(
                &format!("{store}/objects/{{type}}/{{token}}"),
                "GET, HEAD, DELETE",
            )
            .route(get(objects::timeline))
            .route(on(Method::DELETE, erasures::object)),
        )
        .service(
            at(&format!("{store}/erasures"), "GET, HEAD, POST")
                .route(get(erasures::list))
                .route(on(Method::POST, erasures::customer)),
        )
        // Asked for as openapi.json: `.json` at the end of a path means nothing.
        .service(at("/api/openapi", "GET, HEAD").route(get(openapi::show)))
        .service(at("/api/login", "POST").route(on(Method::POST, accounts::login)))
        .service(at("/api/signup", "POST").route(on(Method::POST, accounts::signup)))
        .service(at("/api/nodes", "GET, HEAD").route(get(nodes::list)))
        .service(at("/api/samples", "GET, HEAD").route(get(samples::list)))
        .service(at("/api/samples/{name}", "GET, HEAD").route(get(samples::show)))
        .configure(|config| applications(config, store))
        .configure(polled)
        .configure(in_bulk)
        .service(at(&format!("{store}/endpoints"), "GET, HEAD").route(get(endpoints::list)))
        .service(
            at(&format!("{store}/endpoints/{{id}}/pause"), "POST")
                .route(on(Method::POST, endpoints::pause)),
        )
        .service(
            at(&format!("{store}/endpoints/{{id}}/resume"), "POST")
                .route(on(Method::POST, endpoints::resume)),
        );
}

/// What concerns endpoint applications: integrations, schedulers, rules.
fn applications(config: &mut ServiceConfig, store: &str) {
    let one = "GET, HEAD, PUT, DELETE";
    let integration = format!("{store}/integrations/{{id}}");
    config
        .service(
            at("/api/integrations", "GET, HEAD, POST")
                .route(get(global_integrations::list))
                .route(on(Method::POST, global_integrations::create)),
        )
        .service(
            at("/api/integrations/{id}", one)
                .route(get(global_integrations::show))
                .route(on(Method::PUT, global_integrations::update))
                .route(on(Method::DELETE, global_integrations::delete)),
        )
        .service(
            at("/api/integrations/{id}/refresh", "POST")
                .route(on(Method::POST, global_integrations::refresh)),
        )
        .service(
            at(&format!("{store}/integrations"), "GET, HEAD, POST")
                .route(get(integrations::list))
                .route(on(Method::POST, integrations::create)),
        )
        .service(
            at(&integration, one)
                .route(get(integrations::show))
                .route(on(Method::PUT, integrations::update))
                .route(on(Method::DELETE, integrations::delete)),
        )
        .service(
            at(&format!("{integration}/signup"), "POST").route(on(Method::POST, signup::create)),
        )
        .service(
            at(&format!("{integration}/refresh"), "POST")
                .route(on(Method::POST, integrations::refresh)),
        )
        // No HEAD: these have an effect.
        .service(
            at(&format!("{integration}/enable_mappings"), "GET, POST")
                .route(on(Method::GET, integrations::enable_mappings))
                .route(on(Method::POST, integrations::enable_mappings)),
        )
        .service(
            at(&format!("{integration}/disable_mappings"), "GET, POST")
                .route(on(Method::GET, integrations::disable_mappings))
                .route(on(Method::POST, integrations::disable_mappings)),
        )
        .service(
            at(&format!("{store}/schedulers"), "GET, HEAD, POST")
                .route(get(schedulers::list))
                .route(on(Method::POST, schedulers::create)),
        )
        .service(
            at(&format!("{store}/schedulers/{{id}}"), one)
                .route(get(schedulers::show))
                .route(on(Method::PUT, schedulers::update))
                .route(on(Method::DELETE, schedulers::delete)),
        )
        .service(
            at(&format!("{store}/rules"), "GET, HEAD, POST")
                .route(get(rules::list))
                .route(on(Method::POST, rules::create)),
        )
        .service(
            at(&format!("{store}/rules/dry_run"), "POST").route(on(Method::POST, rules::dry_run)),
        )
        .service(
            at(&format!("{store}/rules/{{id}}"), one)
                .route(get(rules::show))
                .route(on(Method::PUT, rules::update))
                .route(on(Method::DELETE, rules::delete)),
        )
        .service(
            at(&format!("{store}/rules/{{id}}/dry_run"), "POST")
                .route(on(Method::POST, rules::dry_run_stored)),
        );
}

/// What is done to many deliveries at once.
fn in_bulk(config: &mut ServiceConfig) {
    let store = "/api/stores/{store}";
    config
        .service(
            at(&format!("{store}/queues/accepted/retry"), "POST")
                .route(on(Method::POST, jobs::retry)),
        )
        .service(
            at(&format!("{store}/queues/accepted/archive"), "POST")
                .route(on(Method::POST, jobs::archive)),
        )
        .service(at(&format!("{store}/actions"), "GET, HEAD").route(get(jobs::actions)))
        .service(
            at(&format!("{store}/actions/{{id}}"), "GET, HEAD, DELETE")
                .route(get(jobs::action))
                .route(on(Method::DELETE, jobs::stop_action)),
        )
        .service(
            at(&format!("{store}/replays"), "GET, HEAD, POST")
                .route(get(jobs::replays))
                .route(on(Method::POST, jobs::replay)),
        )
        .service(
            at(&format!("{store}/replays/{{id}}"), "GET, HEAD, DELETE")
                .route(get(jobs::one_replay))
                .route(on(Method::DELETE, jobs::stop_replay)),
        );
}

/// The routes about a store's shop.
fn polled(config: &mut ServiceConfig) {
    let store = "/api/stores/{store}";
    config
        .service(at(&format!("{store}/health"), "GET, HEAD").route(get(polling::health)))
        .service(at(&format!("{store}/poll"), "POST").route(on(Method::POST, polling::poll)))
        .service(at(&format!("{store}/probe"), "POST").route(on(Method::POST, polling::probe)))
        .service(at(&format!("{store}/set_aside"), "GET, HEAD").route(get(polling::set_aside)))
        .service(
            at(&format!("{store}/backfills"), "GET, HEAD, POST")
                .route(get(polling::backfills))
                .route(on(Method::POST, polling::begin)),
        )
        .service(
            at(&format!("{store}/backfills/{{id}}"), "GET, HEAD, DELETE")
                .route(get(polling::backfill))
                .route(on(Method::DELETE, polling::stop)),
        );
}

/// A resource that answers other methods than `allow` with 405.
pub(in crate::web) fn at(path: &str, allow: &'static str) -> Resource {
    #[cfg(test)]
    super::tests::note_route(path, allow);
    let refuse = move || {
        ready(Err::<HttpResponse, ApiError>(ApiError::method_not_allowed(
            allow,
        )))
    };
    web::resource(path).default_service(web::to(refuse))
}

/// `GET` and `HEAD`.
pub(super) fn get<F, Args>(handler: F) -> Route
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::route()
        .guard(guard::Any(guard::Get()).or(guard::Head()))
        .to(handler)
}

pub(super) fn on<F, Args>(method: Method, handler: F) -> Route
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::method(method).to(handler)
}

/// The id in the path; `None` when what stands there is none (then there is no such thing either).
fn id_in_path(request: &actix_web::HttpRequest) -> Option<crate::domain::id::Id> {
    request.match_info().get("id")?.parse().ok()
}
