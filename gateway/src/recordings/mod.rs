//! Recordings: taken from agents into a folder, where they are durable at once, and from there, where the gateway is set
//! up so, moved to a store of objects while the session still runs.
//!
//! To this folder a recording is bytes; what they mean is `hoop_recording`'s. A recording is read from wherever it is.

mod backlog;
mod erase;
mod mover;
mod objects;
mod s3_calls;
mod source;
mod staging;
mod upload;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use hoop_model::{SessionId, Timestamp};

use self::staging::Staging;
pub(crate) use self::{
    backlog::Backlog,
    erase::run as run_retention,
    mover::run as run_mover,
    objects::{ObjectError, Objects},
    source::Source,
    staging::{Piece, Stored, make_private_dir},
};
use crate::config;

/// All recordings.
#[derive(Debug)]
pub(crate) struct Recordings {
    staging: Staging,
    objects: Option<Arc<Objects>>,
    /// What waits for the store of objects.
    pub(crate) backlog: Backlog,
    /// Recordings sealed since the start: what was looked up before the latest is to be looked up again.
    seals: AtomicU64,
}

impl Recordings {
    /// # Errors
    /// When the folder cannot be made, or the store's settings cannot be used.
    pub(crate) fn new(config: &config::Recordings) -> io::Result<Self> {
        let objects = config.s3.as_ref().map(Objects::new).transpose().map_err(io::Error::other)?;
        Ok(Self {
            staging: Staging::new(&config.dir, config.limit)?,
            objects: objects.map(Arc::new),
            backlog: Backlog::new(config.s3.as_ref()),
            seals: AtomicU64::new(0),
        })
    }

    /// Where finished ones go, unless they stay in the folder.
    pub(crate) const fn objects(&self) -> Option<&Arc<Objects>> {
        self.objects.as_ref()
    }

    /// Writes pieces and makes them durable: see [`Staging::store`]. Blocks.
    ///
    /// Takes nothing while the store of objects is too far behind: the folder is no place for what nobody fetches.
    pub(crate) fn store(&self, pieces: Vec<Piece>) -> BTreeMap<SessionId, Stored> {
        match self.backlog.too_much() {
            None => self.staging.store(pieces),
            Some(why) => {
                let refused = |piece: Piece| (piece.session, Stored::Failed(io::Error::other(why.clone())));
                pieces.into_iter().map(refused).collect()
            }
        }
    }

    /// Opens a recording where it is. Blocks.
    pub(crate) fn read(&self, session: SessionId) -> io::Result<Source> {
        match (self.staging.read(session), &self.objects) {
            (Err(error), Some(objects)) if error.kind() == io::ErrorKind::NotFound => {
                Source::object(objects, session)
            }
            // It is made a moment before its first byte.
            (Ok(file), _) if file.metadata()?.len() == 0 => Err(io::ErrorKind::NotFound.into()),
            (file, _) => file.map(Source::File),
        }
    }

    /// What stands from an offset to the end, if it can be a trailer. Blocks.
    pub(crate) fn tail(&self, session: SessionId, offset: u64) -> io::Result<Option<Bytes>> {
        let source = self.read(session)?;
        let longest = hoop_recording::container::MAX_TRAILER + hoop_recording::container::FRAME_PREFIX;
        let length = source.length()?.saturating_sub(offset);
        match usize::try_from(length) {
            Ok(length) if (1..=longest).contains(&length) => source.exactly(offset, length).map(Some),
            _ => Ok(None),
        }
    }

    /// Bytes that are in the folder: of a session that is being recorded.
    pub(crate) fn length(&self, session: SessionId) -> u64 {
        self.staging.length(session)
    }

    /// Does what blocks where it may, with the folder at hand.
    async fn in_folder<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ObjectError> {
        let recordings = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&recordings)).await;
        done.map_err(io::Error::other).flatten().map_err(|error| ObjectError::Failed(error.to_string()))
    }

    /// How many recordings were sealed since the start.
    pub(crate) fn seals(&self) -> u64 {
        self.seals.load(Ordering::Acquire)
    }

    /// One more was sealed: it gets no more.
    pub(crate) fn sealed(&self, session: SessionId) {
        self.seals.fetch_add(1, Ordering::AcqRel);
        self.close(session);
    }

    /// Forgets the open file of a session that gets no more.
    pub(crate) fn close(&self, session: SessionId) {
        self.staging.close(session);
    }
}

/// `2026-11`: a UUIDv7 begins with milliseconds since the epoch.
pub(crate) fn month(session: SessionId) -> String {
    let [a, b, c, d, e, f, ..] = *session.as_bytes();
    let millis = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let at = Timestamp::from_micros(i64::try_from(millis.saturating_mul(1000)).unwrap_or(0)).to_string();
    at.get(..7)
        .filter(|text| text.bytes().all(|c| c.is_ascii_digit() || c == b'-'))
        .unwrap_or("unknown")
        .to_owned()
}
