//! A resumable stream as the driver's client side.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use hoop_session::{Pipe, coalesce};
use hoop_tunnel::stream::ResumableStream;
use tokio::io::AsyncWrite;

use super::Carrier;

/// Most bytes of one read.
const READ: usize = 64 * 1024;

/// A stream of a session, as [`hoop_session::drive`] wants it.
pub(crate) struct TunnelPipe(Box<ResumableStream<Carrier>>);

impl TunnelPipe {
    pub(crate) const fn new(stream: Box<ResumableStream<Carrier>>) -> Self {
        Self(stream)
    }
}

impl Pipe for TunnelPipe {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.0.poll_read_buf(cx, into, READ).map_err(io::Error::from)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, queue: &mut VecDeque<Bytes>) -> Poll<io::Result<usize>> {
        coalesce(queue);
        let Some(front) = queue.front_mut() else { return Poll::Ready(Ok(0)) };
        let written = ready!(self.0.poll_write_shared(cx, front))?;
        if front.is_empty() {
            queue.pop_front();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.as_mut()).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.as_mut()).poll_shutdown(cx)
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) {
        // Ready only when the stream is over; the next read or write says so.
        let _ = self.0.poll_drive(cx);
    }
}
