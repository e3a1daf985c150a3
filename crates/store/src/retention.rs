//! Recordings after their session: moved to the store of objects, kept as long as they must be, then deleted with proof.
//!
//! A deletion is an event first; the bytes go afterwards, as often as it takes. Nothing under a legal hold is deleted: that
//! is asked in the transaction of the deletion itself.

use hoop_model::{SessionId, Timestamp};

use crate::{
    Conflict, NewEvent, SessionRecord, Store, StoreError,
    db::args,
    sessions::{columns, many},
};

macro_rules! held {
    () => {
        "EXISTS (SELECT 1 FROM legal_holds h WHERE h.released_at IS NULL \
         AND h.subject IN (sessions.id, sessions.user_id, sessions.connection_id))"
    };
}

impl Store {
    /// The signed end of a recording, as it came from the agent.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn trailer(&self, id: SessionId) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.read_one("SELECT trailer FROM sessions WHERE id = $1", args![id]).await?;
        row.map_or(Ok(None), |row| row.maybe_bytes("trailer"))
    }

    /// Is a recording under a legal hold: its own, its person's or its connection's?
    ///
    /// # Errors
    /// The usual ones.
    pub async fn is_held(&self, id: SessionId) -> Result<bool, StoreError> {
        let sql = concat!("SELECT id FROM sessions WHERE id = $1 AND ", held!());
        Ok(self.read_one(sql, args![id]).await?.is_some())
    }

    /// Recordings with a signed end that are not in the store of objects yet: those after a session, in the order of ids.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn recordings_to_store(
        &self,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE trailer IS NOT NULL AND manifest IS NOT NULL AND stored_at IS NULL \
             AND deleted_at IS NULL AND ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2"
        );
        many(&self.read(sql, args![after, limit]).await?)
    }

    /// A recording is in the store of objects.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when that was known, or it was deleted.
    pub async fn recording_stored(
        &self,
        id: SessionId,
        at: Timestamp,
        held: bool,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE sessions SET stored_at = $2, object_held = $3 \
                   WHERE id = $1 AND stored_at IS NULL AND deleted_at IS NULL RETURNING id";
        if tx.run(sql, args![id, at, held]).await?.is_empty() {
            return Err(Conflict::Changed.into());
        }
        tx.append(events).await?;
        tx.commit().await
    }

    /// Recordings whose time is over and that no hold keeps, oldest first.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn recordings_due(&self, now: Timestamp, limit: u32) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE retain_until <= $1 AND deleted_at IS NULL AND NOT ",
            held!(),
            " ORDER BY retain_until LIMIT $2"
        );
        many(&self.read(sql, args![now, limit]).await?)
    }

    /// Decides that a recording is deleted. Its bytes are to be erased afterwards.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Held)` under a legal hold; `Conflict(Changed)` when its time is not over, or it was deleted before.
    pub async fn delete_recording(
        &self,
        id: SessionId,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let session = tx.session(id).await?.keeping;
        let due = session.retain_until.is_some_and(|until| until <= at) && session.deleted_at.is_none();
        if !due {
            return Err(Conflict::Changed.into());
        }
        let sql =
            concat!("UPDATE sessions SET deleted_at = $2 WHERE id = $1 AND NOT ", held!(), " RETURNING id");
        if tx.run(sql, args![id, at]).await?.is_empty() {
            return Err(Conflict::Held.into());
        }
        tx.append(events).await?;
        tx.commit().await
    }

    /// Recordings that are deleted and whose bytes are not known to be gone: those after a session, in the order of ids.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn recordings_to_erase(
        &self,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE deleted_at IS NOT NULL AND erased_at IS NULL AND ($1 IS NULL OR id > $1) \
             ORDER BY id LIMIT $2"
        );
        many(&self.read(sql, args![after, limit]).await?)
    }

    /// The bytes of a deleted recording are gone.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn recording_erased(&self, id: SessionId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET erased_at = $2 WHERE id = $1 AND deleted_at IS NOT NULL";
        self.write(sql, args![id, at]).await.map(|_| ())
    }

    /// Objects on which a legal hold is to be put (`true`), or from which it is to be taken.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn object_holds_to_change(&self, limit: u32) -> Result<Vec<(SessionId, bool)>, StoreError> {
        let sql = concat!(
            "SELECT id, object_held FROM sessions WHERE stored_at IS NOT NULL AND deleted_at IS NULL \
             AND (object_held = 1) <> ",
            held!(),
            " ORDER BY id LIMIT $1"
        );
        let rows = self.read(sql, args![limit]).await?;
        rows.iter().map(|row| Ok((row.id("id")?, !row.flag("object_held")?))).collect()
    }

    /// A hold was put on an object, or taken from it.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn object_hold_changed(&self, id: SessionId, held: bool) -> Result<(), StoreError> {
        self.write("UPDATE sessions SET object_held = $2 WHERE id = $1", args![id, held]).await.map(|_| ())
    }
}
