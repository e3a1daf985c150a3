//! The binary form of a [`Record`]: small, fast to write, and readable by versions that do not know every kind.
//!
//! A record is one or more *pieces*. A piece is a little-endian `u32` whose highest bit says "more follows" and whose
//! other bits are the length of the bytes behind it; the pieces of a record joined are its body:
//!
//! ```text
//! body   = kind u8 | at i64 LE (microseconds) | stream varint (0: none, else id + 1) | fields of that kind
//! bytes  = length varint | that many bytes          (text is the same, in UTF-8)
//! list   = count varint | the elements
//! varint = LEB128, at most 10 bytes
//! ```
//!
//! A kind that is not known is skipped by its length and reported as [`Decoded::Unknown`]; anything else that does
//! not fit is a [`CodecError`]. Nothing here allocates more than the input is long.

use bytes::{Buf, Bytes};
use hoop_model::{StreamId, Timestamp};

use crate::event::{
    Column, Direction, Event, FileOperation, Form, Parameter, Record, RequestId, Said, Terminal,
};

/// Set in a piece's length when the record goes on in the next piece.
pub const MORE: u32 = 1 << 31;
/// Bytes before each piece.
pub const PIECE_PREFIX: usize = 4;

mod kind {
    pub(super) const OPENED: u8 = 1;
    pub(super) const REQUEST: u8 = 2;
    pub(super) const COLUMNS: u8 = 3;
    pub(super) const ROWS: u8 = 4;
    pub(super) const COPY: u8 = 5;
    pub(super) const CURTAILED: u8 = 6;
    pub(super) const COMPLETED: u8 = 7;
    pub(super) const FAILED: u8 = 8;
    pub(super) const DENIED: u8 = 9;
    pub(super) const SAID: u8 = 10;
    pub(super) const CLOSED: u8 = 11;
    pub(super) const GAP: u8 = 12;
    pub(super) const MASKED: u8 = 13;
    pub(super) const RESIZED: u8 = 14;
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("the record ends inside its {0}")]
    Truncated(&'static str),
    /// A number is longer than its type allows.
    #[error("the number of {0} is out of range")]
    Range(&'static str),
    /// A text that is not UTF-8.
    #[error("the text of {0} is not UTF-8")]
    NotText(&'static str),
    /// A choice that this version's kind does not have.
    #[error("{0} has no choice {1}")]
    Choice(&'static str, u8),
    /// Bytes after the last field.
    #[error("{0} bytes follow the record's last field")]
    Trailing(usize),
}

/// What a body was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A record.
    Record(Record),
    /// A record of a kind this version does not know.
    Unknown {
        /// The kind's number.
        kind: u8,
        /// When.
        at: Timestamp,
        /// On which stream.
        stream: Option<StreamId>,
        /// Length of what was not read.
        length: usize,
    },
}

/// Appends the record as one piece.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; PIECE_PREFIX]);
    encode_body(record, out);
    let length = u32::try_from(out.len() - start - PIECE_PREFIX).unwrap_or(MORE - 1);
    if let Some(prefix) = out.get_mut(start..start + PIECE_PREFIX) {
        prefix.copy_from_slice(&length.to_le_bytes());
    }
}

/// Appends the record's body, without the length of a piece.
pub fn encode_body(record: &Record, out: &mut Vec<u8>) {
    out.push(kind_of(&record.event));
    out.extend_from_slice(&record.at.as_micros().to_le_bytes());
    varint(out, record.stream.map_or(0, |stream| u64::from(stream.0) + 1));
    encode_event(&record.event, out);
}

/// About how many bytes the record takes; never less than its payload.
#[must_use]
pub fn size_hint(record: &Record) -> usize {
    const FIXED: usize = 64;
    FIXED
        + match &record.event {
            Event::Opened { facts } => facts.iter().map(|(name, value)| name.len() + value.len() + 20).sum(),
            Event::Request { text, parameters, form, .. } => {
                let values: usize =
                    parameters.iter().map(|p| p.value.as_ref().map_or(0, Bytes::len) + 12).sum();
                let names = match form {
                    Form::Prepare { name } => name.len(),
                    Form::Bind { portal, statement } => portal.len() + statement.len(),
                    Form::Execute { portal, .. } => portal.len(),
                    Form::Shell { terminal } | Form::Command { terminal } => {
                        terminal.as_ref().map_or(0, |terminal| terminal.name.len() + 12)
                    }
                    Form::Query
                    | Form::FunctionCall { .. }
                    | Form::Cancel
                    | Form::LogIn
                    | Form::Subsystem
                    | Form::Forward
                    | Form::Api
                    | Form::File { .. } => 0,
                };
                text.len() + values + names
            }
            Event::Columns { columns, .. } => columns.iter().map(|c| c.name.len() + 16).sum(),
            Event::Rows { data, .. } | Event::Copy { data, .. } => data.len(),
            Event::Completed { tag, .. } => tag.len(),
            Event::Failed { code, message, .. } => code.len() + message.len(),
            Event::Denied { code, message, .. } => code.len() + message.len(),
            Event::Said { text, .. } => text.len(),
            Event::Closed { reason, .. } | Event::Gap { reason } => reason.len(),
            Event::Masked { counts, .. } => counts.iter().map(|(kind, _)| kind.len() + 20).sum(),
            Event::Curtailed { .. } | Event::Resized { .. } => 0,
        }
}

fn kind_of(event: &Event) -> u8 {
    match event {
        Event::Opened { .. } => kind::OPENED,
        Event::Request { .. } => kind::REQUEST,
        Event::Columns { .. } => kind::COLUMNS,
        Event::Rows { .. } => kind::ROWS,
        Event::Copy { .. } => kind::COPY,
        Event::Curtailed { .. } => kind::CURTAILED,
        Event::Completed { .. } => kind::COMPLETED,
        Event::Failed { .. } => kind::FAILED,
        Event::Denied { .. } => kind::DENIED,
        Event::Said { .. } => kind::SAID,
        Event::Closed { .. } => kind::CLOSED,
        Event::Gap { .. } => kind::GAP,
        Event::Masked { .. } => kind::MASKED,
        Event::Resized { .. } => kind::RESIZED,
    }
}

fn encode_event(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Opened { facts } => {
            varint(out, facts.len() as u64);
            for (name, value) in facts {
                blob(out, name.as_bytes());
                blob(out, value.as_bytes());
            }
        }
        Event::Request { id, form, text, parameters } => {
            varint(out, id.0);
            encode_form(form, out);
            blob(out, text);
            varint(out, parameters.len() as u64);
            for parameter in parameters {
                out.push(u8::from(parameter.binary) | (u8::from(parameter.value.is_none()) << 1));
                if let Some(value) = &parameter.value {
                    blob(out, value);
                }
            }
        }
        Event::Columns { id, columns } => {
            varint(out, id.0);
            varint(out, columns.len() as u64);
            for column in columns {
                blob(out, &column.name);
                varint(out, u64::from(column.type_id));
                out.push(u8::from(column.binary));
            }
        }
        Event::Rows { id, count, data } => {
            varint(out, id.0);
            varint(out, u64::from(*count));
            blob(out, data);
        }
        Event::Copy { id, direction, data } => {
            varint(out, id.0);
            out.push(match direction {
                Direction::In => 0,
                Direction::Out => 1,
                Direction::Error => 2,
            });
            blob(out, data);
        }
        Event::Curtailed { id, limit } => {
            varint(out, id.0);
            varint(out, *limit);
        }
        Event::Completed { id, tag, rows, bytes, duration_us } => {
            varint(out, id.0);
            blob(out, tag);
            varint(out, *rows);
            varint(out, *bytes);
            varint(out, *duration_us);
        }
        Event::Failed { id, code, message, duration_us } => {
            out.push(u8::from(id.is_some()));
            varint(out, id.map_or(0, |id| id.0));
            blob(out, code);
            blob(out, message);
            varint(out, *duration_us);
        }
        Event::Denied { id, code, message } => {
            varint(out, id.0);
            blob(out, code.as_bytes());
            blob(out, message.as_bytes());
        }
        Event::Said { kind, text } => {
            out.push(match kind {
                Said::Notice => 0,
                Said::Notification => 1,
                Said::Setting => 2,
            });
            blob(out, text);
        }
        Event::Closed { reason, bytes_in, bytes_out } => {
            blob(out, reason.as_bytes());
            varint(out, *bytes_in);
            varint(out, *bytes_out);
        }
        Event::Gap { reason } => blob(out, reason.as_bytes()),
        Event::Resized { id, columns, rows } => {
            varint(out, id.0);
            varint(out, u64::from(*columns));
            varint(out, u64::from(*rows));
        }
        Event::Masked { id, counts } => {
            varint(out, id.0);
            varint(out, counts.len() as u64);
            for (kind, count) in counts {
                blob(out, kind.as_bytes());
                varint(out, *count);
            }
        }
    }
}

fn encode_form(form: &Form, out: &mut Vec<u8>) {
    match form {
        Form::Query => out.push(0),
        Form::Prepare { name } => {
            out.push(1);
            blob(out, name);
        }
        Form::Bind { portal, statement } => {
            out.push(2);
            blob(out, portal);
            blob(out, statement);
        }
        Form::Execute { portal, max_rows } => {
            out.push(3);
            blob(out, portal);
            varint(out, u64::from(*max_rows));
        }
        Form::FunctionCall { function } => {
            out.push(4);
            varint(out, u64::from(*function));
        }
        Form::Cancel => out.push(5),
        Form::LogIn => out.push(6),
        Form::Shell { terminal } => {
            out.push(7);
            encode_terminal(terminal.as_ref(), out);
        }
        Form::Command { terminal } => {
            out.push(8);
            encode_terminal(terminal.as_ref(), out);
        }
        Form::Subsystem => out.push(9),
        Form::Forward => out.push(10),
        Form::Api => out.push(12),
        Form::File { operation } => {
            out.push(11);
            let number = FileOperation::ALL.iter().position(|one| one == operation);
            out.push(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX));
        }
    }
}

fn encode_terminal(terminal: Option<&Terminal>, out: &mut Vec<u8>) {
    out.push(u8::from(terminal.is_some()));
    if let Some(terminal) = terminal {
        blob(out, &terminal.name);
        varint(out, u64::from(terminal.columns));
        varint(out, u64::from(terminal.rows));
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads one body. Payloads share the memory of `body`.
///
/// # Errors
/// [`CodecError`] says which field is wrong.
pub fn decode_body(body: Bytes) -> Result<Decoded, CodecError> {
    let mut fields = Fields(body);
    let kind = fields.byte("kind")?;
    let at = Timestamp::from_micros(fields.micros()?);
    let stream = match fields.varint("stream")? {
        0 => None,
        number => Some(StreamId(u32::try_from(number - 1).map_err(|_| CodecError::Range("stream"))?)),
    };
    let Some(event) = decode_event(kind, &mut fields)? else {
        return Ok(Decoded::Unknown { kind, at, stream, length: fields.0.len() });
    };
    if fields.0.is_empty() {
        Ok(Decoded::Record(Record { at, stream, event }))
    } else {
        Err(CodecError::Trailing(fields.0.len()))
    }
}

fn decode_event(kind: u8, fields: &mut Fields) -> Result<Option<Event>, CodecError> {
    Ok(Some(match kind {
        kind::OPENED => {
            Event::Opened { facts: fields.list("facts", |f| Ok((f.text("fact")?, f.text("fact")?)))? }
        }
        kind::REQUEST => Event::Request {
            id: fields.id()?,
            form: decode_form(fields)?,
            text: fields.blob("statement")?,
            parameters: fields.list("parameters", decode_parameter)?,
        },
        kind::COLUMNS => Event::Columns { id: fields.id()?, columns: fields.list("columns", decode_column)? },
        kind::ROWS => {
            Event::Rows { id: fields.id()?, count: fields.u32("row count")?, data: fields.blob("rows")? }
        }
        kind::COPY => Event::Copy {
            id: fields.id()?,
            direction: match fields.byte("direction")? {
                0 => Direction::In,
                1 => Direction::Out,
                2 => Direction::Error,
                other => return Err(CodecError::Choice("direction", other)),
            },
            data: fields.blob("copy data")?,
        },
        kind::CURTAILED => Event::Curtailed { id: fields.id()?, limit: fields.varint("limit")? },
        kind::COMPLETED => Event::Completed {
            id: fields.id()?,
            tag: fields.blob("tag")?,
            rows: fields.varint("rows")?,
            bytes: fields.varint("bytes")?,
            duration_us: fields.varint("duration")?,
        },
        kind::FAILED => {
            let known = fields.flag("request id")?;
            let id = fields.id()?;
            Event::Failed {
                id: known.then_some(id),
                code: fields.blob("code")?,
                message: fields.blob("message")?,
                duration_us: fields.varint("duration")?,
            }
        }
        kind::DENIED => {
            Event::Denied { id: fields.id()?, code: fields.text("code")?, message: fields.text("message")? }
        }
        kind::SAID => Event::Said {
            kind: match fields.byte("kind of saying")? {
                0 => Said::Notice,
                1 => Said::Notification,
                2 => Said::Setting,
                other => return Err(CodecError::Choice("kind of saying", other)),
            },
            text: fields.blob("saying")?,
        },
        kind::CLOSED => Event::Closed {
            reason: fields.text("reason")?,
            bytes_in: fields.varint("bytes in")?,
            bytes_out: fields.varint("bytes out")?,
        },
        kind::GAP => Event::Gap { reason: fields.text("reason")? },
        kind::MASKED => Event::Masked {
            id: fields.id()?,
            counts: fields.list("counts", |f| Ok((f.text("kind")?, f.varint("count")?)))?,
        },
        kind::RESIZED => {
            Event::Resized { id: fields.id()?, columns: fields.u32("width")?, rows: fields.u32("height")? }
        }
        _ => return Ok(None),
    }))
}

fn decode_form(fields: &mut Fields) -> Result<Form, CodecError> {
    Ok(match fields.byte("form")? {
        0 => Form::Query,
        1 => Form::Prepare { name: fields.blob("name")? },
        2 => Form::Bind { portal: fields.blob("portal")?, statement: fields.blob("name")? },
        3 => Form::Execute { portal: fields.blob("portal")?, max_rows: fields.u32("row limit")? },
        4 => Form::FunctionCall { function: fields.u32("function")? },
        5 => Form::Cancel,
        6 => Form::LogIn,
        7 => Form::Shell { terminal: decode_terminal(fields)? },
        8 => Form::Command { terminal: decode_terminal(fields)? },
        9 => Form::Subsystem,
        10 => Form::Forward,
        12 => Form::Api,
        11 => {
            let number = fields.byte("operation")?;
            let operation = FileOperation::ALL.get(usize::from(number)).copied();
            Form::File { operation: operation.ok_or(CodecError::Choice("operation", number))? }
        }
        other => return Err(CodecError::Choice("form", other)),
    })
}

fn decode_terminal(fields: &mut Fields) -> Result<Option<Terminal>, CodecError> {
    if !fields.flag("terminal")? {
        return Ok(None);
    }
    let name = fields.blob("terminal")?;
    Ok(Some(Terminal { name, columns: fields.u32("width")?, rows: fields.u32("height")? }))
}

fn decode_parameter(fields: &mut Fields) -> Result<Parameter, CodecError> {
    let flags = fields.byte("parameter")?;
    if flags > 3 {
        return Err(CodecError::Choice("parameter", flags));
    }
    let value = if flags & 2 == 0 { Some(fields.blob("parameter")?) } else { None };
    Ok(Parameter { binary: flags & 1 != 0, value })
}

fn decode_column(fields: &mut Fields) -> Result<Column, CodecError> {
    Ok(Column {
        name: fields.blob("column")?,
        type_id: fields.u32("column type")?,
        binary: fields.flag("column format")?,
    })
}

struct Fields(Bytes);

impl Fields {
    fn byte(&mut self, what: &'static str) -> Result<u8, CodecError> {
        self.0.try_get_u8().map_err(|_| CodecError::Truncated(what))
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, CodecError> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(CodecError::Choice(what, other)),
        }
    }

    fn micros(&mut self) -> Result<i64, CodecError> {
        self.0.try_get_i64_le().map_err(|_| CodecError::Truncated("time"))
    }

    fn varint(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CodecError::Range(what))
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, CodecError> {
        u32::try_from(self.varint(what)?).map_err(|_| CodecError::Range(what))
    }

    fn id(&mut self) -> Result<RequestId, CodecError> {
        self.varint("request id").map(RequestId)
    }

    fn blob(&mut self, what: &'static str) -> Result<Bytes, CodecError> {
        let length = usize::try_from(self.varint(what)?).map_err(|_| CodecError::Range(what))?;
        if length > self.0.len() {
            return Err(CodecError::Truncated(what));
        }
        Ok(self.0.split_to(length))
    }

    fn text(&mut self, what: &'static str) -> Result<String, CodecError> {
        String::from_utf8(self.blob(what)?.into()).map_err(|_| CodecError::NotText(what))
    }

    /// Each element takes at least a byte, so a count above what is left is a lie told to make us allocate.
    fn list<T>(
        &mut self,
        what: &'static str,
        element: impl Fn(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let count = usize::try_from(self.varint(what)?).map_err(|_| CodecError::Range(what))?;
        if count > self.0.len() {
            return Err(CodecError::Truncated(what));
        }
        let mut elements = Vec::with_capacity(count.min(256));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::records;
    use proptest::prelude::*;

    fn body_of(record: &Record) -> Vec<u8> {
        let mut body = Vec::new();
        encode_body(record, &mut body);
        body
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(record in records()) {
            let body = body_of(&record);
            prop_assert!(body.len() <= size_hint(&record));
            prop_assert_eq!(decode_body(Bytes::from(body)), Ok(Decoded::Record(record)));
        }

        #[test]
        fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_body(Bytes::from(body));
        }

        #[test]
        fn a_cut_body_is_refused(record in records(), cut in any::<proptest::sample::Index>()) {
            let body = body_of(&record);
            let cut = cut.index(body.len());
            prop_assert!(decode_body(Bytes::from(body[..cut].to_vec())).is_err());
        }

        #[test]
        fn a_longer_body_is_refused(record in records()) {
            let mut body = body_of(&record);
            body.push(0);
            prop_assert_eq!(decode_body(Bytes::from(body)), Err(CodecError::Trailing(1)));
        }
    }

    #[test]
    fn an_unknown_kind_is_reported_not_refused() {
        let record =
            Record { at: Timestamp::from_micros(5), stream: None, event: Event::Gap { reason: "x".into() } };
        let mut body = body_of(&record);
        body[0] = 200;
        assert_eq!(
            decode_body(Bytes::from(body)),
            Ok(Decoded::Unknown { kind: 200, at: record.at, stream: None, length: 2 })
        );
    }

    #[test]
    fn a_count_that_lies_allocates_nothing() {
        let mut body = vec![kind::OPENED];
        body.extend_from_slice(&[0; 9]);
        varint(&mut body, u64::from(u32::MAX));
        assert_eq!(decode_body(Bytes::from(body)), Err(CodecError::Truncated("facts")));
    }

    #[test]
    fn numbers_too_long_are_refused() {
        for tail in [[0xff; 11].as_slice(), &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02]] {
            let mut body = vec![kind::CURTAILED];
            body.extend_from_slice(&[0; 8]);
            body.extend_from_slice(tail);
            assert!(matches!(decode_body(Bytes::from(body)), Err(CodecError::Range(_))));
        }
    }

    #[test]
    fn choices_that_do_not_exist_are_refused() {
        for (kind, field) in [(kind::SAID, 3), (kind::COPY, 9), (kind::REQUEST, 99), (kind::FAILED, 2)] {
            let mut body = vec![kind];
            body.extend_from_slice(&[0; 9]);
            if matches!(kind, kind::COPY | kind::REQUEST) {
                body.push(0);
            }
            body.push(field);
            body.extend_from_slice(&[0; 4]);
            assert!(matches!(decode_body(Bytes::from(body)), Err(CodecError::Choice(..))), "{kind}");
        }
    }
}
