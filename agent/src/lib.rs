//! The agent daemon: sits in a private network, dials out to its gateway, opens no port.
//!
//! ```text
//!            control (gRPC, mutual TLS)                        target
//!  gateway ◀──────────────────────────── agent ───────────────▶ PostgreSQL, …
//!          ◀── data connections, dialled ahead ──┘  engine, policy, recording
//! ```
//!
//! - [`config`]: flags and environment. [`home`]: keys and identity on disk.
//! - `link`: enrolment and the control stream. `data`: data connections and the streams in them.
//! - `accounts`: an account at the target for each session, where a connection asks for it.
//! - `emergency`: a way in on this host while the gateway is down.
//! - [`machine`]: programs on the agent's own machine, where its owner allows them.
//! - `session`: sessions and their limits. `target`: credentials, dialling, cancel. `recording`: tape, spool, upload.
//!
//! Only this process holds a target's credential in the clear.

mod accounts;
pub mod config;
mod data;
pub mod emergency;
pub mod home;
mod link;
mod look;
pub mod machine;
mod recording;
mod session;
mod target;

use std::{sync::Arc, time::Duration};

use hoop_model::{AgentId, Blame, Fault};
use hoop_tunnel::gateway::Transport;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accounts::Keeper,
    config::AgentConfig,
    data::DataPlane,
    emergency::Emergencies,
    home::{Home, HomeError, Identity},
    link::{
        control::Control,
        enrol::{JoinToken, enrol},
    },
    machine::MachinePolicy,
    recording::{Spool, TapeLimits},
    session::{Sessions, Surroundings},
    target::credential::SecretPolicy,
};

/// First wait for a gateway that is not there; doubles to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long the end of the process waits for the gateway to take what was recorded.
const DELIVERY: Duration = Duration::from_secs(20);

pub use crate::link::{enrol::EnrolError, tls::LinkError};

/// The agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its membership.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Its spool.
    #[error("the spool cannot be opened: {0}")]
    Spool(std::io::Error),
    /// Its journal of accounts.
    #[error("the journal of accounts cannot be opened: {0}")]
    Accounts(std::io::Error),
    /// Its book of emergencies.
    #[error("the book of emergencies cannot be read: {0}")]
    Emergencies(std::io::Error),
    /// Its keys.
    #[error("{0}")]
    Data(String),
}

/// An agent that runs.
#[derive(Debug)]
pub struct Running {
    /// Its id.
    pub id: AgentId,
    sessions: Arc<Sessions>,
    stop: CancellationToken,
    tasks: TaskTracker,
    connected: watch::Receiver<bool>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

/// Enrols if need be, and runs. Gives back at once; [`Running::connected`] waits for the control stream.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: AgentConfig) -> Result<Running, StartError> {
    let home = Home::open(&config.state_dir)?;
    let transport = transport(config.transport)?;
    let identity = match home.identity()? {
        Some(identity) => identity,
        None => first_enrolment(&home, &config, &transport).await?,
    };
    let limits = TapeLimits {
        behind_bytes: config.spool_behind_bytes,
        behind: Duration::from_secs(config.spool_behind_seconds),
        stall: Duration::from_secs(config.stall_limit_seconds),
        sync: false,
    };
    let after = Duration::from_secs(config.break_glass_after_seconds);
    let emergencies = Emergencies::open(&config.state_dir, after).map_err(StartError::Emergencies)?;
    let spool = Spool::open(home.spool(), limits, &home.signing_key).map_err(StartError::Spool)?;
    emergencies.untold().into_iter().for_each(|session| spool.hold(session));
    let accounts = Keeper::open(home.accounts()).map_err(StartError::Accounts)?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let around = Surroundings {
        home,
        spool: Arc::clone(&spool),
        accounts,
        emergencies,
        secrets: SecretPolicy::new(config.allow_secrets.clone()),
        allow_targets: config.allow_targets.clone(),
        machine: MachinePolicy {
            accounts: config.allow_exec.clone(),
            may_read_secrets: config.exec_may_read_secrets,
            is_own_binary: config.is_own_binary,
            tasks: tasks.clone(),
        },
        resume_for: config.resume_for(),
    };
    let (sessions, news) = Sessions::new(around, tasks.clone(), stop.clone());
    let (home, way) = (&sessions.around.home, transport.clone());
    let plane = DataPlane::new(home, &identity, way, Arc::clone(&sessions), stop.clone());
    let data = Arc::new(plane.map_err(|error| StartError::Data(error.to_string()))?);
    let (connected, heard) = watch::channel(false);
    let id = identity.agent;
    let control = Control {
        gateway: config.gateway,
        transport,
        identity,
        sessions: Arc::clone(&sessions),
        news: news.into(),
        data,
        tasks: tasks.clone(),
        renewed: None,
        connected,
    };
    tasks.spawn(spool.keep(stop.clone()));
    let (sweeping, until) = (accounts::sweep(Arc::clone(&sessions)), stop.clone());
    tasks.spawn(async move { until.run_until_cancelled(sweeping).await });
    let (door, until) = (emergency::serve(Arc::clone(&sessions)), stop.clone());
    tasks.spawn(async move { until.run_until_cancelled(door).await });
    tasks.spawn(control.keep(stop.clone()));
    Ok(Running { id, sessions, stop, tasks, connected: heard })
}

/// How everything travels to the gateway.
fn transport(choice: config::TransportChoice) -> Result<Transport, StartError> {
    use rustls_platform_verifier::BuilderVerifierExt;
    match choice {
        config::TransportChoice::Tcp => Ok(Transport::Tcp),
        config::TransportChoice::Websocket => {
            let mut outer = rustls::ClientConfig::builder()
                .with_platform_verifier()
                .map_err(|error| {
                    StartError::Data(format!("the system's authorities cannot be read: {error}"))
                })?
                .with_no_client_auth();
            outer.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Transport::WebSocket(Arc::new(outer)))
        }
    }
}

async fn first_enrolment(
    home: &Home,
    config: &AgentConfig,
    transport: &Transport,
) -> Result<Identity, StartError> {
    let token = match (&config.join_token, &config.join_token_file) {
        (Some(token), _) => token.expose().clone(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).map_err(|error| HomeError::File { path: path.clone(), error })?
        }
        (None, None) => return Err(EnrolError::NoToken.into()),
    };
    let name = config.name.clone().ok_or(EnrolError::NoName)?;
    let token: JoinToken = token.parse()?;
    let mut wait = FIRST_WAIT;
    loop {
        match enrol(home, &config.gateway, transport, name.clone(), &token).await {
            Err(EnrolError::Link(LinkError::Connect(reason))) => {
                tracing::warn!(reason, retry_ms = wait.as_millis(), "the gateway cannot be reached to enrol");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            outcome => return Ok(outcome?),
        }
    }
}

impl Running {
    /// Waits until the control stream is up.
    pub async fn connected(&mut self) {
        // The sender lives as long as the control task.
        let _ = self.connected.wait_for(|up| *up).await;
    }

    /// Stops: ends sessions with a reason, finishes their recordings, then everything else.
    pub async fn shutdown(self) {
        let reason = Fault::new("HOOP-4205", Blame::System, "the agent is shutting down")
            .with_hint("open a new session in a moment");
        // 1. Sessions end and say why; their recordings are finished.
        self.sessions.end_all(&reason).await;
        // 2. The gateway, if it is there, gets them: this may be the last time that anybody sees this disk.
        let delivered = self.sessions.around.spool.all_delivered();
        if !tokio::time::timeout(DELIVERY, delivered).await.unwrap_or(false) {
            tracing::warn!("recordings are left in the spool; they are sent at the next start");
        }
        // 3. Control stream, uploads, parked connections.
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
