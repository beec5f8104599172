//! One attempt: from a delivery and what is configured now, to a request; from what came back, to a settlement. Plain functions around
//! one future, and no actor.
//!
//! Configuration is read at the attempt and not when the message was routed: a corrected address or token is in force for what
//! waits already. What is kept of an attempt is for people, so secrets are covered in it and bodies are cut.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures_util::{FutureExt, future::LocalBoxFuture};
use url::Url;

use super::{super::transport::Outgoing, shown};
use crate::{
    config::Config,
    domain::{
        delivery::{Attempt, Delivery, Disposition, Fence, Settlement, micros_of},
        key::EndpointKey,
        mask::Mask,
        registry::{Dialect, Mapping, MappingOptions, Registry, SigningSecrets, StoreSnapshot},
        retry::RetryPolicy,
        settle::{Finish, SettleContext, settle},
        time::Micros,
    },
    net::{
        Answer, Failure, Target,
        header::{HeaderName, HeaderValue},
        parse_endpoint_url,
    },
    wire::{
        dialect1, dialect2,
        standard_webhooks::{self, SigningSecret},
    },
};

/// How long the transport may overrun its own deadline before it counts as lost.
const GRACE: Duration = Duration::from_secs(5);
/// When a delivery is due again that failed through the hub's own fault.
const OWN_FAULT_PAUSE: Duration = Duration::from_secs(5);

/// What is to be done with a delivery.
pub enum Plan {
    /// Post it.
    Post(Box<Order>),
    /// Write this down instead; no attempt is spent.
    Without(Disposition),
}

/// Everything about one attempt that was decided before it began.
pub struct Order {
    /// The mapping's name.
    pub mapping: String,
    dialect: Dialect,
    accept_any_body: bool,
    policy: RetryPolicy,
    asynchronous_budget: Duration,
    mask: Mask,
    /// What to send, or one sentence on why nothing can be sent.
    outgoing: Result<Outgoing, Unsendable>,
    asked: Option<Url>,
    shown_url: String,
    shown_headers: String,
    request_bytes: usize,
    kept_body_bytes: usize,
}

/// Why there is nothing to send.
#[derive(Debug)]
enum Unsendable {
    /// What is configured cannot be put into a request; one sentence.
    Misconfigured(String),
    /// Building the request panicked: this message is poison to it.
    Panicked,
}

impl Order {
    /// What came of an order with nothing to send.
    #[must_use]
    pub fn unsent(&self) -> Posted {
        match self.outgoing {
            Err(Unsendable::Panicked) => Posted::Panicked,
            _ => Posted::Unsendable,
        }
    }

    /// An order that cannot be built, for reasons that lie in the hub.
    fn of_poison(config: &Config) -> Self {
        Self {
            mapping: "integrator".into(),
            dialect: Dialect::One,
            accept_any_body: false,
            policy: policy(&MappingOptions::default(), config),
            asynchronous_budget: Duration::from_secs(config.retry.deadline_secs),
            mask: Mask::default(),
            outgoing: Err(Unsendable::Panicked),
            asked: None,
            shown_url: String::new(),
            shown_headers: "{}".into(),
            request_bytes: 0,
            kept_body_bytes: 0,
        }
    }

    /// What to send; `None` when it cannot be built, which [`conclude`] turns into a failure.
    #[must_use]
    pub fn outgoing(&self) -> Option<Outgoing> {
        self.outgoing.as_ref().ok().cloned()
    }
}

/// What came of posting.
#[derive(Debug)]
pub enum Posted {
    /// An answer.
    Answer(Answer),
    /// None.
    Failure(Failure),
    /// The attempt's own code panicked: this message is poison to it.
    Panicked,
    /// The transport did not keep its deadline.
    Overdue,
    /// Nothing was sent.
    Unsendable,
}

/// What an attempt says about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answers.
    Well,
    /// It does not, or with a 5xx.
    Ill,
    /// It asked to be left alone for so long.
    AskedToWait(Duration),
    /// Nothing.
    Silent,
}

/// A finished attempt.
pub struct Conclusion {
    /// What to write.
    pub settlement: Settlement,
    /// What it says about the endpoint.
    pub verdict: Verdict,
}

/// As [`plan`], but a message that makes the code panic becomes an attempt that fails, and its dispatcher lives.
#[must_use]
pub fn plan_safely(delivery: &Delivery, registry: &Registry, config: &Config, now: Micros) -> Plan {
    catch_unwind(AssertUnwindSafe(|| plan(delivery, registry, config, now))).unwrap_or_else(|_| {
        log::error!(store = delivery.message.store.0, message_id:% = delivery.id; "building a request panicked");
        Plan::Post(Box::new(Order::of_poison(config)))
    })
}

/// Decides what to do with a delivery, by what is configured now. A request that is signed carries the time `now`.
#[must_use]
pub fn plan(delivery: &Delivery, registry: &Registry, config: &Config, now: Micros) -> Plan {
    let Some(store) = registry.stores.get(&delivery.message.store) else {
        return Plan::Without(Disposition::Removed);
    };
    let Some(mapping) = store.mappings.get(&delivery.mapping) else {
        return Plan::Without(Disposition::Removed);
    };
    if !mapping.value.enabled {
        return Plan::Without(Disposition::Held);
    }
    let mapping = &mapping.value;
    let options = &mapping.options;
    let mut mask = Mask::default();
    mask.add(&mapping.token);
    store
        .parameters_of(mapping)
        .filter(|parameter| parameter.secret)
        .for_each(|parameter| mask.add_value(&parameter.value));
    for secret in signing_secrets(store, mapping) {
        mask.add(secret);
    }
    let address = delivery
        .asynchronous
        .as_ref()
        .and_then(|work| work.update_url.as_deref())
        .unwrap_or(&mapping.url);
    let (outgoing, asked) = match outgoing(delivery, store, mapping, address, config, now) {
        Ok((outgoing, url)) => (Ok(outgoing), Some(url)),
        Err(sentence) => (Err(Unsendable::Misconfigured(sentence)), None),
    };
    let headers = outgoing
        .as_ref()
        .map_or(&[][..], |outgoing| &outgoing.headers);
    Plan::Post(Box::new(Order {
        mapping: mapping.name.clone(),
        dialect: options.dialect,
        accept_any_body: options.accept_any_body,
        policy: policy(options, config),
        asynchronous_budget: Duration::from_secs(config.retry.deadline_secs),
        shown_url: mask.cover(address.to_owned()),
        shown_headers: shown::request_headers(headers, &mask),
        request_bytes: outgoing.as_ref().map_or(0, |outgoing| outgoing.body.len()),
        kept_body_bytes: config.dispatch.kept_body_bytes,
        mask,
        outgoing,
        asked,
    }))
}

/// Whether everything for this endpoint waits.
#[must_use]
pub fn is_paused(endpoint: EndpointKey, registry: &Registry) -> bool {
    let store = registry
        .endpoints
        .get(&endpoint)
        .and_then(|store| registry.stores.get(store));
    store
        .and_then(|store| store.endpoints.get(&endpoint))
        .is_some_and(|settings| settings.paused)
}

fn policy(options: &MappingOptions, config: &Config) -> RetryPolicy {
    let retry = &config.retry;
    let deadline = options.deadline_secs.map_or(retry.deadline_secs, |own| {
        retry.deadline_secs.min(own.into())
    });
    RetryPolicy {
        allowed: options.retries_allowed,
        base: Duration::from_secs(retry.base_secs),
        cap: Duration::from_secs(retry.max_secs),
        jitter: retry.jitter,
        max_failures: retry.max_attempts,
        deadline: Duration::from_secs(deadline),
        schedule: options.retry_schedule.as_ref().map(|delays| {
            delays
                .iter()
                .map(|secs| Duration::from_secs((*secs).into()))
                .collect()
        }),
    }
}

fn outgoing(
    delivery: &Delivery,
    store: &StoreSnapshot,
    mapping: &Mapping,
    address: &str,
    config: &Config,
    now: Micros,
) -> Result<(Outgoing, Url), String> {
    let url = parse_endpoint_url(address).map_err(|error| format!("the address {error}"))?;
    let target = Target::new(&url).map_err(|error| format!("the address {error}"))?;
    let body = match mapping.options.dialect {
        Dialect::One => {
            dialect1::request_body(delivery, store.store.id, store.parameters_of(mapping))
        }
        Dialect::Two => dialect2::request_body(
            delivery,
            prefix_of(&mapping.name),
            store.parameters_of(mapping),
        ),
    };
    let mut headers = vec![
        (
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/json"),
        ),
        (
            HeaderName::from_static("user-agent"),
            HeaderValue::from_static(concat!("Integrator/", env!("CARGO_PKG_VERSION"))),
        ),
    ];
    // An endpoint without a key of its own refuses any token at all (WIRE B.7), so an empty one sends no header.
    let named = match mapping.options.dialect {
        Dialect::One if mapping.token.is_empty() => Vec::new(),
        Dialect::One => vec![("X-Augury-Token", mapping.token.clone())],
        Dialect::Two => dialect2::headers(&mapping.token, store.store.id),
    };
    for (name, value) in named.into_iter().chain(signature(
        delivery,
        signing_secrets(store, mapping),
        &body,
        now,
    )?) {
        let value = HeaderValue::from_str(&value)
            .map_err(|_| "the mapping's token has characters that no header can hold".to_owned())?;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| "a header has a name that HTTP does not know".to_owned())?;
        headers.push((name, value));
    }
    let limits = &config.dispatch;
    let timeout = mapping
        .options
        .timeout_secs
        .map_or(limits.timeout_secs, |own| {
            limits.timeout_secs.min(own.into())
        });
    let outgoing = Outgoing {
        target,
        headers,
        body,
        timeout: Duration::from_secs(timeout.max(1)),
        max_answer_bytes: limits.max_answer_bytes,
    };
    Ok((outgoing, url))
}

/// The prefix of a mapping's name, which its parameters lose in the second dialect.
fn prefix_of(mapping: &str) -> &str {
    mapping
        .split_once('.')
        .map_or(mapping, |(prefix, _)| prefix)
}

/// The secrets that sign a mapping's requests: its own, else its integration's.
fn signing_secrets<'a>(store: &'a StoreSnapshot, mapping: &'a Mapping) -> &'a [String] {
    let integration = || store.integration(mapping.integration?);
    let of_integration = || integration()?.value.signing_secret.as_ref();
    let own = mapping.options.signing_secret.as_ref();
    own.or_else(of_integration)
        .map_or(&[][..], SigningSecrets::texts)
}

/// The headers of Standard Webhooks; none without a signing secret.
fn signature(
    delivery: &Delivery,
    secrets: &[String],
    body: &[u8],
    now: Micros,
) -> Result<Vec<(&'static str, String)>, String> {
    let secrets = secrets
        .iter()
        .map(|text| SigningSecret::read(text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the signing secret {error}"))?;
    Ok(standard_webhooks::headers(
        &secrets,
        delivery.id,
        now.seconds(),
        body,
    ))
}

/// Posts, whatever the code behind it does: a panic or an overrun ends the attempt and nothing else.
pub async fn perform(
    timeout: Duration,
    posting: LocalBoxFuture<'static, Result<Answer, Failure>>,
) -> Posted {
    let guarded = AssertUnwindSafe(posting).catch_unwind();
    match tokio::time::timeout(timeout.saturating_add(GRACE), guarded).await {
        Ok(Ok(Ok(answer))) => Posted::Answer(answer),
        Ok(Ok(Err(failure))) => Posted::Failure(failure),
        Ok(Err(_)) => Posted::Panicked,
        Err(_) => Posted::Overdue,
    }
}

/// When an attempt took place, by whom, and the chance in it.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// The dispatcher's epoch.
    pub epoch: i64,
    /// Its beginning.
    pub started_at: Micros,
    /// Its end.
    pub ended_at: Micros,
    /// Uniform in 0..1.
    pub random: f64,
}

/// Turns what came of an attempt into what is written down. Reading an answer that makes this code panic is a failed attempt too.
#[must_use]
pub fn conclude(
    delivery: &Delivery,
    order: &Order,
    posted: Posted,
    at: Circumstances,
) -> Conclusion {
    let concluded = catch_unwind(AssertUnwindSafe(|| {
        conclude_openly(delivery, order, posted, at)
    }));
    concluded.unwrap_or_else(|_| {
        log::error!(store = delivery.message.store.0, message_id:% = delivery.id; "reading an answer panicked");
        conclude_openly(delivery, order, Posted::Panicked, at)
    })
}

fn conclude_openly(
    delivery: &Delivery,
    order: &Order,
    posted: Posted,
    at: Circumstances,
) -> Conclusion {
    let mut record = Attempt {
        number: delivery.attempts.saturating_add(1),
        started_at: at.started_at,
        duration_us: micros_of(at.ended_at.since(at.started_at)),
        url: order.shown_url.clone(),
        status: None,
        outcome: String::new(),
        error: String::new(),
        request_headers: order.shown_headers.clone(),
        request_bytes: length(order.request_bytes),
        answer_headers: "{}".into(),
        answer_body: String::new(),
        answer_bytes: 0,
    };
    let verdict = verdict(&posted, at.ended_at, order.policy.cap);
    // Most answers return no parameters, and then the secrets known before are all there are.
    let mut mask = Cow::Borrowed(&order.mask);
    let finish = match posted {
        Posted::Answer(answer) => {
            record.status = Some(answer.status);
            record.duration_us = micros_of(answer.duration);
            record.answer_bytes = length(answer.body.len());
            let read = match (&order.asked, order.dialect) {
                (Some(asked), Dialect::One) => dialect1::read_answer(&answer.body, asked),
                (Some(_), Dialect::Two) => dialect2::read_answer(&answer.body),
                _ => crate::domain::settle::ServiceAnswer::default(),
            };
            // What the endpoint wants saved is a secret of the store from now on.
            for parameter in &read.parameters {
                mask.to_mut().add_value(&parameter.value);
            }
            record.answer_headers = shown::answer_headers(&answer.headers, &mask);
            record.answer_body = shown::body_start(&answer.body, order.kept_body_bytes, &mask);
            Finish::Answered {
                status: answer.status,
                retry_after: answer.retry_after.map(|wish| wish.wait_from(at.ended_at.0)),
                answer: read,
            }
        }
        // The endpoint does not pay with an attempt for what is no fault of its own.
        Posted::Failure(failure) if failure.is_the_hubs() => {
            log::warn!(endpoint = delivery.endpoint.0; "an attempt is put off: {failure}");
            let due_at = at.ended_at.plus(OWN_FAULT_PAUSE);
            return Conclusion {
                settlement: without(delivery, at.epoch, Disposition::Postponed { due_at }),
                verdict,
            };
        }
        Posted::Failure(failure) => {
            let perhaps = if failure.maybe_carried_out() {
                " (it may have been carried out)"
            } else {
                ""
            };
            Finish::Failed {
                kind: failure.kind(),
                sentence: format!("{failure}{perhaps}"),
            }
        }
        Posted::Panicked => Finish::Failed {
            kind: "hub_panicked",
            sentence: "a defect of the hub ended the attempt".into(),
        },
        Posted::Overdue => Finish::Failed {
            kind: "overdue",
            sentence: "no answer long after the deadline".into(),
        },
        Posted::Unsendable => {
            let sentence = match &order.outgoing {
                Err(Unsendable::Misconfigured(sentence)) => sentence.clone(),
                _ => "nothing was sent".into(),
            };
            Finish::Failed {
                kind: "unsendable",
                sentence,
            }
        }
    };
    let news = matches!(&finish, Finish::Answered { answer, .. } if !answer.objects.is_empty());
    let sent = match &order.outgoing {
        Ok(outgoing) if news => dialect2::objects_of(&outgoing.body),
        _ => Vec::new(),
    };
    let context = SettleContext {
        mapping: &order.mapping,
        dialect: order.dialect,
        accept_any_body: order.accept_any_body,
        policy: &order.policy,
        asynchronous_budget: order.asynchronous_budget,
        epoch: at.epoch,
        now: at.ended_at,
        random: at.random,
        mask: &mask,
        record,
        sent,
    };
    Conclusion {
        settlement: settle(delivery, finish, context),
        verdict,
    }
}

/// A settlement that spends no attempt.
#[must_use]
pub fn without(delivery: &Delivery, epoch: i64, disposition: Disposition) -> Settlement {
    Settlement {
        key: delivery.key,
        store: delivery.message.store,
        fence: Fence {
            epoch,
            attempts: delivery.attempts,
        },
        attempt: None,
        disposition,
        messages: Vec::new(),
        events: Vec::new(),
        parameters: Vec::new(),
        objects: None,
    }
}

fn verdict(posted: &Posted, now: Micros, longest_wait: Duration) -> Verdict {
    match posted {
        Posted::Answer(answer) => match (answer.status, answer.retry_after) {
            (429 | 503, Some(wish)) => {
                Verdict::AskedToWait(wish.wait_from(now.0).min(longest_wait))
            }
            // "Too many requests" without a time is met by the breaker's pauses.
            (429 | 500..=599, _) => Verdict::Ill,
            _ => Verdict::Well,
        },
        Posted::Failure(
            Failure::ConnectTimeout { .. }
            | Failure::ConnectRefused { .. }
            | Failure::NoConnection { .. }
            | Failure::HostNotFound { .. }
            | Failure::Tls { .. }
            | Failure::CutOff { .. }
            | Failure::TimedOut { .. }
            | Failure::MalformedAnswer { .. },
        )
        | Posted::Overdue => Verdict::Ill,
        Posted::Failure(_) | Posted::Panicked | Posted::Unsendable => Verdict::Silent,
    }
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "tests/attempt.rs"]
mod tests;
