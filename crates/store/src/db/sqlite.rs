//! SQLite: one writing connection, a few reading ones, every commit on the disk before it is answered.

use std::{path::Path, time::Duration};

use sqlx::{
    Executor, SqlSafeStr,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Row, Value};
use crate::StoreError;

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "begin", include_str!("../../../../migrations/sqlite/0001_begin.sql")),
    (2, "rules", include_str!("../../../../migrations/sqlite/0002_rules.sql")),
    (3, "identity", include_str!("../../../../migrations/sqlite/0003_identity.sql")),
    (4, "services", include_str!("../../../../migrations/sqlite/0004_services.sql")),
    (5, "scim", include_str!("../../../../migrations/sqlite/0005_scim.sql")),
    (6, "capabilities", include_str!("../../../../migrations/sqlite/0006_capabilities.sql")),
    (7, "passkeys", include_str!("../../../../migrations/sqlite/0007_passkeys.sql")),
    (8, "providers", include_str!("../../../../migrations/sqlite/0008_providers.sql")),
    (9, "sealed_codes", include_str!("../../../../migrations/sqlite/0009_sealed_codes.sql")),
    (10, "persons", include_str!("../../../../migrations/sqlite/0010_persons.sql")),
    (11, "publishing", include_str!("../../../../migrations/sqlite/0011_publishing.sql")),
    (12, "proofs", include_str!("../../../../migrations/sqlite/0012_proofs.sql")),
    (13, "statements", include_str!("../../../../migrations/sqlite/0013_statements.sql")),
    (14, "retention", include_str!("../../../../migrations/sqlite/0014_retention.sql")),
    (17, "recording_keys", include_str!("../../../../migrations/sqlite/0017_recording_keys.sql")),
    (18, "bundles", include_str!("../../../../migrations/sqlite/0018_bundles.sql")),
    (19, "statement_rules", include_str!("../../../../migrations/sqlite/0019_statement_rules.sql")),
    (20, "bundle_texts", include_str!("../../../../migrations/sqlite/0020_bundle_texts.sql")),
];

/// How long a writer waits for its turn (or for another process on the same file).
const WAIT: Duration = Duration::from_secs(10);
const READERS: u32 = 4;

#[derive(Debug, Clone)]
pub(super) struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Sqlite {
    pub(super) async fn open(path: &str) -> Result<Self, StoreError> {
        if path.is_empty() || path.contains(['?', '\0']) || path == ":memory:" {
            return Err(StoreError::Setting("`sqlite:` is followed by the path of a file".into()));
        }
        let options = SqliteConnectOptions::new()
            .filename(Path::new(path))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(WAIT);
        let writer = SqlitePoolOptions::new().max_connections(1).acquire_timeout(WAIT);
        let writer = writer.connect_with(options.clone()).await?;
        super::migrator(MIGRATIONS).run(&writer).await.map_err(super::migration_failed)?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(WAIT);
        let readers = readers.connect_with(options.create_if_missing(false).read_only(true)).await?;
        Ok(Self { writer, readers })
    }

    /// A connection to read with, for as long as one moment is looked at.
    pub(super) async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(super) async fn read(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        rows(&self.readers, sql, args).await
    }

    pub(super) async fn write(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        rows(&self.writer, sql, args).await
    }

    /// `IMMEDIATE`: it has the write lock from its first statement, so what it reads cannot be stale when it writes.
    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

pub(super) async fn rows<'c>(
    executor: impl Executor<'c, Database = sqlx::Sqlite>,
    sql: impl SqlSafeStr,
    args: Vec<Value>,
) -> Result<Vec<Row>, StoreError> {
    let query = args.into_iter().fold(sqlx::query::<sqlx::Sqlite>(sql), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    });
    let rows = query.fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| Row::Sqlite(Box::new(row))).collect())
}
