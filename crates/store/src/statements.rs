//! Statements of finished recordings, to be searched. Whoever writes them has replaced their literals before.
//!
//! Each recording is tried by a gateway that may be able to decrypt it; a search says of how many in its range nothing is
//! indexed, so that it is never silently incomplete.

use hoop_model::{ConnectionName, SessionId, Timestamp, UserName};

use crate::{
    SessionRecord, Store, StoreError,
    db::{Row, args, words},
};

/// Rows of one transaction: while it runs nobody else writes.
const AT_ONCE: usize = 200;

/// How it went with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOutcome {
    /// All its statements are there.
    Whole,
    /// Those of its beginning: it has more than are kept, or breaks off.
    Partly,
    /// This gateway has no key for it.
    NoKey,
    /// Its file is not there, or cannot be read.
    Unreadable,
}

words!(IndexOutcome { Whole = "whole", Partly = "partly", NoKey = "no_key", Unreadable = "unreadable" });

/// What came of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementOutcome {
    /// It ran.
    Done,
    /// The target answered with an error.
    Failed,
    /// It never reached the target.
    Denied,
}

words!(StatementOutcome { Done = "done", Failed = "failed", Denied = "denied" });

/// A statement to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStatement {
    /// When it was asked.
    pub at: Timestamp,
    /// Its text, without literals.
    pub text: String,
    /// Tables that it names, as far as that can be told.
    pub tables: Vec<String>,
    /// What came of it.
    pub outcome: StatementOutcome,
    /// Rows returned or changed.
    pub rows: u64,
}

/// A statement that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundStatement {
    /// Where it stands: a search goes on from there.
    pub place: String,
    /// In which session.
    pub session: SessionId,
    /// When it was asked.
    pub at: Timestamp,
    /// By whom.
    pub user_name: UserName,
    /// On what.
    pub connection_name: ConnectionName,
    /// Its text, without literals.
    pub text: String,
    /// What came of it.
    pub outcome: StatementOutcome,
    /// Rows returned or changed.
    pub rows: u64,
}

/// Which statements are wanted; newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementFilter {
    /// By this person, whatever the case.
    pub user: Option<UserName>,
    /// On this connection.
    pub connection: Option<ConnectionName>,
    /// That name this table.
    pub table: Option<String>,
    /// Whose text holds this, whatever the case.
    pub text: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Only those before this place.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Recordings in the range of a search that the index has not, or not all of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NotIndexed {
    /// Still going on, or about to be indexed.
    pub waiting: u64,
    /// Only their beginning.
    pub partly: u64,
    /// For want of a key.
    pub no_key: u64,
    /// Gone or broken.
    pub unreadable: u64,
}

macro_rules! conditions {
    () => {
        "($1 IS NULL OR s.folded_user_name = $1) AND ($2 IS NULL OR s.connection_name = $2) \
         AND ($3 IS NULL OR s.folded_text LIKE $3 ESCAPE '!') AND ($4 IS NULL OR s.happened_at >= $4) \
         AND ($5 IS NULL OR s.happened_at < $5) AND ($6 IS NULL OR s.place < $6)"
    };
}

const SEARCH: &str = concat!(
    "SELECT s.place, s.session_id, s.happened_at, n.user_name, s.connection_name, s.text, s.outcome, s.row_count \
     FROM statements s JOIN sessions n ON n.id = s.session_id WHERE ",
    conditions!(),
    " ORDER BY s.place DESC LIMIT $7"
);

/// By table it starts from the index of tables.
const SEARCH_TABLE: &str = concat!(
    "SELECT s.place, s.session_id, s.happened_at, n.user_name, s.connection_name, s.text, s.outcome, s.row_count \
     FROM statement_tables t JOIN statements s ON s.place = t.place JOIN sessions n ON n.id = s.session_id \
     WHERE t.name = $8 AND ",
    conditions!(),
    " ORDER BY t.place DESC LIMIT $7"
);

impl FoundStatement {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            place: row.text("place")?,
            session: row.id("session_id")?,
            at: row.time("happened_at")?,
            user_name: row.name("user_name")?,
            connection_name: row.name("connection_name")?,
            text: row.text("text")?,
            outcome: row.word("outcome")?,
            rows: row.count("row_count")?,
        })
    }
}

/// Text that sorts by time, then session, then number.
fn place(session: &SessionRecord, at: Timestamp, number: usize) -> String {
    format!("{:020}-{}-{number:08}", at.as_micros().max(0), session.id)
}

/// What `LIKE` takes for itself stands for itself.
fn pattern(fragment: &str) -> String {
    let mut pattern = String::from("%");
    for c in fragment.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern + "%"
}

impl Store {
    /// Sessions whose recordings are finished and were not indexed, or were tried in vain before `again`.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn sessions_to_index(
        &self,
        again: Timestamp,
        most: u32,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = "SELECT id FROM sessions s WHERE s.state IN ('ended', 'interrupted') AND s.deleted_at IS NULL AND NOT EXISTS \
             (SELECT 1 FROM indexed_recordings i WHERE i.session_id = s.id AND \
             (i.tried_at >= $1 OR (i.outcome IN ('whole', 'partly') AND \
             i.tried_at >= COALESCE(s.recording_ended_at, 0)))) ORDER BY s.ended_at LIMIT $2";
        let mut sessions = Vec::new();
        for row in self.read(sql, args![again, most]).await? {
            sessions.extend(self.session(row.id("id")?).await?);
        }
        Ok(sessions)
    }

    /// Keeps the statements of a recording, and how it went. Doing it twice, or by two gateways at once, does no harm.
    ///
    /// # Errors
    /// The usual ones; then some may be kept, and it is to be done again.
    pub async fn index_recording(
        &self,
        session: &SessionRecord,
        statements: &[NewStatement],
        outcome: IndexOutcome,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        for (chunk, some) in statements.chunks(AT_ONCE).enumerate() {
            self.keep_statements(session, some, chunk * AT_ONCE).await?;
        }
        let sql = "INSERT INTO indexed_recordings (session_id, outcome, statements, tried_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (session_id) DO UPDATE SET outcome = excluded.outcome, statements = excluded.statements, \
             tried_at = excluded.tried_at RETURNING session_id";
        let count = u64::try_from(statements.len()).unwrap_or(u64::MAX);
        self.write(sql, args![session.id, outcome, count, at]).await.map(|_| ())
    }

    async fn keep_statements(
        &self,
        session: &SessionRecord,
        statements: &[NewStatement],
        first: usize,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO statements (place, session_id, happened_at, folded_user_name, connection_name, text, \
             folded_text, outcome, row_count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let table = "INSERT INTO statement_tables (name, place) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        for (number, new) in statements.iter().enumerate() {
            let place = place(session, new.at, first + number);
            let values = args![
                place.as_str(),
                session.id,
                new.at,
                session.user_name.folded(),
                &session.connection_name,
                new.text.as_str(),
                new.text.to_lowercase(),
                new.outcome,
                new.rows,
            ];
            tx.run(sql, values).await?;
            for name in &new.tables {
                tx.run(table, args![name.as_str(), place.as_str()]).await?;
            }
        }
        tx.commit().await
    }

    /// Forgets the statements of a session: its recording is gone for good.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn forget_statements(&self, session: SessionId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let tables = "DELETE FROM statement_tables WHERE place IN (SELECT place FROM statements WHERE session_id = $1)";
        tx.run(tables, args![session]).await?;
        tx.run("DELETE FROM statements WHERE session_id = $1", args![session]).await?;
        tx.commit().await
    }

    /// Statements that fit a filter, newest first.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn search_statements(
        &self,
        filter: &StatementFilter,
    ) -> Result<Vec<FoundStatement>, StoreError> {
        let (user, text) = (filter.user.as_ref().map(UserName::folded), filter.text.as_deref().map(pattern));
        let mut values = args![
            user.as_deref(),
            filter.connection.as_ref().map(ConnectionName::as_str),
            text.as_deref(),
            filter.since,
            filter.until,
            filter.before.as_deref(),
            filter.limit,
        ];
        let sql = match &filter.table {
            None => SEARCH,
            Some(table) => {
                values.push(table.as_str().into());
                SEARCH_TABLE
            }
        };
        self.read(sql, values).await?.iter().map(FoundStatement::of).collect()
    }

    /// Recordings of the filter's person, connection and time that the index has not, or not all of.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn not_indexed(&self, filter: &StatementFilter) -> Result<NotIndexed, StoreError> {
        let sql = "SELECT COALESCE(i.outcome, 'waiting') AS outcome, COUNT(*) AS sessions FROM sessions s \
             LEFT JOIN indexed_recordings i ON i.session_id = s.id WHERE ($1 IS NULL OR s.folded_user_name = $1) \
             AND ($2 IS NULL OR s.connection_name = $2) AND ($3 IS NULL OR s.ended_at IS NULL OR s.ended_at >= $3) \
             AND ($4 IS NULL OR s.started_at < $4) GROUP BY COALESCE(i.outcome, 'waiting')";
        let user = filter.user.as_ref().map(UserName::folded);
        let connection = filter.connection.as_ref().map(ConnectionName::as_str);
        let mut counts = NotIndexed::default();
        for row in self.read(sql, args![user.as_deref(), connection, filter.since, filter.until]).await? {
            let count = row.count("sessions")?;
            match row.text("outcome")?.as_str() {
                "waiting" => counts.waiting = count,
                "partly" => counts.partly = count,
                "no_key" => counts.no_key = count,
                "unreadable" => counts.unreadable = count,
                _ => {}
            }
        }
        Ok(counts)
    }
}
