//! `DataRow` frames: cells that change are written anew, all else stays.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{Masks, Plan, cell::Shown};
use crate::wire::{HEADER, Header, Malformed};

/// A cell that changes: where it stands with its length, and what stands for it.
struct Edit {
    from: usize,
    to: usize,
    other: Option<Vec<u8>>,
}

impl Masks {
    /// Masks whole `DataRow` frames, back to back. `None`: nothing changes.
    pub(crate) fn rows(&mut self, plan: &Plan, frames: &[u8]) -> Result<Option<Bytes>, Malformed> {
        let mut out = BytesMut::new();
        let (mut at, mut copied) = (0, 0);
        let mut edits = Vec::new();
        while at < frames.len() {
            let header = frames.get(at..).and_then(Header::read).ok_or(Malformed("it is cut"))??;
            let end = at + header.total;
            self.row(plan, frames.get(..end).ok_or(Malformed("it is cut"))?, at + HEADER, &mut edits)?;
            if !edits.is_empty() {
                if out.capacity() == 0 {
                    out.reserve(frames.len());
                }
                out.put_slice(frames.get(copied..at).unwrap_or_default());
                write_row(frames, (at, end), &edits, &mut out)?;
                copied = end;
                edits.clear();
            }
            at = end;
        }
        if copied == 0 {
            return Ok(None);
        }
        out.put_slice(frames.get(copied..).unwrap_or_default());
        Ok(Some(out.freeze()))
    }

    fn row(
        &mut self,
        plan: &Plan,
        frame: &[u8],
        start: usize,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Malformed> {
        let short = Malformed("it is too short");
        let count =
            frame.get(start..start + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
        let count = usize::from(count.ok_or(short)?);
        if plan.rest.is_none() && plan.columns.len() != count {
            return Err(Malformed("it has other columns than were described"));
        }
        let mut at = start + 2;
        for column in 0..count {
            let length =
                frame.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
            let from = at;
            at += 4;
            let Ok(length) = usize::try_from(length.ok_or(short)?) else { continue };
            let value = frame.get(at..at + length).ok_or(short)?;
            at += length;
            let Some(treated) = plan.of(column) else { continue };
            match self.cell(treated, value) {
                Shown::Same => {}
                Shown::Other(other) => edits.push(Edit { from, to: at, other: Some(other) }),
                Shown::Null => edits.push(Edit { from, to: at, other: None }),
            }
        }
        if at == frame.len() { Ok(()) } else { Err(Malformed("there are bytes behind its end")) }
    }
}

fn write_row(
    frames: &[u8],
    (start, end): (usize, usize),
    edits: &[Edit],
    out: &mut BytesMut,
) -> Result<(), Malformed> {
    let begin = out.len();
    let mut copied = start;
    for Edit { from, to, other } in edits {
        out.put_slice(frames.get(copied..*from).unwrap_or_default());
        put_value(out, other.as_deref());
        copied = *to;
    }
    out.put_slice(frames.get(copied..end).unwrap_or_default());
    let length = i32::try_from(out.len() - begin - 1).map_err(|_| Malformed("it is too long"))?;
    if let Some(place) = out.get_mut(begin + 1..begin + HEADER) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// A length and so many bytes, or NULL.
pub(super) fn put_value(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
            out.put_slice(value);
        }
        None => out.put_i32(-1),
    }
}
