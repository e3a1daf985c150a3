//! A row of either database. What does not decode is [`StoreError::Corrupt`], with the column's name and never its value.

use std::str::FromStr;

use hoop_model::Timestamp;
use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use crate::{Sha256, StoreError};

/// One row.
pub(crate) enum Row {
    Sqlite(Box<SqliteRow>),
    Postgres(Box<PgRow>),
}

/// An id of 16 bytes.
pub(crate) trait Id {
    fn from_bytes(bytes: [u8; 16]) -> Self;
}

/// A word of a closed set, kept as text.
pub(crate) trait Word: Sized + Copy + 'static {
    const ALL: &'static [(Self, &'static str)];

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
    }
}

fn corrupt(column: &str) -> StoreError {
    StoreError::Corrupt(format!("column {column}"))
}

fn present<T>(value: Option<T>, column: &str) -> Result<T, StoreError> {
    value.ok_or_else(|| corrupt(column))
}

impl Row {
    pub(crate) fn maybe_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|_| corrupt(column))
    }

    pub(crate) fn maybe_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|_| corrupt(column))
    }

    pub(crate) fn maybe_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|_| corrupt(column))
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64, StoreError> {
        present(self.maybe_int(column)?, column)
    }

    pub(crate) fn text(&self, column: &str) -> Result<String, StoreError> {
        present(self.maybe_text(column)?, column)
    }

    pub(crate) fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        present(self.maybe_bytes(column)?, column)
    }

    /// A count of any width.
    pub(crate) fn count<T: TryFrom<i64>>(&self, column: &str) -> Result<T, StoreError> {
        T::try_from(self.int(column)?).map_err(|_| corrupt(column))
    }

    pub(crate) fn maybe_count(&self, column: &str) -> Result<Option<u64>, StoreError> {
        self.maybe_int(column)?.map(|value| u64::try_from(value).map_err(|_| corrupt(column))).transpose()
    }

    pub(crate) fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_micros)
    }

    pub(crate) fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.maybe_int(column)?.map(Timestamp::from_micros))
    }

    pub(crate) fn id<T: Id>(&self, column: &str) -> Result<T, StoreError> {
        <[u8; 16]>::try_from(self.bytes(column)?).map(T::from_bytes).map_err(|_| corrupt(column))
    }

    pub(crate) fn maybe_id<T: Id>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let bytes = self.maybe_bytes(column)?;
        bytes
            .map(|bytes| <[u8; 16]>::try_from(bytes).map(T::from_bytes).map_err(|_| corrupt(column)))
            .transpose()
    }

    pub(crate) fn sha256(&self, column: &str) -> Result<Sha256, StoreError> {
        Sha256::try_from(self.bytes(column)?).map_err(|_| corrupt(column))
    }

    /// A checked name.
    pub(crate) fn name<T: FromStr>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| corrupt(column))
    }

    pub(crate) fn word<T: Word>(&self, column: &str) -> Result<T, StoreError> {
        present(T::from_word(&self.text(column)?), column)
    }

    pub(crate) fn maybe_word<T: Word>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let text = self.maybe_text(column)?;
        text.map(|text| present(T::from_word(&text), column)).transpose()
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|_| corrupt(column))
    }
}

/// Says how the values of an enum are written in a column; one that is not listed does not compile.
macro_rules! words {
    ($type:ty { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $crate::db::Word for $type {
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $word)),*];
        }
        impl From<$type> for $crate::db::Value {
            fn from(value: $type) -> Self {
                Self::from(match value { $(<$type>::$variant => $word),* })
            }
        }
        impl From<Option<$type>> for $crate::db::Value {
            fn from(value: Option<$type>) -> Self {
                value.map_or(Self::Text(None), Self::from)
            }
        }
    };
}
pub(crate) use words;
