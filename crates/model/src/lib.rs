//! The words every other crate uses: ids, names, people, secrets, errors a person may read.
//!
//! Nothing here does I/O, reads a clock or knows a protocol. A value of these types has been checked: parsing is
//! the only way in, so code behind the edge never meets an id of the wrong kind or a name that could inject.

mod actor;
mod dns;
mod fault;
mod id;
mod name;
mod redacted;
mod time;

pub use actor::{
    Actor, AuthMethod, ClientAddress, FactorKind, Mfa, PersonId, Role, TokenScope, UnknownScope,
};
pub use dns::{DnsError, DnsLabel, DnsName};
pub use fault::{Blame, Code, Fault};
pub use id::{
    AgentId, CapabilityId, CodeSetId, ConnectionId, EventId, GrantId, GroupId, HoldId, IdError, JoinTokenId,
    LoginId, NoticeId, PasskeyId, RequestId, SessionId, StreamId, TestId, TokenId, UserId,
};
pub use name::{
    AgentName, ChannelName, ConnectionName, GroupName, LabelKey, LabelValue, NameError, ProtocolId, RuleName,
    UserName,
};
pub use redacted::Redacted;
pub use time::Timestamp;
