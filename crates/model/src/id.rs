//! Identifiers: a prefix that tells the kind, and a UUIDv7 (RFC 9562 §5.7) whose first bits are the time.
//!
//! Written `ses_` + 26 characters of lower-case base32 (RFC 4648 §6 without padding): sorts by time, can be
//! double-clicked, and survives shells and URLs.

use std::{fmt, str::FromStr};

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The prefix names another kind, or there is none.
    #[error("expected an id that starts with `{expected}_`")]
    WrongKind {
        /// The prefix wanted.
        expected: &'static str,
    },
    /// What follows the prefix is not 26 base32 characters.
    #[error("an id is its prefix and 26 characters of a-z and 2-7")]
    Malformed,
}

fn encoding() -> &'static Encoding {
    static ENCODING: std::sync::OnceLock<Encoding> = std::sync::OnceLock::new();
    ENCODING.get_or_init(|| {
        let mut specification = Specification::new();
        specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
        specification.encoding().unwrap_or(data_encoding::BASE32_NOPAD)
    })
}

fn parse(text: &str, prefix: &'static str) -> Result<Uuid, IdError> {
    let wrong_kind = IdError::WrongKind { expected: prefix };
    let body = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or(wrong_kind)?;
    let bytes = encoding().decode(body.as_bytes()).map_err(|_| IdError::Malformed)?;
    Uuid::from_slice(&bytes).map_err(|_| IdError::Malformed)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of the written form.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, unique and later than those before it.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// From the 16 bytes a store or a frame carries.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes, for a store or a frame.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), encoding().encode(self.0.as_bytes()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $prefix).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A person or a service account.
    UserId = "usr";
    /// A group that an identity provider provisions.
    GroupId = "grp";
    /// A sign-in of one person on one device; refresh and access tokens belong to it.
    LoginId = "lgn";
    /// One access or refresh token.
    TokenId = "tok";
    /// An agent, once enrolled.
    AgentId = "agt";
    /// A one-use token with which an agent enrols.
    JoinTokenId = "jtk";
    /// A named target behind an agent.
    ConnectionId = "con";
    /// One brokered use of one connection by one person.
    SessionId = "ses";
    /// One try of a connection by an admin.
    TestId = "tst";
    /// The signed permission that a session runs under.
    GrantId = "grt";
    /// One event of the ledger.
    EventId = "evt";
    /// A request for access, or an emergency.
    RequestId = "req";
    /// Something that people are told outside, on one channel.
    NoticeId = "ntc";
    /// Sealed codes that were made together.
    CodeSetId = "cod";
    /// A way in while the gateway is down, made beforehand.
    CapabilityId = "cap";
    /// A legal hold on recordings.
    HoldId = "hld";
    /// A passkey of one person.
    PasskeyId = "pky";
}

/// One byte stream of a session (a database connection, say): counted from 0 by the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u32);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = SessionId::generate();
        let text = id.to_string();
        assert!(text.starts_with("ses_"));
        assert_eq!(text.len(), 30);
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn another_kind_is_refused() {
        let text = UserId::generate().to_string();
        assert_eq!(text.parse::<SessionId>(), Err(IdError::WrongKind { expected: "ses" }));
    }

    #[test]
    fn garbage_is_refused() {
        for text in
            ["", "ses_", "ses_../../etc/passwd", "ses_aaaa", "ses_\0", "SES_aaaaaaaaaaaaaaaaaaaaaaaaaa"]
        {
            assert!(text.parse::<SessionId>().is_err(), "{text:?}");
        }
    }
}
