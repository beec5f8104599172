//! Opening the database: its folder, its lock, its settings, its tables. Nothing is ever overwritten.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use diesel::{
    Connection,
    connection::SimpleConnection,
    migration::MigrationSource,
    sqlite::{Sqlite, SqliteConnection},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{
    SqliteOptions,
    fault::{fault, named},
    statement::{Question, statements},
};
use crate::db::{DbError, DbResult};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Marks the file as the hub's own (SQLite's `application_id`): "IHub" in ASCII.
const APPLICATION_ID: i64 = 0x4948_7562;

/// Bytes of a page. Measured: with 4 KB each message fills a page of its own; with 16 KB a page with one new index entry
/// costs more to write than the better packing saves.
const PAGE_BYTES: u32 = 8192;

/// A log of so many pages is folded inside a commit: the net below `fold.rs`, which does it earlier and elsewhere.
const NET_PAGES: u32 = 16_000;

/// How long a connection waits for a lock that another process holds (a backup, a person's shell).
const BUSY_MILLIS: u32 = 5000;

/// The largest file that is written anew at start, in pages: 64 MB, which takes less than a second.
const SMALL_PAGES: i64 = 8192;

/// How often, and after which pause, folding the whole log is tried while somebody is in the way: SQLite does not wait for another fold.
const FOLD_TRIES: u32 = 500;
const FOLD_PAUSE: Duration = Duration::from_millis(10);

statements! {
    /// Folds the whole log and empties it: whether somebody was in the way, pages in the log, pages folded.
    FoldWhole {} -> (i64, i64, i64) = "PRAGMA wal_checkpoint(TRUNCATE)";
    /// Whether the file can shrink (2: in steps), and its pages.
    Shrinking {} -> (i64, i64) = "SELECT auto_vacuum, page_count FROM pragma_auto_vacuum, pragma_page_count";
    /// Who made this file.
    ApplicationId {} -> i64 = "SELECT application_id FROM pragma_application_id";
    /// How many tables there are.
    TableCount {} -> i64 = "SELECT count(*) FROM sqlite_schema";
}

/// Takes the lock that keeps a second process out, held until the file is dropped.
pub(super) fn lock(path: &Path) -> DbResult<File> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(|error| {
            DbError::Unavailable(format!(
                "the folder {} cannot be made: {error}",
                folder.display()
            ))
        })?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| {
            DbError::Unavailable(format!("{} cannot be written: {error}", name.display()))
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DbError::Refused(format!(
            "the database {} is in use by another running hub; stop that one, or give this one a database of its own",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(DbError::Unavailable(format!(
            "{} cannot be locked: {error}",
            name.display()
        ))),
    }
}

/// The writing connection, its tables made or brought up to date.
pub(super) fn open_writer(options: &SqliteOptions) -> DbResult<SqliteConnection> {
    let mut conn = connect(&options.path)?;
    refuse_strangers(&mut conn, &options.path)?;
    // The size of a page and the way to give pages back are set before the first table and stay; the rest is per connection
    // or kept in the file.
    conn.batch_execute(&format!(
        "PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA cache_size = -{kib}; PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = {NET_PAGES}; PRAGMA journal_size_limit = 67108864;",
        kib = options.writer_cache_kib,
    ))
    .map_err(|error| told(fault(error), &options.path))?;
    migrate(&mut conn, &options.path)?;
    learn_to_shrink(&mut conn).map_err(|error| told(error, &options.path))?;
    Ok(conn)
}

/// A file from before files gave pages back is written anew while it is small; a large one would take its size once more on the
/// disk, and its time, so that is left to whoever runs the hub.
fn learn_to_shrink(conn: &mut SqliteConnection) -> DbResult<()> {
    let Some((0, pages)) = (Shrinking {}).row(conn)? else {
        return Ok(());
    };
    if pages > SMALL_PAGES {
        log::info!(
            "the database's file keeps its size when old rows go: it is from an older version; see docs/operating.md"
        );
        return Ok(());
    }
    conn.batch_execute("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
        .map_err(fault)
}

/// A connection that only reads.
pub(super) fn open_reader(options: &SqliteOptions) -> DbResult<SqliteConnection> {
    let mut conn = connect(&options.path)?;
    conn.batch_execute(&format!(
        "PRAGMA query_only = ON; PRAGMA cache_size = -{kib}; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = {mmap};",
        kib = options.reader_cache_kib,
        mmap = options.mmap_bytes,
    ))
    .map_err(fault)?;
    Ok(conn)
}

/// The connection that folds the log into the file while others work.
pub(super) fn open_folder(options: &SqliteOptions) -> DbResult<SqliteConnection> {
    let mut conn = connect(&options.path)?;
    conn.batch_execute("PRAGMA synchronous = FULL; PRAGMA cache_size = -256;")
        .map_err(fault)?;
    Ok(conn)
}

/// Folds the log into the file, after whoever is folding it.
pub(super) fn fold(path: &Path) -> DbResult<()> {
    let mut conn = connect(path)?;
    for _ in 0..FOLD_TRIES {
        let folded = FoldWhole {}
            .row(&mut conn)
            .map_err(|error| told(error, path))?;
        if folded.is_none_or(|(hindered, ..)| hindered == 0) {
            break;
        }
        std::thread::sleep(FOLD_PAUSE);
    }
    Ok(())
}

fn connect(path: &Path) -> DbResult<SqliteConnection> {
    let text = path.to_str().ok_or_else(|| {
        DbError::Refused(format!("the path {} is not valid UTF-8", path.display()))
    })?;
    // Diesel reads a leading `file:` or `sqlite://` as an address; a path of ours is a path.
    let text = if path.is_absolute() {
        text.to_owned()
    } else {
        format!("./{text}")
    };
    let mut conn =
        SqliteConnection::establish(&text).map_err(|error| told(named(error.to_string()), path))?;
    conn.batch_execute(&format!("PRAGMA busy_timeout = {BUSY_MILLIS}"))
        .map_err(fault)?;
    Ok(conn)
}

/// Stops before anything is written to a file that is not ours.
fn refuse_strangers(conn: &mut SqliteConnection, path: &Path) -> DbResult<()> {
    let tables = TableCount {}
        .row(conn)
        .map_err(|error| told(error, path))?
        .unwrap_or(0);
    let made_by = ApplicationId {}
        .row(conn)
        .map_err(|error| told(error, path))?
        .unwrap_or(0);
    if tables > 0 && made_by != APPLICATION_ID {
        return Err(DbError::Refused(format!(
            "{} is a database of another program; nothing was changed",
            path.display()
        )));
    }
    Ok(())
}

fn migrate(conn: &mut SqliteConnection, path: &Path) -> DbResult<()> {
    let unexpected =
        |error: Box<dyn std::error::Error + Send + Sync>| told(named(error.to_string()), path);
    let known: Vec<String> = MigrationSource::<Sqlite>::migrations(&MIGRATIONS)
        .map_err(unexpected)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    let applied = conn.applied_migrations().map_err(unexpected)?;
    if applied
        .iter()
        .any(|version| !known.contains(&version.to_string()))
    {
        return Err(DbError::Refused(format!(
            "the database {} was written by a newer version of this program; use that one, or restore a backup",
            path.display()
        )));
    }
    conn.run_pending_migrations(MIGRATIONS)
        .map_err(unexpected)?;
    Ok(())
}

/// The error with the file's name in it.
fn told(error: DbError, path: &Path) -> DbError {
    let path = path.display();
    match error {
        DbError::Corrupt(text) => DbError::Corrupt(format!("{path}: {text}; nothing was changed")),
        DbError::Unavailable(text) => DbError::Unavailable(format!("{path}: {text}")),
        DbError::Internal(text) => DbError::Internal(format!("{path}: {text}")),
        other => other,
    }
}
