-- The tables of the embedded database; docs/database.md says why they are as they are.
-- Times are microseconds since the epoch. Every `seq` and `key` is drawn from the one sequence in `meta`.

-- 'seal' (the key of the ids' permutation), 'sequence' (the last number given out), 'registry_version'.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY NOT NULL,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('seal', random()), ('sequence', 0), ('registry_version', 0);

-- Everything configured. A store's own row names itself as its store; the operator's has store 0.
CREATE TABLE registry (
  key        INTEGER PRIMARY KEY NOT NULL,
  kind       TEXT NOT NULL,
  store      INTEGER NOT NULL,
  subject    INTEGER,
  name       TEXT,
  body       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted    INTEGER NOT NULL DEFAULT 0,
  version    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX registry_name ON registry (kind, store, name) WHERE name IS NOT NULL AND deleted = 0;
CREATE UNIQUE INDEX registry_subject ON registry (kind, store, subject) WHERE subject IS NOT NULL AND deleted = 0;
CREATE INDEX registry_version ON registry (version);
CREATE INDEX registry_store ON registry (store, kind);

-- The epoch of each owner's lease.
CREATE TABLE owner (
  kind  INTEGER NOT NULL,
  key   INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- Each message once, whatever its fan-out. parent_made: the second the parent was made, from which its id follows.
-- The payload comes last, so that reading the rest does not walk over it.
CREATE TABLE message (
  seq          INTEGER PRIMARY KEY NOT NULL,
  store        INTEGER NOT NULL,
  kind         TEXT NOT NULL,
  object_type  TEXT,
  object_token TEXT,
  source_kind  TEXT NOT NULL,
  source_name  TEXT NOT NULL,
  parent       INTEGER,
  parent_made  INTEGER,
  root         INTEGER,
  depth        INTEGER NOT NULL,
  test         INTEGER NOT NULL,
  accepted_at  INTEGER NOT NULL,
  extra        TEXT,
  payload      TEXT NOT NULL
) STRICT;
CREATE INDEX message_parent ON message (parent) WHERE parent IS NOT NULL;

-- Which messages show which object on its timeline. `bucket` is message >> 16: new entries, whose hashes are random,
-- fall into the few pages of the newest bucket; a timeline asks bucket by bucket, newest first.
CREATE TABLE object_message (
  bucket      INTEGER NOT NULL,
  object_hash INTEGER NOT NULL,
  message     INTEGER NOT NULL,
  PRIMARY KEY (bucket, object_hash, message)
) STRICT, WITHOUT ROWID;

-- The message types each store has had; `key` stands for (store, kind) in accepted and archived.
CREATE TABLE message_type (
  key   INTEGER PRIMARY KEY NOT NULL,
  store INTEGER NOT NULL,
  kind  TEXT NOT NULL,
  UNIQUE (store, kind)
) STRICT;

-- Accepted, not yet (wholly) routed.
CREATE TABLE incoming (
  store        INTEGER NOT NULL,
  seq          INTEGER NOT NULL,
  kind         INTEGER NOT NULL,
  accepted_at  INTEGER NOT NULL,
  routed_up_to INTEGER,
  PRIMARY KEY (store, seq)
) STRICT, WITHOUT ROWID;

-- Who got a message and who did not, a row per message or chunk: key = message * 65536 + part.
CREATE TABLE routing (
  key  INTEGER PRIMARY KEY NOT NULL,
  body TEXT NOT NULL
) STRICT;

-- Deliveries that wait. state: 0 pending, 1 failing, 2 scheduled (these hold their lane), 3 parked, 4 held.
-- head: no earlier row holds its lane. pos: its place in the lane; seq, or a later number after a release.
CREATE TABLE accepted (
  store        INTEGER NOT NULL,
  seq          INTEGER NOT NULL,
  endpoint     INTEGER NOT NULL,
  mapping      INTEGER NOT NULL,
  kind         INTEGER NOT NULL,
  message      INTEGER NOT NULL,
  lane         INTEGER,
  pos          INTEGER NOT NULL,
  head         INTEGER NOT NULL,
  state        INTEGER NOT NULL,
  due_at       INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  failures     INTEGER NOT NULL,
  since        INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  attempted_at INTEGER,
  claim        BLOB,
  replay_of    INTEGER,
  last_error   TEXT,
  asynchronous TEXT,
  PRIMARY KEY (store, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX accepted_due ON accepted (endpoint, due_at, pos) WHERE head = 1;
CREATE INDEX accepted_lane ON accepted (endpoint, lane, pos) WHERE lane IS NOT NULL AND state < 3;
CREATE INDEX accepted_state ON accepted (store, state, seq) WHERE state <> 0;

-- Deliveries that are done, and messages nobody wanted (mapping NULL, the message's own number as seq).
CREATE TABLE archived (
  store        INTEGER NOT NULL,
  seq          INTEGER NOT NULL,
  endpoint     INTEGER,
  mapping      INTEGER,
  kind         INTEGER NOT NULL,
  message      INTEGER NOT NULL,
  reason       INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  attempted_at INTEGER,
  completed_at INTEGER NOT NULL,
  replay_of    INTEGER,
  last_error   TEXT,
  result       TEXT,
  PRIMARY KEY (store, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX archived_mapping ON archived (mapping, seq) WHERE mapping IS NOT NULL;
CREATE INDEX archived_kind ON archived (kind, seq);
CREATE INDEX archived_reason ON archived (store, reason, seq) WHERE reason <> 0;

-- Every attempt: key = delivery * 65536 + number.
CREATE TABLE attempt (
  key             INTEGER PRIMARY KEY NOT NULL,
  started_at      INTEGER NOT NULL,
  duration_us     INTEGER NOT NULL,
  url             TEXT NOT NULL,
  status          INTEGER,
  outcome         TEXT NOT NULL,
  error           TEXT NOT NULL,
  request_headers TEXT NOT NULL,
  request_bytes   INTEGER NOT NULL,
  answer_headers  TEXT NOT NULL,
  answer_body     TEXT NOT NULL,
  answer_bytes    INTEGER NOT NULL
) STRICT;

-- Log entries for people. arose_at: when the message or delivery it arose from was made (its id follows from it).
-- dedupe: digest of what is counted instead of repeated; NULL is never a repeat.
CREATE TABLE event (
  seq         INTEGER PRIMARY KEY NOT NULL,
  store       INTEGER NOT NULL,
  level       INTEGER NOT NULL,
  subject     TEXT NOT NULL,
  description TEXT NOT NULL,
  ref_type    TEXT,
  ref_token   TEXT,
  ref_fold    TEXT,
  message     INTEGER,
  delivery    INTEGER,
  arose_at    INTEGER,
  origin      TEXT NOT NULL,
  attributes  TEXT,
  occurrences INTEGER NOT NULL,
  first_at    INTEGER NOT NULL,
  last_at     INTEGER NOT NULL,
  dedupe      BLOB
) STRICT;
CREATE UNIQUE INDEX event_dedupe ON event (dedupe) WHERE dedupe IS NOT NULL;
CREATE INDEX event_store ON event (store, seq);
CREATE INDEX event_level ON event (store, level, seq);
CREATE INDEX event_reference ON event (store, ref_fold, seq) WHERE ref_fold IS NOT NULL;
CREATE INDEX event_message ON event (message, seq) WHERE message IS NOT NULL;
CREATE INDEX event_delivery ON event (delivery, seq) WHERE delivery IS NOT NULL;

-- What a mapping took, so that it takes it once.
CREATE TABLE claim (
  mapping    INTEGER NOT NULL,
  key        BLOB NOT NULL,
  delivery   INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (mapping, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX claim_expiry ON claim (expires_at);

-- Keys that pushers gave their requests.
CREATE TABLE idempotency (
  token       INTEGER NOT NULL,
  key         BLOB NOT NULL,
  body        BLOB NOT NULL,
  message     INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  PRIMARY KEY (token, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- How many rows each queue and state of a store has. place: 0 to 4 accepted by state, 5 incoming, 6 archived.
CREATE TABLE queue_count (
  store INTEGER NOT NULL,
  place INTEGER NOT NULL,
  n     INTEGER NOT NULL,
  PRIMARY KEY (store, place)
) STRICT, WITHOUT ROWID;

-- What loops are noticed by: descendants of a root, and messages with a parent per object and type in an hour.
CREATE TABLE lineage (
  root        INTEGER PRIMARY KEY NOT NULL,
  descendants INTEGER NOT NULL
) STRICT;
CREATE TABLE repetition (
  hour INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  n    INTEGER NOT NULL,
  PRIMARY KEY (hour, hash)
) STRICT, WITHOUT ROWID;
