//! Where the actors of a node are, and how to wake them.
//!
//! Addresses change when actors are replaced, so nobody keeps another's: everyone asks the [`Directory`] at the moment of sending.
//! Routing finds the dispatchers it wakes here too, without a hop through the Overseer.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use actix::{Actor, Addr, Recipient};

use super::{
    bell::Bell,
    dispatcher::{Dispatcher, EndpointCell, Forget},
    intake::Intake,
    overseer::{Ensure, LookAfterPollers, MayRetire},
    poller::PollDoor,
    settler::Settler,
    vitals::{Office, Vitals},
};
use crate::domain::key::{DeliveryKey, EndpointKey, StoreKey};

/// Where an actor is now; empty while it is being replaced.
pub struct Post<A: Actor>(RwLock<Option<Addr<A>>>);

impl<A: Actor> Default for Post<A> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<A: Actor> Post<A> {
    /// The newest address.
    #[must_use]
    pub fn get(&self) -> Option<Addr<A>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts another actor here.
    pub fn set(&self, address: Option<Addr<A>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// A dispatcher that was started.
#[derive(Clone)]
pub struct Seat {
    /// Wakes it.
    pub bell: Bell,
    /// Where it is.
    pub address: Addr<Dispatcher>,
}

/// Where the node's actors are. Written by the Overseer (through `topology`), read by everyone.
#[derive(Default)]
pub struct Directory {
    /// Takes messages in.
    pub intake: Post<Intake>,
    /// Writes outcomes.
    pub settler: Post<Settler>,
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
        let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(endpoint).or_default())
    }

    /// The signs of life of an office; stay when its actor is replaced.
    #[must_use]
    pub fn vitals(&self, office: Office) -> Arc<Vitals> {
        let mut vitals = self.vitals.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(vitals.entry(office).or_default())
    }
}
