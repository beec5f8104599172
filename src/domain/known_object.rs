//! Known objects: what the hub knows of objects that were pushed or returned in the second dialect, and the messages that
//! news of them become.
//!
//! The rules, in this order:
//!
//! 1. What is known is the stored object; where the news is an endpoint's answer, what was just sent to that endpoint is
//!    merged into it first. So an answer `{"id":"R1","shopify_id":"88"}` about an order that came by another way is an update of that
//!    order and no new one.
//! 2. The news is merged by id ([`super::merge`]). Nothing known: `<singular>:new`. Something changed: `<singular>:updated`.
//!    Nothing changed: no message, however often it is said.
//! 3. The message's payload is `{"<singular>": <the whole merged object>}`.

use super::{
    json::{Payload, PayloadLimits},
    key::StoreKey,
    merge::{Change, merge},
    message::{Ancestry, NewMessage, Source},
    message_type::MessageType,
    reference::object_of,
    settle::ReturnedObject,
};

/// News of objects: of one answer, or of one push.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectNews {
    /// Their store.
    pub store: StoreKey,
    /// Who says so: the source of the messages.
    pub source: Source,
    /// The line of the message that was answered; nothing for a push.
    pub ancestry: Option<Ancestry>,
    /// Somebody tries things out.
    pub test: bool,
    /// The objects, perhaps only some of their members.
    pub objects: Vec<ReturnedObject>,
    /// What was sent to the endpoint that answers; empty for a push.
    pub sent: Vec<ReturnedObject>,
}

/// What one piece of news comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// The whole object, to be stored; nothing when it stays as it was.
    pub raw: Option<String>,
    /// The message that tells everybody.
    pub message: Option<NewMessage>,
}

impl ObjectNews {
    /// What `object`, one of the news, comes to beside what is stored of it.
    ///
    /// # Errors
    /// A sentence that names the object, when it cannot be merged or would make no message.
    pub fn learn(&self, stored: Option<&str>, object: &ReturnedObject) -> Result<Learned, String> {
        let told = |problem: String| format!("{}/{}: {problem}", object.kind, object.id);
        let sent = self
            .sent
            .iter()
            .find(|sent| sent.kind == object.kind && sent.id == object.id);
        let known = match sent {
            Some(sent) => Some(
                merge(stored, &sent.raw)
                    .map_err(|error| told(error.to_string()))?
                    .raw,
            ),
            None => stored.map(str::to_owned),
        };
        let merged =
            merge(known.as_deref(), &object.raw).map_err(|error| told(error.to_string()))?;
        let verb = match merged.change {
            Change::New => "new",
            Change::Changed { .. } => "updated",
            Change::Unchanged => {
                let raw = (stored != Some(merged.raw.as_str())).then_some(merged.raw);
                return Ok(Learned { raw, message: None });
            }
        };
        let kind = MessageType::parse(&format!("{}:{verb}", object.kind))
            .map_err(|error| told(error.to_string()))?;
        let name = serde_json::Value::from(object.kind.as_str());
        let payload = Payload::parse(
            &format!("{{{name}:{}}}", merged.raw),
            PayloadLimits::default(),
        )
        .map_err(|error| told(error.to_string()))?;
        let message = NewMessage {
            store: self.store,
            about: object_of(&kind, &payload),
            kind,
            payload,
            source: self.source.clone(),
            ancestry: self.ancestry,
            test: self.test,
            extra: None,
        };
        Ok(Learned {
            raw: Some(merged.raw),
            message: Some(message),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn object(raw: &str) -> ReturnedObject {
        ReturnedObject {
            kind: "order".into(),
            id: "R1".into(),
            raw: raw.into(),
        }
    }

    fn news(sent: &[&str]) -> ObjectNews {
        ObjectNews {
            store: StoreKey(1),
            source: Source::Endpoint("acme.add".into()),
            ancestry: None,
            test: false,
            objects: Vec::new(),
            sent: sent.iter().map(|raw| object(raw)).collect(),
        }
    }

    fn said(learned: &Learned) -> Option<(&str, &str)> {
        let message = learned.message.as_ref()?;
        Some((message.kind.as_str(), message.payload.as_str()))
    }

    #[test]
    fn an_unknown_object_is_new_and_then_updated_and_then_nothing() {
        let news = news(&[]);
        let first = news
            .learn(None, &object(r#"{"id":"R1","total":1}"#))
            .unwrap();
        assert_eq!(
            said(&first),
            Some(("order:new", r#"{"order":{"id":"R1","total":1}}"#))
        );
        let known = first.raw.unwrap();
        let partial = object(r#"{"id":"R1","shopify_id":"88"}"#);
        let second = news.learn(Some(&known), &partial).unwrap();
        assert_eq!(
            said(&second),
            Some((
                "order:updated",
                r#"{"order":{"id":"R1","total":1,"shopify_id":"88"}}"#
            ))
        );
        let third = news.learn(second.raw.as_deref(), &partial).unwrap();
        assert_eq!((third.raw, third.message), (None, None));
    }

    #[test]
    fn an_answer_about_what_was_sent_is_an_update_of_it() {
        let news = news(&[r#"{"id":"R1","total":2}"#]);
        let learned = news
            .learn(
                Some(r#"{"id":"R1","total":1,"shopify_id":"88"}"#),
                &object(r#"{"id":"R1","shopify_id":"88"}"#),
            )
            .unwrap();
        assert_eq!(learned.message, None, "nothing is news in it");
        assert_eq!(
            learned.raw.as_deref(),
            Some(r#"{"id":"R1","total":2,"shopify_id":"88"}"#)
        );
        let learned = news
            .learn(None, &object(r#"{"id":"R1","shopify_id":"88"}"#))
            .unwrap();
        assert_eq!(
            said(&learned),
            Some((
                "order:updated",
                r#"{"order":{"id":"R1","total":2,"shopify_id":"88"}}"#
            ))
        );
    }

    #[test]
    fn what_was_sent_and_comes_back_as_it_was_is_no_news() {
        let news = news(&[r#"{"id":"R1","total":2}"#]);
        let learned = news.learn(None, &object(r#"{"id":"R1"}"#)).unwrap();
        assert_eq!(learned.message, None);
    }
}
