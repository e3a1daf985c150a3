-- The organisation's recording keys: public halves, and who keeps the private ones. One is in force.
CREATE TABLE recording_keys (
    id TEXT PRIMARY KEY,
    keeper TEXT NOT NULL,
    place TEXT NOT NULL,
    public_pem TEXT NOT NULL,
    added_at INTEGER NOT NULL,
    retired_at INTEGER
);
CREATE UNIQUE INDEX recording_keys_in_force ON recording_keys ((retired_at IS NULL)) WHERE retired_at IS NULL;
-- The key that a session's recording is to be opened with.
ALTER TABLE sessions ADD COLUMN recording_key_id TEXT;
CREATE INDEX sessions_of_recording_key ON sessions (recording_key_id);
