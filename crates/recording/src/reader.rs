//! Plays a recording with its key: records in order, each chunk checked before its first record is handed out.
//!
//! A recording that was cut off at any byte plays up to its last whole chunk. A chunk that was altered, dropped,
//! swapped or inserted ends the play with an error that names the place.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::{Buf, Bytes};
use hoop_model::SessionId;

use crate::{
    chain::{Chain, ChainError},
    codec::{self, CodecError, Decoded},
    container::{
        COMPRESSED, Chunk, Ended, Frame, Header, MAX_PLAINTEXT, Manifest, Tag, associated_data, nonce,
    },
    event::{Event, Record},
    frames::{FrameReader, Next},
    keys::{DataKey, KeyError, Unwrap},
    scratch,
    split::MAX_EVENT,
};

/// Why a recording does not play (any further).
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed.
    #[error("reading the recording failed")]
    Input(#[from] io::Error),
    /// It does not begin with a header.
    #[error("this is not a recording: {0}")]
    NotARecording(ChainError),
    /// The data key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A frame is malformed or not the next one: dropped, swapped or inserted.
    #[error("chunk {chunk}, at byte {offset}: {error}")]
    Chain {
        /// The chunk that belongs here.
        chunk: u64,
        /// Where the frame begins.
        offset: u64,
        /// What is wrong with it.
        error: ChainError,
    },
    /// The ciphertext is not what the writer made.
    #[error("chunk {chunk}, at byte {offset}: it was altered, or belongs to another recording")]
    Altered {
        /// The chunk.
        chunk: u64,
        /// Where its frame begins.
        offset: u64,
    },
    /// The writer made something this program cannot read.
    #[error("chunk {chunk}, at byte {offset}: {error}")]
    Content {
        /// The chunk.
        chunk: u64,
        /// Where its frame begins.
        offset: u64,
        /// What is wrong.
        error: CodecError,
    },
}

/// Reads the header alone: whose recording it is, and for which key.
///
/// # Errors
/// When it is no recording.
pub fn read_header(input: impl Read) -> Result<Header, ReadError> {
    let frame = first_frame(&mut FrameReader::new(input))?;
    Chain::begin(&frame).map(|(_, header)| header).map_err(ReadError::NotARecording)
}

fn first_frame<R: Read>(frames: &mut FrameReader<R>) -> Result<Frame, ReadError> {
    match frames.next_frame()? {
        Next::Frame { frame, .. } => Ok(frame),
        Next::Bad { error, .. } => Err(ReadError::NotARecording(error.into())),
        Next::End { .. } | Next::Cut { .. } => {
            Err(ReadError::NotARecording(crate::container::FrameError::TooShort.into()))
        }
    }
}

/// How the play ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All of it, with a good signature.
    Sealed(Manifest),
    /// All that the agent could save, with a good signature.
    Interrupted(Manifest),
    /// No trailer: the recording goes on elsewhere, or was cut off.
    CutOff {
        /// The last whole chunk; `None`: not even one.
        after_chunk: Option<u64>,
        /// Bytes up to its end.
        offset: u64,
    },
}

/// Opens chunks with the data key.
struct Opener {
    session: SessionId,
    key: LessSafeKey,
    nonce_prefix: [u8; 4],
}

impl Opener {
    fn new(header: &Header, key: &DataKey) -> Result<Self, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| KeyError::Library)?;
        Ok(Self { session: header.session, key: LessSafeKey::new(key), nonce_prefix: header.nonce_prefix })
    }

    fn open(&self, chunk: &Chunk) -> Option<Vec<u8>> {
        let nonce = Nonce::assume_unique_for_key(nonce(self.nonce_prefix, chunk.seq));
        let data = Aad::from(associated_data(&self.session, chunk.seq, &chunk.prev, chunk.flags));
        let mut content = chunk.sealed.to_vec();
        let length = self.key.open_in_place(nonce, data, &mut content).ok()?.len();
        content.truncate(length);
        match chunk.flags {
            0 if content.len() <= MAX_PLAINTEXT => Some(content),
            COMPRESSED => scratch::decompress(&content),
            _ => None,
        }
    }
}

/// Joins pieces to records.
#[derive(Default)]
struct Joiner {
    partial: Vec<u8>,
    unknown: u64,
}

impl Joiner {
    fn feed(&mut self, plain: Vec<u8>, out: &mut VecDeque<Record>) -> Result<(), CodecError> {
        let mut plain = Bytes::from(plain);
        while !plain.is_empty() {
            let prefix = plain.try_get_u32_le().map_err(|_| CodecError::Truncated("length"))?;
            let length = usize::try_from(prefix & !codec::MORE).map_err(|_| CodecError::Range("length"))?;
            if length > plain.len() {
                return Err(CodecError::Truncated("piece"));
            }
            let piece = plain.split_to(length);
            if prefix & codec::MORE == 0 && self.partial.is_empty() {
                self.deliver(piece, out)?;
                continue;
            }
            if self.partial.len() + piece.len() > MAX_EVENT + MAX_PLAINTEXT {
                return Err(CodecError::Range("pieces"));
            }
            self.partial.extend_from_slice(&piece);
            if prefix & codec::MORE == 0 {
                let body = Bytes::from(std::mem::take(&mut self.partial));
                self.deliver(body, out)?;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, body: Bytes, out: &mut VecDeque<Record>) -> Result<(), CodecError> {
        out.push_back(match codec::decode_body(body)? {
            Decoded::Record(record) => record,
            Decoded::Unknown { kind, at, stream, length } => {
                self.unknown += 1;
                let reason =
                    format!("an event of kind {kind} ({length} bytes), which this version cannot show");
                Record { at, stream, event: Event::Gap { reason } }
            }
        });
        Ok(())
    }
}

/// Plays frames that are handed to it: for a live view, where the next chunk is not there yet.
pub struct Player {
    chain: Chain,
    opener: Opener,
    joiner: Joiner,
    ended: Option<Manifest>,
}

impl Player {
    /// Begins with the header frame.
    ///
    /// # Errors
    /// When it is none, or its data key does not open.
    pub fn begin(frame: &Frame, keys: &dyn Unwrap) -> Result<(Self, Header), ReadError> {
        let (chain, header) = Chain::begin(frame).map_err(ReadError::NotARecording)?;
        let key = keys.unwrap(&header.key_id, &header.wrapped_key)?;
        let opener = Opener::new(&header, &key)?;
        Ok((Self { chain, opener, joiner: Joiner::default(), ended: None }, header))
    }

    /// Takes the next frame, whose first byte stands at `offset`, and adds its records to `out`.
    ///
    /// # Errors
    /// When it is not the next one, or altered.
    pub fn play(&mut self, frame: &Frame, offset: u64, out: &mut VecDeque<Record>) -> Result<(), ReadError> {
        let chunk = self.chain.chunks();
        let wrong = |error| ReadError::Chain { chunk, offset, error };
        if frame.tag == Tag::Trailer {
            self.ended = Some(self.chain.close(frame).map_err(wrong)?.manifest);
            return Ok(());
        }
        let sealed = self.chain.accept(frame).map_err(wrong)?;
        let plain = self.opener.open(&sealed).ok_or(ReadError::Altered { chunk, offset })?;
        self.joiner.feed(plain, out).map_err(|error| ReadError::Content { chunk, offset, error })
    }

    /// Events of kinds this version does not know, which were played as gaps.
    #[must_use]
    pub const fn unknown_events(&self) -> u64 {
        self.joiner.unknown
    }

    fn ending(&self) -> Ending {
        match &self.ended {
            Some(manifest) => match &manifest.ended {
                Ended::Sealed { .. } => Ending::Sealed(manifest.clone()),
                Ended::Interrupted { .. } => Ending::Interrupted(manifest.clone()),
            },
            None => {
                Ending::CutOff { after_chunk: self.chain.chunks().checked_sub(1), offset: self.chain.bytes() }
            }
        }
    }
}

/// Plays a recording from a file or stream; an iterator of its records.
///
/// Memory is bounded by a chunk, its records, and one event's pieces ([`MAX_EVENT`]).
pub struct Reader<R> {
    frames: FrameReader<R>,
    player: Player,
    header: Header,
    ready: VecDeque<Record>,
    ending: Option<Ending>,
    failed: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header and opens the data key.
    ///
    /// # Errors
    /// When it is no recording, or made for another key.
    pub fn open(input: R, keys: &dyn Unwrap) -> Result<Self, ReadError> {
        let mut frames = FrameReader::new(input);
        let frame = first_frame(&mut frames)?;
        let (player, header) = Player::begin(&frame, keys)?;
        Ok(Self { frames, player, header, ready: VecDeque::new(), ending: None, failed: false })
    }

    /// The session's facts.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// How it ended: known once all records were played without an error.
    #[must_use]
    pub const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Events of kinds this version does not know, which were played as gaps.
    #[must_use]
    pub const fn unknown_events(&self) -> u64 {
        self.player.unknown_events()
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// At the first thing that is wrong; nothing is played after it.
    pub fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            if self.failed || self.ending.is_some() {
                return Ok(None);
            }
            let step = self.step();
            self.failed = step.is_err();
            step?;
        }
    }

    fn step(&mut self) -> Result<(), ReadError> {
        match self.frames.next_frame()? {
            Next::Frame { offset, frame } => self.player.play(&frame, offset, &mut self.ready),
            Next::Bad { offset, error } => {
                Err(ReadError::Chain { chunk: self.player.chain.chunks(), offset, error: error.into() })
            }
            Next::Cut { offset } if self.player.ended.is_some() => {
                Err(ReadError::Chain { chunk: self.player.chain.chunks(), offset, error: ChainError::Ended })
            }
            Next::End { .. } | Next::Cut { .. } => {
                self.ending = Some(self.player.ending());
                Ok(())
            }
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}
