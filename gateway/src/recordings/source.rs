//! A recording to be read, wherever it is. For threads that may wait: nothing here is for a task.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use bytes::Bytes;
use hoop_model::SessionId;

use super::{ObjectError, Objects};

/// So much is fetched of an object at once.
const PIECE: u64 = 1 << 20;

/// A recording's bytes.
#[derive(Debug)]
pub(crate) enum Source {
    File(File),
    Object(ObjectSource),
}

/// An object, read from its beginning by pieces.
#[derive(Debug)]
pub(crate) struct ObjectSource {
    objects: Arc<Objects>,
    session: SessionId,
    length: u64,
    at: u64,
    ready: Bytes,
}

impl Source {
    /// The recording as an object. Blocks.
    pub(super) fn object(objects: &Arc<Objects>, session: SessionId) -> io::Result<Self> {
        let found = objects.runtime.block_on(objects.find(session)).map_err(unavailable)?;
        let found = found.ok_or(io::ErrorKind::NotFound)?;
        let objects = Arc::clone(objects);
        Ok(Self::Object(ObjectSource { objects, session, length: found.length, at: 0, ready: Bytes::new() }))
    }

    /// Bytes in all.
    pub(crate) fn length(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Object(object) => Ok(object.length),
        }
    }

    /// Exactly these bytes. Blocks.
    pub(crate) fn exactly(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        match self {
            Self::File(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, offset)?;
                Ok(bytes.into())
            }
            Self::Object(object) => {
                let bytes = object.fetch(offset, length as u64)?;
                if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            }
        }
    }
}

impl ObjectSource {
    fn fetch(&self, offset: u64, length: u64) -> io::Result<Bytes> {
        let range = self.objects.range(self.session, offset, length);
        self.objects.runtime.block_on(range).map_err(unavailable)
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            Self::Object(object) => object.read(into),
        }
    }
}

impl Read for ObjectSource {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() && self.at < self.length {
            let piece = PIECE.min(self.length - self.at);
            self.ready = self.fetch(self.at, piece)?;
            if self.ready.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.at = self.at.saturating_add(self.ready.len() as u64);
        }
        let count = into.len().min(self.ready.len());
        self.ready.split_to(count).as_ref().read_exact(into.get_mut(..count).unwrap_or_default())?;
        Ok(count)
    }
}

fn unavailable(error: ObjectError) -> io::Error {
    match error {
        ObjectError::Absent => io::ErrorKind::NotFound.into(),
        other => io::Error::other(other),
    }
}
