//! Which nodes share the database, and what each of them serves: for operators.

use super::{Hub, poller, scheduler};
use crate::{
    db::{DbResult, NodeRow, NodeShare, ShardSet},
    domain::registry::Registry,
};

impl Hub {
    /// The nodes that live or died within a day, by name. On the embedded database that is this one, with everything.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn nodes(&self) -> DbResult<Vec<NodeRow>> {
        if !self.is_alone() {
            return self.backend().node_list().await;
        }
        let registry = self.registry();
        Ok(vec![NodeRow {
            name: format!("pid {}", std::process::id()),
            is_own: true,
            lives: true,
            silent: std::time::Duration::ZERO,
            share: everything(&registry),
        }])
    }
}

fn everything(registry: &Registry) -> NodeShare {
    NodeShare {
        routing_shards: ShardSet::ALL.len(),
        dispatchers: registry.endpoints.len(),
        pollers: poller::polled(registry).count(),
        schedules: scheduler::scheduled(registry).count(),
    }
}
