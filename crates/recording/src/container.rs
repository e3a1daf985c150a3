//! The file that a recording is: frames, their bytes, and the hash chain over them. No keys are used here.
//!
//! ```text
//! recording = header frame, chunk frames 0, 1, 2, ..., trailer frame
//! frame     = tag (4 bytes: "HRh1" "HRc1" "HRt1") | length u32 BE | body
//! header    = JSON of `Header`
//! chunk     = seq u64 BE | prev [32] | flags u8 (bit 0: zstd) | AES-256-GCM ciphertext | tag [16]
//! trailer   = Ed25519 signature [64] | JSON of `Manifest`
//! ```
//!
//! The hash of a frame is the SHA-256 of all its bytes, tag and length included. `prev` is the hash of the frame before:
//! of the header for chunk 0. The manifest names the hash of the last chunk (of the header, if there is none), so its
//! signature covers every byte. A chunk's nonce is the header's `nonce_prefix` [4] and its seq; its associated data are
//! session id [16], seq, prev and flags.

use bytes::{Bytes, BytesMut};
use hoop_model::{SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    hash::Hash,
    keys::{KeyId, SigningKey, VerifyingKey},
};

/// The version of the format that this crate writes.
pub const FORMAT_VERSION: u16 = 1;
/// Tag and length.
pub const FRAME_PREFIX: usize = 8;
/// What a chunk holds before encryption, at most.
pub const MAX_PLAINTEXT: usize = 256 * 1024;
/// seq, prev, flags.
pub const CHUNK_PREFIX: usize = 8 + 32 + 1;
/// The tag of AES-GCM.
pub const AEAD_TAG: usize = 16;
/// Body of a chunk, at most.
pub const MAX_CHUNK: usize = CHUNK_PREFIX + MAX_PLAINTEXT + AEAD_TAG;
/// Body of a header, at most.
pub const MAX_HEADER: usize = 64 * 1024;
/// Body of a trailer, at most.
pub const MAX_TRAILER: usize = 256 * 1024;
/// The flag of a chunk whose events are compressed.
pub const COMPRESSED: u8 = 1;

const SIGNATURE: usize = 64;
const SIGNED_AS: &[u8] = b"hoop recording manifest v1\n";

/// Which frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// The first.
    Header,
    /// Events.
    Chunk,
    /// The last.
    Trailer,
}

impl Tag {
    /// The four bytes that stand in the file.
    #[must_use]
    pub const fn bytes(self) -> [u8; 4] {
        match self {
            Self::Header => *b"HRh1",
            Self::Chunk => *b"HRc1",
            Self::Trailer => *b"HRt1",
        }
    }

    /// What the four bytes mean.
    #[must_use]
    pub fn parse(bytes: [u8; 4]) -> Option<Self> {
        [Self::Header, Self::Chunk, Self::Trailer].into_iter().find(|tag| tag.bytes() == bytes)
    }

    /// How long the body may be.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            Self::Header => MAX_HEADER,
            Self::Chunk => MAX_CHUNK,
            Self::Trailer => MAX_TRAILER,
        }
    }
}

/// Why bytes are not a frame of a recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The tag is none of ours.
    #[error("no frame begins here")]
    Tag,
    /// Longer than a frame of this kind can be.
    #[error("the frame claims {length} bytes; {limit} are possible")]
    TooLong {
        /// As claimed.
        length: u64,
        /// As possible.
        limit: usize,
    },
    /// Shorter than its fixed fields, or than its own length says.
    #[error("the frame is too short")]
    TooShort,
    /// The JSON inside is not what it should be.
    #[error("the frame's facts cannot be read: {0}")]
    Facts(String),
    /// Written by a later version.
    #[error("the recording has format version {0}; this program reads version {FORMAT_VERSION}")]
    Version(u16),
    /// Too many facts to fit.
    #[error("the facts take {length} bytes; {limit} are possible")]
    FactsTooLong {
        /// As given.
        length: usize,
        /// As possible.
        limit: usize,
    },
}

/// One frame, whole, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its kind.
    pub tag: Tag,
    /// All of its bytes, tag and length included.
    pub bytes: Bytes,
}

impl Frame {
    /// Reads tag and length from the first eight bytes: what kind, and how many bytes the whole frame takes.
    ///
    /// # Errors
    /// When no frame begins so.
    pub fn measure(prefix: [u8; FRAME_PREFIX]) -> Result<(Tag, usize), FrameError> {
        let [a, b, c, d, length @ ..] = prefix;
        let tag = Tag::parse([a, b, c, d]).ok_or(FrameError::Tag)?;
        let length = u32::from_be_bytes(length);
        let limit = tag.limit();
        match usize::try_from(length) {
            Ok(length) if length <= limit => Ok((tag, length + FRAME_PREFIX)),
            _ => Err(FrameError::TooLong { length: u64::from(length), limit }),
        }
    }

    /// Takes exactly one frame's bytes, as they came over the wire.
    ///
    /// # Errors
    /// When they are no frame, or more or less than one.
    pub fn parse(bytes: Bytes) -> Result<Self, FrameError> {
        let prefix = bytes.first_chunk::<FRAME_PREFIX>().ok_or(FrameError::TooShort)?;
        let (tag, length) = Self::measure(*prefix)?;
        if bytes.len() != length {
            return Err(FrameError::TooShort);
        }
        Ok(Self { tag, bytes })
    }

    /// What follows tag and length.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.bytes.slice(FRAME_PREFIX.min(self.bytes.len())..)
    }

    /// The hash that the chain carries.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&self.bytes)
    }
}

/// Tag and length of a frame to be.
pub(crate) fn frame_prefix(tag: Tag, body: usize) -> [u8; FRAME_PREFIX] {
    let [a, b, c, d] = tag.bytes();
    let [e, f, g, h] = u32::try_from(body).unwrap_or(u32::MAX).to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

fn frame(tag: Tag, parts: &[&[u8]]) -> Result<Frame, FrameError> {
    let length = parts.iter().map(|part| part.len()).sum();
    if length > tag.limit() {
        return Err(FrameError::FactsTooLong { length, limit: tag.limit() });
    }
    let mut bytes = BytesMut::with_capacity(FRAME_PREFIX + length);
    bytes.extend_from_slice(&frame_prefix(tag, length));
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    Ok(Frame { tag, bytes: bytes.freeze() })
}

/// What the first frame tells: in the clear, since lists and auditors need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT_VERSION`].
    pub format: u16,
    /// Whose recording.
    pub session: SessionId,
    /// When it began, by the agent's clock.
    pub started_at: Timestamp,
    /// Person, connection, agent, gateway, hash of the grant, ...: name and value.
    pub facts: Vec<(String, String)>,
    /// The recording key that the data key is wrapped for.
    pub key_id: KeyId,
    /// The data key, wrapped with RSA-OAEP-256.
    #[serde(with = "base64_bytes")]
    pub wrapped_key: Vec<u8>,
    /// The agent's key that will sign the manifest.
    pub signer: VerifyingKey,
    /// First 4 bytes of each chunk's nonce, in hex.
    #[serde(with = "hex_prefix")]
    pub nonce_prefix: [u8; 4],
}

impl Header {
    /// As the recording's first frame.
    ///
    /// # Errors
    /// When the facts are longer than a header may be.
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        let json = serde_json::to_vec(self).map_err(|error| FrameError::Facts(error.to_string()))?;
        frame(Tag::Header, &[&json])
    }

    /// Reads the first frame.
    ///
    /// # Errors
    /// When it is another frame, another version, or malformed.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        #[derive(Deserialize)]
        struct Version {
            format: u16,
        }
        if frame.tag != Tag::Header {
            return Err(FrameError::Tag);
        }
        let body = frame.body();
        let parse_error = |error: serde_json::Error| FrameError::Facts(error.to_string());
        let Version { format } = serde_json::from_slice(&body).map_err(parse_error)?;
        if format != FORMAT_VERSION {
            return Err(FrameError::Version(format));
        }
        serde_json::from_slice(&body).map_err(parse_error)
    }

    /// The value of a fact.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The fields of a chunk's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its number, from 0.
    pub seq: u64,
    /// Hash of the frame before.
    pub prev: Hash,
    /// [`COMPRESSED`] or 0.
    pub flags: u8,
    /// Ciphertext and tag.
    pub sealed: Bytes,
}

impl Chunk {
    /// Reads a chunk's frame.
    ///
    /// # Errors
    /// When it is another frame, or too short.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        if frame.tag != Tag::Chunk {
            return Err(FrameError::Tag);
        }
        let body = frame.body();
        let (seq, rest) = body.split_first_chunk::<8>().ok_or(FrameError::TooShort)?;
        let (prev, rest) = rest.split_first_chunk::<32>().ok_or(FrameError::TooShort)?;
        let (flags, sealed) = rest.split_first().ok_or(FrameError::TooShort)?;
        if sealed.len() < AEAD_TAG {
            return Err(FrameError::TooShort);
        }
        Ok(Self {
            seq: u64::from_be_bytes(*seq),
            prev: Hash::from_bytes(*prev),
            flags: *flags,
            sealed: body.slice(CHUNK_PREFIX..),
        })
    }
}

/// Associated data of a chunk: what its ciphertext is bound to.
pub(crate) fn associated_data(session: &SessionId, seq: u64, prev: &Hash, flags: u8) -> [u8; 57] {
    let seq = seq.to_be_bytes();
    let parts = session.as_bytes().iter().chain(&seq).chain(prev.as_bytes()).chain(std::iter::once(&flags));
    let mut data = [0; 57];
    data.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    data
}

/// The nonce of a chunk: never used twice, since the data key serves one recording and `seq` one chunk.
pub(crate) fn nonce(prefix: [u8; 4], seq: u64) -> [u8; 12] {
    let [a, b, c, d] = prefix;
    let [e, f, g, h, i, j, k, l] = seq.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// How a recording ended, as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ended {
    /// The session ended and everything is there.
    Sealed {
        /// Why the session ended, for a person to read.
        reason: String,
    },
    /// The agent lost the session (a crash, a power cut) and signs for what it still has.
    Interrupted {
        /// What happened.
        reason: String,
        /// What may be missing.
        missing: String,
    },
}

/// A piece that is known to be missing: the manifest's signature makes it a signed statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapStatement {
    /// When it was noticed.
    pub at: Timestamp,
    /// The number that the next chunk got; everything missing lies before it.
    pub before_chunk: u64,
    /// What happened.
    pub reason: String,
}

/// What the recording contained. `None`: not known, because the recording was interrupted and only ciphertext is left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contents {
    /// Events.
    pub events: u64,
    /// Requests among them.
    pub requests: u64,
    /// Rows returned or changed.
    pub rows: u64,
    /// Time of the first event.
    pub first_at: Option<Timestamp>,
    /// Time of the last event.
    pub last_at: Option<Timestamp>,
    /// What the session's connections carried, as the agent counted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Carried>,
}

/// Bytes of ciphertext on the connections of a session, at the agent's end. The gateway's relay counts them at its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Carried {
    /// From the person.
    pub received: u64,
    /// To the person.
    pub sent: u64,
}

/// What the agent signs at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format: u16,
    /// Whose recording.
    pub session: SessionId,
    /// Hash of the header frame.
    pub header: Hash,
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of header and chunks as stored.
    pub bytes: u64,
    /// Hash of the last chunk (of the header, if there is none).
    pub head: Hash,
    /// What the chunks held.
    pub contents: Option<Contents>,
    /// How it ended.
    pub ended: Ended,
    /// When this was signed.
    pub ended_at: Timestamp,
    /// Pieces known to be missing.
    pub gaps: Vec<GapStatement>,
}

/// A manifest, and the signature over its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// What was signed.
    pub manifest: Manifest,
    json: Bytes,
    signature: [u8; SIGNATURE],
}

impl Trailer {
    /// Signs a manifest.
    ///
    /// # Errors
    /// When its gaps are more than a trailer can hold.
    pub fn sign(manifest: Manifest, key: &SigningKey) -> Result<Self, FrameError> {
        let json = serde_json::to_vec(&manifest).map_err(|error| FrameError::Facts(error.to_string()))?;
        let limit = MAX_TRAILER - SIGNATURE;
        if json.len() > limit {
            return Err(FrameError::FactsTooLong { length: json.len(), limit });
        }
        let signature = key.sign(&signed_message(&json));
        Ok(Self { manifest, json: Bytes::from(json), signature })
    }

    /// As the recording's last frame.
    ///
    /// # Errors
    /// Never for what [`Self::sign`] made.
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        frame(Tag::Trailer, &[&self.signature, &self.json])
    }

    /// Reads the last frame. The signature is not looked at: [`Self::is_signed_by`] does.
    ///
    /// # Errors
    /// When it is another frame, or malformed.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        if frame.tag != Tag::Trailer {
            return Err(FrameError::Tag);
        }
        let body = frame.body();
        let (signature, _) = body.split_first_chunk::<SIGNATURE>().ok_or(FrameError::TooShort)?;
        let json = body.slice(SIGNATURE..);
        let manifest = serde_json::from_slice(&json).map_err(|error| FrameError::Facts(error.to_string()))?;
        Ok(Self { manifest, json, signature: *signature })
    }

    /// Did the holder of this key sign it?
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        key.verifies(&signed_message(&self.json), &self.signature)
    }
}

fn signed_message(json: &[u8]) -> Vec<u8> {
    [SIGNED_AS, json].concat()
}

mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

mod hex_prefix {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::hex;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 4], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 4], D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode_array(&text).ok_or_else(|| D::Error::custom("8 hex digits were expected"))
    }
}
