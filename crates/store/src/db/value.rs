//! The three types of value that both databases share, and how ours become them.

use hoop_model::{
    AgentId, AgentName, CapabilityId, ChannelName, CodeSetId, ConnectionId, ConnectionName, EventId, GroupId,
    GroupName, HoldId, JoinTokenId, LoginId, NoticeId, PasskeyId, ProtocolId, RequestId, SessionId,
    Timestamp, TokenId, UserId, UserName,
};

/// A value bound to a statement; each kind has its own NULL, since PostgreSQL wants to know the type of one.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

/// The values of `$1`, `$2` and so on.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
pub(crate) use args;

/// PostgreSQL's text cannot hold NUL; the two databases shall keep the same.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<Option<u64>> for Value {
    fn from(value: Option<u64>) -> Self {
        value.map_or(Self::Int(None), Self::from)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}

impl From<Option<bool>> for Value {
    fn from(value: Option<bool>) -> Self {
        Self::Int(value.map(i64::from))
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.as_micros()))
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::as_micros))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(without_nul(value)))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::from(value.as_str())
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(without_nul))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<Option<&[u8]>> for Value {
    fn from(value: Option<&[u8]>) -> Self {
        Self::Bytes(value.map(<[u8]>::to_vec))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

/// JSON is kept as text.
impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        Self::Text(Some(value.to_string()))
    }
}

/// A list of names, as a JSON array.
impl From<&[GroupName]> for Value {
    fn from(names: &[GroupName]) -> Self {
        Self::from(&serde_json::Value::from(names.iter().map(GroupName::as_str).collect::<Vec<_>>()))
    }
}

impl From<Option<&[GroupName]>> for Value {
    fn from(names: Option<&[GroupName]>) -> Self {
        names.map_or(Self::Text(None), Self::from)
    }
}

macro_rules! ids {
    ($($id:ident),*) => {$(
        impl From<$id> for Value {
            fn from(id: $id) -> Self {
                Self::Bytes(Some(id.as_bytes().to_vec()))
            }
        }
        impl From<Option<$id>> for Value {
            fn from(id: Option<$id>) -> Self {
                Self::Bytes(id.map(|id| id.as_bytes().to_vec()))
            }
        }
        impl super::row::Id for $id {
            fn from_bytes(bytes: [u8; 16]) -> Self {
                Self::from_bytes(bytes)
            }
        }
    )*};
}
ids!(
    AgentId,
    CapabilityId,
    ConnectionId,
    EventId,
    GroupId,
    HoldId,
    JoinTokenId,
    LoginId,
    NoticeId,
    CodeSetId,
    PasskeyId,
    RequestId,
    SessionId,
    TokenId,
    UserId
);

macro_rules! names {
    ($($name:ident),*) => {$(
        impl From<&$name> for Value {
            fn from(name: &$name) -> Self {
                Self::Text(Some(name.as_str().to_owned()))
            }
        }
        impl From<Option<&$name>> for Value {
            fn from(name: Option<&$name>) -> Self {
                Self::Text(name.map(|name| name.as_str().to_owned()))
            }
        }
    )*};
}
names!(AgentName, ChannelName, ConnectionName, GroupName, ProtocolId, UserName);
