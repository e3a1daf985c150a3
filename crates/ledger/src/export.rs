//! The ledger as a file that can be verified anywhere: JSON lines.
//!
//! ```text
//! {"hoop_ledger_export":1,"key":"NAME+ID+KEY","exported_at":"...","live":["ses_..."]}
//! {"leaf":{...}}                                    every leaf from 0, its bytes exactly as stored
//! {"recording":{"session":"ses_...","trailer":"<base64 of the trailer frame>"}}      one a finished recording
//! {"witnessed":"hoop.example.org/ledger\n1200\n..."}         a checkpoint with cosignatures, if witnesses are asked
//! {"checkpoint":"hoop.example.org/ledger\n1234\n..."}                                 last
//! ```
//!
//! The key in the first line is for convenience: a verifier takes the trusted one from elsewhere. `live` are sessions
//! that had not ended when the export was made.

use std::io::{self, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_model::{SessionId, Timestamp};
use hoop_recording::Frame;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::checkpoint::{CheckpointKey, SignedCheckpoint};

/// The version of the export's form.
pub const EXPORT_VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHeader {
    /// [`EXPORT_VERSION`].
    pub hoop_ledger_export: u32,
    /// The key that the checkpoint is signed with.
    pub key: CheckpointKey,
    /// When it was made.
    pub exported_at: Timestamp,
    /// Sessions that had not ended, or whose recording was still on its way.
    pub live: Vec<SessionId>,
}

/// A finished recording's signed manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingLine {
    /// Whose.
    pub session: SessionId,
    /// The trailer's frame, in base64.
    pub trailer: String,
}

/// A line after the first.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    #[serde(borrow)]
    Leaf(&'a RawValue),
    Recording(RecordingLine),
    Witnessed(SignedCheckpoint),
    Checkpoint(SignedCheckpoint),
}

/// Writes an export.
#[derive(Debug)]
pub struct ExportWriter<W> {
    out: W,
}

impl<W: Write> ExportWriter<W> {
    /// Begins with the first line.
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(
        mut out: W,
        key: &CheckpointKey,
        exported_at: Timestamp,
        live: Vec<SessionId>,
    ) -> io::Result<Self> {
        let header = ExportHeader { hoop_ledger_export: EXPORT_VERSION, key: key.clone(), exported_at, live };
        serde_json::to_writer(&mut out, &header)?;
        out.write_all(b"\n")?;
        Ok(Self { out })
    }

    /// Writes a leaf, as stored.
    ///
    /// # Errors
    /// When the output fails.
    pub fn leaf(&mut self, leaf: &[u8]) -> io::Result<()> {
        self.out.write_all(b"{\"leaf\":")?;
        self.out.write_all(leaf)?;
        self.out.write_all(b"}\n")
    }

    /// Writes a recording's manifest.
    ///
    /// # Errors
    /// When the output fails.
    pub fn recording(&mut self, session: SessionId, trailer: &Frame) -> io::Result<()> {
        let line = RecordingLine { session, trailer: STANDARD.encode(&trailer.bytes) };
        serde_json::to_writer(&mut self.out, &serde_json::json!({ "recording": line }))?;
        self.out.write_all(b"\n")
    }

    /// Writes a checkpoint that witnesses signed, of leaves that were written.
    ///
    /// # Errors
    /// When the output fails.
    pub fn witnessed(&mut self, checkpoint: &SignedCheckpoint) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &serde_json::json!({ "witnessed": checkpoint }))?;
        self.out.write_all(b"\n")
    }

    /// Ends with the checkpoint of all leaves written.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self, checkpoint: &SignedCheckpoint) -> io::Result<W> {
        serde_json::to_writer(&mut self.out, &serde_json::json!({ "checkpoint": checkpoint }))?;
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}
