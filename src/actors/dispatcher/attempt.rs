//! One attempt: from a delivery and what is configured now, to a request; from what came back, to a settlement. Plain functions around
//! one future, and no actor.
//!
//! Configuration is read at the attempt and not when the message was routed: a corrected address or token is in force for what
//! waits already. What is kept of an attempt is for people, so secrets are covered in it and bodies are cut.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{
    super::transport::Outgoing,
    prepared::{Headers, Preparations, Prepared, Way, header},
    shown,
};
use crate::{
    config::Config,
    domain::{
        delivery::{Attempt, Delivery, Disposition, Fence, Settlement, micros_of},
        id::Id,
        key::EndpointKey,
        registry::{Dialect, Registry},
        settle::{Finish, SettleContext, settle},
        time::Micros,
    },
    net::{Answer, Failure},
    wire::{dialect1, dialect2, standard_webhooks},
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
    prepared: Rc<Prepared>,
    /// What to send, or why nothing can be sent.
    outgoing: Result<Outgoing, Unsendable>,
    /// Where to, when the delivery has an address of its own.
    own_way: Option<Way>,
    /// The address as it is shown.
    shown_url: Option<String>,
    /// The headers as they are shown, when they are not those of all attempts.
    shown_headers: Option<String>,
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
            prepared: Rc::new(Prepared::of_poison(config)),
            outgoing: Err(Unsendable::Panicked),
            own_way: None,
            shown_url: None,
            shown_headers: None,
            kept_body_bytes: 0,
        }
    }

    /// Where it goes, if its address can be read.
    fn way(&self) -> Option<&Way> {
        self.own_way.as_ref().or(self.prepared.way.as_ref().ok())
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
pub fn plan_safely(
    delivery: &Delivery,
    registry: &Registry,
    config: &Config,
    now: Micros,
    preparations: &mut Preparations,
) -> Plan {
    let plan = || plan(delivery, registry, config, now, preparations);
    catch_unwind(AssertUnwindSafe(plan)).unwrap_or_else(|_| {
        log::error!(store = delivery.message.store.0, message_id:% = delivery.id; "building a request panicked");
        Plan::Post(Box::new(Order::of_poison(config)))
    })
}

/// Decides what to do with a delivery, by what is configured now. A request that is signed carries the time `now`.
#[must_use]
pub fn plan(
    delivery: &Delivery,
    registry: &Registry,
    config: &Config,
    now: Micros,
    preparations: &mut Preparations,
) -> Plan {
    let Some(store) = registry.stores.get(&delivery.message.store) else {
        return Plan::Without(Disposition::Removed);
    };
    let Some(mapping) = store.mappings.get(&delivery.mapping) else {
        return Plan::Without(Disposition::Removed);
    };
    if !mapping.value.enabled {
        return Plan::Without(Disposition::Held);
    }
    let prepared = preparations.get(store, delivery.mapping, &mapping.value, config);
    let own_address = delivery
        .asynchronous
        .as_ref()
        .and_then(|work| work.update_url.as_deref());
    let (own_way, shown_url) = match own_address.map(|own| (own, Way::to(own, &prepared.mask))) {
        None if prepared.way.is_ok() => (None, None),
        None => (None, Some(prepared.mask.cover(mapping.value.url.clone()))),
        Some((_, Ok(way))) => (Some(Ok(way)), None),
        Some((own, Err(sentence))) => {
            let shown = prepared.mask.cover(own.to_owned());
            (Some(Err(sentence)), Some(shown))
        }
    };
    let way = match &own_way {
        Some(own) => own.as_ref(),
        None => prepared.way.as_ref(),
    };
    let mut shown_headers = None;
    let outgoing = way.map_err(Clone::clone).and_then(|way| {
        let (outgoing, signed) = outgoing(delivery, &prepared, way, store.store.id, config, now)?;
        shown_headers = signed.then(|| shown::request_headers(&outgoing.headers, &prepared.mask));
        Ok(outgoing)
    });
    let outgoing = outgoing.map_err(Unsendable::Misconfigured);
    if outgoing.is_err() {
        shown_headers = Some("{}".into());
    }
    Plan::Post(Box::new(Order {
        outgoing,
        own_way: own_way.and_then(Result::ok),
        shown_url,
        shown_headers,
        kept_body_bytes: config.dispatch.kept_body_bytes,
        prepared,
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

/// The request, and whether it has headers beyond those of all attempts.
fn outgoing(
    delivery: &Delivery,
    prepared: &Prepared,
    way: &Way,
    store_id: Id,
    config: &Config,
    now: Micros,
) -> Result<(Outgoing, bool), String> {
    let body = match prepared.dialect {
        Dialect::One => dialect1::request_body(delivery, store_id, &prepared.parameters),
        Dialect::Two => dialect2::request_body(delivery, &prepared.parameters),
    };
    let common = prepared.headers.clone()?;
    let secrets = prepared.secrets.as_ref().map_err(Clone::clone)?;
    let signature = standard_webhooks::headers(secrets, delivery.id, now.seconds(), &body);
    let is_signed = !signature.is_empty();
    let headers = match is_signed {
        false => common,
        true => {
            let mut headers = common.to_vec();
            for (name, value) in signature {
                headers.push(header(name, &value)?);
            }
            Headers::from(headers)
        }
    };
    let outgoing = Outgoing {
        target: way.target.clone(),
        headers: Arc::clone(&headers),
        body,
        timeout: prepared.timeout,
        max_answer_bytes: config.dispatch.max_answer_bytes,
    };
    Ok((outgoing, is_signed))
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
    let prepared = &*order.prepared;
    let shown_url = order.shown_url.as_ref();
    let shown_url = shown_url.or(order.way().map(|way| &way.shown));
    let shown_headers = order.shown_headers.as_ref();
    let request_bytes = order.outgoing.as_ref().map_or(0, |sent| sent.body.len());
    let mut record = Attempt {
        number: delivery.attempts.saturating_add(1),
        started_at: at.started_at,
        duration_us: micros_of(at.ended_at.since(at.started_at)),
        url: shown_url.cloned().unwrap_or_default(),
        status: None,
        outcome: String::new(),
        error: String::new(),
        request_headers: shown_headers.unwrap_or(&prepared.shown_headers).clone(),
        request_bytes: length(request_bytes),
        answer_headers: "{}".into(),
        answer_body: String::new(),
        answer_bytes: 0,
    };
    let verdict = verdict(&posted, at.ended_at, prepared.policy.cap);
    // Most answers return no parameters, and then the secrets known before are all there are.
    let mut mask = Cow::Borrowed(&prepared.mask);
    let finish = match posted {
        Posted::Answer(answer) => {
            record.status = Some(answer.status);
            record.duration_us = micros_of(answer.duration);
            record.answer_bytes = length(answer.body.len());
            let read = match (order.way(), prepared.dialect) {
                (Some(asked), Dialect::One) => dialect1::read_answer(&answer.body, &asked.url),
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
        mapping: &prepared.name,
        dialect: prepared.dialect,
        accept_any_body: prepared.accept_any_body,
        policy: &prepared.policy,
        asynchronous_budget: prepared.asynchronous_budget,
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
