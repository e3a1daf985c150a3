//! Named targets. What a definition means is for others to know: here it is JSON.

use hoop_model::{ConnectionId, ConnectionName, Timestamp};

use crate::{
    Conflict, NewEvent, Store, StoreError,
    db::{Row, args},
};

/// A named target.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// Its name.
    pub name: ConnectionName,
    /// Everything else.
    pub definition: serde_json::Value,
    /// Counts its changes, from 1.
    pub version: u64,
    /// Made when.
    pub created_at: Timestamp,
    /// Last changed.
    pub changed_at: Timestamp,
}

/// A named target to make.
#[derive(Debug, Clone, PartialEq)]
pub struct NewConnection {
    /// Its id.
    pub id: ConnectionId,
    /// Its name.
    pub name: ConnectionName,
    /// Everything else.
    pub definition: serde_json::Value,
    /// Now.
    pub created_at: Timestamp,
}

macro_rules! columns {
    () => {
        "id, name, definition, version, created_at, changed_at"
    };
}

impl Connection {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id")?,
            name: row.name("name")?,
            definition: row.json("definition")?,
            version: row.count("version")?,
            created_at: row.time("created_at")?,
            changed_at: row.time("changed_at")?,
        })
    }
}

impl Store {
    /// Makes a connection.
    ///
    /// # Errors
    /// `Conflict(NameTaken)`.
    pub async fn create_connection(
        &self,
        new: &NewConnection,
        events: &[NewEvent],
    ) -> Result<Connection, StoreError> {
        let mut tx = self.begin().await?;
        let sql = concat!(
            "INSERT INTO connections (id, name, definition, version, created_at, changed_at) VALUES ($1, $2, $3, 1, $4, $4) \
             RETURNING ",
            columns!()
        );
        let row = tx.run_one(sql, args![new.id, &new.name, &new.definition, new.created_at]).await?;
        let connection = Connection::of(&row.ok_or(StoreError::NotFound("connection"))?)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(connection)
    }

    /// Replaces a definition.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when `version` is not the one in force.
    pub async fn replace_connection(
        &self,
        id: ConnectionId,
        version: u64,
        definition: &serde_json::Value,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<Connection, StoreError> {
        let mut tx = self.begin().await?;
        tx.run_one("SELECT id FROM connections WHERE id = $1", args![id])
            .await?
            .ok_or(StoreError::NotFound("connection"))?;
        let sql = concat!(
            "UPDATE connections SET definition = $3, changed_at = $4, version = version + 1 WHERE id = $1 AND version = $2 \
             RETURNING ",
            columns!()
        );
        let row = tx.run_one(sql, args![id, version, definition, at]).await?.ok_or(Conflict::Changed)?;
        let connection = Connection::of(&row)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(connection)
    }

    /// Removes a connection; its past sessions keep its name.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_connection(&self, id: ConnectionId, events: &[NewEvent]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let row = tx.run_one("DELETE FROM connections WHERE id = $1 RETURNING id", args![id]).await?;
        row.ok_or(StoreError::NotFound("connection"))?;
        tx.append(events).await?;
        tx.commit().await
    }

    /// By id.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn connection(&self, id: ConnectionId) -> Result<Option<Connection>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM connections WHERE id = $1");
        self.read_one(sql, args![id]).await?.as_ref().map(Connection::of).transpose()
    }

    /// By name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn connection_by_name(&self, name: &ConnectionName) -> Result<Option<Connection>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM connections WHERE name = $1");
        self.read_one(sql, args![name]).await?.as_ref().map(Connection::of).transpose()
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn connections(&self) -> Result<Vec<Connection>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM connections ORDER BY name");
        self.read(sql, Vec::new()).await?.iter().map(Connection::of).collect()
    }
}
