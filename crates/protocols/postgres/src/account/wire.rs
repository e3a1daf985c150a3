//! A client of our own engine: asks with simple queries, one after the other, and reads the answers.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use hoop_engine::{ErrandOutput, Outcome};

use crate::wire::{HEADER, Header, Malformed, Reader, read, version, write};

/// Longest message, and most of one answer.
const MOST: usize = 256 << 10;

/// What a statement was answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The rows of all its statements, as text.
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// It failed.
    pub(super) refused: Option<Refused>,
}

impl Answer {
    /// A value of a row.
    pub(super) fn text(&self, row: usize, column: usize) -> Option<&str> {
        self.rows.get(row)?.get(column)?.as_deref()
    }

    /// A number of a row.
    pub(super) fn number(&self, row: usize, column: usize) -> Option<u64> {
        self.text(row, column)?.parse().ok()
    }
}

/// The server's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) sqlstate: String,
    pub(super) message: String,
}

/// Why a conversation cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection ends with this.
    Refused(Refused),
    /// What came makes no sense.
    Malformed(&'static str),
}

impl From<Malformed> for Broken {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why.0)
    }
}

/// One conversation, over as many connections as it takes.
#[derive(Debug, Default)]
pub(super) struct Wire {
    out: VecDeque<ErrandOutput>,
    answer: Answer,
    said: usize,
}

impl Wire {
    /// Begins on a fresh connection. The first answer comes when the log-in is done.
    pub(super) fn connect(&mut self, database: &str) {
        // The user is the credential's, whatever stands here.
        let parameters: [(&[u8], &[u8]); 4] = [
            (b"user", b"hoop"),
            (b"database", database.as_bytes()),
            (b"application_name", b"hoop-agent"),
            (b"client_encoding", b"UTF8"),
        ];
        self.out.push_back(ErrandOutput::Send(write::startup(version::V3_0, parameters)));
    }

    /// Leaves this connection and begins on another.
    pub(super) fn reconnect(&mut self, database: &str) {
        self.leave();
        self.out.push_back(ErrandOutput::Reconnect);
        self.connect(database);
    }

    pub(super) fn ask(&mut self, statements: &str) {
        let query = write::message(b'Q', |out| write::put_text(out, statements.as_bytes()));
        self.out.push_back(ErrandOutput::Send(query));
    }

    pub(super) fn finish(&mut self, outcome: Outcome) {
        self.leave();
        self.out.push_back(ErrandOutput::Done(outcome));
    }

    fn leave(&mut self) {
        self.out.push_back(ErrandOutput::Send(Bytes::from_static(b"X\0\0\0\x04")));
    }

    pub(super) fn next(&mut self) -> ErrandOutput {
        self.out.pop_front().unwrap_or(ErrandOutput::Idle)
    }

    /// Reads on. `Some`: everything that was asked is answered.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Result<Option<Answer>, Broken> {
        while let Some(header) = Header::read(input) {
            let header = header?;
            self.said = self.said.saturating_add(header.total);
            if header.total > MOST || self.said > MOST {
                return Err(Broken::Malformed("it is too long"));
            }
            if input.len() < header.total {
                self.said -= header.total;
                return Ok(None);
            }
            let frame = input.split_to(header.total).freeze();
            let mut body = Reader::new(&frame, HEADER, frame.len());
            match header.kind {
                b'D' => self.answer.rows.push(read::text_row(&mut body)?),
                b'E' => {
                    let (fatal, refused) = refusal(body);
                    if fatal {
                        return Err(Broken::Refused(refused));
                    }
                    self.answer.refused.get_or_insert(refused);
                }
                b'Z' => {
                    self.said = 0;
                    return Ok(Some(std::mem::take(&mut self.answer)));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

/// Whether the connection ends, and why it says so.
fn refusal(mut body: Reader<'_>) -> (bool, Refused) {
    let (mut fatal, mut sqlstate, mut message) = (false, String::new(), String::new());
    while let Ok(name @ 1..) = body.u8() {
        let Ok(value) = body.text() else { break };
        let text = || String::from_utf8_lossy(&value).into_owned();
        match name {
            b'V' => fatal = matches!(&value[..], b"FATAL" | b"PANIC"),
            b'C' => sqlstate = text(),
            b'M' => message = text(),
            _ => {}
        }
    }
    (fatal, Refused { sqlstate, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &[&[u8]]) -> Result<Option<Answer>, Broken> {
        Wire::default().read(&mut BytesMut::from(&pieces.concat()[..]))
    }

    const READY: &[u8] = b"Z\0\0\0\x05I";

    #[test]
    fn rows_and_refusals_are_read() {
        let answer = said(&[b"D\0\0\0\x0f\0\x02\0\0\0\x01a\xff\xff\xff\xff", READY]).unwrap().unwrap();
        assert_eq!((answer.text(0, 0), answer.text(0, 1), answer.text(0, 2)), (Some("a"), None, None));
        let error = b"E\0\0\0\x17VERROR\0C42501\0Mno\0\0";
        let refused = said(&[error, READY]).unwrap().unwrap().refused.unwrap();
        assert_eq!((refused.sqlstate.as_str(), refused.message.as_str()), ("42501", "no"));
        let fatal = b"E\0\0\0\x17VFATAL\0C42501\0Mno\0\0";
        assert!(matches!(said(&[fatal]), Err(Broken::Refused(_))));
    }

    #[test]
    fn a_part_waits_and_nonsense_is_refused() {
        assert!(said(&[b"Z\0\0\0\x05"]).unwrap().is_none());
        assert!(said(&[]).unwrap().is_none());
        for wrong in [
            &b"D\0\0\0\x03"[..],
            b"D\x7f\xff\xff\xff",
            b"D\0\0\0\x06\0\x01",
            b"D\0\0\0\x0a\0\x01\0\0\0\x09",
            b"D\0\0\0\x0a\0\x01\xff\xff\xff\xfe",
        ] {
            assert!(said(&[wrong, READY]).is_err(), "{wrong:?}");
        }
    }
}
