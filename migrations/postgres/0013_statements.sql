-- Statements of finished recordings, their literals replaced, to be searched. Derived: a recording can be indexed again.
-- The place is time, session and number: text that sorts by time.
CREATE TABLE statements (
    place TEXT COLLATE "C" PRIMARY KEY,
    session_id BYTEA NOT NULL REFERENCES sessions (id),
    happened_at BIGINT NOT NULL,
    folded_user_name TEXT NOT NULL,
    connection_name TEXT NOT NULL,
    text TEXT NOT NULL,
    folded_text TEXT NOT NULL,
    outcome TEXT NOT NULL,
    row_count BIGINT NOT NULL
);
CREATE INDEX statements_of_session ON statements (session_id);
CREATE INDEX statements_of_user ON statements (folded_user_name, place);
CREATE INDEX statements_of_connection ON statements (connection_name, place);

CREATE TABLE statement_tables (
    name TEXT NOT NULL,
    place TEXT COLLATE "C" NOT NULL REFERENCES statements (place),
    PRIMARY KEY (name, place)
);

-- How it went with each finished recording. One that is not here is yet to be indexed.
CREATE TABLE indexed_recordings (
    session_id BYTEA PRIMARY KEY REFERENCES sessions (id),
    outcome TEXT NOT NULL,
    statements BIGINT NOT NULL,
    tried_at BIGINT NOT NULL
);
