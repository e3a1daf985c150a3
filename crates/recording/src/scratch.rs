//! Buffers and compression contexts that the writers of a thread share, so that an idle writer holds none.

use std::cell::RefCell;

use crate::container::MAX_PLAINTEXT;

/// Buffers kept a thread; more are given back to the allocator.
const SPARE_BUFFERS: usize = 4;
/// A kept buffer is at most so large.
const SPARE_CAPACITY: usize = 2 * MAX_PLAINTEXT;

#[derive(Default)]
struct Scratch {
    spare: Vec<Vec<u8>>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    level: i32,
    compressed: Vec<u8>,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// An empty buffer, with capacity if one is spare.
pub(crate) fn take() -> Vec<u8> {
    SCRATCH.with_borrow_mut(|scratch| scratch.spare.pop()).unwrap_or_default()
}

/// Gives a buffer back.
pub(crate) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > SPARE_CAPACITY {
        return;
    }
    buffer.clear();
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.spare.len() < SPARE_BUFFERS {
            scratch.spare.push(buffer);
        }
    });
}

/// Compresses, and hands the result to `then`: `None` where it would not be smaller.
pub(crate) fn compressed<T>(plain: &[u8], level: i32, then: impl FnOnce(Option<&[u8]>) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.compressor.is_none() {
            scratch.compressor = zstd::bulk::Compressor::new(level).ok();
            scratch.level = level;
        }
        let Some(compressor) = scratch.compressor.as_mut() else { return then(None) };
        if scratch.level != level {
            if compressor.set_compression_level(level).is_err() {
                return then(None);
            }
            scratch.level = level;
        }
        scratch.compressed.clear();
        scratch.compressed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        match compressor.compress_to_buffer(plain, &mut scratch.compressed) {
            Ok(length) if length < plain.len() => then(scratch.compressed.get(..length)),
            _ => then(None),
        }
    })
}

/// Decompresses what is at most [`MAX_PLAINTEXT`] long; `None` if it is longer or no zstd frame.
pub(crate) fn decompress(compressed: &[u8]) -> Option<Vec<u8>> {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.decompressor.is_none() {
            scratch.decompressor = zstd::bulk::Decompressor::new().ok();
        }
        let decompressor = scratch.decompressor.as_mut()?;
        let claimed = zstd::bulk::Decompressor::upper_bound(compressed).unwrap_or(MAX_PLAINTEXT);
        let mut plain = Vec::with_capacity(claimed.min(MAX_PLAINTEXT));
        decompressor.decompress_to_buffer(compressed, &mut plain).ok()?;
        Some(plain)
    })
}
