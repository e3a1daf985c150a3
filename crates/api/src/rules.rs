//! Access rules: the document in force, its versions, what a change would do, who reaches what.

use hoop_model::{ConnectionName, RuleName, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Problem;

/// `GET /rules`, `GET /rules/versions/{version}` (admin, auditor).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RulesView {
    /// Counts from 1; 0: none were ever written, and nobody may open anything.
    pub version: u64,
    /// SHA-256 of the document as it is kept: JSON, the keys of each object in order, no white space. Grants, recordings and
    /// events name rules by it.
    pub sha256: String,
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
    /// The signed bundle that it came in, if it came in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleView>,
}

/// A signed bundle that rules came in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BundleView {
    /// Its own number.
    pub version: u64,
    /// SHA-256 of its file.
    pub sha256: String,
}

/// `GET /rules/versions` (admin, auditor): the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RulesVersion {
    /// Its number.
    pub version: u64,
    /// SHA-256 of its document, see [`RulesView::sha256`].
    pub sha256: String,
    /// Who wrote it.
    pub author: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// The signed bundle that it came in, if it came in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleView>,
}

/// `PUT /rules` (admin): the whole document, as YAML, as JSON, or in a signed bundle.
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
    /// Or a bundle, as `hoop policy bundle make` writes it: for a gateway that has a `policy_key`, which takes nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
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

/// `POST /rules/try` (admin, auditor): what rules say of statements. Nothing is run, kept or logged.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryRules {
    /// The rule file as YAML. Absent: what is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yaml: Option<String>,
    /// The access rule in it that the texts are held against; may be absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub rule: Option<RuleName>,
    /// Whose session the texts would be run in: conditions in Rego of statement rules are asked about it. Absent: they have no
    /// value, which counts against the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<TriedSession>,
    /// Whose SQL the texts are.
    pub dialect: SqlDialect,
    /// As they would be sent: at most 500, of 64 KiB each and 1 MiB in all.
    #[serde(default)]
    pub texts: Vec<String>,
    /// Values as a target might answer with them: at most 100, of 64 KiB each.
    #[serde(default)]
    pub samples: Vec<MaskingSample>,
}

/// A value that masking is tried on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MaskingSample {
    /// The column that it comes from, as `schema.table.column`; absent: it is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// As text.
    pub value: String,
}

/// What a person would see of a value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MaskedSample {
    /// This; absent: nothing (NULL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// The pattern of the rule that names the column; absent: none does, or nothing is masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What was masked in it, and how often.
    pub counts: std::collections::BTreeMap<String, u64>,
}

/// A session that there might be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TriedSession {
    /// Who, with the groups that they are in now.
    #[schema(value_type = String)]
    pub person: UserName,
    /// On what, with the labels that it has now.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// The reason that they state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whose SQL a text is, read by the server's usual settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SqlDialect {
    /// PostgreSQL's.
    Postgres,
}

/// Answer to [`TryRules`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RulesTried {
    /// The rules of the file, in its order.
    pub rules: Vec<TriedRule>,
    /// One for each text.
    pub texts: Vec<TriedText>,
    /// One for each sample.
    #[serde(default)]
    pub samples: Vec<MaskedSample>,
}

/// An access rule that statements can be held against.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TriedRule {
    /// Its name.
    #[schema(value_type = String)]
    pub name: RuleName,
    /// It is a rule for emergencies.
    pub break_glass: bool,
    /// How many statement rules it has; 0: any statement may run.
    pub statements: usize,
}

/// What would become of one text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TriedText {
    /// What was read of its first statements, and of the one that refuses it.
    pub statements: Vec<TriedStatement>,
    /// So many more were read and are not shown.
    pub statements_omitted: usize,
    /// Why nothing could be read of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// The refusal as the person would see it. Absent: it would run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Problem>,
    /// The statement that refuses the whole text, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<usize>,
}

/// What was read of one statement, and what decides it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TriedStatement {
    /// Its place in the text, counted from 0.
    pub at: usize,
    /// What it may do, from harmless to worst: `session`, `read`, `write`, `ddl`, `privilege`, `server`.
    pub classes: Vec<String>,
    /// The words that say so.
    pub verbs: Vec<String>,
    /// The tables that it touches, and no others. Absent: it may touch any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<String>>,
    /// Functions that it calls and that are not known to only compute.
    pub unknown_functions: Vec<String>,
    /// It may change every row: no `WHERE`, or one that names no column.
    pub unbounded: bool,
    /// It was not understood, or runs code that is not in its text: it counts as anything.
    pub opaque: bool,
    /// In the one spelling that `text` of a rule is held against.
    pub spelling: String,
    /// It may run.
    pub allowed: bool,
    /// The statement rule that decides. Absent: there are none, or none fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub rule: Option<RuleName>,
    /// The statement rule that asks for an approval of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub asks: Option<RuleName>,
    /// The statement rules that say something to whoever runs it.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub warns: Vec<RuleName>,
    /// If none fits: the first rules that allow, each with a condition that the statement does not meet.
    pub missed: Vec<MissedRule>,
    /// The first conditions in Rego of the statement rules, each with what comes of it. Empty where no session was named.
    #[serde(default)]
    pub conditions: Vec<TriedCondition>,
}

/// A condition in Rego, asked about a statement.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TriedCondition {
    /// The statement rule.
    #[schema(value_type = String)]
    pub rule: RuleName,
    /// Which rule of the modules it names.
    pub when: String,
    /// It is exactly `true`.
    pub holds: bool,
    /// What came of it, in words.
    pub answer: String,
}

/// A statement rule that allows other statements.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MissedRule {
    /// Its name.
    #[schema(value_type = String)]
    pub rule: RuleName,
    /// Which of its conditions: `classes`, `verbs`, `tables`, `columns`, `text`, `without_where`, `when`.
    pub condition: String,
}
