//! Requests for access that others approve, and emergencies that others review.

use hoop_model::{ConnectionName, RequestId, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /requests` (user).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// To what.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// For how long, from the last approval on. The rule may allow less: then that.
    pub duration_seconds: u64,
    /// Why.
    pub reason: String,
    /// For this statement alone, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<SingleStatement>,
}

/// One statement, by its exact text. White space around it and semicolons after it are no part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SingleStatement {
    /// Its text, values and all.
    pub text: String,
    /// In which database; the connection's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// `POST /break-glass` (those whom a rule lets): in force at once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// To what.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// Why.
    pub reason: String,
    /// The incident's number or link.
    pub incident: String,
}

/// `POST /requests/{id}/approve`, `…/deny` (those whom the rule names).
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `POST /requests/{id}/end` (who asked, who may approve, admins): withdraws or revokes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndRequest {
    /// Why.
    pub reason: String,
}

/// `POST /requests/{id}/extend` (who may review, never oneself): an emergency goes on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// By how much, from its present end; at most as long as the rule lets it begin with.
    pub seconds: u64,
}

/// `POST /requests/{id}/review` (who may review, never oneself): closes the review of an emergency.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewFinding {
    /// What was found.
    pub finding: String,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// Good once enough others approve.
    Access,
    /// Good at once, reviewed afterwards.
    BreakGlass,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Waits for others.
    Pending,
    /// In force until `ends_at`.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time, or its time is over.
    Expired,
    /// Given back or taken away.
    Ended,
}

/// `GET /requests`, `GET /requests/{id}`: one's own, those that one may decide or review; admins and auditors see all.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RequestView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: RequestId,
    /// Which of the two.
    pub kind: RequestKind,
    /// How far it has come.
    pub state: RequestState,
    /// Who asked.
    #[schema(value_type = String)]
    pub person: UserName,
    /// For what.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// Under which rule.
    pub rule: String,
    /// The statement rule of it that asks for an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_rule: Option<String>,
    /// As whom at the target, where the rule lays it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_user: Option<String>,
    /// Why.
    pub reason: String,
    /// For this statement alone, in one session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<SingleStatement>,
    /// Which incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// For how long.
    pub duration_seconds: u64,
    /// Approvals that it takes.
    pub needed: u32,
    /// What was said.
    pub decisions: Vec<DecisionView>,
    /// Asked when.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// Void then, if nobody decided.
    #[schema(value_type = String)]
    pub decide_until: Timestamp,
    /// In force until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ends_at: Option<Timestamp>,
    /// Over since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<String>,
    /// Who let an emergency go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_by: Option<String>,
    /// The review of an emergency, once closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewView>,
    /// The caller may decide it now.
    pub may_decide: bool,
    /// The caller may extend it or close its review.
    pub may_review: bool,
}

/// One word on a request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// Whose.
    #[schema(value_type = String)]
    pub by: UserName,
    /// Yes or no.
    pub approves: bool,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
}

/// A closed review.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReviewView {
    /// Who reviewed.
    pub by: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// What they found.
    pub finding: String,
}
