//! The gateway's own keys, sealed by the caller before they come here.

use hoop_model::Timestamp;

use crate::{NewEvent, Store, StoreError, db::args};

impl Store {
    /// A sealed secret by name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.read_one("SELECT sealed FROM secrets WHERE name = $1", args![name]).await?;
        row.map(|row| row.bytes("sealed")).transpose()
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
        let mut tx = self.begin().await?;
        if let Some(row) = tx.run_one("SELECT sealed FROM secrets WHERE name = $1", args![name]).await? {
            return Ok((row.bytes("sealed")?, false));
        }
        let sql = "INSERT INTO secrets (name, sealed, created_at, changed_at) VALUES ($1, $2, $3, $3)";
        tx.run(sql, args![name, sealed, at]).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok((sealed.to_vec(), true))
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
        let mut tx = self.begin().await?;
        let sql = "UPDATE secrets SET sealed = $2, changed_at = $3 WHERE name = $1 RETURNING name";
        tx.run_one(sql, args![name, sealed, at]).await?.ok_or(StoreError::NotFound("secret"))?;
        tx.append(events).await?;
        tx.commit().await
    }
}
