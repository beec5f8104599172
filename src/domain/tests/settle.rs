use std::{sync::Arc, time::Duration};

use super::*;
use crate::domain::{
    delivery::WaitState,
    id::IdSeal,
    key::{DeliveryKey, EndpointKey, MappingKey, MessageKey, StoreKey},
    message::Message,
};

fn delivery() -> Delivery {
    let seal = IdSeal::new(1);
    let message = Message {
        key: MessageKey(7),
        id: seal.seal(7, Micros(0)),
        store: StoreKey(1),
        kind: MessageType::parse("order:new").unwrap(),
        payload: Payload::empty(),
        about: About {
            primary: Some(ObjectRef::new("order", "R1").unwrap()),
            also: Vec::new(),
        },
        source: Source::Poller,
        ancestry: None,
        test: false,
        extra: None,
        accepted_at: Micros(0),
    };
    Delivery {
        key: DeliveryKey(8),
        id: seal.seal(8, Micros(0)),
        message: Arc::new(message),
        mapping: MappingKey(3),
        endpoint: EndpointKey(3),
        lane: Some(1),
        state: WaitState::Pending,
        attempts: 0,
        failures: 0,
        since: Micros(0),
        asynchronous: None,
    }
}

fn policy() -> RetryPolicy {
    RetryPolicy {
        allowed: true,
        base: Duration::from_secs(5),
        cap: Duration::from_secs(3600),
        jitter: 0.0,
        max_failures: 20,
        deadline: Duration::from_secs(432_000),
        schedule: None,
    }
}

fn settled(
    delivery: &Delivery,
    finish: Finish,
    policy: &RetryPolicy,
    dialect: Dialect,
    now: Micros,
) -> Settlement {
    let mut mask = Mask::default();
    mask.add("s3cret-key");
    let context = SettleContext {
        mapping: "acme.send_order",
        dialect,
        accept_any_body: false,
        policy,
        asynchronous_budget: Duration::from_secs(86_400),
        epoch: 4,
        now,
        random: 0.0,
        mask: &mask,
        record: Attempt {
            number: delivery.attempts + 1,
            started_at: now,
            duration_us: 10,
            url: "http://sink.example/".into(),
            status: None,
            outcome: String::new(),
            error: String::new(),
            request_headers: "{}".into(),
            request_bytes: 2,
            answer_headers: "{}".into(),
            answer_body: String::new(),
            answer_bytes: 0,
        },
        sent: Vec::new(),
    };
    settle(delivery, finish, context)
}

fn answered(status: u16, answer: ServiceAnswer) -> Finish {
    Finish::Answered {
        status,
        retry_after: None,
        answer,
    }
}

fn json() -> ServiceAnswer {
    ServiceAnswer {
        body: Body::Json,
        ..ServiceAnswer::default()
    }
}

fn error_notification() -> Notification {
    Notification {
        level: Level::Error,
        subject: "Rejected".into(),
        description: "No such carrier for s3cret-key".into(),
        reference: None,
        attributes: None,
    }
}

fn outcome(status: u16, answer: ServiceAnswer, dialect: Dialect) -> Disposition {
    settled(
        &delivery(),
        answered(status, answer),
        &policy(),
        dialect,
        Micros(0),
    )
    .disposition
}

#[test]
fn only_200_is_a_success_in_dialect_1_and_any_2xx_in_dialect_2() {
    assert!(matches!(
        outcome(200, json(), Dialect::One),
        Disposition::Completed { .. }
    ));
    assert!(matches!(
        outcome(200, ServiceAnswer::default(), Dialect::One),
        Disposition::Completed { .. }
    ));
    for status in [201, 202, 204, 302, 400, 500] {
        assert!(
            matches!(
                outcome(status, json(), Dialect::One),
                Disposition::Failing { .. }
            ),
            "{status}"
        );
    }
    for status in [200, 201, 202, 204] {
        assert!(
            matches!(
                outcome(status, json(), Dialect::Two),
                Disposition::Completed { .. }
            ),
            "{status}"
        );
    }
}

#[test]
fn a_success_with_a_login_page_is_a_failure_that_says_so() {
    let page = ServiceAnswer {
        body: Body::Other("<html>Please sign in".into()),
        ..ServiceAnswer::default()
    };
    let Disposition::Failing { error, .. } = outcome(200, page, Dialect::One) else {
        panic!("not failing")
    };
    assert_eq!(error, "200, but the body is no JSON: <html>Please sign in");
}

#[test]
fn a_secret_where_a_text_body_is_cut_is_not_kept_in_part() {
    for start in BODY_BYTES - 10..=BODY_BYTES {
        let text = format!("{}s3cret-key{}", "x".repeat(start), "y".repeat(9000));
        for status in [200, 500] {
            let answer = ServiceAnswer {
                body: Body::Other(text.clone()),
                ..ServiceAnswer::default()
            };
            let Disposition::Failing { error, .. } = outcome(status, answer, Dialect::One) else {
                panic!("not failing")
            };
            assert!(!error.contains("s3c"), "{error}");
        }
    }
}

#[test]
fn notifications_of_a_500_are_kept_announced_and_give_the_reason_without_secrets() {
    let answer = ServiceAnswer {
        notifications: vec![error_notification()],
        ..json()
    };
    let settlement = settled(
        &delivery(),
        answered(500, answer),
        &policy(),
        Dialect::One,
        Micros(0),
    );
    let Disposition::Failing { error, due_at } = &settlement.disposition else {
        panic!("not failing")
    };
    assert_eq!(error, "500 Rejected: No such carrier for ***");
    assert_eq!(*due_at, Micros(5_000_000));
    let event = &settlement.events[0];
    assert_eq!(
        (event.level, event.origin.as_str()),
        (Level::Error, "acme.send_order")
    );
    assert_eq!(event.reference.as_ref().unwrap().to_string(), "order/R1");
    let announced = event.announce.as_ref().unwrap();
    assert_eq!(announced.kind.as_str(), "notification:error");
    assert_eq!(
        announced.payload.as_str(),
        r#"{"description":"No such carrier for ***","subject":"Rejected"}"#
    );
    assert_eq!(announced.source, Source::Hub("acme.send_order".into()));
    assert_eq!(announced.ancestry.unwrap().parent, MessageKey(7));
}

#[test]
fn a_failing_delivery_of_an_alert_raises_no_further_alert() {
    let mut alert = delivery();
    let message = Arc::make_mut(&mut alert.message);
    message.kind = MessageType::parse("notification:error").unwrap();
    message.source = Source::Hub("acme.send_order".into());
    let answer = ServiceAnswer {
        notifications: vec![error_notification()],
        ..json()
    };
    let settlement = settled(
        &alert,
        answered(500, answer),
        &policy(),
        Dialect::One,
        Micros(0),
    );
    assert_eq!(settlement.events.len(), 1);
    assert!(settlement.events[0].announce.is_none());
}

#[test]
fn what_is_gone_or_may_not_be_retried_is_parked() {
    let Disposition::Parked { error } = outcome(410, json(), Dialect::One) else {
        panic!("not parked")
    };
    assert_eq!(error, "410 gone for good");
    let no_retries = RetryPolicy {
        allowed: false,
        ..policy()
    };
    let failed = Finish::Failed {
        kind: "connect_refused",
        sentence: "nothing listens at sink.example:80".into(),
    };
    let settlement = settled(&delivery(), failed, &no_retries, Dialect::One, Micros(0));
    assert_eq!(
        settlement.disposition,
        Disposition::Parked {
            error: "nothing listens at sink.example:80".into()
        }
    );
    let attempt = settlement.attempt.unwrap();
    assert_eq!(
        (attempt.outcome.as_str(), attempt.status),
        ("connect_refused", None)
    );
}

#[test]
fn the_last_failure_that_is_allowed_parks_and_says_why() {
    let tired = Delivery {
        failures: 19,
        attempts: 19,
        ..delivery()
    };
    let settlement = settled(
        &tired,
        answered(500, json()),
        &policy(),
        Dialect::One,
        Micros(0),
    );
    assert_eq!(
        settlement.disposition,
        Disposition::Parked {
            error: "500 without a reason (failed 20 times)".into()
        }
    );
    assert_eq!(
        settlement.fence,
        Fence {
            epoch: 4,
            attempts: 19
        }
    );
}

#[test]
fn retry_after_puts_the_next_attempt_off() {
    let finish = Finish::Answered {
        status: 503,
        retry_after: Some(Duration::from_secs(60)),
        answer: json(),
    };
    let settlement = settled(&delivery(), finish, &policy(), Dialect::One, Micros(0));
    assert!(matches!(
        settlement.disposition,
        Disposition::Failing {
            due_at: Micros(60_000_000),
            ..
        }
    ));
}

#[test]
fn an_endpoint_that_works_on_it_is_asked_again_without_a_failure_until_its_budget_ends() {
    let ask = AskAgain {
        delay: Duration::from_secs(6_000),
        update_url: Some("http://sink.example/status/1".into()),
    };
    let answer = ServiceAnswer {
        ask_again: Some(ask),
        ..json()
    };
    let first = settled(
        &delivery(),
        answered(200, answer.clone()),
        &policy(),
        Dialect::One,
        Micros(0),
    );
    let Disposition::Scheduled {
        due_at,
        asynchronous,
    } = first.disposition
    else {
        panic!("not scheduled")
    };
    assert_eq!(due_at, Micros(6_000_000_000));
    assert_eq!(
        asynchronous.update_url.as_deref(),
        Some("http://sink.example/status/1")
    );
    let waiting = Delivery {
        asynchronous: Some(asynchronous),
        attempts: 1,
        ..delivery()
    };
    let late = settled(
        &waiting,
        answered(200, answer),
        &policy(),
        Dialect::One,
        Micros(86_401_000_000),
    );
    assert!(matches!(late.disposition, Disposition::Failing { .. }));
}

#[test]
fn returned_messages_descend_from_the_delivered_one() {
    let message = ReturnedMessage {
        kind: MessageType::parse("stock:actual").unwrap(),
        payload: Payload::empty(),
        about: About::default(),
        extra: None,
    };
    let answer = ServiceAnswer {
        messages: vec![message],
        ..json()
    };
    let settlement = settled(
        &delivery(),
        answered(200, answer),
        &policy(),
        Dialect::One,
        Micros(0),
    );
    let line = settlement.messages[0].ancestry.unwrap();
    assert_eq!(
        (line.parent, line.root, line.depth),
        (MessageKey(7), MessageKey(7), 1)
    );
    assert_eq!(
        settlement.messages[0].source,
        Source::Endpoint("acme.send_order".into())
    );
}

#[test]
fn a_returned_notification_is_about_what_its_parent_is_about() {
    let message = ReturnedMessage {
        kind: MessageType::parse("notification:warn").unwrap(),
        payload: Payload::empty(),
        about: About::default(),
        extra: None,
    };
    let answer = ServiceAnswer {
        messages: vec![message],
        ..json()
    };
    let settlement = settled(
        &delivery(),
        answered(200, answer),
        &policy(),
        Dialect::One,
        Micros(0),
    );
    assert_eq!(settlement.messages[0].about, delivery().message.about);
}
