//! Patterns of columns, for masking and for statement rules.

use std::{fmt, str::FromStr};

use hoop_sql::Name;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::statements::{Certainty, glob};

/// `table.column` or `schema.table.column`: names as the server folds them, `*` for any run of characters. Without a schema
/// it is the table of that name in any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnPattern {
    schema: Option<String>,
    table: String,
    column: String,
}

impl ColumnPattern {
    /// The schema's pattern, the table's and the column's.
    #[must_use]
    pub fn parts(&self) -> (Option<&str>, &str, &str) {
        (self.schema.as_deref(), &self.table, &self.column)
    }

    /// It is a pattern of this table's columns.
    pub(crate) fn is_of(&self, table: &Name, certainty: Certainty) -> bool {
        let schema = match (&self.schema, &table.schema) {
            (None, _) => true,
            (Some(pattern), Some(schema)) => glob(pattern, schema),
            (Some(_), None) => certainty == Certainty::Maybe,
        };
        schema && glob(&self.table, &table.name)
    }

    /// It is a pattern of columns of this name, whatever their table.
    pub(crate) fn names(&self, column: &str) -> bool {
        glob(&self.column, column)
    }

    /// Has `*` in the table's or the column's name: such a pattern is held against every column there is.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.table.contains('*') || self.column.contains('*')
    }
}

/// Why a text is no pattern of columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern of columns: write table.column or schema.table.column, at most 300 bytes, without quotes"
)]
pub struct NotAColumn(String);

impl FromStr for ColumnPattern {
    type Err = NotAColumn;
    fn from_str(text: &str) -> Result<Self, NotAColumn> {
        let parts: Vec<&str> = text.split('.').collect();
        let is_part = |part: &&str| {
            !part.is_empty() && !part.chars().any(|c| c == '"' || c.is_control() || c.is_whitespace())
        };
        let (schema, table, column) = match parts[..] {
            [table, column] => (None, table, column),
            [schema, table, column] => (Some(schema), table, column),
            _ => return Err(NotAColumn(text.chars().take(80).collect())),
        };
        if text.len() > 300 || !parts.iter().all(is_part) {
            return Err(NotAColumn(text.chars().take(80).collect()));
        }
        Ok(Self { schema: schema.map(str::to_owned), table: table.to_owned(), column: column.to_owned() })
    }
}

impl fmt::Display for ColumnPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        write!(f, "{}.{}", self.table, self.column)
    }
}

impl Serialize for ColumnPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ColumnPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
