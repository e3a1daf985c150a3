//! The frames of v5.channel.k8s.io: a byte that names the channel, then its data.

use serde::Serialize;
use tokio_tungstenite::tungstenite::Message;

use super::broke;
use crate::error::Result;

/// What both sides must speak: the one that can end stdin.
pub(super) const PROTOCOL: &str = "v5.channel.k8s.io";

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
pub(super) enum Heard<'a> {
    Stdout(&'a [u8]),
    Stderr(&'a [u8]),
    /// A v1.Status.
    Ended(&'a [u8]),
    Nothing,
}

pub(super) fn stdin(bytes: &[u8]) -> Message {
    frame(STDIN, bytes)
}

pub(super) fn end_of_stdin() -> Message {
    frame(CLOSE, &[STDIN])
}

pub(super) fn size(size: Size) -> Message {
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
pub(super) fn read(message: &Message) -> Result<Heard<'_>> {
    let Message::Binary(bytes) = message else {
        return match message {
            Message::Text(_) => Err(broke("the other side does not speak the protocol")),
            _ => Ok(Heard::Nothing),
        };
    };
    Ok(match bytes.split_first() {
        Some((&STDOUT, rest)) => Heard::Stdout(rest),
        Some((&STDERR, rest)) => Heard::Stderr(rest),
        Some((&STATUS, rest)) if !rest.is_empty() => Heard::Ended(rest),
        // Servers begin with an empty frame on each channel, and close channels one by one.
        Some((&STATUS | &CLOSE, _)) | None => Heard::Nothing,
        Some(_) => return Err(broke("the other side does not speak the protocol")),
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
        for (sent, heard) in [
            (&b"\x01ab"[..], Heard::Stdout(b"ab")),
            (b"\x01", Heard::Stdout(b"")),
            (b"\x02x", Heard::Stderr(b"x")),
            (b"\x03{}", Heard::Ended(b"{}")),
            (b"\x03", Heard::Nothing),
            (b"\xff\x01", Heard::Nothing),
            (b"", Heard::Nothing),
        ] {
            assert_eq!(read(&Message::binary(sent.to_vec())).unwrap(), heard);
        }
        for bad in [Message::binary(vec![0, 1]), Message::binary(vec![9]), Message::text("hi")] {
            assert!(read(&bad).unwrap_err().is("HOOP-1074"));
        }
    }
}
