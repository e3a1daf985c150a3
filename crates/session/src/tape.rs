//! Where a stream's records go: the recording of its session.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    task::{Context, Poll},
};

use hoop_model::{Fault, Timestamp};
use hoop_recording::event::Record;

/// The recording cannot go on; the stream ends with this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct TapeError(#[from] pub Fault);

/// A place in a recording: behind so many records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(pub u64);

/// A session's recording, as one of its streams holds it.
///
/// A tape that cannot take more says so through [`Tape::poll_ready`].
pub trait Tape: Send + Sync {
    /// Takes one record, and says the place behind it. It is kept soon, or when [`Tape::poll_kept`] asks for it.
    ///
    /// # Errors
    /// [`TapeError`] when the recording is broken.
    fn append(&self, record: Record) -> Result<Mark, TapeError>;

    /// Ready once everything before `mark` is kept: encrypted and written, so that it survives this process. Streams
    /// that ask at the same time are served by one write.
    ///
    /// # Errors
    /// [`TapeError`] when it cannot be written; nothing that depends on it may be sent.
    fn poll_kept(&self, mark: Mark, cx: &mut Context<'_>) -> Poll<Result<(), TapeError>>;

    /// Whether answers too wait until they are kept, and kept means: stored durably by the gateway.
    fn is_strict(&self) -> bool {
        false
    }

    /// Ready when the recording may take more; pending while the gateway is too far behind.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), TapeError>>;
}

/// What a session's streams have done so far, for limits and for people who watch.
#[derive(Debug, Default)]
pub struct Activity {
    /// When the client last sent a byte, microseconds since the epoch.
    last_input: AtomicI64,
    /// Requests asked.
    pub requests: AtomicU64,
    /// Rows shown.
    pub rows: AtomicU64,
    /// Bytes from the client.
    pub bytes_in: AtomicU64,
    /// Bytes to the client.
    pub bytes_out: AtomicU64,
}

impl Activity {
    /// Begins at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { last_input: AtomicI64::new(now.as_micros()), ..Self::default() }
    }

    /// The client sent something.
    pub fn touch(&self, now: Timestamp) {
        self.last_input.store(now.as_micros(), Ordering::Relaxed);
    }

    /// When the client last sent a byte.
    pub fn last_input(&self) -> Timestamp {
        Timestamp::from_micros(self.last_input.load(Ordering::Relaxed))
    }
}
