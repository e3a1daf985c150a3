//! The agent's ends of a program's streams.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hoop_engine::hosted::ByteStream;
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::unix::pipe,
};

fn one_way() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this stream goes one way")
}

/// What a program writes: to a pipe, or to its terminal.
pub(super) struct FromProgram(pub(super) pipe::Receiver);

impl ByteStream for FromProgram {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        match ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer)) {
            // Nobody has the far end of a terminal open any more.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Poll::Ready(Ok(0)),
            outcome => Poll::Ready(outcome.map(|()| buffer.filled().len())),
        }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(one_way()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What it reads. A pipe ends when this is dropped; of a terminal no end is told.
pub(super) struct ToProgram(pub(super) pipe::Sender);

impl ByteStream for ToProgram {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(one_way()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
