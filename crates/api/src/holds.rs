//! Legal holds on recordings.

use hoop_model::{ConnectionName, HoldId, SessionId, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /holds` (admin, auditor): exactly one of `session`, `user`, `connection`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceHold {
    /// The recording of this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub session: Option<SessionId>,
    /// The recordings of all sessions of this person, those to come included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub user: Option<UserName>,
    /// The recordings of all sessions on this connection, those to come included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub connection: Option<ConnectionName>,
    /// Why: the matter, the case.
    pub reason: String,
}

/// `POST /holds/{id}/release` (admin).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseHold {
    /// Why.
    pub reason: String,
}

/// What a hold is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldKind {
    /// One session.
    Session,
    /// A person.
    User,
    /// A connection.
    Connection,
}

/// A legal hold, as `GET /holds` lists it: those in force first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: HoldId,
    /// On what.
    pub kind: HoldKind,
    /// Its id.
    pub subject: String,
    /// Its name at the time.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Who placed it.
    pub placed_by: String,
    /// When.
    #[schema(value_type = String)]
    pub placed_at: Timestamp,
    /// Who released it; in force without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub released_at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_reason: Option<String>,
}
