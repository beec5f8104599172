//! How a store's shop is entered: its address, key and kind, as the operator gave them.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::{
    config::Config,
    domain::registry::Store,
    net::Client,
    sources::{Credentials, RequestLimits, Shop, SourceError},
};

/// A store that is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The store's name, for people.
    pub name: String,
    /// A digest of all that matters for reaching it: when it changes, the shop is opened anew.
    pub settings: Vec<u8>,
    address: String,
    key: String,
    /// The kind that was asked for; `None` to find it out.
    pub wanted: Option<String>,
}

impl Entry {
    /// `None` for a store that is push only.
    #[must_use]
    pub fn of(store: &Store) -> Option<Self> {
        let address = store.api_url.clone()?;
        let source = store.source.clone()?;
        let key = store.api_key.clone().unwrap_or_default();
        let mut digest = Sha256::new();
        for part in [&address, &key, &source] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Some(Self {
            name: store.name.clone(),
            settings: digest.finalize().to_vec(),
            address,
            key,
            wanted: (source != "auto").then_some(source),
        })
    }

    /// The shop behind it.
    ///
    /// # Errors
    /// [`SourceError::WrongAddress`].
    pub fn shop(&self, client: Rc<Client>, config: &Config) -> Result<Shop, SourceError> {
        let limits = RequestLimits {
            timeout: std::time::Duration::from_secs(config.poll.timeout_secs),
            max_body_bytes: config.poll.max_answer_bytes,
        };
        Shop::new(client, &self.address, self.credentials(), limits)
    }

    /// `client_id:client_secret` is an OAuth application; no key of any shop has a colon in it.
    fn credentials(&self) -> Credentials {
        match self.key.split_once(':') {
            Some((id, secret)) => Credentials::Application {
                id: id.to_owned(),
                secret: secret.to_owned(),
            },
            None => Credentials::Key(self.key.clone()),
        }
    }
}
