-- What is stored of objects of polled shops, one row an object. known: 0 listed, 1 listed and canceled, 2 whole, 3 erased.
-- updated_at is the shop's own text. raw comes last, so that reading the rest does not walk over it.
CREATE TABLE snapshot (
  key        INTEGER PRIMARY KEY NOT NULL,
  store      INTEGER NOT NULL,
  noun       TEXT NOT NULL,
  token      TEXT NOT NULL,
  known      INTEGER NOT NULL,
  updated_at TEXT NOT NULL,
  digest     BLOB,
  raw        TEXT
) STRICT;
CREATE UNIQUE INDEX snapshot_name ON snapshot (store, noun, token);

-- How far a collection was read. job: 0 the poll itself, else a backfill's key. mark: the newest time read, the shop's own.
CREATE TABLE poll_cursor (
  store  INTEGER NOT NULL,
  noun   TEXT NOT NULL,
  job    INTEGER NOT NULL,
  cursor TEXT NOT NULL,
  mark   INTEGER,
  done   INTEGER NOT NULL,
  PRIMARY KEY (store, noun, job)
) STRICT, WITHOUT ROWID;

-- Documents that could not be read, until they can be. lasting: looked at again only when they change.
CREATE TABLE set_aside (
  key         INTEGER PRIMARY KEY NOT NULL,
  store       INTEGER NOT NULL,
  noun        TEXT NOT NULL,
  token       TEXT NOT NULL,
  why         TEXT NOT NULL,
  lasting     INTEGER NOT NULL,
  occurrences INTEGER NOT NULL,
  first_at    INTEGER NOT NULL,
  last_at     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX set_aside_name ON set_aside (store, noun, token);
CREATE INDEX set_aside_store ON set_aside (store, key);

-- What a probe found out. settings: digest of the address, key and kind that it was made with; found: NULL when nothing was.
CREATE TABLE source_found (
  store     INTEGER PRIMARY KEY NOT NULL,
  settings  BLOB NOT NULL,
  found     TEXT,
  report    TEXT NOT NULL,
  probed_at INTEGER NOT NULL
) STRICT;

-- The heartbeat: of a collection by its name, of the shop as a whole with an empty one. state: 0 unknown, 1 up, 2 down.
CREATE TABLE pulse (
  store           INTEGER NOT NULL,
  name            TEXT NOT NULL,
  state           INTEGER NOT NULL,
  failures        INTEGER NOT NULL,
  since           INTEGER,
  last_success_at INTEGER,
  last_failure_at INTEGER,
  last_error      TEXT,
  PRIMARY KEY (store, name)
) STRICT, WITHOUT ROWID;

-- Polls of the past. state: 0 running, 1 done, 2 stopped.
CREATE TABLE backfill (
  key        INTEGER PRIMARY KEY NOT NULL,
  store      INTEGER NOT NULL,
  nouns      TEXT NOT NULL,
  since      INTEGER NOT NULL,
  per_minute INTEGER NOT NULL,
  state      INTEGER NOT NULL,
  documents  INTEGER NOT NULL,
  messages   INTEGER NOT NULL,
  requests   INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at   INTEGER
) STRICT;
CREATE INDEX backfill_store ON backfill (store, key);

-- Webhooks that were taken, so that a redelivery is no second hint.
CREATE TABLE hook_event (
  store   INTEGER NOT NULL,
  event   BLOB NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (store, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX hook_event_age ON hook_event (seen_at);
