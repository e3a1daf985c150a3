//! Reads ahead of TLS, where much comes.
//!
//! rustls asks for what it lacks of one record, and for 4 KiB where it lacks all of it: a transfer takes several calls of the kernel a
//! record. While reads are filled to the brim, this reads many records at once and keeps them for the next ones. Small
//! messages pass by it, and nothing is held when nothing comes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read at once, and held at most.
const AT_ONCE: usize = 64 * 1024;
/// A read of less is the end of much.
const LITTLE: usize = 16 * 1024;

/// A connection under TLS.
#[derive(Debug)]
pub struct Ahead<IO> {
    io: IO,
    held: BytesMut,
    much: bool,
}

impl<IO> Ahead<IO> {
    /// Nothing was read from it.
    #[must_use]
    pub fn new(io: IO) -> Self {
        Self { io, held: BytesMut::new(), much: false }
    }

    fn serve(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.held.len().min(buf.remaining());
        buf.put_slice(self.held.get(..count).unwrap_or_default());
        self.held.advance(count);
        if self.held.is_empty() && !self.much {
            self.held = BytesMut::new();
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Ahead<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.held.is_empty() {
            if !this.much {
                let outcome = ready!(Pin::new(&mut this.io).poll_read(cx, buf));
                this.much = buf.remaining() == 0;
                return Poll::Ready(outcome);
            }
            this.held.reserve(AT_ONCE);
            let read = tokio_util::io::poll_read_buf(Pin::new(&mut this.io), cx, &mut this.held);
            let Poll::Ready(count) = read else {
                this.held = BytesMut::new();
                return Poll::Pending;
            };
            this.much = count? >= LITTLE;
        }
        this.serve(buf);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Ahead<IO> {
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
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever the sizes of reads and writes: the same bytes, in order, to the end.
        #[test]
        fn every_byte_comes_once_and_in_order(
            writes in proptest::collection::vec(1_usize..90_000, 1..12),
            reads in proptest::collection::vec(1_usize..20_000, 2..8),
            pipe in 1_usize..200_000,
        ) {
            let sent: Vec<u8> = (0..=250).cycle().take(writes.iter().sum()).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let seen = runtime.block_on(async {
                let (mut near, far) = duplex(pipe);
                let (sent, mut ahead) = (sent.clone(), Ahead::new(far));
                let writing = tokio::spawn(async move {
                    let mut rest = sent.as_slice();
                    for count in writes {
                        let (now, later) = rest.split_at(count);
                        near.write_all(now).await.unwrap();
                        rest = later;
                        tokio::task::yield_now().await;
                    }
                });
                let (mut seen, mut buffer) = (Vec::new(), vec![0; 20_000]);
                for size in reads.iter().cycle() {
                    match ahead.read(&mut buffer[..*size]).await.unwrap() {
                        0 => break,
                        count => seen.extend_from_slice(&buffer[..count]),
                    }
                }
                writing.await.unwrap();
                seen
            });
            prop_assert!(seen == sent);
        }
    }

    #[tokio::test]
    async fn much_is_read_at_once_and_nothing_is_held_when_nothing_comes() {
        let (mut near, far) = duplex(1 << 20);
        let mut ahead = Ahead::new(far);
        near.write_all(&[7; 200_000]).await.unwrap();
        let mut buffer = [0; 4096];
        ahead.read_exact(&mut buffer).await.unwrap();
        assert_eq!(ahead.held.len(), 0, "one read says nothing");
        ahead.read_exact(&mut buffer).await.unwrap();
        assert_eq!(ahead.held.len(), AT_ONCE - 4096);
        for _ in 2..200_000 / 4096 {
            ahead.read_exact(&mut buffer).await.unwrap();
        }
        let rest = &mut buffer[..200_000 % 4096];
        ahead.read_exact(rest).await.unwrap();
        assert!(futures::poll!(std::pin::pin!(ahead.read_u8())).is_pending());
        assert_eq!(ahead.held.capacity(), 0);
        // Little passes by.
        near.write_all(&[8; 100]).await.unwrap();
        ahead.read_exact(&mut [0; 100]).await.unwrap();
        near.write_all(&[9; 50]).await.unwrap();
        ahead.read_exact(&mut [0; 20]).await.unwrap();
        assert_eq!(ahead.held.len(), 0);
    }
}
