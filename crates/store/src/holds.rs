//! Legal holds: while one is in force on a session, a person or a connection, their recordings are not deleted.

use hoop_model::{ConnectionId, HoldId, SessionId, Timestamp, UserId};

use crate::{
    Conflict, NewEvent, Store, StoreError,
    db::{Row, args},
};

/// What a hold is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldSubject {
    /// One session's recording.
    Session(SessionId),
    /// The recordings of all sessions of a person, those to come included.
    User(UserId),
    /// The recordings of all sessions on a connection, those to come included.
    Connection(ConnectionId),
}

/// A hold that is placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// Its id.
    pub id: HoldId,
    /// On what.
    pub subject: HoldSubject,
    /// Its name at the time.
    pub subject_name: String,
    /// Why: the matter, the case.
    pub reason: String,
    /// Who placed it.
    pub placed_by: String,
    /// When.
    pub placed_at: Timestamp,
}

/// A hold as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegalHold {
    /// As it was placed.
    pub placed: NewHold,
    /// Who released it, when, why; in force without.
    pub released: Option<(String, Timestamp, String)>,
}

/// Longest list.
const MOST: u32 = 1000;

macro_rules! columns {
    () => {
        "id, kind, subject, subject_name, reason, placed_by, placed_at, released_by, released_at, release_reason"
    };
}

impl HoldSubject {
    const fn parts(&self) -> (&'static str, &[u8; 16]) {
        match self {
            Self::Session(id) => ("session", id.as_bytes()),
            Self::User(id) => ("user", id.as_bytes()),
            Self::Connection(id) => ("connection", id.as_bytes()),
        }
    }

    fn of(row: &Row) -> Result<Self, StoreError> {
        match row.text("kind")?.as_str() {
            "session" => row.id("subject").map(Self::Session),
            "user" => row.id("subject").map(Self::User),
            "connection" => row.id("subject").map(Self::Connection),
            _ => Err(StoreError::Corrupt("column kind".to_owned())),
        }
    }
}

impl LegalHold {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let placed = NewHold {
            id: row.id("id")?,
            subject: HoldSubject::of(row)?,
            subject_name: row.text("subject_name")?,
            reason: row.text("reason")?,
            placed_by: row.text("placed_by")?,
            placed_at: row.time("placed_at")?,
        };
        let released = match row.maybe_time("released_at")? {
            Some(at) => Some((row.text("released_by")?, at, row.text("release_reason")?)),
            None => None,
        };
        Ok(Self { placed, released })
    }
}

impl Store {
    /// Places a hold.
    ///
    /// # Errors
    /// `Conflict(TooMany)` with 1,000 in force; the usual ones.
    pub async fn place_hold(&self, new: &NewHold, events: &[NewEvent]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "SELECT COUNT(*) AS count FROM legal_holds WHERE released_at IS NULL";
        let count: u64 = tx.run_one(sql, Vec::new()).await?.map_or(Ok(0), |row| row.count("count"))?;
        if count >= u64::from(MOST) {
            return Err(Conflict::TooMany.into());
        }
        let sql = "INSERT INTO legal_holds (id, kind, subject, subject_name, reason, placed_by, placed_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let (kind, subject) = new.subject.parts();
        let values = args![
            new.id,
            kind,
            subject,
            new.subject_name.as_str(),
            new.reason.as_str(),
            new.placed_by.as_str(),
            new.placed_at,
        ];
        tx.run(sql, values).await?;
        tx.append(events).await?;
        tx.commit().await
    }

    /// Releases a hold.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it was released before.
    pub async fn release_hold(
        &self,
        id: HoldId,
        (by, at, reason): (&str, Timestamp, &str),
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let known = tx.run_one("SELECT id FROM legal_holds WHERE id = $1", args![id]).await?;
        known.ok_or(StoreError::NotFound("hold"))?;
        let sql = "UPDATE legal_holds SET released_by = $2, released_at = $3, release_reason = $4 \
                   WHERE id = $1 AND released_at IS NULL RETURNING id";
        if tx.run(sql, args![id, by, at, reason]).await?.is_empty() {
            return Err(Conflict::Changed.into());
        }
        tx.append(events).await?;
        tx.commit().await
    }

    /// One hold.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn hold(&self, id: HoldId) -> Result<Option<LegalHold>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM legal_holds WHERE id = $1");
        self.read_one(sql, args![id]).await?.as_ref().map(LegalHold::of).transpose()
    }

    /// Holds, newest first: those in force, then at most 1,000 that were released.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn holds(&self) -> Result<Vec<LegalHold>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM legal_holds ORDER BY CASE WHEN released_at IS NULL THEN 0 ELSE 1 END, id DESC LIMIT $1"
        );
        self.read(sql, args![2 * MOST]).await?.iter().map(LegalHold::of).collect()
    }
}
