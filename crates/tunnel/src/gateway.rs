//! From an address to a carrier: dials the gateway directly or in a WebSocket, as the connector with a ticket or as
//! the agent with a claim. The parts are in [`crate::dial`], [`crate::websocket`] and [`crate::inner`].

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};

use crate::{
    ahead::Ahead,
    dial::{Reach, ReachError},
    inner::{ConnectorTls, InnerTlsError, claim_record},
    stream::DialFailure,
    ticket::{Claim, Ticket},
    websocket::{self, WebSocketError, WebSocketIo},
};

/// How bytes get to the gateway.
#[derive(Debug, Clone)]
pub enum Transport {
    /// TCP to its public port, which dispatches by ClientHello.
    Tcp,
    /// A WebSocket over ordinary HTTPS, where something in front of the gateway terminates TLS. The configuration is
    /// the one for the gateway's public certificate.
    WebSocket(Arc<ClientConfig>),
}

/// A connection to the gateway, before the inner TLS.
#[derive(Debug)]
pub enum Outer {
    /// See [`Transport::Tcp`].
    Tcp(Ahead<TcpStream>),
    /// See [`Transport::WebSocket`].
    WebSocket(Box<WebSocketIo<tokio_rustls::client::TlsStream<TcpStream>>>),
}

/// Inner TLS to the agent, as the connector has it.
pub type Carrier = tokio_rustls::client::TlsStream<Outer>;

/// Why there is no connection to the gateway.
#[derive(Debug, thiserror::Error)]
pub enum OuterError {
    /// The network, or the proxy.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// The outer TLS: the gateway's public certificate is not trusted, or something else answers.
    #[error("the gateway's TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// The WebSocket.
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
    /// The claim could not be written.
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    /// The claim could not be made.
    #[error(transparent)]
    Claim(#[from] InnerTlsError),
    /// It took too long.
    #[error("the gateway did not answer in time")]
    Timeout,
}

impl From<OuterError> for DialFailure {
    /// What the network or the gateway does may pass; what cannot be written down right stays wrong.
    fn from(error: OuterError) -> Self {
        let text = error.to_string();
        match error {
            OuterError::Reach(ReachError::ProxyAddress { .. }) | OuterError::Claim(_) => {
                Self::Permanent(text)
            }
            _ => Self::Transient(text),
        }
    }
}

/// Where the gateway is and how to get there. Both ends of a session use one.
#[derive(Debug, Clone)]
pub struct GatewayDial {
    reach: Reach,
    transport: Transport,
    within: Duration,
}

impl GatewayDial {
    /// With 10 s for the whole of a dial.
    #[must_use]
    pub const fn new(reach: Reach, transport: Transport) -> Self {
        Self { reach, transport, within: Duration::from_secs(10) }
    }

    /// With another limit.
    #[must_use]
    pub const fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// The next connection looks the gateway's name up.
    pub fn forget_address(&self) {
        self.reach.forget_address();
    }

    /// Connects. Cancel safe.
    ///
    /// # Errors
    /// [`OuterError`].
    pub async fn connect(&self) -> Result<Outer, OuterError> {
        tokio::time::timeout(self.within, self.connect_unbounded()).await.map_err(|_| OuterError::Timeout)?
    }

    async fn connect_unbounded(&self) -> Result<Outer, OuterError> {
        let tcp = self.reach.connect().await?;
        let Transport::WebSocket(config) = &self.transport else { return Ok(Outer::Tcp(Ahead::new(tcp))) };
        let name =
            ServerName::try_from(self.reach.host().to_owned()).map_err(|_| InnerTlsError::ServerName)?;
        let tls = tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, tcp).await;
        let socket = websocket::connect(tls.map_err(OuterError::Tls)?, &self.reach.authority()).await?;
        Ok(Outer::WebSocket(Box::new(socket)))
    }

    /// The connector's: the inner handshake with the agent, over a connection of [`connect`](Self::connect). Cancel safe.
    ///
    /// # Errors
    /// [`DialFailure`]: permanent when somebody else is at the other end.
    pub async fn shake(
        &self,
        outer: Outer,
        tls: &ConnectorTls,
        ticket: &Ticket,
    ) -> Result<Carrier, DialFailure> {
        let handshake = tls.connect(outer, self.reach.host(), ticket);
        match tokio::time::timeout(self.within, handshake).await {
            Ok(Ok(carrier)) => Ok(carrier),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(DialFailure::Transient(InnerTlsError::Timeout.to_string())),
        }
    }

    /// The agent's: connects ahead, and claims the connection. Wait for a connector with
    /// [`InnerAcceptor::wait`](crate::inner::InnerAcceptor::wait).
    ///
    /// # Errors
    /// [`OuterError`].
    pub async fn park(&self, claim: &Claim) -> Result<Outer, OuterError> {
        let record = claim_record(self.reach.host(), claim)?;
        let parking = async {
            let mut outer = self.connect_unbounded().await?;
            outer.write_all(&record).await.map_err(OuterError::Io)?;
            outer.flush().await.map_err(OuterError::Io)?;
            Ok(outer)
        };
        tokio::time::timeout(self.within, parking).await.map_err(|_| OuterError::Timeout)?
    }
}

/// Somebody else at the other end, or a certificate that is refused, stays so; everything else may pass.
/// Whether a handshake with the agent that failed may be tried again.
#[must_use]
pub fn classify(error: &InnerTlsError) -> DialFailure {
    let permanent = match error {
        InnerTlsError::Handshake(error) => error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_))),
        InnerTlsError::Timeout => false,
        _ => true,
    };
    let text = error.to_string();
    if permanent { DialFailure::Permanent(text) } else { DialFailure::Transient(text) }
}

impl AsyncRead for Outer {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Self::WebSocket(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Outer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Self::WebSocket(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::WebSocket(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::WebSocket(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::WebSocket(io) => Pin::new(io).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            Self::WebSocket(io) => io.is_write_vectored(),
        }
    }
}
