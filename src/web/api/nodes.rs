//! `GET /api/nodes`: which nodes share the database, whether they live, and what each of them serves.

use actix_web::HttpResponse;
use serde_json::json;

use super::super::{auth::Caller, error::ApiError};

/// `GET /api/nodes`, for the operator: nodes by name, this one marked.
pub async fn list(caller: Caller) -> Result<HttpResponse, ApiError> {
    caller.operator()?;
    let nodes = caller.hub.nodes().await?;
    let documents: Vec<_> = nodes
        .into_iter()
        .map(|node| {
            json!({
                "name": node.name,
                "this_one": node.is_own,
                "lives": node.lives,
                "silent_secs": node.silent.as_secs_f64(),
                "owns": {
                    "routing_shards": node.share.routing_shards,
                    "dispatchers": node.share.dispatchers,
                    "pollers": node.share.pollers,
                    "schedules": node.share.schedules,
                },
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(documents))
}
