//! PostgreSQL: several gateways share it; changes take turns by the lock of the ledger's head row.

use std::time::Duration;

use sqlx::{
    Executor, SqlSafeStr,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};

use super::{Row, Value};
use crate::StoreError;

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "begin", include_str!("../../../../migrations/postgres/0001_begin.sql")),
    (2, "rules", include_str!("../../../../migrations/postgres/0002_rules.sql")),
    (3, "identity", include_str!("../../../../migrations/postgres/0003_identity.sql")),
    (4, "services", include_str!("../../../../migrations/postgres/0004_services.sql")),
    (5, "scim", include_str!("../../../../migrations/postgres/0005_scim.sql")),
    (6, "capabilities", include_str!("../../../../migrations/postgres/0006_capabilities.sql")),
    (7, "passkeys", include_str!("../../../../migrations/postgres/0007_passkeys.sql")),
    (8, "providers", include_str!("../../../../migrations/postgres/0008_providers.sql")),
    (9, "sealed_codes", include_str!("../../../../migrations/postgres/0009_sealed_codes.sql")),
    (10, "persons", include_str!("../../../../migrations/postgres/0010_persons.sql")),
    (11, "publishing", include_str!("../../../../migrations/postgres/0011_publishing.sql")),
    (12, "proofs", include_str!("../../../../migrations/postgres/0012_proofs.sql")),
    (13, "statements", include_str!("../../../../migrations/postgres/0013_statements.sql")),
    (14, "retention", include_str!("../../../../migrations/postgres/0014_retention.sql")),
    (17, "recording_keys", include_str!("../../../../migrations/postgres/0017_recording_keys.sql")),
    (18, "bundles", include_str!("../../../../migrations/postgres/0018_bundles.sql")),
    (19, "statement_rules", include_str!("../../../../migrations/postgres/0019_statement_rules.sql")),
    (20, "bundle_texts", include_str!("../../../../migrations/postgres/0020_bundle_texts.sql")),
];

/// How long a caller waits for a connection before the database counts as away.
const WAIT: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 16;

#[derive(Debug, Clone)]
pub(super) struct Postgres {
    pool: PgPool,
}

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        // The parser's own message may quote the URL, and with it the password.
        let options: PgConnectOptions =
            url.parse().map_err(|_| StoreError::Setting("the postgres:// URL cannot be read".into()))?;
        // A commit is answered when it is durable, whatever the server's default is.
        let options = options.application_name("hoop-gateway").options([("synchronous_commit", "on")]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(WAIT);
        let pool = pool.connect_with(options).await?;
        super::migrator(MIGRATIONS).run(&pool).await.map_err(super::migration_failed)?;
        Ok(Self { pool })
    }

    /// A connection to read with, for as long as one moment is looked at.
    pub(super) async fn connection(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) async fn read(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        rows(&self.pool, sql, args).await
    }

    pub(super) async fn write(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        rows(&self.pool, sql, args).await
    }

    /// Takes the ledger's head first, always: so changes cannot deadlock, and each sees what the one before it did.
    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, StoreError> {
        let mut tx = self.pool.begin().await?;
        rows(&mut *tx, "SELECT size FROM ledger_head WHERE one = 1 FOR UPDATE", Vec::new()).await?;
        Ok(tx)
    }
}

pub(super) async fn rows<'c>(
    executor: impl Executor<'c, Database = sqlx::Postgres>,
    sql: impl SqlSafeStr,
    args: Vec<Value>,
) -> Result<Vec<Row>, StoreError> {
    let query = args.into_iter().fold(sqlx::query::<sqlx::Postgres>(sql), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    });
    let rows = query.fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| Row::Postgres(Box::new(row))).collect())
}
