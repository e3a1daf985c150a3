//! One moment of a database, read on a connection of its own; and what filling an empty one needs of each kind.

use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Postgres, Sqlite, pool::PoolConnection};

use super::{Backend, Open, Row, Store, Tx, Value, postgres, sqlite};
use crate::{ExportError, StoreError};

/// A connection that sees one moment.
pub(crate) enum Snapshot {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Store {
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(match &self.backend {
            Backend::Sqlite(sqlite) => {
                let mut connection = sqlite.reader().await?;
                sqlx::query("BEGIN").execute(&mut *connection).await?;
                // The moment is that of the first read.
                sqlx::query("SELECT COUNT(*) FROM ledger_head").execute(&mut *connection).await?;
                Snapshot::Sqlite(connection)
            }
            Backend::Postgres(postgres) => {
                let mut connection = postgres.connection().await?;
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                sqlx::query(begin).execute(&mut *connection).await?;
                sqlx::query("SELECT COUNT(*) FROM ledger_head").execute(&mut *connection).await?;
                Snapshot::Postgres(connection)
            }
        })
    }
}

impl Snapshot {
    async fn rows(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(connection) => sqlite::rows(&mut **connection, sql, args).await,
            Self::Postgres(connection) => postgres::rows(&mut **connection, sql, args).await,
        }
    }

    /// Every table of ours, by name.
    pub(crate) async fn tables(&mut self) -> Result<Vec<String>, StoreError> {
        let sql = match self {
            Self::Sqlite(_) => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                 AND name <> '_sqlx_migrations' ORDER BY name"
            }
            Self::Postgres(_) => {
                "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = current_schema() \
                 AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations' ORDER BY table_name::text COLLATE \"C\""
            }
        };
        self.rows(sql, Vec::new()).await?.iter().map(|row| row.text("name")).collect()
    }

    /// `name` and `kind` of each column.
    pub(crate) async fn columns(&mut self, table: &str) -> Result<Vec<Row>, StoreError> {
        let sql = match self {
            Self::Sqlite(_) => "SELECT name, type AS kind FROM pragma_table_info($1) ORDER BY cid",
            Self::Postgres(_) => {
                "SELECT column_name::text AS name, data_type::text AS kind FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
            }
        };
        self.rows(sql, vec![Value::from(table)]).await
    }

    /// Hands out rows one by one: a table may be larger than memory.
    pub(crate) async fn each(
        &mut self,
        sql: String,
        take: &mut (dyn FnMut(Row) -> Result<(), ExportError> + Send),
    ) -> Result<(), ExportError> {
        match self {
            Self::Sqlite(connection) => {
                let mut rows = sqlx::query::<Sqlite>(AssertSqlSafe(sql)).fetch(&mut **connection);
                while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
                    take(Row::Sqlite(Box::new(row)))?;
                }
            }
            Self::Postgres(connection) => {
                let mut rows = sqlx::query::<Postgres>(AssertSqlSafe(sql)).fetch(&mut **connection);
                while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
                    take(Row::Postgres(Box::new(row)))?;
                }
            }
        }
        Ok(())
    }

    /// Gives the connection back.
    pub(crate) async fn end(mut self) {
        // A connection that fails to is closed by its pool.
        let _ = match &mut self {
            Self::Sqlite(connection) => sqlx::query("ROLLBACK").execute(&mut **connection).await.map(|_| ()),
            Self::Postgres(connection) => {
                sqlx::query("ROLLBACK").execute(&mut **connection).await.map(|_| ())
            }
        };
    }
}

impl Tx {
    /// Runs a statement whose names were checked by the caller.
    pub(crate) async fn run_text(&mut self, sql: String, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match &mut self.open {
            Open::Sqlite(tx) => sqlite::rows(&mut **tx, AssertSqlSafe(sql), args).await,
            Open::Postgres(tx) => postgres::rows(&mut **tx, AssertSqlSafe(sql), args).await,
        }
    }

    /// References are checked at the end: rows come table by table.
    pub(crate) async fn defer_references(&mut self) -> Result<(), StoreError> {
        match &mut self.open {
            Open::Sqlite(tx) => {
                sqlx::query("PRAGMA defer_foreign_keys = ON").execute(&mut **tx).await?;
                Ok(())
            }
            Open::Postgres(_) => self.alter_references("DEFERRABLE INITIALLY DEFERRED").await,
        }
    }

    /// Checks them now, and leaves them as they were.
    pub(crate) async fn check_references(&mut self) -> Result<(), StoreError> {
        match &mut self.open {
            // SQLite does it at the commit.
            Open::Sqlite(_) => Ok(()),
            Open::Postgres(tx) => {
                sqlx::query("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut **tx).await?;
                self.alter_references("NOT DEFERRABLE").await
            }
        }
    }

    async fn alter_references(&mut self, how: &str) -> Result<(), StoreError> {
        let sql = "SELECT quote_ident(conname) AS name, conrelid::regclass::text AS owner FROM pg_constraint \
                   WHERE contype = 'f' AND connamespace = current_schema()::regnamespace";
        for row in self.run(sql, Vec::new()).await? {
            let alter =
                format!("ALTER TABLE {} ALTER CONSTRAINT {} {how}", row.text("owner")?, row.text("name")?);
            self.run_text(alter, Vec::new()).await?;
        }
        Ok(())
    }
}
