-- Sealed codes: printed beforehand, each for one holder and good once; some of a set together are a way in.
CREATE TABLE code_sets (
    id BLOB PRIMARY KEY,
    needed INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
);
CREATE TABLE sealed_codes (
    hash BLOB PRIMARY KEY,
    set_id BLOB NOT NULL REFERENCES code_sets (id),
    holder TEXT NOT NULL,
    used_at INTEGER,
    used_by TEXT,
    UNIQUE (set_id, holder)
);
