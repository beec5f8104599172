//! What an attempt's outcome means: from an endpoint's answer, or the lack of one, to what is written down.
//!
//! [`settle`] is pure. It is told the time, one random number and the retry policy, and gives a [`Settlement`]: where the
//! delivery goes, what the attempt's record says, which messages, events and parameters come of it.

use std::time::Duration;

use super::{
    delivery::{Asynchronous, Attempt, Delivery, Disposition, Fence, Settlement},
    event::{Level, NewEvent},
    json::Payload,
    known_object::ObjectNews,
    mask::Mask,
    message::{NewMessage, Source},
    message_type::MessageType,
    parameter::ReturnedParameter,
    reference::{About, ObjectRef},
    registry::Dialect,
    retry::{NextAttempt, ParkReason, RetryPolicy, next_attempt},
    time::Micros,
};

/// How much of a body that is no JSON is kept as the reason, in bytes.
pub const BODY_BYTES: usize = 400;

/// The longest `last_error`, in characters.
const ERROR_CHARS: usize = 500;

/// A message that an endpoint returned, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ReturnedMessage {
    /// Its type.
    pub kind: MessageType,
    /// Its payload.
    pub payload: Payload,
    /// What it is about.
    pub about: About,
    /// Further root members, a raw JSON object.
    pub extra: Option<String>,
}

/// An object that an endpoint of the second dialect returned, perhaps only some of its members: it is merged by id
/// with what is known ([`super::merge`]) and becomes a message when that changes anything.
#[derive(Clone, PartialEq, Eq)]
pub struct ReturnedObject {
    /// What it is, in the singular: `order`.
    pub kind: String,
    /// Its id; a number as its text.
    pub id: String,
    /// The object as JSON text, checked like a payload.
    pub raw: String,
}

impl std::fmt::Debug for ReturnedObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ReturnedObject({}/{}, {} bytes)",
            self.kind,
            self.id,
            self.raw.len()
        )
    }
}

/// A notification that an endpoint returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// How much it matters.
    pub level: Level,
    /// One line.
    pub subject: String,
    /// The rest.
    pub description: String,
    /// The object it names itself, if it does.
    pub reference: Option<ObjectRef>,
    /// Further members, a raw JSON object.
    pub attributes: Option<String>,
}

/// "Ask me again later."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskAgain {
    /// After how long.
    pub delay: Duration,
    /// The absolute address to ask; `None` asks the same one again.
    pub update_url: Option<String>,
}

/// What the body of an answer turned out to be. Judged by its bytes, never by its content type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// No bytes, or only white space.
    Empty,
    /// JSON; an object whose known members were read.
    Json,
    /// Something else; its beginning as text, secrets uncovered and longer than [`BODY_BYTES`] by what covering them needs.
    Other(String),
}

/// An answer as its dialect reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceAnswer {
    /// What the bytes were.
    pub body: Body,
    /// Messages to take in.
    pub messages: Vec<ReturnedMessage>,
    /// Words for people.
    pub notifications: Vec<Notification>,
    /// Configuration to save.
    pub parameters: Vec<ReturnedParameter>,
    /// Objects to merge with what is known of them; only the second dialect has them.
    pub objects: Vec<ReturnedObject>,
    /// "Ask me again later."
    pub ask_again: Option<AskAgain>,
    /// What the endpoint says of the outcome in a sentence: an error's text, a summary.
    pub summary: Option<String>,
    /// Further members, kept for people; a raw JSON object.
    pub result: Option<String>,
    /// What could not be read, one sentence each; everything else was kept.
    pub complaints: Vec<String>,
}

impl Default for ServiceAnswer {
    fn default() -> Self {
        Self {
            body: Body::Empty,
            messages: Vec::new(),
            notifications: Vec::new(),
            parameters: Vec::new(),
            objects: Vec::new(),
            ask_again: None,
            summary: None,
            result: None,
            complaints: Vec::new(),
        }
    }
}

/// How an attempt ended.
#[allow(clippy::large_enum_variant)] // one value per attempt, moved once; a box would cost more than it saves
#[derive(Debug, Clone, PartialEq)]
pub enum Finish {
    /// An answer came.
    Answered {
        /// Its status.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
        /// What it says.
        answer: ServiceAnswer,
    },
    /// None came, or none that HTTP allows.
    Failed {
        /// A stable word for the failure, such as `connect_refused`.
        kind: &'static str,
        /// One sentence.
        sentence: String,
    },
}

/// What [`settle`] needs to know besides the delivery and its outcome.
#[derive(Debug)]
pub struct SettleContext<'a> {
    /// The mapping's name, such as `acme.send_order`.
    pub mapping: &'a str,
    /// The dialect spoken: decides which statuses are a success.
    pub dialect: Dialect,
    /// A success may have a body that is no JSON.
    pub accept_any_body: bool,
    /// When to try again.
    pub policy: &'a RetryPolicy,
    /// How long an endpoint may answer "ask me again" before it counts as a failure.
    pub asynchronous_budget: Duration,
    /// The dispatcher's epoch.
    pub epoch: i64,
    /// The end of the attempt.
    pub now: Micros,
    /// Uniform in 0..1.
    pub random: f64,
    /// Secrets not to be kept.
    pub mask: &'a Mask,
    /// The attempt's record; its outcome and error are filled in here.
    pub record: Attempt,
    /// The objects of the request: what the endpoint's answer is news beside (second dialect).
    pub sent: Vec<ReturnedObject>,
}

/// Turns the outcome of an attempt into what is written down.
#[must_use]
pub fn settle(delivery: &Delivery, finish: Finish, mut context: SettleContext<'_>) -> Settlement {
    let fence = Fence {
        epoch: context.epoch,
        attempts: delivery.attempts,
    };
    let mut record = std::mem::take(&mut context.record);
    let (verdict, answer) = match finish {
        Finish::Failed { kind, sentence } => (
            Verdict::Failure {
                kind: kind.to_owned(),
                sentence,
                retry_after: None,
                gone: false,
            },
            ServiceAnswer::default(),
        ),
        Finish::Answered {
            status,
            retry_after,
            answer,
        } => (
            judge(delivery, status, retry_after, &answer, &context),
            answer,
        ),
    };
    let disposition = match verdict {
        Verdict::Success => {
            "completed".clone_into(&mut record.outcome);
            Disposition::Completed {
                result: answer.result.map(|result| context.mask.cover(result)),
            }
        }
        Verdict::AskAgain {
            due_at,
            asynchronous,
        } => {
            "scheduled".clone_into(&mut record.outcome);
            Disposition::Scheduled {
                due_at,
                asynchronous,
            }
        }
        Verdict::Failure {
            kind,
            sentence,
            retry_after,
            gone,
        } => {
            record.outcome = kind;
            record.error = cut(&context.mask.cover(sentence), ERROR_CHARS);
            fail(delivery, &context, record.error.clone(), retry_after, gone)
        }
    };
    let mut events = notifications(delivery, answer.notifications, &context);
    events.extend(
        answer
            .complaints
            .into_iter()
            .map(|complaint| complaint_event(delivery, complaint, &context)),
    );
    let messages = answer
        .messages
        .into_iter()
        .map(|message| returned(delivery, message, &context))
        .collect();
    let objects = (!answer.objects.is_empty()).then(|| {
        Box::new(ObjectNews {
            store: delivery.message.store,
            source: Source::Endpoint(context.mapping.to_owned()),
            ancestry: Some(delivery.message.descend()),
            test: delivery.message.test,
            objects: answer.objects,
            sent: context.sent,
        })
    });
    Settlement {
        key: delivery.key,
        store: delivery.message.store,
        fence,
        attempt: Some(record),
        disposition,
        messages,
        events,
        parameters: answer.parameters,
        objects,
    }
}

enum Verdict {
    Success,
    AskAgain {
        due_at: Micros,
        asynchronous: Asynchronous,
    },
    Failure {
        kind: String,
        sentence: String,
        retry_after: Option<Duration>,
        gone: bool,
    },
}

fn judge(
    delivery: &Delivery,
    status: u16,
    retry_after: Option<Duration>,
    answer: &ServiceAnswer,
    context: &SettleContext<'_>,
) -> Verdict {
    let success = match context.dialect {
        Dialect::One => status == 200,
        Dialect::Two => (200..300).contains(&status),
    };
    let failure = |kind: String, sentence: String| Verdict::Failure {
        kind,
        sentence,
        retry_after,
        gone: status == 410,
    };
    if !success {
        let sentence = status_sentence(status, answer, context.mask);
        return failure(format!("status_{status}"), sentence);
    }
    if let Some(ask) = &answer.ask_again {
        return ask_again(delivery, ask, context);
    }
    match &answer.body {
        Body::Other(beginning) if !context.accept_any_body => failure(
            "not_json".into(),
            format!(
                "{status}, but the body is no JSON: {}",
                body_start(beginning, context.mask).trim()
            ),
        ),
        _ => Verdict::Success,
    }
}

fn ask_again(delivery: &Delivery, ask: &AskAgain, context: &SettleContext<'_>) -> Verdict {
    let before = delivery.asynchronous.as_ref();
    let started_at = before.map_or(context.now, |before| before.started_at);
    let waited = context.now.since(started_at);
    if waited > context.asynchronous_budget {
        return Verdict::Failure {
            kind: "asynchronous_budget".into(),
            sentence: format!(
                "has been asked to wait for {} s and still gives no result",
                waited.as_secs()
            ),
            retry_after: Some(ask.delay),
            gone: false,
        };
    }
    Verdict::AskAgain {
        due_at: context.now.plus(ask.delay),
        asynchronous: Asynchronous {
            update_url: ask.update_url.clone(),
            started_at,
            polls: before.map_or(0, |before| before.polls).saturating_add(1),
        },
    }
}

/// What is kept of a body that is no JSON: covered first and cut then.
fn body_start(text: &str, mask: &Mask) -> String {
    let mark = if text.len() > BODY_BYTES { "..." } else { "" };
    format!("{}{mark}", mask.cover_beginning(text, BODY_BYTES))
}

/// One sentence on a status that is no success: the status, then the endpoint's own reason where it gives one.
fn status_sentence(status: u16, answer: &ServiceAnswer, mask: &Mask) -> String {
    let worst = answer
        .notifications
        .iter()
        .max_by_key(|notification| notification.level);
    let own = worst
        .map(|notification| {
            match (
                notification.subject.as_str(),
                notification.description.as_str(),
            ) {
                (subject, "") => subject.to_owned(),
                ("", description) => description.to_owned(),
                (subject, description) => format!("{subject}: {description}"),
            }
        })
        .or_else(|| answer.summary.clone())
        .or_else(|| match &answer.body {
            Body::Other(text) => Some(body_start(text, mask)),
            Body::Empty | Body::Json => None,
        })
        .filter(|text| !text.trim().is_empty());
    let meaning = match status {
        200..=299 if own.is_none() => {
            Some("is not 200, the only status that counts as done in dialect 1")
        }
        300..=399 => Some("redirected; requests are not redirected, register the new address"),
        401 => Some("the token is wrong or unexpected"),
        404 | 405 => Some("no service at this path"),
        406 => Some("could not read our body, check the dialect"),
        410 => Some("gone for good"),
        429 => Some("too many requests"),
        _ => None,
    };
    match (own, meaning) {
        (Some(own), _) if status >= 400 => format!("{status} {}", own.trim()),
        (_, Some(meaning)) => format!("{status} {meaning}"),
        (Some(own), None) => format!("{status} {}", own.trim()),
        (None, None) => format!("{status} without a reason"),
    }
}

fn fail(
    delivery: &Delivery,
    context: &SettleContext<'_>,
    error: String,
    retry_after: Option<Duration>,
    gone: bool,
) -> Disposition {
    if gone {
        return Disposition::Parked { error };
    }
    let failures = delivery.failures.saturating_add(1);
    match next_attempt(
        context.policy,
        failures,
        delivery.since,
        context.now,
        retry_after,
        context.random,
    ) {
        NextAttempt::At(due_at) => Disposition::Failing { due_at, error },
        NextAttempt::Park(ParkReason::RetriesOff | ParkReason::Gone) => {
            Disposition::Parked { error }
        }
        NextAttempt::Park(ParkReason::TooManyFailures) => Disposition::Parked {
            error: format!("{error} (failed {failures} times)"),
        },
        NextAttempt::Park(ParkReason::PastDeadline) => Disposition::Parked {
            error: format!("{error} (its time to retry is over)"),
        },
    }
}

fn returned(
    delivery: &Delivery,
    message: ReturnedMessage,
    context: &SettleContext<'_>,
) -> NewMessage {
    let mut about = message.about;
    if about.primary.is_none() && message.kind.noun() == "notification" {
        // It becomes an event, and one that names no object is about what its parent is about.
        about.primary.clone_from(&delivery.message.about.primary);
    }
    NewMessage {
        store: delivery.message.store,
        kind: message.kind,
        payload: message.payload,
        about,
        source: Source::Endpoint(context.mapping.to_owned()),
        ancestry: Some(delivery.message.descend()),
        test: delivery.message.test,
        extra: message.extra,
    }
}

/// Whether the message is one of the hub's own alerts, whose delivery must not raise further ones.
fn is_alert(delivery: &Delivery) -> bool {
    matches!(delivery.message.source, Source::Hub(_))
        && delivery.message.kind.noun() == "notification"
}

fn notifications(
    delivery: &Delivery,
    notifications: Vec<Notification>,
    context: &SettleContext<'_>,
) -> Vec<NewEvent> {
    notifications
        .into_iter()
        .map(|notification| {
            let subject = context.mask.cover(notification.subject);
            let description = context.mask.cover(notification.description);
            let announce = if is_alert(delivery) {
                None
            } else {
                announcement(
                    delivery,
                    context.mapping,
                    notification.level,
                    &subject,
                    &description,
                )
            };
            NewEvent {
                store: delivery.message.store,
                level: notification.level,
                subject,
                description,
                reference: notification
                    .reference
                    .or_else(|| delivery.message.about.primary.clone()),
                message: Some(delivery.message.key),
                delivery: Some(delivery.key),
                origin: context.mapping.to_owned(),
                attributes: notification.attributes.map(|text| context.mask.cover(text)),
                announce: announce.map(Box::new),
            }
        })
        .collect()
}

/// The `notification:<level>` message that a first-time notification sends out, with the mapping's name as its source (WIRE A.3).
fn announcement(
    delivery: &Delivery,
    mapping: &str,
    level: Level,
    subject: &str,
    description: &str,
) -> Option<NewMessage> {
    let kind = MessageType::parse(&format!("notification:{}", level.word())).ok()?;
    let text = serde_json::json!({"subject": subject, "description": description}).to_string();
    Some(NewMessage {
        store: delivery.message.store,
        kind,
        payload: Payload::from_stored(text),
        about: About::default(),
        source: Source::Hub(mapping.to_owned()),
        ancestry: Some(delivery.message.descend()),
        test: delivery.message.test,
        extra: None,
    })
}

fn complaint_event(
    delivery: &Delivery,
    complaint: String,
    context: &SettleContext<'_>,
) -> NewEvent {
    NewEvent {
        store: delivery.message.store,
        level: Level::Warn,
        subject: format!("{} answered something that was not taken", context.mapping),
        description: context.mask.cover(complaint),
        reference: delivery.message.about.primary.clone(),
        message: Some(delivery.message.key),
        delivery: Some(delivery.key),
        origin: "integrator".into(),
        attributes: None,
        announce: None,
    }
}

/// The first `chars` characters of a text, with a mark when something was cut off.
#[must_use]
pub fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
#[path = "tests/settle.rs"]
mod tests;
