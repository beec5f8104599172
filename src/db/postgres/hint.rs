//! Wake-ups between nodes: `NOTIFY` after a commit, never inside it, and `LISTEN` on a connection of its own.
//!
//! A hint carries no data and may be lost: the timers of whoever waits find the same rows a little later. It is sent
//! outside the transaction, because a `NOTIFY` inside one takes a lock over the whole database until the commit is on
//! disk, which would make all nodes commit one after the other; and at most every few milliseconds, whatever the load.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{Notify, mpsc};

use super::{connect::Way, core::Core};
use crate::domain::key::{EndpointKey, StoreKey};

/// The channel's name.
const CHANNEL: &str = "integrator";

/// The shortest time between two `NOTIFY`s of one node.
const PACE: Duration = Duration::from_millis(20);

/// The longest pause before the listening connection is made anew.
const RECONNECT_MOST: Duration = Duration::from_secs(5);

/// Endpoints named in one hint; more of them wake everyone.
const ENDPOINTS_NAMED: usize = 200;

/// Shops named in one hint; the others are looked at when their time comes.
const SHOPS_NAMED: usize = 100;

/// What there may be to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hint {
    /// Messages wait for routing.
    pub incoming: bool,
    /// The registry has moved.
    pub registry: bool,
    /// Endpoints that have something due.
    pub endpoints: BTreeSet<i64>,
    /// Stores whose shops are to be looked at now.
    pub shops: BTreeSet<i64>,
    /// Everything may have changed: hints were lost, or there were too many.
    pub all: bool,
}

impl Hint {
    /// Messages wait for routing.
    pub(super) fn incoming() -> Self {
        Self {
            incoming: true,
            ..Self::default()
        }
    }

    /// The registry has moved.
    pub(super) fn registry() -> Self {
        Self {
            registry: true,
            ..Self::default()
        }
    }

    /// These endpoints have something due.
    pub(super) fn endpoints(endpoints: impl IntoIterator<Item = EndpointKey>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(|key| key.0).collect(),
            ..Self::default()
        }
    }

    /// This store's shop is to be looked at now.
    pub(super) fn shop(store: StoreKey) -> Self {
        Self {
            shops: [store.0].into(),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.incoming |= other.incoming;
        self.registry |= other.registry;
        self.all |= other.all;
        self.endpoints.extend(other.endpoints);
        if self.endpoints.len() > ENDPOINTS_NAMED {
            self.all = true;
            self.endpoints.clear();
        }
        self.shops.extend(other.shops);
        while self.shops.len() > SHOPS_NAMED {
            self.shops.pop_last();
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `NODE i r * 12,13 s14,15`: whose hint it is, then what.
    fn encode(&self, node: u64) -> String {
        let mut words = vec![format!("{node:x}")];
        words.extend(self.incoming.then(|| "i".to_owned()));
        words.extend(self.registry.then(|| "r".to_owned()));
        words.extend(self.all.then(|| "*".to_owned()));
        if !self.endpoints.is_empty() {
            words.push(listed(&self.endpoints));
        }
        if !self.shops.is_empty() {
            words.push(format!("s{}", listed(&self.shops)));
        }
        words.join(" ")
    }

    /// Reads another node's hint; one's own is none. What cannot be read wakes everyone.
    fn decode(text: &str, own: u64) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() == Some(format!("{own:x}").as_str()) {
            return None;
        }
        let mut hint = Self::default();
        for word in words {
            match word {
                "i" => hint.incoming = true,
                "r" => hint.registry = true,
                list => {
                    let (named, list) = match list.strip_prefix('s') {
                        Some(shops) => (&mut hint.shops, shops),
                        None => (&mut hint.endpoints, list),
                    };
                    match list
                        .split(',')
                        .map(str::parse)
                        .collect::<Result<BTreeSet<i64>, _>>()
                    {
                        Ok(keys) => named.extend(keys),
                        Err(_) => hint.all = true,
                    }
                }
            }
        }
        Some(hint)
    }
}

fn listed(keys: &BTreeSet<i64>) -> String {
    let words: Vec<String> = keys.iter().map(i64::to_string).collect();
    words.join(",")
}

/// Called with each hint of another node.
pub type OnHint = Arc<dyn Fn(Hint) + Send + Sync>;

/// What waits to be told, and who is told.
pub(super) struct Hints {
    node: u64,
    waiting: Mutex<Hint>,
    something: Notify,
}

impl Hints {
    /// Nothing waits.
    pub(super) fn new(node: u64) -> Self {
        Self {
            node,
            waiting: Mutex::default(),
            something: Notify::new(),
        }
    }

    /// Has the other nodes told soon.
    pub(super) fn tell(&self, hint: Hint) {
        if !hint.is_empty() {
            self.waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(hint);
            self.something.notify_one();
        }
    }

    fn take(&self) -> Hint {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Listens and tells until the backend is gone, on a connection that is made anew whenever it breaks.
pub(super) async fn run(core: Weak<Core>, hints: Arc<Hints>, way: Way, on_hint: Option<OnHint>) {
    let mut pause = Duration::from_millis(100);
    while core.strong_count() > 0 {
        let (sender, mut heard) = mpsc::channel(256);
        let connected = way.connect_listening(sender).await;
        let Ok(client) = connected else {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECONNECT_MOST);
            continue;
        };
        if client
            .batch_execute(&format!("LISTEN {CHANNEL}"))
            .await
            .is_err()
        {
            continue;
        }
        pause = Duration::from_millis(100);
        if let Some(on_hint) = &on_hint {
            // Whatever was said while nobody listened.
            on_hint(Hint {
                all: true,
                ..Hint::default()
            });
        }
        loop {
            tokio::select! {
                text = heard.recv() => match text {
                    Some(text) => {
                        if let (Some(on_hint), Some(hint)) = (&on_hint, Hint::decode(&text, hints.node)) {
                            on_hint(hint);
                        }
                    }
                    // The connection ended.
                    None => break,
                },
                () = hints.something.notified() => {
                    let hint = hints.take();
                    if !hint.is_empty()
                        && client.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &hint.encode(hints.node)]).await.is_err()
                    {
                        break;
                    }
                    tokio::time::sleep(PACE).await;
                }
                () = tokio::time::sleep(Duration::from_secs(5)) => {
                    if core.strong_count() == 0 {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_reads_back_on_other_nodes_only() {
        let hint = Hint {
            incoming: true,
            registry: true,
            endpoints: [7, 9].into(),
            shops: [3].into(),
            all: false,
        };
        let text = hint.encode(0xab);
        assert_eq!(text, "ab i r 7,9 s3");
        assert_eq!(Hint::decode(&text, 1), Some(hint));
        assert_eq!(Hint::decode(&text, 0xab), None);
        assert!(Hint::decode("1 *", 2).unwrap().all);
    }

    #[test]
    fn too_many_endpoints_wake_everyone() {
        let mut hint = Hint::default();
        hint.add(Hint::endpoints((0..500).map(EndpointKey)));
        assert!(hint.all && hint.endpoints.is_empty());
    }
}
