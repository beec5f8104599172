-- What is known of objects that are pushed or returned in the second dialect. digest: the first 16 bytes of raw's SHA-256.
-- An empty raw holds the place of an object whose news is being taken in.
CREATE TABLE known_object (
  store      BIGINT NOT NULL,
  kind       TEXT NOT NULL,
  token      TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  digest     BYTEA NOT NULL,
  raw        TEXT NOT NULL,
  PRIMARY KEY (store, kind, token)
);

-- The newest tick of each scheduler that was pushed: `tick` when it was due, `ran_at` when it was pushed, `missed` how many older ones
-- were not made up for since.
CREATE TABLE schedule_run (
  scheduler BIGINT PRIMARY KEY,
  store     BIGINT NOT NULL,
  tick      BIGINT NOT NULL,
  ran_at    BIGINT NOT NULL,
  missed    BIGINT NOT NULL
);
