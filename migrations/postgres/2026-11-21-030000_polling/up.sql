-- What is stored of objects of polled shops, one row an object. known: 0 listed, 1 listed and canceled, 2 whole, 3 erased.
-- updated_at is the shop's own text.
CREATE TABLE snapshot (
  store      BIGINT NOT NULL,
  noun       TEXT NOT NULL,
  token      TEXT NOT NULL,
  known      INTEGER NOT NULL,
  updated_at TEXT NOT NULL,
  digest     BYTEA,
  raw        TEXT,
  PRIMARY KEY (store, noun, token)
);

-- How far a collection was read. job: 0 the poll itself, else a backfill's key. mark: the newest time read, the shop's own.
CREATE TABLE poll_cursor (
  store  BIGINT NOT NULL,
  noun   TEXT NOT NULL,
  job    BIGINT NOT NULL,
  cursor TEXT NOT NULL,
  mark   BIGINT,
  done   BOOLEAN NOT NULL,
  PRIMARY KEY (store, noun, job)
);

-- Documents that could not be read, until they can be. lasting: looked at again only when they change.
CREATE TABLE set_aside (
  key         BIGINT PRIMARY KEY,
  store       BIGINT NOT NULL,
  noun        TEXT NOT NULL,
  token       TEXT NOT NULL,
  why         TEXT NOT NULL,
  lasting     BOOLEAN NOT NULL,
  occurrences BIGINT NOT NULL,
  first_at    BIGINT NOT NULL,
  last_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX set_aside_name ON set_aside (store, noun, token);
CREATE INDEX set_aside_store ON set_aside (store, key);

-- What a probe found out. settings: digest of the address, key and kind that it was made with; found: NULL when nothing was.
CREATE TABLE source_found (
  store     BIGINT PRIMARY KEY,
  settings  BYTEA NOT NULL,
  found     TEXT,
  report    TEXT NOT NULL,
  probed_at BIGINT NOT NULL
);

-- The heartbeat: of a collection by its name, of the shop as a whole with an empty one. state: 0 unknown, 1 up, 2 down.
CREATE TABLE pulse (
  store           BIGINT NOT NULL,
  name            TEXT NOT NULL,
  state           INTEGER NOT NULL,
  failures        BIGINT NOT NULL,
  since           BIGINT,
  last_success_at BIGINT,
  last_failure_at BIGINT,
  last_error      TEXT,
  PRIMARY KEY (store, name)
);

-- Polls of the past. state: 0 running, 1 done, 2 stopped.
CREATE TABLE backfill (
  key        BIGINT PRIMARY KEY,
  store      BIGINT NOT NULL,
  nouns      TEXT NOT NULL,
  since      BIGINT NOT NULL,
  per_minute BIGINT NOT NULL,
  state      INTEGER NOT NULL,
  documents  BIGINT NOT NULL,
  messages   BIGINT NOT NULL,
  requests   BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  ended_at   BIGINT
);
CREATE INDEX backfill_store ON backfill (store, key);

-- Webhooks that were taken, so that a redelivery is no second hint.
CREATE TABLE hook_event (
  store   BIGINT NOT NULL,
  event   BYTEA NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (store, event)
);
CREATE INDEX hook_event_age ON hook_event (seen_at);
