//! Copies between a local connection and its stream, both ways, in one task.
//!
//! The buffers are the thread's, in use during one poll only: a thousand idle connections hold none. Only what the other
//! side does not take at once is kept, and while it is kept nothing more is read: that bounds it to one read a way.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use hoop_tunnel::stream::{Carrier, ResumableStream, StreamError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One read takes this much at most.
const READ: usize = 64 * 1024;

thread_local! {
    static UP: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static DOWN: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// How a connection ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carried {
    /// Bytes to the agent.
    pub(super) up: u64,
    /// Bytes to the client.
    pub(super) down: u64,
    /// The first thing that the client was told was that its TLS is not wanted.
    pub(super) tls_refused: bool,
}

/// A TLS record with one fatal alert: what an engine says to a client that begins with TLS.
const fn is_fatal_alert(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15, 3, _, 0, 2, 2, _])
}

/// How it did not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The local connection broke.
    #[error("the local connection broke: {0}")]
    Local(#[from] io::Error),
    /// The stream broke for good.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Copies until both ways have ended. When a side breaks, both are dropped, which tells the other one.
pub(super) async fn carry<L, C>(local: L, stream: ResumableStream<C>) -> Result<Carried, Failed>
where
    L: AsyncRead + AsyncWrite + Unpin,
    C: Carrier,
{
    let mut pump = Pump {
        local,
        stream,
        up: Bytes::new(),
        down: Bytes::new(),
        up_ends: Way::Open,
        down_ends: Way::Open,
        unflushed: false,
        carried: Carried { up: 0, down: 0, tls_refused: false },
    };
    poll_fn(|cx| pump.poll(cx)).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// The source has ended; the sink is being told.
    Ending,
    Ended,
}

struct Pump<L, C: Carrier> {
    local: L,
    stream: ResumableStream<C>,
    /// Read from the client, not taken by the stream.
    up: Bytes,
    /// Read from the stream, not taken by the client.
    down: Bytes,
    up_ends: Way,
    down_ends: Way,
    unflushed: bool,
    carried: Carried,
}

impl<L: AsyncRead + AsyncWrite + Unpin, C: Carrier> Pump<L, C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Carried, Failed>> {
        match self.poll_both(cx) {
            Poll::Ready(Err(Failed::Stream(error))) => Poll::Ready(self.settle(cx, error)),
            outcome => outcome,
        }
    }

    /// The stream is over. If the agent said all it had to say before, nothing is lost: it wants no more of the client.
    fn settle(&mut self, cx: &mut Context<'_>, error: StreamError) -> Result<Carried, Failed> {
        if self.down_ends == Way::Open {
            // What came before the end may still be held.
            match self.poll_down(cx) {
                Ok(()) | Err(Failed::Stream(_)) => {}
                Err(local) => return Err(local),
            }
        }
        match self.down_ends {
            Way::Open => Err(error.into()),
            Way::Ending | Way::Ended => Ok(self.carried),
        }
    }

    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<Result<Carried, Failed>> {
        loop {
            let before = self.progress();
            self.poll_up(cx)?;
            self.poll_down(cx)?;
            // Both ways read the same carrier: the one may have found what the other one waits for.
            let up_waits = !self.up.is_empty() || self.up_ends == Way::Ending;
            if !up_waits || before == self.progress() {
                break;
            }
        }
        if self.up_ends == Way::Ending {
            self.poll_up(cx)?;
        }
        if self.up_ends == Way::Ended && self.down_ends == Way::Ended {
            return Poll::Ready(Ok(self.carried));
        }
        if !self.down.is_empty() || self.down_ends != Way::Open {
            // The stream is not being read, and yet has acknowledgements to take and to give.
            if let Poll::Ready(error) = self.stream.poll_drive(cx) {
                return Poll::Ready(Err(error.into()));
            }
        }
        Poll::Pending
    }

    const fn progress(&self) -> (Carried, Way, Way) {
        (self.carried, self.up_ends, self.down_ends)
    }

    /// From the client to the agent, as far as it goes.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<(), Failed> {
        loop {
            match self.up_ends {
                Way::Open if self.up.is_empty() => match self.read_local(cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => self.up_ends = Way::Ending,
                    Poll::Ready(Err(error)) => return Err(error),
                },
                Way::Open => match self.stream.poll_write_shared(cx, &mut self.up)? {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(count) => self.carried.up += count as u64,
                },
                Way::Ending => match Pin::new(&mut self.stream).poll_shutdown(cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(())) => self.up_ends = Way::Ended,
                    Poll::Ready(Err(error)) => return Err(stream_error(error)),
                },
                Way::Ended => return Ok(()),
            }
        }
    }

    /// Reads the client once, and offers the bytes to the stream. `false` is the client's end.
    fn read_local(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failed>> {
        let mut buffer = UP.take();
        if buffer.is_empty() {
            buffer.resize(READ, 0);
        }
        let mut target = ReadBuf::new(&mut buffer);
        let outcome = match Pin::new(&mut self.local).poll_read(cx, &mut target) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Ready(Ok(())) if target.filled().is_empty() => Poll::Ready(Ok(false)),
            Poll::Ready(Ok(())) => Poll::Ready(self.offer(cx, target.filled()).map(|()| true)),
        };
        UP.set(buffer);
        outcome
    }

    fn offer(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<(), Failed> {
        let taken = match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(error)) => return Err(stream_error(error)),
            Poll::Pending => 0,
        };
        self.carried.up += taken as u64;
        if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            self.up = Bytes::copy_from_slice(rest);
        }
        Ok(())
    }

    /// From the agent to the client, as far as it goes.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Result<(), Failed> {
        loop {
            if !self.down.is_empty() {
                match Pin::new(&mut self.local).poll_write(cx, &self.down)? {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                    Poll::Ready(count) => self.wrote(count),
                }
                continue;
            }
            match self.down_ends {
                Way::Open => match self.read_stream(cx)? {
                    Poll::Pending => return self.flush_local(cx),
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => self.down_ends = Way::Ending,
                },
                Way::Ending => match Pin::new(&mut self.local).poll_shutdown(cx) {
                    Poll::Pending => return Ok(()),
                    // A client that is gone already has nothing against the end.
                    Poll::Ready(_) => self.down_ends = Way::Ended,
                },
                Way::Ended => return Ok(()),
            }
        }
    }

    /// Reads the stream once, and offers the bytes to the client. `false` is the stream's end.
    fn read_stream(&mut self, cx: &mut Context<'_>) -> Result<Poll<bool>, Failed> {
        let mut buffer = DOWN.take();
        buffer.clear();
        let outcome = match self.stream.poll_read_buf(cx, &mut buffer, READ) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Ready(Ok(0)) => Ok(Poll::Ready(false)),
            Poll::Ready(Ok(_)) => self.hand_down(cx, &buffer).map(|()| Poll::Ready(true)),
        };
        DOWN.set(buffer);
        outcome
    }

    fn hand_down(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<(), Failed> {
        if self.carried.down == 0 {
            self.carried.tls_refused = is_fatal_alert(bytes);
        }
        let taken = match Pin::new(&mut self.local).poll_write(cx, bytes)? {
            Poll::Ready(count) => count,
            Poll::Pending => 0,
        };
        if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            self.down = Bytes::copy_from_slice(rest);
        }
        self.carried.down += taken as u64;
        self.unflushed |= taken > 0;
        Ok(())
    }

    fn wrote(&mut self, count: usize) {
        self.down.advance(count.min(self.down.len()));
        if self.down.is_empty() {
            self.down = Bytes::new(); // lets go of its memory
        }
        self.carried.down += count as u64;
        self.unflushed = true;
    }

    fn flush_local(&mut self, cx: &mut Context<'_>) -> Result<(), Failed> {
        if self.unflushed && Pin::new(&mut self.local).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }
}

/// The stream's own error, out of its `io::Error`.
fn stream_error(error: io::Error) -> Failed {
    match error.downcast::<StreamError>() {
        Ok(error) => Failed::Stream(error),
        Err(error) => Failed::Local(error),
    }
}
