//! A client of the hub's API, for the commands that speak to a hub as everybody does.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rand::RngExt;
use serde_json::Value;
use url::Url;

use crate::net::{Client, ClientOptions, EgressPolicy, Request, Target, Tls, header};

/// A client of one hub. Not `Send`: it belongs to the thread it was made on.
pub struct HubClient {
    base: Url,
    client: Client,
}

/// A call that did not end with a 2xx.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer.
    #[error("the hub gave no answer: {0}")]
    NoAnswer(String),
    /// An answer that is no success.
    #[error("the hub answered {status}: {body}")]
    Refused {
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
    /// An answer that is not what the API promises.
    #[error("the hub's answer has no {0}")]
    Missing(&'static str),
    /// The address or a header cannot be used.
    #[error("{0}")]
    Unusable(String),
}

impl HubClient {
    /// A client of the hub at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Result<Self, CallError> {
        let unusable = |error: &dyn std::fmt::Display| CallError::Unusable(error.to_string());
        let tls = Tls::new(&[]).map_err(|error| unusable(&error))?;
        // The person at this terminal chose the hub's address: nothing is refused here.
        let everywhere = ["0.0.0.0/0", "::/0"]
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect();
        let client = Client::new(
            Arc::new(EgressPolicy::new(everywhere)),
            ClientOptions::new(tls),
        );
        Ok(Self {
            base: Url::parse(base).map_err(|error| unusable(&error))?,
            client,
        })
    }

    /// POSTs a body and gives the answer, whatever its status.
    pub async fn call(
        &self,
        token: &str,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Reply, CallError> {
        let unusable = |error: &dyn std::fmt::Display| CallError::Unusable(error.to_string());
        let url = self.base.join(path).map_err(|error| unusable(&error))?;
        let target = Target::new(&url).map_err(|error| unusable(&error))?;
        let token = header::HeaderValue::from_str(token).map_err(|_| {
            CallError::Unusable("the token has characters that no header may have".into())
        })?;
        let headers = [
            (
                header::CONTENT_TYPE,
                header::HeaderValue::from_static(content_type),
            ),
            (header::HeaderName::from_static("x-augury-token"), token),
        ];
        let request = Request {
            target: &target,
            headers: &headers,
            body,
            timeout: Duration::from_secs(60),
            max_body_bytes: 16 * 1024 * 1024,
        };
        let answer = self
            .client
            .post(request)
            .await
            .map_err(|error| CallError::NoAnswer(error.to_string()))?;
        Ok(Reply {
            status: answer.status,
            retry_after: answer
                .retry_after
                .map(|wish| wish.wait_from(chrono::Utc::now().timestamp_micros())),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        })
    }

    /// POSTs JSON and reads the JSON of a success.
    pub async fn post(&self, token: &str, path: &str, body: &str) -> Result<Value, CallError> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let Reply { status, body, .. } = self.call(token, path, "application/json", body).await?;
        if !(200..300).contains(&status) {
            return Err(CallError::Refused { status, body });
        }
        serde_json::from_str(&body).map_err(|_| CallError::Missing("JSON"))
    }
}

/// What the hub answered.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
    /// The body as text.
    pub body: String,
}

/// A text member of an answer.
pub fn text(answer: &Value, member: &'static str) -> Result<String, CallError> {
    answer
        .get(member)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or(CallError::Missing(member))
}

/// A token nobody can guess: 64 hex digits.
pub fn random_token() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    hex::encode(bytes)
}
