//! A disk that is full or read-only, a database that is locked or damaged: told plainly, nothing lost, nothing overwritten.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use diesel::{Connection, connection::SimpleConnection, sqlite::SqliteConnection};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Hub, Setup, Sink, Store, eventually, order};

/// A small file system of its own, for those who may mount one (in a container, root).
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }

    fn remount(&self, how: &str) {
        let option = format!("remount,{how}");
        let done = Command::new("mount")
            .args(["-o", &option])
            .arg(self.0.path())
            .status();
        assert!(done.unwrap().success());
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since a hub that just died may not have let go of it yet.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn body(number: usize) -> Value {
    let mut order = order(&format!("R{number}"), "complete");
    order["note"] = json!("x".repeat(20_000));
    json!({"message": "order:new", "payload": {"order": order}})
}

/// Pushes until the hub refuses: how many were taken, and the refusal's status.
async fn push_until_refused(hub: &Hub, store: &Store) -> (usize, u16) {
    for number in 0..5_000 {
        let answer = hub
            .post(&store.token, &store.path("/messages"), &body(number))
            .await;
        if answer.status != 201 {
            assert!(
                answer.retry_after.is_some() || answer.status >= 500,
                "{}",
                answer.text
            );
            return (number, answer.status);
        }
    }
    panic!("the disk is never full")
}

async fn ready(hub: &Hub, wanted: u16) {
    eventually(&format!("/health/ready says {wanted}"), || async {
        (hub.get("", "/health/ready").await.status == wanted).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn on_a_full_disk_it_says_so_is_not_ready_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        return at_the_limit_of_a_files_size_it_says_so_and_loses_nothing().await;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 20 << 20]).unwrap();
    let mut hub = Hub::start_in(disk.path(), Setup::default()).await;
    let store = hub.store("shop").await;
    let (taken, status) = push_until_refused(&hub, &store).await;
    assert!(
        taken > 10 && status == 503,
        "{taken} were taken, then {status}"
    );
    ready(&hub, 503).await;
    assert_eq!(hub.get("", "/health/live").await.status, 200);
    assert!(hub.printed().contains("disk of the database is full"));
    std::fs::remove_file(ballast).unwrap();
    ready(&hub, 200).await;
    let again = hub
        .post(&store.token, &store.path("/messages"), &body(9_999))
        .await;
    assert_eq!(again.status, 201, "{}", again.text);
    let sink = Sink::taking_everything().await;
    all_are_there(&mut hub, &store, &sink, taken + 1).await;
}

/// Where nothing can be mounted: a limit on the size of files, which the hub meets as an error of the disk.
async fn at_the_limit_of_a_files_size_it_says_so_and_loses_nothing() {
    let mut hub = Hub::start_with(Setup::default().with_file_limit(3 << 20)).await;
    let store = hub.store("shop").await;
    let (taken, status) = push_until_refused(&hub, &store).await;
    assert!(
        taken > 10 && status == 503,
        "{taken} were taken, then {status}"
    );
    ready(&hub, 503).await;
    hub.lift_file_limit();
    let sink = Sink::taking_everything().await;
    all_are_there(&mut hub, &store, &sink, taken).await;
}

/// After another start, what was answered is delivered.
async fn all_are_there(hub: &mut Hub, store: &Store, sink: &Sink, answered: usize) {
    hub.kill();
    hub.launch().await;
    let stats = hub.get(&store.token, &store.path("/queues")).await.body;
    let kept = ["incoming", "archived"].map(|queue| stats[queue].as_u64().unwrap());
    assert_eq!(kept.iter().sum::<u64>(), answered as u64, "{stats}");
    hub.mapping(store, "a.b", &sink.url, json!({})).await;
    let payload = json!({"order": order("R-last", "complete")});
    hub.push(store, "order:new", payload).await;
    sink.wait("it works as ever", |all| all.len() == 1).await;
}

#[actix_web::test]
async fn a_read_only_disk_is_told_plainly_at_start() {
    let Some(disk) = SmallDisk::mount() else {
        // Nobody but root may mount, and nobody but root may write to what is read-only: so the folder's mode does it.
        return a_read_only_folder_is_told_plainly().await;
    };
    let mut hub = Hub::start_in(disk.path(), Setup::default()).await;
    hub.store("shop").await;
    hub.kill();
    disk.remount("ro");
    let before = std::fs::read(disk.path().join("hub.db")).unwrap();
    let (code, said) = hub.launch_in_vain().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("hub.db") && said.contains("ead-only"),
        "{said}"
    );
    assert_eq!(std::fs::read(disk.path().join("hub.db")).unwrap(), before);
    disk.remount("rw");
    hub.launch().await;
}

async fn a_read_only_folder_is_told_plainly() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mut hub = Hub::start_in(folder.path(), Setup::default()).await;
    hub.kill();
    let mode =
        |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode));
    mode(0o555).unwrap();
    std::fs::remove_file(folder.path().join("hub.db.lock")).ok();
    let file = folder.path().join("hub.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    let (code, said) = hub.launch_in_vain().await;
    mode(0o755).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("hub.db"), "{said}");
}

#[actix_web::test]
async fn while_another_process_holds_the_database_it_waits_says_so_and_goes_on() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let sink = Sink::taking_everything().await;
    hub.mapping(&store, "a.b", &sink.url, json!({})).await;
    let path = hub.folder().join("hub.db");
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let payload = json!({"message": "order:new", "payload": {"order": order("R1", "complete")}});
    let refused = hub
        .post(&store.token, &store.path("/messages"), &payload)
        .await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    ready(&hub, 503).await;
    // Reading goes on.
    assert_eq!(
        hub.get(&store.token, &store.path("/queues")).await.status,
        200
    );
    other.batch_execute("ROLLBACK").unwrap();
    ready(&hub, 200).await;
    let payload = json!({"order": order("R2", "complete")});
    hub.push(&store, "order:new", payload).await;
    let all = sink.wait("it goes on", |all| !all.is_empty()).await;
    assert_eq!(all[0].order(), "R2", "what was refused was not taken");
}

#[actix_web::test]
async fn a_damaged_file_is_told_plainly_and_left_as_it_is() {
    let mut hub = Hub::start().await;
    let store = hub.store("shop").await;
    for number in 0..20 {
        let payload = json!({"order": order(&format!("R{number}"), "complete")});
        hub.push(&store, "order:new", payload).await;
    }
    assert_eq!(hub.terminate().await, Some(0));
    let path = hub.folder().join("hub.db");
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[100..6_000].fill(0x5a);
    let cut = whole[..whole.len() / 2].to_vec();
    let letter = b"Dear Ann, this is no database. ".repeat(200);
    for wrong in [damaged, cut, letter] {
        std::fs::write(&path, &wrong).unwrap();
        let (code, said) = hub.launch_in_vain().await;
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("damaged") && said.contains("nothing was changed"),
            "{said}"
        );
        assert_eq!(
            std::fs::read(&path).unwrap(),
            wrong,
            "not one byte was written"
        );
    }
    std::fs::write(&path, &whole).unwrap();
    hub.launch().await;
    let stats = hub.get(&store.token, &store.path("/queues")).await.body;
    assert_eq!(stats["archived"], 20, "{stats}");
}
