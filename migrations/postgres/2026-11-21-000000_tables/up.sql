-- The tables on PostgreSQL; docs/postgres.md says why they are as they are. They move together with migrations/sqlite.
-- Times are microseconds since the epoch. Every `seq` and `key` is drawn from the one sequence `number`.
--
-- `day` is days since the epoch, of the time a row's id was made from: whoever has an id has the partition. Days are
-- made ahead and dropped by the hub (src/db/postgres/partition.rs); a default partition catches a jumping clock.
-- Every primary key begins with the store, where there is one, so that the tables can be distributed by store.

CREATE SEQUENCE number AS BIGINT MINVALUE 1;

-- 'seal' (the key of the ids' permutation), 'registry_version'.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BIGINT NOT NULL
);
-- 64 bits of a random UUID's digest.
INSERT INTO meta (name, value) VALUES
  ('seal', (('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64))::bigint),
  ('registry_version', 0);

-- Everything configured. A store's own row names itself as its store; the operator's has store 0.
CREATE TABLE registry (
  key        BIGINT PRIMARY KEY,
  kind       TEXT NOT NULL,
  store      BIGINT NOT NULL,
  subject    BIGINT,
  name       TEXT,
  body       TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted    BOOLEAN NOT NULL DEFAULT FALSE,
  version    BIGINT NOT NULL
);
CREATE UNIQUE INDEX registry_name ON registry (kind, store, name) WHERE name IS NOT NULL AND NOT deleted;
CREATE UNIQUE INDEX registry_subject ON registry (kind, store, subject) WHERE subject IS NOT NULL AND NOT deleted;
CREATE INDEX registry_version ON registry (version);
CREATE INDEX registry_store ON registry (store, kind);

-- The nodes of the cluster. beat_at is by the database's clock; a node whose beat is too old is dead to the others.
CREATE TABLE node (
  key       BIGINT PRIMARY KEY,
  name      TEXT NOT NULL,
  beat_at   BIGINT NOT NULL,
  leaves    BOOLEAN NOT NULL DEFAULT FALSE
) WITH (fillfactor = 50);

-- Who owns what: the node (NULL: nobody) and the epoch of its lease.
CREATE TABLE owner (
  kind  INTEGER NOT NULL,
  key   BIGINT NOT NULL,
  node  BIGINT,
  epoch BIGINT NOT NULL,
  PRIMARY KEY (kind, key)
) WITH (fillfactor = 70);

-- Each message once, whatever its fan-out. parent_made: when the parent was made, from which its id follows.
CREATE TABLE message (
  store        BIGINT NOT NULL,
  seq          BIGINT NOT NULL,
  day          INTEGER NOT NULL,
  depth        INTEGER NOT NULL,
  accepted_at  BIGINT NOT NULL,
  parent       BIGINT,
  parent_made  BIGINT,
  root         BIGINT,
  test         BOOLEAN NOT NULL,
  kind         TEXT NOT NULL,
  object_type  TEXT,
  object_token TEXT,
  source_kind  TEXT NOT NULL,
  source_name  TEXT NOT NULL,
  extra        TEXT,
  payload      TEXT NOT NULL,
  PRIMARY KEY (store, seq, day)
) PARTITION BY RANGE (day);
CREATE TABLE message_default PARTITION OF message DEFAULT;
CREATE INDEX message_parent ON message (parent) WHERE parent IS NOT NULL;

-- Which messages show which object on its timeline.
CREATE TABLE object_message (
  object_hash BIGINT NOT NULL,
  message     BIGINT NOT NULL,
  day         INTEGER NOT NULL,
  PRIMARY KEY (object_hash, message, day)
) PARTITION BY RANGE (day);
CREATE TABLE object_message_default PARTITION OF object_message DEFAULT;

-- The message types each store has had; `key` stands for (store, kind) in incoming, accepted and archived.
CREATE TABLE message_type (
  key   BIGINT PRIMARY KEY,
  store BIGINT NOT NULL,
  kind  TEXT NOT NULL,
  UNIQUE (store, kind)
);

-- Accepted, not yet (wholly) routed. shard: 0 to 63, by store and lane object, or by number without one.
CREATE TABLE incoming (
  store        BIGINT NOT NULL,
  seq          BIGINT NOT NULL,
  kind         BIGINT NOT NULL,
  accepted_at  BIGINT NOT NULL,
  routed_up_to BIGINT,
  shard        SMALLINT NOT NULL,
  PRIMARY KEY (store, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Who got a message and who did not, a row per message or chunk (part). day: the message's.
CREATE TABLE routing (
  message BIGINT NOT NULL,
  day     INTEGER NOT NULL,
  part    INTEGER NOT NULL,
  body    TEXT NOT NULL,
  PRIMARY KEY (message, part, day)
) PARTITION BY RANGE (day);
CREATE TABLE routing_default PARTITION OF routing DEFAULT;

-- Deliveries that wait. state: 0 pending, 1 failing, 2 scheduled (these hold their lane), 3 parked, 4 held.
-- head: no earlier row holds its lane. pos: its place in the lane; seq, or a later number after a release.
-- made_at: when its message was accepted, which says where that is stored.
CREATE TABLE accepted (
  store        BIGINT NOT NULL,
  seq          BIGINT NOT NULL,
  endpoint     BIGINT NOT NULL,
  mapping      BIGINT NOT NULL,
  kind         BIGINT NOT NULL,
  message      BIGINT NOT NULL,
  made_at      BIGINT NOT NULL,
  lane         BIGINT,
  pos          BIGINT NOT NULL,
  due_at       BIGINT NOT NULL,
  since        BIGINT NOT NULL,
  created_at   BIGINT NOT NULL,
  attempted_at BIGINT,
  replay_of    BIGINT,
  state        INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  failures     INTEGER NOT NULL,
  head         BOOLEAN NOT NULL,
  claim        BYTEA,
  last_error   TEXT,
  asynchronous TEXT,
  PRIMARY KEY (store, seq)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX accepted_due ON accepted (endpoint, due_at, pos) WHERE head;
CREATE INDEX accepted_lane ON accepted (endpoint, lane, pos) WHERE lane IS NOT NULL AND state < 3;
CREATE INDEX accepted_state ON accepted (store, state, seq) WHERE state <> 0;

-- Deliveries that are done, and messages nobody wanted (mapping NULL, the message's own number as seq).
-- day: of created_at.
CREATE TABLE archived (
  store        BIGINT NOT NULL,
  seq          BIGINT NOT NULL,
  day          INTEGER NOT NULL,
  reason       INTEGER NOT NULL,
  endpoint     BIGINT,
  mapping      BIGINT,
  kind         BIGINT NOT NULL,
  message      BIGINT NOT NULL,
  made_at      BIGINT NOT NULL,
  created_at   BIGINT NOT NULL,
  attempted_at BIGINT,
  completed_at BIGINT NOT NULL,
  replay_of    BIGINT,
  attempts     INTEGER NOT NULL,
  last_error   TEXT,
  result       TEXT,
  PRIMARY KEY (store, seq, day)
) PARTITION BY RANGE (day);
CREATE TABLE archived_default PARTITION OF archived DEFAULT;
CREATE INDEX archived_mapping ON archived (mapping, seq) WHERE mapping IS NOT NULL;
CREATE INDEX archived_kind ON archived (kind, seq);
CREATE INDEX archived_reason ON archived (store, reason, seq) WHERE reason <> 0;

-- Every attempt. day: of the delivery's created_at.
CREATE TABLE attempt (
  store           BIGINT NOT NULL,
  delivery        BIGINT NOT NULL,
  number          INTEGER NOT NULL,
  day             INTEGER NOT NULL,
  started_at      BIGINT NOT NULL,
  duration_us     BIGINT NOT NULL,
  request_bytes   BIGINT NOT NULL,
  answer_bytes    BIGINT NOT NULL,
  status          INTEGER,
  url             TEXT NOT NULL,
  outcome         TEXT NOT NULL,
  error           TEXT NOT NULL,
  request_headers TEXT NOT NULL,
  answer_headers  TEXT NOT NULL,
  answer_body     TEXT NOT NULL,
  PRIMARY KEY (store, delivery, number, day)
) PARTITION BY RANGE (day);
CREATE TABLE attempt_default PARTITION OF attempt DEFAULT;

-- Log entries for people. arose_at: when the message or delivery it arose from was made (its id follows from it).
-- day: of first_at.
CREATE TABLE event (
  store       BIGINT NOT NULL,
  seq         BIGINT NOT NULL,
  day         INTEGER NOT NULL,
  level       INTEGER NOT NULL,
  message     BIGINT,
  delivery    BIGINT,
  arose_at    BIGINT,
  occurrences BIGINT NOT NULL,
  first_at    BIGINT NOT NULL,
  last_at     BIGINT NOT NULL,
  subject     TEXT NOT NULL,
  description TEXT NOT NULL,
  ref_type    TEXT,
  ref_token   TEXT,
  ref_fold    TEXT,
  origin      TEXT NOT NULL,
  attributes  TEXT,
  PRIMARY KEY (store, seq, day)
) PARTITION BY RANGE (day);
CREATE TABLE event_default PARTITION OF event DEFAULT;
CREATE INDEX event_level ON event (store, level, seq);
CREATE INDEX event_reference ON event (store, ref_fold, seq) WHERE ref_fold IS NOT NULL;
CREATE INDEX event_message ON event (message, seq) WHERE message IS NOT NULL;
CREATE INDEX event_delivery ON event (delivery, seq) WHERE delivery IS NOT NULL;

-- What is counted instead of repeated: the digest of an event's words, and the event that counts.
-- It stands apart, because a unique index on a partitioned table cannot span days.
CREATE TABLE event_repeat (
  dedupe BYTEA PRIMARY KEY,
  store  BIGINT NOT NULL,
  event  BIGINT NOT NULL,
  day    INTEGER NOT NULL
);
CREATE INDEX event_repeat_expiry ON event_repeat (day);

-- What a mapping took, so that it takes it once.
CREATE TABLE claim (
  mapping    BIGINT NOT NULL,
  key        BYTEA NOT NULL,
  delivery   BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (mapping, key)
);
CREATE INDEX claim_expiry ON claim (expires_at);

-- Keys that pushers gave their requests.
CREATE TABLE idempotency (
  token       BIGINT NOT NULL,
  key         BYTEA NOT NULL,
  body        BYTEA NOT NULL,
  message     BIGINT NOT NULL,
  accepted_at BIGINT NOT NULL,
  expires_at  BIGINT NOT NULL,
  PRIMARY KEY (token, key)
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- How many rows each queue and state of a store has, summed over writers when read, so that no row serialises the nodes.
-- place: 0 to 4 accepted by state, 5 incoming, 6 archived. writer: a connection's number modulo 32.
CREATE TABLE queue_count (
  store  BIGINT NOT NULL,
  place  INTEGER NOT NULL,
  writer INTEGER NOT NULL,
  n      BIGINT NOT NULL,
  PRIMARY KEY (store, place, writer)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What loops are noticed by: descendants of a root (day: when it was last added to), and messages with a parent per
-- object and type in an hour.
CREATE TABLE lineage (
  root        BIGINT PRIMARY KEY,
  descendants BIGINT NOT NULL,
  day         INTEGER NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX lineage_expiry ON lineage (day);
CREATE TABLE repetition (
  hour BIGINT NOT NULL,
  hash BIGINT NOT NULL,
  n    BIGINT NOT NULL,
  PRIMARY KEY (hour, hash)
) WITH (fillfactor = 70);
