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

/// `GET /audit/sinks` (admin, auditor): who gets checkpoints, and how far each got.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SinkView {
    /// Its name in the configuration.
    pub name: String,
    /// `file`, `objects`, `syslog`, `webhook`, `witness`; `gone` if it stands in the configuration no longer.
    pub kind: String,
    /// The largest checkpoint that it took; 0: none yet.
    pub size: u64,
    /// Signed events that it has not heard of.
    pub behind: u64,
    /// When it took that checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<String>,
    /// Since when it has taken none, though it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<String>,
    /// Attempts that failed in a row.
    pub attempts: u32,
    /// Why the last one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// `GET /audit/proof/inclusion` (admin, auditor): that an event is in the ledger that a checkpoint signs for. Query:
/// `seq=`, `size=` (that of a checkpoint; the latest, if it is not given). Check it with `hoop audit prove`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InclusionProof {
    /// The event's place.
    pub seq: u64,
    /// Its leaf: exactly the bytes that are hashed.
    pub leaf: String,
    /// The checkpoint's size.
    pub size: u64,
    /// RFC 9162 §2.1.3, hex, leaf first.
    pub proof: Vec<String>,
    /// The checkpoint, with what witnesses signed.
    pub checkpoint: String,
}

/// `GET /audit/proof/consistency` (admin, auditor): that the ledger of one size is the beginning of that of another.
/// Query: `from=`, `to=` (that of a checkpoint; the latest, if it is not given).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConsistencyProof {
    /// The older size.
    pub from: u64,
    /// The newer one.
    pub to: u64,
    /// RFC 9162 §2.1.4, hex.
    pub proof: Vec<String>,
    /// The checkpoint of the older size, if one was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<String>,
    /// The checkpoint of the newer size.
    pub checkpoint: String,
}

/// A statement of a finished recording, its literals replaced by `?`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StatementRow {
    /// In which session: its recording has the whole text.
    pub session: String,
    /// When it was asked.
    pub at: String,
    /// By whom.
    pub person: String,
    /// On what.
    pub connection: String,
    /// Its text, without literals and comments; long ones are cut.
    pub text: String,
    /// `done`, `failed` or `denied`.
    pub outcome: String,
    /// Rows returned or changed.
    pub rows: u64,
}

/// Recordings of the asked person, connection and time whose statements the answer cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct NotIndexedView {
    /// They go on, or are about to be indexed.
    pub waiting: u64,
    /// Only their beginning is there: they are too long, or break off.
    pub partly: u64,
    /// The gateway has no key for them.
    pub no_key: u64,
    /// Their files are gone or broken.
    pub unreadable: u64,
}

/// `GET /audit/statements` (admin, auditor), newest first. Query: `person=`, `connection=`, `table=` (best effort: as the
/// text names it), `text=` (a fragment), `since=`, `until=`, `before=` (`next` of the page before), `limit=` (at most 200).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StatementPage {
    /// What was found.
    pub items: Vec<StatementRow>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What the answer cannot know.
    pub not_indexed: NotIndexedView,
}
