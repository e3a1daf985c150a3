//! What the target says beside rows: errors, notices, notifications, settings.
//!
//! An error tells values that it is about: `Key (ssn)=(…) already exists`, `invalid input syntax for type integer: "…"`,
//! `Failing row contains (…)`. Once a statement of the stream has touched what is masked, they are not shown.

use bytes::{BufMut as _, Bytes};
use hoop_masking::mask_text;
use hoop_policy::Computed;

use super::{HIDDEN, Masks};
use crate::wire::{Malformed, Reader, write};

/// Classes of errors that are about the statement's own words or about the server, not about values
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const ABOUT_NO_VALUE: [&[u8]; 20] = [
    b"03", b"08", b"09", b"0A", b"0B", b"0L", b"0P", b"0Z", b"24", b"25", b"26", b"28", b"2D", b"34", b"3B",
    b"40", b"42", b"53", b"55", b"57",
];

impl Masks {
    /// An `ErrorResponse` or `NoticeResponse` (its `kind`), masked as a whole frame; `None`: nothing changes.
    pub(crate) fn notice(&mut self, kind: u8, mut body: Reader<'_>) -> Result<Option<Bytes>, Malformed> {
        let mut fields = Vec::new();
        loop {
            match body.u8()? {
                0 => break,
                name => fields.push((name, body.text()?)),
            }
        }
        body.finish()?;
        let code = fields.iter().find(|(name, _)| *name == b'C').map_or(&[][..], |(_, code)| code);
        let class = code.get(..2).unwrap_or_default().to_vec();
        // What functions say in their own words may be anything.
        let in_code = fields.iter().any(|(name, context)| *name == b'W' && !context.is_empty());
        let raised = in_code || matches!(&class[..], b"P0" | b"00" | b"01" | b"02");
        let hides = self.touched && (raised || !ABOUT_NO_VALUE.contains(&&class[..]));
        let mut changed = false;
        for (name, value) in &mut fields {
            let other = match name {
                b'D' | b'W' | b'q' if hides && !value.is_empty() => self.hide(),
                b'M' | b'H' if hides && raised => self.hide(),
                b'M' | b'H' if hides => self.without_quoted(value),
                b'M' | b'H' | b'D' | b'W' | b'q' => self.found_in_text(value),
                _ => None,
            };
            if let Some(other) = other {
                *value = other;
                changed = true;
            }
        }
        Ok(changed.then(|| {
            write::message(kind, |out| {
                for (name, value) in &fields {
                    out.put_u8(*name);
                    write::put_text(out, value);
                }
                out.put_u8(0);
            })
        }))
    }

    /// A `NotificationResponse`.
    pub(crate) fn notification(&mut self, mut body: Reader<'_>) -> Result<Option<Bytes>, Malformed> {
        let (process, channel, payload) = (body.u32()?, body.text()?, body.text()?);
        body.finish()?;
        // Another connection may have put into it what is masked here.
        let hides = self.columns.is_some() && self.rules.computed == Computed::Hide;
        let other = if hides && !payload.is_empty() { self.hide() } else { self.found_in_text(&payload) };
        let (channel_masked, payload_masked) = (self.found_in_text(&channel), other);
        if channel_masked.is_none() && payload_masked.is_none() {
            return Ok(None);
        }
        Ok(Some(write::message(b'A', |out| {
            out.put_u32(process);
            write::put_text(out, channel_masked.as_ref().unwrap_or(&channel));
            write::put_text(out, payload_masked.as_ref().unwrap_or(&payload));
        })))
    }

    /// A `ParameterStatus`: a session can give some of its settings any value, that of a column as well.
    pub(crate) fn setting(&mut self, mut body: Reader<'_>) -> Result<Option<Bytes>, Malformed> {
        let (name, value) = (body.text()?, body.text()?);
        body.finish()?;
        let free = matches!(&name[..], b"application_name" | b"search_path");
        let other = if free && self.kept { self.hide() } else { self.found_in_text(&value).filter(|_| free) };
        Ok(other.map(|other| {
            write::message(b'S', |out| {
                write::put_text(out, &name);
                write::put_text(out, &other);
            })
        }))
    }

    /// A `FunctionCallResponse`: a value of which nothing is known.
    pub(crate) fn function_value(&mut self, mut body: Reader<'_>) -> Result<Option<Bytes>, Malformed> {
        let Ok(length) = usize::try_from(body.i32()?) else { return Ok(None) };
        let value = body.take(length)?;
        body.finish()?;
        let hides = self.columns.is_some();
        self.tally.hidden += u64::from(hides);
        let found = self.detectors.find(&value);
        found.iter().for_each(|finding| self.tally.kinds.add(finding.kind));
        Ok((hides || !found.is_empty()).then(|| write::message(b'V', |out| out.put_i32(-1))))
    }

    #[expect(clippy::unnecessary_wraps, reason = "beside others that may change nothing")]
    fn hide(&mut self) -> Option<Bytes> {
        self.tally.hidden += 1;
        Some(Bytes::from_static(HIDDEN))
    }

    fn found_in_text(&mut self, text: &[u8]) -> Option<Bytes> {
        let masked = mask_text(text, &self.detectors, &self.rule);
        if masked.counts.total() == 0 {
            return None;
        }
        self.tally.kinds.merge(&masked.counts);
        Some(masked.bytes.into())
    }

    /// What stands in quotes is a value; from the first quote to the last, for a value may hold one.
    fn without_quoted(&mut self, text: &Bytes) -> Option<Bytes> {
        let quotes = |byte: &u8| *byte == b'"';
        let (first, last) = (text.iter().position(quotes), text.iter().rposition(quotes));
        let (Some(first), Some(last)) = (first, last) else { return self.found_in_text(text) };
        self.tally.hidden += 1;
        let (before, behind) =
            (text.get(..first).unwrap_or_default(), text.get(last + 1..).unwrap_or_default());
        let behind = if last > first { behind } else { &[] };
        let shorter = Bytes::from([before, &b"\""[..], HIDDEN, b"\"", behind].concat());
        Some(self.found_in_text(&shorter).unwrap_or(shorter))
    }
}
