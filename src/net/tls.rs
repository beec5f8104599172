//! TLS towards endpoints: which certificates are trusted, and what to say when one is not.

use std::{io, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, Error as RustlsError, RootCertStore, pki_types::CertificateDer,
};
use thiserror::Error;
use tokio_rustls::TlsConnector;

use super::failure::TlsFailure;

/// Why no TLS configuration could be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsError {
    /// An extra root certificate cannot be read.
    #[error("extra root certificate {position} cannot be read")]
    Root {
        /// Its place in the list, from 1.
        position: usize,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Setup,
}

/// Everything TLS, made once and shared by all clients, so that sessions are resumed across them.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts the system's roots (the compiled-in Mozilla list where the system has none) and `extra_roots` (DER).
    /// Reads the system's certificate files: make it once at start, and not in an actor.
    ///
    /// # Errors
    /// [`TlsError::Root`] for an extra root that is no certificate.
    pub fn new(extra_roots: &[CertificateDer<'static>]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for (index, root) in extra_roots.iter().enumerate() {
            let position = index + 1;
            roots
                .add(root.clone())
                .map_err(|_| TlsError::Root { position })?;
        }
        // The provider is named, so that nothing depends on who installed which one for the process.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.0))
    }
}

/// Sorts an error of the handshake.
pub(super) fn failure_kind(error: &io::Error) -> TlsFailure {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<RustlsError>());
    match inner {
        Some(RustlsError::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsFailure::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFailure::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::OtherName
            }
            CertificateError::UnknownIssuer => TlsFailure::UnknownIssuer,
            CertificateError::Revoked => TlsFailure::Revoked,
            _ => TlsFailure::Other,
        },
        Some(RustlsError::InvalidMessage(_)) => TlsFailure::NotTls,
        _ => TlsFailure::Other,
    }
}
