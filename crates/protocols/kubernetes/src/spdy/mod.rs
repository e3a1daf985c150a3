//! SPDY/3.1, without I/O: bytes in, frames out, and the other way.
//!
//! ```text
//!   control   1 version(15) type(16)   flags(8) length(24)   payload
//!   data      0 stream(31)             flags(8) length(24)   bytes
//! ```
//! A control frame is held until it is whole, and is never long. Data is handed on as it comes: of a frame of it nothing is held, and
//! the last piece says that the stream ends, if the frame does. Windows are not kept: no peer in Kubernetes does, so what slows a
//! sender down is its connection.
//!
//! Protocol: [draft-mbelshe-httpbis-spdy-00](https://datatracker.ietf.org/doc/html/draft-mbelshe-httpbis-spdy-00) and what
//! [3.1](https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/) changes.

mod decode;
mod dictionary;
mod encode;
mod headers;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::Encoder;
pub use headers::Headers;

/// Version in control frames, of 3.1 too.
const VERSION: u16 = 3;
/// Longest control frame that is read, its headers still compressed.
const LONGEST_CONTROL: usize = 64 << 10;
/// Longest data frame that is sent: with longer ones a stream would hold up the others for longer.
const LONGEST_DATA: usize = 16 << 10;

const FIN: u8 = 1;
const UNIDIRECTIONAL: u8 = 2;
const CLEAR_SETTINGS: u8 = 1;

/// Kinds of control frames: draft, 2.6.
mod kind {
    pub(super) const SYN_STREAM: u16 = 1;
    pub(super) const SYN_REPLY: u16 = 2;
    pub(super) const RST_STREAM: u16 = 3;
    pub(super) const SETTINGS: u16 = 4;
    pub(super) const PING: u16 = 6;
    pub(super) const GOAWAY: u16 = 7;
    pub(super) const HEADERS: u16 = 8;
    pub(super) const WINDOW_UPDATE: u16 = 9;
}

/// Number of a stream: odd ones are opened by clients. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// Of a number that fits into 31 bits and is not 0.
    #[must_use]
    pub fn new(id: u32) -> Option<Self> {
        (id != 0 && id >> 31 == 0).then_some(Self(id))
    }

    /// As a number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// A client opens it.
    #[must_use]
    pub fn is_clients(self) -> bool {
        self.0 % 2 == 1
    }
}

/// Why a stream is broken off: draft, 2.6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Reset {
    /// What was sent on it is wrong.
    ProtocolError = 1,
    /// There is no such stream.
    InvalidStream = 2,
    /// It is not wanted, and nothing of it was processed.
    Refused = 3,
    /// Whoever opened it does not need it any more.
    Cancel = 5,
}

/// One frame; of data, one piece of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Its number.
        stream: StreamId,
        /// The sender says nothing on it.
        fin: bool,
        /// The receiver may say nothing on it.
        unidirectional: bool,
        /// What it is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// Its number.
        stream: StreamId,
        /// The sender says nothing on it.
        fin: bool,
        /// Additional words.
        headers: Headers,
    },
    /// Breaks a stream off.
    RstStream {
        /// Its number.
        stream: StreamId,
        /// See [`Reset`]; peers have others too.
        status: u32,
    },
    /// Settings of the peer's.
    Settings {
        /// Forget what was stored before.
        clear: bool,
        /// Flags and number, and value of each.
        values: Vec<(u32, u32)>,
    },
    /// To be sent back, if the number is one of the peer's.
    Ping(
        /// Odd ones are a client's.
        u32,
    ),
    /// The sender takes no more streams.
    GoAway {
        /// Number of the last that it took; 0 for none.
        last: u32,
        /// Why; 0 is good.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// Its number.
        stream: StreamId,
        /// The sender says no more.
        fin: bool,
        /// They.
        headers: Headers,
    },
    /// The sender has room for more data.
    WindowUpdate {
        /// 0 for the connection.
        stream: u32,
        /// Bytes.
        delta: u32,
    },
    /// Data of a stream.
    Data {
        /// Its number.
        stream: StreamId,
        /// A piece of it; may be empty.
        data: bytes::Bytes,
        /// It was the last of this direction.
        fin: bool,
    },
}

/// What a peer sent is no SPDY/3.1, or too much; or what we would send is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Another version.
    #[error("a frame is of SPDY version {0}, not 3")]
    Version(u16),
    /// A kind that 3.1 does not have.
    #[error("there is no control frame of kind {0}")]
    Kind(u16),
    /// Flags that the kind does not have.
    #[error("a frame of kind {kind} has flags {flags:#04x}")]
    Flags {
        /// 0 for data.
        kind: u16,
        /// They.
        flags: u8,
    },
    /// A control frame over the bound.
    #[error("a control frame of {0} bytes is too long")]
    TooLong(usize),
    /// The payload does not fit the kind.
    #[error("the length of a control frame of kind {0} does not fit")]
    Length(u16),
    /// A stream, or ping, with number 0.
    #[error("a frame names stream 0")]
    StreamZero,
    /// A reset without a reason.
    #[error("a stream is reset for no reason")]
    NoReason,
    /// The compressed headers cannot be read.
    #[error("compressed headers cannot be read")]
    Compression,
    /// They are too long once decompressed.
    #[error("headers are too long")]
    BlockTooLong,
    /// There are too many of them.
    #[error("there are too many headers")]
    TooManyHeaders,
    /// The lengths in them do not fit.
    #[error("a block of headers is cut off or goes on")]
    HeaderBlock,
    /// A name that is empty or has capitals.
    #[error("a header's name is empty or has capitals")]
    HeaderName,
    /// A name that occurs twice.
    #[error("a header stands there twice")]
    HeaderTwice,
}
