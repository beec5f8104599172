//! What opening refuses, and that it leaves alone what it refuses; and what happens when the disk is full.

use diesel::{Connection, RunQueryDsl, connection::SimpleConnection, sqlite::SqliteConnection};

use super::{SqliteBackend, options};
use crate::{
    db::{Accepted, Backend, DbError, DbResult, EntityChange, conformance::cases::acceptance_of},
    domain::{
        key::StoreKey,
        registry::{Entity, Store},
        time::Micros,
    },
};

fn refused(outcome: DbResult<SqliteBackend>) -> DbError {
    match outcome {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_second_hub_is_refused_in_a_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let first = SqliteBackend::open(options(folder.path())).unwrap();
    let error = refused(SqliteBackend::open(options(folder.path())));
    assert!(
        matches!(&error, DbError::Refused(text) if text.contains("in use by another running hub")),
        "{error}"
    );
    drop(first);
    SqliteBackend::open(options(folder.path())).unwrap();
}

#[test]
fn a_missing_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    SqliteBackend::open(options(&folder.path().join("a/b"))).unwrap();
    assert!(folder.path().join("a/b/hub.db").exists());
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let letter = "Dear Ann, this is a letter. ".repeat(100);
    std::fs::write(&options.path, &letter).unwrap();
    let error = refused(SqliteBackend::open(options.clone()));
    assert!(
        matches!(&error, DbError::Corrupt(text) if text.contains("nothing was changed")),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&options.path).unwrap(), letter);
}

#[test]
fn another_programs_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let mut conn = SqliteConnection::establish(options.path.to_str().unwrap()).unwrap();
    conn.batch_execute("CREATE TABLE letters (body TEXT)")
        .unwrap();
    drop(conn);
    let before = std::fs::read(&options.path).unwrap();
    let error = refused(SqliteBackend::open(options.clone()));
    assert!(
        matches!(&error, DbError::Refused(text) if text.contains("another program")),
        "{error}"
    );
    assert_eq!(std::fs::read(&options.path).unwrap(), before);
}

#[test]
fn a_newer_versions_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    drop(SqliteBackend::open(options.clone()).unwrap());
    let mut conn = SqliteConnection::establish(options.path.to_str().unwrap()).unwrap();
    diesel::sql_query("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')")
        .execute(&mut conn)
        .unwrap();
    drop(conn);
    let error = refused(SqliteBackend::open(options));
    assert!(
        matches!(&error, DbError::Refused(text) if text.contains("newer version")),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_file_is_told_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    drop(SqliteBackend::open(options.clone()).unwrap());
    let mut bytes = std::fs::read(&options.path).unwrap();
    bytes[100..4000].fill(0x5a);
    std::fs::write(&options.path, &bytes).unwrap();
    let error = refused(SqliteBackend::open(options.clone()));
    assert!(matches!(&error, DbError::Corrupt(_)), "{error}");
    assert_eq!(std::fs::read(&options.path).unwrap(), bytes);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_answered_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let db = SqliteBackend::open(options(folder.path())).unwrap();
    // SQLite's own limit on pages gives the very error that a full disk gives.
    let limit = |pages: i64| {
        db.writer.write(0, move |session| {
            session
                .conn
                .batch_execute(&format!("PRAGMA max_page_count = {pages}"))
                .map_err(super::super::fault::fault)
        })
    };
    limit(80).await.unwrap();
    let mut answered = Vec::new();
    let error = loop {
        let push = acceptance_of(StoreKey(1), &format!("R{}", answered.len()), 2500);
        match db.incoming_insert(vec![push], Micros(0)).await {
            Ok(accepted) => answered.extend(accepted),
            Err(error) => break error,
        }
        assert!(answered.len() < 10_000, "the disk is never full");
    };
    assert!(matches!(error, DbError::Full), "{error}");
    assert!(error.is_transient() && !answered.is_empty());
    let ping = db.ping().await;
    assert!(
        matches!(ping, Err(DbError::Full)),
        "small changes find room, so a ping must try a large one: {ping:?}"
    );
    limit(1_000_000).await.unwrap();
    db.ping().await.unwrap();
    let after = db
        .incoming_insert(vec![acceptance_of(StoreKey(1), "R9999", 2500)], Micros(0))
        .await
        .unwrap();
    assert!(matches!(after[..], [Accepted::New { .. }]));
    drop(db);
    let db = SqliteBackend::open(options(folder.path())).unwrap();
    let waiting = db
        .incoming_waiting(20_000, Vec::new(), crate::db::ShardSet::ALL)
        .await
        .unwrap();
    let keys: Vec<_> = answered
        .iter()
        .chain(&after)
        .map(|one| match one {
            Accepted::New { key, .. } => *key,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        waiting
            .iter()
            .map(|incoming| incoming.message.key)
            .collect::<Vec<_>>(),
        keys
    );
}

#[tokio::test]
async fn a_command_that_panics_harms_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let db = SqliteBackend::open(options(folder.path())).unwrap();
    let bad = db.writer.write(1, |session| -> DbResult<()> {
        session.next();
        panic!("a defect")
    });
    let good = db.incoming_insert(vec![acceptance_of(StoreKey(1), "R1", 10)], Micros(0));
    let (bad, good) = futures_util::join!(bad, good);
    assert!(matches!(bad, Err(DbError::Internal(_))), "{bad:?}");
    assert!(matches!(good.unwrap()[..], [Accepted::New { .. }]));
    assert_eq!(
        db.incoming_waiting(9, Vec::new(), crate::db::ShardSet::ALL)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let db = SqliteBackend::open(options(folder.path())).unwrap();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let slow = db.writer.write(0, move |_| {
        // Until everything else waits; ends at once should the other side be gone.
        let _ = held.recv();
        Ok(())
    });
    let pushes = (0..50).map(|n| {
        db.incoming_insert(
            vec![acceptance_of(StoreKey(1), &format!("R{n}"), 10)],
            Micros(0),
        )
    });
    let pushes = futures_util::future::join_all(pushes);
    let release = async {
        // The others were polled before this one, so each has put its command into the channel.
        hold.send(()).unwrap();
    };
    let (slow, pushes, ()) = futures_util::join!(slow, pushes, release);
    slow.unwrap();
    assert_eq!(pushes.len(), 50);
    let commits = db
        .writer
        .write(0, |session| Ok(session.commits))
        .await
        .unwrap();
    assert!(
        commits <= 2,
        "one for the slow command, one for all that waited behind it, but {commits}"
    );
}

#[tokio::test]
async fn once_folded_the_file_alone_is_the_whole_database() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(options(folder.path())).unwrap();
    let store = Store {
        name: "shop".into(),
        api_url: None,
        api_key: None,
        source: None,
        version: None,
        webhook_secret: None,
    };
    let create = EntityChange::Create {
        store: None,
        subject: None,
        entity: Entity::Store(store),
    };
    backend
        .registry_change(vec![create], Micros(0))
        .await
        .unwrap();
    backend.fold().unwrap();
    std::fs::copy(folder.path().join("hub.db"), copy.path().join("hub.db")).unwrap();
    let copied = SqliteBackend::open(options(copy.path())).unwrap();
    assert_eq!(copied.registry_changes(0).await.unwrap().rows.len(), 1);
}

/// `.cargo/config.toml` names the options; without them everything works, at twice the cost.
#[test]
fn sqlite_is_built_without_what_nobody_needs() {
    #[derive(diesel::QueryableByName)]
    struct Option {
        #[diesel(sql_type = diesel::sql_types::Text)]
        compile_options: String,
    }
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    let options: Vec<Option> =
        diesel::sql_query("SELECT compile_options FROM pragma_compile_options")
            .load(&mut conn)
            .unwrap();
    let has = |name: &str| options.iter().any(|one| one.compile_options == name);
    assert!(has("THREADSAFE=2") && has("DEFAULT_MEMSTATUS=0"));
    assert!(!has("ENABLE_MEMORY_MANAGEMENT") && !has("ENABLE_API_ARMOR"));
}
