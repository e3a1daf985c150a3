//! The organisation's recording keys: which is in force, who keeps it, which recordings need the older ones.

use hoop_model::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /recording-keys` (admin, auditor).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RecordingKeys {
    /// Who keeps the private half: `file`, `public` (somebody else), `vault`, `aws-kms`.
    pub keeper: String,
    /// `good`; `elsewhere`: this gateway cannot open recordings, by design; `other_key`: the keeper names another key than
    /// that in force, which is not used; `away`: the keeper does not answer.
    pub state: String,
    /// More about it, for people.
    #[serde(default)]
    pub told: Option<String>,
    /// All keys, newest first.
    pub keys: Vec<RecordingKeyView>,
}

/// A recording key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RecordingKeyView {
    /// First 16 hex digits of the SHA-256 of its public half.
    pub id: String,
    /// New recordings are made for it.
    pub in_force: bool,
    /// Who keeps its private half.
    pub keeper: String,
    /// Where: a file's name, a version, an ARN.
    pub place: String,
    /// This gateway can open recordings with it, as far as it knows.
    pub opens_here: bool,
    /// Recordings that need it.
    pub recordings: u64,
    /// Known since.
    #[schema(value_type = String)]
    pub added_at: Timestamp,
    /// Not used for new recordings since.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub retired_at: Option<Timestamp>,
    /// Its public half, PEM.
    pub public_pem: String,
}
