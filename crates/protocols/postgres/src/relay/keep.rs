//! How much of a request's data the recording keeps: everything up to a limit, then only counts.

use bytes::{BufMut, Bytes, BytesMut};
use hoop_engine::{Event, RequestId};
use hoop_recording::event::Direction;

use crate::outbox::Outbox;

/// COPY data of one request in one direction, its payload collected across frames.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) id: RequestId,
    pub(super) bytes: u64,
    direction: Direction,
    limit: u64,
    curtailed: bool,
    pending: BytesMut,
}

impl Copied {
    pub(super) fn new(id: RequestId, direction: Direction, limit: u64) -> Self {
        Self { id, bytes: 0, direction, limit, curtailed: false, pending: BytesMut::new() }
    }

    /// Adds a piece of payload.
    #[inline]
    pub(super) fn add(&mut self, payload: &[u8]) {
        let before = self.bytes;
        self.bytes += payload.len() as u64;
        if before < self.limit {
            let room = usize::try_from(self.limit - before).unwrap_or(usize::MAX);
            self.pending.put_slice(payload.get(..room).unwrap_or(payload));
        }
    }

    /// Records what was added since.
    #[inline]
    pub(super) fn record(&mut self, out: &mut Outbox) {
        if !self.pending.is_empty() {
            let data = self.pending.split().freeze();
            out.record(Event::Copy { id: self.id, direction: self.direction, data });
        }
        if self.bytes > self.limit && !self.curtailed {
            self.curtailed = true;
            out.record(Event::Curtailed { id: self.id, limit: self.limit });
        }
    }
}

/// Rows of the statement that answers now.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) count: u64,
    pub(super) bytes: u64,
    /// Were the columns recorded?
    pub(super) told: bool,
    curtailed: bool,
}

impl Rows {
    /// Counts a row; true if it is to be kept.
    #[inline]
    pub(super) fn add(&mut self, size: usize, limit: u64, whole: bool) -> bool {
        self.count += 1;
        self.bytes += size as u64;
        !self.curtailed && whole && self.bytes <= limit
    }

    /// Records rows, and once that others are missing.
    #[inline]
    pub(super) fn record(
        &mut self,
        id: RequestId,
        kept: (u32, Bytes),
        all: bool,
        limit: u64,
        out: &mut Outbox,
    ) {
        let (count, data) = kept;
        if count > 0 {
            out.record(Event::Rows { id, count, data });
        }
        if !all && !self.curtailed {
            self.curtailed = true;
            out.record(Event::Curtailed { id, limit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoop_engine::Output;

    fn recorded(out: &mut Outbox) -> Vec<Event> {
        std::iter::from_fn(|| out.next())
            .map(|output| match output {
                Output::Record(event) => event,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn copy_is_cut_at_the_byte() {
        let mut copied = Copied::new(RequestId(1), Direction::In, 4);
        let mut out = Outbox::default();
        for piece in [&b"ab"[..], b"cd", b"ef", b"gh"] {
            copied.add(piece);
            copied.record(&mut out);
        }
        let data: Vec<u8> = recorded(&mut out)
            .iter()
            .flat_map(|event| match event {
                Event::Copy { data, .. } => data.to_vec(),
                Event::Curtailed { limit: 4, .. } => b"|".to_vec(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(data, b"abcd|");
        assert_eq!(copied.bytes, 8);
    }

    #[test]
    fn rows_behind_the_limit_are_counted() {
        let mut rows = Rows::default();
        assert!(rows.add(10, 25, true));
        assert!(rows.add(10, 25, true));
        assert!(!rows.add(10, 25, true));
        let mut out = Outbox::default();
        rows.record(RequestId(0), (2, Bytes::from_static(b"..")), false, 25, &mut out);
        assert!(!rows.add(1, 25, true));
        rows.record(RequestId(0), (0, Bytes::new()), false, 25, &mut out);
        assert_eq!(recorded(&mut out).len(), 2);
        assert_eq!((rows.count, rows.bytes), (4, 31));
    }
}
