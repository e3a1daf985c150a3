//! The one public port: accepts, peeks into the `ClientHello`, and sends each connection where its ALPN says.
//!
//! Until somebody is authenticated everything is bounded: connections an address, half-open ones in all, bytes and
//! time of a handshake. What is refused is counted and closed, without an answer.

pub(crate) mod limits;
pub(crate) mod prefixed;
pub(crate) mod tls;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hoop_model::{ClientAddress, Timestamp};
use hoop_tunnel::{
    dial::keep_alive,
    dispatch::Dispatch,
    hello::{HelloPeek, Peek},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt as _;

use self::{
    limits::{Each, Half, HalfOpen, Place, neighbourhood},
    prefixed::Prefixed,
};
use crate::{
    agents::server::Peer,
    hub::Shared,
    pki,
    relay::{self, Pipe},
};

/// After a failed accept (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Concurrent requests of one HTTP/2 connection.
const STREAMS: u32 = 256;
/// The same, of somebody who has no certificate yet.
pub(crate) const STREAMS_OF_STRANGERS: u32 = 4;
const HEADERS: u32 = 32 * 1024;

/// What the listener serves.
pub(crate) struct Listener {
    pub(crate) hub: Shared,
    pub(crate) public: Arc<ServerConfig>,
    pub(crate) control: Arc<ServerConfig>,
    pub(crate) http: Router,
    pub(crate) grpc: Router,
    /// For who has no certificate yet: small messages.
    pub(crate) enrolment: Router,
}

pub(crate) fn refuse(reason: &'static str) {
    metrics::counter!("hoop_connections_refused_total", "reason" => reason).increment(1);
}

/// The next connection; none after a failure, which was told and waited for.
pub(crate) async fn accept(socket: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match socket.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            refuse("accept");
            tracing::warn!(%error, "accepting a connection failed");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Accepts until the gateway stops.
pub(crate) async fn serve(listener: Listener, socket: TcpListener) {
    let limits = &listener.hub.config.limits;
    let per_address = Each::new(limits.connections_per_address);
    let half_open = HalfOpen::new(limits.half_open);
    let listener = Arc::new(listener);
    loop {
        let accepted = tokio::select! {
            biased;
            () = listener.hub.stopping.cancelled() => return,
            accepted = accept(&socket) => accepted,
        };
        let Some((tcp, from)) = accepted else { continue };
        metrics::counter!("hoop_connections_total").increment(1);
        let Some(counted) = per_address.admit(neighbourhood(canonical(from))) else {
            refuse("too_many_from_address");
            continue;
        };
        let half = half_open.enter();
        metrics::gauge!("hoop_connections_half_open")
            .set(f64::from(u32::try_from(half_open.count()).unwrap_or(u32::MAX)));
        let listener = Arc::clone(&listener);
        let hub = Arc::clone(&listener.hub);
        let place = Place { counted: Arc::new(counted), half_open: half_open.clone() };
        hub.tasks.spawn(connection(listener, tcp, canonical(from), half, place));
    }
}

fn canonical(from: SocketAddr) -> IpAddr {
    from.ip().to_canonical()
}

/// One connection to its end. There are as many of these as sessions, all of which wait most of the time: what a relay does not need
/// is in boxes, for the task has room for the largest of its branches.
async fn connection(listener: Arc<Listener>, mut tcp: TcpStream, from: IpAddr, half: Half, place: Place) {
    let _ = tcp.set_nodelay(true);
    let _ = keep_alive(&tcp);
    let deadline = Instant::now() + listener.hub.config.limits.handshake_timeout;
    let Some((dispatch, bytes)) = Box::pin(opened(&listener, &mut tcp, deadline, &half)).await else {
        return;
    };
    match dispatch {
        Dispatch::Session(ticket) => {
            // The ticket has its own deadlines; a ticket that names no session is over at once.
            let relayed = relay::ticket(&listener.hub, &ticket, bytes, Pipe::Tcp(tcp), half).await;
            if let Err(why) = relayed {
                why.count();
                Box::pin(relay::tell(&listener.hub, &ticket, why, from)).await;
            }
        }
        Dispatch::Claim(claim) => {
            if let Err(why) = relay::claim(&listener.hub, &claim, Pipe::Tcp(tcp)) {
                why.count();
            }
        }
        Dispatch::Http => {
            Box::pin(http(&listener, Prefixed::new(bytes, tcp), from, deadline, half, &place)).await;
        }
        Dispatch::Control => {
            Box::pin(control(&listener, Prefixed::new(bytes, tcp), from, deadline, half)).await;
        }
    }
    drop(place);
}

/// Where it goes, and the bytes read for it; none if it went nowhere in time.
async fn opened(
    listener: &Listener,
    tcp: &mut TcpStream,
    deadline: Instant,
    half: &Half,
) -> Option<(Dispatch, Vec<u8>)> {
    let opened = tokio::select! {
        biased;
        () = listener.hub.stopping.cancelled() => return None,
        () = half.pushed_out.cancelled() => Err("pushed_out"),
        opened = timeout_at(deadline, open(listener, tcp)) => opened.unwrap_or(Err("handshake_timeout")),
    };
    opened.map_err(refuse).ok()
}

/// A person's, or a program's, connection to the API and the console.
async fn http(
    listener: &Arc<Listener>,
    tcp: Prefixed<TcpStream>,
    from: IpAddr,
    deadline: Instant,
    half: Half,
    place: &Place,
) {
    let handshake = TlsAcceptor::from(Arc::clone(&listener.public)).accept(tcp);
    if let Some(stream) = shake(listener, handshake, deadline, half).await {
        serve_http(listener, stream, from, place.clone()).await;
    }
}

/// An agent's control connection, from its `ClientHello` on.
pub(crate) async fn control<S>(listener: &Listener, stream: S, from: IpAddr, deadline: Instant, half: Half)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = TlsAcceptor::from(Arc::clone(&listener.control)).accept(stream);
    if let Some(stream) = shake(listener, handshake, deadline, half).await {
        serve_control(listener, stream, from).await;
    }
}

/// Reads the `ClientHello`, and not a byte more than it may have.
async fn open(listener: &Listener, tcp: &mut TcpStream) -> Result<(Dispatch, Vec<u8>), &'static str> {
    let limit = listener.hub.config.limits.pre_auth_bytes;
    let mut peek = HelloPeek::default();
    let mut buffer = [0_u8; 2048];
    let mut total = 0;
    loop {
        let count = tcp.read(&mut buffer).await.map_err(|_| "broken")?;
        if count == 0 {
            return Err("closed_early");
        }
        total += count;
        if total > limit {
            return Err("hello_too_long");
        }
        match peek.feed(buffer.get(..count).unwrap_or_default()) {
            Peek::NeedMore => {}
            Peek::NotTls => return Err("not_tls"),
            Peek::Malformed(_) => return Err("malformed_hello"),
            Peek::Hello(hello) => {
                let dispatch = Dispatch::of(&hello).map_err(|_| "bad_alpn")?;
                // Behind a claim nothing may follow: it would reach the person's connector unasked.
                if matches!(dispatch, Dispatch::Claim(_)) && hello.length != total {
                    return Err("bytes_after_claim");
                }
                return Ok((dispatch, peek.into_bytes()));
            }
        }
    }
}

async fn shake<S>(
    listener: &Listener,
    handshake: impl Future<Output = std::io::Result<TlsStream<S>>>,
    deadline: Instant,
    half: Half,
) -> Option<TlsStream<S>> {
    let shaken = tokio::select! {
        biased;
        () = listener.hub.stopping.cancelled() => return None,
        () = half.pushed_out.cancelled() => {
            refuse("pushed_out");
            return None;
        }
        shaken = timeout_at(deadline, handshake) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            refuse("tls");
            None
        }
        Err(_) => {
            refuse("handshake_timeout");
            None
        }
    }
}

/// HTTP/1.1 and HTTP/2, whose heads come within `patience`.
pub(crate) fn builder(patience: Duration, streams: u32) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience).max_headers(64);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

async fn serve_http(
    listener: &Arc<Listener>,
    stream: TlsStream<Prefixed<TcpStream>>,
    from: IpAddr,
    place: Place,
) {
    let (http, door) = (listener.http.clone(), Arc::clone(listener));
    let service = tower::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ClientAddress(from));
        // What is upgraded outlives the connection's task, and still counts.
        request.extensions_mut().insert(place.clone());
        request.extensions_mut().insert(Arc::clone(&door));
        http.clone().oneshot(request.map(axum::body::Body::new))
    });
    drive(listener, stream, service, STREAMS).await;
}

async fn serve_control<S>(listener: &Listener, stream: TlsStream<S>, from: IpAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = peer(&stream, from);
    let (grpc, streams) = match peer.agent {
        Some(_) => (listener.grpc.clone(), STREAMS),
        None => (listener.enrolment.clone(), STREAMS_OF_STRANGERS),
    };
    let service = tower::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        grpc.clone().oneshot(request.map(axum::body::Body::new))
    });
    drive(listener, stream, service, streams).await;
}

/// What TLS proved: the verifier has checked chain, time and purpose; the name is read here.
fn peer<S>(stream: &TlsStream<S>, address: IpAddr) -> Peer {
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    Peer {
        agent: certificate.and_then(pki::agent_of),
        expires_at: certificate.and_then(pki::expiry_of).unwrap_or(Timestamp::EPOCH),
        address,
    }
}

async fn drive<I, S, B>(listener: &Listener, stream: TlsStream<I>, service: S, streams: u32)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let builder = builder(listener.hub.config.limits.handshake_timeout, streams);
    let serving =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(serving);
    let stopping = &listener.hub.stopping;
    tokio::select! {
        biased;
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
        _ = serving.as_mut() => {}
    }
}
