//! The hash chain, frame by frame, without any key: what a gateway checks before it stores and acknowledges a chunk,
//! and what an agent that was restarted still knows of an unfinished recording.

use std::io::{self, Read};

use hoop_model::{SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    container::{Chunk, Ended, FORMAT_VERSION, Frame, FrameError, GapStatement, Header, Manifest, Trailer},
    frames::{FrameReader, Next},
    hash::Hash,
    keys::{SigningKey, VerifyingKey},
    writer::bounded_reason,
};

/// Why a frame is not the next one of this recording: whoever sent it is wrong, or what is stored was altered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The frame itself is malformed.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Another chunk than the next one.
    #[error("chunk {found} stands where chunk {expected} belongs")]
    Order {
        /// The number that comes next.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// The chunk names another predecessor than the one before it.
    #[error("chunk {chunk} does not follow what stands before it: one of the two was altered")]
    Link {
        /// The chunk that names it.
        chunk: u64,
    },
    /// The manifest tells of another recording than this.
    #[error("the manifest's {field} is {said}; the recording's is {found}")]
    Manifest {
        /// Which field.
        field: &'static str,
        /// As signed.
        said: String,
        /// As found.
        found: String,
    },
    /// The manifest is not signed by the key that the header names.
    #[error("the manifest's signature is not by the recording's signer")]
    Signature,
    /// Nothing may follow a trailer.
    #[error("the recording has ended already")]
    Ended,
}

/// How far the chain has come. Small, and to be stored beside the recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    session: SessionId,
    signer: VerifyingKey,
    header: Hash,
    head: Hash,
    chunks: u64,
    bytes: u64,
    ended: bool,
}

impl Chain {
    /// Begins with the header frame.
    ///
    /// # Errors
    /// When it is no header.
    pub fn begin(frame: &Frame) -> Result<(Self, Header), ChainError> {
        let header = Header::from_frame(frame)?;
        let hash = frame.hash();
        let chain = Self {
            session: header.session,
            signer: header.signer,
            header: hash,
            head: hash,
            chunks: 0,
            bytes: frame.bytes.len() as u64,
            ended: false,
        };
        Ok((chain, header))
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// When it is not the next one; nothing has changed then.
    pub fn accept(&mut self, frame: &Frame) -> Result<Chunk, ChainError> {
        if self.ended {
            return Err(ChainError::Ended);
        }
        let chunk = Chunk::from_frame(frame)?;
        if chunk.seq != self.chunks {
            return Err(ChainError::Order { expected: self.chunks, found: chunk.seq });
        }
        if chunk.prev != self.head {
            return Err(ChainError::Link { chunk: chunk.seq });
        }
        self.head = frame.hash();
        self.chunks += 1;
        self.bytes += frame.bytes.len() as u64;
        Ok(chunk)
    }

    /// Takes the trailer: signed by the recording's signer, and true.
    ///
    /// # Errors
    /// When it is not; nothing has changed then.
    pub fn close(&mut self, frame: &Frame) -> Result<Trailer, ChainError> {
        if self.ended {
            return Err(ChainError::Ended);
        }
        let trailer = Trailer::from_frame(frame)?;
        if !trailer.is_signed_by(&self.signer) {
            return Err(ChainError::Signature);
        }
        self.agrees_with(&trailer.manifest)?;
        self.ended = true;
        Ok(trailer)
    }

    /// Does a manifest tell of what this chain saw?
    ///
    /// # Errors
    /// [`ChainError::Manifest`] names the first field that does not.
    pub fn agrees_with(&self, manifest: &Manifest) -> Result<(), ChainError> {
        let same = |field, said: String, found: String| match said == found {
            true => Ok(()),
            false => Err(ChainError::Manifest { field, said, found }),
        };
        same("session", manifest.session.to_string(), self.session.to_string())?;
        same("header hash", manifest.header.to_string(), self.header.to_string())?;
        same("number of chunks", manifest.chunks.to_string(), self.chunks.to_string())?;
        same("head hash", manifest.head.to_string(), self.head.to_string())?;
        same("number of bytes", manifest.bytes.to_string(), self.bytes.to_string())
    }

    /// Signs for what there is, without the data key: for an agent that lost the session and has the ciphertext alone.
    ///
    /// # Errors
    /// When there are more gaps than a trailer can hold.
    pub fn interrupted(
        &self,
        at: Timestamp,
        reason: &str,
        missing: &str,
        gaps: Vec<GapStatement>,
        key: &SigningKey,
    ) -> Result<Trailer, FrameError> {
        let manifest = Manifest {
            format: FORMAT_VERSION,
            session: self.session,
            header: self.header,
            chunks: self.chunks,
            bytes: self.bytes,
            head: self.head,
            contents: None,
            ended: Ended::Interrupted { reason: bounded_reason(reason), missing: bounded_reason(missing) },
            ended_at: at,
            gaps,
        };
        Trailer::sign(manifest, key)
    }

    /// Whose recording.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The key that the header names for the manifest.
    #[must_use]
    pub const fn signer(&self) -> &VerifyingKey {
        &self.signer
    }

    /// The hash of the last frame accepted.
    #[must_use]
    pub const fn head(&self) -> Hash {
        self.head
    }

    /// The number of chunks accepted, which is the number of the next.
    #[must_use]
    pub const fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Bytes of header and chunks.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Has the trailer come?
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }
}

/// Why an unfinished recording cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The file could not be read.
    #[error("reading the recording failed")]
    Input(#[from] io::Error),
    /// It does not begin with a whole header: there is nothing to sign for.
    #[error("the recording has no whole header")]
    NoHeader,
    /// A frame is not the next one: not cut off but altered.
    #[error("at byte {offset}: {error}")]
    Chain {
        /// Where the frame begins.
        offset: u64,
        /// What is wrong with it.
        error: ChainError,
    },
}

/// What stands of an unfinished recording. The file is to be cut to `chain.bytes()` before anything is added.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// The header.
    pub header: Header,
    /// The chain up to the last whole chunk.
    pub chain: Chain,
    /// The trailer, if the recording was finished after all.
    pub trailer: Option<Trailer>,
}

/// Reads what a crashed agent left: all whole frames, up to where the file was cut off.
///
/// # Errors
/// When there is no header, or a whole frame does not belong where it stands.
pub fn scan(input: impl Read) -> Result<Scanned, ScanError> {
    let mut frames = FrameReader::new(input);
    let Next::Frame { frame, .. } = frames.next_frame()? else { return Err(ScanError::NoHeader) };
    let (mut chain, header) = Chain::begin(&frame).map_err(|error| ScanError::Chain { offset: 0, error })?;
    let mut trailer = None;
    loop {
        match frames.next_frame()? {
            Next::Frame { offset, frame } => {
                let outcome = match frame.tag {
                    crate::container::Tag::Trailer => chain.close(&frame).map(|found| trailer = Some(found)),
                    _ => chain.accept(&frame).map(|_| ()),
                };
                outcome.map_err(|error| ScanError::Chain { offset, error })?;
            }
            Next::Bad { offset, error } => {
                return Err(ScanError::Chain { offset, error: error.into() });
            }
            Next::End { .. } | Next::Cut { .. } => return Ok(Scanned { header, chain, trailer }),
        }
    }
}
