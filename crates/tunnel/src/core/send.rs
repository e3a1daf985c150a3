//! What was accepted from the writer and is not yet known to have been received: kept until then, resent after a cut.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf as _, Bytes};

/// Pieces below this are copied together; larger ones are kept as they are.
const COPY_BELOW: usize = 4 * 1024;
/// Where a chunk of copied pieces is closed.
const CHUNK: usize = 16 * 1024;
/// An emptied chunk up to this size is kept for the next small write, so that a ping-pong allocates nothing.
const KEEP: usize = 1024;

/// The queue. Offsets are counted from the stream's first byte.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    segments: VecDeque<Bytes>,
    /// Small writes, appended; the last segment, in a way. Its first `tail_at` bytes are released.
    tail: Vec<u8>,
    tail_at: usize,
    /// Offset of the first byte kept.
    base: u64,
    /// Offset behind the last byte accepted.
    end: u64,
    /// Offset of the next byte to go onto the carrier, and where that is.
    next: u64,
    at_segment: usize,
    at_byte: usize,
    /// The highest that `next` ever was: nobody can have received more.
    highest: u64,
}

impl SendBuffer {
    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    pub(super) const fn unsent(&self) -> u64 {
        self.end - self.next
    }

    /// Takes a copy.
    pub(super) fn push_slice(&mut self, bytes: &[u8]) {
        if bytes.len() >= CHUNK {
            return self.push(Bytes::copy_from_slice(bytes));
        }
        if !self.tail.is_empty() && self.tail.len() + bytes.len() > CHUNK {
            self.close_tail();
        }
        self.tail.extend_from_slice(bytes);
        self.end += length(bytes.len());
    }

    /// Keeps the bytes themselves, unless they are few.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < COPY_BELOW {
            return self.push_slice(&bytes);
        }
        self.close_tail();
        self.end += length(bytes.len());
        self.segments.push_back(bytes);
    }

    fn close_tail(&mut self) {
        if self.tail.len() == self.tail_at {
            return;
        }
        let mut closed = Bytes::from(std::mem::take(&mut self.tail));
        closed.advance(self.tail_at);
        self.tail_at = 0;
        self.segments.push_back(closed);
    }

    /// Drops what lies before `offset`, which is at most `highest`. Returns whether that was so.
    pub(super) fn release(&mut self, offset: u64) -> bool {
        if offset > self.highest {
            return false;
        }
        if offset > self.next {
            self.skip_to(offset);
        }
        while self.base < offset {
            let gap = usize::try_from(offset - self.base).unwrap_or(usize::MAX);
            let Some(front) = self.segments.front_mut() else {
                self.release_tail(gap);
                break;
            };
            let whole = front.len() <= gap;
            let released = gap.min(front.len());
            self.base += length(released);
            if whole {
                self.segments.pop_front();
                if self.at_segment == 0 {
                    self.at_byte = 0;
                } else {
                    self.at_segment -= 1;
                }
            } else {
                front.advance(released);
                if self.at_segment == 0 {
                    self.at_byte -= released.min(self.at_byte);
                }
            }
        }
        true
    }

    fn release_tail(&mut self, gap: usize) {
        let released = gap.min(self.tail.len() - self.tail_at);
        self.base += length(released);
        self.tail_at += released;
        if self.at_segment == 0 {
            self.at_byte -= released.min(self.at_byte);
        }
        if self.tail_at == self.tail.len() {
            self.tail_at = 0;
            if self.tail.capacity() > KEEP {
                self.tail = Vec::new();
            } else {
                self.tail.clear();
            }
        }
    }

    /// Gives back what an idle stream does not need.
    pub(super) fn shrink(&mut self) {
        if self.base == self.end {
            self.tail = Vec::new();
            self.segments = VecDeque::new();
        }
    }

    /// Goes back to the first byte kept: a new carrier starts there.
    pub(super) const fn rewind(&mut self) {
        self.next = self.base;
        self.at_segment = 0;
        self.at_byte = 0;
    }

    /// Marks bytes as put onto the carrier.
    pub(super) fn advance(&mut self, count: usize) {
        let to = self.next.saturating_add(length(count)).min(self.end);
        self.skip_to(to);
    }

    fn skip_to(&mut self, to: u64) {
        while self.next < to {
            let here = self.segment(self.at_segment).len().saturating_sub(self.at_byte);
            let step = here.min(usize::try_from(to - self.next).unwrap_or(usize::MAX));
            self.next += length(step);
            self.at_byte += step;
            if step == here {
                if self.at_segment >= self.segments.len() {
                    break;
                }
                self.at_segment += 1;
                self.at_byte = 0;
            }
        }
        self.highest = self.highest.max(self.next);
    }

    fn segment(&self, index: usize) -> &[u8] {
        match self.segments.get(index) {
            Some(segment) => segment,
            None if index == self.segments.len() => self.tail.get(self.tail_at..).unwrap_or_default(),
            None => &[],
        }
    }

    /// Fills slices with at most `limit` bytes from `next` on; returns how many slices were filled.
    pub(super) fn slices<'a>(&'a self, limit: usize, slices: &mut [IoSlice<'a>]) -> usize {
        let mut left = limit;
        let mut filled = 0;
        let mut skip = self.at_byte;
        for index in self.at_segment..=self.segments.len() {
            let bytes = self.segment(index).get(skip..).unwrap_or_default();
            skip = 0;
            let bytes = bytes.get(..left.min(bytes.len())).unwrap_or_default();
            if bytes.is_empty() {
                continue; // the cursor stands behind the last byte of a segment that was closed since
            }
            let Some(slot) = slices.get_mut(filled) else { break };
            left -= bytes.len();
            *slot = IoSlice::new(bytes);
            filled += 1;
            if left == 0 {
                break;
            }
        }
        filled
    }

    /// Memory that is held for the queue.
    pub(super) fn held(&self) -> usize {
        self.segments.iter().map(Bytes::len).sum::<usize>() + self.tail.capacity()
    }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unsent(buffer: &SendBuffer, limit: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = buffer.slices(limit, &mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Slice(usize),
        Shared(usize),
        Send(usize),
        Release(usize),
        Rewind,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1usize..9000).prop_map(Step::Slice),
            (1usize..9000).prop_map(Step::Shared),
            (0usize..20_000).prop_map(Step::Send),
            (0usize..20_000).prop_map(Step::Release),
            Just(Step::Rewind),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_window_over_all_that_was_pushed(steps in proptest::collection::vec(step(), 1..60)) {
            let mut all: Vec<u8> = Vec::new();
            let mut buffer = SendBuffer::default();
            let (mut base, mut next) = (0usize, 0usize);
            for step in steps {
                match step {
                    Step::Slice(n) | Step::Shared(n) => {
                        let bytes: Vec<u8> = (0..n).map(|i| u8::try_from((all.len() + i) % 251).unwrap()).collect();
                        all.extend_from_slice(&bytes);
                        if matches!(step, Step::Slice(_)) {
                            buffer.push_slice(&bytes);
                        } else {
                            buffer.push(bytes.into());
                        }
                    }
                    Step::Send(n) => {
                        let n = n.min(all.len() - next);
                        let sent = unsent(&buffer, n);
                        prop_assert_eq!(&sent, &all[next..next + sent.len()]);
                        buffer.advance(sent.len());
                        next += sent.len();
                    }
                    Step::Release(n) => {
                        base = (base + n).min(next);
                        prop_assert!(buffer.release(base as u64));
                    }
                    Step::Rewind => {
                        buffer.rewind();
                        next = base;
                    }
                }
                prop_assert_eq!((buffer.base(), buffer.next(), buffer.end()), (base as u64, next as u64, all.len() as u64));
                prop_assert_eq!(unsent(&buffer, usize::MAX), &all[next..]);
                prop_assert!(!buffer.release(buffer.highest() + 1));
            }
        }
    }
}
