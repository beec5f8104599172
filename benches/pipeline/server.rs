//! A PostgreSQL server for the hub under test, on the disk that the embedded database would use, and what it costs.

use std::{fs, path::Path};

use crate::{cluster::Cluster, hub::cpu_ticks};

/// A server with its usual settings, `fsync` among them.
pub struct Server {
    cluster: Cluster,
    /// The hub's database.
    pub url: String,
}

impl Server {
    /// Starts one in a folder inside this one.
    pub fn start(folder: &Path) -> std::io::Result<Self> {
        let files = folder.join("postgres");
        fs::create_dir(&files)?;
        // The server may run as a user of its own, who has to come by here.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder, open)?;
        let cluster = Cluster::start_in(files, "shared_buffers=512MB max_wal_size=4GB");
        let url = cluster.database();
        Ok(Self { cluster, url })
    }

    /// The processor time of all its processes so far, in microseconds.
    pub fn cpu_us(&self) -> u64 {
        let file = self.cluster.folder.join("data/postmaster.pid");
        let Some(postmaster) = fs::read_to_string(file)
            .ok()
            .and_then(|text| text.lines().next()?.trim().parse::<u32>().ok())
        else {
            return 0;
        };
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.unwrap_or_default();
        let of_children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .map(|pid: u32| cpu_ticks(pid, 2));
        // The postmaster's own, with that of its children that ended.
        (cpu_ticks(postmaster, 4) + of_children.sum::<u64>()) * 1_000_000
            / crate::hub::TICKS_PER_SEC
    }
}
