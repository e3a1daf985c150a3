//! One live session: its streams, its limits, its end.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hoop_control::{grant::Grant, v1};
use hoop_engine::{Credential, Engine, LoginCache, Started, StreamContext, Target, hosted::HostedEngine};
use hoop_masking::MaskingKey;
use hoop_model::{Blame, Fault, Redacted, StreamId, Timestamp};
use hoop_policy::Warrant;
use hoop_recording::event::{Event, Record, Said};
use hoop_session::{
    Activity, Dial, HostParts, Limits, Parts, Pipe, StreamEnd, Tape, Terminator, drive, ending, host,
};
use hoop_tunnel::{
    core::Limits as StreamLimits,
    stream::SessionStreams,
    ticket::{SessionSecret, TicketWindow},
};
use rand::TryRng;
use tokio::{io::AsyncWriteExt, sync::mpsc, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Sessions;
use crate::{
    accounts::OpenAccount,
    data::{Carrier, meter::Totals},
    recording::{SessionTape, TapeHandle},
    target::cancel::SessionDesk,
};

/// Streams have so long to say good-bye before they are cut; with the driver's own limit, less than 2 s in all.
const LAST_WORDS: Duration = Duration::from_millis(1500);
/// How often a session tells the gateway what it did, if it did anything.
const PROGRESS: Duration = Duration::from_secs(2);
/// Longest log-in at the target.
const LOGIN: Duration = Duration::from_secs(30);
/// Streams of one session at a time.
pub(crate) const MOST_STREAMS: usize = 1000;
/// A killed session may leave as many statements as it had streams, and all are to end in a moment.
const CANCELS_AT_ONCE: usize = 16;

/// The target's side of a session.
pub(crate) struct AtTarget {
    pub(crate) target: Arc<dyn Target>,
    /// What its streams log in with.
    pub(crate) credential: Credential,
    /// Looks the credential up anew, if it changes now and then.
    pub(crate) renew: Option<Renew>,
    pub(crate) dial: Arc<dyn Dial>,
    /// Its own account, if the credential is that one's.
    pub(crate) account: Option<OpenAccount>,
    /// With what values are hashed or faked.
    pub(crate) masking_key: MaskingKey,
}

/// Looks a credential up.
pub(crate) type Renew = Box<dyn Fn() -> Result<Credential, Fault> + Send + Sync>;

/// A session that runs.
pub(crate) struct LiveSession {
    pub(crate) grant: Grant,
    /// Its end by a clock that nobody sets: a wall clock that goes back gives no session more time.
    deadline: Instant,
    pub(crate) secret: SessionSecret,
    pub(crate) window: Mutex<TicketWindow>,
    pub(crate) streams: SessionStreams<Carrier>,
    pub(crate) terminator: Terminator,
    /// Its recording is finished.
    pub(crate) over: CancellationToken,
    warrant: Arc<Warrant>,
    target: Arc<dyn Target>,
    credential: Credential,
    renew: Option<Renew>,
    masking_key: MaskingKey,
    dial: Arc<dyn Dial>,
    account: Mutex<Option<OpenAccount>>,
    tape: Arc<SessionTape>,
    desk: Arc<SessionDesk>,
    activity: Arc<Activity>,
    /// What its connections to the gateway carried.
    pub(crate) totals: Arc<Totals>,
    login_cache: Arc<LoginCache>,
    tasks: TaskTracker,
    /// What moves the bytes of connections that streams share.
    pub(crate) pumps: TaskTracker,
    /// All streams have ended: nothing more is said.
    pub(crate) silent: CancellationToken,
}

fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

impl LiveSession {
    /// Starts a session's own tasks: its watch and its cancel requests.
    pub(crate) fn begin(
        sessions: &Arc<Sessions>,
        grant: Grant,
        secret: Redacted<[u8; 32]>,
        AtTarget { target, credential, renew, dial, account, masking_key }: AtTarget,
        tape: Arc<SessionTape>,
    ) -> Arc<Self> {
        let (terminator, _) = ending();
        let (desk, cancels) = SessionDesk::new();
        let meters = sessions.meters.of(grant.user, grant.connection, now());
        let session = Arc::new(Self {
            warrant: Arc::new(Warrant::metered(grant.rules(), grant.ends_at, meters)),
            secret: SessionSecret::from_bytes(*secret.expose()),
            window: Mutex::default(),
            streams: SessionStreams::new(
                StreamLimits { resume_for: sessions.around.resume_for, ..StreamLimits::default() },
                grant
                    .streams
                    .map_or(MOST_STREAMS, |most| MOST_STREAMS.min(most.try_into().unwrap_or(MOST_STREAMS))),
            ),
            terminator,
            over: CancellationToken::new(),
            target,
            credential,
            renew,
            masking_key,
            account: Mutex::new(account),
            tape,
            desk: Arc::new(desk),
            activity: Arc::new(Activity::new(now())),
            totals: Arc::default(),
            login_cache: Arc::default(),
            tasks: TaskTracker::new(),
            pumps: TaskTracker::new(),
            silent: CancellationToken::new(),
            dial: Arc::clone(&dial),
            deadline: Instant::now() + grant.ends_at.since(now()),
            grant,
        });
        sessions.keep(&session);
        sessions.tasks.spawn(send_cancels(dial, cancels, session.over.clone()));
        sessions.tasks.spawn(Arc::clone(&session).watch(Arc::clone(sessions)));
        tracing::info!(session = %session.grant.session, connection = %session.grant.connection_name, "session opened");
        session
    }

    /// A new stream of this session: runs until it ends.
    pub(crate) fn start_stream<C: Pipe + 'static>(
        self: &Arc<Self>,
        stream: StreamId,
        client: C,
    ) -> Result<(), Fault> {
        if self.terminator.reason().is_some() {
            return Err(Fault::new("HOOP-4203", Blame::Policy, "the session has ended"));
        }
        let mut seed = vec![0; 36];
        rand::rngs::SysRng
            .try_fill_bytes(&mut seed)
            .map_err(|_| Fault::new("HOOP-9004", Blame::System, "the agent has no random numbers"))?;
        let at = now();
        let context = StreamContext {
            session: self.grant.session,
            stream,
            person: self.grant.user_name.clone(),
            groups: self.grant.groups.clone(),
            rules: Arc::clone(self.warrant.rules()),
            masking_key: self.masking_key.clone(),
            cancel_seed: seed.into(),
            login_cache: Arc::clone(&self.login_cache),
            login_timeout: LOGIN,
        };
        let credential = self.renew.as_ref().map_or_else(|| Ok(self.credential.clone()), |renew| renew())?;
        match self.target.start(context, credential, at) {
            Started::Fed(engine) => self.run(stream, drive(self.parts(stream, engine, client))),
            Started::Hosted(engine) => self.run(stream, host(self.host_parts(stream, engine, client))),
        }
        Ok(())
    }

    fn run(self: &Arc<Self>, stream: StreamId, running: impl Future<Output = StreamEnd> + Send + 'static) {
        let session = Arc::clone(self);
        self.tasks.spawn(async move {
            let end = running.await;
            tracing::debug!(session = %session.grant.session, %stream, reason = ?end.reason, "stream ended");
        });
    }

    fn parts<C: Pipe>(&self, stream: StreamId, engine: Box<dyn Engine>, client: C) -> Parts<C> {
        Parts {
            stream,
            engine,
            client,
            dial: Arc::clone(&self.dial),
            tape: self.stream_tape(),
            desk: Arc::clone(&self.desk) as _,
            warrant: Arc::clone(&self.warrant),
            activity: Arc::clone(&self.activity),
            ending: self.terminator.listen(),
            limits: Limits::default(),
        }
    }

    fn host_parts<C: Pipe>(
        &self,
        stream: StreamId,
        engine: Box<dyn HostedEngine>,
        client: C,
    ) -> HostParts<C> {
        HostParts {
            stream,
            engine,
            client,
            dial: Arc::clone(&self.dial),
            tape: self.stream_tape(),
            warrant: Arc::clone(&self.warrant),
            activity: Arc::clone(&self.activity),
            terminator: self.terminator.clone(),
            limits: Limits::default(),
            stream_key: self.secret.stream_key(),
        }
    }

    fn stream_tape(&self) -> Arc<dyn Tape> {
        #[cfg(feature = "bench-unrecorded")]
        if crate::recording::unrecorded::is_wanted(self.tape.folder()) {
            return Arc::new(crate::recording::unrecorded::Unrecorded);
        }
        Arc::new(TapeHandle::new(Arc::clone(&self.tape)))
    }

    /// Ends the session when its time, its idle time or the gateway says so; then finishes its recording.
    async fn watch(self: Arc<Self>, sessions: Arc<Sessions>) {
        let stop = sessions.stop.clone();
        let mut told = Counters::default();
        let reason = loop {
            let next = self.next_look();
            tokio::select! {
                biased;
                reason = self.terminator.listen().ended() => break reason,
                reason = self.tape.failure() => break reason,
                () = stop.cancelled() => break Fault::new("HOOP-4205", Blame::System, "the agent is shutting down"),
                () = tokio::time::sleep(next) => {}
            }
            if let Some(reason) = self.time_is_up() {
                break reason;
            }
            let counters = self.counters();
            if counters != told && !sessions.around.emergencies.is_untold(self.grant.session) {
                sessions.tell(v1::from_agent::Message::SessionProgress(self.progress(&counters)));
                told = counters;
            }
        };
        self.terminator.end(reason);
        self.wind_up(&sessions).await;
    }

    /// While anything happens, often enough to tell the gateway; else only when a limit comes up.
    fn next_look(&self) -> Duration {
        let at = now();
        let idle_at = self.activity.last_input().after(Duration::from_secs(self.grant.idle_timeout_seconds));
        let left = self.deadline.saturating_duration_since(Instant::now());
        let limit = self.grant.ends_at.min(idle_at).since(at).min(left).max(Duration::from_millis(50));
        let quiet = at.since(self.activity.last_input()) > PROGRESS * 2;
        if quiet { limit.min(PROGRESS * 15) } else { limit.min(PROGRESS) }
    }

    fn time_is_up(&self) -> Option<Fault> {
        let at = now();
        if at >= self.grant.ends_at || Instant::now() >= self.deadline {
            return Some(
                Fault::new("HOOP-4206", Blame::Policy, "the session reached the end of its grant")
                    .with_hint("open a new session with `hoop connect`"),
            );
        }
        let idle = Duration::from_secs(self.grant.idle_timeout_seconds);
        (at.since(self.activity.last_input()) >= idle).then(|| {
            let what = format!("nothing came from the client for {} s (automatic logoff)", idle.as_secs());
            Fault::new("HOOP-4207", Blame::Policy, what).with_hint("open a new session with `hoop connect`")
        })
    }

    async fn wind_up(&self, sessions: &Sessions) {
        let id = self.grant.session;
        let reason =
            self.terminator.reason().unwrap_or_else(|| Fault::new("HOOP-9005", Blame::System, "unknown"));
        self.streams.end();
        self.tasks.close();
        if tokio::time::timeout(LAST_WORDS, self.tasks.wait()).await.is_err() {
            self.terminator.cut();
            self.tasks.wait().await;
        }
        // What they said last is written, and counted, before their volumes are signed.
        self.silent.cancel();
        self.pumps.close();
        if tokio::time::timeout(LAST_WORDS, self.pumps.wait()).await.is_err() {
            tracing::warn!(session = %id, "a connection did not end with its session");
        }
        self.close_account(sessions).await;
        let (tape, key) = (Arc::clone(&self.tape), Arc::clone(&sessions.around.home.signing_key));
        let text = format!("{} ({})", reason.message, reason.code);
        let (told, signing) = (text.clone(), Arc::clone(&key));
        let carried = self.totals.carried();
        let finished = tokio::task::spawn_blocking(move || tape.finish(&told, carried, &signing)).await;
        if !matches!(finished, Ok(Ok(()))) {
            tracing::error!(session = %id, "the recording was not finished; it will be sent as interrupted");
            sessions.around.spool.finish_later(Arc::clone(&self.tape), text, key);
        }
        let totals = Some(self.progress(&self.counters()));
        sessions.remove(
            id,
            v1::SessionEnded {
                session_id: id.to_string(),
                code: reason.code.to_string(),
                reason: reason.message,
                totals,
            },
        );
        self.over.cancel();
        tracing::info!(session = %id, code = %reason.code, "session ended");
    }

    /// Removes the session's own account, and says in the recording what became of it.
    async fn close_account(&self, sessions: &Sessions) {
        let account = self.account.lock().ok().and_then(|mut account| account.take());
        let Some(account) = account else { return };
        let text = account.close(sessions).await.into();
        let event = Event::Said { kind: Said::Notice, text };
        let kept = TapeHandle::new(Arc::clone(&self.tape)).append(Record { at: now(), stream: None, event });
        if kept.is_err() {
            tracing::warn!(session = %self.grant.session, "what became of a session's account is not in its recording");
        }
    }

    fn counters(&self) -> Counters {
        Counters {
            requests: self.activity.requests.load(Ordering::Relaxed),
            rows: self.activity.rows.load(Ordering::Relaxed),
            bytes_in: self.activity.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.activity.bytes_out.load(Ordering::Relaxed),
        }
    }

    fn progress(&self, counters: &Counters) -> v1::SessionProgress {
        v1::SessionProgress {
            session_id: self.grant.session.to_string(),
            requests: counters.requests,
            rows: counters.rows,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            streams: u32::try_from(self.tasks.len()).unwrap_or(u32::MAX),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counters {
    requests: u64,
    rows: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// Sends cancel requests to the target, each on a connection of its own, as the protocol has it.
async fn send_cancels(dial: Arc<dyn Dial>, mut requests: mpsc::Receiver<Bytes>, stop: CancellationToken) {
    let mut sending = JoinSet::new();
    loop {
        if sending.len() >= CANCELS_AT_ONCE {
            sending.join_next().await;
        }
        let request = tokio::select! {
            biased;
            Some(request) = requests.recv() => request,
            () = stop.cancelled() => break,
        };
        sending.spawn(send_cancel(Arc::clone(&dial), request));
    }
    while sending.join_next().await.is_some() {}
}

async fn send_cancel(dial: Arc<dyn Dial>, request: Bytes) {
    let sent = async {
        let mut socket = dial.dial().await.map_err(|fault| fault.message)?;
        socket.write_all(&request).await.map_err(|error| error.to_string())?;
        socket.shutdown().await.map_err(|error| error.to_string())
    };
    if let Err(error) = sent.await {
        tracing::warn!(%error, "a cancel request did not reach the target");
    }
}
