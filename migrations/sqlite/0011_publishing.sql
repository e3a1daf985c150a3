-- Who is told of checkpoints (receivers and witnesses), and how far each got. A row comes with the first attempt.
CREATE TABLE ledger_receivers (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    delivered_at INTEGER,
    failing_since INTEGER,
    attempts INTEGER NOT NULL,
    last_error TEXT,
    PRIMARY KEY (kind, name)
);
