-- Hashes of whole subtrees of 256, 65536, ... leaves: derived from the leaves, so that a proof reads few rows.
CREATE TABLE ledger_subtrees (
    level INTEGER NOT NULL,
    place INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, place)
);
-- What witnesses signed beside the gateway: a line of the note each.
CREATE TABLE cosignatures (
    size INTEGER NOT NULL REFERENCES checkpoints (size),
    witness TEXT NOT NULL,
    line TEXT NOT NULL,
    signed_at INTEGER NOT NULL,
    PRIMARY KEY (size, witness)
);
