//! Named targets. What a definition means is for others to know: here it is JSON.

use hoop_model::{ConnectionId, ConnectionName, Timestamp};

use crate::{NewEvent, Store, StoreError};

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
        todo!()
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
        todo!()
    }

    /// Removes a connection; its past sessions keep its name.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_connection(&self, id: ConnectionId, events: &[NewEvent]) -> Result<(), StoreError> {
        todo!()
    }

    /// By id.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn connection(&self, id: ConnectionId) -> Result<Option<Connection>, StoreError> {
        todo!()
    }

    /// By name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn connection_by_name(&self, name: &ConnectionName) -> Result<Option<Connection>, StoreError> {
        todo!()
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn connections(&self) -> Result<Vec<Connection>, StoreError> {
        todo!()
    }
}
