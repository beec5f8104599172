-- Who is signed in to the console; digest: SHA-256 of the cookie's text.
CREATE TABLE session (
  digest     TEXT PRIMARY KEY NOT NULL,
  account    INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_account ON session (account);
CREATE INDEX session_expiry ON session (expires_at);

-- What was changed by whom, secrets masked. store 0: the hub as a whole.
CREATE TABLE audit (
  seq     INTEGER PRIMARY KEY NOT NULL,
  store   INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  who     TEXT NOT NULL,
  action  TEXT NOT NULL,
  subject TEXT NOT NULL,
  was     TEXT,
  is_now  TEXT
) STRICT;
CREATE INDEX audit_store ON audit (store, seq);
