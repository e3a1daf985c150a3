//! The frames of v5.channel.k8s.io: a byte that names the channel, then its data.

use bytes::Bytes;
use serde::Serialize;
use tokio_tungstenite::tungstenite::Message;

use crate::error::PodError;

/// What both sides must speak: the one that can end stdin.
pub(crate) const PROTOCOL: &str = "v5.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// What a frame from the other side says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Stdout(Bytes),
    Stderr(Bytes),
    /// A v1.Status.
    Ended(Bytes),
    Nothing,
}

pub(crate) fn stdin(bytes: &[u8]) -> Message {
    frame(STDIN, bytes)
}

pub(crate) fn end_of_stdin() -> Message {
    frame(CLOSE, &[STDIN])
}

pub(crate) fn size(size: Size) -> Message {
    frame(RESIZE, &serde_json::to_vec(&size).unwrap_or_default())
}

fn frame(channel: u8, bytes: &[u8]) -> Message {
    let mut whole = Vec::with_capacity(bytes.len() + 1);
    whole.push(channel);
    whole.extend_from_slice(bytes);
    Message::binary(whole)
}

/// # Errors
/// When it is none that an API server sends.
pub(crate) fn read(message: Message) -> Result<Heard, PodError> {
    const STRANGE: PodError = PodError::Broke("the other side does not speak the protocol");
    let bytes = match message {
        Message::Binary(bytes) => bytes,
        Message::Text(_) => return Err(STRANGE),
        _ => return Ok(Heard::Nothing),
    };
    let Some(&channel) = bytes.first() else { return Ok(Heard::Nothing) };
    let rest = bytes.slice(1..);
    Ok(match channel {
        STDOUT => Heard::Stdout(rest),
        STDERR => Heard::Stderr(rest),
        STATUS if !rest.is_empty() => Heard::Ended(rest),
        // Servers begin with an empty frame on each channel, and close channels one by one.
        STATUS | CLOSE => Heard::Nothing,
        _ => return Err(STRANGE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_the_protocol_has_them() {
        let bytes = |message: Message| message.into_data().to_vec();
        assert_eq!(bytes(stdin(b"ab")), [0, b'a', b'b']);
        assert_eq!(bytes(end_of_stdin()), [255, 0]);
        assert_eq!(bytes(size(Size { width: 80, height: 24 })), b"\x04{\"Width\":80,\"Height\":24}");
        let piece = Bytes::from_static;
        for (sent, heard) in [
            (&b"\x01ab"[..], Heard::Stdout(piece(b"ab"))),
            (b"\x01", Heard::Stdout(piece(b""))),
            (b"\x02x", Heard::Stderr(piece(b"x"))),
            (b"\x03{}", Heard::Ended(piece(b"{}"))),
            (b"\x03", Heard::Nothing),
            (b"\xff\x01", Heard::Nothing),
            (b"", Heard::Nothing),
        ] {
            assert_eq!(read(Message::binary(sent.to_vec())).unwrap(), heard);
        }
        for bad in [Message::binary(vec![0, 1]), Message::binary(vec![9]), Message::text("hi")] {
            assert!(matches!(read(bad), Err(PodError::Broke(_))));
        }
    }
}
