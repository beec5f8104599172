-- What is known of objects that are pushed or returned in the second dialect. digest: the first 16 bytes of raw's SHA-256.
-- raw comes last, so that reading the rest does not walk over it.
CREATE TABLE known_object (
  key        INTEGER PRIMARY KEY NOT NULL,
  store      INTEGER NOT NULL,
  kind       TEXT NOT NULL,
  token      TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  digest     BLOB NOT NULL,
  raw        TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX known_object_name ON known_object (store, kind, token);

-- The newest tick of each scheduler that was pushed: `tick` when it was due, `ran_at` when it was pushed, `missed` how many older ones
-- were not made up for since.
CREATE TABLE schedule_run (
  scheduler INTEGER PRIMARY KEY NOT NULL,
  store     INTEGER NOT NULL,
  tick      INTEGER NOT NULL,
  ran_at    INTEGER NOT NULL,
  missed    INTEGER NOT NULL
) STRICT;
