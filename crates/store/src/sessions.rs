//! Sessions: granted, live, over; what their recording came to.

use hoop_model::{
    AgentId, AgentName, ConnectionId, ConnectionName, ProtocolId, SessionId, Timestamp, UserId, UserName,
};

use crate::{NewEvent, Page, Sha256, Store, StoreError};

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Granted; the agent has not confirmed it yet.
    Opening,
    /// In use.
    Live,
    /// Over; its recording is on the way.
    Ending,
    /// Over, recording sealed.
    Ended,
    /// Over without a seal from its agent.
    Interrupted,
}

/// How a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingEnding {
    /// With the agent's seal.
    Sealed,
    /// Without.
    Interrupted,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// Their name at the time.
    pub user_name: UserName,
    /// On what.
    pub connection: ConnectionId,
    /// Its name at the time.
    pub connection_name: ConnectionName,
    /// Speaking what.
    pub protocol: ProtocolId,
    /// Through whom.
    pub agent: AgentId,
    /// Its name at the time.
    pub agent_name: AgentName,
    /// Where it stands.
    pub state: SessionState,
    /// The signed grant's bytes.
    pub grant: Vec<u8>,
    /// The gateway's signature over them.
    pub grant_signature: Vec<u8>,
    /// The session's secret, sealed by the caller.
    pub secret_sealed: Vec<u8>,
    /// SHA-256 of the connector's public key.
    pub connector_key_sha256: Sha256,
    /// The connector's certificate in force ends then.
    pub certificate_expires_at: Timestamp,
    /// The next ticket counter to give out.
    pub next_ticket: u32,
    /// The person's address.
    pub address: String,
    /// The person's stated reason.
    pub reason: Option<String>,
    /// Which rule allowed it.
    pub allowed_because: String,
    /// Granted when.
    pub started_at: Timestamp,
    /// Ends then, whatever happens.
    pub ends_at: Timestamp,
    /// Ended when.
    pub ended_at: Option<Timestamp>,
    /// Why, for people.
    pub end_reason: Option<String>,
    /// Why, as a stable code.
    pub end_code: Option<String>,
    /// How far it has come.
    pub progress: SessionProgress,
    /// How its recording ended.
    pub recording: Option<RecordingEnd>,
    /// Place of the manifest's event in the ledger.
    pub manifest_seq: Option<u64>,
}

/// A session to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// Their name.
    pub user_name: UserName,
    /// On what.
    pub connection: ConnectionId,
    /// Its name.
    pub connection_name: ConnectionName,
    /// Speaking what.
    pub protocol: ProtocolId,
    /// Through whom.
    pub agent: AgentId,
    /// Its name.
    pub agent_name: AgentName,
    /// The signed grant's bytes.
    pub grant: Vec<u8>,
    /// The gateway's signature over them.
    pub grant_signature: Vec<u8>,
    /// The session's secret, sealed by the caller.
    pub secret_sealed: Vec<u8>,
    /// SHA-256 of the connector's public key.
    pub connector_key_sha256: Sha256,
    /// The connector's certificate ends then.
    pub certificate_expires_at: Timestamp,
    /// The person's address.
    pub address: String,
    /// The person's stated reason.
    pub reason: Option<String>,
    /// Which rule allowed it.
    pub allowed_because: String,
    /// Now.
    pub started_at: Timestamp,
    /// Ends then, whatever happens.
    pub ends_at: Timestamp,
}

/// Counters so far; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionProgress {
    /// Requests.
    pub requests: u64,
    /// Rows shown.
    pub rows: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// Bytes of recording stored durably.
    pub recording_bytes: u64,
}

/// How a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// When.
    pub at: Timestamp,
    /// Why, for people.
    pub reason: String,
    /// Why, as a stable code.
    pub code: String,
}

/// How a recording ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingEnd {
    /// With a seal or without.
    pub ending: RecordingEnding,
    /// The manifest's exact bytes; none without a seal.
    pub manifest: Option<Vec<u8>>,
    /// When it ended.
    pub at: Timestamp,
}

/// Which sessions are wanted; newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// `true`: opening or live only. `false`: the others only.
    pub live: Option<bool>,
    /// Only of this person.
    pub user: Option<UserId>,
    /// Only of people who had this name, whatever the case.
    pub user_name: Option<UserName>,
    /// Only on a connection of this name.
    pub connection: Option<ConnectionName>,
    /// Only through this agent.
    pub agent: Option<AgentId>,
    /// Started not before.
    pub since: Option<Timestamp>,
    /// Started before.
    pub until: Option<Timestamp>,
    /// The last one of the page before.
    pub after: Option<SessionId>,
    /// At most so many.
    pub limit: u32,
}

impl Store {
    /// Keeps a session that was granted, in state `Opening`.
    ///
    /// # Errors
    /// The usual ones; `Conflict(Locked)` when the person was locked meanwhile.
    pub async fn create_session(&self, new: &NewSession, events: &[NewEvent]) -> Result<SessionRecord, StoreError> {
        todo!()
    }

    /// Moves a session from one of the states `from` to `to`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it is in another state.
    pub async fn change_session_state(
        &self,
        id: SessionId,
        from: &[SessionState],
        to: SessionState,
        events: &[NewEvent],
    ) -> Result<SessionRecord, StoreError> {
        todo!()
    }

    /// Ends a session that is opening or live: it is `Ending` until its recording is.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it was ended before: the first reason stands.
    pub async fn end_session(
        &self,
        id: SessionId,
        end: &SessionEnd,
        events: &[NewEvent],
    ) -> Result<SessionRecord, StoreError> {
        todo!()
    }

    /// Notes how a recording ended, and with it the session: `Ended` with a seal, `Interrupted` without. A session not ended
    /// before is ended by `end`. `events[0]` tells of the manifest; its place is kept.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it was sealed before. A seal after an interruption is accepted: the agent came back.
    pub async fn end_recording(
        &self,
        id: SessionId,
        recording: &RecordingEnd,
        end: &SessionEnd,
        events: &[NewEvent],
    ) -> Result<SessionRecord, StoreError> {
        todo!()
    }

    /// Notes progress; a counter never goes back. Not an event.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn session_progress(&self, id: SessionId, progress: &SessionProgress) -> Result<(), StoreError> {
        todo!()
    }

    /// Gives out `count` ticket counters, each once; answers the first.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when the session is not opening or live; `Conflict(TooMany)` past the last counter.
    pub async fn take_tickets(&self, id: SessionId, count: u32) -> Result<u32, StoreError> {
        todo!()
    }

    /// The connector got a new certificate.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when the session is not opening or live.
    pub async fn renew_session_certificate(
        &self,
        id: SessionId,
        expires_at: Timestamp,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// By id.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        todo!()
    }

    /// Sessions that fit a filter, newest first.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn sessions(&self, filter: &SessionFilter) -> Result<Page<SessionRecord, SessionId>, StoreError> {
        todo!()
    }

    /// Every opening or live session (at most 100,000): after a restart, and for the sweeper.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn live_sessions(&self) -> Result<Vec<SessionRecord>, StoreError> {
        todo!()
    }

    /// Opening, live and ending sessions of an agent: what it must be told when it comes back.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn open_sessions_of_agent(&self, agent: AgentId) -> Result<Vec<SessionRecord>, StoreError> {
        todo!()
    }

    /// Opening and live sessions of a person: to end when they are locked, to count against a limit.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn live_sessions_of_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        todo!()
    }
}
