//! The registry: everything that is configured (stores, tokens, mappings, parameters, endpoints, integrations, schedulers, rules), whole in memory.
//!
//! Configuration is read at every step and written rarely, so it is kept as one immutable snapshot ([`Registry`]) that
//! is replaced when its version in the database moves on. Each configured thing is an [`Entity`], a row of one table
//! with a JSON body (`entity.rs`); a change bumps the registry's version in the same transaction, and every routing transaction
//! checks that version. Nothing here knows how rows are stored: [`Registry::apply`] takes them as they come.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    id::Id,
    integration::Integration,
    json::PayloadLimits,
    key::{
        AccountKey, EndpointKey, IntegrationKey, MappingKey, ParameterKey, RuleKey, SchedulerKey,
        StoreKey, TokenKey,
    },
    routing::Subscriptions,
    rule::{CompiledRule, Rule},
    scheduler::Scheduler,
    time::Micros,
};

pub use super::entity::{
    Account, Dialect, EndpointSettings, Entity, EntityRow, Mapping, MappingOptions, Parameter,
    Role, Scope, SigningSecrets, Store, Token,
};

/// A live entity with its key, id and dates.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<K, T> {
    /// Its key.
    pub key: K,
    /// Its public id.
    pub id: Id,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
    /// The thing itself.
    pub value: T,
}

/// Integrations by key, which is the order of creation.
pub type Integrations = BTreeMap<IntegrationKey, Entry<IntegrationKey, Integration>>;

/// Everything configured for one store. Maps are ordered by key, which is the order of creation.
#[derive(Debug, Clone)]
pub struct StoreSnapshot {
    /// The store itself.
    pub store: Entry<StoreKey, Store>,
    /// Its tokens.
    pub tokens: BTreeMap<TokenKey, Entry<TokenKey, Token>>,
    /// Its mappings.
    pub mappings: BTreeMap<MappingKey, Entry<MappingKey, Mapping>>,
    /// Names of mappings that were deleted, for old deliveries.
    pub former_mappings: BTreeMap<MappingKey, String>,
    /// Its parameters.
    pub parameters: BTreeMap<ParameterKey, Entry<ParameterKey, Parameter>>,
    /// Settings of its endpoints.
    pub endpoints: BTreeMap<EndpointKey, EndpointSettings>,
    /// Its own endpoint of each global integration it uses: the key of the settings row whose subject is the integration.
    pub shared_endpoints: BTreeMap<IntegrationKey, EndpointKey>,
    /// Its own integrations.
    pub integrations: Integrations,
    /// The integrations offered to every store; shared with [`Registry::globals`].
    pub globals: Arc<Integrations>,
    /// Its schedulers.
    pub schedulers: BTreeMap<SchedulerKey, Entry<SchedulerKey, Scheduler>>,
    /// Its rules.
    pub rules: BTreeMap<RuleKey, Entry<RuleKey, Rule>>,
    /// The enabled ones of its rules, ready for use. One that does not compile (only a database edited by hand has such) is left out.
    pub compiled_rules: Arc<Vec<CompiledRule>>,
    /// Its mappings, compiled for routing.
    pub subscriptions: Arc<Subscriptions>,
}

impl StoreSnapshot {
    fn new(store: Entry<StoreKey, Store>, globals: Arc<Integrations>) -> Self {
        Self {
            store,
            globals,
            tokens: BTreeMap::new(),
            mappings: BTreeMap::new(),
            former_mappings: BTreeMap::new(),
            parameters: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            shared_endpoints: BTreeMap::new(),
            integrations: BTreeMap::new(),
            schedulers: BTreeMap::new(),
            rules: BTreeMap::new(),
            compiled_rules: Arc::default(),
            subscriptions: Arc::default(),
        }
    }

    /// The endpoint that serves `mapping`: its integration, else itself. Of a global integration every store has an endpoint of its own, so that
    /// neither its backlog nor its pauses are another store's.
    #[must_use]
    pub fn endpoint_of(&self, mapping: &Entry<MappingKey, Mapping>) -> EndpointKey {
        match mapping.value.integration {
            None => mapping.key.into(),
            Some(key) if !self.globals.contains_key(&key) => key.into(),
            Some(key) => self
                .shared_endpoints
                .get(&key)
                .copied()
                .unwrap_or_else(|| mapping.key.into()),
        }
    }

    /// The integration of an endpoint; `None` for a mapping that stands alone.
    #[must_use]
    pub fn integration_of(
        &self,
        endpoint: EndpointKey,
    ) -> Option<&Entry<IntegrationKey, Integration>> {
        self.integrations
            .get(&IntegrationKey(endpoint.0))
            .or_else(|| {
                let mut shared = self.shared_endpoints.iter();
                let (key, _) = shared.find(|(_, own)| **own == endpoint)?;
                self.globals.get(key)
            })
    }

    /// An integration that its mappings may belong to: its own or a global one.
    #[must_use]
    pub fn integration(&self, key: IntegrationKey) -> Option<&Entry<IntegrationKey, Integration>> {
        self.integrations
            .get(&key)
            .or_else(|| self.globals.get(&key))
    }

    /// All integrations it can use, its own first.
    pub fn offered(&self) -> impl Iterator<Item = &Entry<IntegrationKey, Integration>> {
        self.integrations.values().chain(self.globals.values())
    }

    /// The secrets that sign a mapping's requests, the newest first: its own, else its integration's.
    #[must_use]
    pub fn signing_secrets_of<'a>(&'a self, mapping: &'a Mapping) -> &'a [String] {
        let integration = || self.integration(mapping.integration?);
        let of_integration = || integration()?.value.signing_secret.as_ref();
        let own = mapping.options.signing_secret.as_ref();
        own.or_else(of_integration)
            .map_or(&[][..], SigningSecrets::texts)
    }

    fn compile_rules(&self) -> Vec<CompiledRule> {
        self.rules
            .values()
            .filter(|entry| entry.value.enabled)
            .filter_map(|entry| entry.value.compile(PayloadLimits::default()).ok())
            .collect()
    }

    /// The name of a mapping, live or deleted; `None` when there never was one.
    #[must_use]
    pub fn mapping_name(&self, key: MappingKey) -> Option<&str> {
        self.mappings
            .get(&key)
            .map(|mapping| mapping.value.name.as_str())
            .or_else(|| self.former_mappings.get(&key).map(String::as_str))
    }

    /// The parameters a mapping sends, in its own order; those deleted meanwhile are left out.
    pub fn parameters_of<'a>(
        &'a self,
        mapping: &'a Mapping,
    ) -> impl Iterator<Item = &'a Parameter> {
        mapping
            .parameters
            .iter()
            .filter_map(|key| self.parameters.get(key))
            .map(|entry| &entry.value)
    }
}

/// Whom a request's token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The operator: everything.
    Operator,
    /// A store's token.
    Store {
        /// The store.
        store: StoreKey,
        /// The token.
        token: TokenKey,
    },
}

/// Everything configured, at one version. Cloning is cheap: stores are shared.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// The version of the newest row in it.
    pub version: i64,
    /// Live stores.
    pub stores: HashMap<StoreKey, Arc<StoreSnapshot>>,
    /// Digest of each live token (and the operator's) to whom it speaks for.
    pub principals: HashMap<String, Principal>,
    /// Every live store's endpoints and who they belong to.
    pub endpoints: HashMap<EndpointKey, StoreKey>,
    /// People who may sign in to the console.
    pub accounts: BTreeMap<AccountKey, Entry<AccountKey, Account>>,
    /// The key that signs links to objects' pages; `None` until the first link is made.
    pub link_key: Option<String>,
    /// Integrations of no store, offered to all.
    pub globals: Arc<Integrations>,
}

impl Registry {
    /// The registry after `rows`, the rows changed since [`Registry::version`] in any order. Stores not concerned stay shared
    /// with the former snapshot; those concerned have their subscriptions compiled anew.
    #[must_use]
    pub fn apply(&self, mut rows: Vec<EntityRow>, version: i64) -> Self {
        let mut next = self.clone();
        next.version = version;
        rows.sort_by_key(|row| row.key);
        let mut concerned: Vec<StoreKey> = Vec::new();
        for row in rows {
            next.apply_row(row, &mut concerned);
        }
        if !Arc::ptr_eq(&self.globals, &next.globals) {
            for store in next.stores.values_mut() {
                Arc::make_mut(store).globals = Arc::clone(&next.globals);
            }
        }
        concerned.sort_unstable();
        concerned.dedup();
        for key in concerned {
            if let Some(store) = next.stores.get_mut(&key) {
                let store = Arc::make_mut(store);
                store.subscriptions = Arc::new(Subscriptions::compile(store));
                store.compiled_rules = Arc::new(store.compile_rules());
            }
        }
        next.index();
        next
    }

    fn apply_row(&mut self, row: EntityRow, concerned: &mut Vec<StoreKey>) {
        let EntityRow {
            key,
            id,
            store,
            subject,
            entity,
            created_at,
            updated_at,
            deleted,
            ..
        } = row;
        macro_rules! entry {
            ($key:expr, $value:expr) => {
                Entry {
                    key: $key,
                    id,
                    created_at,
                    updated_at,
                    value: $value,
                }
            };
        }
        if let Entity::Operator { hash } = entity {
            self.principals
                .retain(|_, principal| *principal != Principal::Operator);
            if !deleted {
                self.principals.insert(hash, Principal::Operator);
            }
            return;
        }
        if let Entity::Account(value) = entity {
            let key = AccountKey(key);
            if deleted {
                self.accounts.remove(&key);
            } else {
                self.accounts.insert(key, entry!(key, value));
            }
            return;
        }
        if let (Entity::Integration(value), None) = (&entity, store) {
            let key = IntegrationKey(key);
            let globals = Arc::make_mut(&mut self.globals);
            if deleted {
                globals.remove(&key);
            } else {
                globals.insert(key, entry!(key, (**value).clone()));
            }
            return;
        }
        if let Entity::LinkKey { key } = entity {
            self.link_key = (!deleted).then_some(key);
            return;
        }
        if let Entity::Store(value) = entity {
            let store_key = StoreKey(key);
            if deleted {
                self.stores.remove(&store_key);
                return;
            }
            let entry = entry!(store_key, value);
            match self.stores.get_mut(&store_key) {
                Some(known) => Arc::make_mut(known).store = entry,
                None => {
                    let globals = Arc::clone(&self.globals);
                    self.stores
                        .insert(store_key, Arc::new(StoreSnapshot::new(entry, globals)));
                }
            }
            concerned.push(store_key);
            return;
        }
        let Some(store) = store.and_then(|key| self.stores.get_mut(&key)) else {
            return;
        };
        let store = Arc::make_mut(store);
        concerned.push(store.store.key);
        match entity {
            Entity::Token(value) if !deleted => {
                store
                    .tokens
                    .insert(TokenKey(key), entry!(TokenKey(key), value));
            }
            Entity::Token(_) => {
                store.tokens.remove(&TokenKey(key));
            }
            Entity::Mapping(value) if !deleted => {
                store
                    .mappings
                    .insert(MappingKey(key), entry!(MappingKey(key), value));
            }
            Entity::Mapping(value) => {
                store.mappings.remove(&MappingKey(key));
                store.former_mappings.insert(MappingKey(key), value.name);
            }
            Entity::Parameter(value) if !deleted => {
                store
                    .parameters
                    .insert(ParameterKey(key), entry!(ParameterKey(key), value));
            }
            Entity::Parameter(_) => {
                store.parameters.remove(&ParameterKey(key));
            }
            Entity::Endpoint(value) => {
                if let Some(subject) = subject {
                    let (own, shared) = (EndpointKey(key), IntegrationKey(subject));
                    if deleted {
                        store.endpoints.remove(&EndpointKey(subject));
                        store.shared_endpoints.remove(&shared);
                    } else {
                        store.endpoints.insert(EndpointKey(subject), value);
                        store.shared_endpoints.insert(shared, own);
                    }
                }
            }
            Entity::Integration(value) if !deleted => {
                let key = IntegrationKey(key);
                store.integrations.insert(key, entry!(key, *value));
            }
            Entity::Integration(_) => {
                store.integrations.remove(&IntegrationKey(key));
            }
            Entity::Scheduler(value) if !deleted => {
                let key = SchedulerKey(key);
                store.schedulers.insert(key, entry!(key, value));
            }
            Entity::Scheduler(_) => {
                store.schedulers.remove(&SchedulerKey(key));
            }
            Entity::Rule(value) if !deleted => {
                let key = RuleKey(key);
                store.rules.insert(key, entry!(key, value));
            }
            Entity::Rule(_) => {
                store.rules.remove(&RuleKey(key));
            }
            Entity::Store(_)
            | Entity::Operator { .. }
            | Entity::Account(_)
            | Entity::LinkKey { .. } => {}
        }
    }

    fn index(&mut self) {
        self.principals
            .retain(|_, principal| *principal == Principal::Operator);
        self.endpoints.clear();
        for store in self.stores.values() {
            for token in store.tokens.values() {
                let principal = Principal::Store {
                    store: store.store.key,
                    token: token.key,
                };
                self.principals.insert(token.value.hash.clone(), principal);
            }
            for mapping in store.mappings.values() {
                self.endpoints
                    .insert(store.endpoint_of(mapping), store.store.key);
            }
        }
    }

    /// The live store with this public id.
    #[must_use]
    pub fn store_by_id(&self, id: Id) -> Option<&Arc<StoreSnapshot>> {
        self.stores.values().find(|store| store.store.id == id)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/registry.rs"]
mod tests;
