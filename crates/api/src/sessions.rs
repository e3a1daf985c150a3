//! Opening sessions, looking at them, ending them, replaying what they did.

use hoop_model::{AgentId, AgentName, ConnectionName, ProtocolId, SessionId, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::requests::SingleStatement;

/// `POST /sessions` (user): opens a connection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// Which.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// The connector's public key as a PKCS #10 request, PEM: the gateway certifies it for this session alone.
    pub csr_pem: String,
    /// Why, for the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For this statement alone, once: as it was approved, where the rule wants that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<SingleStatement>,
}

/// Answer to [`OpenSession`]: what a connector needs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionOpened {
    /// The session.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// What the connection speaks.
    #[schema(value_type = String)]
    pub protocol: ProtocolId,
    /// The only agent to accept at the other end.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// Certificate chain for the connector's key, PEM.
    pub certificate_pem: String,
    /// Certificates to trust for the agent, PEM.
    pub ca_pem: String,
    /// 32 bytes, base64url: tickets are derived from it.
    pub secret: String,
    /// The first ticket counter to use.
    pub first_ticket: u32,
    /// Host and port to dial, host also the SNI.
    pub host: String,
    /// Port to dial.
    pub port: u16,
    /// For ready-to-paste commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_database: Option<String>,
    /// Ends then, whatever happens.
    #[schema(value_type = String)]
    pub ends_at: Timestamp,
    /// The certificate ends then; `POST /sessions/{id}/certificate` renews it.
    #[schema(value_type = String)]
    pub certificate_expires_at: Timestamp,
    /// Automatic logoff after so many seconds without a byte from the client.
    pub idle_timeout_seconds: u64,
}

/// `POST /sessions/{id}/certificate` (its owner).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewCertificate {
    /// As in [`OpenSession`]; the key must be the session's own.
    pub csr_pem: String,
}

/// Answer to [`RenewCertificate`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RenewedCertificate {
    /// Certificate chain, PEM.
    pub certificate_pem: String,
    /// Ends then.
    #[schema(value_type = String)]
    pub certificate_expires_at: Timestamp,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Granted; the agent has not confirmed it yet.
    Opening,
    /// In use.
    Live,
    /// Over; its recording is on the way.
    Ending,
    /// Over, recording sealed.
    Ended,
    /// Over without a seal from its agent: the recording may lack its end, and says so.
    Interrupted,
}

/// One session, live or past. Where its state is `interrupted`, requests, rows and bytes are those that its agent had told of last:
/// the recording may hold more. `GET /sessions` (one's own; all for admin, auditor), `GET /sessions/{id}`.
///
/// Query of the list: `state=live|past`, `user=`, `connection=`, `since=`, `until=` (RFC 3339), `after=`, `limit=` (at most 200).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// Whose.
    #[schema(value_type = String)]
    pub user: UserName,
    /// On what.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// Speaking what.
    #[schema(value_type = String)]
    pub protocol: ProtocolId,
    /// Through whom.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// Where it stands.
    pub state: SessionState,
    /// When it was granted.
    #[schema(value_type = String)]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<String>,
    /// The person's address.
    pub address: String,
    /// The person's stated reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which rule allowed it.
    pub allowed_because: String,
    /// The version of the rules that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_version: Option<u64>,
    /// SHA-256 of that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_sha256: Option<String>,
    /// Requests so far.
    pub requests: u64,
    /// Rows shown so far.
    pub rows: u64,
    /// Bytes to the client so far.
    pub bytes_out: u64,
    /// Bytes of recording stored durably.
    pub recording_bytes: u64,
    /// Its recording is not deleted before; for ever without, if the session is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub retain_until: Option<Timestamp>,
    /// Its recording was deleted then: its time was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub recording_deleted_at: Option<Timestamp>,
}

/// `POST /sessions/{id}/end` (its owner; no body): the person is done. `POST /sessions/{id}/kill` (admin).
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KillSession {
    /// Told to the person, written to the ledger.
    #[serde(default)]
    pub reason: String,
}

/// `GET /sessions/{id}/timeline` (admin, auditor): what happened, statement by statement. An event of its own.
///
/// Query: `after=` (index of the first statement wanted), `limit=` (at most 500). With `follow=true` the answer is
/// `text/event-stream`, one `statement` or `note` event each, until the session ends.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// The session.
    pub session: SessionView,
    /// Statements in order. The shape is `hoop_recording::timeline::StatementView`.
    #[schema(value_type = Vec<Object>)]
    pub statements: Vec<serde_json::Value>,
    /// What happened beside them, among these statements, in order.
    #[serde(default)]
    pub notes: Vec<TimelineNote>,
    /// Notes of the whole recording that were too many to show.
    #[serde(default)]
    pub notes_omitted: u64,
    /// Index of the statement after the last one here; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// How the recording ends: `sealed`, `interrupted`, `cut_off`, `live`.
    pub ending: String,
    /// Why it ended, as the agent signed it. Absent where it signed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<TimelineEnd>,
}

/// Something that happened beside the statements of a [`Timeline`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimelineNote {
    /// Its number in the recording, from 0.
    pub number: u64,
    /// It stands before the statement with this index.
    pub before: u64,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// On which stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<u32>,
    /// `gap`: something is missing here. Else `opened`, `closed`, `notice`, `notification`, `setting`, `error`.
    pub kind: String,
    /// For a person to read; of a gap, what is missing and why.
    pub text: String,
}

/// How a recording ended, in its agent's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEnd {
    /// Why the session, or the recording of it, ended.
    pub reason: String,
    /// What may be missing, of one that was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// `POST /sessions/{id}/verify` (admin, auditor). An event of its own.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VerifyReport {
    /// The session.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// Nothing was found.
    pub clean: bool,
    /// Chunks checked.
    pub chunks: u64,
    /// Hash that the chain ends in, hex.
    pub head: String,
    /// The agent's signature on the manifest is right.
    pub signature_ok: bool,
    /// The manifest is a leaf of the ledger under this checkpoint size; absent while none covers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_checkpoint: Option<u64>,
    /// How it ended.
    pub ending: String,
    /// What is wrong, each with its place.
    pub findings: Vec<String>,
}
