-- What the gateway remembers. Times are microseconds since 1970 UTC, ids 16 bytes, JSON is text.

CREATE TABLE users (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    folded_name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('builtin', 'oidc', 'service')),
    issuer TEXT,
    subject TEXT,
    group_names TEXT NOT NULL,
    locked INTEGER NOT NULL DEFAULT 0,
    password_hash TEXT,
    totp_secret BLOB,
    totp_last_step INTEGER,
    pending_totp BLOB,
    setup_hash BLOB UNIQUE,
    setup_expires_at INTEGER,
    failed_attempts INTEGER NOT NULL DEFAULT 0,
    locked_until INTEGER,
    created_at INTEGER NOT NULL,
    last_login_at INTEGER,
    UNIQUE (issuer, subject),
    CHECK ((source = 'oidc') = (issuer IS NOT NULL AND subject IS NOT NULL)),
    CHECK (source = 'builtin' OR (password_hash IS NULL AND totp_secret IS NULL AND setup_hash IS NULL)),
    CHECK (source <> 'service' OR (role IN ('user', 'auditor') AND group_names = '[]'))
);

CREATE TABLE logins (
    id BLOB PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    method TEXT NOT NULL,
    mfa_at INTEGER,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    idle_until INTEGER NOT NULL,
    address TEXT NOT NULL,
    client TEXT NOT NULL,
    revoked_at INTEGER
);
CREATE INDEX logins_of_user ON logins (user_id);
CREATE INDEX logins_by_end ON logins (expires_at);

CREATE TABLE tokens (
    id BLOB PRIMARY KEY,
    login_id BLOB NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
);
CREATE INDEX tokens_of_login ON tokens (login_id);
CREATE INDEX tokens_by_end ON tokens (expires_at);

CREATE TABLE flows (
    kind TEXT NOT NULL,
    key_hash BLOB NOT NULL,
    user_code_hash BLOB UNIQUE,
    payload TEXT NOT NULL,
    decision TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, key_hash)
);
CREATE INDEX flows_by_end ON flows (expires_at);

CREATE TABLE agents (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    certificate_serial TEXT NOT NULL,
    certificate_expires_at INTEGER NOT NULL,
    sealing_key BLOB NOT NULL,
    signing_key BLOB NOT NULL,
    version TEXT NOT NULL,
    enrolled_at INTEGER NOT NULL,
    removed_at INTEGER,
    gateway TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    seen_at INTEGER
);
CREATE UNIQUE INDEX agents_by_name ON agents (name) WHERE removed_at IS NULL;

CREATE TABLE join_tokens (
    id BLOB PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    agent_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
);

CREATE TABLE connections (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
);

-- Names beside ids: a session keeps the names of its time, also when what they named is gone.
CREATE TABLE sessions (
    id BLOB PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    folded_user_name TEXT NOT NULL,
    connection_id BLOB NOT NULL,
    connection_name TEXT NOT NULL,
    protocol TEXT NOT NULL,
    agent_id BLOB NOT NULL REFERENCES agents (id),
    agent_name TEXT NOT NULL,
    state TEXT NOT NULL,
    grant_bytes BLOB NOT NULL,
    grant_signature BLOB NOT NULL,
    secret_sealed BLOB NOT NULL,
    connector_key_sha256 BLOB NOT NULL,
    certificate_expires_at INTEGER NOT NULL,
    next_ticket INTEGER NOT NULL DEFAULT 0,
    address TEXT NOT NULL,
    reason TEXT,
    allowed_because TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    ended_at INTEGER,
    end_reason TEXT,
    end_code TEXT,
    requests INTEGER NOT NULL DEFAULT 0,
    row_count INTEGER NOT NULL DEFAULT 0,
    bytes_out INTEGER NOT NULL DEFAULT 0,
    recording_bytes INTEGER NOT NULL DEFAULT 0,
    recording_ending TEXT,
    recording_ended_at INTEGER,
    manifest BLOB,
    manifest_seq INTEGER
);
CREATE INDEX sessions_of_user ON sessions (user_id, id);
CREATE INDEX sessions_open ON sessions (state) WHERE state IN ('opening', 'live', 'ending');

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
);

CREATE TABLE ledger_events (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    happened_at INTEGER NOT NULL,
    code TEXT NOT NULL,
    actor TEXT NOT NULL,
    event BLOB NOT NULL,
    leaf_hash BLOB NOT NULL
);

CREATE TABLE ledger_subjects (
    subject TEXT NOT NULL,
    seq INTEGER NOT NULL REFERENCES ledger_events (seq),
    PRIMARY KEY (subject, seq)
);

-- One row. Who holds its lock gives out the next place.
CREATE TABLE ledger_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    appender TEXT NOT NULL
);
INSERT INTO ledger_head (one, size, appender)
VALUES (1, 0, '{"frontier":{"size":0,"peaks":[]},"last":null}');

CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL,
    note TEXT NOT NULL,
    signed_at INTEGER NOT NULL
);

-- Not a defence against who owns the database (checkpoints are): a guard against our own mistakes.
CREATE TRIGGER ledger_events_stay BEFORE UPDATE ON ledger_events
BEGIN
    SELECT RAISE(ABORT, 'the ledger only grows');
END;
CREATE TRIGGER ledger_events_remain BEFORE DELETE ON ledger_events
BEGIN
    SELECT RAISE(ABORT, 'the ledger only grows');
END;
