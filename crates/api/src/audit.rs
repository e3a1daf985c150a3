//! The ledger, for those who may read it. Every read is an event.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /audit/events` (admin, auditor), newest first. Query: `before=` (seq), `limit=` (at most 500), `code=`, `actor=`,
/// `subject=` (any id), `since=`, `until=`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Place in the ledger, from 0.
    pub seq: u64,
    /// Its id.
    pub id: String,
    /// RFC 3339.
    pub at: String,
    /// Stable code such as `session.opened`.
    pub code: String,
    /// Who, by name.
    pub actor: String,
    /// The event as it is hashed: one JSON object.
    #[schema(value_type = Object)]
    pub event: serde_json::Value,
    /// Leaf hash, hex.
    pub leaf_hash: String,
}

/// `GET /audit/checkpoint` (anonymous: a checkpoint is meant to be spread).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckpointView {
    /// C2SP signed note.
    pub note: String,
    /// The verifier key (`origin+keyid+base64`).
    pub verifier_key: String,
}

/// `GET /audit/verify` (admin, auditor): the gateway checks its own ledger. Offline: `hoop audit verify --export FILE`.
///
/// `GET /audit/export` streams the export, JSON lines, as `hoop_ledger::export` defines it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LedgerReport {
    /// Nothing was found.
    pub clean: bool,
    /// Leaves checked.
    pub events: u64,
    /// Root hash recomputed, hex.
    pub root: String,
    /// What is wrong, each with its place.
    pub findings: Vec<String>,
}
