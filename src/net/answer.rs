//! An answer, and reading its body within bounds.

use std::{net::SocketAddr, time::Duration};

use actix_http::error::PayloadError;
use awc::{
    ClientResponse,
    http::header::{self, HeaderMap},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::{
    attempt::Attempt,
    failure::{Failure, Malformed, Phase},
    head::Framing,
    inflate::{Coding, Inflated, inflate},
    retry_after::RetryAfter,
};

/// How much of the body [`Answer::body`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyState {
    /// All of it, inflated if it came compressed.
    Whole,
    /// The first `max_body_bytes` of it. Only with a status outside 2xx, where the body is for people to read: a
    /// successful answer that is too large is a [`Failure::AnswerTooLarge`].
    CutAtLimit,
    /// All of it as it came, in a coding that was not asked for and cannot be undone.
    StillEncoded,
}

/// What an endpoint answered, whatever it means.
#[derive(Debug)]
pub struct Answer {
    /// The final answer's status, 200 to 999; 3xx too, since a POST follows no redirect.
    pub status: u16,
    /// At most 96 header lines, of 64 KiB together. They share memory with what was read from the network: copy what is
    /// kept for long.
    pub headers: HeaderMap,
    /// The body, as far as [`Self::body_state`] says.
    pub body: Bytes,
    /// How much of the body that is.
    pub body_state: BodyState,
    /// `Retry-After`, if it can be read.
    pub retry_after: Option<RetryAfter>,
    /// From the call to the end of the body, connecting included.
    pub duration: Duration,
    /// The address that answered.
    pub remote: Option<SocketAddr>,
}

impl Answer {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        is_success(self.status)
    }

    /// The first header of this name (in lower case), if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Reads the rest of an answer whose head is here. `duration` is the caller's to fill in.
pub(super) async fn read<S>(
    response: ClientResponse<S>,
    attempt: &Attempt,
    max_body_bytes: usize,
) -> Result<Answer, Failure>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let status = response.status().as_u16();
    let mut headers = HeaderMap::new();
    let response = response.map_body(|head, payload| {
        headers = std::mem::take(&mut head.headers);
        payload
    });
    let too_large = || Failure::AnswerTooLarge {
        limit: max_body_bytes,
        status,
    };
    if let Framing::Length(length) = attempt.framing.get()
        && length > max_body_bytes as u64
        && is_success(status)
    {
        return Err(too_large());
    }
    let (raw, mut body_state) = read_raw(response, attempt, max_body_bytes).await?;
    if body_state == BodyState::CutAtLimit && is_success(status) {
        return Err(too_large());
    }

    let coding = headers
        .get(header::CONTENT_ENCODING)
        .map_or(Coding::Identity, |value| Coding::named(value.as_bytes()));
    let body = match coding {
        Coding::Identity => raw,
        Coding::Unknown => {
            body_state = BodyState::StillEncoded;
            raw
        }
        Coding::Gzip | Coding::Deflate => match inflate(&raw, coding, max_body_bytes) {
            Inflated::Whole(body) => body,
            Inflated::CutAtLimit(_) if is_success(status) => return Err(too_large()),
            Inflated::CutAtLimit(body) => {
                body_state = BodyState::CutAtLimit;
                body
            }
            Inflated::Broken if is_success(status) => {
                return Err(Failure::MalformedAnswer {
                    reason: Malformed::Compression,
                });
            }
            Inflated::Broken => {
                body_state = BodyState::StillEncoded;
                raw
            }
        },
    };
    let retry_after = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| RetryAfter::parse(value.as_bytes()));
    Ok(Answer {
        status,
        headers,
        body,
        body_state,
        retry_after,
        duration: Duration::ZERO,
        remote: attempt.link.get().map(|link| link.remote),
    })
}

/// Reads the body as it comes, up to `limit` bytes. To stop early drops the connection.
async fn read_raw<S>(
    mut body: ClientResponse<S>,
    attempt: &Attempt,
    limit: usize,
) -> Result<(Bytes, BodyState), Failure>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    // One chunk is the whole body as a rule, and then it is not copied.
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|_| broken_body(attempt))?;
        let so_far = first.len() + joined.len();
        let room = limit - so_far.min(limit);
        let is_cut = chunk.len() > room;
        chunk.truncate(room);
        if first.is_empty() && joined.is_empty() {
            first = chunk;
        } else {
            if joined.is_empty() {
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&chunk);
        }
        if is_cut {
            let kept = if joined.is_empty() {
                first
            } else {
                joined.freeze()
            };
            return Ok((kept, BodyState::CutAtLimit));
        }
    }
    // awc ends the stream alike when a body is complete and when the connection was closed in its middle.
    if attempt.link_ended.get() && attempt.framing.get() != Framing::UntilClose {
        return Err(broken_body(attempt));
    }
    let whole = if joined.is_empty() {
        first
    } else {
        joined.freeze()
    };
    Ok((whole, BodyState::Whole))
}

fn broken_body(attempt: &Attempt) -> Failure {
    if attempt.link_ended.get() {
        Failure::CutOff {
            phase: Phase::Reading,
        }
    } else {
        Failure::MalformedAnswer {
            reason: Malformed::Chunks,
        }
    }
}
