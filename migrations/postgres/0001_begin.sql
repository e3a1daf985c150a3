-- What the gateway remembers. Times are microseconds since 1970 UTC, ids 16 bytes, JSON is text.

CREATE TABLE users (
    id BYTEA PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    folded_name TEXT COLLATE "C" NOT NULL UNIQUE,
    role TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('builtin', 'oidc', 'service')),
    issuer TEXT,
    subject TEXT,
    group_names TEXT NOT NULL,
    locked BIGINT NOT NULL DEFAULT 0,
    password_hash TEXT,
    totp_secret BYTEA,
    totp_last_step BIGINT,
    pending_totp BYTEA,
    setup_hash BYTEA UNIQUE,
    setup_expires_at BIGINT,
    failed_attempts BIGINT NOT NULL DEFAULT 0,
    locked_until BIGINT,
    created_at BIGINT NOT NULL,
    last_login_at BIGINT,
    UNIQUE (issuer, subject),
    CHECK ((source = 'oidc') = (issuer IS NOT NULL AND subject IS NOT NULL)),
    CHECK (source = 'builtin' OR (password_hash IS NULL AND totp_secret IS NULL AND setup_hash IS NULL)),
    CHECK (source <> 'service' OR (role IN ('user', 'auditor') AND group_names = '[]'))
);

CREATE TABLE logins (
    id BYTEA PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    method TEXT NOT NULL,
    mfa_at BIGINT,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    idle_until BIGINT NOT NULL,
    address TEXT NOT NULL,
    client TEXT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX logins_of_user ON logins (user_id);
CREATE INDEX logins_by_end ON logins (expires_at);

CREATE TABLE tokens (
    id BYTEA PRIMARY KEY,
    login_id BYTEA NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    hash BYTEA NOT NULL UNIQUE,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX tokens_of_login ON tokens (login_id);
CREATE INDEX tokens_by_end ON tokens (expires_at);

CREATE TABLE flows (
    kind TEXT NOT NULL,
    key_hash BYTEA NOT NULL,
    user_code_hash BYTEA UNIQUE,
    payload TEXT NOT NULL,
    decision TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, key_hash)
);
CREATE INDEX flows_by_end ON flows (expires_at);

CREATE TABLE agents (
    id BYTEA PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    certificate_serial TEXT NOT NULL,
    certificate_expires_at BIGINT NOT NULL,
    sealing_key BYTEA NOT NULL,
    signing_key BYTEA NOT NULL,
    version TEXT NOT NULL,
    enrolled_at BIGINT NOT NULL,
    removed_at BIGINT,
    gateway TEXT,
    epoch BIGINT NOT NULL DEFAULT 0,
    seen_at BIGINT
);
CREATE UNIQUE INDEX agents_by_name ON agents (name) WHERE removed_at IS NULL;

CREATE TABLE join_tokens (
    id BYTEA PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    agent_name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE TABLE connections (
    id BYTEA PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- Names beside ids: a session keeps the names of its time, also when what they named is gone.
CREATE TABLE sessions (
    id BYTEA PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    user_name TEXT COLLATE "C" NOT NULL,
    folded_user_name TEXT COLLATE "C" NOT NULL,
    connection_id BYTEA NOT NULL,
    connection_name TEXT COLLATE "C" NOT NULL,
    protocol TEXT NOT NULL,
    agent_id BYTEA NOT NULL REFERENCES agents (id),
    agent_name TEXT COLLATE "C" NOT NULL,
    state TEXT NOT NULL,
    grant_bytes BYTEA NOT NULL,
    grant_signature BYTEA NOT NULL,
    secret_sealed BYTEA NOT NULL,
    connector_key_sha256 BYTEA NOT NULL,
    certificate_expires_at BIGINT NOT NULL,
    next_ticket BIGINT NOT NULL DEFAULT 0,
    address TEXT NOT NULL,
    reason TEXT,
    allowed_because TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT,
    end_code TEXT,
    requests BIGINT NOT NULL DEFAULT 0,
    row_count BIGINT NOT NULL DEFAULT 0,
    bytes_out BIGINT NOT NULL DEFAULT 0,
    recording_bytes BIGINT NOT NULL DEFAULT 0,
    recording_ending TEXT,
    recording_ended_at BIGINT,
    manifest BYTEA,
    manifest_seq BIGINT
);
CREATE INDEX sessions_of_user ON sessions (user_id, id);
CREATE INDEX sessions_open ON sessions (state) WHERE state IN ('opening', 'live', 'ending');

CREATE TABLE secrets (
    name TEXT COLLATE "C" PRIMARY KEY,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE ledger_events (
    seq BIGINT PRIMARY KEY,
    id BYTEA NOT NULL UNIQUE,
    happened_at BIGINT NOT NULL,
    code TEXT NOT NULL,
    actor TEXT NOT NULL,
    event BYTEA NOT NULL,
    leaf_hash BYTEA NOT NULL
);

CREATE TABLE ledger_subjects (
    subject TEXT NOT NULL,
    seq BIGINT NOT NULL REFERENCES ledger_events (seq),
    PRIMARY KEY (subject, seq)
);

-- One row. Who holds its lock gives out the next place.
CREATE TABLE ledger_head (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    size BIGINT NOT NULL,
    appender TEXT NOT NULL
);
INSERT INTO ledger_head (one, size, appender)
VALUES (1, 0, '{"frontier":{"size":0,"peaks":[]},"last":null}');

CREATE TABLE checkpoints (
    size BIGINT PRIMARY KEY,
    root BYTEA NOT NULL,
    note TEXT NOT NULL,
    signed_at BIGINT NOT NULL
);

-- Not a defence against who owns the database (checkpoints are): a guard against our own mistakes.
CREATE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger only grows';
END;
$$;
CREATE TRIGGER ledger_events_stay BEFORE UPDATE OR DELETE ON ledger_events
    FOR EACH ROW EXECUTE FUNCTION ledger_only_grows();
CREATE TRIGGER ledger_events_whole BEFORE TRUNCATE ON ledger_events
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
