//! Where the actors of a node are, and how to wake them.
//!
//! Addresses change when actors are replaced, so nobody keeps another's: everyone asks the [`Directory`] at the moment of sending.
//! Routing finds the dispatchers it wakes here too, without a hop through the Overseer.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use actix::{Addr, Recipient};

use super::{
    bell::Bell,
    dispatcher::{Dispatcher, EndpointCell, Forget, Told},
    intake::Submit,
    overseer::{Ensure, LookAfterPollers, MayRetire},
    poller::PollDoor,
    settler::Settle,
    tray::Tray,
    vitals::{Office, Vitals},
};
use crate::domain::{
    delivery::Delivery,
    key::{DeliveryKey, EndpointKey, StoreKey},
};

/// The tray of whoever holds an office now; none before its first holder.
#[derive(Debug)]
pub struct Post<T>(RwLock<Option<Tray<T>>>);

impl<T> Default for Post<T> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<T> Post<T> {
    /// The newest tray.
    #[must_use]
    pub fn get(&self) -> Option<Tray<T>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts up another tray. What lies on the former one goes with its last holder.
    pub fn set(&self, tray: Tray<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(tray);
    }
}

/// A dispatcher that was started.
#[derive(Clone)]
pub struct Seat {
    /// Wakes it.
    pub bell: Bell,
    /// Where it is.
    pub address: Addr<Dispatcher>,
    /// Where it finds what was accepted for it just now.
    pub tray: Tray<Told>,
}

/// Where the node's actors are. Written by the Overseer (through `topology`), read by everyone.
#[derive(Default)]
pub struct Directory {
    /// Takes messages in.
    pub intake: Post<Submit>,
    /// Writes outcomes.
    pub settler: Post<Settle>,
    bells: RwLock<HashMap<Office, Bell>>,
    seats: RwLock<HashMap<EndpointKey, Seat>>,
    cells: RwLock<HashMap<EndpointKey, Arc<EndpointCell>>>,
    vitals: RwLock<HashMap<Office, Arc<Vitals>>>,
    doors: RwLock<HashMap<StoreKey, Arc<PollDoor>>>,
    overseer: RwLock<Option<OverseerDoor>>,
}

/// What others may ask of the Overseer.
#[derive(Clone)]
pub struct OverseerDoor {
    /// Start a dispatcher.
    pub ensure: Recipient<Ensure>,
    /// A dispatcher may end.
    pub may_retire: Recipient<MayRetire>,
    /// A store may want a poller.
    pub look_after_pollers: Recipient<LookAfterPollers>,
}

impl Directory {
    /// Puts up the bell of an office.
    pub fn set_bell(&self, office: Office, bell: Bell) {
        self.bells
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(office, bell);
    }

    /// Says who starts dispatchers that are missing.
    pub fn set_overseer(&self, door: Option<OverseerDoor>) {
        *self
            .overseer
            .write()
            .unwrap_or_else(PoisonError::into_inner) = door;
    }

    fn overseer(&self) -> Option<OverseerDoor> {
        self.overseer
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Wakes the actor of an office that is not a dispatcher's.
    pub fn ring(&self, office: Office) {
        let bell = self
            .bells
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&office)
            .cloned();
        if let Some(bell) = bell {
            bell.ring();
        }
    }

    /// Wakes an endpoint's dispatcher; where there is none, has one started, which looks by itself.
    pub fn ring_dispatcher(&self, endpoint: EndpointKey) {
        let seat = self
            .seats
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&endpoint)
            .map(|seat| seat.bell.clone());
        match seat {
            Some(bell) => bell.ring(),
            None => self.ensure(endpoint),
        }
    }

    /// What an endpoint's dispatcher has read of these deliveries is out of date.
    pub fn forget(&self, endpoint: EndpointKey, deliveries: Vec<DeliveryKey>) {
        let told = self
            .seat(endpoint)
            .is_some_and(|seat| seat.address.try_send(Forget(deliveries)).is_ok());
        if !told {
            self.ring_dispatcher(endpoint);
        }
    }

    /// Lets the dispatchers of `endpoints` know of new deliveries; `fresh` are those of them that may be posted now.
    pub fn hand_over(&self, endpoints: &[EndpointKey], fresh: Vec<Delivery>) {
        let mut by_endpoint: HashMap<EndpointKey, Vec<Delivery>> = HashMap::new();
        for delivery in fresh {
            by_endpoint
                .entry(delivery.endpoint)
                .or_default()
                .push(delivery);
        }
        for endpoint in endpoints {
            match (self.seat(*endpoint), by_endpoint.remove(endpoint)) {
                (Some(seat), Some(fresh)) => seat.tray.put(Told::Fresh(fresh)),
                // All of them wait behind others of their lanes, which the dispatcher has in hand.
                (Some(_), None) => {}
                (None, _) => self.ensure(*endpoint),
            }
        }
    }

    fn ensure(&self, endpoint: EndpointKey) {
        // A lost one is made good by the Sweeper, which looks for endpoints that nobody serves.
        let is_lost = self
            .overseer()
            .is_some_and(|door| door.ensure.try_send(Ensure(endpoint)).is_err());
        if is_lost {
            log::debug!("the overseer is busy; endpoint {endpoint} is served a little later");
        }
    }

    /// A dispatcher of this generation has nothing to do any more. It will say so again if this is lost.
    pub fn offer_to_retire(&self, endpoint: EndpointKey, generation: u64) {
        if let Some(door) = self.overseer() {
            door.may_retire
                .try_send(MayRetire {
                    endpoint,
                    generation,
                })
                .ok();
        }
    }

    /// A store may want a poller. A lost wish is made good by the Overseer's next round.
    pub fn look_after_pollers(&self) {
        if let Some(door) = self.overseer() {
            door.look_after_pollers.try_send(LookAfterPollers).ok();
        }
    }

    /// Where wishes for a store's poller are put.
    #[must_use]
    pub fn door(&self, store: StoreKey) -> Arc<PollDoor> {
        let mut doors = self.doors.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(doors.entry(store).or_default())
    }

    /// Takes down the bell of an office that is not filled any more.
    pub fn remove_bell(&self, office: Office) {
        self.bells
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&office);
    }

    /// How many endpoints have a dispatcher, or are getting a new one.
    #[must_use]
    pub fn seated(&self) -> usize {
        self.seats
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// The dispatcher of an endpoint.
    #[must_use]
    pub fn seat(&self, endpoint: EndpointKey) -> Option<Seat> {
        self.seats
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&endpoint)
            .cloned()
    }

    /// Seats a dispatcher, or takes the seat away.
    pub fn set_seat(&self, endpoint: EndpointKey, seat: Option<Seat>) {
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        match seat {
            Some(seat) => seats.insert(endpoint, seat),
            None => seats.remove(&endpoint),
        };
    }

    /// What is known of an endpoint's dispatcher; stays when it is replaced.
    #[must_use]
    pub fn cell(&self, endpoint: EndpointKey) -> Arc<EndpointCell> {
        let known = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = known.get(&endpoint) {
            return Arc::clone(cell);
        }
        drop(known);
        let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(endpoint).or_default())
    }

    /// The signs of life of an office; stay when its actor is replaced.
    #[must_use]
    pub fn vitals(&self, office: Office) -> Arc<Vitals> {
        let known = self.vitals.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(vitals) = known.get(&office) {
            return Arc::clone(vitals);
        }
        drop(known);
        let mut vitals = self.vitals.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(vitals.entry(office).or_default())
    }
}
