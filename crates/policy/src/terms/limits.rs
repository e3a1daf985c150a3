//! The words of rules for how much and how often.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Returned;
use crate::rules::Period;

/// A number of bytes: `500KiB`, `10MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

/// Why a text is no number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of bytes: write a number and KiB, MiB or GiB, such as 500KiB or 10MiB")]
pub struct NotASize(String);

const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Size {
    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = NotASize;
    fn from_str(text: &str) -> Result<Self, NotASize> {
        let read = |(unit, bytes): (&str, u64)| {
            let digits = text.strip_suffix(unit)?;
            let is_number =
                (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| digits.parse::<u64>().ok())??;
            (number > 0).then_some(Self(number * bytes))
        };
        UNITS.into_iter().find_map(read).ok_or_else(|| NotASize(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.into_iter().find(|(_, bytes)| self.0.is_multiple_of(*bytes));
        let (unit, bytes) = fits.unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

impl TryFrom<String> for Size {
    type Error = NotASize;
    fn try_from(text: String) -> Result<Self, NotASize> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

/// How much one answer may return. At least one of the two is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtMost {
    /// Rows; of `COPY`, what the server sends at a time: a row, mostly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes, as the server sends them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Size>,
}

impl AtMost {
    /// It says something.
    pub(crate) const fn is_filled(&self) -> bool {
        self.rows.is_some() || self.bytes.is_some()
    }

    /// What of it an answer exceeds, in words.
    pub(crate) fn exceeded(&self, answer: Returned) -> Option<String> {
        let rows = self.rows.filter(|most| answer.rows > *most).map(|most| format!("{most} rows"));
        rows.or_else(|| self.bytes.filter(|most| answer.bytes > most.bytes()).map(|most| most.to_string()))
    }
}

/// How much one person may have of one connection by one rule, within a time, in all their sessions at one agent. At least one of the first three is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Statements that are run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements: Option<u64>,
    /// Rows that are returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes that are returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Size>,
    /// Within any stretch of this length, to a sixtieth of it.
    pub per: Period,
}

impl Rate {
    /// It says something.
    pub(crate) const fn is_filled(&self) -> bool {
        self.statements.is_some() || self.rows.is_some() || self.bytes.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes() {
        for (text, bytes, shown) in
            [("1KiB", 1024, "1KiB"), ("10MiB", 10 << 20, "10MiB"), ("2048MiB", 2 << 30, "2GiB")]
        {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown));
        }
        for wrong in ["", "1", "1MB", "0KiB", "-1KiB", "1 MiB", "1.5MiB", "1234567KiB", "MiB", "１MiB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong:?}");
        }
    }
}
