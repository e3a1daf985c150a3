//! Blocks of headers: names and values, compressed with one context for each direction of a connection.
//!
//! What one block leaves in the context is needed for the next: an error in one ends the connection.

use bytes::{BufMut as _, Bytes};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{BadFrame, dictionary::dictionary};

/// Bytes of a block once it is decompressed.
pub(super) const LONGEST_BLOCK: usize = 256 << 10;
/// Headers in one block.
const MOST_HEADERS: u32 = 256;

/// Names, in lower case, and values, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Bytes, Bytes)>);

impl Headers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Bytes>) -> Self {
        self.0.push((Bytes::from_static(name.as_bytes()), value.into()));
        self
    }

    /// The value of that name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| other == name.as_bytes()).map(|(_, value)| &value[..])
    }

    fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        plain.put_u32(length(self.0.len()));
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(length(text.len()));
            plain.extend_from_slice(text);
        }
        plain
    }

    fn read(plain: Bytes) -> Result<Self, BadFrame> {
        let mut rest = plain;
        let count = number(&mut rest)?;
        if count > MOST_HEADERS {
            return Err(BadFrame::TooManyHeaders);
        }
        let mut headers = Self::default();
        for _ in 0..count {
            let (name, value) = (text(&mut rest)?, text(&mut rest)?);
            if name.is_empty() || name.iter().any(u8::is_ascii_uppercase) {
                return Err(BadFrame::HeaderName);
            }
            if headers.0.iter().any(|(other, _)| *other == name) {
                return Err(BadFrame::HeaderTwice);
            }
            headers.0.push((name, value));
        }
        if rest.is_empty() { Ok(headers) } else { Err(BadFrame::HeaderBlock) }
    }
}

/// Blocks are checked against their bound before: nothing here is longer.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn number(rest: &mut Bytes) -> Result<u32, BadFrame> {
    let (head, _) = rest.split_first_chunk::<4>().ok_or(BadFrame::HeaderBlock)?;
    let number = u32::from_be_bytes(*head);
    let _ = rest.split_to(4);
    Ok(number)
}

fn text(rest: &mut Bytes) -> Result<Bytes, BadFrame> {
    let length = usize::try_from(number(rest)?).map_err(|_| BadFrame::HeaderBlock)?;
    if length > rest.len() {
        return Err(BadFrame::HeaderBlock);
    }
    Ok(rest.split_to(length))
}

/// Compresses what we send.
#[derive(Debug)]
pub(super) struct Compressor {
    zlib: Compress,
    is_ready: bool,
}

impl Compressor {
    pub(super) fn new() -> Self {
        let mut zlib = Compress::new(Compression::default(), true);
        let is_ready = zlib.set_dictionary(dictionary()).is_ok();
        Self { zlib, is_ready }
    }

    pub(super) fn block(&mut self, headers: &Headers) -> Result<Vec<u8>, BadFrame> {
        let plain = headers.plain();
        if !self.is_ready || plain.len() > LONGEST_BLOCK {
            return Err(BadFrame::BlockTooLong);
        }
        let mut block = Vec::with_capacity(plain.len() + 64);
        let mut rest = plain.as_slice();
        loop {
            let before = self.zlib.total_in();
            let result = self.zlib.compress_vec(rest, &mut block, FlushCompress::Sync);
            let taken = usize::try_from(self.zlib.total_in() - before).unwrap_or(rest.len());
            rest = rest.get(taken..).unwrap_or_default();
            result.map_err(|_| BadFrame::Compression)?;
            // With room left, all is out.
            if rest.is_empty() && block.len() < block.capacity() {
                return Ok(block);
            }
            block.reserve(256);
        }
    }
}

/// Decompresses what the peer sends.
#[derive(Debug)]
pub(super) struct Decompressor {
    zlib: Decompress,
}

impl Decompressor {
    pub(super) fn new() -> Self {
        Self { zlib: Decompress::new(true) }
    }

    pub(super) fn headers(&mut self, block: &[u8]) -> Result<Headers, BadFrame> {
        let mut plain = Vec::with_capacity(1024);
        let mut rest = block;
        loop {
            let (before, had) = (self.zlib.total_in(), plain.len());
            let result = self.zlib.decompress_vec(rest, &mut plain, FlushDecompress::Sync);
            let taken = usize::try_from(self.zlib.total_in() - before).unwrap_or(rest.len());
            rest = rest.get(taken..).unwrap_or_default();
            match result {
                Ok(Status::Ok | Status::BufError) => {}
                // A context lives as long as its connection.
                Ok(Status::StreamEnd) => return Err(BadFrame::Compression),
                Err(error) if error.needs_dictionary().is_some() => {
                    self.zlib.set_dictionary(dictionary()).map_err(|_| BadFrame::Compression)?;
                    continue;
                }
                Err(_) => return Err(BadFrame::Compression),
            }
            if plain.len() > LONGEST_BLOCK {
                return Err(BadFrame::BlockTooLong);
            }
            if plain.len() < plain.capacity() {
                // With room left, there is no more in it.
                if rest.is_empty() {
                    return Headers::read(plain.into());
                }
                if taken == 0 && plain.len() == had {
                    return Err(BadFrame::Compression);
                }
            }
            if plain.len() == plain.capacity() {
                // Never more than one byte beyond the bound.
                let room = (LONGEST_BLOCK + 1).saturating_sub(plain.len()).min(plain.len().max(1024));
                plain.reserve_exact(room);
            }
        }
    }
}
