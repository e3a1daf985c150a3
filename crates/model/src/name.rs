//! Names that people choose, checked so that none can inject into a certificate, a header, a shell or a path.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("{what} must not be empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// Longer than the limit.
    #[error("{what} has {length} bytes; at most {limit} are allowed")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A character outside the allowed set.
    #[error("{what} must not contain {found:?}: allowed are {allowed}")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// The first character that is not allowed.
        found: char,
        /// What is allowed, for a person to read.
        allowed: &'static str,
    },
}

struct Rule {
    what: &'static str,
    limit: usize,
    allowed: &'static str,
    first: fn(char) -> bool,
    rest: fn(char) -> bool,
}

impl Rule {
    fn check(&self, text: &str) -> Result<(), NameError> {
        if text.is_empty() {
            return Err(NameError::Empty { what: self.what });
        }
        if text.len() > self.limit {
            return Err(NameError::TooLong { what: self.what, length: text.len(), limit: self.limit });
        }
        let wrong = text
            .chars()
            .enumerate()
            .find(|(at, c)| !if *at == 0 { (self.first)(*c) } else { (self.rest)(*c) });
        match wrong {
            Some((_, found)) => Err(NameError::Character { what: self.what, found, allowed: self.allowed }),
            None => Ok(()),
        }
    }
}

const fn slug_first(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

const fn slug_rest(c: char) -> bool {
    slug_first(c) || c == '-' || c == '_' || c == '.'
}

const fn address_first(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

const fn address_rest(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@')
}

const fn label_rest(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | ' ')
}

const SLUG: &str = "a-z, 0-9, '-', '_' and '.', the first a letter or digit";

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident { what: $what:literal, limit: $limit:literal, allowed: $allowed:expr,
        first: $first:expr, rest: $rest:expr } )*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Checks a text.
            ///
            /// # Errors
            /// [`NameError`] says which character or length is wrong.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                Rule { what: $what, limit: $limit, allowed: $allowed, first: $first, rest: $rest }.check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// A connection's name: what people type after `hoop connect`.
    ConnectionName { what: "a connection's name", limit: 63, allowed: SLUG, first: slug_first, rest: slug_rest }
    /// An agent's name.
    AgentName { what: "an agent's name", limit: 63, allowed: SLUG, first: slug_first, rest: slug_rest }
    /// A protocol's name, such as `postgres`.
    ProtocolId { what: "a protocol's name", limit: 31, allowed: SLUG, first: slug_first, rest: slug_rest }
    /// A person's login name, often an e-mail address.
    UserName {
        what: "a user's name", limit: 128, allowed: "A-Z, a-z, 0-9 and . _ - + @, the first a letter or digit",
        first: address_first, rest: address_rest
    }
    /// A group, as the identity provider names it.
    GroupName {
        what: "a group's name", limit: 128, allowed: "A-Z, a-z, 0-9, space and . _ - : /, the first a letter or digit",
        first: address_first, rest: label_rest
    }
    /// A channel that notices go out by.
    ChannelName { what: "a channel's name", limit: 63, allowed: SLUG, first: slug_first, rest: slug_rest }
    /// An access rule's name.
    RuleName { what: "a rule's name", limit: 63, allowed: SLUG, first: slug_first, rest: slug_rest }
    /// What a label of a connection is about, such as `env`.
    LabelKey { what: "a label's key", limit: 63, allowed: SLUG, first: slug_first, rest: slug_rest }
    /// What a label says, such as `prod`. Compared as it is: case counts.
    LabelValue {
        what: "a label's value", limit: 128, allowed: "A-Z, a-z, 0-9, space and . _ - : /, the first a letter or digit",
        first: address_first, rest: label_rest
    }
}

impl UserName {
    /// The form under which names are compared: two that differ in case alone are one person.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl ProtocolId {
    /// Whether people reach it with an SSH client: hosts, and programs on an agent's own machine.
    #[must_use]
    pub fn is_reached_by_ssh(&self) -> bool {
        matches!(self.as_str(), "ssh" | "exec")
    }

    /// Whether it has pods.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.as_str() == "kubernetes"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_inject_is_refused() {
        let hostile = [
            "",
            " ",
            "a b",
            "a,b",
            "a*",
            "a\nb",
            "a\0b",
            "a\u{202e}b",
            "pаypal",
            "-rf",
            "../x",
            "a'b",
            "a\"b",
            "a;b",
            "$(x)",
            "`x`",
            "a%0ab",
            "ａ",
            "a=b",
            "a?b",
            "a&b",
            "a\\b",
        ];
        for text in hostile {
            assert!(ConnectionName::new(text).is_err(), "{text:?}");
            assert!(UserName::new(text).is_err(), "{text:?}");
            assert!(RuleName::new(text).is_err(), "{text:?}");
            assert!(LabelKey::new(text).is_err(), "{text:?}");
            assert!(ChannelName::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_people_use_is_accepted() {
        assert!(ConnectionName::new("pg-prod.eu_1").is_ok());
        assert!(UserName::new("Ada.Lovelace+ops@example.org").is_ok());
        assert!(GroupName::new("DBA / on-call").is_ok());
    }

    #[test]
    fn the_error_says_what_is_wrong() {
        let error = ConnectionName::new("Prod").unwrap_err();
        assert!(error.to_string().contains("'P'"), "{error}");
    }

    proptest! {
        #[test]
        fn a_name_never_holds_a_control_or_non_ascii_character(text in ".*") {
            if let Ok(name) = UserName::new(text) {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
