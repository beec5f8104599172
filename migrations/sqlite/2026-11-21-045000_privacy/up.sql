-- What was erased at somebody's wish: the record that stays, without what it was about. kind: 0 an object, 1 a customer.
-- digest: of what was asked for. email, phase and position: how far it has come, while it runs; the address goes at its end.
CREATE TABLE erasure (
  key        INTEGER PRIMARY KEY NOT NULL,
  store      INTEGER NOT NULL,
  kind       INTEGER NOT NULL,
  digest     BLOB NOT NULL,
  who        TEXT NOT NULL,
  asked_at   INTEGER NOT NULL,
  done_at    INTEGER,
  email      TEXT,
  phase      INTEGER NOT NULL,
  position   INTEGER NOT NULL,
  objects    INTEGER NOT NULL DEFAULT 0,
  messages   INTEGER NOT NULL DEFAULT 0,
  deliveries INTEGER NOT NULL DEFAULT 0,
  attempts   INTEGER NOT NULL DEFAULT 0,
  events     INTEGER NOT NULL DEFAULT 0,
  copies     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX erasure_store ON erasure (store, key);
CREATE INDEX erasure_open ON erasure (key) WHERE done_at IS NULL;

-- What an erasure that runs has still to erase: an object, or with an empty kind a message by its number.
CREATE TABLE erasure_work (
  erasure INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  token   TEXT NOT NULL,
  PRIMARY KEY (erasure, kind, token)
) STRICT, WITHOUT ROWID;

-- Empty. Something large is put in and taken out to see whether the disk has room again.
CREATE TABLE probe (
  key  INTEGER PRIMARY KEY NOT NULL,
  body BLOB NOT NULL
) STRICT;
