//! A random history against a model: whatever happens in whatever order, each lane has exactly one head (its first row),
//! and the counters equal what the lists hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::setup::*;
use crate::{
    db::{
        EntityChange, HeldMapping, Locator, OwnerKind, PageKey, Queue, QueueQuery, QueueRow,
        QueueStats,
    },
    domain::{
        delivery::{Asynchronous, Delivery, Disposition, Fence, Place, WaitState},
        key::{DeliveryKey, EndpointKey, MappingKey},
        registry::Entity,
    },
};

/// A small generator of random numbers (SplitMix64), so that a failing history can be run again by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let at = self.roll(all.len().max(1) as u64);
        all.get(usize::try_from(at).unwrap()).cloned()
    }
}

/// Where the model believes a waiting delivery to be.
#[derive(Debug, Clone, PartialEq)]
struct Waits {
    mapping: MappingKey,
    lane: Option<(EndpointKey, String)>,
    state: WaitState,
}

/// What the database should hold.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<i64, Waits>,
    /// Lane-holding deliveries in order.
    lanes: BTreeMap<(i64, String), Vec<i64>>,
    archived: u64,
    incoming: u64,
}

impl Model {
    fn enter(&mut self, key: i64) {
        if let Some((endpoint, order)) = &self.waiting[&key].lane {
            self.lanes
                .entry((endpoint.0, order.clone()))
                .or_default()
                .push(key);
        }
    }

    fn leave(&mut self, key: i64) {
        for lane in self.lanes.values_mut() {
            lane.retain(|other| *other != key);
        }
    }

    fn set(&mut self, key: i64, state: WaitState) {
        if !state.holds_lane() {
            self.leave(key);
        }
        self.waiting.get_mut(&key).unwrap().state = state;
    }

    fn end(&mut self, key: i64) {
        self.leave(key);
        self.waiting.remove(&key).unwrap();
        self.archived += 1;
    }

    fn heads(&self) -> BTreeSet<i64> {
        let first = self.lanes.values().filter_map(|lane| lane.first().copied());
        let unordered = self
            .waiting
            .iter()
            .filter(|(_, row)| row.lane.is_none() && row.state.holds_lane());
        first.chain(unordered.map(|(key, _)| *key)).collect()
    }

    fn stats(&self) -> QueueStats {
        let count = |states: &[WaitState]| {
            self.waiting
                .values()
                .filter(|row| states.contains(&row.state))
                .count() as u64
        };
        QueueStats {
            incoming: self.incoming,
            pending: count(&[WaitState::Pending, WaitState::Held]),
            failing: count(&[WaitState::Failing]),
            scheduled: count(&[WaitState::Scheduled]),
            parked: count(&[WaitState::Parked]),
            archived: self.archived,
        }
    }
}

const ORDERS: [&str; 3] = ["R1", "R2", "R3"];
const ENDPOINTS: [EndpointKey; 2] = [EndpointKey(900_001), EndpointKey(900_002)];

/// The endpoint of a mapping, and whether it keeps order: four mappings share two endpoints.
fn place(mappings: &[MappingKey], mapping: MappingKey) -> (EndpointKey, bool) {
    let at = mappings.iter().position(|other| *other == mapping).unwrap();
    (ENDPOINTS[at % 2], at != 3)
}

pub(in crate::db) async fn a_random_history_keeps_heads_and_counters_right(rig: &dyn Rig) {
    let mut hub = Hub::start(rig).await;
    let mut mappings = Vec::new();
    for n in 0..4 {
        let body = serde_json::json!({
            "name": format!("acme.m{n}"), "url": "http://endpoint.example", "messages": ["*"], "enabled": false
        });
        let entity = Entity::from_json("mapping", &body.to_string()).unwrap();
        let create = EntityChange::Create {
            store: Some(hub.store),
            subject: None,
            entity,
        };
        mappings.push(MappingKey(
            hub.db.registry_change(vec![create], T0).await.unwrap().rows[0].key,
        ));
    }
    // Only what was for a deleted mapping may be removed.
    let delete = EntityChange::Delete { key: mappings[1].0 };
    hub.db.registry_change(vec![delete], T0).await.unwrap();
    hub = hub.again(rig).await;
    let mut epochs = claim_epochs(&hub).await;
    let mut dice = Dice(20_261_121);
    let mut model = Model::default();
    for step in 0..600 {
        match dice.roll(20) {
            0..4 => {
                hub.push(dice.pick(&ORDERS).unwrap()).await;
                model.incoming += 1;
            }
            4..8 => route_some(&hub, &mut dice, &mut model, &mappings).await,
            8..15 => {
                settle_some(&hub, &mut dice, &mut model, &epochs, mappings[1]).await;
            }
            15 => person(&hub, &mut dice, &mut model, true).await,
            16 => person(&hub, &mut dice, &mut model, false).await,
            17 => tidy(&hub, &mut dice, &mut model, &mappings).await,
            _ if step % 9 == 0 => {
                hub = hub.again(rig).await;
                epochs = claim_epochs(&hub).await;
            }
            _ => {}
        }
        check(&hub, &model, step).await;
    }
    assert!(model.archived > 50, "the history went somewhere");
}

async fn claim_epochs(hub: &Hub) -> BTreeMap<i64, i64> {
    let mut epochs = BTreeMap::new();
    for endpoint in ENDPOINTS {
        epochs.insert(
            endpoint.0,
            hub.db
                .owner_claim(OwnerKind::Dispatcher, endpoint.0)
                .await
                .unwrap(),
        );
    }
    epochs
}

fn everything(hub: &Hub, queue: Queue) -> QueueQuery {
    QueueQuery {
        store: hub.store,
        queue,
        kinds: None,
        states: None,
        reasons: None,
        source: None,
        from: None,
        until: None,
        message: None,
        mapping: None,
        object: None,
        after: None,
        skip: 0,
        limit: 37,
    }
}

/// A whole queue, page by page.
async fn whole(hub: &Hub, queue: Queue) -> Vec<QueueRow> {
    let mut query = everything(hub, queue);
    let mut rows = Vec::new();
    loop {
        let page = hub.db.queue_list(query.clone()).await.unwrap();
        rows.extend(page.rows);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert!(
        rows.windows(2)
            .all(|pair| pair[0].page_key > pair[1].page_key),
        "newest first, none twice"
    );
    rows
}

async fn route_some(hub: &Hub, dice: &mut Dice, model: &mut Model, mappings: &[MappingKey]) {
    let waiting = hub.waiting(100, Vec::new()).await;
    let Some(incoming) = dice.pick(&waiting) else {
        return;
    };
    let order = incoming
        .message
        .about
        .primary
        .as_ref()
        .unwrap()
        .token()
        .to_owned();
    let mut deliveries = Vec::new();
    for mapping in mappings {
        if dice.roll(2) == 0 {
            let (endpoint, ordered) = place(mappings, *mapping);
            let mut delivery = hub.to(*mapping, ordered.then_some(order.as_str()));
            delivery.endpoint = endpoint;
            deliveries.push(delivery);
        }
    }
    model.incoming -= 1;
    model.archived += u64::from(deliveries.is_empty());
    hub.route(vec![routed(hub.store, incoming.message.key, deliveries)])
        .await;
    let mut new: Vec<_> = whole(hub, Queue::Accepted)
        .await
        .into_iter()
        .filter(|row| !model.waiting.contains_key(&row.page_key.0))
        .collect();
    new.reverse();
    for row in new {
        let mapping = row.mapping.unwrap();
        let (endpoint, ordered) = place(mappings, mapping);
        let lane = ordered.then(|| (endpoint, row.object.unwrap().token().to_owned()));
        model.waiting.insert(
            row.page_key.0,
            Waits {
                mapping,
                lane,
                state: WaitState::Pending,
            },
        );
        model.enter(row.page_key.0);
    }
}

async fn heads(hub: &Hub) -> Vec<Delivery> {
    let mut all = Vec::new();
    for endpoint in ENDPOINTS {
        all.extend(
            hub.db
                .accepted_due(endpoint, at(1 << 30), 1000, Vec::new().into())
                .await
                .unwrap()
                .deliveries,
        );
    }
    all
}

async fn settle_some(
    hub: &Hub,
    dice: &mut Dice,
    model: &mut Model,
    epochs: &BTreeMap<i64, i64>,
    deleted: MappingKey,
) {
    let Some(head) = dice.pick(&heads(hub).await) else {
        return;
    };
    let due_at = at(dice.roll(1000));
    let asynchronous = Asynchronous {
        update_url: None,
        started_at: T0,
        polls: 1,
    };
    let disposition = match dice.roll(9) {
        0..3 => completed(),
        3 if head.mapping == deleted => Disposition::Removed,
        3 => parked(),
        4 => failing(due_at),
        5 => parked(),
        6 => Disposition::Scheduled {
            due_at,
            asynchronous,
        },
        7 => Disposition::Held,
        _ => Disposition::Postponed { due_at },
    };
    let next = disposition.leads_to(head.state);
    let mut settlement = hub.settlement(&head, disposition);
    settlement.fence = Fence {
        epoch: epochs[&head.endpoint.0],
        attempts: head.attempts,
    };
    let settled = hub
        .db
        .accepted_settle(Arc::new(vec![settlement]), T0)
        .await
        .unwrap();
    assert_eq!(settled[0].outcome, crate::db::SettleOutcome::Written);
    let before = model.heads();
    match next {
        Place::Waits(state) => model.set(head.key.0, state),
        Place::Archived(_) => model.end(head.key.0),
    }
    assert_eq!(
        settled[0].lane_moved,
        model.heads().difference(&before).count() > 0
    );
}

async fn person(hub: &Hub, dice: &mut Dice, model: &mut Model, releases: bool) {
    let keys: Vec<i64> = model.waiting.keys().copied().collect();
    let Some(key) = dice.pick(&keys) else { return };
    if releases {
        hub.db
            .accepted_release(hub.store, DeliveryKey(key), "Ann", T0)
            .await
            .unwrap();
        let returns = !model.waiting[&key].state.holds_lane();
        model.set(key, WaitState::Pending);
        if returns {
            model.enter(key);
        }
    } else {
        hub.db
            .accepted_archive(hub.store, DeliveryKey(key), "Ann", T0)
            .await
            .unwrap();
        model.end(key);
    }
}

async fn tidy(hub: &Hub, dice: &mut Dice, model: &mut Model, mappings: &[MappingKey]) {
    let mapping = dice.pick(mappings).unwrap();
    let (what, limit) = if dice.roll(3) == 0 {
        (HeldMapping::Remove, 2)
    } else {
        (HeldMapping::Release, 3)
    };
    let fits = |row: &Waits| {
        row.mapping == mapping && (what == HeldMapping::Remove || row.state == WaitState::Held)
    };
    let keys: Vec<i64> = model
        .waiting
        .iter()
        .filter(|(_, row)| fits(row))
        .map(|(key, _)| *key)
        .take(limit)
        .collect();
    assert_eq!(
        hub.db
            .accepted_tidy(mapping, what, limit, T0)
            .await
            .unwrap(),
        keys.len()
    );
    for key in keys {
        if what == HeldMapping::Remove {
            model.end(key);
        } else {
            model.set(key, WaitState::Pending);
            model.enter(key);
        }
    }
}

async fn check(hub: &Hub, model: &Model, step: u64) {
    let found: BTreeSet<i64> = heads(hub).await.iter().map(|head| head.key.0).collect();
    assert_eq!(found, model.heads(), "heads after step {step}");
    assert_eq!(
        hub.db.queue_stats(hub.store).await.unwrap(),
        model.stats(),
        "counters after step {step}"
    );
    if step.is_multiple_of(20) {
        let rows = whole(hub, Queue::Accepted).await;
        let states: BTreeMap<i64, Locator> = rows
            .iter()
            .map(|row| (row.page_key.0, row.location))
            .collect();
        let expected = model
            .waiting
            .iter()
            .map(|(key, row)| (*key, Locator::Accepted(row.state)))
            .collect();
        assert_eq!(states, expected, "rows after step {step}");
        assert_eq!(
            whole(hub, Queue::Archived).await.len() as u64,
            model.archived
        );
        assert_eq!(
            whole(hub, Queue::Incoming).await.len() as u64,
            model.incoming
        );
        let one = QueueQuery {
            after: Some(PageKey(0)),
            ..everything(hub, Queue::Accepted)
        };
        assert_eq!(hub.db.queue_list(one).await.unwrap().rows, []);
    }
}
