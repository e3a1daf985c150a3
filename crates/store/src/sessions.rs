//! Sessions: granted, live, over; what their recording came to.

use hoop_model::{
    AgentId, AgentName, ConnectionId, ConnectionName, LoginId, ProtocolId, RequestId, SessionId, Timestamp,
    UserId, UserName,
};

use hoop_recording::KeyId;

use crate::{
    Conflict, NewEvent, Page, Sha256, Store, StoreError,
    db::{Row, Tx, args, words},
};

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
    /// The sign-in that it was opened under.
    pub login: Option<LoginId>,
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
    /// The approved request, or the emergency, that it rests on.
    pub request: Option<RequestId>,
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
    /// How long the recording is kept, and where it is.
    pub keeping: Keeping,
}

/// How long a recording is kept, and where it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keeping {
    /// So long after its end; `None`: for ever.
    pub retention_seconds: Option<u64>,
    /// It is not deleted before; known once it has ended.
    pub retain_until: Option<Timestamp>,
    /// Bytes of the signed end, if it has one.
    pub trailer_bytes: Option<u64>,
    /// In the store of objects since.
    pub stored_at: Option<Timestamp>,
    /// Its deletion stands in the ledger since.
    pub deleted_at: Option<Timestamp>,
    /// Its bytes are gone since.
    pub erased_at: Option<Timestamp>,
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
    /// The sign-in that it is opened under; `None`: it was opened while the gateway was down.
    pub login: Option<LoginId>,
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
    /// The approved request, or the emergency, that it rests on.
    pub request: Option<RequestId>,
    /// The recording key that its recording is to be made for.
    pub recording_key: Option<KeyId>,
    /// Now.
    pub started_at: Timestamp,
    /// Ends then, whatever happens.
    pub ends_at: Timestamp,
    /// Its recording is kept so long after its end; `None`: for ever.
    pub retention_seconds: Option<u64>,
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
    /// The frame that signs for it, where it is known; it is read with [`Store::trailer`].
    pub trailer: Option<Vec<u8>>,
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
    /// Only those that rest on this request.
    pub request: Option<RequestId>,
    /// Started not before.
    pub since: Option<Timestamp>,
    /// Started before.
    pub until: Option<Timestamp>,
    /// The last one of the page before.
    pub after: Option<SessionId>,
    /// At most so many.
    pub limit: u32,
}

words!(SessionState {
    Opening = "opening",
    Live = "live",
    Ending = "ending",
    Ended = "ended",
    Interrupted = "interrupted",
});
words!(RecordingEnding { Sealed = "sealed", Interrupted = "interrupted" });

impl SessionState {
    /// Bytes may flow, or are about to.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Opening | Self::Live)
    }
}

macro_rules! columns {
    () => {
        "id, user_id, user_name, connection_id, connection_name, protocol, agent_id, agent_name, state, grant_bytes, \
         grant_signature, secret_sealed, connector_key_sha256, certificate_expires_at, next_ticket, address, reason, \
         allowed_because, request_id, started_at, ends_at, ended_at, end_reason, end_code, requests, row_count, bytes_out, \
         recording_bytes, recording_ending, recording_ended_at, manifest, manifest_seq, login_id, retention_seconds, \
         retain_until, CAST(LENGTH(trailer) AS BIGINT) AS trailer_bytes, stored_at, deleted_at, erased_at"
    };
}

pub(crate) use columns;

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM sessions WHERE id = $1");

/// Ids begin with the time, so their order is the order of starting.
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM sessions WHERE ($1 IS NULL OR (state IN ('opening', 'live')) = ($1 = 1)) \
     AND ($2 IS NULL OR user_id = $2) AND ($3 IS NULL OR folded_user_name = $3) \
     AND ($4 IS NULL OR connection_name = $4) AND ($5 IS NULL OR agent_id = $5) \
     AND ($6 IS NULL OR started_at >= $6) AND ($7 IS NULL OR started_at < $7) AND ($8 IS NULL OR id < $8) \
     AND ($9 IS NULL OR request_id = $9) ORDER BY id DESC LIMIT $10"
);

impl SessionRecord {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id")?,
            user: row.id("user_id")?,
            user_name: row.name("user_name")?,
            login: row.maybe_id("login_id")?,
            connection: row.id("connection_id")?,
            connection_name: row.name("connection_name")?,
            protocol: row.name("protocol")?,
            agent: row.id("agent_id")?,
            agent_name: row.name("agent_name")?,
            state: row.word("state")?,
            grant: row.bytes("grant_bytes")?,
            grant_signature: row.bytes("grant_signature")?,
            secret_sealed: row.bytes("secret_sealed")?,
            connector_key_sha256: row.sha256("connector_key_sha256")?,
            certificate_expires_at: row.time("certificate_expires_at")?,
            next_ticket: row.count("next_ticket")?,
            address: row.text("address")?,
            reason: row.maybe_text("reason")?,
            allowed_because: row.text("allowed_because")?,
            request: row.maybe_id("request_id")?,
            started_at: row.time("started_at")?,
            ends_at: row.time("ends_at")?,
            ended_at: row.maybe_time("ended_at")?,
            end_reason: row.maybe_text("end_reason")?,
            end_code: row.maybe_text("end_code")?,
            progress: SessionProgress {
                requests: row.count("requests")?,
                rows: row.count("row_count")?,
                bytes_out: row.count("bytes_out")?,
                recording_bytes: row.count("recording_bytes")?,
            },
            recording: RecordingEnd::of(row)?,
            manifest_seq: row.maybe_count("manifest_seq")?,
            keeping: Keeping {
                retention_seconds: row.maybe_count("retention_seconds")?,
                retain_until: row.maybe_time("retain_until")?,
                trailer_bytes: row.maybe_count("trailer_bytes")?,
                stored_at: row.maybe_time("stored_at")?,
                deleted_at: row.maybe_time("deleted_at")?,
                erased_at: row.maybe_time("erased_at")?,
            },
        })
    }
}

impl SessionRecord {
    /// Bytes of its recording as it was signed for, the signed end included; `None`: it has none.
    #[must_use]
    pub fn signed_length(&self) -> Option<u64> {
        let manifest = self.recording.as_ref()?.manifest.as_ref()?;
        let bytes = serde_json::from_slice::<serde_json::Value>(manifest).ok()?.get("bytes")?.as_u64()?;
        Some(bytes.saturating_add(self.keeping.trailer_bytes?))
    }
}

impl RecordingEnd {
    fn of(row: &Row) -> Result<Option<Self>, StoreError> {
        let Some(at) = row.maybe_time("recording_ended_at")? else { return Ok(None) };
        let (ending, manifest) = (row.word("recording_ending")?, row.maybe_bytes("manifest")?);
        Ok(Some(Self { ending, manifest, trailer: None, at }))
    }
}

fn found(row: Option<Row>) -> Result<SessionRecord, StoreError> {
    SessionRecord::of(&row.ok_or(StoreError::NotFound("session"))?)
}

pub(crate) fn many(rows: &[Row]) -> Result<Vec<SessionRecord>, StoreError> {
    rows.iter().map(SessionRecord::of).collect()
}

impl Tx {
    pub(crate) async fn session(&mut self, id: SessionId) -> Result<SessionRecord, StoreError> {
        found(self.run_one(BY_ID, args![id]).await?)
    }

    pub(crate) async fn insert_session(&mut self, new: &NewSession) -> Result<SessionRecord, StoreError> {
        let sql = concat!(
            "INSERT INTO sessions (id, user_id, user_name, folded_user_name, connection_id, connection_name, protocol, \
             agent_id, agent_name, state, grant_bytes, grant_signature, secret_sealed, connector_key_sha256, \
             certificate_expires_at, address, reason, allowed_because, started_at, ends_at, request_id, login_id, \
             retention_seconds, recording_key_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'opening', $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
             $21, $22, $23) \
             RETURNING ",
            columns!()
        );
        let values = args![
            new.id,
            new.user,
            &new.user_name,
            new.user_name.folded(),
            new.connection,
            &new.connection_name,
            &new.protocol,
            new.agent,
            &new.agent_name,
            new.grant.as_slice(),
            new.grant_signature.as_slice(),
            new.secret_sealed.as_slice(),
            &new.connector_key_sha256,
            new.certificate_expires_at,
            new.address.as_str(),
            new.reason.as_deref(),
            new.allowed_because.as_str(),
            new.started_at,
            new.ends_at,
            new.request,
            new.login,
            new.retention_seconds,
            new.recording_key.map(|key| key.to_string()).as_deref(),
        ];
        found(self.run_one(sql, values).await?)
    }

    /// An approval of one statement is good for one session.
    async fn unused(&mut self, request: RequestId) -> Result<(), StoreError> {
        let sql = "SELECT COUNT(*) AS count FROM requests r JOIN sessions s ON s.request_id = r.id \
                   WHERE r.id = $1 AND r.statement_sealed IS NOT NULL";
        let used: u64 = self.run_one(sql, args![request]).await?.map_or(Ok(0), |row| row.count("count"))?;
        if used == 0 { Ok(()) } else { Err(Conflict::Used.into()) }
    }

    /// How many sessions of a person are opening or live, in this transaction.
    async fn live_sessions(&mut self, user: UserId) -> Result<u64, StoreError> {
        let sql =
            "SELECT COUNT(*) AS count FROM sessions WHERE user_id = $1 AND state IN ('opening', 'live')";
        self.run_one(sql, args![user]).await?.map_or(Ok(0), |row| row.count("count"))
    }

    async fn close_session(
        &mut self,
        id: SessionId,
        state: SessionState,
        recording: &RecordingEnd,
        end: &SessionEnd,
        manifest_seq: Option<u64>,
    ) -> Result<SessionRecord, StoreError> {
        let sql = concat!(
            "UPDATE sessions SET state = $2, recording_ending = $3, recording_ended_at = $4, manifest = $5, \
             manifest_seq = $6, ended_at = COALESCE(ended_at, $7), end_reason = COALESCE(end_reason, $8), \
             end_code = COALESCE(end_code, $9), trailer = $10, retain_until = $4 + retention_seconds * 1000000 \
             WHERE id = $1 RETURNING ",
            columns!()
        );
        let values = args![
            id,
            state,
            recording.ending,
            recording.at,
            recording.manifest.as_deref(),
            manifest_seq,
            end.at,
            end.reason.as_str(),
            end.code.as_str(),
            recording.trailer.as_deref(),
        ];
        found(self.run_one(sql, values).await?)
    }
}

impl Store {
    /// Keeps a session that was granted, in state `Opening`. A person may have `most_live` of them opening or live.
    ///
    /// # Errors
    /// The usual ones; `Conflict(Locked)` when the person was locked meanwhile, `Conflict(Revoked)` when the agent was
    /// removed, `Conflict(TooMany)` when the person has `most_live` already: however many open at the same time.
    pub async fn create_session(
        &self,
        new: &NewSession,
        most_live: u64,
        events: &[NewEvent],
    ) -> Result<SessionRecord, StoreError> {
        let mut tx = self.begin().await?;
        if tx.user(new.user).await?.locked {
            return Err(Conflict::Locked.into());
        }
        tx.present_agent(new.agent).await?;
        if tx.live_sessions(new.user).await? >= most_live {
            return Err(Conflict::TooMany.into());
        }
        if let Some(request) = new.request {
            tx.unused(request).await?;
        }
        let session = tx.insert_session(new).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(session)
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
        let mut tx = self.begin().await?;
        if !from.contains(&tx.session(id).await?.state) {
            return Err(Conflict::Changed.into());
        }
        let sql = concat!("UPDATE sessions SET state = $2 WHERE id = $1 RETURNING ", columns!());
        let session = found(tx.run_one(sql, args![id, to]).await?)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(session)
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
        let mut tx = self.begin().await?;
        if !tx.session(id).await?.state.is_live() {
            return Err(Conflict::Changed.into());
        }
        let sql = concat!(
            "UPDATE sessions SET state = 'ending', ended_at = $2, end_reason = $3, end_code = $4 WHERE id = $1 RETURNING ",
            columns!()
        );
        let values = args![id, end.at, end.reason.as_str(), end.code.as_str()];
        let session = found(tx.run_one(sql, values).await?)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Notes how a recording ended, and with it the session: `Ended` with a seal, `Interrupted` without. A session not ended
    /// before is ended by `end`. `events[0]` tells of the manifest; its place is kept.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it was sealed or deleted before. A seal after an interruption is accepted, and the agent's
    /// signature for an interrupted one after one without: the agent came back.
    pub async fn end_recording(
        &self,
        id: SessionId,
        recording: &RecordingEnd,
        end: &SessionEnd,
        events: &[NewEvent],
    ) -> Result<SessionRecord, StoreError> {
        let mut tx = self.begin().await?;
        let session = tx.session(id).await?;
        let before = session.recording;
        if session.keeping.deleted_at.is_some() {
            return Err(Conflict::Changed.into());
        }
        let unsigned = before.as_ref().is_none_or(|before| before.manifest.is_none());
        let state = match (before.map(|before| before.ending), recording.ending) {
            (None | Some(RecordingEnding::Interrupted), RecordingEnding::Sealed) => SessionState::Ended,
            (None, RecordingEnding::Interrupted) => SessionState::Interrupted,
            (Some(RecordingEnding::Interrupted), RecordingEnding::Interrupted)
                if unsigned && recording.manifest.is_some() =>
            {
                SessionState::Interrupted
            }
            _ => return Err(Conflict::Changed.into()),
        };
        let first = tx.append(events).await?;
        let manifest_seq = (recording.manifest.is_some() && !events.is_empty()).then_some(first);
        let session = tx.close_session(id, state, recording, end, manifest_seq).await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Notes progress; a counter never goes back. Not an event.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn session_progress(
        &self,
        id: SessionId,
        progress: &SessionProgress,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET \
             requests = CASE WHEN requests < $2 THEN $2 ELSE requests END, \
             row_count = CASE WHEN row_count < $3 THEN $3 ELSE row_count END, \
             bytes_out = CASE WHEN bytes_out < $4 THEN $4 ELSE bytes_out END, \
             recording_bytes = CASE WHEN recording_bytes < $5 THEN $5 ELSE recording_bytes END \
             WHERE id = $1 RETURNING id";
        let values =
            args![id, progress.requests, progress.rows, progress.bytes_out, progress.recording_bytes];
        let rows = self.write(sql, values).await?;
        if rows.is_empty() { Err(StoreError::NotFound("session")) } else { Ok(()) }
    }

    /// Gives out `count` ticket counters, each once; answers the first.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when the session is not opening or live; `Conflict(TooMany)` past the last counter.
    pub async fn take_tickets(&self, id: SessionId, count: u32) -> Result<u32, StoreError> {
        let sql = "UPDATE sessions SET next_ticket = next_ticket + $2 \
             WHERE id = $1 AND state IN ('opening', 'live') AND next_ticket + $2 <= $3 RETURNING next_ticket";
        let row = self.write(sql, args![id, count, u32::MAX]).await?.into_iter().next();
        if let Some(row) = row {
            let next: u32 = row.count("next_ticket")?;
            return Ok(next.saturating_sub(count));
        }
        let session = self.session(id).await?.ok_or(StoreError::NotFound("session"))?;
        Err(if session.state.is_live() { Conflict::TooMany } else { Conflict::Changed }.into())
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
        let mut tx = self.begin().await?;
        if !tx.session(id).await?.state.is_live() {
            return Err(Conflict::Changed.into());
        }
        tx.run("UPDATE sessions SET certificate_expires_at = $2 WHERE id = $1", args![id, expires_at])
            .await?;
        tx.append(events).await?;
        tx.commit().await
    }

    /// By id.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.read_one(BY_ID, args![id]).await?.as_ref().map(SessionRecord::of).transpose()
    }

    /// Sessions that fit a filter, newest first.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn sessions(
        &self,
        filter: &SessionFilter,
    ) -> Result<Page<SessionRecord, SessionId>, StoreError> {
        let values = args![
            filter.live,
            filter.user,
            filter.user_name.as_ref().map(UserName::folded).as_deref(),
            filter.connection.as_ref(),
            filter.agent,
            filter.since,
            filter.until,
            filter.after,
            filter.request,
            u64::from(filter.limit) + 1,
        ];
        let sessions = many(&self.read(LIST, values).await?)?;
        Ok(Page::cut(sessions, filter.limit, |session| session.id))
    }

    /// Every opening or live session (at most 100,000): after a restart, and for the sweeper.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn live_sessions(&self) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE state IN ('opening', 'live') ORDER BY id LIMIT 100000"
        );
        many(&self.read(sql, Vec::new()).await?)
    }

    /// The ids of sessions whose end or recording is yet to come (at most 100,000).
    ///
    /// # Errors
    /// The usual ones.
    pub async fn unfinished_sessions(&self) -> Result<Vec<SessionId>, StoreError> {
        let sql =
            "SELECT id FROM sessions WHERE state IN ('opening', 'live', 'ending') ORDER BY id LIMIT 100000";
        self.read(sql, Vec::new()).await?.iter().map(|row| row.id("id")).collect()
    }

    /// Opening, live and ending sessions of an agent: what it must be told when it comes back.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn open_sessions_of_agent(&self, agent: AgentId) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE agent_id = $1 AND state IN ('opening', 'live', 'ending') ORDER BY id LIMIT 100000"
        );
        many(&self.read(sql, args![agent]).await?)
    }

    /// Opening and live sessions of a person: to end when they are locked, to count against a limit.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn live_sessions_of_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE user_id = $1 AND state IN ('opening', 'live') ORDER BY id LIMIT 100000"
        );
        many(&self.read(sql, args![user]).await?)
    }
}
