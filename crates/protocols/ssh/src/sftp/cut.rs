//! Cuts one direction into packets, and keeps of each only the beginning.

use bytes::{Bytes, BytesMut};

/// What is kept of a packet: two paths of the longest kind that systems have, with room.
const HEAD: usize = 80 << 10;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// The length's four bytes, and the beginning of the packet, as far as they came.
    head: BytesMut,
    /// Bytes of the packet that are still to come and are not kept.
    skip: usize,
}

impl Cut {
    /// Takes bytes; answers with the packets that are complete with them, or as complete as is kept, each without its length.
    /// `None`: what comes is no packet, or a longer one than anybody sends.
    pub(super) fn feed(&mut self, mut data: &[u8], longest: usize) -> Option<Vec<Bytes>> {
        let mut packets = Vec::new();
        while !data.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(data.len());
                self.skip -= count;
                data = data.get(count..)?;
                continue;
            }
            let wanted = match self.length() {
                None => 4 - self.head.len(),
                Some(length) => (4 + length.min(HEAD)) - self.head.len(),
            };
            let (taken, rest) = data.split_at(wanted.min(data.len()));
            self.head.extend_from_slice(taken);
            data = rest;
            let Some(length) = self.length() else { continue };
            if length == 0 || length > longest {
                return None;
            }
            if self.head.len() == 4 + length.min(HEAD) {
                self.skip = length - length.min(HEAD);
                packets.push(self.head.split().freeze().slice(4..));
            }
        }
        Some(packets)
    }

    fn length(&self) -> Option<usize> {
        let bytes: [u8; 4] = self.head.get(..4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    }
}
