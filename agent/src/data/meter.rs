//! Counts what passes the connections to the gateway, for the sessions whose it is: the relay counts the same bytes at
//! its end, and both numbers stand in the evidence.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use hoop_recording::Carried;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of one session, on all its connections.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Totals {
    pub(crate) fn carried(&self) -> Carried {
        Carried { received: self.received.load(Ordering::Relaxed), sent: self.sent.load(Ordering::Relaxed) }
    }
}

/// Bytes of one connection, until it is known whose they are.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    unclaimed: AtomicU64,
    totals: OnceLock<Arc<Totals>>,
}

impl Meter {
    /// From here on it is this session's. What was received before was for it too; what was sent was the agent's own claim,
    /// which no relay passes on.
    pub(crate) fn belongs_to(&self, totals: &Arc<Totals>) {
        if self.totals.set(Arc::clone(totals)).is_ok() {
            totals.received.fetch_add(self.unclaimed.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn received(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(0);
        let counter = self.totals.get().map_or(&self.unclaimed, |totals| &totals.received);
        counter.fetch_add(count, Ordering::Relaxed);
    }

    fn sent(&self, count: usize) {
        if let Some(totals) = self.totals.get() {
            totals.sent.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// A connection whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Metered<IO> {
    io: IO,
    meter: Arc<Meter>,
}

impl<IO> Metered<IO> {
    pub(crate) fn new(io: IO) -> (Self, Arc<Meter>) {
        let meter = Arc::<Meter>::default();
        (Self { io, meter: Arc::clone(&meter) }, meter)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Metered<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.meter.received(buf.filled().len().saturating_sub(before));
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Metered<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = &written {
            self.meter.sent(*count);
        }
        written
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
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        if let Poll::Ready(Ok(count)) = &written {
            self.meter.sent(*count);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_came_before_the_session_was_known_counts_and_the_claim_does_not() {
        let (near, mut far) = duplex(1000);
        let (mut near, meter) = Metered::new(near);
        near.write_all(b"claim").await.unwrap();
        far.write_all(b"hello").await.unwrap();
        near.read_exact(&mut [0; 5]).await.unwrap();
        let totals = Arc::<Totals>::default();
        meter.belongs_to(&totals);
        near.write_all(b"answer").await.unwrap();
        far.write_all(b"more").await.unwrap();
        near.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(totals.carried(), Carried { received: 9, sent: 6 });
        meter.belongs_to(&Arc::default());
        assert_eq!(totals.carried(), Carried { received: 9, sent: 6 }, "it belongs to one session");
    }
}
