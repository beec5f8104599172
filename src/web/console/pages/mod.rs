//! The pages, one a file: what it asks of the hub, its regions, and the forms it takes.
//!
//! A handler is `async fn(Person, ...)` for a page and `async fn(Post, ...)` for a form; it answers with a page, or sends the
//! browser on. A region that follows what happens is a block with an `id` and `data-region`.

mod audit;
mod bulk;
mod endpoints;
mod erase;
mod events;
mod integrations;
mod jobs;
mod mapping_form;
mod mappings;
mod me;
mod message;
mod object;
mod overview;
mod parameters;
mod people;
mod pulse;
mod queues;
mod rules;
mod schedulers;
mod stores;
mod story;
mod test;

use actix_web::web::{ServiceConfig, get, post, resource};

use crate::web::api::at;

pub use jobs::waiting;
pub use object::{embed_policy, signature_of};
pub use pulse::Pulse;

/// Registers the pages.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(resource("/console").route(get().to(overview::page)))
        .service(resource("/console/go").route(get().to(queues::go)))
        .service(resource("/console/theme").route(post().to(me::theme)))
        .service(
            resource("/console/me")
                .route(get().to(me::page))
                .route(post().to(me::change)),
        )
        .service(
            resource("/console/people")
                .route(get().to(people::page))
                .route(post().to(people::act)),
        )
        .service(resource("/console/audit").route(get().to(audit::page)))
        .service(resource("/console/events").route(get().to(events::page)))
        .service(
            resource("/console/queues/{queue}")
                .route(get().to(queues::page))
                .route(post().to(bulk::act)),
        )
        .service(resource("/console/actions").route(get().to(jobs::list)))
        .service(resource("/console/replays").route(get().to(jobs::replays)))
        .service(
            resource(["/console/actions/{id}", "/console/replays/{id}"])
                .route(get().to(jobs::page))
                .route(post().to(jobs::stop)),
        )
        .service(
            resource("/console/messages/{id}")
                .route(get().to(message::page))
                .route(post().to(message::act)),
        )
        .service(resource("/console/messages/{id}/raw").route(get().to(message::raw)))
        .service(
            resource("/console/endpoints")
                .route(get().to(endpoints::list))
                .route(post().to(endpoints::act)),
        )
        .service(resource("/console/mappings").route(get().to(mappings::list)))
        .service(
            resource("/console/mappings/new")
                .route(get().to(mappings::new))
                .route(post().to(mappings::create)),
        )
        .service(
            resource("/console/mappings/{id}")
                .route(get().to(mappings::page))
                .route(post().to(mappings::act)),
        )
        .service(
            resource("/console/parameters")
                .route(get().to(parameters::list))
                .route(post().to(parameters::act)),
        )
        .service(
            resource("/console/stores")
                .route(get().to(stores::list))
                .route(post().to(stores::create)),
        )
        .service(resource("/console/stores/new").route(get().to(stores::new)))
        .service(resource("/console/stores/{id}/begin").route(get().to(stores::begin)))
        .service(
            resource("/console/stores/{id}")
                .route(get().to(stores::page))
                .route(post().to(stores::act)),
        )
        .configure(applications)
        .service(
            resource("/console/test")
                .route(get().to(test::page))
                .route(post().to(test::push)),
        )
        .service(resource("/objects/{type}/{token}").route(get().to(object::page)))
        .service(
            resource("/objects/{type}/{token}/erase")
                .route(get().to(erase::page))
                .route(post().to(erase::act)),
        )
        .service(resource("/embed/objects/{type}/{token}").route(get().to(object::embedded)))
        .service(
            at("/api/stores/{store}/objects/{type}/{token}/link", "POST")
                .route(post().to(object::make_link)),
        );
}

/// The pages about applications: integrations, schedulers, rules.
fn applications(config: &mut ServiceConfig) {
    config
        .service(resource("/console/integrations").route(get().to(integrations::list)))
        .service(
            resource("/console/integrations/new")
                .route(get().to(integrations::new))
                .route(post().to(integrations::create)),
        )
        .service(
            resource("/console/integrations/{id}")
                .route(get().to(integrations::page))
                .route(post().to(integrations::act)),
        )
        .service(resource("/console/schedulers").route(get().to(schedulers::list)))
        .service(
            resource("/console/schedulers/new")
                .route(get().to(schedulers::new))
                .route(post().to(schedulers::create)),
        )
        .service(
            resource("/console/schedulers/{id}")
                .route(get().to(schedulers::page))
                .route(post().to(schedulers::act)),
        )
        .service(resource("/console/rules").route(get().to(rules::list)))
        .service(
            resource("/console/rules/new")
                .route(get().to(rules::new))
                .route(post().to(rules::create)),
        )
        .service(
            resource("/console/rules/{id}")
                .route(get().to(rules::page))
                .route(post().to(rules::act)),
        );
}
