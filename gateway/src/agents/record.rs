//! Takes the recordings of an agent's sessions: writes, makes durable, acknowledges; checks and seals at the end.
//!
//! Parts that are there at the same moment are made durable together. A part that cannot be stored ends the stream, once the others
//! are acknowledged: the agent keeps what was not, and comes back. A long recording is checked beside the others, not before them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures::FutureExt as _;
use hoop_control::v1::{RecordingAck, RecordingPart};
use hoop_model::{Blame, Fault, SessionId};
use hoop_recording::{Frame, VerifyingKey, verify};
use hoop_store::{Agent, SessionRecord, SessionState, StoreError};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Status, Streaming};

use super::{control, server::unavailable};
use crate::{
    hub::Shared,
    recordings::{Piece, Stored},
    sessions,
};

const BATCH_PARTS: usize = 256;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
const ACKS: usize = 1024;

type Acks = mpsc::Sender<Result<RecordingAck, Status>>;

/// Recordings of one agent that are checked at the same time.
const CHECKS: usize = 4;

/// What is known about a session whose parts come.
#[derive(Debug)]
enum Admission {
    /// Its recording is taken.
    Open,
    /// It is whole, and being checked: nothing is added to it, and the check answers.
    Checked,
    /// It is sealed: nothing is taken, and nothing is missing.
    Sealed(u64),
    /// It is not taken.
    Refused(Fault),
}

/// Takes a stream of parts.
pub(crate) fn accept(
    hub: &Shared,
    agent: Agent,
    parts: Streaming<RecordingPart>,
) -> ReceiverStream<Result<RecordingAck, Status>> {
    let (acks, receiver) = mpsc::channel(ACKS);
    let task = Arc::clone(hub);
    hub.tasks.spawn(async move {
        let checks = Arc::new(Checks { room: Semaphore::new(CHECKS), sessions: Mutex::default() });
        let mut intake = Intake { hub: task, agent, admitted: HashMap::new(), checks, acks };
        if let Err(status) = intake.run(parts).await {
            let _ = intake.acks.send(Err(status)).await;
        }
        for (session, _) in intake.admitted {
            intake.hub.recordings.close(session);
        }
    });
    ReceiverStream::new(receiver)
}

struct Intake {
    hub: Shared,
    agent: Agent,
    /// Sessions whose recordings are taken, as long as no more were sealed than then, on this stream or on another.
    admitted: HashMap<SessionId, u64>,
    checks: Arc<Checks>,
    acks: Acks,
}

/// Recordings that came to their end on this stream.
struct Checks {
    room: Semaphore,
    sessions: Mutex<HashSet<SessionId>>,
}

impl Checks {
    fn sessions(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intake {
    async fn run(&mut self, mut parts: Streaming<RecordingPart>) -> Result<(), Status> {
        loop {
            let first = tokio::select! {
                biased;
                () = self.hub.stopping.cancelled() => return Err(Status::unavailable("the gateway is shutting down")),
                part = parts.next() => part,
            };
            let Some(first) = first else { return Ok(()) };
            if self.hub.agents.is_removed(self.agent.id) {
                return Err(Status::unauthenticated("this agent was removed"));
            }
            let batch = gather(first?, &mut parts)?;
            self.take(batch).await?;
        }
    }

    async fn take(&mut self, batch: Vec<RecordingPart>) -> Result<(), Status> {
        let began = Instant::now();
        let mut pieces = Vec::with_capacity(batch.len());
        let mut last = Vec::new();
        for part in batch {
            let Ok(session) = part.session_id.parse::<SessionId>() else {
                return Err(Status::invalid_argument("a part without a session"));
            };
            match self.admit(session).await? {
                Admission::Open => {
                    if part.last {
                        last.push((session, part.offset.saturating_add(part.data.len() as u64)));
                    }
                    pieces.push(Piece { session, offset: part.offset, data: part.data });
                }
                Admission::Checked => {}
                Admission::Sealed(durable) => ack(&self.acks, session, durable, None).await,
                Admission::Refused(fault) => ack(&self.acks, session, 0, Some(&fault)).await,
            }
        }
        let bytes: usize = pieces.iter().map(|piece| piece.data.len()).sum();
        let hub = Arc::clone(&self.hub);
        let stored = tokio::task::spawn_blocking(move || hub.recordings.store(pieces))
            .await
            .map_err(|_| Status::internal("storing a recording failed"))?;
        metrics::counter!("hoop_recording_bytes_total").increment(bytes as u64);
        metrics::histogram!("hoop_recording_store_seconds").record(began.elapsed().as_secs_f64());
        // One that fails keeps no other from being acknowledged.
        let mut failed = None;
        for (session, stored) in stored {
            let answered = self.answer(session, stored, &last).await;
            failed = failed.or(answered.err());
        }
        failed.map_or(Ok(()), Err)
    }

    async fn answer(
        &mut self,
        session: SessionId,
        stored: Stored,
        last: &[(SessionId, u64)],
    ) -> Result<(), Status> {
        let durable = match stored {
            Stored::Durable(durable) => durable,
            Stored::Long(durable) => {
                self.too_long(session).await?;
                durable
            }
            Stored::Full(durable) => {
                let fault = self.too_long(session).await?;
                ack(&self.acks, session, durable, Some(&fault)).await;
                return Ok(());
            }
            Stored::Failed(error) => {
                tracing::error!(%error, session.id = %session, "a recording cannot be stored");
                metrics::counter!("hoop_recording_failures_total").increment(1);
                return Err(Status::unavailable("the gateway cannot store recordings"));
            }
        };
        if last.contains(&(session, durable)) {
            self.admitted.remove(&session);
            self.check(session, durable);
        } else {
            ack(&self.acks, session, durable, None).await;
        }
        Ok(())
    }

    /// Seals a recording that is whole, and acknowledges its end, beside what else comes.
    fn check(&self, session: SessionId, durable: u64) {
        let (hub, agent, checks, acks) =
            (Arc::clone(&self.hub), self.agent.clone(), Arc::clone(&self.checks), self.acks.clone());
        checks.sessions().insert(session);
        self.hub.tasks.spawn(async move {
            let Ok(_turn) = checks.room.acquire().await else { return };
            let sealed = seal(&hub, &agent, session).await;
            checks.sessions().remove(&session);
            match sealed {
                Ok(()) => ack(&acks, session, durable, None).await,
                // Ends the stream: the agent comes back with what is not acknowledged.
                Err(status) => {
                    hub.recordings.close(session);
                    let _ = acks.send(Err(status)).await;
                }
            }
        });
    }

    /// Ends a session whose recording is as long as one may be. Its end is recorded all the same.
    async fn too_long(&self, session: SessionId) -> Result<Fault, Status> {
        let fault = Fault::new("HOOP-6003", Blame::System, "the recording reached its longest length")
            .with_hint("an admin can raise recordings.max_bytes");
        sessions::end_by_system(&self.hub, session, &fault).await.map_err(|error| unavailable(&error))?;
        Ok(fault)
    }

    async fn admit(&mut self, session: SessionId) -> Result<Admission, Status> {
        if self.checks.sessions().contains(&session) {
            return Ok(Admission::Checked);
        }
        // Read before the look: what is sealed after it makes a number that is not this one.
        let seals = self.hub.recordings.seals();
        if self.admitted.get(&session) == Some(&seals) {
            return Ok(Admission::Open);
        }
        let id = session.to_string();
        let own = control::own(&self.hub, &self.agent, &id).await.map_err(|error| unavailable(&error))?;
        self.admitted.remove(&session);
        Ok(match own {
            None => {
                Admission::Refused(Fault::new("HOOP-6004", Blame::Policy, "this session is not this agent's"))
            }
            // Signed to its end, moved or deleted: nothing is added to it.
            Some(record) if is_closed(&record) => {
                // From here on it may be anywhere, or deleted: what was signed for is what there was.
                let length = self.hub.recordings.length(session);
                Admission::Sealed(record.signed_length().unwrap_or(length))
            }
            Some(_) => {
                self.admitted.insert(session, seals);
                Admission::Open
            }
        })
    }
}

/// The trailer came: is the whole true to itself and to the agent's key?
async fn seal(hub: &Shared, agent: &Agent, session: SessionId) -> Result<(), Status> {
    let key = agent.signing_key.as_slice();
    let key: [u8; 32] =
        key.try_into().map_err(|_| Status::internal("the agent's signing key cannot be read"))?;
    let recordings = Arc::clone(&hub.recordings);
    let (report, trailer) = tokio::task::spawn_blocking(move || {
        let key = VerifyingKey::from_bytes(key);
        let file = recordings.read(session)?;
        let report = verify::verify_chain(std::io::BufReader::new(file), verify::Trust::Key(&key))?;
        let trailer = recordings.tail(session, report.bytes)?.and_then(|bytes| Frame::parse(bytes).ok());
        std::io::Result::Ok((report, trailer))
    })
    .await
    .map_err(|_| Status::internal("checking a recording failed"))?
    .map_err(|error| {
        tracing::error!(%error, session.id = %session, "a recording cannot be read back");
        Status::unavailable("the gateway cannot read recordings")
    })?;
    match sessions::sealed(hub, agent, session, &report, trailer).await {
        Ok(()) | Err(StoreError::Conflict(_)) => {}
        Err(error) => return Err(unavailable(&error)),
    }
    hub.recordings.sealed(session);
    Ok(())
}

/// An agent that does not read its acknowledgements stops its own recordings, nobody else's.
async fn ack(acks: &Acks, session: SessionId, durable: u64, refused: Option<&Fault>) {
    let ack = RecordingAck { session_id: session.to_string(), durable, refused: refused.map(Into::into) };
    let _ = acks.send(Ok(ack)).await;
}

fn is_closed(record: &SessionRecord) -> bool {
    let signed = record.recording.as_ref().is_some_and(|recording| recording.manifest.is_some());
    let gone = record.keeping.stored_at.is_some() || record.keeping.deleted_at.is_some();
    record.state == SessionState::Ended || signed || gone
}

/// The part that came, and those that are there already.
fn gather(first: RecordingPart, parts: &mut Streaming<RecordingPart>) -> Result<Vec<RecordingPart>, Status> {
    let mut bytes = first.data.len();
    let mut batch = vec![first];
    while batch.len() < BATCH_PARTS && bytes < BATCH_BYTES {
        match parts.next().now_or_never() {
            Some(Some(part)) => {
                let part = part?;
                bytes += part.data.len();
                batch.push(part);
            }
            Some(None) | None => break,
        }
    }
    Ok(batch)
}
