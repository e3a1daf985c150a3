-- Refresh tokens of the identity provider, sealed: with them it is asked again what people are now.
CREATE TABLE provider_tokens (
    user_id BLOB PRIMARY KEY REFERENCES users (id),
    sealed TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    claimed_until INTEGER NOT NULL
);
CREATE INDEX provider_tokens_by_due ON provider_tokens (due_at);
