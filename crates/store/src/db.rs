//! The two databases behind one small face.

use crate::StoreError;

/// What the gateway remembers. Cheap to clone: clones share the pools.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    /// Opens (and migrates) the database at `sqlite:/path/to/file` or `postgres://…`.
    ///
    /// # Errors
    /// [`StoreError::Setting`] for a wrong URL, [`StoreError::Unavailable`] when it cannot be opened.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        todo!()
    }

    /// The database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Closes the pools, after what is running.
    pub async fn close(&self) {
        todo!()
    }
}
