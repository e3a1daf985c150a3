-- Sealed codes: printed beforehand, each for one holder and good once; some of a set together are a way in.
CREATE TABLE code_sets (
    id BYTEA PRIMARY KEY,
    needed BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE TABLE sealed_codes (
    hash BYTEA PRIMARY KEY,
    set_id BYTEA NOT NULL REFERENCES code_sets (id),
    holder TEXT NOT NULL,
    used_at BIGINT,
    used_by TEXT,
    UNIQUE (set_id, holder)
);
