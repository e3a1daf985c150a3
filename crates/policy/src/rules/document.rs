//! A rule file as people write it. Reading it is the business of `parse`, whether it makes sense that of `check`.
//!
//! An absent field has the default that stands here, never "anything goes"; an empty list is refused, for nobody can
//! tell whether it means nothing or everything.

use std::collections::{BTreeMap, BTreeSet};

use hoop_model::{GroupName, LabelKey, LabelValue, RuleName, UserName};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ClusterRule, CommandRule, Forwarding, Masking, StatementRule, rego::When};

use super::words::{
    Clock, ConnectionPattern, Day, DecidingRole, MfaMethod, Network, Period, RecordingMode, Retention,
    TargetUser, Zone,
};

const HOUR: u64 = 3600;

/// Allows some people some connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique in the file, also among the break-glass rules.
    pub name: RuleName,
    /// For people.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A rule that is not enabled allows nothing.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// Who.
    pub subjects: Subjects,
    /// What.
    pub connections: Connections,
    /// On which conditions.
    #[serde(default)]
    pub conditions: Conditions,
    /// Within which limits.
    #[serde(default)]
    pub limits: Limits,
    /// The user at the target; the connection's own if absent.
    #[serde(
        rename = "become",
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub target_user: Option<TargetUser>,
    /// Streaming or logical replication.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_replication: bool,
    /// The database itself is to refuse changes: each transaction of a session is read-only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// What may be forwarded over sessions of hosts, to what the connection's settings list; nothing if absent.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub forwarding: BTreeSet<Forwarding>,
    /// What each statement is held against, in this order; none: any may run.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<StatementRule>,
    /// What each command on a host is held against, in this order; none: any may run. With them nothing but commands may.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandRule>,
    /// What each request of a cluster's API is held against, in this order; none: any may go that the cluster itself allows.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<ClusterRule>,
    /// What is shown of the answers; what detectors find is masked if absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub masking: Masking,
}

/// Who a rule is about: any of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subjects {
    /// People by name; case does not count.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<UserName>,
    /// Groups of people. A service account is named itself, never by a group: it has no second factor.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupName>,
    /// Service accounts by name.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub service_accounts: BTreeSet<UserName>,
}

/// People: any of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// By name; case does not count.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<UserName>,
    /// By group.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupName>,
}

/// Who decides for others: any of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deciders {
    /// By name; case does not count.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<UserName>,
    /// By group.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupName>,
    /// By role. A role that is not named here decides nothing, an admin's neither.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<DecidingRole>,
}

/// Which connections: named here, or with all of the labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// By name, or `*` alone for all.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<ConnectionPattern>,
    /// By label: each key must be there with one of its values.
    #[serde(default, deserialize_with = "labels", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<LabelKey, BTreeSet<LabelValue>>,
}

/// What must hold. All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// The second factor. It cannot be turned off; service accounts have none.
    #[serde(default)]
    pub mfa: MfaRule,
    /// One of these windows is open. None given: always.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeWindow>,
    /// The request comes from one of these. None given: anywhere.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub networks: BTreeSet<Network>,
    /// A reason is given.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reason: bool,
    /// Others approve.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRule>,
    /// Only through a connector that keeps the gateway from reading along.
    #[serde(default, skip_serializing_if = "is_false")]
    pub end_to_end_only: bool,
    /// This rule of the file's `modules` is `true`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// How fresh and of which kind a second factor must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MfaRule {
    /// Proven within this time.
    #[serde(default = "twelve_hours")]
    pub max_age: Period,
    /// By one of these methods; any if absent.
    #[serde(default = "any_method", deserialize_with = "filled", skip_serializing_if = "is_any_method")]
    pub methods: BTreeSet<MfaMethod>,
}

impl Default for MfaRule {
    fn default() -> Self {
        Self { max_age: twelve_hours(), methods: any_method() }
    }
}

/// A part of the week, by the wall clock of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    /// The days on which it opens; all if absent.
    #[serde(default = "every_day", deserialize_with = "filled", skip_serializing_if = "is_every_day")]
    pub days: BTreeSet<Day>,
    /// From this time of day.
    pub from: Clock,
    /// Until this one; if it is earlier than `from`, then of the next day.
    pub to: Clock,
    /// Where the clock hangs.
    pub zone: Zone,
}

/// Who must approve, and for how long that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// Any of these people, but never for themselves.
    pub approvers: Deciders,
    /// So many different ones.
    #[serde(default = "one")]
    pub count: u8,
    /// An approval lasts no longer than this.
    #[serde(default = "four_hours")]
    pub longest: Period,
}

impl ApprovalRule {
    /// How long one lasts where nothing else is said.
    pub(crate) const LONGEST: Period = four_hours();
}

/// What a session may not exceed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// From start to end.
    #[serde(default = "eight_hours")]
    pub duration: Period,
    /// Without a byte from the client.
    #[serde(default = "half_an_hour")]
    pub idle: Period,
    /// Live at once, of one person. None given: no limit.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
    /// How it is recorded.
    #[serde(default)]
    pub recording: RecordingMode,
    /// How long its recording is kept after its end. None given: as the gateway's configuration has it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

impl Default for Limits {
    fn default() -> Self {
        let (duration, idle) = (eight_hours(), half_an_hour());
        Self { duration, idle, sessions: None, recording: RecordingMode::Bounded, retention: None }
    }
}

/// Lets some people in at once in an emergency, seen by everybody and reviewed afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassRule {
    /// Unique in the file, also among the ordinary rules.
    pub name: RuleName,
    /// For people.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A rule that is not enabled allows nothing.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// Who. People only: a service account has no emergency.
    pub subjects: People,
    /// What.
    pub connections: Connections,
    /// The second factor, fresh if not said otherwise.
    #[serde(default = "fresh", deserialize_with = "fresh_mfa")]
    pub mfa: MfaRule,
    /// Also for who signed in with sealed codes, while the identity provider was away.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sealed_codes: bool,
    /// Within which limits. It is always recorded strictly.
    #[serde(default)]
    pub limits: BreakGlassLimits,
    /// The user at the target; the connection's own if absent.
    #[serde(
        rename = "become",
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub target_user: Option<TargetUser>,
    /// The same person must wait for the review of the last use.
    #[serde(default = "yes")]
    pub review_before_next_use: bool,
    /// Who closes the review; admins if absent.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub reviewers: Option<Deciders>,
    /// What is shown of the answers; what detectors find is masked if absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub masking: Masking,
}

/// What an emergency may not exceed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassLimits {
    /// From start to end.
    #[serde(default = "one_hour")]
    pub duration: Period,
    /// Without a byte from the client.
    #[serde(default = "quarter_of_an_hour")]
    pub idle: Period,
    /// How long its recording is kept after its end. None given: as the gateway's configuration has it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

impl Default for BreakGlassLimits {
    fn default() -> Self {
        Self { duration: one_hour(), idle: quarter_of_an_hour(), retention: None }
    }
}

const fn one_hour() -> Period {
    Period::seconds(HOUR)
}

const fn four_hours() -> Period {
    Period::seconds(4 * HOUR)
}

const fn eight_hours() -> Period {
    Period::seconds(8 * HOUR)
}

const fn twelve_hours() -> Period {
    Period::seconds(12 * HOUR)
}

const fn half_an_hour() -> Period {
    Period::seconds(HOUR / 2)
}

const fn quarter_of_an_hour() -> Period {
    Period::seconds(HOUR / 4)
}

const fn five_minutes() -> Period {
    Period::seconds(300)
}

const fn one() -> u8 {
    1
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_true(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

fn is_default(masking: &Masking) -> bool {
    *masking == Masking::default()
}

fn any_method() -> BTreeSet<MfaMethod> {
    MfaMethod::ALL.into()
}

fn is_any_method(methods: &BTreeSet<MfaMethod>) -> bool {
    methods.len() == MfaMethod::ALL.len()
}

fn every_day() -> BTreeSet<Day> {
    Day::ALL.into()
}

fn is_every_day(days: &BTreeSet<Day>) -> bool {
    days.len() == Day::ALL.len()
}

fn fresh() -> MfaRule {
    MfaRule { max_age: five_minutes(), methods: any_method() }
}

fn fresh_mfa<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MfaRule, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename = "MfaRule")]
    struct Fresh {
        #[serde(default = "five_minutes")]
        max_age: Period,
        #[serde(default = "any_method", deserialize_with = "filled")]
        methods: BTreeSet<MfaMethod>,
    }
    let Fresh { max_age, methods } = Fresh::deserialize(deserializer)?;
    Ok(MfaRule { max_age, methods })
}

/// A field that is named has a value: `approval:` with nothing behind it must not mean "no approval".
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

pub(crate) trait Filled {
    fn is_filled(&self) -> bool;
}

impl<T> Filled for Vec<T> {
    fn is_filled(&self) -> bool {
        !self.is_empty()
    }
}

impl<T> Filled for BTreeSet<T> {
    fn is_filled(&self) -> bool {
        !self.is_empty()
    }
}

impl<K, V> Filled for BTreeMap<K, V> {
    fn is_filled(&self) -> bool {
        !self.is_empty()
    }
}

const EMPTY: &str = "an empty list says nothing: put something in or leave the field out";

/// A list that is named has an entry: `networks: []` must not mean "from anywhere".
pub(crate) fn filled<'de, D: Deserializer<'de>, T: Deserialize<'de> + Filled>(
    deserializer: D,
) -> Result<T, D::Error> {
    let list = T::deserialize(deserializer)?;
    if list.is_filled() { Ok(list) } else { Err(serde::de::Error::custom(EMPTY)) }
}

fn labels<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<LabelKey, BTreeSet<LabelValue>>, D::Error> {
    let labels = BTreeMap::<LabelKey, BTreeSet<LabelValue>>::deserialize(deserializer)?;
    if labels.is_empty() || labels.values().any(BTreeSet::is_empty) {
        return Err(serde::de::Error::custom(EMPTY));
    }
    Ok(labels)
}
