//! Makes the connections that streams run over: to the gateway, by TCP or in a WebSocket, and the inner TLS on top.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hoop_tunnel::{
    dial::{Reach, ReachError},
    inner::InnerTlsError,
    stream::{Dial, DialFailure},
    ticket::Ticket,
    websocket::{self, WebSocketIo},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::identity::SessionIdentity;
use crate::error::{ClientError, Result};

/// Everything from the TCP connection to the end of the handshake with the agent.
const WITHIN: Duration = Duration::from_secs(15);

/// How session data travels to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carriage {
    /// TCP, whose first bytes are the inner TLS.
    #[default]
    Tcp,
    /// In a WebSocket over HTTPS, for where something in front of the gateway terminates TLS.
    WebSocket,
}

/// The way to the gateway.
#[derive(Debug, Clone)]
pub struct Route {
    reach: Reach,
    port: u16,
    carriage: Carriage,
    outer_tls: Arc<ClientConfig>,
}

impl Route {
    /// To this host and port, through the environment's proxy.
    ///
    /// # Errors
    /// When the environment names a proxy that is none.
    pub fn new(carriage: Carriage, host: &str, port: u16, outer_tls: Arc<ClientConfig>) -> Result<Self> {
        let reach = Reach::from_environment(host, port).map_err(|error| {
            ClientError::usage("HOOP-1005", error.to_string()).hint("set HTTPS_PROXY right, or unset it")
        })?;
        let mut outer = ClientConfig::clone(&outer_tls);
        outer.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { reach: reach.within(WITHIN), port, carriage, outer_tls: Arc::new(outer) })
    }

    async fn wire(&self) -> Result<Wire, DialFailure> {
        let stream = self.reach.connect().await.map_err(|error| unreachable(&error))?;
        match self.carriage {
            Carriage::Tcp => Ok(Wire::Tcp(stream)),
            Carriage::WebSocket => self.web_socket(stream).await,
        }
    }

    async fn web_socket(&self, stream: TcpStream) -> Result<Wire, DialFailure> {
        let host = self.reach.host();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| DialFailure::Permanent("the gateway's host is no server name".to_owned()))?;
        let connecting = TlsConnector::from(Arc::clone(&self.outer_tls)).connect(name, stream);
        let outer = connecting.await.map_err(|error| transient("TLS to the gateway failed", &error))?;
        let authority = if self.port == 443 { host.to_owned() } else { format!("{host}:{}", self.port) };
        let socket = websocket::connect(outer, &authority).await;
        socket
            .map(|socket| Wire::WebSocket(Box::new(socket)))
            .map_err(|error| transient("no WebSocket", &error))
    }
}

/// A connection to the gateway.
#[derive(Debug)]
pub(super) enum Wire {
    Tcp(TcpStream),
    WebSocket(Box<WebSocketIo<TlsStream<TcpStream>>>),
}

/// Dials for one session.
pub(super) struct SessionDial {
    route: Route,
    identity: Arc<SessionIdentity>,
}

impl SessionDial {
    pub(super) const fn new(route: Route, identity: Arc<SessionIdentity>) -> Self {
        Self { route, identity }
    }

    async fn connect(&self, ticket: &Ticket) -> Result<TlsStream<Wire>, DialFailure> {
        let wire = self.route.wire().await?;
        self.identity.tls().connect(wire, self.route.reach.host(), ticket).await.map_err(|error| {
            // The gateway closes a connection whose session is over: find out.
            self.identity.suspect();
            handshake(&error)
        })
    }
}

impl Dial for SessionDial {
    type Carrier = TlsStream<Wire>;

    async fn dial(&self, ticket: Ticket) -> Result<TlsStream<Wire>, DialFailure> {
        let connecting = Box::pin(self.connect(&ticket));
        timeout(WITHIN, connecting)
            .await
            .unwrap_or_else(|_| Err(DialFailure::Transient(format!("nothing came of it within {WITHIN:?}"))))
    }
}

fn unreachable(error: &ReachError) -> DialFailure {
    match error {
        ReachError::ProxyAddress { .. } => DialFailure::Permanent(error.to_string()),
        _ => DialFailure::Transient(error.to_string()),
    }
}

fn transient(what: &str, error: &dyn std::error::Error) -> DialFailure {
    DialFailure::Transient(format!("{what}: {error}"))
}

fn handshake(error: &InnerTlsError) -> DialFailure {
    match error {
        InnerTlsError::Handshake(_) | InnerTlsError::Timeout => {
            transient("the agent did not answer through the gateway", error)
        }
        _ => DialFailure::Permanent(error.to_string()),
    }
}

macro_rules! on_wire {
    ($self:ident, $method:ident, $($argument:expr),*) => {
        match $self.get_mut() {
            Wire::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Wire::WebSocket(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_wire!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_wire!(self, poll_write_vectored, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, poll_shutdown, cx)
    }
}
