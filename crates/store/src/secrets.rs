//! The gateway's own keys, sealed by the caller before they come here.

use hoop_model::Timestamp;

use crate::{NewEvent, Store, StoreError};

impl Store {
    /// A sealed secret by name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }

    /// Keeps a sealed secret unless there is one of that name; answers the one in force, and whether it is the given one.
    /// The events are appended only if it is.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn put_secret_if_absent(
        &self,
        name: &str,
        sealed: &[u8],
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<(Vec<u8>, bool), StoreError> {
        todo!()
    }

    /// Replaces a sealed secret (rotation).
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn replace_secret(
        &self,
        name: &str,
        sealed: &[u8],
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        todo!()
    }
}
