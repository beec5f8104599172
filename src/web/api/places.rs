//! How states, queues and reasons are worded, and what rows of queues look like.

use crate::{
    db::{Locator, QueueRow, Skip},
    domain::{
        delivery::{ArchiveReason, SkipReason, WaitState},
        id::Id,
        key::MappingKey,
        message::Source,
        registry::StoreSnapshot,
    },
    wire::hub_api::{OriginDocument, PlaceDocument, QueueRowDocument, SkipDocument},
};

/// Where something is. A routed message counts as archived: nothing more happens to it, its deliveries go on.
pub fn place_of(location: Locator) -> PlaceDocument {
    match location {
        Locator::Incoming => PlaceDocument {
            state: "pending",
            queue_name: "incoming",
            source: "incoming",
            reason: None,
        },
        Locator::Routed => PlaceDocument {
            state: "routed",
            queue_name: "archived",
            source: "incoming",
            reason: None,
        },
        Locator::Accepted(state) => PlaceDocument {
            state: state.word(),
            queue_name: "accepted",
            source: "accepted",
            reason: (state == WaitState::Held).then_some("mapping_disabled"),
        },
        Locator::Archived(reason) => PlaceDocument {
            state: reason.state_word(),
            queue_name: "archived",
            source: match reason {
                ArchiveReason::NoSubscriber | ArchiveReason::NotWanted => "incoming",
                _ => "accepted",
            },
            reason: (reason != ArchiveReason::Completed).then(|| reason.word()),
        },
    }
}

/// Whether a person may ask for an attempt: it waits, and not for its mapping to be enabled.
pub fn can_attempt(location: Locator) -> bool {
    matches!(location, Locator::Accepted(state) if state != WaitState::Held)
}

/// Why an attempt cannot be asked for.
pub fn why_not(location: Locator) -> &'static str {
    match location {
        Locator::Incoming => "it is not routed yet",
        Locator::Routed => "it is routed, its deliveries are its children",
        Locator::Accepted(WaitState::Held) => "its mapping is disabled",
        Locator::Accepted(_) => "it has just been attempted",
        Locator::Archived(ArchiveReason::Completed) => "it is completed",
        Locator::Archived(_) => "it is archived",
    }
}

/// Where a message came from.
pub fn origin_of(source: &Source) -> OriginDocument {
    OriginDocument {
        kind: source.kind(),
        name: source.name().to_owned(),
    }
}

/// The name of a mapping, live or deleted, and its id while it lives.
pub fn consumer_of(
    store: &StoreSnapshot,
    mapping: Option<MappingKey>,
) -> (Option<String>, Option<Id>) {
    let Some(key) = mapping else {
        return (None, None);
    };
    (
        store.mapping_name(key).map(str::to_owned),
        store.mappings.get(&key).map(|entry| entry.id),
    )
}

/// The address of the picture of a mapping's integration, if it has one.
pub fn icon_of(store: &StoreSnapshot, mapping: Option<MappingKey>) -> Option<String> {
    let mapping = store.mappings.get(&mapping?)?;
    let integration = store.integration(mapping.value.integration?)?;
    integration.value.icon_address()
}

/// The endpoint's name in a mapping's: `acme` in `acme.send_order`.
pub fn destination_of(consumer: &str) -> String {
    consumer
        .split_once('.')
        .map_or(consumer, |(endpoint, _)| endpoint)
        .to_owned()
}

/// A row of a queue.
pub fn row_document(row: QueueRow, store: &StoreSnapshot) -> QueueRowDocument {
    let (consumer, mapping_id) = consumer_of(store, row.mapping);
    QueueRowDocument {
        id: row.id,
        message: row.kind,
        place: place_of(row.location),
        destination_name: consumer.as_deref().map(destination_of),
        consumer,
        mapping_id,
        created_at: row.created_at,
        completed_at: row.completed_at,
        attempt_at: row.due_at.or(row.attempted_at),
        attempted_at: row.attempted_at,
        next_attempt: row.due_at,
        attempts: row.attempts,
        last_error: row.last_error,
        can_attempt: can_attempt(row.location),
        is_consumer_remote: row.mapping.is_some(),
        integration_icon_url: icon_of(store, row.mapping),
        locked_at: None,
        parent_id: row.parent_id.map_or_else(String::new, |id| id.to_string()),
        object: row.object.map(|object| object.to_string()),
        origin: origin_of(&row.source),
    }
}

/// A mapping that did not get a message.
pub fn skip_document(skip: Skip, store: &StoreSnapshot) -> SkipDocument {
    let (consumer, mapping_id) = consumer_of(store, Some(skip.mapping));
    let (reason, detail) = match skip.reason {
        SkipReason::Filtered(filter) => ("filtered", Some(filter)),
        SkipReason::Duplicate(identifiers) => ("duplicate", Some(identifiers)),
        SkipReason::Disabled => ("disabled", None),
    };
    SkipDocument {
        consumer,
        mapping_id,
        reason,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_worded_as_clients_know_it() {
        let words = |location| {
            let place = place_of(location);
            (place.state, place.queue_name, place.source, place.reason)
        };
        assert_eq!(
            words(Locator::Incoming),
            ("pending", "incoming", "incoming", None)
        );
        assert_eq!(
            words(Locator::Accepted(WaitState::Failing)),
            ("failing", "accepted", "accepted", None)
        );
        assert_eq!(
            words(Locator::Accepted(WaitState::Held)),
            ("pending", "accepted", "accepted", Some("mapping_disabled"))
        );
        assert_eq!(
            words(Locator::Archived(ArchiveReason::Completed)),
            ("completed", "archived", "accepted", None)
        );
        assert_eq!(
            words(Locator::Archived(ArchiveReason::NoSubscriber)),
            (
                "never_processed",
                "archived",
                "incoming",
                Some("no_subscriber")
            )
        );
    }

    #[test]
    fn only_what_waits_can_be_attempted() {
        for state in WaitState::ALL {
            assert_eq!(
                can_attempt(Locator::Accepted(state)),
                state != WaitState::Held
            );
        }
        assert!(!can_attempt(Locator::Incoming) && !can_attempt(Locator::Routed));
        assert!(!can_attempt(Locator::Archived(ArchiveReason::Completed)));
    }

    #[test]
    fn a_destination_is_what_stands_before_the_dot() {
        assert_eq!(
            (destination_of("acme.send_order"), destination_of("mail")),
            ("acme".to_owned(), "mail".to_owned())
        );
    }
}
