//! One statement, by its exact text: what an approval of a single statement is bound to.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

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

/// SHA-256 of a statement's text; written as hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatementHash([u8; 32]);

impl StatementHash {
    fn of(text: &[u8]) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, bare(text)).as_ref());
        Self(sha256)
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
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StatementHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a statement's hash is 64 hex digits")]
pub struct NotAHash;

impl FromStr for StatementHash {
    type Err = NotAHash;
    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(NotAHash);
        }
        let mut sha256 = [0; 32];
        for (byte, pair) in sha256.iter_mut().zip(pairs) {
            let digit = |at: u8| char::from(at).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = pair.iter().try_fold(0, |sum, at| Some(sum << 4 | digit(*at)?)).ok_or(NotAHash)?;
        }
        Ok(Self(sha256))
    }
}

impl TryFrom<String> for StatementHash {
    type Error = NotAHash;
    fn try_from(text: String) -> Result<Self, NotAHash> {
        text.parse()
    }
}

impl From<StatementHash> for String {
    fn from(hash: StatementHash) -> Self {
        hash.to_string()
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

    #[test]
    fn a_hash_is_written_and_read() {
        let hash = StatementHash::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!((hash.to_string().as_str(), text.parse()), (text, Ok(hash)));
        for wrong in ["", "e3", &text[1..], &format!("{text}0"), &text.replace('e', "g"), &"ä".repeat(32)] {
            assert_eq!(wrong.parse::<StatementHash>(), Err(NotAHash), "{wrong:?}");
        }
    }
}
