//! The facts of a case as people write them, and the question that they make.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use hoop_model::{ConnectionName, GroupName, LabelKey, LabelValue, RuleName, Timestamp, UserName};
use serde::Deserialize;

use crate::rules::{
    Approval, Asking, ConnectionFacts, MfaMethod, MfaProof, Period, Person, PersonKind, TargetUser,
};

/// What a decision is made of. What a case leaves out is taken from the file's `given`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// When.
    pub at: Option<Timestamp>,
    /// From where.
    pub address: Option<IpAddr>,
    /// Who.
    pub person: Option<PersonFact>,
    /// The second factor they proved; none if nothing is said.
    pub mfa: Option<MfaFact>,
    /// To what.
    pub connection: Option<ConnectionFact>,
    /// Why.
    pub reason: Option<String>,
    /// What others approved.
    pub approvals: Option<Vec<ApprovalFact>>,
    /// Sessions of theirs that live; none if nothing is said.
    pub live_sessions: Option<u32>,
    /// Whether the gateway cannot read along, which is so if nothing is said.
    pub end_to_end: Option<bool>,
    /// The glass is broken: the rules for emergencies are asked.
    pub emergency: Option<bool>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonFact {
    /// Login name.
    pub name: UserName,
    /// What kind of account.
    #[serde(default)]
    pub kind: KindFact,
    /// Groups in force.
    #[serde(default)]
    pub groups: BTreeSet<GroupName>,
    /// Its role in the system, which opens nothing; with `separate_admins` an admin opens nothing at all.
    #[serde(default)]
    pub role: RoleFact,
    /// It is locked.
    #[serde(default)]
    pub locked: bool,
}

/// What kind of account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KindFact {
    /// A human being.
    #[default]
    Human,
    /// A program.
    Service,
}

/// A role in the system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleFact {
    /// Uses connections.
    #[default]
    User,
    /// Decides for others.
    Approver,
    /// Reads the evidence.
    Auditor,
    /// Administers.
    Admin,
}

/// A second factor that was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MfaFact {
    /// How.
    pub by: MfaBy,
    /// How long ago; this moment if nothing is said.
    #[serde(default)]
    pub age: Option<Period>,
}

/// How a second factor was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MfaBy {
    /// Not at all.
    None,
    /// By a code.
    Totp,
    /// By a passkey.
    Passkey,
    /// The identity provider says that it saw one.
    Idp,
    /// By sealed codes of several holders.
    SealedCodes,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionFact {
    /// Its name.
    pub name: ConnectionName,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<LabelKey, LabelValue>,
}

/// An approval, good for whole sessions of whoever asks, to what they ask for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalFact {
    /// Under this rule.
    pub rule: RuleName,
    /// For somebody else.
    #[serde(default)]
    pub person: Option<UserName>,
    /// To something else.
    #[serde(default)]
    pub connection: Option<ConnectionName>,
    /// As this user at the target.
    #[serde(default, rename = "become")]
    pub target_user: Option<TargetUser>,
    /// Until then.
    pub until: Timestamp,
}

/// A fact that neither the case nor the file gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing is said about `{0}`: neither in the case nor in the file's `given`")]
pub struct Lacks(pub &'static str);

impl Facts {
    /// These, and `others` where these say nothing.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        let others = others.clone();
        Self {
            at: self.at.or(others.at),
            address: self.address.or(others.address),
            person: self.person.or(others.person),
            mfa: self.mfa.or(others.mfa),
            connection: self.connection.or(others.connection),
            reason: self.reason.or(others.reason),
            approvals: self.approvals.or(others.approvals),
            live_sessions: self.live_sessions.or(others.live_sessions),
            end_to_end: self.end_to_end.or(others.end_to_end),
            emergency: self.emergency.or(others.emergency),
        }
    }

    /// The question that they make.
    ///
    /// # Errors
    /// [`Lacks`] when one is missing that has no default.
    pub fn situation(self, separate_admins: bool) -> Result<Situation, Lacks> {
        let at = self.at.ok_or(Lacks("at"))?;
        let address = self.address.ok_or(Lacks("address"))?;
        let person = self.person.ok_or(Lacks("person"))?;
        let connection = self.connection.ok_or(Lacks("connection"))?;
        let approvals = self.approvals.unwrap_or_default().into_iter();
        let approvals = approvals.map(|approval| Approval {
            person: approval.person.unwrap_or_else(|| person.name.clone()),
            rule: approval.rule,
            connection: approval.connection.unwrap_or_else(|| connection.name.clone()),
            target_user: approval.target_user,
            only: None,
            statement_rule: None,
            until: approval.until,
        });
        Ok(Situation {
            at,
            address,
            approvals: approvals.collect(),
            person: person.account(self.mfa, separate_admins, at),
            connection: ConnectionFacts { name: connection.name, labels: connection.labels },
            reason: self.reason,
            live_sessions: self.live_sessions.unwrap_or(0),
            end_to_end: self.end_to_end.unwrap_or(true),
            emergency: self.emergency.unwrap_or(false),
        })
    }
}

impl PersonFact {
    fn account(self, mfa: Option<MfaFact>, separate_admins: bool, now: Timestamp) -> Person {
        Person {
            name: self.name,
            kind: match self.kind {
                KindFact::Human => PersonKind::Human,
                KindFact::Service => PersonKind::Service,
            },
            groups: self.groups,
            locked: self.locked,
            only_administers: separate_admins && self.role == RoleFact::Admin,
            mfa: mfa.and_then(|mfa| mfa.proof(now)),
        }
    }
}

impl MfaFact {
    fn proof(self, now: Timestamp) -> Option<MfaProof> {
        let method = match self.by {
            MfaBy::None => return None,
            MfaBy::Totp => MfaMethod::Totp,
            MfaBy::Passkey => MfaMethod::Passkey,
            MfaBy::Idp => MfaMethod::Idp,
            MfaBy::SealedCodes => MfaMethod::SealedCodes,
        };
        let at = self.age.map_or(now, |age| now.before(age.duration()));
        Some(MfaProof { at, method })
    }
}

/// A question, with all that it is decided by.
#[derive(Debug, Clone)]
pub struct Situation {
    pub(super) at: Timestamp,
    address: IpAddr,
    person: Person,
    connection: ConnectionFacts,
    reason: Option<String>,
    approvals: Vec<Approval>,
    live_sessions: u32,
    end_to_end: bool,
    pub(super) emergency: bool,
}

impl Situation {
    /// As it is asked.
    #[must_use]
    pub fn asking(&self) -> Asking<'_> {
        Asking {
            person: &self.person,
            connection: &self.connection,
            address: self.address,
            reason: self.reason.as_deref(),
            end_to_end: self.end_to_end,
            only: None,
            reading: None,
            approvals: &self.approvals,
            live_sessions: self.live_sessions,
        }
    }

    /// When it is asked.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether the rules for emergencies are asked.
    #[must_use]
    pub const fn is_emergency(&self) -> bool {
        self.emergency
    }

    /// The connection that is asked for.
    #[must_use]
    pub const fn connection(&self) -> &ConnectionFacts {
        &self.connection
    }
}
