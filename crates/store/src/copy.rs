//! All rows, out of one moment of either database and into an empty one of either kind: what a backup is made of.
//!
//! Tables and columns are those that the database itself names, so that none is forgotten. Nothing here is decided by what
//! a row means.

use serde::{Deserialize, Serialize};

use crate::{
    Conflict, NewEvent, Store, StoreError,
    db::{Row, Tx, Value},
};

/// A value of a row, whichever database it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// Nothing.
    Null(()),
    /// A number, a time, a flag.
    Int(i64),
    /// Text, JSON, a word.
    Text(String),
    /// An id, a hash, something sealed.
    Bytes(#[serde(with = "hex_list")] Vec<u8>),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`Cell::Int`].
    Int,
    /// [`Cell::Text`].
    Text,
    /// [`Cell::Bytes`].
    Bytes,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub table: String,
    /// Its columns.
    pub columns: Vec<(String, Kind)>,
}

/// What an export hands out, in this order.
#[derive(Debug)]
pub enum Exported<'a> {
    /// A table begins.
    Table(&'a Table),
    /// One of its rows.
    Row(&'a [Cell]),
    /// It ends.
    End,
}

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever took the rows.
    #[error("{0}")]
    Taker(#[from] std::io::Error),
}

fn cells(row: &Row, table: &Table) -> Result<Vec<Cell>, StoreError> {
    let cell = |(name, kind): &(String, Kind)| {
        Ok(match kind {
            Kind::Int => row.maybe_int(name)?.map_or(Cell::Null(()), Cell::Int),
            Kind::Text => row.maybe_text(name)?.map_or(Cell::Null(()), Cell::Text),
            Kind::Bytes => row.maybe_bytes(name)?.map_or(Cell::Null(()), Cell::Bytes),
        })
    };
    table.columns.iter().map(cell).collect()
}

/// Names come from the database or from a file that was signed; all the same, nothing else than a name becomes SQL.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn kind_of(word: &str) -> Option<Kind> {
    match word.to_ascii_lowercase().as_str() {
        "integer" | "bigint" => Some(Kind::Int),
        "text" => Some(Kind::Text),
        "blob" | "bytea" => Some(Kind::Bytes),
        _ => None,
    }
}

fn table_of(table: String, columns: &[Row]) -> Result<Table, StoreError> {
    let column = |row: &Row| {
        let (name, word) = (row.text("name")?, row.text("kind")?);
        match kind_of(&word).filter(|_| is_name(&name)) {
            Some(kind) => Ok((name, kind)),
            None => Err(StoreError::Corrupt(format!("a column of a type that cannot be copied, in {table}"))),
        }
    };
    let columns = columns.iter().map(column).collect::<Result<_, _>>()?;
    Ok(Table { table, columns })
}

impl Store {
    /// Numbers of the migrations that made the tables.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn schema(&self) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT version FROM _sqlx_migrations ORDER BY version";
        self.read(sql, Vec::new()).await?.iter().map(|row| row.count("version")).collect()
    }

    /// Hands out every row of every table as of one moment; writers are not disturbed.
    ///
    /// # Errors
    /// When the store fails, or whoever takes the rows does.
    pub async fn export(
        &self,
        mut take: impl FnMut(Exported<'_>) -> std::io::Result<()> + Send,
    ) -> Result<(), ExportError> {
        let mut snapshot = self.snapshot().await?;
        for name in snapshot.tables().await? {
            let table = table_of(name.clone(), &snapshot.columns(&name).await?)?;
            take(Exported::Table(&table))?;
            let columns: Vec<_> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
            let order = if name == "ledger_events" { " ORDER BY seq" } else { "" };
            let sql = format!("SELECT {} FROM {name}{order}", columns.join(", "));
            let mut row =
                |row: Row| -> Result<(), ExportError> { Ok(take(Exported::Row(&cells(&row, &table)?))?) };
            snapshot.each(sql, &mut row).await?;
            take(Exported::End)?;
        }
        snapshot.end().await;
        Ok(())
    }

    /// Begins to fill an empty database. Dropped, it stays as it was.
    ///
    /// # Errors
    /// `Conflict(NameTaken)` when there is anything in it.
    pub async fn import(&self) -> Result<Import, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let mut tables = Vec::new();
        for name in snapshot.tables().await? {
            tables.push(table_of(name.clone(), &snapshot.columns(&name).await?)?);
        }
        snapshot.end().await;
        let mut tx = self.begin().await?;
        for table in &tables {
            let filled = if table.table == "ledger_head" {
                "SELECT COUNT(*) AS count FROM ledger_head WHERE size > 0".to_owned()
            } else {
                format!("SELECT COUNT(*) AS count FROM {}", table.table)
            };
            let counted = tx.run_text(filled, Vec::new()).await?;
            if counted.first().map_or(Ok(0_u64), |row| row.count("count"))? > 0 {
                return Err(Conflict::NameTaken.into());
            }
        }
        tx.run("DELETE FROM ledger_head", Vec::new()).await?;
        tx.defer_references().await?;
        Ok(Import { tx, tables, into: None })
    }
}

/// A database that is being filled.
pub struct Import {
    tx: Tx,
    tables: Vec<Table>,
    into: Option<(String, Vec<Kind>)>,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").finish_non_exhaustive()
    }
}

impl Import {
    /// The rows that follow are this table's.
    ///
    /// # Errors
    /// `Corrupt` when there is no such table, or it has other columns.
    pub fn table(&mut self, table: &Table) -> Result<(), StoreError> {
        let sorted = |table: &Table| {
            let mut columns: Vec<_> =
                table.columns.iter().map(|(name, kind)| (name.clone(), *kind as u8)).collect();
            columns.sort();
            columns
        };
        let here = self.tables.iter().find(|here| here.table == table.table);
        if here.is_none_or(|here| sorted(here) != sorted(table)) {
            return Err(StoreError::Corrupt("a table that is not one of this version's".to_owned()));
        }
        let names: Vec<_> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        let values: Vec<_> = (1..=names.len()).map(|number| format!("${number}")).collect();
        let sql =
            format!("INSERT INTO {} ({}) VALUES ({})", table.table, names.join(", "), values.join(", "));
        self.into = Some((sql, table.columns.iter().map(|(_, kind)| *kind).collect()));
        Ok(())
    }

    /// One row.
    ///
    /// # Errors
    /// `Corrupt` when it does not fit its table.
    pub async fn row(&mut self, cells: Vec<Cell>) -> Result<(), StoreError> {
        let unfit = || StoreError::Corrupt("a row that does not fit its table".to_owned());
        let (sql, kinds) = self.into.as_ref().ok_or_else(unfit)?;
        if cells.len() != kinds.len() {
            return Err(unfit());
        }
        let value = |(cell, kind): (Cell, &Kind)| match (cell, kind) {
            (Cell::Null(()), Kind::Int) => Ok(Value::Int(None)),
            (Cell::Null(()), Kind::Text) => Ok(Value::Text(None)),
            (Cell::Null(()), Kind::Bytes) => Ok(Value::Bytes(None)),
            (Cell::Int(value), Kind::Int) => Ok(Value::Int(Some(value))),
            (Cell::Text(value), Kind::Text) => Ok(Value::Text(Some(value))),
            (Cell::Bytes(value), Kind::Bytes) => Ok(Value::Bytes(Some(value))),
            _ => Err(unfit()),
        };
        let values = cells.into_iter().zip(kinds).map(value).collect::<Result<_, _>>()?;
        self.tx.run_text(sql.clone(), values).await.map(|_| ())
    }

    /// Checks what refers to what, appends events, and makes all of it durable.
    ///
    /// # Errors
    /// The usual ones; nothing is there then.
    pub async fn finish(mut self, events: &[NewEvent]) -> Result<(), StoreError> {
        self.tx.check_references().await?;
        self.tx.append(events).await?;
        self.tx.commit().await
    }
}

/// Bytes as a list of one text, so that they are told from text.
mod hex_list {
    use std::fmt::Write as _;

    use serde::{Deserialize, Deserializer, Serialize as _, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        bytes.iter().for_each(|byte| {
            let _ = write!(text, "{byte:02x}");
        });
        [text].serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let [text] = <[String; 1]>::deserialize(deserializer)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pair = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        text.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or_else(|| D::Error::custom("not hex"))
    }
}
