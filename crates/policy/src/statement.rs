//! One statement, by its exact text: what an approval of a single statement is bound to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{NotAHash, Sha256};

/// A statement that was approved by its exact text, for one database. Holds no text: that may hold patients' data.
///
/// White space around it and semicolons after it are no part of the text; everything else is, comments too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnlyStatement {
    sha256: StatementHash,
    database: String,
}

impl OnlyStatement {
    /// For this text in this database.
    #[must_use]
    pub fn new(text: &str, database: &str) -> Self {
        Self::from_parts(StatementHash::of(text.as_bytes()), database.to_owned())
    }

    /// As it was kept.
    #[must_use]
    pub const fn from_parts(sha256: StatementHash, database: String) -> Self {
        Self { sha256, database }
    }

    /// Is it this text?
    #[must_use]
    pub fn is(&self, text: &[u8]) -> bool {
        StatementHash::of(text) == self.sha256
    }

    /// Names the text.
    #[must_use]
    pub const fn sha256(&self) -> &StatementHash {
        &self.sha256
    }

    /// The only database that it may run in.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }
}

/// SHA-256 of a statement's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatementHash(Sha256);

impl StatementHash {
    fn of(text: &[u8]) -> Self {
        Self(Sha256::of(bare(text)))
    }
}

/// The text without what surrounds it and changes nothing.
fn bare(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii();
    while let Some(shorter) = text.strip_suffix(b";") {
        text = shorter.trim_ascii_end();
    }
    text
}

impl fmt::Display for StatementHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StatementHash {
    type Err = NotAHash;
    fn from_str(text: &str) -> Result<Self, NotAHash> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_a_text_is_no_part_of_it() {
        let only = OnlyStatement::new(" select 1 ;\n", "clinic");
        for same in ["select 1", "select 1;", "\tselect 1 ; ;\r\n"] {
            assert!(only.is(same.as_bytes()), "{same:?}");
        }
        for other in ["select 1\u{a0}", "select 1 --;", "select\n1", "select 1;;1", ""] {
            assert!(!only.is(other.as_bytes()), "{other:?}");
        }
    }
}
