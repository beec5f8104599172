//! Why there is no answer.
//!
//! The texts go into attempts, events and notifications, which store admins read: they are built from known parts, and
//! never from what a library or an endpoint said.

use std::{net::IpAddr, time::Duration};

use thiserror::Error;

use super::{address::AddressKind, target::UrlError};

/// How far an attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing had been sent yet.
    Connecting,
    /// The request was being sent.
    Sending,
    /// The request was sent, the final answer's head was not complete.
    Waiting,
    /// The body of the answer was being read.
    Reading,
}

impl Phase {
    fn words(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Sending => "sending the request",
            Self::Waiting => "waiting for the answer",
            Self::Reading => "reading the answer's body",
        }
    }
}

/// How far connecting had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectStep {
    /// The name was being resolved.
    Lookup,
    /// The TCP connection was being opened.
    Tcp,
    /// TLS was being negotiated.
    Tls,
}

impl ConnectStep {
    fn words(self) -> &'static str {
        match self {
            Self::Lookup => "looking up the name",
            Self::Tcp => "opening the connection",
            Self::Tls => "negotiating TLS",
        }
    }
}

/// Why TLS was not established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is for another name.
    OtherName,
    /// Nobody trusted has signed the certificate.
    UnknownIssuer,
    /// The certificate was revoked.
    Revoked,
    /// What answers does not speak TLS.
    NotTls,
    /// No common protocol version or cipher, a broken handshake, or a certificate wrong in another way.
    Other,
}

impl TlsFailure {
    fn words(self) -> &'static str {
        match self {
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet",
            Self::OtherName => "its certificate is for another name",
            Self::UnknownIssuer => "its certificate is not signed by anybody trusted here",
            Self::Revoked => "its certificate was revoked",
            Self::NotTls => "it does not speak TLS at this port",
            Self::Other => "the TLS handshake failed",
        }
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It does not begin with an HTTP/1 status line.
    StatusLine,
    /// A header line cannot be read, or contradicts another.
    Header,
    /// More header lines than are read.
    TooManyHeaders,
    /// A head larger than is read.
    HeadTooLarge,
    /// More interim answers (1xx) than are skipped.
    TooManyInterim,
    /// `101`, though no other protocol was asked for.
    SwitchesProtocol,
    /// The chunked body cannot be read.
    Chunks,
    /// The compressed body cannot be inflated.
    Compression,
}

impl Malformed {
    fn words(self) -> &'static str {
        match self {
            Self::StatusLine => "it does not begin with an HTTP status line",
            Self::Header => "a header line cannot be read",
            Self::TooManyHeaders => "it has too many header lines",
            Self::HeadTooLarge => "its head is too large",
            Self::TooManyInterim => "too many interim answers came before it",
            Self::SwitchesProtocol => "it switches to a protocol that was not asked for",
            Self::Chunks => "its chunked body cannot be read",
            Self::Compression => "its compressed body cannot be inflated",
        }
    }
}

/// Why an attempt has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// Every address of the host is refused by the egress policy.
    #[error("{host} is not allowed: {address} is {}; egress.allow_networks lists what is", .kind.words())]
    AddressNotAllowed {
        /// The host of the URL.
        host: String,
        /// The first address refused.
        address: IpAddr,
        /// Why it is special.
        kind: AddressKind,
    },
    /// The name has no address.
    #[error("no address found for {host}")]
    HostNotFound {
        /// The host of the URL.
        host: String,
    },
    /// Connecting took longer than allowed.
    #[error("no connection to {host}:{port} within {after:?}: timed out {}", .step.words())]
    ConnectTimeout {
        /// The host of the URL.
        host: String,
        /// The port.
        port: u16,
        /// The time allowed.
        after: Duration,
        /// What was being done.
        step: ConnectStep,
    },
    /// Nothing listens there.
    #[error("{host}:{port} refused the connection")]
    ConnectRefused {
        /// The host of the URL.
        host: String,
        /// The port.
        port: u16,
    },
    /// The network knows no way there, or the connection broke while it was being opened.
    #[error("no connection to {host}:{port}")]
    NoConnection {
        /// The host of the URL.
        host: String,
        /// The port.
        port: u16,
    },
    /// TLS could not be established.
    #[error("no secure connection to {host}: {}", .kind.words())]
    Tls {
        /// The host of the URL.
        host: String,
        /// Why not.
        kind: TlsFailure,
    },
    /// The connection was closed or reset before the answer was complete.
    #[error("the connection broke while {}", .phase.words())]
    CutOff {
        /// How far the attempt had come.
        phase: Phase,
    },
    /// The deadline over the whole attempt passed.
    #[error("no complete answer within {after:?}: timed out {}", .phase.words())]
    TimedOut {
        /// The time allowed.
        after: Duration,
        /// How far the attempt had come.
        phase: Phase,
    },
    /// A successful answer's body is larger than allowed, as sent or after inflating.
    #[error("the body of the answer ({status}) is larger than {limit} bytes")]
    AnswerTooLarge {
        /// The bytes allowed.
        limit: usize,
        /// The answer's status.
        status: u16,
    },
    /// What came is no HTTP answer.
    #[error("the answer is malformed: {}", .reason.words())]
    MalformedAnswer {
        /// What is wrong.
        reason: Malformed,
    },
    /// More redirects than the caller allows.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// The redirects allowed.
        limit: u8,
    },
    /// A redirect to something that is no address of an endpoint.
    #[error("redirected to an address that {reason}")]
    BadRedirect {
        /// What is wrong with it.
        reason: UrlError,
    },
    /// The request could not be built.
    #[error("the request could not be built")]
    BadRequest,
    /// The hub itself has no socket, port or memory left.
    #[error("the hub has no socket left for a connection")]
    OutOfSockets,
}

impl Failure {
    /// A stable word per kind, for metrics, filters and stored attempts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AddressNotAllowed { .. } => "address_not_allowed",
            Self::HostNotFound { .. } => "host_not_found",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::ConnectRefused { .. } => "connect_refused",
            Self::NoConnection { .. } => "no_connection",
            Self::Tls { kind, .. } => match kind {
                TlsFailure::Expired => "tls_expired",
                TlsFailure::NotYetValid => "tls_not_yet_valid",
                TlsFailure::OtherName => "tls_other_name",
                TlsFailure::UnknownIssuer => "tls_unknown_issuer",
                TlsFailure::Revoked => "tls_revoked",
                TlsFailure::NotTls => "tls_not_spoken",
                TlsFailure::Other => "tls_failed",
            },
            Self::CutOff { .. } => "cut_off",
            Self::TimedOut { .. } => "timed_out",
            Self::AnswerTooLarge { .. } => "answer_too_large",
            Self::MalformedAnswer { .. } => "malformed_answer",
            Self::TooManyRedirects { .. } => "too_many_redirects",
            Self::BadRedirect { .. } => "bad_redirect",
            Self::BadRequest => "bad_request",
            Self::OutOfSockets => "out_of_sockets",
        }
    }

    /// Whether the endpoint may have acted on the request all the same, so that a repeat may be its second time.
    pub fn maybe_carried_out(&self) -> bool {
        match self {
            Self::CutOff { phase } | Self::TimedOut { phase, .. } => *phase != Phase::Connecting,
            Self::AnswerTooLarge { .. } | Self::MalformedAnswer { .. } => true,
            Self::AddressNotAllowed { .. }
            | Self::HostNotFound { .. }
            | Self::ConnectTimeout { .. }
            | Self::ConnectRefused { .. }
            | Self::NoConnection { .. }
            | Self::Tls { .. }
            | Self::TooManyRedirects { .. }
            | Self::BadRedirect { .. }
            | Self::BadRequest
            | Self::OutOfSockets => false,
        }
    }

    /// Whether the hub itself is at fault, so that the endpoint must not pay for it with one of its attempts.
    pub fn is_the_hubs(&self) -> bool {
        matches!(self, Self::OutOfSockets | Self::BadRequest)
    }
}
