-- People and groups that an identity provider provisions (SCIM).

-- Since when; name and groups are the provider's word then, whatever a sign-in says.
ALTER TABLE users ADD COLUMN scim_since BIGINT;
-- Switched off by the provider: as good as locked, and apart from it, so that neither undoes what the other did.
ALTER TABLE users ADD COLUMN deprovisioned BIGINT NOT NULL DEFAULT 0;

CREATE TABLE scim_groups (
    id BYTEA PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    external_id TEXT,
    created_at BIGINT NOT NULL
);
CREATE TABLE scim_members (
    group_id BYTEA NOT NULL REFERENCES scim_groups (id) ON DELETE CASCADE,
    user_id BYTEA NOT NULL REFERENCES users (id),
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX scim_members_of_user ON scim_members (user_id);
