//! Server-sent events (WHATWG HTML §9.2), as far as the gateway uses them: `event`, `data`, comments.

use crate::error::{ClientError, Result};

const LONGEST_EVENT: usize = 64 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its kind; `message` if none was named.
    pub kind: String,
    /// Its data, lines joined.
    pub data: String,
}

/// Turns pieces of a body into events, however the pieces are cut.
#[derive(Debug, Default)]
pub struct EventReader {
    pending: Vec<u8>,
    searched: usize,
    kind: String,
    data: String,
}

impl EventReader {
    /// Takes a piece, and gives the events that it completes.
    ///
    /// # Errors
    /// When an event is longer than any that the gateway sends.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<ServerEvent>> {
        self.pending.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(line) = self.next_line() {
            events.extend(self.line(&line));
        }
        if self.pending.len() + self.data.len() > LONGEST_EVENT {
            return Err(ClientError::own("HOOP-1009", "the gateway sent an event without end"));
        }
        Ok(events)
    }

    fn next_line(&mut self) -> Option<String> {
        let from = self.searched.min(self.pending.len());
        let Some(end) = self.pending.iter().skip(from).position(|byte| *byte == b'\n').map(|at| at + from)
        else {
            self.searched = self.pending.len();
            return None;
        };
        let line: Vec<u8> = self.pending.drain(..=end).collect();
        self.searched = 0;
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned())
    }

    fn line(&mut self, line: &str) -> Option<ServerEvent> {
        if line.is_empty() {
            return self.finish();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            _ => {}
        }
        None
    }

    fn finish(&mut self) -> Option<ServerEvent> {
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        Some(ServerEvent { kind, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] =
        b": hello\nevent: statement\ndata: {\"a\":\ndata: 1}\nid: 4\n\ndata:x\r\n\r\n\nevent: end\n\n";

    fn wanted() -> Vec<ServerEvent> {
        vec![
            ServerEvent { kind: "statement".into(), data: "{\"a\":\n1}".into() },
            ServerEvent { kind: "message".into(), data: "x".into() },
        ]
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(cut in 0..TEXT.len(), other in 0..TEXT.len()) {
            let (a, b) = (cut.min(other), cut.max(other));
            let mut reader = EventReader::default();
            let mut events = Vec::new();
            for piece in [&TEXT[..a], &TEXT[a..b], &TEXT[b..]] {
                events.extend(reader.push(piece).unwrap());
            }
            prop_assert_eq!(events, wanted());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = EventReader::default().push(&bytes);
        }
    }
}
