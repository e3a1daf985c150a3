//! The sessions that this agent carries: opened by a signed grant, ended once, for one reason.

mod live;
mod meters;
mod open;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use hoop_control::{features, v1};
use hoop_model::{AgentId, Blame, Fault, Redacted, SessionId};
use hoop_recording::RecordingPublicKey;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use live::{AtTarget, LiveSession, MOST_STREAMS};
use meters::AllMeters;
pub(crate) use open::{renewal, site_of, start};

use crate::{
    accounts::Keeper, emergency::Emergencies, home::Home, look, machine::MachinePolicy, recording::Spool,
    target::credential::SecretPolicy,
};

/// Messages to the gateway that may wait while it is away; each session has at most a few.
const WAITING: usize = 4096;
/// When the agent stops: how often it looks whether what is being opened has been.
const OPENING: Duration = Duration::from_millis(20);

/// What the gateway told this agent when they last met.
#[derive(Debug, Clone)]
pub(crate) struct Meeting {
    pub(crate) agent: AgentId,
    pub(crate) grant_key: Vec<u8>,
    pub(crate) recording_key: RecordingPublicKey,
}

/// What sessions need of the agent.
pub(crate) struct Surroundings {
    pub(crate) home: Home,
    pub(crate) spool: Arc<Spool>,
    pub(crate) accounts: Arc<Keeper>,
    pub(crate) emergencies: Arc<Emergencies>,
    pub(crate) secrets: SecretPolicy,
    pub(crate) allow_targets: Vec<String>,
    pub(crate) machine: MachinePolicy,
    pub(crate) resume_for: Duration,
}

/// All live sessions.
pub(crate) struct Sessions {
    pub(crate) around: Surroundings,
    meeting: Mutex<Option<Meeting>>,
    live: Mutex<HashMap<SessionId, Arc<LiveSession>>>,
    /// Sessions that are being opened: the gateway may ask again meanwhile.
    opening: Mutex<HashSet<SessionId>>,
    /// Why no more are opened: the agent stops.
    closing: OnceLock<Fault>,
    /// Ends told to the gateway again at each meeting, until it has the recording.
    ended: Mutex<HashMap<SessionId, v1::SessionEnded>>,
    /// What people have had, beyond the end of their sessions.
    meters: AllMeters,
    news: mpsc::Sender<v1::from_agent::Message>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Sessions {
    /// None yet; what they have to tell the gateway comes out of the receiver.
    pub(crate) fn new(
        around: Surroundings,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> (Arc<Self>, mpsc::Receiver<v1::from_agent::Message>) {
        let (news, receiver) = mpsc::channel(WAITING);
        let sessions = Self {
            around,
            meeting: Mutex::default(),
            live: Mutex::default(),
            opening: Mutex::default(),
            closing: OnceLock::new(),
            ended: Mutex::default(),
            meters: AllMeters::default(),
            news,
            tasks,
            stop,
        };
        (Arc::new(sessions), receiver)
    }

    pub(crate) fn meet(&self, meeting: Meeting) {
        if let Ok(mut slot) = self.meeting.lock() {
            *slot = Some(meeting);
        }
    }

    pub(crate) fn meeting(&self) -> Result<Meeting, Fault> {
        let met = self.meeting.lock().ok().and_then(|meeting| meeting.clone());
        met.ok_or_else(|| Fault::new("HOOP-4201", Blame::System, "the agent has not met its gateway yet"))
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<LiveSession>> {
        self.live.lock().ok()?.get(&id).cloned()
    }

    /// What this agent tells the gateway about itself when they meet.
    pub(crate) fn hello(&self) -> v1::Hello {
        // What the gateway has not been told of, it would end.
        let known = |id: &SessionId| !self.around.emergencies.is_untold(*id);
        let live = self
            .live
            .lock()
            .map(|live| live.keys().filter(|id| known(id)).map(ToString::to_string).collect());
        let live: Vec<String> = live.unwrap_or_default();
        let tapes = self.around.spool.tapes();
        let spool = tapes.iter().filter(|tape| known(&tape.session())).map(|tape| v1::SpoolState {
            session_id: tape.session().to_string(),
            chunks: 0,
            live: self.find(tape.session()).is_some(),
        });
        v1::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocols: hoop_protocols::all().iter().map(|protocol| protocol.id().to_string()).collect(),
            spool: spool.collect(),
            live_sessions: live,
            features: [features::TEST_CONNECTION, features::SCAN_CONNECTION].map(str::to_owned).to_vec(),
        }
    }

    /// Ends that the gateway may not have heard.
    pub(crate) fn ends(&self) -> Vec<v1::SessionEnded> {
        let open: Vec<SessionId> = self.around.spool.tapes().iter().map(|tape| tape.session()).collect();
        let Ok(mut ended) = self.ended.lock() else { return Vec::new() };
        ended.retain(|id, _| open.contains(id));
        let told = ended.iter().filter(|(id, _)| !self.around.emergencies.is_untold(**id));
        told.map(|(_, end)| end.clone()).collect()
    }

    /// The gateway knows of a session now: its recording goes, and its end, if it has ended.
    pub(crate) fn release(&self, id: SessionId) {
        self.around.spool.release(id);
        let end = self.ended.lock().ok().and_then(|ended| ended.get(&id).cloned());
        if let Some(end) = end {
            self.tell(v1::from_agent::Message::SessionEnded(end));
        }
    }

    /// Runs a task that the agent waits for when it stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(task).await });
    }

    /// A session asked for by the gateway.
    pub(crate) async fn open(self: &Arc<Self>, request: v1::OpenSession) {
        let outcome = open::open(self, &request).await;
        let message = match outcome {
            Ok(None) => return,
            Ok(Some(id)) => {
                v1::from_agent::Message::SessionReady(v1::SessionReady { session_id: id.to_string() })
            }
            Err(open::Refusal { session, fault }) => {
                tracing::warn!(session = session.map(|s| s.to_string()), code = %fault.code, reason = %fault.message, "a session was refused");
                v1::from_agent::Message::SessionRefused(v1::SessionRefused {
                    session_id: session.map(|s| s.to_string()).unwrap_or_default(),
                    fault: Some(v1::Fault::from(&fault)),
                })
            }
        };
        self.tell(message);
    }

    /// A connection is to be tried.
    pub(crate) async fn test(&self, request: v1::TestConnection) {
        if let Some(answer) = look::carry_out(self, &request).await {
            self.tell(v1::from_agent::Message::ConnectionTested(answer));
        }
    }

    /// A session is to end. One that this agent does not have (the order to open it was lost, say) is refused: else the
    /// gateway would wait for its recording.
    pub(crate) fn end(&self, id: SessionId, reason: Fault) {
        if let Some(session) = self.find(id) {
            session.terminator.end(reason);
        } else if !self.is_on_its_way(id) {
            let fault = Fault::new("HOOP-4227", Blame::System, "this agent never began this session");
            self.tell(v1::from_agent::Message::SessionRefused(v1::SessionRefused {
                session_id: id.to_string(),
                fault: Some(v1::Fault::from(&fault)),
            }));
        }
    }

    /// It is being opened, or its recording is being delivered.
    fn is_on_its_way(&self, id: SessionId) -> bool {
        let opening = self.opening.lock().map_or(true, |opening| opening.contains(&id));
        opening || self.around.spool.find(id).is_some()
    }

    /// Ends all sessions and waits until their recordings are finished. From now on none is opened.
    pub(crate) async fn end_all(&self, reason: &Fault) {
        let _ = self.closing.set(reason.clone());
        loop {
            // Looked at first: one that is opened meanwhile is among the living then.
            let more = self.opening.lock().is_ok_and(|opening| !opening.is_empty());
            let live: Vec<_> =
                self.live.lock().map(|live| live.values().cloned().collect()).unwrap_or_default();
            live.iter().for_each(|session| session.terminator.end(reason.clone()));
            for session in live {
                session.over.cancelled().await;
            }
            if !more {
                return;
            }
            tokio::time::sleep(OPENING).await;
        }
    }

    pub(crate) fn tell(&self, message: v1::from_agent::Message) {
        if self.news.try_send(message).is_err() {
            tracing::warn!(
                "a message to the gateway was left out: too many wait; it is told at the next meeting"
            );
        }
    }

    fn keep(&self, session: &Arc<LiveSession>) {
        if let Ok(mut live) = self.live.lock() {
            live.insert(session.grant.session, Arc::clone(session));
        }
        // It was let in while the agent began to stop.
        if let Some(reason) = self.closing.get() {
            session.terminator.end(reason.clone());
        }
    }

    fn remove(&self, id: SessionId, end: v1::SessionEnded) {
        if let Ok(mut ended) = self.ended.lock() {
            ended.insert(id, end.clone());
        }
        if let Ok(mut live) = self.live.lock() {
            live.remove(&id);
        }
        if !self.around.emergencies.is_untold(id) {
            self.tell(v1::from_agent::Message::SessionEnded(end));
        }
    }
}

/// The session's secret as tickets are checked with it.
fn secret(bytes: &[u8]) -> Option<Redacted<[u8; 32]>> {
    <[u8; 32]>::try_from(bytes).ok().map(Redacted::new)
}
