//! Access rules: the document in force, its versions, what a change would do, who reaches what.

use hoop_model::{ConnectionName, RuleName, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /rules`, `GET /rules/versions/{version}` (admin, auditor).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RulesView {
    /// Counts from 1; 0: none were ever written, and nobody may open anything.
    pub version: u64,
    /// The rules as YAML, in canonical form: `hoop admin apply -f` reads it.
    pub yaml: String,
    /// The same as JSON.
    #[schema(value_type = Object)]
    pub document: serde_json::Value,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub created_at: Option<Timestamp>,
}

/// `GET /rules/versions` (admin, auditor): the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RulesVersion {
    /// Its number.
    pub version: u64,
    /// Who wrote it.
    pub author: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
}

/// `PUT /rules` (admin): the whole document, as YAML or as JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesChange {
    /// As YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yaml: Option<String>,
    /// Or as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub document: Option<serde_json::Value>,
    /// The version that was changed: another one in force by now is a conflict. Absent: whatever is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// Answer to [`RulesChange`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RulesChanged {
    /// The version in force now.
    pub version: u64,
    /// Something differs from what was in force.
    pub changed: bool,
    /// It was only tried.
    pub dry_run: bool,
    /// What differs, for people: a line each.
    pub diff: String,
    /// What differs, for programs.
    #[schema(value_type = Object)]
    pub changes: serde_json::Value,
}

/// `GET /rules/reach` (admin, auditor): who reaches a connection, or what a person reaches.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReachView {
    /// Who.
    #[schema(value_type = String)]
    pub person: UserName,
    /// What.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// Under which rule.
    #[schema(value_type = String)]
    pub rule: RuleName,
    /// It is a rule for emergencies.
    pub break_glass: bool,
    /// By which of its subjects.
    pub through: String,
    /// What must hold besides, a sentence each.
    pub needs: Vec<String>,
}
