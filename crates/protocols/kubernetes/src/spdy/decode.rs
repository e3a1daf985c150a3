//! From bytes to frames.

use bytes::{Buf as _, BytesMut};

use super::{
    BadFrame, CLEAR_SETTINGS, FIN, Frame, LONGEST_CONTROL, StreamId, UNIDIRECTIONAL, VERSION,
    headers::{Decompressor, Headers},
    kind,
};

/// Bytes before each payload.
const HEAD: usize = 8;

/// Reads one direction of a connection. After an error it is of no more use: what follows cannot be understood.
#[derive(Debug)]
pub struct Decoder {
    decompressor: Decompressor,
    /// Of a data frame, what is still to come.
    data: Option<Rest>,
    failed: Option<BadFrame>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    stream: StreamId,
    length: usize,
    fin: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// At the start of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self { decompressor: Decompressor::new(), data: None, failed: None }
    }

    /// The next frame, taken off `bytes`; `None` if more of them are needed. Of data it is whatever part has come.
    ///
    /// # Errors
    /// These bytes are no SPDY/3.1, or a frame is too long.
    pub fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, BadFrame> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let next = self.take(bytes);
        self.failed = next.as_ref().err().copied();
        next
    }

    /// Of a data frame, not all has come.
    #[must_use]
    pub fn is_within_data(&self) -> bool {
        self.data.is_some()
    }

    fn take(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, BadFrame> {
        if let Some(rest) = self.data.take() {
            return Ok(self.piece(rest, bytes));
        }
        let Some((head, payload)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [a, b, c, d, flags, length @ ..] = *head;
        let length = length.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        if a >> 7 == 0 {
            let stream = StreamId::new(u32::from_be_bytes([a, b, c, d])).ok_or(BadFrame::StreamZero)?;
            if flags & !FIN != 0 {
                return Err(BadFrame::Flags { kind: 0, flags });
            }
            bytes.advance(HEAD);
            let rest = Rest { stream, length, fin: flags & FIN != 0 };
            if length == 0 {
                return Ok(Some(Frame::Data { stream, data: bytes::Bytes::new(), fin: rest.fin }));
            }
            return Ok(self.piece(rest, bytes));
        }
        let version = u16::from_be_bytes([a & 0x7f, b]);
        if version != VERSION {
            return Err(BadFrame::Version(version));
        }
        let kind = u16::from_be_bytes([c, d]);
        check_flags(kind, flags)?;
        if length > LONGEST_CONTROL {
            return Err(BadFrame::TooLong(length));
        }
        let Some(payload) = payload.get(..length) else {
            bytes.reserve(HEAD + length - bytes.len());
            return Ok(None);
        };
        let frame = control(kind, flags, payload, &mut self.decompressor)?;
        bytes.advance(HEAD + length);
        Ok(Some(frame))
    }

    fn piece(&mut self, rest: Rest, bytes: &mut BytesMut) -> Option<Frame> {
        let piece = bytes.split_to(bytes.len().min(rest.length)).freeze();
        let length = rest.length - piece.len();
        if length > 0 {
            self.data = Some(Rest { length, ..rest });
        }
        if piece.is_empty() {
            return None;
        }
        Some(Frame::Data { stream: rest.stream, data: piece, fin: rest.fin && length == 0 })
    }
}

fn check_flags(kind: u16, flags: u8) -> Result<(), BadFrame> {
    let known = match kind {
        kind::SYN_STREAM => FIN | UNIDIRECTIONAL,
        kind::SYN_REPLY | kind::HEADERS => FIN,
        kind::SETTINGS => CLEAR_SETTINGS,
        kind::RST_STREAM | kind::PING | kind::GOAWAY | kind::WINDOW_UPDATE => 0,
        _ => return Err(BadFrame::Kind(kind)),
    };
    if flags & !known == 0 { Ok(()) } else { Err(BadFrame::Flags { kind, flags }) }
}

fn control(kind: u16, flags: u8, payload: &[u8], decompressor: &mut Decompressor) -> Result<Frame, BadFrame> {
    let fin = flags & FIN != 0;
    let mut payload = Payload { kind, rest: payload };
    let frame = match kind {
        kind::SYN_STREAM => {
            let stream = payload.stream()?;
            // Which stream it belongs to, its priority and a slot: nothing here has a use for them.
            payload.number()?;
            payload.take::<2>()?;
            let unidirectional = flags & UNIDIRECTIONAL != 0;
            Frame::SynStream { stream, fin, unidirectional, headers: payload.headers(decompressor)? }
        }
        kind::SYN_REPLY => {
            Frame::SynReply { stream: payload.stream()?, fin, headers: payload.headers(decompressor)? }
        }
        kind::HEADERS => {
            Frame::Headers { stream: payload.stream()?, fin, headers: payload.headers(decompressor)? }
        }
        kind::RST_STREAM => {
            let (stream, status) = (payload.stream()?, payload.number()?);
            if status == 0 {
                return Err(BadFrame::NoReason);
            }
            Frame::RstStream { stream, status }
        }
        kind::SETTINGS => {
            let count = payload.number()?;
            if u64::from(count) * 8 != payload.rest.len() as u64 {
                return Err(BadFrame::Length(kind));
            }
            let values = (0..count).map(|_| Ok((payload.number()?, payload.number()?)));
            Frame::Settings { clear: flags & CLEAR_SETTINGS != 0, values: values.collect::<Result<_, _>>()? }
        }
        kind::PING => match payload.number()? {
            0 => return Err(BadFrame::StreamZero),
            id => Frame::Ping(id),
        },
        kind::GOAWAY => Frame::GoAway { last: payload.number()? & 0x7fff_ffff, status: payload.number()? },
        kind::WINDOW_UPDATE => Frame::WindowUpdate {
            stream: payload.number()? & 0x7fff_ffff,
            delta: payload.number()? & 0x7fff_ffff,
        },
        _ => return Err(BadFrame::Kind(kind)),
    };
    if payload.rest.is_empty() { Ok(frame) } else { Err(BadFrame::Length(kind)) }
}

struct Payload<'a> {
    kind: u16,
    rest: &'a [u8],
}

impl Payload<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BadFrame> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(BadFrame::Length(self.kind))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u32, BadFrame> {
        self.take().map(u32::from_be_bytes)
    }

    fn stream(&mut self) -> Result<StreamId, BadFrame> {
        StreamId::new(self.number()? & 0x7fff_ffff).ok_or(BadFrame::StreamZero)
    }

    fn headers(&mut self, decompressor: &mut Decompressor) -> Result<Headers, BadFrame> {
        decompressor.headers(std::mem::take(&mut self.rest))
    }
}
