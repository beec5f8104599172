-- Stored jobs. kind: 0 retry, 1 archive, 2 replay. state: 0 waiting, 1 running, 2 stopped, 3 done, 4 failed.
-- chosen: which rows, JSON. cursor: the key of the last row dealt with, moved in the transaction that dealt with it.
-- next_at: no step before this; the end of the undo window at first.
CREATE TABLE job (
  key        INTEGER PRIMARY KEY NOT NULL,
  store      INTEGER NOT NULL,
  kind       INTEGER NOT NULL,
  state      INTEGER NOT NULL,
  cursor     INTEGER NOT NULL,
  next_at    INTEGER NOT NULL,
  done       INTEGER NOT NULL,
  skipped    INTEGER NOT NULL,
  count      INTEGER NOT NULL,
  per_sec    INTEGER NOT NULL,
  who        TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  begins_at  INTEGER NOT NULL,
  began_at   INTEGER,
  ended_at   INTEGER,
  error      TEXT,
  asked      TEXT NOT NULL,
  chosen     TEXT NOT NULL
) STRICT;
CREATE INDEX job_store ON job (store, key);
CREATE INDEX job_open ON job (key) WHERE state < 2;

-- Which deliveries a job touched; for a replay the new ones.
CREATE TABLE job_mark (
  delivery INTEGER NOT NULL,
  job      INTEGER NOT NULL,
  PRIMARY KEY (delivery, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_mark_job ON job_mark (job, delivery);
