//! A connection to a target that breaks when its engine is over, whoever holds it by then.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hoop_engine::hosted::ByteStream;
use tokio::io::AsyncWrite;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{Socket, host::poll_read};

/// The connection, and what breaks it. Both directions look: a reader that waits is woken too.
pub(crate) struct Leash {
    stream: Box<dyn Socket>,
    over: CancellationToken,
    reads: Pin<Box<WaitForCancellationFutureOwned>>,
    writes: Pin<Box<WaitForCancellationFutureOwned>>,
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the session is over")
}

impl Leash {
    pub(crate) fn new(stream: Box<dyn Socket>, over: CancellationToken) -> Self {
        let wait = || Box::pin(over.clone().cancelled_owned());
        let (reads, writes) = (wait(), wait());
        Self { stream, over, reads, writes }
    }

    fn check_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.over.is_cancelled() || self.writes.as_mut().poll(cx).is_ready() {
            return Err(broken());
        }
        Ok(())
    }
}

impl ByteStream for Leash {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.over.is_cancelled() || self.reads.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(broken()));
        }
        poll_read(Pin::new(&mut self.stream), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.check_write(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_write(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
