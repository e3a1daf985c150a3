-- Ways in while the gateway is down, made beforehand; and what was heard of their use.
CREATE TABLE capabilities (
    id BYTEA PRIMARY KEY,
    agent_id BYTEA NOT NULL REFERENCES agents (id),
    user_id BYTEA NOT NULL REFERENCES users (id),
    user_name TEXT NOT NULL,
    connection_id BYTEA NOT NULL,
    connection_name TEXT NOT NULL,
    body BYTEA NOT NULL,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    valid_until BIGINT NOT NULL,
    most_uses BIGINT NOT NULL,
    uses BIGINT NOT NULL DEFAULT 0,
    revoked_at BIGINT
);
CREATE INDEX capabilities_of_agent ON capabilities (agent_id, id);
