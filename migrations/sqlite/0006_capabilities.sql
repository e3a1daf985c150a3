-- Ways in while the gateway is down, made beforehand; and what was heard of their use.
CREATE TABLE capabilities (
    id BLOB PRIMARY KEY,
    agent_id BLOB NOT NULL REFERENCES agents (id),
    user_id BLOB NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    connection_id BLOB NOT NULL,
    connection_name TEXT NOT NULL,
    body BLOB NOT NULL,
    made_by TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    valid_until INTEGER NOT NULL,
    most_uses INTEGER NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0,
    revoked_at INTEGER
);
CREATE INDEX capabilities_of_agent ON capabilities (agent_id, id);
