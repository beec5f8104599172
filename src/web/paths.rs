//! Spellings of a path that mean the same: below `/api`, `/queues`, `/queues/` and `/queues.json` are one (WIRE A.0).
//!
//! The path is rewritten before routing, so no route is written twice. The one thing this costs: a path whose last part
//! really ends in `.json` (an object's token) must be asked for with `.json` once more.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::uri::PathAndQuery,
    middleware::Next,
};

/// Rewrites the request's path to its plain spelling.
///
/// # Errors
/// Those of the service behind it.
pub async fn normalize(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some(path) = plain(request.path()) {
        let mut parts = request.uri().clone().into_parts();
        let whole = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        if let Ok(whole) = PathAndQuery::try_from(whole) {
            parts.path_and_query = Some(whole);
            if let Ok(uri) = actix_web::http::Uri::from_parts(parts) {
                request.match_info_mut().get_mut().update(&uri);
                request.head_mut().uri = uri;
            }
        }
    }
    next.call(request).await
}

/// The plain spelling of a path; `None` when it is plain already.
fn plain(path: &str) -> Option<String> {
    let without = path.trim_end_matches('/');
    if without.is_empty() {
        return None;
    }
    let api = without == "/api" || without.starts_with("/api/");
    let without = match without.strip_suffix(".json") {
        Some(shorter) if api && !shorter.ends_with('/') => shorter,
        _ => without,
    };
    (without != path).then(|| without.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_json_at_the_end_mean_nothing() {
        for (path, expected) in [
            ("/api/stores/", Some("/api/stores")),
            ("/api/stores.json", Some("/api/stores")),
            ("/api/stores.json/", Some("/api/stores")),
            ("/health/live/", Some("/health/live")),
            ("/health/live.json", None),
            ("/api/stores", None),
            ("/", None),
            ("/api/.json", None),
        ] {
            assert_eq!(plain(path).as_deref(), expected, "{path}");
        }
    }
}
