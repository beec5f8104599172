//! Erasures: what is asked for, how far one has come, and the record that stays.

use crate::domain::{
    erasure::ErasureSubject,
    id::Id,
    key::{DeliveryKey, EndpointKey, ErasureKey, StoreKey},
    time::Micros,
};

/// What is to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewErasure {
    /// In this store.
    pub store: StoreKey,
    /// This.
    pub subject: ErasureSubject,
    /// Who asked for it: an account's name, or a token's.
    pub who: String,
}

/// How much was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErasedRows {
    /// Objects.
    pub objects: u64,
    /// Messages.
    pub messages: u64,
    /// Deliveries that waited and were archived.
    pub deliveries: u64,
    /// Attempts whose texts went.
    pub attempts: u64,
    /// Events.
    pub events: u64,
    /// Copies of objects: snapshots of a polled shop, known objects, documents set aside.
    pub copies: u64,
}

/// The record of an erasure: never what was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its key. Everything that is erased has a smaller one.
    pub key: ErasureKey,
    /// Its id.
    pub id: Id,
    /// The store.
    pub store: StoreKey,
    /// Whether it was a customer, not an object.
    pub is_customer: bool,
    /// [`ErasureSubject::digest`].
    pub digest: [u8; 16],
    /// Who asked for it.
    pub who: String,
    /// When.
    pub asked_at: Micros,
    /// When it was done; `None` while it runs.
    pub done_at: Option<Micros>,
    /// What was erased so far.
    pub rows: ErasedRows,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureStep {
    /// There is nothing to erase.
    Idle,
    /// Something was done; call again soon.
    Worked {
        /// Deliveries that waited and were archived, whose dispatchers may have read them already.
        archived: Vec<(EndpointKey, DeliveryKey)>,
    },
}
