-- What was erased at somebody's wish: the record that stays, without what it was about. kind: 0 an object, 1 a customer.
-- digest: of what was asked for. email, phase, position and at_kind, at_token: how far it has come, while it runs (a number, or
-- the name of the last object searched); the address goes at its end.
CREATE TABLE erasure (
  key        BIGINT PRIMARY KEY,
  store      BIGINT NOT NULL,
  kind       INTEGER NOT NULL,
  digest     BYTEA NOT NULL,
  who        TEXT NOT NULL,
  asked_at   BIGINT NOT NULL,
  done_at    BIGINT,
  email      TEXT,
  phase      INTEGER NOT NULL,
  position   BIGINT NOT NULL,
  at_kind    TEXT NOT NULL DEFAULT '',
  at_token   TEXT NOT NULL DEFAULT '',
  objects    BIGINT NOT NULL DEFAULT 0,
  messages   BIGINT NOT NULL DEFAULT 0,
  deliveries BIGINT NOT NULL DEFAULT 0,
  attempts   BIGINT NOT NULL DEFAULT 0,
  events     BIGINT NOT NULL DEFAULT 0,
  copies     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX erasure_store ON erasure (store, key);
CREATE INDEX erasure_open ON erasure (key) WHERE done_at IS NULL;
-- The same thing is erased by one erasure at a time.
CREATE UNIQUE INDEX erasure_running ON erasure (store, digest) WHERE done_at IS NULL;

-- What an erasure that runs has still to erase: an object, or with an empty kind a message by its number.
CREATE TABLE erasure_work (
  erasure BIGINT NOT NULL,
  kind    TEXT NOT NULL,
  token   TEXT NOT NULL,
  PRIMARY KEY (erasure, kind, token)
);

-- Empty. Something large is put in and taken out to see whether the disk has room again.
CREATE TABLE probe (
  key  BIGINT PRIMARY KEY,
  body BYTEA NOT NULL
);

-- An event that is erased is not counted on.
CREATE INDEX event_repeat_event ON event_repeat (event);
