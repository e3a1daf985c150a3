//! Which rule of a module is asked, and what can come of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a path.
const LONGEST: usize = 200;

/// A rule of a module: `data.PACKAGE.RULE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct When(String);

/// Why a text is no path of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no rule of a module: write data.PACKAGE.RULE, at most {LONGEST} bytes")]
pub struct NotAPath(String);

impl When {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for When {
    type Err = NotAPath;
    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let is_name = |part: &str| {
            !part.starts_with(|first: char| first.is_ascii_digit())
                && !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let mut parts = text.split('.');
        let data = parts.next() == Some("data");
        if data && text.len() <= LONGEST && parts.clone().count() >= 2 && parts.all(is_name) {
            return Ok(Self(text.to_owned()));
        }
        Err(NotAPath(text.chars().take(80).collect()))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What came of asking. Only [`Answer::True`] lets anything through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// It is exactly `true`.
    #[error("holds")]
    True,
    /// It is exactly `false`.
    #[error("does not hold")]
    False,
    /// It has no value.
    #[error("does not hold: it has no value")]
    Undefined,
    /// It has a value that is neither `true` nor `false`.
    #[error("does not hold: its value is neither true nor false")]
    OtherType,
    /// It took longer than it may.
    #[error("could not be decided in time")]
    OutOfTime,
    /// It ended with an error.
    #[error("could not be decided: it failed")]
    Failed {
        /// For those who wrote it; not part of the sentence that people read.
        error: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_rules() {
        for good in ["data.hours.open", "data.a.b_c.D1"] {
            assert_eq!(good.parse::<When>().unwrap().as_str(), good);
        }
        let long = format!("data.a.{}", "b".repeat(200));
        for wrong in [
            "",
            "data",
            "data.a",
            "data.a.",
            "data..a",
            "input.a.b",
            "data.a.b[0]",
            "data.a.1b",
            "data.a.b ",
            "DATA.a.b",
            "data.a.b-c",
            "data.a.ß",
            &long,
        ] {
            assert!(wrong.parse::<When>().is_err(), "{wrong:?}");
        }
    }
}
