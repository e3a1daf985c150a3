//! Makes a recording: records in, encrypted and chained chunks out.
//!
//! This is a hot path: thousands of chunks of one statement each a second, or bulk data as fast as it comes. So a
//! chunk is made in one buffer and hashed once, buffers and compression contexts are shared by a thread's writers
//! ([`crate::scratch`]), and a writer with nothing pending holds no buffer at all.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use bytes::Bytes;
use hoop_model::{SessionId, Timestamp};

use crate::{
    codec,
    container::{
        AEAD_TAG, CHUNK_PREFIX, COMPRESSED, Carried, Contents, Ended, FORMAT_VERSION, FRAME_PREFIX, Frame,
        FrameError, GapStatement, Header, MAX_PLAINTEXT, Manifest, Tag, Trailer, associated_data,
        frame_prefix, nonce,
    },
    event::{Event, Record},
    hash::Hash,
    keys::{DataKey, KeyError, RecordingPublicKey, SigningKey, VerifyingKey},
    scratch, split,
    visible::visible,
};

/// What is shorter than this is not worth compressing.
const COMPRESS_FROM: usize = 512;
/// What is shorter than this is compressed by [`HASTE`]: a few statements of one moment, for which somebody waits. With code tables of its
/// own, seven statements take 6.9 instead of 4.1 µs and 0.38 instead of 0.40 of their size; of 4 KiB such tables save a quarter.
const SMALL: usize = 2048;
/// The zstd level that makes no code tables for literals.
const HASTE: i32 = -1;
/// After a chunk that did not shrink, so many are not tried.
const COMPRESS_PAUSE: u8 = 15;
/// Gaps that a manifest names one by one.
const MAX_GAPS: usize = 250;
/// Longest reason of a gap, in bytes.
const MAX_REASON: usize = 256;

/// Why a recording cannot go on. None of these is the person's fault; the session must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The session's facts do not fit.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// No random numbers or no encryption to be had.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Off,
    /// zstd at this level, for chunks long enough to gain, and faster for small ones; chunks that do not shrink switch it off for a
    /// while.
    Zstd(i32),
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd(1)
    }
}

/// What a recording begins with.
#[derive(Debug, Clone)]
pub struct Start {
    /// The session.
    pub session: SessionId,
    /// Now, by the agent's clock.
    pub at: Timestamp,
    /// Person, connection, agent, gateway, hash of the grant, ...
    pub facts: Vec<(String, String)>,
    /// The agent's key that will sign the manifest.
    pub signer: VerifyingKey,
    /// How hard to compress.
    pub compression: Compression,
}

/// A chunk, ready to be stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedChunk {
    /// Its number, from 0.
    pub seq: u64,
    /// Its place in the chain.
    pub hash: Hash,
    /// Its whole frame.
    pub bytes: Bytes,
}

/// What ends a recording.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The last chunk, if anything was pending.
    pub last: Option<SealedChunk>,
    /// The signed manifest.
    pub trailer: Trailer,
    /// The trailer's frame.
    pub trailer_frame: Bytes,
}

/// Records one session.
pub struct Writer {
    session: SessionId,
    key: LessSafeKey,
    nonce_prefix: [u8; 4],
    header: Hash,
    prev: Hash,
    seq: u64,
    bytes: u64,
    pending: Vec<u8>,
    contents: Contents,
    gaps: Vec<GapStatement>,
    compression: Compression,
    pause: u8,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({}, next chunk {}, {} bytes pending)", self.session, self.seq, self.pending.len())
    }
}

impl Writer {
    /// Makes a data key, wraps it for the recording key, and makes the header: the first frame to store.
    ///
    /// # Errors
    /// When the facts do not fit or the key is unusable.
    pub fn create(start: Start, recording_key: &RecordingPublicKey) -> Result<(Self, Frame), WriteError> {
        let random = SystemRandom::new();
        let (mut secret, mut nonce_prefix) = (zeroize::Zeroizing::new([0; 32]), [0; 4]);
        random.fill(secret.as_mut_slice()).map_err(|_| WriteError::Crypto)?;
        random.fill(&mut nonce_prefix).map_err(|_| WriteError::Crypto)?;
        let data_key = DataKey::new(*secret);
        let header = Header {
            format: FORMAT_VERSION,
            session: start.session,
            started_at: start.at,
            facts: start.facts,
            key_id: recording_key.id(),
            wrapped_key: recording_key.wrap(&data_key)?,
            signer: start.signer,
            nonce_prefix,
        }
        .to_frame()?;
        let hash = header.hash();
        let key = UnboundKey::new(&AES_256_GCM, data_key.expose()).map_err(|_| WriteError::Crypto)?;
        let writer = Self {
            session: start.session,
            key: LessSafeKey::new(key),
            nonce_prefix,
            header: hash,
            prev: hash,
            seq: 0,
            bytes: header.bytes.len() as u64,
            pending: Vec::new(),
            contents: Contents::default(),
            gaps: Vec::new(),
            compression: start.compression,
            pause: 0,
        };
        Ok((writer, header))
    }

    /// Adds a record. What it returns are the chunks that became full on the way, in order: they come before anything
    /// that is sealed later. Usually there are none.
    ///
    /// # Errors
    /// [`WriteError::Crypto`]; the recording is then at its end.
    #[must_use = "full chunks are part of the recording"]
    pub fn append(&mut self, record: &Record) -> Result<Vec<SealedChunk>, WriteError> {
        self.count(record);
        let mut full = Vec::new();
        self.place(record, &mut full)?;
        Ok(full)
    }

    /// Bytes that wait for [`Self::seal_chunk`].
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// The number that the next chunk gets.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.seq
    }

    /// Makes a chunk of what is pending; `None` if nothing is.
    ///
    /// # Errors
    /// [`WriteError::Crypto`]; the recording is then at its end.
    pub fn seal_chunk(&mut self) -> Result<Option<SealedChunk>, WriteError> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let plain = std::mem::take(&mut self.pending);
        let sealed = self.seal(&plain);
        scratch::give_back(plain);
        sealed.map(Some)
    }

    /// States that something is missing from here: the manifest's signature will cover it.
    pub fn note_gap(&mut self, at: Timestamp, reason: &str) {
        let before_chunk = self.seq.saturating_add(1);
        match self.gaps.len() {
            ..MAX_GAPS => {
                self.gaps.push(GapStatement { at, before_chunk, reason: bounded_reason(reason) });
            }
            MAX_GAPS => {
                let reason = "further gaps follow, named by the events alone".to_owned();
                self.gaps.push(GapStatement { at, before_chunk, reason });
            }
            _ => {}
        }
    }

    /// What the session's connections carried: for the manifest.
    pub fn note_carried(&mut self, carried: Carried) {
        self.contents.carried = Some(carried);
    }

    /// Ends the recording: the last chunk, and the manifest signed with the key that the header names.
    ///
    /// # Errors
    /// [`WriteError::Crypto`].
    pub fn finish(mut self, at: Timestamp, reason: &str, key: &SigningKey) -> Result<Finished, WriteError> {
        let last = self.seal_chunk()?;
        let manifest = Manifest {
            format: FORMAT_VERSION,
            session: self.session,
            header: self.header,
            chunks: self.seq,
            bytes: self.bytes,
            head: self.prev,
            contents: Some(std::mem::take(&mut self.contents)),
            ended: Ended::Sealed { reason: bounded_reason(reason) },
            ended_at: at,
            gaps: std::mem::take(&mut self.gaps),
        };
        let trailer = Trailer::sign(manifest, key)?;
        let trailer_frame = trailer.to_frame()?.bytes;
        Ok(Finished { last, trailer, trailer_frame })
    }

    fn count(&mut self, record: &Record) {
        let contents = &mut self.contents;
        contents.events += 1;
        contents.first_at = contents.first_at.or(Some(record.at));
        contents.last_at = Some(record.at);
        match &record.event {
            Event::Request { .. } => contents.requests += 1,
            Event::Completed { rows, .. } => contents.rows = contents.rows.saturating_add(*rows),
            _ => {}
        }
    }

    fn place(&mut self, record: &Record, full: &mut Vec<SealedChunk>) -> Result<(), WriteError> {
        let size = codec::size_hint(record);
        if size + self.pending.len() > MAX_PLAINTEXT {
            full.extend(self.seal_chunk()?);
        }
        if size > MAX_PLAINTEXT {
            return self.place_large(record, full);
        }
        if self.pending.capacity() == 0 {
            self.pending = scratch::take();
        }
        codec::encode(record, &mut self.pending);
        Ok(())
    }

    /// What does not fit a chunk: row and COPY data become several events, anything else several pieces.
    fn place_large(&mut self, record: &Record, full: &mut Vec<SealedChunk>) -> Result<(), WriteError> {
        if let Some(parts) = split::into_events(record) {
            return parts.iter().try_for_each(|part| self.place(part, full));
        }
        let (kept, lost) = split::bounded(record);
        if let Some(reason) = &lost {
            self.note_gap(record.at, reason);
        }
        if let Some(kept) = kept {
            let mut body = Vec::new();
            codec::encode_body(&kept, &mut body);
            self.place_pieces(&body, full)?;
        }
        match lost {
            None => Ok(()),
            Some(reason) => {
                self.contents.events += 1;
                self.place(
                    &Record { at: record.at, stream: record.stream, event: Event::Gap { reason } },
                    full,
                )
            }
        }
    }

    fn place_pieces(&mut self, body: &[u8], full: &mut Vec<SealedChunk>) -> Result<(), WriteError> {
        let mut pieces = body.chunks(MAX_PLAINTEXT - codec::PIECE_PREFIX).peekable();
        while let Some(piece) = pieces.next() {
            if self.pending.len() + codec::PIECE_PREFIX + piece.len() > MAX_PLAINTEXT {
                full.extend(self.seal_chunk()?);
            }
            let more = if pieces.peek().is_some() { codec::MORE } else { 0 };
            let length = u32::try_from(piece.len()).map_err(|_| WriteError::Crypto)? | more;
            self.pending.extend_from_slice(&length.to_le_bytes());
            self.pending.extend_from_slice(piece);
        }
        Ok(())
    }

    fn seal(&mut self, plain: &[u8]) -> Result<SealedChunk, WriteError> {
        let level = match self.compression {
            Compression::Zstd(level) if plain.len() >= COMPRESS_FROM && self.pause == 0 => {
                if plain.len() < SMALL { level.min(HASTE) } else { level }
            }
            _ => {
                self.pause = self.pause.saturating_sub(1);
                return self.seal_bytes(plain, 0);
            }
        };
        scratch::compressed(plain, level, |compressed| match compressed {
            Some(compressed) => {
                if compressed.len() > plain.len() / 10 * 9 {
                    self.pause = COMPRESS_PAUSE;
                }
                self.seal_bytes(compressed, COMPRESSED)
            }
            None => {
                self.pause = COMPRESS_PAUSE;
                self.seal_bytes(plain, 0)
            }
        })
    }

    fn seal_bytes(&mut self, content: &[u8], flags: u8) -> Result<SealedChunk, WriteError> {
        const START: usize = FRAME_PREFIX + CHUNK_PREFIX;
        let (seq, next) = (self.seq, self.seq.checked_add(1).ok_or(WriteError::Crypto)?);
        let mut frame = Vec::with_capacity(START + content.len() + AEAD_TAG);
        frame.extend_from_slice(&frame_prefix(Tag::Chunk, CHUNK_PREFIX + content.len() + AEAD_TAG));
        frame.extend_from_slice(&seq.to_be_bytes());
        frame.extend_from_slice(self.prev.as_bytes());
        frame.push(flags);
        frame.extend_from_slice(content);
        let nonce = Nonce::assume_unique_for_key(nonce(self.nonce_prefix, seq));
        let data = Aad::from(associated_data(&self.session, seq, &self.prev, flags));
        let place = frame.get_mut(START..).ok_or(WriteError::Crypto)?;
        let tag = self.key.seal_in_place_separate_tag(nonce, data, place).map_err(|_| WriteError::Crypto)?;
        frame.extend_from_slice(tag.as_ref());
        let hash = Hash::of(&frame);
        self.prev = hash;
        self.seq = next;
        self.bytes += frame.len() as u64;
        Ok(SealedChunk { seq, hash, bytes: Bytes::from(frame) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        scratch::give_back(std::mem::take(&mut self.pending));
    }
}

pub(crate) fn bounded_reason(reason: &str) -> String {
    let mut text = visible(reason);
    if text.len() > MAX_REASON {
        let end = (0..=MAX_REASON).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
