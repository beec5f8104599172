//! A request's body, read up to the limit.
//!
//! The limit counts bytes as they come, so it holds whatever `Content-Length` says or leaves out. What is too long is read on
//! for a while and thrown away: a client that is still writing when the connection closes would see a reset, not the 413.

use std::{pin::Pin, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header::CONTENT_ENCODING,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde_json::value::RawValue;

use crate::actors::Hub;

use super::error::ApiError;

/// How long a whole body may take to come: a client that drips keeps a connection and its memory.
const BODY_TIME: Duration = Duration::from_secs(120);
/// How much more than the limit is read and thrown away, as a multiple of the limit.
const DRAINED: usize = 8;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The kinds of body that are read somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON, or nothing said.
    Json,
    /// JSON lines (`application/x-ndjson` and its other names).
    Lines,
    /// `application/x-www-form-urlencoded`
    Form,
    /// Anything else.
    Other,
}

impl Kind {
    /// The kind of a media type as `Content-Type` names it.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match essence.as_str() {
            "" | "application/json" | "text/json" => Self::Json,
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/jsonlines" => Self::Lines,
            "application/x-www-form-urlencoded" => Self::Form,
            other if other.starts_with("application/") && other.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }
}

/// A body and what it is said to be.
#[derive(Clone)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// Their kind.
    pub kind: Kind,
    content_type: String,
}

impl Body {
    /// A body of this kind.
    #[cfg(test)]
    pub fn of(kind: Kind, bytes: &'static [u8]) -> Self {
        Self {
            bytes: Bytes::from_static(bytes),
            kind,
            content_type: String::new(),
        }
    }

    /// The body as one JSON document, without a look inside.
    ///
    /// # Errors
    /// 415 when it says that it is something else, 400 when it is not JSON.
    pub fn json(&self) -> Result<&RawValue, ApiError> {
        if self.kind != Kind::Json {
            return Err(self.unsupported("application/json"));
        }
        read_json(&self.bytes)
    }

    /// The body as text that ought to be JSON; `None` when it says that it is something else, or is no text.
    #[must_use]
    pub fn json_text(&self) -> Option<&str> {
        let is_json = self.kind == Kind::Json;
        is_json
            .then(|| std::str::from_utf8(&self.bytes).ok())
            .flatten()
    }

    /// The 415 answer for this body.
    #[must_use]
    pub fn unsupported(&self, wanted: &str) -> ApiError {
        ApiError::unsupported(&self.content_type, wanted)
    }
}

/// Bytes as one JSON document, without a look inside.
///
/// # Errors
/// 400.
pub fn read_json(bytes: &[u8]) -> Result<&RawValue, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        ApiError::not_json(format_args!(
            "is not valid UTF-8 from byte {} on",
            error.valid_up_to()
        ))
    })?;
    if text.trim().is_empty() {
        return Err(ApiError::not_json("is empty"));
    }
    serde_json::from_str(text).map_err(ApiError::not_json)
}

async fn read(
    hub: Option<Hub>,
    request: HttpRequest,
    mut payload: Payload,
) -> Result<Body, ApiError> {
    let hub = hub.ok_or_else(|| ApiError::internal(&"the server was made without a hub"))?;
    let limit = hub.config().server.max_body_bytes;
    if let Some(coding) = request
        .headers()
        .get(CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok())
        && !coding.trim().is_empty()
        && !coding.trim().eq_ignore_ascii_case("identity")
    {
        return Err(ApiError::unsupported(
            &format!("compressed with {coding}"),
            "bodies as they are",
        ));
    }
    let bytes = tokio::time::timeout(BODY_TIME, collect(&mut payload, limit))
        .await
        .map_err(|_| ApiError::too_slow(BODY_TIME))??;
    let Some(bytes) = bytes else {
        drain(payload, limit.saturating_mul(DRAINED)).await;
        return Err(ApiError::too_large(limit));
    };
    let content_type = request.content_type().to_owned();
    Ok(Body {
        bytes,
        kind: Kind::of(&content_type),
        content_type,
    })
}

/// All bytes; `None` as soon as they are more than `limit`.
async fn collect(payload: &mut Payload, limit: usize) -> Result<Option<Bytes>, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(ApiError::broken_request)?;
        if bytes.len() + chunk.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes.freeze()))
}

/// Reads and forgets up to `limit` bytes.
async fn drain(mut payload: Payload, limit: usize) {
    let reading = async {
        let mut read = 0usize;
        while let Some(Ok(chunk)) = payload.next().await {
            read += chunk.len();
            if read > limit {
                return;
            }
        }
    };
    // Either way the answer is the same 413, so it does not matter which came first.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

impl FromRequest for Body {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        Box::pin(read(
            request.app_data::<Hub>().cloned(),
            request.clone(),
            payload.take(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_told_apart() {
        for (text, kind) in [
            ("", Kind::Json),
            ("application/json; charset=utf-8", Kind::Json),
            ("Application/JSON", Kind::Json),
            ("application/vnd.api+json", Kind::Json),
            ("application/x-ndjson", Kind::Lines),
            (
                "application/x-www-form-urlencoded; charset=UTF-8",
                Kind::Form,
            ),
            ("text/plain", Kind::Other),
            ("multipart/form-data; boundary=x", Kind::Other),
        ] {
            assert_eq!(Kind::of(text), kind, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_place() {
        for (bytes, said) in [
            (&b"{\"message\":"[..], "line 1 column"),
            (b"", "is empty"),
            (b" \n", "is empty"),
            (b"{} {}", "trailing"),
            (b"{\"a\":\"\xff\"}", "not valid UTF-8 from byte 6"),
        ] {
            let error = read_json(bytes).expect_err("no JSON");
            assert!(
                error.document().errors[0].contains(said),
                "{:?}",
                error.document().errors
            );
        }
    }
}
