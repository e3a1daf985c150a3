//! The control stream: dialled, kept, dialled again.
//!
//! One task runs [`keep`]. Sessions live on while the gateway is away; what they have to tell waits, and ends are told
//! again at the next meeting.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hoop_control::v1::{
    self, from_agent::Message as FromAgent, gateway_client::GatewayClient, to_agent::Message as ToAgent,
};
use hoop_model::Timestamp;
use hoop_recording::RecordingPublicKey;
use hoop_tunnel::gateway::Transport;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Channel;

use super::{
    enrol::{EnrolError, renew, renew_at},
    tls::{Trust, connect},
};
use crate::{
    FIRST_WAIT, LONGEST_WAIT,
    config::GatewayAddress,
    data::{Claims, DataPlane},
    emergency,
    home::Identity,
    recording::{Spool, upload},
    session::{Meeting, Sessions},
};

/// A stream that held so long was good: the next wait is short again.
const GOOD: Duration = Duration::from_secs(30);
/// A gateway that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// Longest wait before recordings are offered again to a gateway that could not store them: sessions may be stalled.
const UPLOAD_WAIT: Duration = Duration::from_secs(2);
/// Messages on their way to the gateway.
const WAITING: usize = 256;
/// A clock that is wrong, here or at the gateway, makes each certificate look old: it is renewed no more often than so.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(5);

/// Why the control stream ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    #[error(transparent)]
    Link(#[from] super::tls::LinkError),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[from] tonic::Status),
    #[error("the gateway closed the control stream")]
    Closed,
    #[error("the gateway said nothing for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the gateway's welcome cannot be used: {0}")]
    Welcome(String),
    #[error("the certificate was renewed")]
    Renewed,
}

/// Uploads recordings for as long as the control stream holds. A gateway that cannot store them now is asked again and
/// again: its storage is no reason to lose the way by which sessions are opened and ended.
async fn keep_uploading(spool: &Arc<Spool>, gateway: GatewayClient<Channel>) -> Result<(), tonic::Status> {
    let mut wait = FIRST_WAIT;
    loop {
        let began = Instant::now();
        match upload(Arc::clone(spool), gateway.clone()).await {
            Err(status) if status.code() == tonic::Code::Unavailable => {
                wait = if began.elapsed() > GOOD { FIRST_WAIT } else { (wait * 2).min(UPLOAD_WAIT) };
                tracing::warn!(reason = %status.message(), retry_ms = wait.as_millis(), "recordings are not taken");
            }
            outcome => return outcome,
        }
        tokio::time::sleep(wait).await;
    }
}

/// What the control task works with.
pub(crate) struct Control {
    pub(crate) gateway: GatewayAddress,
    pub(crate) transport: Transport,
    pub(crate) identity: Identity,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) news: Mutex<mpsc::Receiver<FromAgent>>,
    pub(crate) data: Arc<DataPlane>,
    pub(crate) tasks: TaskTracker,
    /// When the certificate was last renewed by this process.
    pub(crate) renewed: Option<Instant>,
    /// Whether the control stream is up, for those who wait for it.
    pub(crate) connected: watch::Sender<bool>,
}

impl Control {
    /// Keeps the control stream until told to stop, or until the gateway says that this agent is no longer a member.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        let mut wait = FIRST_WAIT;
        loop {
            let began = tokio::time::Instant::now();
            let Some(outcome) = stop.run_until_cancelled(self.once()).await else { return };
            let was_up = self.connected.send_replace(false);
            self.sessions.around.emergencies.link(false);
            let Err(lost) = outcome else { continue };
            if matches!(lost, Lost::Renewed) {
                continue;
            }
            // A network that cuts is no reason to stay away: waits grow while nobody answers.
            if was_up || began.elapsed() > GOOD {
                wait = FIRST_WAIT;
            }
            // Spread over half to the whole wait, so that a thousand agents do not come back in one moment.
            let pause = wait.mul_f64(rand::random_range(0.5..1.0));
            tracing::warn!(reason = %lost, retry_ms = pause.as_millis(), "the control stream is down");
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// One control stream, from dialling to its end.
    async fn once(&mut self) -> Result<(), Lost> {
        let trust = Trust::Authority {
            ca: self.identity.ca_pem.clone(),
            certificate: self.identity.certificate_pem.clone(),
            key: self.sessions.around.home.tls_key_pem.clone(),
        };
        let gateway = connect(&self.gateway, &self.transport, &trust).await?;
        let is_due = Timestamp::from(jiff::Timestamp::now()) >= renew_at(&self.identity)?;
        if is_due && self.renewed.is_none_or(|then| then.elapsed() >= BETWEEN_RENEWALS) {
            self.renewed = Some(Instant::now());
            self.identity = renew(&self.sessions.around.home, &self.identity, gateway.clone()).await?;
            self.data.identity_changed(&self.identity);
            tracing::info!("the agent's certificate was renewed");
            return Err(Lost::Renewed);
        }
        self.converse(gateway).await
    }

    async fn converse(&self, mut gateway: GatewayClient<Channel>) -> Result<(), Lost> {
        let (out, receiver) = mpsc::channel(WAITING);
        let hello = v1::FromAgent { message: Some(FromAgent::Hello(self.sessions.hello())) };
        out.send(hello).await.map_err(|_| Lost::Closed)?;
        let mut heard = gateway.control(ReceiverStream::new(receiver)).await?.into_inner();
        let welcome = match next(&mut heard).await? {
            ToAgent::Welcome(welcome) => welcome,
            _ => return Err(Lost::Welcome("it does not come first".to_owned())),
        };
        let claims = self.welcome(welcome)?;
        let emergencies = &self.sessions.around.emergencies;
        emergencies.link(true);
        for used in emergencies.reports() {
            send(&out, FromAgent::EmergencyUsed(used)).await?;
        }
        for end in self.sessions.ends() {
            send(&out, FromAgent::SessionEnded(end)).await?;
        }
        self.connected.send_replace(true);
        tracing::info!(agent = %self.identity.agent, "the control stream is up");
        let until_renewal =
            renew_at(&self.identity)?.since(Timestamp::from(jiff::Timestamp::now())).max(BETWEEN_RENEWALS);
        let mut news = self.news.lock().await;
        let uploading = keep_uploading(&self.sessions.around.spool, gateway);
        tokio::pin!(uploading);
        let renewal = tokio::time::sleep(until_renewal);
        tokio::pin!(renewal);
        loop {
            tokio::select! {
                biased;
                message = next(&mut heard) => self.hear(message?, &claims, &out).await?,
                Some(message) = news.recv() => send(&out, message).await?,
                outcome = &mut uploading => return outcome.map_err(Lost::Status),
                () = &mut renewal => return Ok(()),
            }
        }
    }

    /// Takes what the gateway tells at a meeting, and begins to dial ahead.
    fn welcome(&self, welcome: v1::Welcome) -> Result<Arc<Claims>, Lost> {
        let wrong = |what: &str| Lost::Welcome(what.to_owned());
        let recording_key = RecordingPublicKey::from_pem(&welcome.recording_key_pem)
            .map_err(|error| Lost::Welcome(format!("its recording key: {error}")))?;
        let secret = welcome
            .claim_secret
            .as_ref()
            .try_into()
            .map_err(|_| wrong("its claim secret is not 32 bytes"))?;
        self.sessions.meet(Meeting {
            agent: self.identity.agent,
            grant_key: self.identity.grant_key.clone(),
            recording_key,
        });
        let address = if welcome.data_host.is_empty() {
            self.gateway.clone()
        } else {
            let port = u16::try_from(welcome.data_port).map_err(|_| wrong("its port for data"))?;
            GatewayAddress { host: welcome.data_host, port }
        };
        let claims = Arc::new(Claims::new(self.identity.agent, secret, welcome.claim_epoch, address));
        self.data.dial_ahead(&claims, welcome.dial_ahead, &self.tasks);
        Ok(claims)
    }

    async fn hear(
        &self,
        message: ToAgent,
        claims: &Arc<Claims>,
        out: &mpsc::Sender<v1::FromAgent>,
    ) -> Result<(), Lost> {
        match message {
            ToAgent::OpenSession(request) => {
                let sessions = Arc::clone(&self.sessions);
                self.tasks.spawn(async move { sessions.open(request).await });
            }
            ToAgent::EndSession(end) => {
                if let (Ok(id), Some(fault)) = (end.session_id.parse(), &end.fault) {
                    self.sessions.end(id, fault.to_fault());
                }
            }
            ToAgent::DialOut(dial) => self.data.dial_ahead(claims, dial.count, &self.tasks),
            ToAgent::Ping(ping) => send(out, FromAgent::Pong(v1::Pong { nonce: ping.nonce })).await?,
            ToAgent::Drain(drain) => {
                tracing::info!(reason = drain.reason, "the gateway is going away for a while")
            }
            ToAgent::TestConnection(request) => {
                let sessions = Arc::clone(&self.sessions);
                self.sessions.spawn(async move { sessions.test(request).await });
            }
            ToAgent::EmergencyKnown(answer) => emergency::known(&self.sessions, &answer),
            ToAgent::CapabilitiesRevoked(revoked) => self.sessions.around.emergencies.revoked(&revoked),
            ToAgent::Welcome(_) => return Err(Lost::Welcome("it came twice".to_owned())),
        }
        Ok(())
    }
}

async fn send(out: &mpsc::Sender<v1::FromAgent>, message: FromAgent) -> Result<(), Lost> {
    out.send(v1::FromAgent { message: Some(message) }).await.map_err(|_| Lost::Closed)
}

/// The gateway's next message. Cancel safe.
async fn next(heard: &mut tonic::Streaming<v1::ToAgent>) -> Result<ToAgent, Lost> {
    loop {
        let message = tokio::time::timeout(SILENCE, heard.message()).await.map_err(|_| Lost::Silent)??;
        // One of a later version, that this agent does not know, carries nothing, and is no reason to hang up.
        match message.ok_or(Lost::Closed)?.message {
            Some(known) => return Ok(known),
            None => tracing::debug!("the gateway said something that this agent does not know"),
        }
    }
}
