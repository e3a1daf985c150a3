-- Service accounts and their API tokens. An API token is a sign-in of its own: both have the same id.

-- Removed accounts stay, locked: sessions and the ledger name them, and rules that name them must mean nobody else.
ALTER TABLE users ADD COLUMN removed_at INTEGER;

ALTER TABLE logins ADD COLUMN scope TEXT CHECK (scope IN ('connect', 'evidence:read', 'scim'));
ALTER TABLE logins ADD COLUMN token_name TEXT;
ALTER TABLE logins ADD COLUMN made_by TEXT;

-- The sign-in that a session was opened under. No reference: sessions are kept for longer.
ALTER TABLE sessions ADD COLUMN login_id BLOB;
