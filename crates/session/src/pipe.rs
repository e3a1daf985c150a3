//! A byte stream as the driver wants it: reads into a growing buffer, writes from a queue of pieces.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

/// Most pieces handed to one vectored write.
const MOST_PIECES: usize = 16;

/// One side of a stream, polled by the driver. All methods are cancel safe: they keep no state between calls but the
/// stream's own.
pub trait Pipe: Send {
    /// Reads once, appending to `into`. `Ready(Ok(0))`: end of file.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Writes as much of `queue` as the stream takes at once, dropping what was written from its front.
    fn poll_write(&mut self, cx: &mut Context<'_>, queue: &mut VecDeque<Bytes>) -> Poll<io::Result<usize>>;

    /// Called instead of a read while this side is not to be read: a stream with a life of its own (acknowledgements,
    /// a new network path) does there what is due.
    fn poll_idle(&mut self, _: &mut Context<'_>) {}

    /// Pushes out what the stream itself buffers.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the writing direction, after everything before has been handed over.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Any tokio stream as a [`Pipe`].
#[derive(Debug)]
pub struct SocketPipe<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Pipe for SocketPipe<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(&mut self.0), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, queue: &mut VecDeque<Bytes>) -> Poll<io::Result<usize>> {
        write_queue(Pin::new(&mut self.0), cx, queue)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Writes from the front of a queue, several pieces in one call where the stream can.
pub(crate) fn write_queue<W: AsyncWrite>(
    stream: Pin<&mut W>,
    cx: &mut Context<'_>,
    queue: &mut VecDeque<Bytes>,
) -> Poll<io::Result<usize>> {
    let written = match queue.len() {
        0 => return Poll::Ready(Ok(0)),
        1 => std::task::ready!(stream.poll_write(cx, queue.front().map_or(&[], |piece| piece))),
        _ if stream.is_write_vectored() => {
            let mut slices = [IoSlice::new(&[]); MOST_PIECES];
            let mut filled = 0;
            for (slot, piece) in slices.iter_mut().zip(queue.iter()) {
                *slot = IoSlice::new(piece);
                filled += 1;
            }
            std::task::ready!(stream.poll_write_vectored(cx, slices.get(..filled).unwrap_or(&[])))
        }
        _ => {
            coalesce(queue);
            std::task::ready!(stream.poll_write(cx, queue.front().map_or(&[], |piece| piece)))
        }
    }?;
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    consume(queue, written);
    Poll::Ready(Ok(written))
}

/// Joins small pieces at the front, so that a stream without vectored writes (TLS) makes one record of them.
pub fn coalesce(queue: &mut VecDeque<Bytes>) {
    const ENOUGH: usize = 16 * 1024;
    let small = |piece: Option<&Bytes>| piece.is_some_and(|piece| piece.len() < ENOUGH);
    if queue.len() < 2 || !small(queue.front()) || !small(queue.get(1)) {
        return;
    }
    let mut joined = BytesMut::new();
    while let Some(piece) = queue.front() {
        if joined.len() + piece.len() > ENOUGH {
            break;
        }
        joined.extend_from_slice(piece);
        queue.pop_front();
    }
    if !joined.is_empty() {
        queue.push_front(joined.freeze());
    }
}

/// Drops `count` bytes from the front of a queue.
fn consume(queue: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(piece) = queue.front_mut() {
        if piece.len() > count {
            piece.advance(count);
            return;
        }
        count -= piece.len();
        queue.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn consuming_drops_exactly_so_many_bytes(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..20), part in 0.0..=1.0f64,
        ) {
            let whole: Vec<u8> = pieces.concat();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a small length")]
            let count = (whole.len() as f64 * part) as usize;
            let mut queue: VecDeque<Bytes> = pieces.into_iter().map(Bytes::from).collect();
            coalesce(&mut queue);
            consume(&mut queue, count);
            let rest: Vec<u8> = queue.iter().flat_map(|b| b.to_vec()).collect();
            prop_assert_eq!(rest, whole[count..].to_vec());
        }
    }
}
