//! Cuts one direction into packets. The beginning of each is held until it can be read; what follows goes through as it comes.

use bytes::{Bytes, BytesMut};

/// What is held of a packet: two paths of the longest kind that systems have, with room.
const HEAD: usize = 80 << 10;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// The length's four bytes, and the beginning of the packet, as far as they came.
    head: BytesMut,
    /// Bytes of the packet that are still to come behind its beginning.
    rest: usize,
}

/// A piece of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The beginning of the next one, without its length; so many bytes of it follow.
    Begin(Bytes, usize),
    /// More of the last one.
    More(Bytes),
}

impl Cut {
    /// Takes bytes; answers with the pieces that are complete with them. `None`: what comes is no packet, or a longer one than anybody
    /// sends.
    pub(super) fn feed(&mut self, data: &Bytes, longest: usize) -> Option<Vec<Piece>> {
        let (mut data, mut pieces) = (data.clone(), Vec::new());
        while !data.is_empty() {
            if self.rest > 0 {
                let more = data.split_to(self.rest.min(data.len()));
                self.rest -= more.len();
                pieces.push(Piece::More(more));
                continue;
            }
            let wanted = match self.length() {
                None => 4 - self.head.len(),
                Some(length) => (4 + length.min(HEAD)) - self.head.len(),
            };
            self.head.extend_from_slice(&data.split_to(wanted.min(data.len())));
            let Some(length) = self.length() else { continue };
            if length == 0 || length > longest {
                return None;
            }
            if self.head.len() == 4 + length.min(HEAD) {
                self.rest = length - length.min(HEAD);
                pieces.push(Piece::Begin(self.head.split().freeze().slice(4..), self.rest));
            }
        }
        Some(pieces)
    }

    fn length(&self) -> Option<usize> {
        let bytes: [u8; 4] = self.head.get(..4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    }
}
