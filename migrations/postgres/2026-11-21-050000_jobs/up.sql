-- Stored jobs. kind: 0 retry, 1 archive, 2 replay. state: 0 waiting, 1 running, 2 stopped, 3 done, 4 failed.
-- chosen: which rows, JSON. cursor: the key of the last row dealt with, moved in the transaction that dealt with it.
-- next_at: no step before this; the end of the undo window at first.
CREATE TABLE job (
  key        BIGINT PRIMARY KEY,
  store      BIGINT NOT NULL,
  kind       INTEGER NOT NULL,
  state      INTEGER NOT NULL,
  cursor     BIGINT NOT NULL,
  next_at    BIGINT NOT NULL,
  done       BIGINT NOT NULL,
  skipped    BIGINT NOT NULL,
  count      BIGINT NOT NULL,
  per_sec    BIGINT NOT NULL,
  who        TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  begins_at  BIGINT NOT NULL,
  began_at   BIGINT,
  ended_at   BIGINT,
  error      TEXT,
  asked      TEXT NOT NULL,
  chosen     TEXT NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX job_store ON job (store, key);
CREATE INDEX job_open ON job (key) WHERE state < 2;

-- Which deliveries a job touched; for a replay the new ones.
CREATE TABLE job_mark (
  delivery BIGINT NOT NULL,
  job      BIGINT NOT NULL,
  PRIMARY KEY (delivery, job)
);
CREATE INDEX job_mark_job ON job_mark (job, delivery);
