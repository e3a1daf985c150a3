//! For the bench alone, in builds with the feature `bench-unrecorded`: what a stream costs without its recording.
//!
//! No ordinary build has it, and there it needs a file of a name that says what it does.

use std::{
    path::Path,
    task::{Context, Poll},
};

use hoop_recording::Record;
use hoop_session::{Mark, Tape, TapeError};

/// Present in the spool: streams that begin from then on are not recorded.
const SWITCH: &str = "bench-without-recording";

/// Whether the bench wants it so.
pub(crate) fn is_wanted(spool: &Path) -> bool {
    let wanted = spool.join(SWITCH).exists();
    if wanted {
        tracing::error!("a stream is NOT RECORDED: this is a build for the bench");
    }
    wanted
}

/// Keeps nothing.
pub(crate) struct Unrecorded;

impl Tape for Unrecorded {
    fn append(&self, _: Record) -> Result<Mark, TapeError> {
        Ok(Mark::default())
    }

    fn poll_kept(&self, _: Mark, _: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        Poll::Ready(Ok(()))
    }
}
