//! Bytes of any kind and length, encrypted for the holder of a key, chained, and signed at the end: what a backup is.
//!
//! ```text
//! file   = "HOOPSEAL" | version u8 | frame header, frames pieces, frame end
//! frame  = tag u8 ("H" "P" "E") | length u32 BE | body
//! header = JSON of `SealedHeader`
//! piece  = flags u8 (bit 0: zstd) | AES-256-GCM ciphertext | tag [16]
//! end    = Ed25519 signature [64] | JSON: pieces, bytes, head
//! ```
//!
//! As in a recording: the data key is wrapped with RSA-OAEP-256, the hash of a frame is the SHA-256 of all its bytes, and a
//! piece is bound to the frame before it. Associated data: `hoop sealed v1\n`, seq, that hash, flags. A reader hands out
//! nothing of a piece that was altered, and no end that is not signed by whom the header names.

use std::io::{self, Read, Write};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    container::{AEAD_TAG, MAX_PLAINTEXT, nonce},
    hash::Hash,
    keys::{DataKey, KeyError, KeyId, RecordingPublicKey, SigningKey, Unwrap, VerifyingKey},
    scratch,
};

const MAGIC: &[u8; 8] = b"HOOPSEAL";
/// The version that this crate writes and reads.
pub const SEALED_VERSION: u8 = 1;
const BOUND_TO: &[u8] = b"hoop sealed v1\n";
const LEVEL: i32 = 3;
const FRAME: usize = 5;
const SIGNATURE: usize = 64;
const MAX_HEADER: usize = 64 * 1024;
const MAX_PIECE: usize = 1 + MAX_PLAINTEXT + AEAD_TAG;
const COMPRESSED: u8 = 1;

/// Why it cannot be read (any further).
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// It does not begin as one.
    #[error("this is no sealed file of hoop's")]
    NotSealed,
    /// Made by a later version.
    #[error("it was made by a newer version (format {0}; this program reads {SEALED_VERSION})")]
    Newer(u8),
    /// The data key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It ends before its end.
    #[error("it is cut off after {pieces} whole pieces")]
    CutOff {
        /// Pieces that are whole.
        pieces: u64,
    },
    /// A frame is not the one that was written there.
    #[error("piece {piece} was altered, or does not belong here")]
    Altered {
        /// Which.
        piece: u64,
    },
    /// The end does not fit what stands before it, or is not signed by whom the header names.
    #[error("the signature at its end is not good")]
    Signature,
    /// Something follows the end.
    #[error("something follows its end")]
    Behind,
}

impl From<SealedError> for io::Error {
    fn from(error: SealedError) -> Self {
        Self::other(error)
    }
}

/// What stands in the clear at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedHeader {
    /// When it was made.
    pub made_at: Timestamp,
    /// For whom.
    pub key_id: KeyId,
    /// The data key, wrapped: base64.
    wrapped_key: String,
    /// Who signs the end.
    pub signer: VerifyingKey,
    /// First bytes of each nonce: base64.
    nonce_prefix: String,
    /// Names and values that anybody may read.
    pub facts: Vec<(String, String)>,
}

/// What is signed at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedEnd {
    /// Pieces.
    pub pieces: u64,
    /// Bytes before encryption.
    pub bytes: u64,
    /// Hash of the last frame before the end.
    pub head: Hash,
}

fn frame(tag: u8, body: &[&[u8]]) -> Vec<u8> {
    let length: usize = body.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(FRAME + length);
    bytes.push(tag);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    body.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

fn associated(seq: u64, prev: &Hash, flags: u8) -> Vec<u8> {
    [BOUND_TO, &seq.to_be_bytes(), prev.as_bytes(), &[flags]].concat()
}

fn signed(json: &[u8]) -> Vec<u8> {
    [BOUND_TO, json].concat()
}

fn failed() -> io::Error {
    io::Error::other("the cryptographic library failed")
}

/// Writes one.
pub struct SealedWriter<W> {
    out: W,
    key: LessSafeKey,
    nonce_prefix: [u8; 4],
    prev: Hash,
    pieces: u64,
    bytes: u64,
    pending: Vec<u8>,
}

impl<W: Write> SealedWriter<W> {
    /// Begins: makes a data key and writes the header.
    ///
    /// # Errors
    /// When the output or the cryptographic library fails.
    pub fn begin(
        mut out: W,
        to: &RecordingPublicKey,
        signer: VerifyingKey,
        made_at: Timestamp,
        facts: Vec<(String, String)>,
    ) -> io::Result<Self> {
        let random = SystemRandom::new();
        let (mut secret, mut nonce_prefix) = (zeroize::Zeroizing::new([0; 32]), [0; 4]);
        random.fill(secret.as_mut_slice()).map_err(|_| failed())?;
        random.fill(&mut nonce_prefix).map_err(|_| failed())?;
        let data_key = DataKey::new(*secret);
        let header = SealedHeader {
            made_at,
            key_id: to.id(),
            wrapped_key: STANDARD.encode(to.wrap(&data_key).map_err(io::Error::other)?),
            signer,
            nonce_prefix: STANDARD.encode(nonce_prefix),
            facts,
        };
        let header = frame(b'H', &[&serde_json::to_vec(&header)?]);
        out.write_all(MAGIC)?;
        out.write_all(&[SEALED_VERSION])?;
        out.write_all(&header)?;
        let key = UnboundKey::new(&AES_256_GCM, data_key.expose()).map_err(|_| failed())?;
        let pending = Vec::with_capacity(MAX_PLAINTEXT);
        Ok(Self {
            out,
            key: LessSafeKey::new(key),
            nonce_prefix,
            prev: Hash::of(&header),
            pieces: 0,
            bytes: 0,
            pending,
        })
    }

    fn seal(&mut self) -> io::Result<()> {
        let plain = std::mem::take(&mut self.pending);
        let (flags, mut content) = scratch::compressed(&plain, LEVEL, |smaller| match smaller {
            Some(smaller) => (COMPRESSED, smaller.to_vec()),
            None => (0, plain.clone()),
        });
        let nonce = Nonce::assume_unique_for_key(nonce(self.nonce_prefix, self.pieces));
        let data = Aad::from(associated(self.pieces, &self.prev, flags));
        self.key.seal_in_place_append_tag(nonce, data, &mut content).map_err(|_| failed())?;
        let frame = frame(b'P', &[&[flags], &content]);
        self.out.write_all(&frame)?;
        self.prev = Hash::of(&frame);
        self.pieces += 1;
        self.bytes += plain.len() as u64;
        self.pending = plain;
        self.pending.clear();
        Ok(())
    }

    /// Signs, and gives the output back.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self, key: &SigningKey) -> io::Result<(W, SealedEnd)> {
        if !self.pending.is_empty() {
            self.seal()?;
        }
        let end = SealedEnd { pieces: self.pieces, bytes: self.bytes, head: self.prev };
        let json = serde_json::to_vec(&end)?;
        self.out.write_all(&frame(b'E', &[&key.sign(&signed(&json)), &json]))?;
        self.out.flush()?;
        Ok((self.out, end))
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_PLAINTEXT - self.pending.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.pending.extend_from_slice(taken);
        if self.pending.len() == MAX_PLAINTEXT {
            self.seal()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads one. Its `Read` answers 0 only at a good end with nothing behind it.
pub struct SealedReader<R> {
    input: R,
    header: SealedHeader,
    key: LessSafeKey,
    nonce_prefix: [u8; 4],
    prev: Hash,
    pieces: u64,
    bytes: u64,
    ready: io::Cursor<Vec<u8>>,
    end: Option<SealedEnd>,
}

impl<R: Read> SealedReader<R> {
    /// Reads the header and opens the data key.
    ///
    /// # Errors
    /// [`SealedError`] inside an I/O error ([`sealed_error`] takes it out), or the input's own.
    pub fn open(mut input: R, keys: &dyn Unwrap) -> io::Result<Self> {
        let mut begin = [0; MAGIC.len() + 1];
        input.read_exact(&mut begin).map_err(|_| SealedError::NotSealed)?;
        match begin {
            [magic @ .., SEALED_VERSION] if magic == *MAGIC => {}
            [magic @ .., version] if magic == *MAGIC => return Err(SealedError::Newer(version).into()),
            _ => return Err(SealedError::NotSealed.into()),
        }
        let frame = read_frame(&mut input, 0)?.ok_or(SealedError::CutOff { pieces: 0 })?;
        let body = frame.get(FRAME..).unwrap_or_default();
        let header: SealedHeader = match frame.first() {
            Some(b'H') => serde_json::from_slice(body).map_err(|_| SealedError::NotSealed)?,
            _ => return Err(SealedError::NotSealed.into()),
        };
        let wrapped = STANDARD.decode(&header.wrapped_key).map_err(|_| SealedError::NotSealed)?;
        let prefix = STANDARD.decode(&header.nonce_prefix).ok().and_then(|bytes| bytes.try_into().ok());
        let data_key = keys.unwrap(&header.key_id, &wrapped).map_err(SealedError::Key)?;
        let key = UnboundKey::new(&AES_256_GCM, data_key.expose()).map_err(|_| failed())?;
        Ok(Self {
            input,
            key: LessSafeKey::new(key),
            nonce_prefix: prefix.ok_or(SealedError::NotSealed)?,
            prev: Hash::of(&frame),
            header,
            pieces: 0,
            bytes: 0,
            ready: io::Cursor::default(),
            end: None,
        })
    }

    /// What stands in the clear. It is believed once the end was read.
    #[must_use]
    pub const fn header(&self) -> &SealedHeader {
        &self.header
    }

    /// The signed end, once all was read.
    #[must_use]
    pub const fn end(&self) -> Option<&SealedEnd> {
        self.end.as_ref()
    }

    fn step(&mut self) -> io::Result<()> {
        let (piece, altered) = (self.pieces, SealedError::Altered { piece: self.pieces });
        let frame = read_frame(&mut self.input, piece)?.ok_or(SealedError::CutOff { pieces: piece })?;
        let body = frame.get(FRAME..).unwrap_or_default();
        match frame.first() {
            Some(b'P') => {
                let plain = self.unseal(body).ok_or(altered)?;
                self.prev = Hash::of(&frame);
                self.pieces += 1;
                self.bytes += plain.len() as u64;
                self.ready = io::Cursor::new(plain);
            }
            Some(b'E') => {
                let (signature, json) =
                    body.split_first_chunk::<SIGNATURE>().ok_or(SealedError::Signature)?;
                let end: SealedEnd = serde_json::from_slice(json).map_err(|_| SealedError::Signature)?;
                let expected = SealedEnd { pieces: self.pieces, bytes: self.bytes, head: self.prev };
                if end != expected || !self.header.signer.verifies(&signed(json), signature) {
                    return Err(SealedError::Signature.into());
                }
                if self.input.read(&mut [0])? != 0 {
                    return Err(SealedError::Behind.into());
                }
                self.end = Some(end);
            }
            _ => return Err(altered.into()),
        }
        Ok(())
    }

    fn unseal(&self, body: &[u8]) -> Option<Vec<u8>> {
        let (flags, sealed) = body.split_first()?;
        let nonce = Nonce::assume_unique_for_key(nonce(self.nonce_prefix, self.pieces));
        let data = Aad::from(associated(self.pieces, &self.prev, *flags));
        let mut content = sealed.to_vec();
        let length = self.key.open_in_place(nonce, data, &mut content).ok()?.len();
        content.truncate(length);
        match *flags {
            0 if content.len() <= MAX_PLAINTEXT => Some(content),
            COMPRESSED => scratch::decompress(&content),
            _ => None,
        }
    }
}

/// A whole frame; `None` where the input ends before its end.
fn read_frame(input: &mut impl Read, piece: u64) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; FRAME];
    if !fill(input, &mut prefix)? {
        return Ok(None);
    }
    let [tag, length @ ..] = prefix;
    let limit = match tag {
        b'H' => MAX_HEADER,
        b'P' => MAX_PIECE,
        b'E' => 4096,
        _ => return Err(SealedError::Altered { piece }.into()),
    };
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(SealedError::Altered { piece }.into());
    }
    let mut bytes = vec![0; FRAME + length];
    let (head, body) = bytes.split_at_mut(FRAME);
    head.copy_from_slice(&prefix);
    Ok(fill(input, body)?.then_some(bytes))
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.ready.read(buffer)?;
            if count > 0 || buffer.is_empty() || self.end.is_some() {
                return Ok(count);
            }
            self.step()?;
        }
    }
}

/// The [`SealedError`] that an I/O error carries.
#[must_use]
pub fn sealed_error(error: &io::Error) -> Option<&SealedError> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests;
