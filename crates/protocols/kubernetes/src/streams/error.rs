//! How a leg, or one stream of it, ends before its time.

use std::io;

use tokio_tungstenite::tungstenite::{self, error::CapacityError, error::ProtocolError};

use crate::spdy::BadFrame;

/// Of the peer of this leg.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It closed the connection as it should, before this stream had ended.
    #[error("the peer has closed the connection")]
    Closed,
    /// The connection broke, or its driver was dropped.
    #[error("the connection was cut")]
    Cut,
    /// It broke this one stream off.
    #[error("the peer broke the stream off")]
    Reset,
    /// The connection cannot be read or written.
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
    /// It did not open or accept in time what belongs together.
    #[error("the peer did not open or accept all streams in time")]
    Late,
    /// What it sent is no SPDY/3.1, or is too long.
    #[error("it does not speak SPDY/3.1: {0}")]
    Spdy(#[from] BadFrame),
    /// A stream's number is used again, or goes back, or is not one of its side's.
    #[error("it opened a stream with a wrong number, {0}")]
    StreamNumber(u32),
    /// A frame is about a stream that was never opened.
    #[error("it names stream {0}, which nobody has opened")]
    UnknownStream(u32),
    /// It opened a stream that it may not, or the same twice.
    #[error("it opened a stream that does not belong there")]
    UnexpectedStream,
    /// What it sent is no WebSocket.
    #[error("it does not speak WebSocket: {0}")]
    WebSocket(String),
    /// A message is too long.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// Text where binary messages were agreed on.
    #[error("a message is text where bytes are due")]
    WrongKind,
    /// A channel that was not agreed on.
    #[error("there is no channel {0}")]
    UnknownChannel(u8),
    /// A message that cannot be read.
    #[error("a message cannot be read: {0}")]
    BadMessage(&'static str),
    /// It closed the WebSocket for a reason other than that all is said.
    #[error("the peer has closed the connection for reason {0}")]
    Abandoned(u16),
    /// The size of a terminal cannot be read.
    #[error("the size of a terminal cannot be read")]
    BadSize,
    /// The status, or what is said about a failure, is too long.
    #[error("what is said about the end is too long")]
    StatusTooLong,
    /// More forwards than one connection carries, or none.
    #[error("{0} forwards on a connection are too many or too few")]
    Forwards(usize),
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        // What a tunnel found out.
        match error.into_inner().map(|inner| inner.downcast::<Self>()) {
            Some(Ok(inner)) => *inner,
            _ if kind == io::ErrorKind::UnexpectedEof => Self::Cut,
            _ => Self::Io(kind),
        }
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl From<tungstenite::Error> for StreamError {
    fn from(error: tungstenite::Error) -> Self {
        use tungstenite::Error;
        match error {
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::SendAfterClosing) => Self::Closed,
            Error::Io(error) => error.into(),
            Error::Capacity(CapacityError::MessageTooLong { size, .. }) => Self::TooLong(size),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Cut,
            Error::Protocol(error) => Self::WebSocket(error.to_string()),
            Error::Utf8(_) => Self::BadMessage("its text is not UTF-8"),
            // What is left belongs to handshakes.
            _ => Self::WebSocket("an unknown failure".to_owned()),
        }
    }
}
