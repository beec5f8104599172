//! What goes wrong on the way to an answer, as the outside sees it: a status and one JSON envelope.
//!
//! ```json
//! {"error":"The mapping is not valid.","errors":["url: must begin with http:// or https://"]}
//! ```
//!
//! Clients of 2013 join `errors` with commas without looking, so it is there in every error, an array of texts. What is
//! the hub's own fault (5xx) shows a request id and nothing else; the same id stands in the log beside what really happened.

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};

use crate::{
    actors::AcceptError, db::DbError, domain::registry::Scope, wire::hub_api::ErrorDocument,
};

/// The `Retry-After` of answers that tell why the hub cannot serve now, when nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An answer other than success.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    /// One sentence.
    sentence: String,
    /// `field: what is wrong`.
    errors: Vec<String>,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
    request_id: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
            errors: Vec::new(),
            retry_after: None,
            allow: None,
            request_id: None,
        }
    }

    /// 400: the body is not JSON.
    #[must_use]
    pub fn not_json(reason: impl fmt::Display) -> Self {
        Self {
            errors: vec![format!("body: {reason}")],
            ..Self::new(StatusCode::BAD_REQUEST, "The body is not JSON.")
        }
    }

    /// 400: the request breaks off or cannot be read.
    #[must_use]
    pub fn broken_request(reason: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("The request could not be read: {reason}."),
        )
    }

    /// 401: no token came with the request.
    #[must_use]
    pub fn no_token() -> Self {
        let sentence = "A token is missing: send it in the header X-Augury-Token, X-Hub-Access-Token or Authorization: Bearer.";
        Self::new(StatusCode::UNAUTHORIZED, sentence)
    }

    /// 401: nobody has this token, or not any more. The sentence is the one that clients of 2013 know.
    #[must_use]
    pub fn bad_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Token is invalid.")
    }

    /// Whether it is about somebody or something unknown, which another node may know.
    #[must_use]
    pub fn may_be_out_of_date(&self) -> bool {
        matches!(
            self.status,
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND
        )
    }

    /// 401: what came is not signed with the secret that was agreed on.
    #[must_use]
    pub fn bad_signature(reason: &dyn fmt::Display) -> Self {
        let errors = vec![format!("signature: {reason}")];
        Self {
            errors,
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "The signature of this request cannot be accepted.",
            )
        }
    }

    /// 403: the token may not do this.
    #[must_use]
    pub fn missing_scope(scope: Scope) -> Self {
        let word = scope_word(scope);
        Self {
            errors: vec![format!("token: lacks the scope {word}")],
            ..Self::new(
                StatusCode::FORBIDDEN,
                format!("This token lacks the scope {word}."),
            )
        }
    }

    /// 403: no store's token may do this.
    #[must_use]
    pub fn operator_only() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Only the operator's token may do this.",
        )
    }

    /// 404 for a store that does not exist or is not the token's. The sentence is the one that clients of 2013 know.
    #[must_use]
    pub fn store_not_found() -> Self {
        Self::not_found("store")
    }

    /// 404: there is no such thing; `what` is its word, such as `mapping`.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("{} not found.", capitalized(what)),
        )
    }

    /// 404: there is nothing at this address.
    #[must_use]
    pub fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is nothing at this address.")
    }

    /// 405, with the methods that are allowed (RFC 9110, 15.5.6).
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let sentence = format!("This address does not take this method, only {allow}.");
        Self {
            allow: Some(allow),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, sentence)
        }
    }

    /// 409: the request with the same idempotency key is still in work.
    #[must_use]
    pub fn in_flight() -> Self {
        let sentence =
            "A request with this Idempotency-Key is still in work; ask again in a moment.";
        Self {
            retry_after: Some(RETRY_AFTER),
            ..Self::new(StatusCode::CONFLICT, sentence)
        }
    }

    /// 408: the body did not come in time.
    #[must_use]
    pub fn too_slow(allowed: Duration) -> Self {
        let seconds = allowed.as_secs();
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("The body did not arrive within {seconds} seconds."),
        )
    }

    /// 413, with the limit in bytes.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body is larger than {limit} bytes, the most that is read."),
        )
    }

    /// 415: the body is of a kind that is not read here.
    #[must_use]
    pub fn unsupported(found: &str, wanted: &str) -> Self {
        let found: String = found
            .chars()
            .filter(|c| !c.is_control())
            .take(100)
            .collect();
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("A body of type {found} is not read here, only {wanted}."),
        )
    }

    /// 422: `errors` say which field is wrong and how.
    #[must_use]
    pub fn invalid(what: &str, errors: Vec<String>) -> Self {
        Self {
            errors,
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("The {what} is not valid."),
            )
        }
    }

    /// 422 with one thing that is wrong.
    #[must_use]
    pub fn invalid_field(what: &str, field: &str, problem: impl fmt::Display) -> Self {
        Self::invalid(what, vec![format!("{field}: {problem}")])
    }

    /// 422: the thing is fine, but is not in a state in which this can be done. `reason` says which one it is in.
    #[must_use]
    pub fn not_possible(what: &str, verb: &str, reason: &str) -> Self {
        let errors = vec![format!("{what}: {reason}")];
        Self {
            errors,
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("This {what} cannot be {verb}: {reason}."),
            )
        }
    }

    /// 503: come back after `retry_after`.
    #[must_use]
    pub fn unavailable(sentence: &str, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
        }
    }

    /// 500: a defect of the hub. Logged here, once, with the id that the answer shows.
    #[must_use]
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The hub failed; the log has the reason.",
        )
        .logged(cause)
    }

    /// One sentence on what is wrong, and the fields that are.
    #[must_use]
    pub fn document(&self) -> ErrorDocument<'_> {
        ErrorDocument {
            error: &self.sentence,
            errors: &self.errors,
            request_id: self.request_id.as_deref(),
        }
    }

    fn logged(mut self, cause: &dyn fmt::Display) -> Self {
        let request_id = hex::encode(rand::random::<[u8; 6]>());
        log::error!(request_id = request_id.as_str(), status = self.status.as_u16(); "a request failed: {cause}");
        self.request_id = Some(request_id);
        self
    }
}

/// The word of a scope on the wire.
#[must_use]
pub fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Push => "push",
        Scope::Read => "read",
        Scope::Admin => "admin",
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status);
        if let Some(span) = self.retry_after {
            // Whole seconds, rounded up: a client must not come back too early (RFC 9110, 10.2.3).
            let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
            answer.insert_header((header::RETRY_AFTER, seconds.max(1)));
        }
        if let Some(allow) = self.allow {
            answer.insert_header((header::ALLOW, allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // Compulsory in a 401 (RFC 9110, 15.5.2).
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        answer.json(self.document())
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Taken { field } => Self::invalid_field("request", field, "is already taken"),
            DbError::Missing(what) => Self::not_found(what),
            DbError::Unavailable(_) | DbError::Full => {
                Self::unavailable("The database does not answer now.", RETRY_AFTER).logged(&error)
            }
            error => Self::internal(&error),
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Full { retry_after } => Self::unavailable(
                "The hub has as many messages waiting as it can take.",
                retry_after,
            ),
            AcceptError::Stopping => Self::unavailable("The hub is stopping.", RETRY_AFTER),
            AcceptError::InFlight { .. } => Self::in_flight(),
            AcceptError::Db(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn shown(error: ApiError) -> (HttpResponse<()>, serde_json::Value) {
        let (head, body) = error.error_response().into_parts();
        let bytes = to_bytes(body).await.expect("a body in memory");
        (
            head.drop_body(),
            serde_json::from_slice(&bytes).expect("JSON"),
        )
    }

    #[actix_web::test]
    async fn every_error_has_a_sentence_and_an_array_of_texts() {
        let (head, body) = shown(ApiError::bad_token()).await;
        assert_eq!(head.status(), 401);
        assert_eq!(
            body,
            serde_json::json!({"error": "Token is invalid.", "errors": []})
        );
        let (head, body) = shown(ApiError::missing_scope(Scope::Admin)).await;
        assert_eq!(head.status(), 403);
        assert_eq!(body["errors"][0], "token: lacks the scope admin");
    }

    #[actix_web::test]
    async fn a_failure_of_the_hub_shows_an_id_and_hides_the_reason() {
        let (head, body) =
            shown(DbError::Internal("near \"SELEC\": syntax error".into()).into()).await;
        assert_eq!(head.status(), 500);
        assert_eq!(body["request_id"].as_str().map(str::len), Some(12));
        assert!(!body.to_string().contains("SELEC"), "{body}");
    }

    #[actix_web::test]
    async fn whoever_is_to_come_back_is_told_when() {
        let full = AcceptError::Full {
            retry_after: Duration::from_millis(1_200),
        };
        let (head, _) = shown(full.into()).await;
        assert_eq!(head.status(), 503);
        assert_eq!(
            head.headers().get("retry-after").map(|v| v.as_bytes()),
            Some(&b"2"[..])
        );
        let in_flight = AcceptError::InFlight { positions: vec![0] };
        let (head, _) = shown(in_flight.into()).await;
        assert_eq!(
            (
                head.status().as_u16(),
                head.headers().contains_key("retry-after")
            ),
            (409, true)
        );
        let (head, _) = shown(DbError::Full.into()).await;
        assert_eq!(
            (
                head.status().as_u16(),
                head.headers().contains_key("retry-after")
            ),
            (503, true)
        );
    }
}
