//! The side towards the target: dialled when the engine first has something for it, upgraded to TLS when it says so.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use hoop_engine::{
    CancelKey, TargetTls,
    hosted::{Doing, Handshake},
    program::{Program, ProgramOrder},
};
use hoop_model::{Blame, Fault, StreamId};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::{Pipe, SocketPipe};

/// A future that is polled in place.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send>>;

/// A connection to the target under TLS.
pub type TargetStream = Box<dyn Pipe>;

/// A connection to a target that a hosted engine reads and writes.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A connection whose TLS was established at once.
pub struct SecuredSocket {
    /// What is inside.
    pub stream: Box<dyn Socket>,
    /// The application protocol that the target chose.
    pub protocol: Option<Vec<u8>>,
    /// What the handshake brought.
    pub tls: TargetTls,
}

/// How a target is reached. The agent's business: names, certificates, time limits.
pub trait Dial: Send + Sync {
    /// Connects. Bounded in time by the implementation.
    fn dial(&self) -> Pending<TcpStream>;

    /// Hands the connection over to TLS and checks the certificate as the settings say. Bounded in time.
    fn start_tls(&self, stream: TcpStream) -> Pending<(TargetStream, TargetTls)>;

    /// Connects, and hands over to TLS as a hosted engine wants it. Bounded in time.
    fn dial_secured(&self, _: Handshake) -> Pending<SecuredSocket> {
        Box::pin(std::future::ready(Err(Fault::new(
            "HOOP-9003",
            Blame::System,
            "TLS was asked for although the connection disables it",
        ))))
    }

    /// Starts a program on the agent's own machine. Once `over` says so it ends, with all that it started, whoever holds what of
    /// it. Only what is no other machine does so.
    fn start_program(&self, _: ProgramOrder, _: CancellationToken) -> Doing<Result<Program, Fault>> {
        let what = "this connection leads to another machine, and runs no programs on the agent's";
        Box::pin(std::future::ready(Err(Fault::new("HOOP-4247", Blame::System, what))))
    }
}

/// Where cancel requests are handed over: finds the stream that owns a key, within one session only.
pub trait CancelDesk: Send + Sync {
    /// A client asks to cancel by a key of ours. An unknown key does nothing, silently, as the protocol has it.
    fn cancel(&self, key: &CancelKey);

    /// A stream announces the key it can be cancelled by, and the request to send to its target.
    fn register(&self, stream: StreamId, key: CancelKey, target_request: Bytes);

    /// A stream is over; its key is void from here on. `working`: its target may still run something, cancel that.
    fn forget(&self, stream: StreamId, working: bool);
}

/// Where the connection to the target stands.
pub(crate) enum Target {
    /// Nothing to say to it yet.
    Untouched,
    Dialling(Pending<TcpStream>),
    Plain(SocketPipe<TcpStream>),
    HandShaking(Pending<(TargetStream, TargetTls)>),
    Tls(TargetStream),
    Gone,
}

impl Target {
    /// Drives a dial or handshake. `Some`: TLS was just established.
    pub(crate) fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<TargetTls>, Fault>> {
        match self {
            Self::Dialling(dialling) => {
                let socket = std::task::ready!(dialling.as_mut().poll(cx))?;
                *self = Self::Plain(SocketPipe(socket));
                Poll::Ready(Ok(None))
            }
            Self::HandShaking(shaking) => {
                let (stream, tls) = std::task::ready!(shaking.as_mut().poll(cx))?;
                *self = Self::Tls(stream);
                Poll::Ready(Ok(Some(tls)))
            }
            Self::Untouched | Self::Plain(_) | Self::Tls(_) | Self::Gone => Poll::Pending,
        }
    }

    /// Begins TLS on a plain connection.
    pub(crate) fn start_tls(&mut self, dial: &dyn Dial) -> Result<(), Fault> {
        match std::mem::replace(self, Self::Gone) {
            Self::Plain(SocketPipe(socket)) => {
                *self = Self::HandShaking(dial.start_tls(socket));
                Ok(())
            }
            _ => Err(Fault::new(
                "HOOP-9006",
                Blame::System,
                "TLS was asked for on a connection that is not plain",
            )),
        }
    }

    fn pipe(&mut self) -> Option<&mut dyn Pipe> {
        match self {
            Self::Plain(pipe) => Some(pipe),
            Self::Tls(pipe) => Some(pipe.as_mut()),
            Self::Untouched | Self::Dialling(_) | Self::HandShaking(_) | Self::Gone => None,
        }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.pipe().map_or(Poll::Pending, |pipe| pipe.poll_read(cx, into))
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<usize>> {
        self.pipe().map_or(Poll::Pending, |pipe| pipe.poll_write(cx, queue))
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe().map_or(Poll::Ready(Ok(())), |pipe| pipe.poll_flush(cx))
    }
}
