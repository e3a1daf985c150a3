-- Hashes of whole subtrees of 256, 65536, ... leaves: derived from the leaves, so that a proof reads few rows.
CREATE TABLE ledger_subtrees (
    level BIGINT NOT NULL,
    place BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (level, place)
);
-- What witnesses signed beside the gateway: a line of the note each.
CREATE TABLE cosignatures (
    size BIGINT NOT NULL REFERENCES checkpoints (size),
    witness TEXT NOT NULL,
    line TEXT NOT NULL,
    signed_at BIGINT NOT NULL,
    PRIMARY KEY (size, witness)
);
