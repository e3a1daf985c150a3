-- How long recordings are kept, what may not be deleted meanwhile, and where they are.

-- Laid down when the session was opened; none: for ever.
ALTER TABLE sessions ADD COLUMN retention_seconds BIGINT;
ALTER TABLE sessions ADD COLUMN retain_until BIGINT;
-- The signed end of a recording: what proves it when its bytes are gone.
ALTER TABLE sessions ADD COLUMN trailer BYTEA;
-- In the store of objects, confirmed; and whether a legal hold is on the object itself.
ALTER TABLE sessions ADD COLUMN stored_at BIGINT;
ALTER TABLE sessions ADD COLUMN object_held BIGINT NOT NULL DEFAULT 0;
-- Its deletion was decided and stands in the ledger; its bytes are gone.
ALTER TABLE sessions ADD COLUMN deleted_at BIGINT;
ALTER TABLE sessions ADD COLUMN erased_at BIGINT;
CREATE INDEX sessions_due ON sessions (retain_until) WHERE retain_until IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX sessions_to_erase ON sessions (deleted_at) WHERE deleted_at IS NOT NULL AND erased_at IS NULL;
CREATE INDEX sessions_to_store ON sessions (recording_ended_at)
    WHERE trailer IS NOT NULL AND stored_at IS NULL AND deleted_at IS NULL;

-- What is under a legal hold: a session, or all sessions of a person or of a connection. Ids of all kinds are unique.
CREATE TABLE legal_holds (
    id BYTEA PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('session', 'user', 'connection')),
    subject BYTEA NOT NULL,
    subject_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    placed_by TEXT NOT NULL,
    placed_at BIGINT NOT NULL,
    released_by TEXT,
    released_at BIGINT,
    release_reason TEXT
);
CREATE INDEX legal_holds_in_force ON legal_holds (subject) WHERE released_at IS NULL;
