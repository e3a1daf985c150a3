//! Data connections: dialled ahead, parked at the gateway until a connector comes, then a carrier of a session's stream.
//!
//! Each parked connection is one small task. When a connector's ClientHello comes through, its ticket names a session
//! of this agent; only then does the handshake begin, and only that session's certificate and key pass it.

pub(crate) mod meter;
pub(crate) mod streams;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use hoop_model::{AgentId, Blame, Fault, SessionId};
use hoop_recording::hex;
use hoop_tunnel::{
    dial::Reach,
    gateway::{GatewayDial, Outer, Transport},
    inner::{AcceptError, InnerAcceptor, InnerIdentity, InnerTlsError, agent_config, roots_from_pem},
    lanes::{self, Way},
    stream::{AttachError, Attached},
    ticket::{Claim, ClaimSecret, TicketError},
};
use rustls::pki_types::CertificateDer;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::GatewayAddress,
    home::{Home, Identity},
    session::{LiveSession, Sessions},
};
use meter::Metered;
use streams::TunnelPipe;

/// From a connector's first byte to the end of its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most connections dialled for one request of the gateway, which asks for no more than sessions wait.
const MOST_AT_ONCE: u32 = 1024;
/// Most lanes of one connection. A session has fewer streams; those beyond are refused one by one, with the reason.
const MOST_LANES: usize = 8192;

/// What claims of data connections are derived from, for one control stream.
pub(crate) struct Claims {
    agent: AgentId,
    secret: ClaimSecret,
    epoch: u64,
    next: AtomicU32,
    address: GatewayAddress,
}

impl Claims {
    pub(crate) const fn new(agent: AgentId, secret: [u8; 32], epoch: u64, address: GatewayAddress) -> Self {
        Self { agent, secret: ClaimSecret::from_bytes(secret), epoch, next: AtomicU32::new(0), address }
    }

    fn next(&self) -> Claim {
        Claim::derive(&self.secret, self.agent, self.epoch, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Accepts data connections for all sessions.
pub(crate) struct DataPlane {
    acceptor: ArcSwap<InnerAcceptor>,
    tls_key_pem: hoop_model::Redacted<String>,
    transport: Transport,
    sessions: Arc<Sessions>,
    stop: CancellationToken,
}

/// Why a connection was not taken. Logged and counted; the peer learns nothing.
#[derive(Debug, thiserror::Error)]
enum Unwanted {
    #[error(transparent)]
    Accept(#[from] AcceptError),
    #[error("no such session: {0}")]
    NoSession(SessionId),
    #[error(transparent)]
    Ticket(#[from] TicketError),
    #[error("the connector's key is not the one in the grant")]
    OtherKey,
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error("{0}")]
    Start(Fault),
}

impl DataPlane {
    pub(crate) fn new(
        home: &Home,
        identity: &Identity,
        transport: Transport,
        sessions: Arc<Sessions>,
        stop: CancellationToken,
    ) -> Result<Self, InnerTlsError> {
        Ok(Self {
            acceptor: ArcSwap::from_pointee(acceptor(identity, &home.tls_key_pem)?),
            tls_key_pem: home.tls_key_pem.clone(),
            transport,
            sessions,
            stop,
        })
    }

    /// Uses a renewed certificate for connections from now on.
    pub(crate) fn identity_changed(&self, identity: &Identity) {
        match acceptor(identity, &self.tls_key_pem) {
            Ok(acceptor) => self.acceptor.store(Arc::new(acceptor)),
            Err(error) => tracing::error!(%error, "the renewed certificate cannot be used for sessions"),
        }
    }

    /// Dials `count` more connections, each a task of its own.
    pub(crate) fn dial_ahead(self: &Arc<Self>, claims: &Arc<Claims>, count: u32, tasks: &TaskTracker) {
        for _ in 0..count.min(MOST_AT_ONCE) {
            let (data, claims, for_more) = (Arc::clone(self), Arc::clone(claims), tasks.clone());
            tasks.spawn(async move {
                let stop = data.stop.clone();
                match stop.run_until_cancelled(Box::pin(data.carry(&claims, &for_more))).await {
                    Some(Err(Unwanted::Accept(AcceptError::Closed))) | None | Some(Ok(())) => {}
                    Some(Err(unwanted)) => unwanted.tell(),
                }
            });
        }
    }

    /// One connection: parked, then taken by a connector, then part of a stream or of many.
    async fn carry(&self, claims: &Claims, tasks: &TaskTracker) -> Result<(), Unwanted> {
        let reach = Reach::from_environment(claims.address.host.clone(), claims.address.port)
            .map_err(|error| Unwanted::Start(unreachable(&error)))?;
        let dial = GatewayDial::new(reach, self.transport.clone());
        let parked = dial.park(&claims.next()).await.map_err(|error| Unwanted::Start(unreachable(&error)))?;
        let (parked, meter) = Metered::new(parked);
        let acceptor = self.acceptor.load_full();
        let offer = acceptor.wait(parked).await?;
        let session = self.admit(offer.ticket())?;
        meter.belongs_to(&session.totals);
        let carrier = offer.accept().await?;
        check_key(carrier.get_ref().1.peer_certificates(), &session)?;
        match attach(Way::Alone(carrier), &session).await? {
            Some(Way::Alone(shared)) => self.share(shared, &session, tasks).await,
            Some(Way::Lane(_)) | None => {}
        }
        Ok(())
    }

    /// A connection of many streams: attaches what comes in each lane, until the connection breaks or all streams have ended.
    async fn share(&self, connection: Connection, session: &Arc<LiveSession>, tasks: &TaskTracker) {
        let (mut incoming, pump) = lanes::accept(connection, MOST_LANES);
        let broken = CancellationToken::new();
        let until = broken.clone();
        // It does not end with this task: streams have something to say when they are ended.
        session.pumps.spawn(async move { until.run_until_cancelled(pump).await });
        while let Some(Some(lane)) = session.silent.run_until_cancelled(incoming.next()).await {
            let (session, stop, broken) = (Arc::clone(session), self.stop.clone(), broken.clone());
            tasks.spawn(async move {
                let attaching = stop.run_until_cancelled(Box::pin(attach(Way::Lane(lane), &session)));
                match session.silent.run_until_cancelled(attaching).await.flatten() {
                    // A client that was gone before it said anything.
                    Some(Ok(None) | Err(Unwanted::Attach(AttachError::Io(_)))) | None => {}
                    Some(Err(
                        unwanted @ (Unwanted::Attach(AttachError::Refused(_)) | Unwanted::Start(_)),
                    )) => {
                        unwanted.tell();
                    }
                    // No connector of ours does that: once is enough.
                    Some(Err(unwanted)) if !broken.is_cancelled() => {
                        broken.cancel();
                        unwanted.tell();
                    }
                    Some(Ok(Some(_)) | Err(_)) => broken.cancel(),
                }
            });
        }
    }

    /// The session that a ticket is good for. The gateway has looked too; this end takes no word for it.
    fn admit(&self, ticket: &hoop_tunnel::ticket::Ticket) -> Result<Arc<LiveSession>, Unwanted> {
        let session = self.sessions.find(ticket.session()).ok_or(Unwanted::NoSession(ticket.session()))?;
        ticket.verify(&session.secret)?;
        session.window.lock().map_err(|_| TicketError::Exhausted)?.admit(ticket.counter())?;
        Ok(session)
    }
}

/// Gives the carrier back if it is one of many streams.
async fn attach(carrier: Carrier, session: &Arc<LiveSession>) -> Result<Option<Carrier>, Unwanted> {
    match session.streams.attach(carrier).await? {
        Attached::Resumed(_) => Ok(None),
        Attached::Shared(carrier) => Ok(Some(carrier)),
        Attached::New(stream) => {
            let id = stream.id();
            session.start_stream(id, TunnelPipe::new(stream)).map_err(Unwanted::Start)?;
            Ok(None)
        }
    }
}

impl Unwanted {
    fn tell(&self) {
        metrics::counter!("hoop_agent_connections_refused_total").increment(1);
        tracing::warn!(reason = %self, "a data connection was not taken");
    }
}

fn acceptor(
    identity: &Identity,
    key_pem: &hoop_model::Redacted<String>,
) -> Result<InnerAcceptor, InnerTlsError> {
    let roots = roots_from_pem(&identity.ca_pem)?;
    let inner = InnerIdentity::from_pem(&identity.certificate_pem, key_pem.expose())?;
    Ok(InnerAcceptor::new(agent_config(roots, inner)?, HANDSHAKE))
}

/// The grant names the connector's key: a certificate for the same session with another key is refused.
fn check_key(certificates: Option<&[CertificateDer<'_>]>, session: &LiveSession) -> Result<(), Unwanted> {
    let certificate = certificates.and_then(<[_]>::first).ok_or(Unwanted::OtherKey)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| Unwanted::OtherKey)?;
    let hash = digest(&SHA256, parsed.public_key().raw);
    if hex::encode(hash.as_ref()) == session.grant.connector_key_sha256 {
        Ok(())
    } else {
        Err(Unwanted::OtherKey)
    }
}

fn unreachable(error: &dyn std::error::Error) -> Fault {
    Fault::new("HOOP-4040", Blame::Network, format!("the gateway cannot be dialled for data: {error}"))
}

type Connection = tokio_rustls::server::TlsStream<hoop_tunnel::inner::Prefixed<Metered<Outer>>>;

/// The carrier of a stream at the agent.
pub(crate) type Carrier = Way<Connection>;
