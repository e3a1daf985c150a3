-- Who is told of checkpoints (receivers and witnesses), and how far each got. A row comes with the first attempt.
CREATE TABLE ledger_receivers (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    size BIGINT NOT NULL,
    delivered_at BIGINT,
    failing_since BIGINT,
    attempts BIGINT NOT NULL,
    last_error TEXT,
    PRIMARY KEY (kind, name)
);
