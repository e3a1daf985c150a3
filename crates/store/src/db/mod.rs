//! The two databases behind one small face: values in, rows out, one writer at a time.
//!
//! The statements are the same static text for both (`$1` and `RETURNING` are understood by both), over three types of
//! value: 64-bit integers, text, bytes. What differs stands in `sqlite.rs` and `postgres.rs`, and nowhere else.

mod postgres;
mod row;
mod snapshot;
mod sqlite;
mod value;

pub(crate) use row::{Row, Word, words};
pub(crate) use value::{Value, args};

use std::sync::Arc;

use sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use tokio::sync::watch;

use crate::StoreError;

/// What the gateway remembers. Cheap to clone: clones share the pools.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    /// How often notices were written.
    written: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Clone)]
enum Backend {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens (and migrates) the database at `sqlite:/path/to/file` or `postgres://…`.
    ///
    /// # Errors
    /// [`StoreError::Setting`] for a wrong URL, [`StoreError::Unavailable`] when it cannot be opened.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let backend = if let Some(path) = url.strip_prefix("sqlite:") {
            Backend::Sqlite(sqlite::Sqlite::open(path.strip_prefix("//").unwrap_or(path)).await?)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Backend::Postgres(postgres::Postgres::open(url).await?)
        } else {
            return Err(StoreError::Setting("the URL starts with `sqlite:` or `postgres://`".into()));
        };
        Ok(Self { backend, written: Arc::default() })
    }

    /// The database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read("SELECT size FROM ledger_head WHERE one = 1", Vec::new()).await.map(|_| ())
    }

    /// Closes the pools, after what is running.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.close().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }

    /// Rows of a statement that changes nothing.
    pub(crate) async fn read(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.read(sql, args).await,
            Backend::Postgres(postgres) => postgres.read(sql, args).await,
        }
    }

    /// The only row of a statement that changes nothing, if there is one.
    pub(crate) async fn read_one(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.read(sql, args).await?.into_iter().next())
    }

    /// One changing statement that the ledger need not tell about, as a transaction of its own.
    pub(crate) async fn write(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.write(sql, args).await,
            Backend::Postgres(postgres) => postgres.write(sql, args).await,
        }
    }

    /// Begins a change. There is one at a time, in all gateways: it holds the ledger's head. Dropped, it is undone.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        let open = match &self.backend {
            Backend::Sqlite(sqlite) => Open::Sqlite(sqlite.begin().await?),
            Backend::Postgres(postgres) => Open::Postgres(postgres.begin().await?),
        };
        Ok(Tx { open, written: Arc::clone(&self.written), tell: false })
    }

    pub(crate) fn written(&self) -> &watch::Sender<u64> {
        &self.written
    }
}

fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let one = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(migrations.iter().map(one).collect())
}

fn migration_failed(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) => error.into(),
        other => StoreError::Setting(format!("this version cannot use the database as it is: {other}")),
    }
}

/// A change under way.
pub(crate) struct Tx {
    open: Open,
    written: Arc<watch::Sender<u64>>,
    tell: bool,
}

enum Open {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl Tx {
    /// Runs a statement; rows are there for `SELECT` and `RETURNING`.
    pub(crate) async fn run(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match &mut self.open {
            Open::Sqlite(tx) => sqlite::rows(&mut **tx, sql, args).await,
            Open::Postgres(tx) => postgres::rows(&mut **tx, sql, args).await,
        }
    }

    /// The only row, if there is one.
    pub(crate) async fn run_one(
        &mut self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.run(sql, args).await?.into_iter().next())
    }

    /// Once it is durable, whoever delivers notices is told.
    pub(crate) const fn tells_of_notices(&mut self) {
        self.tell = true;
    }

    /// Makes it durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self.open {
            Open::Sqlite(tx) => tx.commit().await,
            Open::Postgres(tx) => tx.commit().await,
        }?;
        if self.tell {
            self.written.send_modify(|times| *times = times.wrapping_add(1));
        }
        Ok(())
    }
}
