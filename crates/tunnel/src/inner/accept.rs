//! The agent's end of a dialled-ahead connection: waits for a connector's ClientHello, reads the ticket in it, and
//! shakes hands only with the session that the ticket names.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use rustls::{ServerConfig, pki_types::UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, server::TlsStream};

use super::{InnerTlsError, PeerIdentity, check_peer};
use crate::{
    dispatch::{Dispatch, DispatchError},
    ticket::Ticket,
};

/// Why a dialled-ahead connection came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The gateway closed it: it was not needed, or the gateway is going away.
    #[error("the gateway closed the connection")]
    Closed,
    /// The socket broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// What came is no ClientHello of a connector.
    #[error("what came is no connector's: {0}")]
    NotAConnector(#[from] DispatchError),
    /// The handshake.
    #[error(transparent)]
    Tls(#[from] InnerTlsError),
}

/// Accepts inner TLS on connections that the agent dialled.
#[derive(Debug, Clone)]
pub struct InnerAcceptor {
    config: Arc<ServerConfig>,
    within: Duration,
}

impl InnerAcceptor {
    /// With the agent's configuration; `within` bounds the time from the first byte to the end of the handshake.
    #[must_use]
    pub const fn new(config: Arc<ServerConfig>, within: Duration) -> Self {
        Self { config, within }
    }

    /// Waits for a connector, however long, then reads its ClientHello.
    ///
    /// # Errors
    /// [`AcceptError`]: drop the connection and dial another.
    pub async fn wait<IO>(&self, mut io: IO) -> Result<Offer<IO>, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let first = first_bytes(&mut io).await?;
        let deadline = tokio::time::Instant::now() + self.within;
        let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), Prefixed::new(first, io));
        let start = tokio::time::timeout_at(deadline, acceptor)
            .await
            .map_err(|_| InnerTlsError::Timeout)?
            .map_err(InnerTlsError::Handshake)?;
        let names = start.client_hello().alpn().into_iter().flatten();
        match Dispatch::of_protocols(names)? {
            Dispatch::Session(ticket) => {
                Ok(Offer { ticket, start, config: Arc::clone(&self.config), deadline })
            }
            _ => Err(DispatchError::Mixed.into()),
        }
    }
}

/// The first bytes, into a buffer that lives no longer than the wait: parked connections hold 1 KiB each.
async fn first_bytes<IO: AsyncRead + Unpin>(io: &mut IO) -> Result<Bytes, AcceptError> {
    let mut first = vec![0; 1024];
    let count = io.read(&mut first).await?;
    if count == 0 {
        return Err(AcceptError::Closed);
    }
    first.truncate(count);
    Ok(first.into())
}

/// A connector's ClientHello, not answered yet.
pub struct Offer<IO> {
    ticket: Ticket,
    start: StartHandshake<Prefixed<IO>>,
    config: Arc<ServerConfig>,
    deadline: tokio::time::Instant,
}

impl<IO> std::fmt::Debug for Offer<IO> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Offer<IO> {
    /// The ticket: find its session, verify it, and admit its counter before going on.
    #[must_use]
    pub const fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Shakes hands, and refuses everybody but the session that the ticket names.
    ///
    /// # Errors
    /// [`AcceptError::Tls`].
    pub async fn accept(self) -> Result<TlsStream<Prefixed<IO>>, AcceptError> {
        let handshake = self.start.into_stream(self.config);
        let stream = tokio::time::timeout_at(self.deadline, handshake)
            .await
            .map_err(|_| InnerTlsError::Timeout)?
            .map_err(InnerTlsError::Handshake)?;
        let expected = PeerIdentity::Session(self.ticket.session());
        check_peer(&stream.get_ref().1.into(), &expected, UnixTime::now())
            .map_err(InnerTlsError::Identity)?;
        Ok(stream)
    }
}

/// A connection some of whose bytes were read already: those come first.
#[derive(Debug)]
pub struct Prefixed<IO> {
    first: Bytes,
    io: IO,
}

impl<IO> Prefixed<IO> {
    /// `first`, then what `io` gives.
    pub const fn new(first: Bytes, io: IO) -> Self {
        Self { first, io }
    }

    /// The connection itself.
    pub const fn get_ref(&self) -> &IO {
        &self.io
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Prefixed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.first.len().min(buf.remaining());
        if let Some(first) = self.first.get(..count) {
            buf.put_slice(first);
        }
        self.first.advance(count);
        if self.first.is_empty() {
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Prefixed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
