//! A cursor over one message. Every method can fail, none can read past the end.

use bytes::Bytes;
use hoop_sql::postgres::Mode;

/// A message does not follow its own format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Whether transactions are read-only where nothing else is said, if it is that setting which is told (PostgreSQL 14 and newer).
pub(crate) fn is_read_only(name: &[u8], value: &[u8]) -> Option<bool> {
    (name == b"default_transaction_read_only").then_some(value == b"on")
}

/// A setting that the server reports (`ParameterStatus`), as far as it changes how it reads texts.
pub(crate) fn mode(mode: &mut Mode, name: &[u8], value: &[u8]) {
    match name {
        b"standard_conforming_strings" => mode.standard_strings = value == b"on",
        b"client_encoding" => mode.utf8 = value == b"UTF8",
        _ => {}
    }
}

/// Reads one message's body from front to back. Slices share the bytes with the message.
pub(crate) struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// A cursor over `bytes[from..to]`; an impossible range reads as empty.
    pub(crate) fn new(bytes: &'a Bytes, from: usize, to: usize) -> Self {
        let end = to.min(bytes.len());
        Self { bytes, at: from.min(end), end }
    }

    /// The same with at most `most` bytes to go.
    pub(crate) fn limited(self, most: usize) -> Self {
        Self { end: self.end.min(self.at.saturating_add(most)), ..self }
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }

    /// Bytes left.
    pub(crate) fn left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let found = self.rest().first_chunk::<N>().copied().ok_or(Malformed("it is too short"))?;
        self.at += N;
        Ok(found)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<Bytes, Malformed> {
        if count > self.left() {
            return Err(Malformed("it is too short"));
        }
        let from = self.at;
        self.at += count;
        Ok(self.slice(from, self.at))
    }

    /// All that is left.
    pub(crate) fn take_rest(&mut self) -> Bytes {
        let from = self.at;
        self.at = self.end;
        self.slice(from, self.end)
    }

    /// A text that ends in NUL, without the NUL.
    pub(crate) fn text(&mut self) -> Result<Bytes, Malformed> {
        let length = memchr::memchr(0, self.rest()).ok_or(Malformed("a text has no end"))?;
        let from = self.at;
        self.at += length + 1;
        Ok(self.slice(from, from + length))
    }

    /// Refuses a message that goes on.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.left() == 0 { Ok(()) } else { Err(Malformed("there are bytes behind its end")) }
    }

    fn slice(&self, from: usize, to: usize) -> Bytes {
        // An empty slice must not keep the whole buffer alive.
        if from == to { Bytes::new() } else { self.bytes.slice(from..to) }
    }
}

/// The transaction status of a `ReadyForQuery`: idle, in a transaction, in a failed one.
pub(crate) fn status(mut body: Reader<'_>) -> Result<u8, Malformed> {
    let status = body.u8()?;
    body.finish()?;
    if matches!(status, b'I' | b'T' | b'E') {
        Ok(status)
    } else {
        Err(Malformed("no such transaction status"))
    }
}

/// The values of a `DataRow` in text form, read as far as they are UTF-8.
pub(crate) fn text_row(body: &mut Reader<'_>) -> Result<Vec<Option<String>>, Malformed> {
    let count = body.u16()?;
    (0..count)
        .map(|_| match body.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| Malformed("a length is negative"))?;
                let value = body.take(length)?;
                Ok(Some(String::from_utf8_lossy(&value).into_owned()))
            }
        })
        .collect()
}

/// Code and message of an `ErrorResponse` or `NoticeResponse`, as far as they can be read.
pub(crate) fn error_fields(mut body: Reader<'_>) -> (Bytes, Bytes) {
    let (mut code, mut message) = (Bytes::new(), Bytes::new());
    while let Ok(name @ 1..) = body.u8() {
        let Ok(value) = body.text() else { break };
        match name {
            b'C' => code = value,
            b'M' => message = value,
            _ => {}
        }
    }
    (code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8]) -> Bytes {
        Bytes::from_static(bytes)
    }

    #[test]
    fn nothing_is_read_past_the_end() {
        let bytes = reader(b"ab\0cd");
        let mut reader = Reader::new(&bytes, 0, 4);
        assert_eq!(reader.text().unwrap(), "ab");
        assert!(reader.text().is_err(), "the NUL is missing");
        assert!(reader.u16().is_err());
        assert!(reader.finish().is_err());
        assert_eq!(reader.u8().unwrap(), b'c');
        assert!(reader.take(1).is_err());
        assert!(reader.finish().is_ok());
    }

    #[test]
    fn an_impossible_range_is_empty() {
        let bytes = reader(b"abc");
        assert_eq!(Reader::new(&bytes, 9, 4).left(), 0);
        assert_eq!(Reader::new(&bytes, 2, 1).left(), 0);
        assert_eq!(Reader::new(&bytes, 1, 99).rest(), b"bc");
    }
}
