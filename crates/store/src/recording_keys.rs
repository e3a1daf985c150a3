//! The organisation's recording keys: public halves as they were first seen, who keeps the private ones, and how many
//! recordings each is needed for. No private half comes here.

use hoop_model::{SessionId, Timestamp};
use hoop_recording::KeyId;

use crate::{
    Conflict, NewEvent, Store, StoreError,
    db::{Row, args},
};

/// A recording key to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecordingKey {
    /// Its id.
    pub id: KeyId,
    /// Who keeps its private half: a word of the caller's.
    pub keeper: String,
    /// Where it is there.
    pub place: String,
    /// Its public half.
    pub public_pem: String,
    /// Now.
    pub at: Timestamp,
}

/// A recording key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingKey {
    /// Its id.
    pub id: KeyId,
    /// Who keeps its private half.
    pub keeper: String,
    /// Where it is there.
    pub place: String,
    /// Its public half.
    pub public_pem: String,
    /// Known since.
    pub added_at: Timestamp,
    /// No longer used for new recordings since.
    pub retired_at: Option<Timestamp>,
    /// Sessions whose recordings it opens.
    pub recordings: u64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.keeper, k.place, k.public_pem, k.added_at, k.retired_at, \
             (SELECT COUNT(*) FROM sessions s WHERE s.recording_key_id = k.id) AS recordings FROM recording_keys k ",
            $rest
        )
    };
}

impl RecordingKey {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.name("id")?,
            keeper: row.text("keeper")?,
            place: row.text("place")?,
            public_pem: row.text("public_pem")?,
            added_at: row.time("added_at")?,
            retired_at: row.maybe_time("retired_at")?,
            recordings: row.count("recordings")?,
        })
    }
}

impl Store {
    /// All recording keys, newest first.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn recording_keys(&self) -> Result<Vec<RecordingKey>, StoreError> {
        let rows = self.read(select!("ORDER BY k.added_at DESC, k.id LIMIT 10000"), Vec::new()).await?;
        rows.iter().map(RecordingKey::of).collect()
    }

    /// By id; without the count of recordings, which is 0 here.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn recording_key(&self, id: KeyId) -> Result<Option<RecordingKey>, StoreError> {
        let sql = "SELECT id, keeper, place, public_pem, added_at, retired_at, CAST(0 AS BIGINT) AS recordings FROM recording_keys \
                   WHERE id = $1";
        self.read_one(sql, args![id.to_string()]).await?.as_ref().map(RecordingKey::of).transpose()
    }

    /// The one that new recordings are made for; without the count of recordings, which is 0 here.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn recording_key_in_force(&self) -> Result<Option<RecordingKey>, StoreError> {
        let sql = "SELECT id, keeper, place, public_pem, added_at, retired_at, CAST(0 AS BIGINT) AS recordings FROM recording_keys \
                   WHERE retired_at IS NULL";
        self.read_one(sql, Vec::new()).await?.as_ref().map(RecordingKey::of).transpose()
    }

    /// Puts a key in force in place of `before`. The same key again has another keeper from now on. The very first is taken
    /// for that of all sessions before it.
    ///
    /// # Errors
    /// `Conflict(Changed)` when another one than `before` is in force.
    pub async fn put_recording_key(
        &self,
        new: &NewRecordingKey,
        before: Option<KeyId>,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let in_force =
            tx.run_one("SELECT id FROM recording_keys WHERE retired_at IS NULL", Vec::new()).await?;
        let in_force: Option<KeyId> = in_force.map(|row| row.name("id")).transpose()?;
        if in_force != before {
            return Err(Conflict::Changed.into());
        }
        let id = new.id.to_string();
        let retire = "UPDATE recording_keys SET retired_at = $2 WHERE retired_at IS NULL AND id <> $1";
        tx.run(retire, args![id.as_str(), new.at]).await?;
        let put = "INSERT INTO recording_keys (id, keeper, place, public_pem, added_at) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (id) DO UPDATE SET keeper = $2, place = $3, retired_at = NULL";
        let values =
            args![id.as_str(), new.keeper.as_str(), new.place.as_str(), new.public_pem.as_str(), new.at];
        tx.run(put, values).await?;
        if before.is_none() {
            let all = "UPDATE sessions SET recording_key_id = $1 WHERE recording_key_id IS NULL";
            tx.run(all, args![id.as_str()]).await?;
        }
        tx.append(events).await?;
        tx.commit().await
    }

    /// What a recording itself says about its key.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn session_recording_key(&self, session: SessionId, key: KeyId) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET recording_key_id = $2 \
                   WHERE id = $1 AND (recording_key_id IS NULL OR recording_key_id <> $2)";
        self.write(sql, args![session, key.to_string()]).await.map(|_| ())
    }
}
