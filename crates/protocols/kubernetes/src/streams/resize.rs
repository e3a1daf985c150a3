//! Sizes of a terminal, as clients send them: JSON values one after another, in pieces of any length.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::StreamError;

/// Longest value, and what stands before it.
const LONGEST: usize = 1024;

/// `TerminalSize` of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Size {
    #[serde(rename = "Width", alias = "width")]
    pub(super) columns: u16,
    #[serde(rename = "Height", alias = "height")]
    pub(super) rows: u16,
}

impl Size {
    /// As it is sent.
    pub(super) fn line(self) -> Result<Bytes, StreamError> {
        let mut line = serde_json::to_vec(&self).map_err(|_| StreamError::BadSize)?;
        line.push(b'\n');
        Ok(line.into())
    }
}

/// Reads them.
#[derive(Debug, Default)]
pub(super) struct Sizes(BytesMut);

impl Sizes {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// The next, if it is whole.
    pub(super) fn next(&mut self) -> Result<Option<Size>, StreamError> {
        let mut values = serde_json::Deserializer::from_slice(&self.0).into_iter::<Size>();
        let next = values.next();
        let taken = values.byte_offset();
        match next {
            None => {
                self.0.clear();
                Ok(None)
            }
            Some(Ok(size)) => {
                let _ = self.0.split_to(taken.min(self.0.len()));
                Ok(Some(size))
            }
            Some(Err(error)) if error.is_eof() && self.0.len() <= LONGEST => Ok(None),
            Some(Err(_)) => Err(StreamError::BadSize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&str]) -> Result<Vec<(u16, u16)>, StreamError> {
        let (mut sizes, mut all) = (Sizes::default(), Vec::new());
        for piece in pieces {
            sizes.push(piece.as_bytes());
            while let Some(size) = sizes.next()? {
                all.push((size.columns, size.rows));
            }
        }
        Ok(all)
    }

    #[test]
    fn sizes_are_read_however_they_are_cut() {
        let cases: [&[&str]; 4] = [
            &["{\"Width\":80,\"Height\":24}\n{\"Width\":1,\"Height\":2}"],
            &["{\"Wid", "th\":80,\"Height\"", ":24}\n{\"Width\":1,\"Height\":2}\n"],
            &["{\"height\":24,\"width\":80}", "{\"Height\":2,\"Width\":1}"],
            &["\n", "{\"Width\":80,\"Height\":24,\"More\":[1]}", " ", "{\"Width\":1,\"Height\":2}"],
        ];
        for pieces in cases {
            assert_eq!(all(pieces).unwrap(), [(80, 24), (1, 2)], "{pieces:?}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        let long = format!("{{\"Width\":{}", " ".repeat(LONGEST));
        for piece in ["80x24", "{\"Width\":80}", "{\"Width\":65536,\"Height\":1}", "[]", long.as_str()] {
            assert_eq!(all(&[piece]), Err(StreamError::BadSize), "{piece}");
        }
    }

    #[test]
    fn a_size_is_sent_as_clients_send_it() {
        let line = Size { columns: 80, rows: 24 }.line().unwrap();
        assert_eq!(line, "{\"Width\":80,\"Height\":24}\n");
    }
}
