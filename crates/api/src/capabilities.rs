//! Ways in while the gateway is down.

use hoop_model::{AgentName, CapabilityId, ConnectionName, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /capabilities` (admin).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCapability {
    /// To what. It is good at this connection's agent alone.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// For whom: somebody whom an emergency rule lets in there.
    #[schema(value_type = String)]
    pub holder: UserName,
    /// Good for so long, at most 90 days.
    pub valid_seconds: u64,
    /// Longest session; the rule may allow less: then that.
    pub session_seconds: u64,
    /// How often, at most 10.
    pub uses: u32,
}

/// A capability that was made: shown once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CapabilityMade {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CapabilityId,
    /// The agent at which it is good.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// The text to keep on the agent's host. Opens nothing without the code.
    pub capability: String,
    /// The code, for the holder alone.
    pub code: String,
    /// Good until then.
    #[schema(value_type = String)]
    pub valid_until: Timestamp,
    /// Longest session.
    pub session_seconds: u64,
}

/// A capability, as `GET /capabilities` lists it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CapabilityView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CapabilityId,
    /// Whose it is.
    #[schema(value_type = String)]
    pub holder: UserName,
    /// To what.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// Who made it.
    pub made_by: String,
    /// When.
    #[schema(value_type = String)]
    pub made_at: Timestamp,
    /// Good until then.
    #[schema(value_type = String)]
    pub valid_until: Timestamp,
    /// How often.
    pub most_uses: u32,
    /// How many uses were heard of.
    pub uses: u32,
    /// Not good since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub revoked_at: Option<Timestamp>,
}
