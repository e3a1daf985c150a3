//! The gateway: who may reach what, for how long, and the evidence of it; a relay for data that it cannot read.
//!
//! [`Gateway::start`] is the whole of it; `main` reads the configuration and waits, and tests start it in-process.
//!
//! - [`config`]: what the operator says. [`pki`]: the internal CA.
//! - `listener`: the one public port. `relay`: session data. `agents`: control streams and recordings that come in.
//! - `http`: API and console. `sessions`: what happens to a session. `jobs`: what happens without being asked.

mod agents;
pub mod backup;
pub mod bootstrap;
mod capabilities;
mod checkpoints;
pub mod config;
mod connection_tests;
mod http;
mod hub;
mod jobs;
mod keys;
mod listener;
mod live;
mod notices;
mod ops;
pub mod pki;
mod recordings;
mod relay;
mod requests;
mod rules;
mod sessions;
mod terminals;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use hoop_ledger::event::EventCode;
use hoop_model::Actor;
use hoop_store::{Store, StoreError};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::http::{Row, Who, authorization, openapi_json};
pub use self::keys::KeysError;
pub use self::listener::tls::TlsError;
use self::{
    config::Config,
    hub::{Hub, Shared, event, now},
    listener::limits::Each,
    listener::tls,
};

/// How long connections may go on after the gateway was told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How long agents have to hear of it.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Our own certificates: renewed when a third of this is left.
const SERVER_CERTIFICATE: Duration = Duration::from_secs(90 * 86_400);
const RENEW_EVERY: Duration = Duration::from_secs(86_400);
/// Passwords hashed, recordings played, and rules tried, at once.
const HEAVY: usize = 2;
/// Exports at once: each holds a thread for as long as its reader takes.
const EXPORTS: usize = 8;
/// Terminals in browsers at once.
const TERMINALS: usize = 1_000;
/// And of one person.
const TERMINALS_EACH: usize = 20;
/// Terminals watched at once.
const WATCHED: usize = 64;

/// Why a gateway does not start: the operator's settings, files or network.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error("{path}: {error}; is `data_dir` a folder that this user may write?")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A port.
    #[error("{address}: cannot listen: {error}; is another program using it?")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The store.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The internal CA.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Metrics.
    #[error(transparent)]
    Telemetry(#[from] hoop_telemetry::SetUpError),
}

/// Starts gateways.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Starts one: when this answers, its port is open.
    ///
    /// # Errors
    /// [`StartError`] says whose fault it is and what to do.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        // One provider of cryptography for everything that speaks TLS in this process; whoever was first is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = |error| StartError::Folder { path: config.data_dir.display().to_string(), error };
        recordings::make_private_dir(&config.data_dir).map_err(folder)?;
        let store = Store::open(config.store_url.expose()).await?;
        let keys = keys::Keys::open(&config, &store).await?;
        keys.recording.prepare(&store).await?;
        let recordings = recordings::Recordings::new(&config.recordings);
        let recordings = recordings.map_err(|error| StartError::Folder {
            path: config.recordings.dir.display().to_string(),
            error,
        })?;
        let socket = listen(config.listen).await?;
        let address =
            socket.local_addr().map_err(|error| StartError::Listen { address: config.listen, error })?;
        let ops = match config.ops_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let hub = Arc::new(Hub {
            store,
            keys,
            agents: agents::Agents::default(),
            tests: connection_tests::ConnectionTests::default(),
            live: live::LiveSessions::default(),
            rules: rules::Rules::new(config.separate_admins, config.policy_key),
            relay: relay::Relay::new(config.limits.waiting_per_agent),
            publishing: checkpoints::Publishing::new(&config, recordings.objects()),
            recordings: Arc::new(recordings),
            throttle: http::throttle::Throttle::new(config.limits.login_attempts_per_minute),
            hashing: Semaphore::new(HEAVY),
            reading: Arc::new(Semaphore::new(HEAVY)),
            trying: Arc::new(Semaphore::new(HEAVY)),
            exporting: Arc::new(Semaphore::new(EXPORTS)),
            terminals: Arc::new(Semaphore::new(TERMINALS)),
            terminals_each: Each::new(TERMINALS_EACH),
            watching: Arc::new(Semaphore::new(WATCHED)),
            metrics: hoop_telemetry::start_metrics()?,
            notices: notices::Notices::new(&config.channels, &config.public_host),
            oidc: http::oidc::Provider::new(config.oidc.clone()),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            port: AtomicU16::new(address.port()),
            sweep_again: Notify::new(),
            config,
        });
        Self::run(hub, socket, address, ops).await
    }

    async fn run(
        hub: Shared,
        socket: TcpListener,
        addr: SocketAddr,
        ops: Option<TcpListener>,
    ) -> Result<Running, StartError> {
        let (listener, certificates) = Self::listener(&hub)?;
        let last_event = hub.store.latest_checkpoint().await?.map(|checkpoint| checkpoint.at);
        let told =
            json!({ "version": env!("CARGO_PKG_VERSION"), "address": addr.to_string(), "name": hub.name() });
        hub.store.append(&[event(&Actor::System, EventCode::GatewayStarted, [], told)]).await?;
        let ops_addr = ops.as_ref().and_then(|socket| socket.local_addr().ok());
        let mut owned = vec![
            tokio::spawn(listener::serve(listener, socket)),
            tokio::spawn(jobs::run(Arc::clone(&hub))),
            tokio::spawn(jobs::reread::run(Arc::clone(&hub))),
            tokio::spawn(recordings::run_mover(Arc::clone(&hub))),
            tokio::spawn(recordings::run_retention(Arc::clone(&hub), last_event)),
            tokio::spawn(jobs::index::run(Arc::clone(&hub))),
            tokio::spawn(keys::watch(Arc::clone(&hub))),
            tokio::spawn(renew_certificates(Arc::clone(&hub), certificates)),
        ];
        notices::worker::start(&hub);
        checkpoints::worker::start(&hub);
        if let Some(ops) = ops {
            owned.push(tokio::spawn(ops::serve(Arc::clone(&hub), ops)));
        }
        tracing::info!(%addr, host = %hub.config.public_host, "gateway listens");
        Ok(Running { addr, ops_addr, hub, owned })
    }

    fn listener(hub: &Shared) -> Result<(listener::Listener, Certificates), StartError> {
        let (internal, public) = (server_identity(hub)?, server_identity(hub)?);
        let control = tls::Replaceable::new(internal)?;
        let (public, own_public) = match &hub.config.tls_files {
            Some(files) => (tls::Replaceable::from_files(files)?, false),
            None => (tls::Replaceable::new(public)?, true),
        };
        let grpc = |largest_message| {
            let service = agents::server::Service(Arc::clone(hub));
            let service = hoop_control::v1::gateway_server::GatewayServer::new(service)
                .max_decoding_message_size(largest_message);
            tonic::service::Routes::new(service).prepare().into_axum_router()
        };
        let listener = listener::Listener {
            hub: Arc::clone(hub),
            public: tls::public(Arc::clone(&public))?,
            control: tls::control(Arc::clone(&control), &hub.keys.authority)?,
            http: http::router(hub),
            grpc: grpc(8 * 1024 * 1024),
            enrolment: grpc(64 * 1024),
        };
        Ok((listener, Certificates { control, public: own_public.then_some(public) }))
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen { address, error })
}

/// Certificates of ours, which are renewed.
struct Certificates {
    control: Arc<tls::Replaceable>,
    public: Option<Arc<tls::Replaceable>>,
}

fn server_identity(hub: &Hub) -> Result<pki::ServerIdentity, pki::PkiError> {
    let mut names = vec![
        hub.config.public_host.clone(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    if !hub.config.listen.ip().is_unspecified() {
        names.push(hub.config.listen.ip().to_string());
    }
    let mut unique: Vec<String> = Vec::with_capacity(names.len());
    names.into_iter().for_each(|name| {
        if !unique.contains(&name) {
            unique.push(name)
        }
    });
    hub.keys.authority.issue_server(&unique, now(), SERVER_CERTIFICATE)
}

async fn renew_certificates(hub: Shared, certificates: Certificates) {
    loop {
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            () = tokio::time::sleep(RENEW_EVERY) => {}
        }
        for replaceable in std::iter::once(&certificates.control).chain(&certificates.public) {
            let renewed = server_identity(&hub).map_err(|error| error.to_string());
            let replaced =
                renewed.and_then(|identity| replaceable.replace(identity).map_err(|error| error.to_string()));
            if let Err(error) = replaced {
                tracing::error!(error, "the gateway's own certificate cannot be renewed");
            }
        }
    }
}

/// A gateway that runs. Dropping it without [`Running::shutdown`] leaves its tasks to the runtime.
#[derive(Debug)]
pub struct Running {
    /// The public address.
    pub addr: SocketAddr,
    /// Where metrics and health are, if anywhere.
    pub ops_addr: Option<SocketAddr>,
    hub: Shared,
    owned: Vec<JoinHandle<()>>,
}

impl Running {
    /// The internal CA's certificate, PEM: what clients are to trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.hub.keys.authority.pem()
    }

    /// What is remembered: for tests that look behind the API.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.hub.store
    }

    /// The port as others see it, where it differs from the listener's (a proxy in a test).
    pub fn set_public_port(&self, port: u16) {
        self.hub.port.store(port, Ordering::Relaxed);
    }

    /// Stops in order.
    pub async fn shutdown(self) {
        let Self { hub, owned, .. } = self;
        // 1. Stop accepting, and say so to who asks for readiness; requests that run are answered, streams that follow
        //    something end.
        hub.stopping.cancel();
        // 2. Tell agents: their sessions live on, and they dial another gateway, or this one when it is back.
        let links = hub.agents.all();
        for link in &links {
            link.drain("the gateway is stopping");
        }
        let told = async {
            for link in &links {
                link.ended.cancelled().await;
            }
        };
        let _ = timeout(LAST_WORD, told).await;
        // 3. Control streams end; sessions are not ended, only their connections are.
        //    (Those of now: one may have come while the others were told.)
        hub.agents.all().iter().for_each(|link| link.ended.cancel());
        for live in hub.live.all() {
            live.cut.cancel();
        }
        // 4. Wait, with a limit.
        hub.tasks.close();
        if timeout(DRAIN, hub.tasks.wait()).await.is_err() {
            tracing::warn!("connections were cut at the end of the time for shutting down");
        }
        // 5. Cut what is left.
        for task in owned {
            task.abort();
            let _ = task.await;
        }
        // 6. Seal: the last events are signed, and nothing is written after that.
        if let Err(error) =
            hub.store.append(&[event(&Actor::System, EventCode::GatewayStopped, [], json!({}))]).await
        {
            tracing::error!(%error, "the end of the gateway cannot be noted");
        }
        if jobs::sign_checkpoint(&hub).await.is_err() {
            tracing::error!("the ledger cannot be signed at the end");
        }
        checkpoints::worker::last(&hub).await;
        hub.store.close().await;
        tracing::info!("gateway stopped");
    }
}
