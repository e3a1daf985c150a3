//! The contract that a protocol engine fulfils, sans-IO.
//!
//! An engine stands between the client and the target of one stream. Whoever drives it feeds bytes, verdicts and time
//! in with `handle_*`, and after each of these drains [`Engine::poll_output`] until it says [`Output::Idle`]:
//!
//! ```text
//!   client bytes ─▶ handle_input ─┐                     ┌─▶ Send    to client or target
//!   target bytes ─▶ handle_input ─┼─▶ engine ─ poll ────┼─▶ Record  into the recording, before what follows is sent
//!   verdicts ─────▶ handle_verdict┤                     ├─▶ Decide  ask policy, answer with handle_verdict
//!   time ─────────▶ handle_timeout┘                     └─▶ Idle | Close
//! ```
//!
//! Rules that every engine keeps, and `hoop-session` relies on:
//! - Outputs are in order. What a `Record` tells about is sent by a later `Send`, never by an earlier one.
//! - Nothing that is subject to policy is sent to the target before its [`Permit`] came; it waits in the engine.
//! - Frames go on as the bytes they came in. Any split of the input gives the same output.
//! - Memory is bounded: an engine that holds much says [`Engine::is_congested`], and its driver stops reading that side.
//! - A fault ends this stream alone, with an error in the client's own protocol as the last output.
//!
//! A protocol whose library owns its event loop fulfils the contract's other form, see [`hosted`].

mod account;
pub mod hosted;
pub mod program;
mod protocol;

pub use account::{Account, Accounts, ColumnFinding, Errand, ErrandOutput, Outcome};
use bytes::{Bytes, BytesMut};
pub use hoop_model::Timestamp;
use hoop_model::{Fault, Redacted};
pub use hoop_policy::Channel;
use hoop_policy::{Action, BoundValue, ClusterRequest, Denial, Permit, Terms};
pub use hoop_recording::event::{Event, RequestId};
pub use hoop_sql::Dialect;
pub use protocol::{
    Address, CredentialSource, LoginCache, Protocol, RecordingLimits, SecretSource, SettingsError, Started,
    StreamContext, Target, TlsPolicy,
};

/// The two peers of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The person's client.
    Client,
    /// The target behind the agent.
    Target,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Target,
            Self::Target => Self::Client,
        }
    }
}

/// What policy is asked, owned: the driver borrows it as an [`Action`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// See [`Action::LogIn`].
    LogIn {
        /// The database named by the client.
        database: String,
        /// The first setting it brings along that changes what a statement's text means.
        setting: Option<String>,
        /// The first setting it brings along that may change how texts are read, or who one is.
        risk: Option<String>,
    },
    /// See [`Action::Statement`].
    Statement {
        /// Statement text.
        text: Bytes,
        /// How it is read.
        dialect: Dialect,
    },
    /// See [`Action::Prepare`].
    Prepare {
        /// Statement text.
        text: Bytes,
        /// How it is read.
        dialect: Dialect,
    },
    /// See [`Action::Bind`].
    Bind {
        /// What it may be held to.
        terms: Vec<Terms>,
        /// The values.
        values: Vec<BoundValue>,
    },
    /// See [`Action::Execute`].
    Execute {
        /// Values may be bound to it.
        bound: bool,
        /// What it may be held to.
        terms: Vec<Terms>,
    },
    /// See [`Action::FunctionCall`].
    FunctionCall {
        /// The function's object id.
        function: u32,
    },
    /// See [`Action::Replicate`].
    Replicate,
    /// See [`Action::Cancel`].
    Cancel,
    /// See [`Action::Channel`].
    Channel(Channel),
    /// See [`Action::Command`].
    Command {
        /// The text.
        text: Bytes,
        /// It does nothing but move files.
        moves_files: bool,
    },
    /// See [`Action::Cluster`].
    Cluster(ClusterRequest),
}

impl Question {
    /// The form that policy reads.
    #[must_use]
    pub fn as_action(&self) -> Action<'_> {
        match self {
            Self::LogIn { database, setting, risk } => {
                Action::LogIn { database, setting: setting.as_deref(), risk: risk.as_deref() }
            }
            Self::Statement { text, dialect } => Action::Statement { text, dialect: *dialect },
            Self::Prepare { text, dialect } => Action::Prepare { text, dialect: *dialect },
            Self::Bind { terms, values } => Action::Bind { terms, values },
            Self::Execute { bound, terms } => Action::Execute { bound: *bound, terms },
            Self::FunctionCall { function } => Action::FunctionCall { function: *function },
            Self::Replicate => Action::Replicate,
            Self::Cancel => Action::Cancel,
            Self::Channel(channel) => Action::Channel(*channel),
            Self::Command { text, moves_files } => Action::Command { text, moves_files: *moves_files },
            Self::Cluster(request) => Action::Cluster(request),
        }
    }
}

/// What an engine wants done.
#[derive(Debug)]
pub enum Output {
    /// Write these bytes to a side.
    Send {
        /// To whom.
        to: Side,
        /// What.
        bytes: Bytes,
    },
    /// Ask policy, and answer with [`Engine::handle_verdict`].
    Decide {
        /// Names the request in the answer.
        id: RequestId,
        /// What is asked.
        question: Question,
    },
    /// Append to the recording before any later `Send` is written.
    Record(Event),
    /// From here on the target's stream is TLS: hand shake before the next byte is written or read.
    ///
    /// The driver answers with [`Engine::handle_target_tls`].
    StartTargetTls,
    /// Tell the target of *this session* to cancel what another stream runs. Fire and forget.
    ForwardCancel {
        /// Key of ours, as the client sent it; the driver finds the stream that owns it.
        key: CancelKey,
    },
    /// Nothing until more comes in, or until `wake`.
    Idle {
        /// When to call [`Engine::handle_timeout`], if at all.
        wake: Option<Timestamp>,
    },
    /// The stream is over: flush what was sent, close both sides.
    Close {
        /// Why, for the recording and the log.
        reason: CloseReason,
    },
}

/// Why a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said good-bye or hung up.
    Client,
    /// The target closed the connection.
    Target,
    /// A cancel request, which is a stream of its own, has been handed over.
    CancelSent,
    /// Ended with an error, which the client has been sent in its own protocol.
    Fault(Fault),
}

/// The client's key for cancelling what a stream runs: ours, never the target's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// Process id as shown to the client.
    pub process: u32,
    /// The secret, 4 bytes (protocol 3.0) to 32 bytes (3.2).
    pub secret: Bytes,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelKey").field("process", &self.process).finish_non_exhaustive()
    }
}

/// What the target's TLS handshake brought, for channel binding and the recording.
#[derive(Debug, Clone, Default)]
pub struct TargetTls {
    /// `TLSv1.3`.
    pub version: String,
    /// `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The target's own certificate, DER; empty if the handshake brought none.
    pub certificate: Vec<u8>,
}

/// A credential of the target, from the agent's own sources.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The user to become at the target.
    pub user: String,
    /// The password, if log-in needs one.
    pub password: Option<Redacted<String>>,
}

/// Speaks one protocol between a client and a target. See the module's documentation for the rules.
pub trait Engine: Send {
    /// Bytes of one side. What is consumed is taken from the front of `input`; the rest (a part of a frame, at most
    /// 32 KiB) is offered again with more: a driver's buffer holds more than that, and an engine takes a larger one in.
    ///
    /// # Errors
    /// A [`Fault`] ends the stream; the engine has queued what the client is to be told.
    fn handle_input(&mut self, from: Side, input: &mut BytesMut, now: Timestamp) -> Result<(), Fault>;

    /// One side sent its end of file.
    fn handle_eof(&mut self, from: Side, now: Timestamp);

    /// Policy's answer to an [`Output::Decide`].
    fn handle_verdict(&mut self, id: RequestId, verdict: Result<Permit, Denial>, now: Timestamp);

    /// The answer to [`Output::StartTargetTls`].
    fn handle_target_tls(&mut self, tls: TargetTls, now: Timestamp);

    /// The time asked for has come.
    fn handle_timeout(&mut self, now: Timestamp);

    /// End this stream now (kill, deadline, idle, lost recording): queue an error in the client's protocol, then close.
    fn handle_end(&mut self, fault: Fault, now: Timestamp);

    /// The next thing to do. Drain until [`Output::Idle`] or [`Output::Close`].
    fn poll_output(&mut self) -> Output;

    /// Holds so much from this side that the driver is to stop reading it.
    fn is_congested(&self, side: Side) -> bool;

    /// The target may be at work for this stream, also after its end: what was asked of it is not answered to its last word.
    fn is_working(&self) -> bool;

    /// The target's own key with which what this stream runs is cancelled, and the client's for it, once known.
    fn cancel_keys(&self) -> Option<CancelKeys>;
}

/// A stream's two cancel keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelKeys {
    /// As the client knows it.
    pub client: CancelKey,
    /// The complete cancel request to send on a new connection to the target.
    pub target_request: Bytes,
}
