//! The frames that run inside the inner TLS: exact bytes, both ways.
//!
//! ```text
//!  0        1                 4
//! +--------+-----------------+----------------- - -
//! |  kind  | length (24 bit) | body
//! +--------+-----------------+----------------- - -
//! ```
//! Numbers are big-endian. A body of `Data` is the stream's next bytes; its place follows from what came before on the
//! same carrier. Every other body is at most [`MAX_CONTROL`] bytes, and trailing bytes in it are refused.

use hoop_model::StreamId;

/// Bytes of kind and length.
pub const HEADER: usize = 4;
/// Largest body of a `Data` frame: with headers in front it still fits into 64 KiB, four full TLS records.
pub const MAX_DATA: usize = 64 * 1024 - 64;
/// Largest body of any other frame.
pub const MAX_CONTROL: usize = 512;
/// Longest text in `Refused` and `Reset`.
pub const MAX_MESSAGE: usize = 256;
/// Version of these frames; another one is refused.
pub const VERSION: u8 = 1;

/// What kind of frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// First of a carrier: a new stream, or one whose `Accepted` never came.
    Open = 1,
    /// First of a carrier: a living stream.
    Resume = 2,
    /// The answer to both.
    Accepted = 3,
    /// The other answer.
    Refused = 4,
    /// Bytes of the stream.
    Data = 5,
    /// How far the other side's reader has read.
    Ack = 6,
    /// No more bytes will come.
    Fin = 7,
    /// The stream is broken for good.
    Reset = 8,
    /// Are you there?
    Ping = 9,
    /// Yes.
    Pong = 10,
    /// First of a connection, and without a body: it carries many streams, each in a lane of [`lanes`](crate::lanes).
    Share = 11,
}

impl TryFrom<u8> for Kind {
    type Error = FrameError;
    fn try_from(byte: u8) -> Result<Self, FrameError> {
        Ok(match byte {
            1 => Self::Open,
            2 => Self::Resume,
            3 => Self::Accepted,
            4 => Self::Refused,
            5 => Self::Data,
            6 => Self::Ack,
            7 => Self::Fin,
            8 => Self::Reset,
            9 => Self::Ping,
            10 => Self::Pong,
            11 => Self::Share,
            other => return Err(FrameError::UnknownKind(other)),
        })
    }
}

/// What is wrong with a frame. Always the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind that version 1 does not have.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// Longer than its kind may be.
    #[error("a frame of {0} bytes is too long for its kind")]
    TooLong(usize),
    /// The body ends early, or has bytes left over.
    #[error("a frame whose body does not fit its kind")]
    Body,
    /// Another version of the frames.
    #[error("frame version {0} is not spoken here")]
    Version(u8),
}

/// Kind and length of a frame, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its kind.
    pub kind: Kind,
    /// Bytes of body that follow.
    pub length: usize,
}

impl Header {
    /// Reads and checks a header.
    ///
    /// # Errors
    /// [`FrameError::UnknownKind`], [`FrameError::TooLong`].
    pub fn decode(bytes: [u8; HEADER]) -> Result<Self, FrameError> {
        let [kind, a, b, c] = bytes;
        let kind = Kind::try_from(kind)?;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        let limit = if kind == Kind::Data { MAX_DATA } else { MAX_CONTROL };
        if length > limit {
            return Err(FrameError::TooLong(length));
        }
        Ok(Self { kind, length })
    }

    /// The header's bytes. A length beyond 24 bits cannot be made: it is cut to the limit of `Data`.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER] {
        let length = u32::try_from(self.length.min(MAX_DATA)).unwrap_or(0);
        let [_, a, b, c] = length.to_be_bytes();
        #[expect(clippy::as_conversions, reason = "the discriminant of a repr(u8) enum")]
        [self.kind as u8, a, b, c]
    }
}

/// How a carrier begins: the connector's first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Which stream of the session.
    pub stream: StreamId,
    /// A living stream; otherwise a new one, or one whose `Accepted` never came.
    pub resume: bool,
    /// What the connector holds.
    pub position: Position,
}

/// Where one side stands, told at the start of each carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bytes it takes before its reader has read any of them.
    pub window: u32,
    /// Bytes it holds: these need not be sent again. The end of the stream counts as one.
    pub received: u64,
    /// Bytes its reader has read. Never more than `received`.
    pub consumed: u64,
}

/// Why a carrier is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// No such stream, and it never was.
    UnknownStream,
    /// The stream was there and is over.
    Finished,
    /// The session has as many streams as it may.
    TooManyStreams,
    /// The stream lives, but bytes that would have to be sent again are gone.
    PositionLost,
    /// The session is ending.
    Ending,
    /// A code of a later version.
    Other(u16),
}

impl From<u16> for RefusalCode {
    fn from(code: u16) -> Self {
        match code {
            1 => Self::UnknownStream,
            2 => Self::Finished,
            3 => Self::TooManyStreams,
            4 => Self::PositionLost,
            5 => Self::Ending,
            other => Self::Other(other),
        }
    }
}

impl From<RefusalCode> for u16 {
    fn from(code: RefusalCode) -> Self {
        match code {
            RefusalCode::UnknownStream => 1,
            RefusalCode::Finished => 2,
            RefusalCode::TooManyStreams => 3,
            RefusalCode::PositionLost => 4,
            RefusalCode::Ending => 5,
            RefusalCode::Other(code) => code,
        }
    }
}

/// A code and a text for a person, in `Refused` and `Reset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub code: u16,
    /// The same in words: at most [`MAX_MESSAGE`] bytes.
    pub message: String,
}

/// A frame other than `Data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// See [`Kind::Open`] and [`Kind::Resume`].
    Opening(Opening),
    /// See [`Kind::Accepted`].
    Accepted(Position),
    /// See [`Kind::Refused`].
    Refused(Notice),
    /// See [`Kind::Ack`].
    Ack {
        /// Bytes read, from the stream's first on; the end counts as one.
        consumed: u64,
    },
    /// See [`Kind::Fin`].
    Fin {
        /// Length of the whole stream.
        length: u64,
    },
    /// See [`Kind::Reset`].
    Reset(Notice),
    /// See [`Kind::Ping`].
    Ping,
    /// See [`Kind::Pong`].
    Pong,
}

impl Control {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        let kind = self.encode_body(out);
        let header = Header { kind, length: out.len() - start - HEADER }.encode();
        for (to, from) in out.iter_mut().skip(start).zip(header) {
            *to = from;
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) -> Kind {
        match self {
            Self::Opening(opening) => {
                out.push(VERSION);
                out.extend_from_slice(&opening.stream.0.to_be_bytes());
                opening.position.encode(out);
                if opening.resume { Kind::Resume } else { Kind::Open }
            }
            Self::Accepted(position) => {
                position.encode(out);
                Kind::Accepted
            }
            Self::Refused(notice) => {
                notice.encode(out);
                Kind::Refused
            }
            Self::Reset(notice) => {
                notice.encode(out);
                Kind::Reset
            }
            Self::Ack { consumed } => {
                out.extend_from_slice(&consumed.to_be_bytes());
                Kind::Ack
            }
            Self::Fin { length } => {
                out.extend_from_slice(&length.to_be_bytes());
                Kind::Fin
            }
            Self::Ping => Kind::Ping,
            Self::Pong => Kind::Pong,
        }
    }

    /// Reads the body of a frame. `Data` has none here.
    ///
    /// # Errors
    /// [`FrameError::Body`], [`FrameError::Version`].
    pub fn decode(kind: Kind, body: &[u8]) -> Result<Self, FrameError> {
        let mut body = Body(body);
        let frame = match kind {
            Kind::Open | Kind::Resume => {
                let [version] = body.array()?;
                if version != VERSION {
                    return Err(FrameError::Version(version));
                }
                let stream = StreamId(u32::from_be_bytes(body.array()?));
                Self::Opening(Opening {
                    stream,
                    resume: kind == Kind::Resume,
                    position: Position::decode(&mut body)?,
                })
            }
            Kind::Accepted => Self::Accepted(Position::decode(&mut body)?),
            Kind::Refused => Self::Refused(Notice::decode(&mut body)?),
            Kind::Reset => Self::Reset(Notice::decode(&mut body)?),
            Kind::Ack => Self::Ack { consumed: u64::from_be_bytes(body.array()?) },
            Kind::Fin => Self::Fin { length: u64::from_be_bytes(body.array()?) },
            Kind::Ping => Self::Ping,
            Kind::Pong => Self::Pong,
            Kind::Data | Kind::Share => return Err(FrameError::Body),
        };
        if body.0.is_empty() { Ok(frame) } else { Err(FrameError::Body) }
    }
}

impl Position {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.window.to_be_bytes());
        out.extend_from_slice(&self.received.to_be_bytes());
        out.extend_from_slice(&self.consumed.to_be_bytes());
    }

    fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        Ok(Self {
            window: u32::from_be_bytes(body.array()?),
            received: u64::from_be_bytes(body.array()?),
            consumed: u64::from_be_bytes(body.array()?),
        })
    }
}

impl Notice {
    /// A notice; the text is cut to what a frame takes.
    #[must_use]
    pub fn new(code: u16, message: &str) -> Self {
        let mut end = message.len().min(MAX_MESSAGE);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        Self { code, message: message.get(..end).unwrap_or_default().to_owned() }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.to_be_bytes());
        out.extend_from_slice(Self::new(self.code, &self.message).message.as_bytes());
    }

    fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        let code = u16::from_be_bytes(body.array()?);
        let text = std::mem::take(&mut body.0);
        if text.len() > MAX_MESSAGE {
            return Err(FrameError::Body);
        }
        // The text may end on a person's terminal: nothing in it may move the cursor.
        let message = String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).collect();
        Ok(Self { code, message })
    }
}

struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(FrameError::Body)?;
        self.0 = rest;
        Ok(*head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(frame: &Control) -> Vec<u8> {
        let mut out = Vec::new();
        frame.encode(&mut out);
        out
    }

    #[test]
    fn exact_bytes() {
        let position = Position { window: 0x0010_0000, received: 3, consumed: 2 };
        let tail = [0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2];
        let open = Control::Opening(Opening { stream: StreamId(7), resume: false, position });
        assert_eq!(bytes(&open), [&[1, 0, 0, 25, 1, 0, 0, 0, 7][..], &tail].concat());
        assert_eq!(bytes(&Control::Accepted(position)), [&[3, 0, 0, 20][..], &tail].concat());
        assert_eq!(bytes(&Control::Ack { consumed: 258 }), [6, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(bytes(&Control::Reset(Notice::new(9, "no"))), [8, 0, 0, 4, 0, 9, b'n', b'o']);
        assert_eq!(bytes(&Control::Ping), [9, 0, 0, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Header::decode([0, 0, 0, 0]), Err(FrameError::UnknownKind(0)));
        assert_eq!(Header::decode([12, 0, 0, 0]), Err(FrameError::UnknownKind(12)));
        assert_eq!(Header::decode([5, 0xff, 0xff, 0xff]), Err(FrameError::TooLong(0xff_ffff)));
        assert_eq!(Header::decode([6, 0, 2, 1]), Err(FrameError::TooLong(513)));
        assert_eq!(Control::decode(Kind::Ack, &[0; 7]), Err(FrameError::Body));
        assert_eq!(Control::decode(Kind::Ack, &[0; 9]), Err(FrameError::Body));
        assert_eq!(Control::decode(Kind::Ping, &[0]), Err(FrameError::Body));
        assert_eq!(Control::decode(Kind::Open, &[2; 25]), Err(FrameError::Version(2)));
        assert_eq!(Control::decode(Kind::Reset, &[0]), Err(FrameError::Body));
        assert_eq!(Control::decode(Kind::Reset, &[b'a'; 300]), Err(FrameError::Body));
    }

    #[test]
    fn a_notice_cannot_move_a_cursor() {
        let Ok(Control::Reset(notice)) = Control::decode(Kind::Reset, b"\0\x01\x1b[2Jhi\r\n\xff") else {
            panic!()
        };
        assert_eq!(notice.message, "[2Jhi\u{fffd}");
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same(kind in 1u8..=10, body in proptest::collection::vec(any::<u8>(), 0..40)) {
            let kind = Kind::try_from(kind).unwrap();
            if let Ok(frame) = Control::decode(kind, &body) {
                if matches!(frame, Control::Refused(_) | Control::Reset(_)) {
                    return Ok(());
                }
                let encoded = bytes(&frame);
                prop_assert_eq!(&encoded[HEADER..], &body[..]);
            }
        }
    }
}
