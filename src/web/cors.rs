//! Cross-origin requests (the Fetch standard, 3.2): the admin client of 2013 is a page of the shop that calls the hub with credentials.
//!
//! A page of an origin in `cors.allow_origins` gets that origin back by name, never `*`, which credentials forbid. Any other gets
//! its answer without these headers, and its browser keeps it from the page; its preflight is a 204 without them.

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
            HeaderMap, HeaderValue, ORIGIN, VARY,
        },
    },
    middleware::Next,
};

use crate::actors::Hub;

const METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS";
const HEADERS: &str = "X-Augury-Token, X-Hub-Access-Token, X-Hub-Store, X-Hub-Timestamp, Authorization, Content-Type, Accept, \
                       Idempotency-Key, X-Requested-With";
/// What a page may read of an answer besides the safe headers.
const EXPOSED: &str = "Retry-After";
/// For so many seconds a browser need not ask again.
const MAX_AGE: &str = "600";

/// Answers preflights, and names the origin in answers to pages that may read them.
///
/// # Errors
/// Those of the service behind it.
pub async fn cross_origin(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let path = request.path();
    let is_api = path == "/push" || path == "/api" || path.starts_with("/api/");
    let origin = request.headers().get(ORIGIN).cloned();
    let Some(origin) = origin.filter(|_| is_api) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let allowed = origin.to_str().ok().is_some_and(|origin| {
        request
            .app_data::<Hub>()
            .is_some_and(|hub| hub.config().cors.allows(origin))
    });
    let is_preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut answer = if is_preflight {
        let mut answer = HttpResponse::NoContent();
        if allowed {
            answer
                .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
                .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, HEADERS))
                .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE));
        }
        request.into_response(answer.finish())
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    name_origin(answer.headers_mut(), allowed.then_some(origin));
    Ok(answer)
}

fn name_origin(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    // What a cache keeps for one page must not be given to another.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
    }
}
