//! `/api/samples`: one message of every type, in both dialects. Open to everybody: nothing in them is anybody's.

use actix_web::{HttpRequest, HttpResponse};

use crate::wire::samples;

use super::super::{error::ApiError, query::Query};

/// `GET /api/samples`: the types there are samples of.
pub async fn list() -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(samples::names()))
}

/// `GET /api/samples/:name?version=2.0`: one whole message; `version=2` gives the second dialect.
pub async fn show(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = request.match_info().get("name").unwrap_or_default();
    let query = Query::read(request.query_string(), &["version"]);
    let dialect = samples::dialect_of(query.text("version"));
    let sample = samples::get(name, dialect).ok_or_else(|| ApiError::not_found("sample"))?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(sample))
}
