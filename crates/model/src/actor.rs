//! Who does something: a person, an agent, or the system itself.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{AgentId, AgentName, GroupName, LoginId, Timestamp, UserId, UserName};

/// What somebody may do in the system as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Opens the connections that policy allows, and sees their own sessions.
    User,
    /// Sees all sessions and evidence; changes nothing.
    Auditor,
    /// Manages people, agents and connections, and sees all sessions.
    Admin,
}

/// How somebody proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A built-in account: password and a TOTP code (RFC 6238).
    PasswordTotp,
    /// An OpenID Connect provider.
    Oidc,
}

/// The address a request came from, as the gateway's socket saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientAddress(pub IpAddr);

/// Who did something, as the ledger writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A signed-in person.
    User {
        /// Their id.
        id: UserId,
        /// Their login name at the time.
        name: UserName,
        /// The sign-in this was done under.
        login: LoginId,
        /// The role in force.
        role: Role,
        /// Groups in force.
        groups: Vec<GroupName>,
        /// How they signed in.
        method: AuthMethod,
        /// When a second factor was last proven.
        mfa_at: Option<Timestamp>,
    },
    /// An enrolled agent.
    Agent {
        /// Its id.
        id: AgentId,
        /// Its name.
        name: AgentName,
    },
    /// The gateway itself (a sweeper, a start-up).
    System,
    /// Nobody yet: an attempt before sign-in.
    Anonymous,
}

impl Actor {
    /// The name to show.
    #[must_use]
    pub fn display_name(&self) -> &str {
        match self {
            Self::User { name, .. } => name.as_str(),
            Self::Agent { name, .. } => name.as_str(),
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }
}
