//! Read buffers that idle streams do not hold.
//!
//! A thread has one slab. Each read takes room from it, and what was read is split off as a reference into the same
//! allocation; a stream that waits holds nothing. The slab is replaced when little room is left, and freed when the
//! last piece of it is gone.

use std::{cell::Cell, io, task::Poll};

use bytes::BytesMut;

/// Bytes a slab is allocated with.
const SLAB: usize = 256 * 1024;
/// A slab with less room than this is replaced.
const ROOM: usize = 32 * 1024;
/// An input that waits for the rest of a frame and is shorter than this moves out of the slab, which it would pin.
const PIN: usize = 4 * 1024;

thread_local! {
    static SLAB_OF_THREAD: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// Reads once into the thread's slab and appends what came to `input`.
///
/// `read` is given a buffer with spare capacity; what it adds is the result. Zero bytes: end of file.
pub(crate) fn read_into(
    input: &mut BytesMut,
    mut read: impl FnMut(&mut BytesMut) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let mut slab = SLAB_OF_THREAD.take();
    slab.clear();
    if slab.capacity() < ROOM {
        slab = BytesMut::with_capacity(SLAB);
    }
    let result = read(&mut slab);
    let piece = slab.split();
    SLAB_OF_THREAD.set(slab);
    if !piece.is_empty() {
        if input.is_empty() {
            *input = piece;
        } else {
            input.unsplit(piece);
        }
    }
    result
}

/// Frees the slab of a small remainder by moving the remainder into a buffer of its own.
pub(crate) fn unpin(input: &mut BytesMut) {
    if input.is_empty() {
        *input = BytesMut::new();
    } else if input.len() < PIN {
        *input = BytesMut::from(&input[..]);
    }
}
