-- Statements of finished recordings, their literals replaced, to be searched. Derived: a recording can be indexed again.
-- The place is time, session and number: text that sorts by time.
CREATE TABLE statements (
    place TEXT PRIMARY KEY,
    session_id BLOB NOT NULL REFERENCES sessions (id),
    happened_at INTEGER NOT NULL,
    folded_user_name TEXT NOT NULL,
    connection_name TEXT NOT NULL,
    text TEXT NOT NULL,
    folded_text TEXT NOT NULL,
    outcome TEXT NOT NULL,
    row_count INTEGER NOT NULL
);
CREATE INDEX statements_of_session ON statements (session_id);
CREATE INDEX statements_of_user ON statements (folded_user_name, place);
CREATE INDEX statements_of_connection ON statements (connection_name, place);

CREATE TABLE statement_tables (
    name TEXT NOT NULL,
    place TEXT NOT NULL REFERENCES statements (place),
    PRIMARY KEY (name, place)
);

-- How it went with each finished recording. One that is not here is yet to be indexed.
CREATE TABLE indexed_recordings (
    session_id BLOB PRIMARY KEY REFERENCES sessions (id),
    outcome TEXT NOT NULL,
    statements INTEGER NOT NULL,
    tried_at INTEGER NOT NULL
);
