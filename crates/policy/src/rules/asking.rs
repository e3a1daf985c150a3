//! What a decision is about: the person, the connection, and what they bring. All as the gateway knows it now.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use hoop_model::{ConnectionName, GroupName, LabelKey, LabelValue, RuleName, Timestamp, UserName};
use hoop_sql::Reading;

use super::{
    document::Deciders,
    words::{DecidingRole, MfaMethod, OpenedBy, RecordingMode, Retention, TargetUser},
};
use crate::{OnlyStatement, Rules};

/// What kind of account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonKind {
    /// A human being: needs a second factor.
    Human,
    /// A program. Rules name it as a service account, never by a group, and it has no second factor.
    Service,
}

/// The account that asks. A role in the system is no part of it: an admin opens what a rule allows, unless administration
/// is kept apart.
#[derive(Debug, Clone)]
pub struct Person {
    /// Login name.
    pub name: UserName,
    /// What kind of account.
    pub kind: PersonKind,
    /// Groups in force.
    pub groups: BTreeSet<GroupName>,
    /// Locked accounts open nothing.
    pub locked: bool,
    /// An account that is for administration alone opens nothing either.
    pub only_administers: bool,
    /// The second factor proven last; `None` denies.
    pub mfa: Option<MfaProof>,
}

/// Somebody who is to approve or review.
#[derive(Debug, Clone, Copy)]
pub struct Decider<'a> {
    /// Under this account.
    pub person: &'a Person,
    /// With this role.
    pub role: Option<DecidingRole>,
    /// They are the very person that it is about, under this account or another.
    pub is_concerned: bool,
}

/// A second factor that was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MfaProof {
    /// When.
    pub at: Timestamp,
    /// How.
    pub method: MfaMethod,
}

/// A connection, as far as rules look at it.
#[derive(Debug, Clone)]
pub struct ConnectionFacts {
    /// Its name.
    pub name: ConnectionName,
    /// Its labels.
    pub labels: BTreeMap<LabelKey, LabelValue>,
}

/// An approval that enough people gave. It is good for exactly what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// For this account.
    pub person: UserName,
    /// Under this rule.
    pub rule: RuleName,
    /// To this connection.
    pub connection: ConnectionName,
    /// As this user at the target.
    pub target_user: Option<TargetUser>,
    /// For this statement alone; for whole sessions if absent.
    pub only: Option<OnlyStatement>,
    /// As the approvers of this statement rule, which asks for it; as those of the rule if absent.
    pub statement_rule: Option<RuleName>,
    /// Until then, and not a moment longer.
    pub until: Timestamp,
}

/// Somebody wants to open a connection.
#[derive(Debug, Clone)]
pub struct Asking<'a> {
    /// Who.
    pub person: &'a Person,
    /// What.
    pub connection: &'a ConnectionFacts,
    /// From where.
    pub address: IpAddr,
    /// Why.
    pub reason: Option<&'a str>,
    /// Whether the gateway cannot read along.
    pub end_to_end: bool,
    /// Wanted for this statement alone.
    pub only: Option<&'a OnlyStatement>,
    /// What was read of that statement. Without it the agent refuses what a statement rule asks an approval for.
    pub reading: Option<&'a Reading>,
    /// What was approved; what does not fit is ignored.
    pub approvals: &'a [Approval],
    /// Sessions of this person that live now.
    pub live_sessions: u32,
}

/// A session that lives, looked at again.
#[derive(Debug, Clone)]
pub struct Staying<'a> {
    /// Whose it is, as they are now.
    pub person: &'a Person,
    /// What it is to, as that is now.
    pub connection: &'a ConnectionFacts,
    /// Where it came from.
    pub address: IpAddr,
    /// The reason given.
    pub reason: Option<&'a str>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it was to end.
    pub ends_at: Timestamp,
    /// The rule it was opened under.
    pub rule: &'a RuleName,
    /// How it was let in.
    pub opened_by: OpenedBy,
    /// How it is recorded.
    pub recording: RecordingMode,
    /// The user at the target that the rule laid down.
    pub target_user: Option<&'a TargetUser>,
    /// What its requests may be.
    pub rules: &'a Rules,
    /// What is approved now: a revoked approval is not among them.
    pub approvals: &'a [Approval],
    /// Whether the gateway cannot read along.
    pub end_to_end: bool,
}

/// Yes, on these terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The rule that allows it.
    pub rule: RuleName,
    /// The session ends then, whatever happens.
    pub ends_at: Timestamp,
    /// It ends after this long without a byte from the client.
    pub idle_timeout: Duration,
    /// How it is recorded.
    pub recording: RecordingMode,
    /// How long its recording is kept after its end; as the gateway has it if absent.
    pub retention: Option<Retention>,
    /// The user at the target; the connection's own if absent.
    pub target_user: Option<TargetUser>,
    /// Which requests may go to the target.
    pub rules: Rules,
    /// Why, for the ledger.
    pub because: String,
    /// Which of the approvals it rests on.
    pub approval_used: Option<usize>,
}

/// In, by emergency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlassPermission {
    /// The rule that allows it.
    pub rule: RuleName,
    /// The session ends then, whatever happens.
    pub ends_at: Timestamp,
    /// It ends after this long without a byte from the client.
    pub idle_timeout: Duration,
    /// Always strict.
    pub recording: RecordingMode,
    /// How long its recording is kept after its end; as the gateway has it if absent.
    pub retention: Option<Retention>,
    /// The user at the target; the connection's own if absent.
    pub target_user: Option<TargetUser>,
    /// Which requests may go to the target.
    pub rules: Rules,
    /// Why, for the ledger.
    pub because: String,
    /// The caller refuses it while a review of this person's last use is open.
    pub review_before_next_use: bool,
    /// Who closes the review; admins if absent.
    pub reviewers: Option<Deciders>,
}

/// A session may live on, on these terms: never wider than those it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The rule that allows it now.
    pub rule: RuleName,
    /// It must end then: no later than it was to end.
    pub ends_at: Timestamp,
    /// It ends after this long without a byte from the client.
    pub idle_timeout: Duration,
}
