//! A gateway, an agent and a connector in one process, for tests and measurements: loopback TCP, real inner TLS.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "shared: each test and example uses its own part, so that an expectation would be unfulfilled in some"
)]

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use hoop_model::{AgentId, SessionId};
use hoop_tunnel::{
    core::Limits,
    dispatch::Dispatch,
    hello::{HelloPeek, Peek},
    inner::{
        ConnectorTls, InnerAcceptor, InnerIdentity, PeerIdentity, Prefixed, agent_config, claim_record, roots,
    },
    lanes::{self, Way},
    relay::{End, RelayLimits, Tally, relay},
    stream::{Attached, Backoff, Connector, Dial, DialFailure, ResumableStream, SessionStreams, Sharing},
    ticket::{Claim, ClaimSecret, SessionSecret, Ticket, TicketMint, TicketWindow},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub const HOST: &str = "gateway.example";

pub struct Ca {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Ca {
    pub fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test CA");
        Self {
            issuer: rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap(),
        }
    }

    pub fn roots(&self) -> RootCertStore {
        roots([self.issuer.der().clone()]).unwrap()
    }

    pub fn issue(&self, identity: PeerIdentity) -> InnerIdentity {
        self.issue_names(&[identity.to_string()], 2100)
    }

    pub fn issue_names(&self, uris: &[String], until: i32) -> InnerIdentity {
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names =
            uris.iter().map(|uri| rcgen::SanType::URI(uri.as_str().try_into().unwrap())).collect();
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &self.issuer).unwrap().der().clone();
        InnerIdentity::new(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// What gateway, agent and connector know of one session.
#[derive(Clone)]
pub struct Session {
    pub id: SessionId,
    pub secret: SessionSecret,
    pub tls: ConnectorTls,
}

impl Session {
    pub fn new(ca: &Ca, agent: AgentId) -> Self {
        let id = SessionId::generate();
        let tls = ConnectorTls::new(ca.roots(), ca.issue(PeerIdentity::Session(id)), agent).unwrap();
        Self { id, secret: SessionSecret::generate().unwrap(), tls }
    }
}

// --- the gateway

/// How many bytes each connection passes before it is cut; `None` for all.
pub type Cut = Option<fn(u32) -> usize>;

pub struct Gateway {
    pub address: SocketAddr,
    pub tasks: JoinSet<()>,
    state: Arc<GatewayState>,
}

impl Gateway {
    /// How many connections were paired.
    pub fn relays(&self) -> u32 {
        *self.state.relays.lock().unwrap()
    }
}

struct GatewayState {
    parked: Mutex<VecDeque<TcpStream>>,
    came: Notify,
    cut: Cut,
    relays: Mutex<u32>,
}

pub async fn gateway(cut: Cut) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state =
        Arc::new(GatewayState { parked: Mutex::default(), came: Notify::new(), cut, relays: Mutex::new(0) });
    let (mut tasks, serving) = (JoinSet::new(), Arc::clone(&state));
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(Arc::clone(&serving), stream));
        }
    });
    Gateway { address, tasks, state }
}

async fn serve(state: Arc<GatewayState>, mut stream: TcpStream) {
    let mut peek = HelloPeek::default();
    let mut buffer = [0; 4096];
    let hello = loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        match peek.feed(&buffer[..count]) {
            Peek::NeedMore if count > 0 => {}
            Peek::Hello(hello) => break hello,
            _ => return,
        }
    };
    match Dispatch::of(&hello) {
        Ok(Dispatch::Claim(_)) => {
            state.parked.lock().unwrap().push_back(stream);
            state.came.notify_one();
        }
        Ok(Dispatch::Session(_)) => pair(&state, stream, peek.into_bytes()).await,
        _ => {}
    }
}

async fn pair(state: &GatewayState, connector: TcpStream, first: Vec<u8>) {
    let mut agent = loop {
        let parked = state.parked.lock().unwrap().pop_front();
        match parked {
            Some(parked) => break parked,
            None => state.came.notified().await,
        }
    };
    if agent.write_all(&first).await.is_err() {
        return;
    }
    let number = {
        let mut relays = state.relays.lock().unwrap();
        *relays += 1;
        *relays
    };
    let token = CancellationToken::new();
    match state.cut {
        None => {
            relay(connector, agent, RelayLimits::default(), &token, &Tally::default()).await;
        }
        Some(cut) => {
            let cutting = Cutting { io: connector, left: cut(number) };
            relay(cutting, agent, RelayLimits::default(), &token, &Tally::default()).await;
        }
    }
}

/// Breaks after so many bytes, counting both directions.
pub struct Cutting<IO> {
    pub io: IO,
    pub left: usize,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> End for Cutting<IO> {}

impl<IO: AsyncRead + Unpin> AsyncRead for Cutting<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut part = buf.take(self.left);
        std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        self.left -= count;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Cutting<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let part = buf.len().min(self.left);
        let count = std::task::ready!(Pin::new(&mut self.io).poll_write(cx, &buf[..part]))?;
        self.left -= count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

// --- the agent

pub type AgentCarrier = Way<tokio_rustls::server::TlsStream<Prefixed<TcpStream>>>;
pub type AgentStream = Box<ResumableStream<AgentCarrier>>;

/// Serves one session: gives its new streams.
pub struct Agent {
    pub streams: SessionStreams<AgentCarrier>,
    pub opened: mpsc::Receiver<AgentStream>,
    pub refused: mpsc::Receiver<String>,
    pub tasks: JoinSet<()>,
}

pub fn agent(ca: &Ca, id: AgentId, gateway: SocketAddr, session: &Session, limits: Limits) -> Agent {
    let config = agent_config(ca.roots(), ca.issue(PeerIdentity::Agent(id))).unwrap();
    let acceptor = InnerAcceptor::new(config, Duration::from_secs(5));
    let claims = ClaimSecret::generate().unwrap();
    let streams = SessionStreams::new(limits, 4096);
    let window = Arc::new(Mutex::new(TicketWindow::default()));
    let (opened_tx, opened) = mpsc::channel(16);
    let (refused_tx, refused) = mpsc::channel(16);
    let mut tasks = JoinSet::new();
    for line in 0..4u32 {
        let (acceptor, claims, streams) = (acceptor.clone(), claims.clone(), streams.clone());
        let (session, window) = (session.clone(), Arc::clone(&window));
        let (opened, refused) = (opened_tx.clone(), refused_tx.clone());
        tasks.spawn(async move {
            let mut handshakes = JoinSet::new();
            for counter in 0.. {
                let claim = Claim::derive(&claims, id, 1, counter * 4 + line);
                let Ok(mut tcp) = TcpStream::connect(gateway).await else { return };
                tcp.set_nodelay(true).unwrap();
                tcp.write_all(&claim_record(HOST, &claim).unwrap()).await.unwrap();
                let Ok(offer) = acceptor.wait(tcp).await else { continue };
                let (session, window, streams) = (session.clone(), Arc::clone(&window), streams.clone());
                let (opened, refused) = (opened.clone(), refused.clone());
                handshakes.spawn(async move {
                    let admitted = admit(offer.ticket(), &session, &window);
                    if let Err(error) = admitted {
                        let _ = refused.try_send(error);
                        return;
                    }
                    match offer.accept().await {
                        Ok(carrier) => attach(Way::Alone(carrier), streams, opened, refused).await,
                        Err(error) => drop(refused.try_send(error.to_string())),
                    }
                });
            }
        });
    }
    Agent { streams, opened, refused, tasks }
}

/// Of a lane as of a connection.
fn attach(
    carrier: AgentCarrier,
    streams: SessionStreams<AgentCarrier>,
    opened: mpsc::Sender<AgentStream>,
    refused: mpsc::Sender<String>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match streams.attach(carrier).await {
            Ok(Attached::New(stream)) => drop(opened.send(stream).await),
            Ok(Attached::Resumed(_)) => {}
            Ok(Attached::Shared(Way::Alone(carrier))) => {
                let (mut incoming, pump) = lanes::accept(carrier, 4096);
                let attaching = async {
                    let mut tasks = JoinSet::new();
                    while let Some(lane) = incoming.next().await {
                        let (streams, opened, refused) = (streams.clone(), opened.clone(), refused.clone());
                        tasks.spawn(attach(Way::Lane(lane), streams, opened, refused));
                    }
                    tasks.join_all().await;
                };
                tokio::join!(pump, attaching);
            }
            Ok(Attached::Shared(Way::Lane(_))) => drop(refused.try_send("a lane in a lane".to_owned())),
            Err(error) => drop(refused.try_send(error.to_string())),
        }
    })
}

fn admit(ticket: &Ticket, session: &Session, window: &Mutex<TicketWindow>) -> Result<(), String> {
    if ticket.session() != session.id {
        return Err("another session".to_owned());
    }
    ticket.verify(&session.secret).map_err(|error| error.to_string())?;
    window.lock().unwrap().admit(ticket.counter()).map_err(|error| error.to_string())
}

// --- the connector

pub struct TestDial {
    pub gateway: SocketAddr,
    pub tls: ConnectorTls,
}

impl Dial for TestDial {
    type Carrier = tokio_rustls::client::TlsStream<TcpStream>;

    async fn dial(&self, ticket: Ticket) -> Result<Self::Carrier, DialFailure> {
        let dialling = async {
            let tcp =
                TcpStream::connect(self.gateway).await.map_err(|e| DialFailure::Transient(e.to_string()))?;
            tcp.set_nodelay(true).unwrap();
            self.tls.connect(tcp, HOST, &ticket).await.map_err(|e| DialFailure::Transient(e.to_string()))
        };
        tokio::time::timeout(Duration::from_secs(5), dialling)
            .await
            .unwrap_or_else(|_| Err(DialFailure::Transient("timeout".to_owned())))
    }
}

pub fn connector(gateway: SocketAddr, session: &Session, limits: Limits) -> Connector<TestDial> {
    connector_that(Sharing::Most, gateway, session, limits)
}

pub fn connector_that(
    shares: Sharing,
    gateway: SocketAddr,
    session: &Session,
    limits: Limits,
) -> Connector<TestDial> {
    let backoff = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(20) };
    let mint = TicketMint::new(session.id, session.secret.clone(), 0);
    Connector::new(TestDial { gateway, tls: session.tls.clone() }, mint, limits, backoff, shares)
}
