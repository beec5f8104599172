-- Who is signed in to the console; digest: SHA-256 of the cookie's text.
CREATE TABLE session (
  digest     TEXT PRIMARY KEY,
  account    BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX session_account ON session (account);
CREATE INDEX session_expiry ON session (expires_at);

-- What was changed by whom, secrets masked. store 0: the hub as a whole.
CREATE TABLE audit (
  seq     BIGINT PRIMARY KEY,
  store   BIGINT NOT NULL,
  at      BIGINT NOT NULL,
  who     TEXT NOT NULL,
  action  TEXT NOT NULL,
  subject TEXT NOT NULL,
  was     TEXT,
  is_now  TEXT
);
CREATE INDEX audit_store ON audit (store, seq);
