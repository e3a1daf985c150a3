//! Buffers that all streams of a thread share, in use during one poll only.
//!
//! A thousand idle streams hold none. They are taken out of their cell for the poll, so that a carrier that polls
//! another stream inside finds an empty cell and takes a buffer of its own.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One read takes this much at most.
const READ: usize = 128 * 1024;
/// Writes up to this are joined into one slice, so that the carrier makes one record or message of them.
const JOIN: usize = 64 * 1024;
/// Carriers that take slices get them as they are above this.
const JOIN_VECTORED: usize = 1024;

thread_local! {
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static WRITE_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads once and hands the bytes on. `None` is the carrier's end.
pub(crate) fn read<C: AsyncRead + Unpin, T>(
    carrier: &mut C,
    cx: &mut Context<'_>,
    handle: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<Option<T>>> {
    let mut buffer = READ_BUFFER.take();
    if buffer.is_empty() {
        buffer.resize(READ, 0);
    }
    let mut target = ReadBuf::new(&mut buffer);
    let outcome = Pin::new(carrier).poll_read(cx, &mut target);
    let result = match outcome {
        Poll::Ready(Ok(())) if target.filled().is_empty() => Poll::Ready(Ok(None)),
        Poll::Ready(Ok(())) => Poll::Ready(Ok(Some(handle(target.filled())))),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => Poll::Pending,
    };
    READ_BUFFER.set(buffer);
    result
}

/// Writes once.
pub(crate) fn write<C: AsyncWrite + Unpin>(
    carrier: &mut C,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let carrier = Pin::new(carrier);
    if let [one] = slices {
        return carrier.poll_write(cx, one);
    }
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    if total > JOIN_VECTORED && carrier.is_write_vectored() {
        return carrier.poll_write_vectored(cx, slices);
    }
    let mut buffer = WRITE_BUFFER.take();
    buffer.clear();
    for slice in slices {
        let room = JOIN.saturating_sub(buffer.len());
        buffer.extend_from_slice(slice.get(..room.min(slice.len())).unwrap_or_default());
    }
    let outcome = carrier.poll_write(cx, &buffer);
    WRITE_BUFFER.set(buffer);
    Poll::Ready(ready!(outcome))
}
