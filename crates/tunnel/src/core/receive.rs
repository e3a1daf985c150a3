//! Takes frames apart as they come in, in any pieces, and holds what the reader has not read yet.

use bytes::{Buf as _, BytesMut};

use super::{
    Violation,
    frame::{Control, HEADER, Header, Kind},
};

/// Splits a carrier's bytes into frames. One for each carrier.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The start of a frame other than `Data` that came in pieces.
    partial: Vec<u8>,
    /// Bytes of the current `Data` frame still to come.
    data_left: usize,
}

/// A piece of a carrier's bytes.
pub(super) enum Piece<'a> {
    Data(&'a [u8]),
    Control(Control),
}

impl Splitter {
    /// The next piece, taken from the front of `input`; `None` when more must come.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, Violation> {
        loop {
            if self.data_left > 0 {
                if input.is_empty() {
                    return Ok(None);
                }
                let (data, rest) = input.split_at(self.data_left.min(input.len()));
                *input = rest;
                self.data_left -= data.len();
                return Ok(Some(Piece::Data(data)));
            }
            let Some(header) = self.header(input)? else { return Ok(None) };
            if header.kind == Kind::Data {
                self.data_left = header.length;
                self.partial.clear();
                continue;
            }
            if !self.fill(HEADER + header.length, input) {
                return Ok(None);
            }
            let body = self.partial.get(HEADER..).unwrap_or_default();
            let control = Control::decode(header.kind, body)?;
            self.partial.clear();
            return Ok(Some(Piece::Control(control)));
        }
    }

    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Violation> {
        if self.partial.is_empty()
            && let Some((header, rest)) = input.split_first_chunk::<HEADER>()
            && let decoded = Header::decode(*header)?
            && decoded.kind == Kind::Data
        {
            *input = rest; // the common case touches no buffer
            return Ok(Some(decoded));
        }
        if !self.fill(HEADER, input) {
            return Ok(None);
        }
        match self.partial.first_chunk::<HEADER>() {
            Some(header) => Ok(Some(Header::decode(*header)?)),
            None => Ok(None),
        }
    }

    /// Moves bytes into `partial` until it holds `wanted`.
    fn fill(&mut self, wanted: usize, input: &mut &[u8]) -> bool {
        let missing = wanted.saturating_sub(self.partial.len());
        let (taken, rest) = input.split_at(missing.min(input.len()));
        self.partial.extend_from_slice(taken);
        *input = rest;
        self.partial.len() >= wanted
    }
}

/// What was received. Offsets are counted from the stream's first byte.
#[derive(Debug, Default)]
pub(super) struct ReceiveBuffer {
    queue: BytesMut,
    /// Bytes held or read.
    received: u64,
    /// Bytes read.
    consumed: u64,
    /// Length of the whole stream, once its end was announced.
    length: Option<u64>,
    /// The reader was told of the end.
    end_read: bool,
    /// Offset at which the current carrier stands; behind `received` while it repeats what is held.
    carrier_at: u64,
}

impl ReceiveBuffer {
    /// What is held, the end counting as one.
    pub(super) fn received(&self) -> u64 {
        self.received + u64::from(self.length.is_some())
    }

    /// What the reader has read, the end counting as one.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed + u64::from(self.end_read)
    }

    pub(super) const fn end_read(&self) -> bool {
        self.end_read
    }

    pub(super) const fn end_known(&self) -> bool {
        self.length.is_some()
    }

    pub(super) fn held(&self) -> usize {
        self.queue.len()
    }

    /// A new carrier will start at this offset.
    pub(super) const fn start_carrier(&mut self, at: u64) {
        self.carrier_at = at;
    }

    /// Bytes held: where a resumed carrier starts.
    pub(super) const fn held_to(&self) -> u64 {
        self.received
    }

    /// Bytes of a `Data` frame: given to the reader directly where it keeps up, else held.
    pub(super) fn data(
        &mut self,
        bytes: &[u8],
        window: u64,
        deliver: &mut impl FnMut(&[u8]) -> usize,
    ) -> Result<(), Violation> {
        let known = usize::try_from(self.received.saturating_sub(self.carrier_at)).unwrap_or(usize::MAX);
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.carrier_at = self.carrier_at.checked_add(count).ok_or(Violation::Window)?;
        let fresh = bytes.get(known..).unwrap_or_default();
        if fresh.is_empty() {
            return Ok(());
        }
        if self.length.is_some() {
            return Err(Violation::AfterEnd);
        }
        let count = u64::try_from(fresh.len()).unwrap_or(u64::MAX);
        if self.received + count - self.consumed > window {
            return Err(Violation::Window);
        }
        self.received += count;
        let direct = if self.queue.is_empty() { deliver(fresh).min(fresh.len()) } else { 0 };
        self.consumed += u64::try_from(direct).unwrap_or(0);
        let rest = fresh.get(direct..).unwrap_or_default();
        if !rest.is_empty() {
            self.queue.extend_from_slice(rest);
        }
        Ok(())
    }

    /// The end was announced.
    pub(super) fn fin(&mut self, length: u64) -> Result<(), Violation> {
        let here = self.carrier_at == length && self.received == length;
        if !here || self.length.is_some_and(|known| known != length) {
            return Err(Violation::End);
        }
        self.length = Some(length);
        Ok(())
    }

    /// Gives held bytes to the reader.
    pub(super) fn read(&mut self, deliver: &mut impl FnMut(&[u8]) -> usize) -> usize {
        if self.queue.is_empty() {
            return 0;
        }
        let taken = deliver(&self.queue).min(self.queue.len());
        self.queue.advance(taken);
        if self.queue.is_empty() {
            self.queue = BytesMut::new(); // an idle stream holds no buffer
        }
        self.consumed += u64::try_from(taken).unwrap_or(0);
        taken
    }

    /// Tells the reader of the end, if all before it was read.
    pub(super) fn read_end(&mut self) -> bool {
        if self.length.is_some() && self.queue.is_empty() {
            self.end_read = true;
        }
        self.end_read
    }
}
