//! Standard Webhooks: headers by which an endpoint can tell that a request is this hub's and how old it is.
//!
//! The signed text is `<webhook-id>.<webhook-timestamp>.<body>`, the body byte for byte as sent; the signature is
//! `v1,` and the base64 of its HMAC-SHA256 (specification of Standard Webhooks 1.0.0, "Symmetric"). While a secret is being
//! replaced, the old and the new one both sign, and the header carries both signatures with a space between: an endpoint
//! accepts the request when one of them is right, so it can change its secret at any time of the rotation.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::id::Id;

/// The header with the message's id, the same on every attempt: what an endpoint drops repeats by.
pub const ID_HEADER: &str = "webhook-id";

/// The header with the time of the attempt, in seconds since the epoch.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";

/// The header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// What a secret begins with when the rest is base64.
pub const SECRET_PREFIX: &str = "whsec_";

/// How far a timestamp may be from the receiver's clock, in seconds, either way: what the specification's own libraries allow.
pub const TOLERANCE_SECS: i64 = 5 * 60;

/// The shortest and the longest key, in bytes. The specification asks for 24 to 64; secrets that people agreed on before
/// are often shorter or longer, so only what gives no protection or makes no sense is refused.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// The most signatures of one header that are looked at.
const MAX_SIGNATURES: usize = 20;

/// Why a text is no signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// `whsec_` and something that is no base64.
    #[error("begins with whsec_ but is not base64 behind it")]
    NotBase64,
    /// Too few or too many bytes.
    #[error("must hold 8 to 1024 bytes")]
    Length,
}

/// A key to sign with.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Reads `whsec_<base64>`, or any other text, whose bytes are then the key itself.
    ///
    /// # Errors
    /// When it is no base64 behind `whsec_`, too short or too long.
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let key = match text.strip_prefix(SECRET_PREFIX) {
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| SecretError::NotBase64)?,
            None => text.as_bytes().to_vec(),
        };
        if KEY_BYTES.contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(SecretError::Length)
        }
    }

    /// The signature of one request, such as `v1,K5oZ...`.
    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

/// The three headers of a request, by name. `secrets` are those in force, the newest first: one, or two during a rotation.
/// Without any there is nothing to say and no header.
#[must_use]
pub fn headers(
    secrets: &[SigningSecret],
    message_id: Id,
    timestamp_secs: i64,
    body: &[u8],
) -> Vec<(&'static str, String)> {
    if secrets.is_empty() {
        return Vec::new();
    }
    let id = message_id.to_string();
    let signature = sign(secrets, &id, timestamp_secs, body);
    vec![
        (ID_HEADER, id),
        (TIMESTAMP_HEADER, timestamp_secs.to_string()),
        (SIGNATURE_HEADER, signature),
    ]
}

/// The value of `webhook-signature`: a signature for each secret, separated by spaces.
#[must_use]
pub fn sign(secrets: &[SigningSecret], id: &str, timestamp_secs: i64, body: &[u8]) -> String {
    let timestamp = timestamp_secs.to_string();
    let signatures: Vec<_> = secrets
        .iter()
        .map(|secret| secret.sign(id, &timestamp, body))
        .collect();
    signatures.join(" ")
}

/// Why a signed request is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp is no whole number.
    #[error("webhook-timestamp is no number of seconds")]
    BadTimestamp,
    /// The request is older than allowed: perhaps somebody sends it again.
    #[error("webhook-timestamp is too old")]
    TooOld,
    /// The request comes from the future: one of the clocks is wrong.
    #[error("webhook-timestamp is in the future")]
    TooNew,
    /// No signature fits any secret.
    #[error("no signature matches")]
    NoMatch,
}

/// The headers of a signed request, as they came.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`
    pub timestamp: &'a str,
    /// `webhook-signature`
    pub signature: &'a str,
}

/// Checks a signed request: its age against `now_secs` and [`TOLERANCE_SECS`], then its signatures, in constant time.
/// Signatures of another version than `v1` are passed over.
///
/// # Errors
/// When it is not to be trusted, with the reason.
pub fn verify(
    secrets: &[SigningSecret],
    signed: Signed<'_>,
    body: &[u8],
    now_secs: i64,
) -> Result<(), VerifyError> {
    let timestamp: i64 = signed
        .timestamp
        .parse()
        .map_err(|_| VerifyError::BadTimestamp)?;
    if timestamp < now_secs.saturating_sub(TOLERANCE_SECS) {
        return Err(VerifyError::TooOld);
    }
    if timestamp > now_secs.saturating_add(TOLERANCE_SECS) {
        return Err(VerifyError::TooNew);
    }
    let expected: Vec<_> = secrets
        .iter()
        .map(|secret| secret.sign(signed.id, signed.timestamp, body))
        .collect();
    let matches = signed
        .signature
        .split(' ')
        .take(MAX_SIGNATURES)
        .any(|given| {
            expected
                .iter()
                .any(|own| bool::from(own.as_bytes().ct_eq(given.as_bytes())))
        });
    if matches {
        Ok(())
    } else {
        Err(VerifyError::NoMatch)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // The vector that the specification's reference libraries are tested with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret(text: &str) -> SigningSecret {
        SigningSecret::read(text).unwrap()
    }

    fn check(signature: &str, timestamp: &str, body: &[u8]) -> Result<(), VerifyError> {
        let signed = Signed {
            id: ID,
            timestamp,
            signature,
        };
        verify(&[secret(SECRET)], signed, body, AT)
    }

    #[test]
    fn the_published_vector_is_reproduced_and_verified() {
        assert_eq!(sign(&[secret(SECRET)], ID, AT, BODY), SIGNATURE);
        assert_eq!(check(SIGNATURE, "1614265330", BODY), Ok(()));
    }

    #[test]
    fn one_right_signature_among_others_is_enough() {
        let many = format!("v1,AAAA v2,{} v1a,abc {SIGNATURE}", &SIGNATURE[3..]);
        assert_eq!(check(&many, "1614265330", BODY), Ok(()));
        for wrong in [
            "",
            "v1,",
            "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            &SIGNATURE[3..],
        ] {
            assert_eq!(check(wrong, "1614265330", BODY), Err(VerifyError::NoMatch));
        }
    }

    #[test]
    fn a_changed_body_id_or_time_is_noticed() {
        assert_eq!(
            check(SIGNATURE, "1614265330", br#"{"test": 2432232315}"#),
            Err(VerifyError::NoMatch)
        );
        assert_eq!(
            check(SIGNATURE, "1614265331", BODY),
            Err(VerifyError::NoMatch)
        );
        let signed = Signed {
            id: "msg_other",
            timestamp: "1614265330",
            signature: SIGNATURE,
        };
        assert_eq!(
            verify(&[secret(SECRET)], signed, BODY, AT),
            Err(VerifyError::NoMatch)
        );
    }

    #[test]
    fn a_timestamp_has_a_tolerance_both_ways() {
        let old = (AT - TOLERANCE_SECS - 1).to_string();
        let new = (AT + TOLERANCE_SECS + 1).to_string();
        assert_eq!(check(SIGNATURE, &old, BODY), Err(VerifyError::TooOld));
        assert_eq!(check(SIGNATURE, &new, BODY), Err(VerifyError::TooNew));
        assert_eq!(
            check(SIGNATURE, "soon", BODY),
            Err(VerifyError::BadTimestamp)
        );
        let edge = (AT - TOLERANCE_SECS).to_string();
        assert_eq!(check(SIGNATURE, &edge, BODY), Err(VerifyError::NoMatch));
    }

    #[test]
    fn during_a_rotation_both_secrets_sign_and_either_verifies() {
        let old = secret(SECRET);
        let new = secret("a raw text as key");
        let header = sign(&[new.clone(), old.clone()], ID, AT, BODY);
        assert_eq!(header.split(' ').count(), 2);
        assert!(header.ends_with(SIGNATURE));
        for own in [old, new] {
            let signed = Signed {
                id: ID,
                timestamp: "1614265330",
                signature: &header,
            };
            assert_eq!(verify(&[own], signed, BODY, AT), Ok(()));
        }
    }

    #[test]
    fn without_a_secret_nothing_is_signed_and_nothing_verifies() {
        let id: Id = "5626b1c2ac3d2f0003000a01".parse().unwrap();
        assert!(headers(&[], id, AT, BODY).is_empty());
        let names: Vec<_> = headers(&[secret(SECRET)], id, AT, BODY)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER]);
        let signed = Signed {
            id: ID,
            timestamp: "1614265330",
            signature: SIGNATURE,
        };
        assert_eq!(verify(&[], signed, BODY, AT), Err(VerifyError::NoMatch));
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_refused_and_none_is_shown() {
        assert_eq!(
            SigningSecret::read("whsec_not base64").unwrap_err(),
            SecretError::NotBase64
        );
        assert_eq!(
            SigningSecret::read("short").unwrap_err(),
            SecretError::Length
        );
        assert_eq!(
            SigningSecret::read("whsec_").unwrap_err(),
            SecretError::Length
        );
        assert!(!format!("{:?}", secret(SECRET)).contains("MfKQ"));
    }
}
