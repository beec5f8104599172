//! Whether the program lives, and whether it is ready to take messages.
//!
//! *Live* is true as long as an answer comes at all. *Ready* needs the actors up and a database that can be read and written;
//! a balancer that looks here sends nothing to a hub that could only answer 503.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};

use crate::{
    actors::Hub,
    wire::hub_api::{HealthDocument, RootDocument},
};

use super::error::ApiError;

/// How long the database may take to answer.
const PING_TIME: Duration = Duration::from_secs(2);

/// `GET /health/live`
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(HealthDocument {
        status: "live",
        reasons: &[],
    })
}

/// `GET /health/ready`: 200, or 503 with the reasons.
///
/// # Errors
/// 500 when the server was made without a hub.
pub async fn ready(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let hub = request
        .app_data::<Hub>()
        .ok_or_else(|| ApiError::internal(&"the server was made without a hub"))?;
    let mut reasons: Vec<String> = Vec::new();
    if !hub.is_ready() {
        reasons.push("the hub is starting or stopping".to_owned());
    }
    match tokio::time::timeout(PING_TIME, hub.backend().ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            log::warn!("not ready: {error}");
            reasons.push("the database does not answer".to_owned());
        }
        Err(_) => reasons.push(format!(
            "the database did not answer within {} s",
            PING_TIME.as_secs()
        )),
    }
    Ok(if reasons.is_empty() {
        HttpResponse::Ok().json(HealthDocument {
            status: "ready",
            reasons: &reasons,
        })
    } else {
        HttpResponse::ServiceUnavailable()
            .insert_header(("Retry-After", "1"))
            .json(HealthDocument {
                status: "not ready",
                reasons: &reasons,
            })
    })
}

/// `GET /metrics`: the node's figures in the Prometheus text format. Open to everyone who can reach the hub, as health is: it
/// names no store, endpoint or message.
///
/// # Errors
/// 500 when the server was made without a hub, 503 when the database does not answer.
pub async fn metrics(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let hub = request
        .app_data::<Hub>()
        .ok_or_else(|| ApiError::internal(&"the server was made without a hub"))?;
    let text = hub.metrics().await?;
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(text))
}

/// `GET /`: where things are.
pub async fn root() -> HttpResponse {
    HttpResponse::Ok().json(RootDocument {
        name: "Integrator",
        version: env!("CARGO_PKG_VERSION"),
        links: [
            ("api", "/api/stores"),
            ("openapi", "/api/openapi.json"),
            ("live", "/health/live"),
            ("ready", "/health/ready"),
            ("metrics", "/metrics"),
        ]
        .into_iter()
        .collect(),
    })
}
