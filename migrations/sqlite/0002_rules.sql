-- Access by rules, requests and emergencies.

-- Whole documents; the highest version is in force, and none is ever changed.
CREATE TABLE access_policies (
    version INTEGER PRIMARY KEY,
    document TEXT NOT NULL,
    author_id BLOB,
    author_name TEXT NOT NULL,
    note TEXT,
    created_at INTEGER NOT NULL
);

-- Both kinds: asked for and approved by others, or taken in an emergency and reviewed afterwards.
CREATE TABLE requests (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('access', 'break_glass')),
    user_id BLOB NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    connection_id BLOB NOT NULL,
    connection_name TEXT NOT NULL,
    rule TEXT NOT NULL,
    become TEXT,
    -- For one statement alone: its text sealed, by whose hash an approval is bound to it.
    statement_sealed BLOB,
    statement_sha256 TEXT,
    statement_database TEXT,
    reason TEXT NOT NULL,
    incident TEXT,
    duration_seconds INTEGER NOT NULL,
    needed INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'expired', 'ended')),
    created_at INTEGER NOT NULL,
    decide_until INTEGER NOT NULL,
    decided_at INTEGER,
    ends_at INTEGER,
    ended_at INTEGER,
    end_reason TEXT,
    extended_by TEXT,
    reviewed_by BLOB,
    reviewed_by_name TEXT,
    reviewed_at INTEGER,
    finding TEXT,
    CHECK (state <> 'approved' OR ends_at IS NOT NULL),
    CHECK (kind = 'access' OR incident IS NOT NULL),
    CHECK ((statement_sealed IS NULL) = (statement_sha256 IS NULL)
        AND (statement_sealed IS NULL) = (statement_database IS NULL))
);
CREATE INDEX requests_of_user ON requests (user_id, id);
CREATE INDEX requests_open ON requests (state) WHERE state IN ('pending', 'approved');

CREATE TABLE decisions (
    request_id BLOB NOT NULL REFERENCES requests (id),
    user_id BLOB NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    approves INTEGER NOT NULL,
    note TEXT,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (request_id, user_id)
);

-- What people are to be told outside: kept in the transaction of the change, delivered until it arrived or is too old.
CREATE TABLE notices (
    id BLOB PRIMARY KEY,
    channel TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    next_at INTEGER,
    delivered_at INTEGER,
    last_error TEXT
);
CREATE INDEX notices_due ON notices (next_at) WHERE next_at IS NOT NULL;

ALTER TABLE sessions ADD COLUMN request_id BLOB REFERENCES requests (id);
CREATE INDEX sessions_of_request ON sessions (request_id) WHERE request_id IS NOT NULL;
