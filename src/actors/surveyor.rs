//! Surveyor: reads how endpoint applications describe themselves (`endpoint.json`), in the background of their registration.
//!
//! It looks at integrations whose services nobody gave yet, at those a person wants read anew, and from time to time at those whose
//! description could not be used: an application that was down when it was registered is found when it is up. What was read is
//! written into the registry. Services that a person entered by hand are never replaced.
//!
//! The description is fetched within the egress rules and without a token: applications with no key of their own refuse any
//! (WIRE B.7), and the file is open in all of them. Redirects are followed here and nowhere else.

use std::{
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::{Arc, PoisonError},
    time::Duration,
};

use actix::prelude::*;
use bytes::Bytes;
use futures_util::FutureExt;

use super::{
    bell::{Ringing, Wake},
    shared::Shared,
    transport::{self, Outgoing, Transport},
    vitals::{Guard, Ping},
};
use crate::{
    db::EntityChange,
    domain::{
        integration::{EndpointDescription, Integration, ServicesFrom, join},
        key::{IntegrationKey, StoreKey},
        registry::Entity,
        time::Micros,
    },
    net::{
        Answer, Target,
        header::{ACCEPT, HeaderValue, USER_AGENT},
        parse_endpoint_url,
    },
    wire::endpoint_json,
};

/// Redirects that are followed.
pub const MAX_REDIRECTS: u8 = 5;
/// For the whole file.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A description that cannot be used is read again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(300);
/// Looks by itself after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Most files fetched at once.
const AT_ONCE: usize = 8;
/// The largest picture looked at, in bytes, and its greatest width and height in pixels (WIRE C).
const MAX_ICON_BYTES: usize = 512 * 1024;
const MAX_ICON_PIXELS: u32 = 130;

/// See the module.
pub struct Surveyor {
    shared: Arc<Shared>,
    guard: Guard,
    ringing: Ringing,
    transport: Rc<dyn Transport>,
    is_working: bool,
    woken_meanwhile: bool,
    timer: Option<SpawnHandle>,
}

impl Surveyor {
    /// A surveyor that is not started yet. Call it on the thread where it will live.
    #[must_use]
    pub fn new(shared: Arc<Shared>, guard: Guard, ringing: Ringing) -> Self {
        Self {
            transport: transport::of_this_thread(&shared.transport),
            shared,
            guard,
            ringing,
            is_working: false,
            woken_meanwhile: false,
            timer: None,
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.guard.is_superseded() || self.shared.is_stopping() {
            return;
        }
        if self.is_working {
            self.woken_meanwhile = true;
            return;
        }
        let wanted = wanted(&self.shared);
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if wanted.is_empty() {
            self.timer = Some(ctx.run_later(LOOK_AGAIN, Self::look));
            return;
        }
        self.is_working = true;
        let work = survey(Arc::clone(&self.shared), Rc::clone(&self.transport), wanted);
        ctx.spawn(work.into_actor(self).map(|(), act, ctx| {
            act.is_working = false;
            act.woken_meanwhile = false;
            // More may have come meanwhile than is read at once.
            act.timer = Some(ctx.run_later(Duration::from_millis(100), Self::look));
        }));
    }
}

/// The integrations to be read now, those that people wait for first. A global one has no store.
fn wanted(shared: &Shared) -> Vec<(Option<StoreKey>, IntegrationKey)> {
    let now = shared.now();
    let asked: Vec<IntegrationKey> = std::mem::take(
        &mut *shared
            .surveys
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    let registry = shared.registry.current();
    // Of several nodes the one that routes the first shard looks by itself; any does for a person who asks it.
    let by_itself = shared.leases.is_unknown() || shared.leases.shards().contains(0);
    let mut wanted = Vec::new();
    let own = registry
        .stores
        .values()
        .map(|store| (Some(store.store.key), &store.integrations));
    for (store, integrations) in own.chain([(None, registry.globals.as_ref())]) {
        for (key, entry) in integrations {
            let is_due = match entry.value.services_from {
                ServicesFrom::Nowhere => true,
                ServicesFrom::Hand => false,
                ServicesFrom::EndpointJson { read_at } => {
                    asked.contains(key)
                        || (!entry.value.error_messages.is_empty()
                            && now.since(read_at) >= TRY_AGAIN)
                }
            };
            if is_due && (by_itself || asked.contains(key)) {
                wanted.push((!asked.contains(key), store, *key));
            }
        }
    }
    wanted.sort_unstable();
    let left = wanted.split_off(wanted.len().min(AT_ONCE));
    let left = left.into_iter().filter(|(later, ..)| !later);
    shared
        .surveys
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(left.map(|(_, _, key)| key));
    wanted
        .into_iter()
        .map(|(_, store, key)| (store, key))
        .collect()
}

async fn survey(
    shared: Arc<Shared>,
    transport: Rc<dyn Transport>,
    wanted: Vec<(Option<StoreKey>, IntegrationKey)>,
) {
    let each = wanted
        .into_iter()
        .map(|(store, key)| survey_one(&shared, &transport, store, key));
    futures_util::future::join_all(each).await;
}

async fn survey_one(
    shared: &Shared,
    transport: &Rc<dyn Transport>,
    store: Option<StoreKey>,
    key: IntegrationKey,
) {
    let current = || {
        let registry = shared.registry.current();
        let integrations = match store {
            Some(store) => &registry.stores.get(&store)?.integrations,
            None => registry.globals.as_ref(),
        };
        integrations.get(&key).map(|entry| entry.value.clone())
    };
    let Some(before) = current() else { return };
    let described = AssertUnwindSafe(describe(transport.as_ref(), &before.url))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            log::error!(integration = key.0; "reading an endpoint.json panicked");
            unusable("endpoint.json: a defect of the hub, it could not be read".into())
        });
    // Whoever edited it meanwhile has the last word.
    let Some(mut integration) = current() else {
        return;
    };
    if integration.services_from == ServicesFrom::Hand || integration.url != before.url {
        return;
    }
    integration.describe(described, shared.now());
    let warning = icon_warning(transport.as_ref(), &integration).await;
    integration.warnings.extend(warning);
    let change = EntityChange::Replace {
        key: key.0,
        entity: Entity::Integration(Box::new(integration)),
    };
    let now: Micros = shared.now();
    match shared.backend.registry_change(vec![change], now).await {
        Ok(_) => {
            if let Err(error) = shared.refresh_registry().await {
                log::warn!("a description is read a little later: {error}");
            }
        }
        Err(error) => log::warn!("a description could not be written: {error}"),
    }
}

fn unusable(sentence: String) -> EndpointDescription {
    EndpointDescription {
        error_messages: vec![sentence],
        ..EndpointDescription::default()
    }
}

/// Fetches and reads the description of the application at `url`. Whatever goes wrong is told in it.
pub async fn describe(transport: &dyn Transport, url: &str) -> EndpointDescription {
    let address = join(url, "endpoint.json");
    match get(transport, &address, endpoint_json::MAX_BYTES).await {
        Ok(answer) if answer.status == 200 => endpoint_json::read(&answer.body),
        Ok(answer) => {
            let status = answer.status;
            let meaning = match status {
                404 | 410 => {
                    ": the application has no such file; its services can be entered by hand"
                }
                401 | 403 => ": the application does not give it to strangers",
                300..=399 => ": redirected too often or to nowhere",
                500..=599 => ": the application failed",
                _ => "",
            };
            unusable(format!(
                "endpoint.json: was answered with {status}{meaning}"
            ))
        }
        Err(sentence) => unusable(format!("endpoint.json: could not be fetched: {sentence}")),
    }
}

/// What is odd about the picture, if anything.
async fn icon_warning(transport: &dyn Transport, integration: &Integration) -> Option<String> {
    let address = integration.icon_address()?;
    let answer = match get(transport, &address, MAX_ICON_BYTES).await {
        Ok(answer) => answer,
        Err(sentence) => return Some(format!("icon_url: could not be fetched: {sentence}")),
    };
    if answer.status != 200 {
        return Some(format!("icon_url: was answered with {}", answer.status));
    }
    let (width, height) = png_size(&answer.body)?;
    (width > MAX_ICON_PIXELS || height > MAX_ICON_PIXELS).then(|| {
        format!("icon_url: is {width}x{height} pixels, at most {MAX_ICON_PIXELS}x{MAX_ICON_PIXELS} are shown well")
    })
}

/// Width and height of a PNG (its first chunk, PNG specification 11.2.2); nothing of anything else.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let number = |from: usize| {
        let four = rest.get(from..from + 4)?;
        Some(u32::from_be_bytes(four.try_into().ok()?))
    };
    (rest.get(4..8)? == b"IHDR").then_some(())?;
    Some((number(8)?, number(12)?))
}

async fn get(
    transport: &dyn Transport,
    address: &str,
    max_answer_bytes: usize,
) -> Result<Answer, String> {
    let url = parse_endpoint_url(address).map_err(|error| format!("the address {error}"))?;
    let target = Target::new(&url).map_err(|error| format!("the address {error}"))?;
    let outgoing = Outgoing {
        target,
        headers: Arc::from([
            (
                ACCEPT,
                HeaderValue::from_static("application/json, image/*, */*"),
            ),
            (
                USER_AGENT,
                HeaderValue::from_static(concat!("Integrator/", env!("CARGO_PKG_VERSION"))),
            ),
        ]),
        body: Bytes::new(),
        timeout: PATIENCE,
        max_answer_bytes,
    };
    transport
        .get(outgoing, MAX_REDIRECTS)
        .await
        .map_err(|failure| failure.to_string())
}

impl Actor for Surveyor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.guard.up();
        self.shared.changed.notify_waiters();
        self.look(ctx);
    }
}

impl Handler<Wake> for Surveyor {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.ringing.answer();
        self.look(ctx);
    }
}

impl Handler<Ping> for Surveyor {
    type Result = ();

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) {
        self.guard.hear(ping);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_png_stands_in_its_first_chunk() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend_from_slice(&[0, 0, 0, 200, 0, 0, 0, 90]);
        assert_eq!(png_size(&png), Some((200, 90)));
        assert_eq!(png_size(b"GIF89a"), None);
        assert_eq!(png_size(&png[..18]), None);
    }
}
