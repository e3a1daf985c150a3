-- Recovery codes, as hashes; used ones stay, so that a second use is noticed.
CREATE TABLE recovery_codes (
    user_id BYTEA NOT NULL REFERENCES users (id),
    hash BYTEA NOT NULL,
    made_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (user_id, hash)
);
