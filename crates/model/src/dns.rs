//! Names of objects in a cluster (RFC 1123), checked so that none can leave its place in a path.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is no name of an object in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} has a-z, 0-9 and '-', begins and ends with a letter or digit, and has at most {limit} bytes")]
pub struct DnsError {
    what: &'static str,
    limit: usize,
}

/// Letters and digits, and between them `-`.
fn is_label(text: &str) -> bool {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| letter(byte) || *byte == b'-')
        && bytes.first().is_some_and(letter)
        && bytes.last().is_some_and(letter)
}

fn is_name(text: &str) -> bool {
    text.split('.').all(is_label)
}

macro_rules! dns {
    ($($(#[$doc:meta])* $name:ident { what: $what:literal, limit: $limit:literal, is: $is:expr })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks a text.
            ///
            /// # Errors
            /// [`DnsError`] says what such a name is.
            pub fn new(text: impl Into<String>) -> Result<Self, DnsError> {
                let text = text.into();
                let is: fn(&str) -> bool = $is;
                if text.len() <= $limit && is(&text) {
                    return Ok(Self(text));
                }
                Err(DnsError { what: $what, limit: $limit })
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

dns! {
    /// A namespace, or a container.
    DnsLabel { what: "such a name", limit: 63, is: is_label }
    /// A pod: labels with dots between them.
    DnsName { what: "each part of such a name", limit: 253, is: is_name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_place() {
        let hostile = [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "a.-b",
            "A",
            "a_b",
            "a/b",
            "a%2fb",
            "a?b",
            "a#b",
            "a&b",
            "a b",
            "a\n",
            "a\0",
            "ä",
            "ａ",
            "a\u{202e}",
        ];
        for text in hostile {
            assert!(DnsName::new(text).is_err(), "{text:?}");
            assert!(DnsLabel::new(text).is_err(), "{text:?}");
            let json = serde_json::json!(text);
            assert!(serde_json::from_value::<DnsName>(json).is_err(), "{text:?}");
        }
        assert!(DnsLabel::new("a.b").is_err());
        assert!(DnsLabel::new("a".repeat(64)).is_err() && DnsName::new("a".repeat(254)).is_err());
    }

    #[test]
    fn what_clusters_have_is_accepted() {
        for text in ["web-7f9c6d5b8-x2x1z", "0", "kube-system"] {
            assert!(DnsLabel::new(text).is_ok() && DnsName::new(text).is_ok(), "{text}");
        }
        assert!(DnsName::new("etcd-node1.example.org").is_ok());
        assert!(DnsName::new("a".repeat(253)).is_ok());
    }
}
