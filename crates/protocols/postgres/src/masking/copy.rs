//! What `COPY … TO STDOUT` sends: records are put together across frames, masked, and framed anew.
//!
//! <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9>

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hoop_sql::CopyFormat;

use super::{LONGEST, Masks, Plan, cell::Shown, rows::put_value};
use crate::wire::write;

/// What a binary COPY begins with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// One COPY on its way.
#[derive(Debug)]
pub(crate) struct CopyMask {
    format: CopyFormat,
    plan: Plan,
    /// A record that is not whole yet.
    held: BytesMut,
    /// Of `held`, so much is known to hold no end.
    looked: usize,
    /// In CSV: within quotes there.
    quoted: bool,
    /// The names, or in binary the header, come first.
    heading: bool,
    /// A binary COPY has said that it is over.
    over: bool,
}

/// Why a COPY cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyBroken {
    /// A record is longer than is held.
    TooLong,
    /// It is not what was announced.
    Malformed,
}

impl CopyMask {
    pub(crate) fn new(format: CopyFormat, plan: Plan) -> Self {
        let heading = match format {
            CopyFormat::Text { header } | CopyFormat::Csv { header } => header,
            CopyFormat::Binary => true,
        };
        Self { format, plan, held: BytesMut::new(), looked: 0, quoted: false, heading, over: false }
    }

    /// Takes a piece of payload; answers the records that are whole with it, masked, in frames of their own.
    pub(crate) fn push(&mut self, piece: &[u8], masks: &mut Masks) -> Result<Vec<Bytes>, CopyBroken> {
        self.held.put_slice(piece);
        let mut out = Vec::new();
        while let Some(end) = self.end_of_record()? {
            let record = self.held.split_to(end);
            self.looked = 0;
            out.push(self.record(&record, masks)?);
        }
        if self.held.len() > LONGEST {
            return Err(CopyBroken::TooLong);
        }
        Ok(out)
    }

    /// The last record, if it has no end of its own.
    pub(crate) fn finish(&mut self, masks: &mut Masks) -> Result<Option<Bytes>, CopyBroken> {
        let rest = self.held.split();
        match self.format {
            _ if rest.is_empty() => Ok(None),
            CopyFormat::Binary => Err(CopyBroken::Malformed),
            CopyFormat::Text { .. } | CopyFormat::Csv { .. } => self.record(&rest, masks).map(Some),
        }
    }

    fn end_of_record(&mut self) -> Result<Option<usize>, CopyBroken> {
        match self.format {
            CopyFormat::Text { .. } => {
                let end = memchr::memchr(b'\n', self.held.get(self.looked..).unwrap_or_default());
                let end = end.map(|end| self.looked + end + 1);
                self.looked = self.held.len();
                Ok(end)
            }
            CopyFormat::Csv { .. } => {
                while let Some(byte) = self.held.get(self.looked) {
                    self.looked += 1;
                    match byte {
                        b'"' => self.quoted = !self.quoted,
                        b'\n' if !self.quoted => return Ok(Some(self.looked)),
                        _ => {}
                    }
                }
                Ok(None)
            }
            CopyFormat::Binary => self.end_of_tuple(),
        }
    }

    fn end_of_tuple(&self) -> Result<Option<usize>, CopyBroken> {
        let held = &self.held[..];
        if self.heading {
            let is_so_far = SIGNATURE.iter().zip(held).all(|(one, other)| one == other);
            let flags = SIGNATURE.len();
            return match number::<4>(held, flags + 4) {
                _ if !is_so_far => Err(CopyBroken::Malformed),
                None => Ok(None),
                Some(more) => {
                    let end = flags
                        + 8
                        + usize::try_from(i32::from_be_bytes(more)).map_err(|_| CopyBroken::Malformed)?;
                    Ok((held.len() >= end).then_some(end))
                }
            };
        }
        if self.over && !held.is_empty() {
            return Err(CopyBroken::Malformed);
        }
        let Some(count) = number::<2>(held, 0).map(i16::from_be_bytes) else { return Ok(None) };
        let mut at = 2;
        // -1 is the end of all.
        for _ in 0..count.max(0) {
            let Some(length) = number::<4>(held, at).map(i32::from_be_bytes) else { return Ok(None) };
            at += 4 + usize::try_from(length).unwrap_or(0);
        }
        Ok((held.len() >= at).then_some(at))
    }

    fn record(&mut self, record: &[u8], masks: &mut Masks) -> Result<Bytes, CopyBroken> {
        if std::mem::take(&mut self.heading) {
            return Ok(framed(record));
        }
        let masked = match self.format {
            CopyFormat::Text { .. } => line(&self.plan, record, masks, b'\t', &TEXT),
            CopyFormat::Csv { .. } => line(&self.plan, record, masks, b',', &CSV),
            CopyFormat::Binary => {
                self.over = number::<2>(record, 0).map(i16::from_be_bytes) == Some(-1);
                tuple(&self.plan, record, masks).ok_or(CopyBroken::Malformed)?
            }
        };
        Ok(framed(masked.as_deref().unwrap_or(record)))
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn framed(payload: &[u8]) -> Bytes {
    write::message(b'd', |out| out.put_slice(payload))
}

/// How the fields of a line are written.
struct Writing {
    /// The field's end within a line.
    end: fn(&[u8], u8) -> usize,
    /// What it says; `None`: NULL.
    read: fn(&[u8]) -> Option<Vec<u8>>,
    /// A value as a field.
    write: fn(&[u8], &mut Vec<u8>),
    null: &'static [u8],
}

const TEXT: Writing = Writing {
    // What is part of a value is escaped.
    end: |line, delimiter| memchr::memchr(delimiter, line).unwrap_or(line.len()),
    read: |field| (field != b"\\N").then(|| unescaped(field)),
    write: escape,
    null: b"\\N",
};

const CSV: Writing = Writing {
    end: |line, delimiter| {
        let mut quoted = false;
        let is_end = |byte: &u8| {
            quoted ^= *byte == b'"';
            *byte == delimiter && !quoted
        };
        line.iter().position(is_end).unwrap_or(line.len())
    },
    read: |field| match field {
        b"" => None,
        [b'"', inside @ .., b'"'] => Some(single_quotes(inside)),
        field => Some(field.to_vec()),
    },
    write: |value, out| {
        out.push(b'"');
        for byte in value {
            if *byte == b'"' {
                out.push(b'"');
            }
            out.push(*byte);
        }
        out.push(b'"');
    },
    null: b"",
};

/// Masks a line of text or CSV. `None`: nothing changes.
fn line(plan: &Plan, record: &[u8], masks: &mut Masks, delimiter: u8, writing: &Writing) -> Option<Vec<u8>> {
    let body = record.strip_suffix(b"\n").unwrap_or(record);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    let (mut out, mut changed) = (Vec::with_capacity(record.len()), false);
    let (mut at, mut column) = (0, 0);
    loop {
        let field = body.get(at..)?;
        let field = field.get(..(writing.end)(field, delimiter))?;
        let shown = match ((writing.read)(field), plan.of(column)) {
            (Some(value), Some(treated)) => masks.cell(treated, &value),
            _ => Shown::Same,
        };
        changed |= shown != Shown::Same;
        match shown {
            Shown::Same => out.extend_from_slice(field),
            Shown::Other(other) => (writing.write)(&other, &mut out),
            Shown::Null => out.extend_from_slice(writing.null),
        }
        at += field.len();
        column += 1;
        match body.get(at) {
            Some(delimiter) => out.push(*delimiter),
            None => break,
        }
        at += 1;
    }
    out.extend_from_slice(record.get(body.len()..)?);
    changed.then_some(out)
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 11,
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    value
}

fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            other => {
                out.push(*other);
                continue;
            }
        };
        out.extend([b'\\', letter]);
    }
}

fn single_quotes(inside: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter().peekable();
    while let Some(byte) = bytes.next() {
        value.push(*byte);
        if *byte == b'"' && bytes.peek() == Some(&&b'"') {
            bytes.next();
        }
    }
    value
}

/// Masks a binary tuple. `Some(None)`: nothing changes.
#[expect(clippy::option_option, reason = "no tuple, an unchanged one, or another")]
fn tuple(plan: &Plan, record: &[u8], masks: &mut Masks) -> Option<Option<Vec<u8>>> {
    let mut rest = record;
    let count = rest.try_get_i16().ok()?;
    let mut out = BytesMut::with_capacity(record.len());
    out.put_i16(count);
    let mut changed = false;
    for column in 0..usize::try_from(count).unwrap_or(0) {
        let Ok(length) = usize::try_from(rest.try_get_i32().ok()?) else {
            put_value(&mut out, None);
            continue;
        };
        let (value, behind) = rest.split_at_checked(length)?;
        rest = behind;
        match plan.of(column).map_or(Shown::Same, |treated| masks.cell(treated, value)) {
            Shown::Same => {
                put_value(&mut out, Some(value));
                continue;
            }
            Shown::Other(other) => put_value(&mut out, Some(&other)),
            Shown::Null => put_value(&mut out, None),
        }
        changed = true;
    }
    Some(changed.then(|| out.to_vec()))
}
