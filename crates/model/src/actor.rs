//! Who does something: a person, an agent, or the system itself.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{AgentId, AgentName, GroupName, LoginId, Timestamp, TokenId, UserId, UserName};

/// What somebody may do in the system as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Opens the connections that policy allows, and sees their own sessions.
    User,
    /// The same, and decides on what others ask for, where a rule names the role; sees what waits for a decision.
    Approver,
    /// Sees all sessions and evidence; changes nothing.
    Auditor,
    /// Manages people, agents and connections, and sees all sessions.
    Admin,
}

/// Whoever stands behind one account or several. Where somebody must be another than somebody else, these are compared,
/// and never accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonId(UserId);

impl PersonId {
    /// Of an account, which may be known to be the same person's as another one.
    #[must_use]
    pub const fn of(account: UserId, same_as: Option<UserId>) -> Self {
        match same_as {
            Some(first) => Self(first),
            None => Self(account),
        }
    }

    /// The account that stands for all of theirs.
    #[must_use]
    pub const fn account(self) -> UserId {
        self.0
    }
}

/// How somebody proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A built-in account: password and a TOTP code (RFC 6238).
    PasswordTotp,
    /// An OpenID Connect provider.
    Oidc,
    /// A service account's API token: no second factor stands behind it.
    ApiToken,
    /// Sealed codes of several holders, while there was no other way to sign in: good for an emergency alone.
    SealedCodes,
    /// A built-in account: a passkey alone (WebAuthn), which is both factors, for it verified its holder.
    Passkey,
}

/// What a second factor was proven with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// A code of an authenticator (RFC 6238).
    Totp,
    /// A one-use code in place of one.
    RecoveryCode,
    /// A passkey (WebAuthn) that verified its holder.
    Passkey,
    /// The identity provider says that it saw one.
    Idp,
    /// Sealed codes of several holders.
    SealedCodes,
}

/// A second factor that was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mfa {
    /// When.
    pub at: Timestamp,
    /// With what.
    pub by: FactorKind,
}

/// The one thing that an API token opens. What is in no scope is closed to every API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TokenScope {
    /// Opens sessions on the connections that rules allow, and sees its own.
    #[serde(rename = "connect")]
    Connect,
    /// Reads sessions, recordings and the ledger, for an account whose role is auditor.
    #[serde(rename = "evidence:read")]
    EvidenceRead,
    /// Provisions people and groups, for an identity provider, and does nothing else.
    #[serde(rename = "scim")]
    Scim,
}

impl TokenScope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Connect, Self::EvidenceRead, Self::Scim];

    /// The written form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::EvidenceRead => "evidence:read",
            Self::Scim => "scim",
        }
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a scope is connect, evidence:read or scim")]
pub struct UnknownScope;

impl FromStr for TokenScope {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
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
        /// With what.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mfa_by: Option<FactorKind>,
    },
    /// A service account, by one of its API tokens.
    ServiceAccount {
        /// Its id.
        id: UserId,
        /// Its name at the time.
        name: UserName,
        /// The role in force.
        role: Role,
        /// The token.
        token: TokenId,
        /// What the token opens.
        scope: TokenScope,
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
            Self::User { name, .. } | Self::ServiceAccount { name, .. } => name.as_str(),
            Self::Agent { name, .. } => name.as_str(),
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }
}
