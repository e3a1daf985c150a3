//! What can go wrong in the store, and whose fault it is.

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The caller named something that is not there.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The caller's change does not fit what is there (any more). Nothing was changed.
    #[error("{0}")]
    Conflict(Conflict),
    /// The database does not answer, is full, or cannot be opened. Trying again may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database answers what this program never wrote. Trying again does not help.
    #[error("the database holds what it must not: {0}")]
    Corrupt(String),
    /// The URL or the folder it names is wrong: the operator's fault.
    #[error("wrong database setting: {0}")]
    Setting(String),
}

/// Why a change does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another one has this name (or key, or id).
    #[error("the name is taken")]
    NameTaken,
    /// Good for one use, and used: a TOTP step, a join token, a set-up token.
    #[error("it has been used already")]
    Used,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Good for another name only.
    #[error("it is for another name")]
    OtherName,
    /// The account is locked, by an admin or for a time.
    #[error("the account is locked")]
    Locked,
    /// It is in another state, or was changed by someone else meanwhile.
    #[error("it was changed meanwhile")]
    Changed,
    /// It was removed or revoked.
    #[error("it was revoked")]
    Revoked,
    /// A bound on how many there may be is reached.
    #[error("there are too many of them")]
    TooMany,
    /// A legal hold is on it.
    #[error("a legal hold is on it")]
    Held,
    /// Nobody would be left to give rights.
    #[error("at least one admin must be left who is not locked")]
    LastAdmin,
    /// A built-in account would be left without a second factor.
    #[error("at least one second factor must be left")]
    LastFactor,
}

impl From<Conflict> for StoreError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(inner) if inner.is_unique_violation() => Conflict::NameTaken.into(),
            sqlx::Error::Database(inner) if inner.is_foreign_key_violation() => {
                Self::NotFound("row it refers to")
            }
            sqlx::Error::Database(inner) if inner.is_check_violation() => {
                Self::Corrupt(inner.message().to_owned())
            }
            sqlx::Error::Configuration(_) => Self::Setting("the connection options cannot be used".into()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
