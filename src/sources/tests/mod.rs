//! Every kind of source against a fake shop of its version, over real HTTP, with a hub in memory that stores as the real one.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    fake_shop::{
        ADMIN_KEY, CLIENT_ID, CLIENT_SECRET, Control, FakeShop, Fault, Flavor, KEY, Oddity, Stock,
    },
    *,
};
use crate::{
    domain::{
        json::PayloadLimits,
        snapshot::{Announcement, Change, Reading, Snapshot, compare},
    },
    net::{Client, ClientOptions, EgressPolicy, Tls},
};

mod faults;
mod polling;
mod probing;
mod random;

/// Every flavor that can be polled.
const ALL: [Flavor; 9] = [
    Flavor::Spree13,
    Flavor::Spree20,
    Flavor::Spree304,
    Flavor::Spree37,
    Flavor::Connector,
    Flavor::OldConnector,
    Flavor::Solidus,
    Flavor::PlatformV2,
    Flavor::AdminV3,
];

fn credentials(flavor: Flavor) -> Credentials {
    match flavor {
        Flavor::PlatformV2 => Credentials::Application {
            id: CLIENT_ID.to_owned(),
            secret: CLIENT_SECRET.to_owned(),
        },
        Flavor::AdminV3 => Credentials::Key(ADMIN_KEY.to_owned()),
        _ => Credentials::Key(KEY.to_owned()),
    }
}

fn client() -> Rc<Client> {
    let policy = Arc::new(EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]));
    Rc::new(Client::new(
        policy,
        ClientOptions::new(Tls::new(&[]).unwrap()),
    ))
}

fn entry(shop: &FakeShop, credentials: Credentials) -> Shop {
    let limits = RequestLimits {
        timeout: Duration::from_secs(20),
        max_body_bytes: 64 << 20,
    };
    Shop::new(client(), &shop.address(), credentials, limits).unwrap()
}

/// A shop that was probed, and its source.
async fn opened(flavor: Flavor) -> (FakeShop, Box<dyn Source>) {
    let shop = FakeShop::start(flavor).unwrap();
    // Something to look at, so that the probe sees more than an empty list.
    shop.control().stock.add_order();
    let probe = probe(&entry(&shop, credentials(flavor))).await;
    let found = probe.outcome.unwrap();
    let source = open(&found, entry(&shop, credentials(flavor)));
    shop.take_requests();
    (shop, source)
}

/// What the database holds: changed in one go or not at all.
#[derive(Default)]
struct Hub {
    kept: RefCell<Kept>,
    limits: Limits,
}

#[derive(Default, Clone)]
struct Kept {
    snapshots: HashMap<(Noun, String), Snapshot>,
    cursors: HashMap<Noun, Cursor>,
    messages: Vec<Said>,
    set_aside: Vec<SetAside>,
}

#[derive(Debug, Clone, PartialEq)]
struct Said {
    kind: String,
    token: String,
    payload: serde_json::Value,
}

#[async_trait(?Send)]
impl Versions for Hub {
    async fn versions(&self, noun: Noun, tokens: &[String]) -> Result<Vec<Option<String>>, String> {
        let kept = self.kept.borrow();
        let of = |token: &String| kept.snapshots.get(&(noun, token.clone()));
        Ok(tokens
            .iter()
            .map(|token| of(token).map(|snapshot| snapshot.updated_at.clone()))
            .collect())
    }
}

impl Hub {
    fn new() -> Self {
        Self::default()
    }

    async fn page(&self, source: &dyn Source, noun: Noun) -> Result<Page, SourceError> {
        let cursor = self
            .kept
            .borrow()
            .cursors
            .get(&noun)
            .cloned()
            .unwrap_or_default();
        source.poll_page(noun, &cursor, &self.limits, self).await
    }

    /// One transaction.
    fn commit(&self, noun: Noun, page: Page) {
        let mut kept = self.kept.borrow_mut();
        for document in page.documents {
            Self::take(&mut kept, &document, page.first_mark);
        }
        kept.set_aside.extend(page.set_aside);
        // As text and back: what is stored must be enough.
        let text = page.next.to_json().to_string();
        kept.cursors.insert(
            noun,
            Cursor::from_json(serde_json::from_str(&text).unwrap()),
        );
    }

    fn take(kept: &mut Kept, document: &StoreDocument, first_mark: Option<Micros>) {
        let key = (document.noun, document.token.clone());
        let reading = Reading {
            first_mark,
            currency: Some("USD"),
            limits: PayloadLimits::default(),
        };
        let (snapshot, announcement) = match compare(kept.snapshots.get(&key), document, reading) {
            Ok(Change::Nothing) | Err(_) => return,
            Ok(Change::Silent(snapshot)) => (snapshot, None),
            Ok(
                Change::New(snapshot, said)
                | Change::Updated(snapshot, said)
                | Change::Canceled(snapshot, said),
            ) => (snapshot, Some(said)),
        };
        kept.snapshots.insert(key, snapshot);
        if let Some(Announcement { kind, payload }) = announcement {
            kept.messages.push(Said {
                kind: kind.as_str().to_owned(),
                token: document.token.clone(),
                payload: serde_json::from_str(payload.as_str()).unwrap(),
            });
        }
    }

    /// A whole poll; answers how many requests it took.
    async fn try_poll(&self, source: &dyn Source, noun: Noun) -> Result<u32, SourceError> {
        let mut requests = 0;
        for _ in 0..100_000 {
            let page = self.page(source, noun).await?;
            requests += page.requests;
            let progress = page.progress;
            self.commit(noun, page);
            if progress == Progress::CaughtUp {
                return Ok(requests);
            }
        }
        panic!("a poll that never ends")
    }

    async fn poll(&self, source: &dyn Source, noun: Noun) -> u32 {
        self.try_poll(source, noun).await.unwrap()
    }

    /// What was said since the last call, as `order:new R1`.
    fn take_said(&self) -> Vec<String> {
        let messages = std::mem::take(&mut self.kept.borrow_mut().messages);
        messages
            .iter()
            .map(|said| format!("{} {}", said.kind, said.token))
            .collect()
    }
}
