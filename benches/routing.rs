//! Routing one message: `cargo bench --bench routing`.
//!
//! A message of 10 KB meets 1,000 mappings of one store, each with two filters (one of them a regular expression) and an identifier. Paths and
//! expressions are compiled once, with the registry's snapshot; what is measured is a routing decision as the router makes it.

use std::{fmt::Write, hint::black_box, sync::Arc, time::Instant};

use integrator::domain::{
    id::IdSeal,
    json::{Payload, PayloadLimits},
    key::{MessageKey, StoreKey},
    message::{Incoming, Message, Source},
    message_type::MessageType,
    reference::object_of,
    registry::{Entity, EntityRow, Registry},
    routing::route,
    time::Micros,
};

const MAPPINGS: i64 = 1_000;
const ROUNDS: usize = 300;
const PAYLOAD_BYTES: usize = 10 * 1024;

fn row(key: i64, entity: Entity) -> EntityRow {
    EntityRow {
        key,
        id: IdSeal::new(7).seal(key, Micros(0)),
        store: Some(StoreKey(1)),
        subject: None,
        entity,
        created_at: Micros(0),
        updated_at: Micros(0),
        deleted: false,
        version: 1,
    }
}

fn entity(kind: &str, body: &str) -> Entity {
    Entity::from_json(kind, body).expect("an entity")
}

/// `takes`: how many of a hundred mappings want the message.
fn registry(mappings: i64, takes: i64) -> Registry {
    let mut rows = vec![row(1, entity("store", r#"{"name":"shop"}"#))];
    for n in 0..mappings {
        let status = if n % 100 < takes {
            "complete"
        } else {
            "canceled"
        };
        let body = format!(
            r#"{{"name":"app{n}.send","url":"https://app{n}.example.org/send","messages":["order:new","order:updated"],
                "identifiers":{{"number":"payload.order.number"}},
                "filters":[{{"path":"payload.order.line_items.*.sku","operator":"match","value":"^SKU-[0-9]+-{}$","match_rule":"any"}},
                           {{"path":"payload.order.status","operator":"eq","value":"{status}"}}],
                "enabled":true}}"#,
            n % 40
        );
        rows.push(row(100 + n, entity("mapping", &body)));
    }
    Registry::default().apply(rows, 1)
}

fn message() -> Incoming {
    let mut items = String::new();
    let mut n = 0;
    while items.len() < PAYLOAD_BYTES - 300 {
        let comma = if n > 0 { "," } else { "" };
        write!(
            items,
            r#"{comma}{{"name":"Canvas Tote","sku":"SKU-{}-{}","quantity":2,"price":22.5,"variant_id":{n},"options":{{"size":"L"}}}}"#,
            1000 + n,
            n % 40
        )
        .expect("a text grows");
        n += 1;
    }
    let text = format!(
        r#"{{"order":{{"number":"R1001","status":"complete","email":"ada@example.org","totals":{{"order":50.0}},"line_items":[{items}]}}}}"#
    );
    let payload = Payload::parse(&text, PayloadLimits::default()).expect("a payload");
    let kind = MessageType::parse("order:new").expect("a type");
    Incoming {
        message: Arc::new(Message {
            key: MessageKey(9),
            id: IdSeal::new(7).seal(9, Micros(0)),
            store: StoreKey(1),
            about: object_of(&kind, &payload),
            kind,
            payload,
            source: Source::Push("shop".into()),
            ancestry: None,
            test: false,
            extra: None,
            accepted_at: Micros(0),
        }),
        routed_up_to: None,
    }
}

/// Decisions with so many mappings, `takes` of a hundred wanting the message: how many deliveries, the first one's time (with compiling), and
/// the sorted times of the others, in microseconds.
fn decisions(incoming: &Incoming, mappings: i64, takes: i64) -> (usize, f64, Vec<f64>) {
    let registry = registry(mappings, takes);
    let store = &registry.stores[&StoreKey(1)];
    // The first decision of a type compiles its candidates.
    let started = Instant::now();
    let decision = route(incoming, store, 10_000);
    let compiled = started.elapsed().as_secs_f64() * 1e6;
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            black_box(route(black_box(incoming), store, 10_000));
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    (decision.deliveries.len(), compiled, rounds)
}

fn main() {
    let incoming = message();
    println!(
        "{} bytes of payload, {ROUNDS} rounds each",
        incoming.message.payload.len()
    );
    let (_, _, alone) = decisions(&incoming, 1, 0);
    let alone = alone[ROUNDS / 2];
    println!("one mapping: median {alone:>6.0} us");
    for takes in [0, 1, 50, 100] {
        let (deliveries, compiled, rounds) = decisions(&incoming, MAPPINGS, takes);
        let median = rounds[ROUNDS / 2];
        println!(
            "{deliveries:>4} of {MAPPINGS} take it: median {median:>6.0} us, 99 of 100 below {:>6.0} us (first, with compiling: {:.1} ms); \
             {:.2} of a millisecond, {:.1} times the decision with one mapping",
            rounds[ROUNDS * 99 / 100],
            compiled / 1e3,
            median / 1e3,
            median / alone
        );
    }
}
