use serde_json::json;

use super::*;

const MARK: &str = "2026-03-02T14:00:00.000Z";
const BEFORE: &str = "2026-03-01T08:00:00.000Z";
const AFTER: &str = "2026-03-02T15:00:00.000Z";
const LATER: &str = "2026-03-02T16:00:00.000Z";

fn document(raw: Value) -> StoreDocument {
    StoreDocument {
        noun: Noun::Order,
        form: Form::Classic,
        token: "R1".to_owned(),
        id: "1".to_owned(),
        updated_at: raw["updated_at"].as_str().unwrap_or_default().to_owned(),
        raw: raw.to_string(),
        sight: Sight::Changed,
    }
}

fn order(state: &str, completed_at: &str, updated_at: &str, total: &str) -> StoreDocument {
    document(
        json!({"id": 1, "number": "R1", "state": state, "completed_at": completed_at, "updated_at": updated_at, "total": total}),
    )
}

fn reading() -> Reading<'static> {
    Reading {
        first_mark: store_time(MARK),
        currency: None,
        limits: PayloadLimits::default(),
    }
}

fn compared(stored: Option<&Snapshot>, document: &StoreDocument) -> Change {
    compare(stored, document, reading()).unwrap()
}

/// The kind of message, or what else became of it.
fn word(change: &Change) -> String {
    match change {
        Change::Nothing => "nothing".to_owned(),
        Change::Silent(_) => "silent".to_owned(),
        Change::New(_, said) | Change::Updated(_, said) | Change::Canceled(_, said) => {
            said.kind.as_str().to_owned()
        }
    }
}

fn stored(document: &StoreDocument) -> Snapshot {
    match compared(None, document) {
        Change::Silent(snapshot)
        | Change::New(snapshot, _)
        | Change::Updated(snapshot, _)
        | Change::Canceled(snapshot, _) => snapshot,
        Change::Nothing => panic!("the first sight is stored"),
    }
}

fn payload(change: &Change) -> Value {
    match change {
        Change::New(_, said) | Change::Updated(_, said) | Change::Canceled(_, said) => {
            serde_json::from_str(said.payload.as_str()).unwrap()
        }
        other => panic!("{other:?} has no payload"),
    }
}

#[test]
fn first_sights_are_told_apart_by_the_first_mark() {
    for (completed_at, updated_at, expected) in [
        (AFTER, AFTER, "order:new"),
        (MARK, MARK, "order:new"),
        (BEFORE, BEFORE, "silent"),
        (BEFORE, AFTER, "order:updated"),
    ] {
        let change = compared(None, &order("complete", completed_at, updated_at, "1.0"));
        assert_eq!(word(&change), expected, "{completed_at} {updated_at}");
        if expected == "order:updated" {
            assert_eq!(payload(&change).get("previous"), None);
        }
    }
    let from_the_beginning = Reading {
        first_mark: None,
        ..reading()
    };
    let old = order("complete", BEFORE, BEFORE, "1.0");
    assert_eq!(
        word(&compare(None, &old, from_the_beginning).unwrap()),
        "order:new"
    );
}

#[test]
fn what_is_only_listed_is_never_said() {
    let mut listed = order("complete", AFTER, AFTER, "1.0");
    listed.sight = Sight::Listed;
    let Change::Silent(snapshot) = compared(None, &listed) else {
        panic!("a listed row is noted");
    };
    assert_eq!(snapshot.known, Known::Listed { canceled: false });
    assert_eq!(compared(Some(&snapshot), &listed), Change::Nothing);
    assert_eq!(
        word(&compared(
            Some(&snapshot),
            &order("complete", AFTER, AFTER, "1.0")
        )),
        "silent"
    );
    assert_eq!(
        word(&compared(
            Some(&snapshot),
            &order("canceled", AFTER, LATER, "1.0")
        )),
        "order:canceled"
    );
}

#[test]
fn an_update_carries_the_former_state_and_the_raw_differences() {
    let before = order("complete", AFTER, AFTER, "10.0");
    let after = order("complete", AFTER, LATER, "12.5");
    let change = compared(Some(&stored(&before)), &after);
    assert_eq!(word(&change), "order:updated");
    let payload = payload(&change);
    assert_eq!(payload["order"]["totals"]["order"], 12.5);
    assert_eq!(payload["previous"]["totals"]["order"], 10.0);
    assert_eq!(
        payload["diff"],
        json!({"total": ["10.0", "12.5"], "updated_at": [AFTER, LATER]})
    );
    assert_eq!(
        payload["original"],
        serde_json::from_str::<Value>(&after.raw).unwrap()
    );
}

#[test]
fn an_unchanged_document_makes_no_message_whatever_its_timestamp() {
    let before = document(
        json!({"number": "R1", "state": "complete", "completed_at": AFTER, "updated_at": AFTER,
        "payments": [{"id": 1, "updated_at": AFTER}]}),
    );
    let snapshot = stored(&before);
    let same = StoreDocument {
        updated_at: LATER.to_owned(),
        raw: format!(
            r#"{{"payments":[{{"updated_at":"{LATER}","id":1}}],"updated_at":"{LATER}","completed_at":"{AFTER}","state":"complete","number":"R1"}}"#
        ),
        ..before.clone()
    };
    let Change::Silent(restamped) = compared(Some(&snapshot), &same) else {
        panic!("the new time is noted");
    };
    assert_eq!(restamped.updated_at, LATER);
    assert_eq!(
        restamped.known, snapshot.known,
        "the document stays the one that was announced"
    );
    assert_eq!(compared(Some(&snapshot), &before), Change::Nothing);
}

#[test]
fn a_cancellation_is_said_alone_and_once() {
    let snapshot = stored(&order("complete", AFTER, AFTER, "1.0"));
    let canceled = order("canceled", AFTER, LATER, "1.0");
    let change = compared(Some(&snapshot), &canceled);
    assert_eq!(word(&change), "order:canceled");
    let payload = payload(&change);
    assert_eq!(payload["order"]["status"], "canceled");
    assert_eq!(
        payload.as_object().unwrap().len(),
        2,
        "order and original only"
    );
    let snapshot = stored(&canceled);
    assert_eq!(compared(Some(&snapshot), &canceled), Change::Nothing);
    let still = order("canceled", AFTER, "2026-03-02T17:00:00.000Z", "2.0");
    assert_eq!(word(&compared(Some(&snapshot), &still)), "order:updated");
}

#[test]
fn a_young_cancellation_of_an_unknown_old_order_is_one() {
    let canceled = |at: &str| {
        document(
            json!({"number": "R1", "state": "canceled", "completed_at": BEFORE, "updated_at": AFTER, "canceled_at": at}),
        )
    };
    assert_eq!(word(&compared(None, &canceled(AFTER))), "order:canceled");
    assert_eq!(word(&compared(None, &canceled(BEFORE))), "order:updated");
}

#[test]
fn an_older_reading_never_replaces_a_newer_one() {
    let snapshot = stored(&order("complete", AFTER, LATER, "12.5"));
    assert_eq!(
        compared(Some(&snapshot), &order("complete", AFTER, AFTER, "10.0")),
        Change::Nothing
    );
}

#[test]
fn an_erased_object_is_not_announced_again() {
    let before = order("complete", AFTER, AFTER, "1.0");
    let erased = stored(&before).erased();
    assert!(!format!("{erased:?}").contains("R1"));
    assert_eq!(compared(Some(&erased), &before), Change::Nothing);
    let touched = order("complete", AFTER, LATER, "1.0");
    assert_eq!(word(&compared(Some(&erased), &touched)), "silent");
    let changed = order("complete", AFTER, LATER, "2.0");
    assert_eq!(word(&compared(Some(&erased), &changed)), "order:updated");
}

#[test]
fn other_nouns_have_their_own_types() {
    for (noun, new, updated) in [
        (Noun::Cart, "cart:new", "cart:updated"),
        (Noun::User, "user:new", "user:updated"),
        (Noun::Product, "product:new", "product:update"),
        (
            Noun::ReturnAuthorization,
            "return_authorization:new",
            "return_authorization:updated",
        ),
        (
            Noun::StockTransfer,
            "stock_transfer:new",
            "stock_transfer:updated",
        ),
    ] {
        let of = |updated_at: &str, name: &str| StoreDocument {
            noun,
            ..document(
                json!({"id": 1, "number": "X", "sku": "X", "email": "X", "name": name, "created_at": AFTER, "updated_at": updated_at}),
            )
        };
        let first = of(AFTER, "a");
        assert_eq!(word(&compared(None, &first)), new);
        let change = compared(Some(&stored(&first)), &of(LATER, "b"));
        assert_eq!(word(&change), updated);
        assert_eq!(payload(&change)["diff"]["name"], json!(["a", "b"]));
        assert!(payload(&change).get(noun.name()).is_some());
    }
}

#[test]
fn a_text_that_not_every_reader_takes_is_odd() {
    for raw in ["", "[]", "{", r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#] {
        let odd = StoreDocument {
            raw: raw.to_owned(),
            ..order("complete", AFTER, AFTER, "1.0")
        };
        assert!(compare(None, &odd, reading()).is_err(), "{raw}");
    }
}
