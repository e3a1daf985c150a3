-- Access by rules, requests and emergencies.

-- Whole documents; the highest version is in force, and none is ever changed.
CREATE TABLE access_policies (
    version BIGINT PRIMARY KEY,
    document TEXT NOT NULL,
    author_id BYTEA,
    author_name TEXT NOT NULL,
    note TEXT,
    created_at BIGINT NOT NULL
);

-- Both kinds: asked for and approved by others, or taken in an emergency and reviewed afterwards.
CREATE TABLE requests (
    id BYTEA PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('access', 'break_glass')),
    user_id BYTEA NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    connection_id BYTEA NOT NULL,
    connection_name TEXT NOT NULL,
    rule TEXT NOT NULL,
    become TEXT,
    -- For one statement alone: its text sealed, by whose hash an approval is bound to it.
    statement_sealed BYTEA,
    statement_sha256 TEXT,
    statement_database TEXT,
    reason TEXT NOT NULL,
    incident TEXT,
    duration_seconds BIGINT NOT NULL,
    needed BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'expired', 'ended')),
    created_at BIGINT NOT NULL,
    decide_until BIGINT NOT NULL,
    decided_at BIGINT,
    ends_at BIGINT,
    ended_at BIGINT,
    end_reason TEXT,
    extended_by TEXT,
    reviewed_by BYTEA,
    reviewed_by_name TEXT,
    reviewed_at BIGINT,
    finding TEXT,
    CHECK (state <> 'approved' OR ends_at IS NOT NULL),
    CHECK (kind = 'access' OR incident IS NOT NULL),
    CHECK ((statement_sealed IS NULL) = (statement_sha256 IS NULL)
        AND (statement_sealed IS NULL) = (statement_database IS NULL))
);
CREATE INDEX requests_of_user ON requests (user_id, id);
CREATE INDEX requests_open ON requests (state) WHERE state IN ('pending', 'approved');

CREATE TABLE decisions (
    request_id BYTEA NOT NULL REFERENCES requests (id),
    user_id BYTEA NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    approves BIGINT NOT NULL,
    note TEXT,
    decided_at BIGINT NOT NULL,
    PRIMARY KEY (request_id, user_id)
);

-- What people are to be told outside: kept in the transaction of the change, delivered until it arrived or is too old.
CREATE TABLE notices (
    id BYTEA PRIMARY KEY,
    channel TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    next_at BIGINT,
    delivered_at BIGINT,
    last_error TEXT
);
CREATE INDEX notices_due ON notices (next_at) WHERE next_at IS NOT NULL;

ALTER TABLE sessions ADD COLUMN request_id BYTEA REFERENCES requests (id);
CREATE INDEX sessions_of_request ON sessions (request_id) WHERE request_id IS NOT NULL;
