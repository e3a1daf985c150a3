//! People, agents and connections.

use std::collections::BTreeMap;

use hoop_model::{
    AgentId, AgentName, ConnectionId, ConnectionName, GroupName, LabelKey, LabelValue, ProtocolId, Role,
    Timestamp, UserId, UserName,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A connection. `GET /connections` lists those the caller may open; `?all=true` (admin, auditor) all of them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConnectionView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ConnectionId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: ConnectionName,
    /// What it speaks.
    #[schema(value_type = String)]
    pub protocol: ProtocolId,
    /// For people.
    pub description: String,
    /// An agent that serves it is connected.
    pub online: bool,
    /// A rule lets the caller open it, if what `needs` says holds.
    pub may_connect: bool,
    /// What must hold besides, a sentence each.
    #[serde(default)]
    pub needs: Vec<String>,
    /// A rule lets the caller open it in an emergency.
    #[serde(default)]
    pub break_glass: bool,
    /// For ready-to-paste commands: the database clients should name by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_database: Option<String>,
    /// Everything else; only for admins and auditors. Secrets stand in it as sources (`env:NAME`), never as values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<ConnectionDefinition>,
}

/// `PUT /connections/{name}` (admin): makes or replaces a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionDefinition {
    /// The agent that serves it.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// What it speaks.
    #[schema(value_type = String)]
    pub protocol: ProtocolId,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Read by the protocol's own type.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// What access rules select it by, such as `env: prod`.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub labels: BTreeMap<LabelKey, LabelValue>,
}

/// What came of `POST /connections/{name}/test` (admin): the agent logged in at the target, asked for its version, and left.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConnectionTest {
    /// It works.
    pub ok: bool,
    /// Who tried it.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// What was done, in order, and how long each took.
    pub steps: Vec<TestStep>,
    /// What the target calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// The TLS to the target; absent: none, or it did not come to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TargetTls>,
    /// What failed: `prepare` (settings and credential), `connect`, `tls`, `log in` or `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<crate::Problem>,
}

/// What came of `POST /connections/{name}/scan` (admin): the agent read a few values of each column, and tells which seem to
/// hold personal data. No value leaves it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConnectionScan {
    /// It was done.
    pub ok: bool,
    /// Who did it.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// So many columns were looked at.
    pub columns: u64,
    /// There are more, or some could not be read.
    pub partial: bool,
    /// What was found, in the order of names.
    pub findings: Vec<ColumnFound>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<crate::Problem>,
}

/// A column that seems to hold personal data.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ColumnFound {
    /// Its table's schema.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
    /// Its type, as the target writes it.
    pub type_name: String,
    /// What it seems to hold.
    pub kind: String,
    /// Values that were read.
    pub rows: u32,
    /// Of these, so many hold it.
    pub hits: u32,
    /// Its name says so.
    pub by_name: bool,
}

/// One step of a test.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TestStep {
    /// Which.
    pub name: String,
    /// Microseconds that it took.
    pub micros: u64,
}

/// The TLS to a target.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TargetTls {
    /// Such as `TLSv1.3`.
    pub version: String,
    /// The cipher suite.
    pub cipher: String,
    /// Whose certificate, by whom, until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// `GET /agents` (admin, auditor).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: AgentId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: AgentName,
    /// Its control stream is up.
    pub online: bool,
    /// Its version, as it said.
    pub version: String,
    /// Sessions it carries now.
    pub sessions: u32,
    /// Enrolled when.
    #[schema(value_type = String)]
    pub enrolled_at: Timestamp,
    /// Its certificate ends then; renewed well before.
    #[schema(value_type = String)]
    pub certificate_expires_at: Timestamp,
    /// Key that credentials are sealed to, base64.
    pub sealing_key: String,
}

/// `POST /agents/join-tokens` (admin).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenRequest {
    /// The only agent name that it is good for.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// Seconds it is good for (default 1 h, at most 24 h).
    #[serde(default = "default_join_ttl")]
    pub ttl_seconds: u64,
}

const fn default_join_ttl() -> u64 {
    3600
}

/// A join token, shown once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// `hoop-join-v1.…`: carries the CA's fingerprint, so that the agent trusts this gateway alone.
    pub token: String,
    /// Void after.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
}

/// `GET /users` (admin, auditor).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Their id.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Login name.
    #[schema(value_type = String)]
    pub name: UserName,
    /// Role.
    #[schema(value_type = String)]
    pub role: Role,
    /// Groups in force.
    pub groups: Vec<String>,
    /// From the identity provider, or built in.
    pub source: String,
    /// May not sign in or keep a session.
    pub locked: bool,
    /// Built-in account whose second factor is set up; always true for others.
    pub active: bool,
    /// Last sign-in.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub last_login_at: Option<Timestamp>,
    /// The same person's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub other_accounts: Vec<UserName>,
}

/// `POST /users/{name}/link` (admin): the account is the same person's. Approvals and reviews by one are then never
/// another's word about the other, and nobody administers an account of their own. `DELETE` takes the account out again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkAccount {
    /// The other account's login name.
    #[schema(value_type = String)]
    pub account: UserName,
}

/// `POST /users` (admin): a built-in account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Login name.
    #[schema(value_type = String)]
    pub name: UserName,
    /// Role.
    #[schema(value_type = String)]
    pub role: Role,
    /// Groups.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub groups: Vec<GroupName>,
}

/// Answer to [`NewUser`]: the link to hand over, shown once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewUserCreated {
    /// The account.
    pub user: UserView,
    /// One-use link, good for 24 h.
    pub setup_url: String,
}

/// `PATCH /users/{name}` (admin; nobody may change their own role or groups).
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// New role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
    /// New groups, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub groups: Option<Vec<GroupName>>,
    /// Lock (ends all sign-ins and sessions) or unlock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
}
