//! The lines of a backup, read one by one: bounded, and each in its place.

use std::io::{self, BufRead, Read, Take};

use hoop_store::{Cell, Table};
use serde::{Deserialize, Serialize};

use super::Counts;

/// A row holds statements, rules, manifests: long, and not endless.
const LONGEST_LINE: u64 = 256 << 20;

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) backup: u32,
    pub(super) version: String,
    pub(super) schema: Vec<u64>,
    pub(super) origin: String,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    Row(Vec<Cell>),
    Begin(Begin),
    Table(Table),
    Rows { rows: u64 },
    Recording { recording: String, bytes: u64 },
    Elsewhere { elsewhere: String },
    Key { key: String, bytes: u64 },
    End { end: Counts },
}

/// Reads lines, and what they announce.
pub(super) struct Items<R> {
    input: R,
}

impl<R: BufRead> Items<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input }
    }

    /// The next line; `None` at the end of all, which the seal has vouched for.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let length = self.input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        serde_json::from_slice(&line).map(Some).map_err(|_| io::Error::other("a line is not understood"))
    }

    /// The bytes that a line announced. All of them are to be read before the next line.
    pub(super) fn bytes(&mut self, count: u64) -> Take<&mut R> {
        self.input.by_ref().take(count)
    }
}
