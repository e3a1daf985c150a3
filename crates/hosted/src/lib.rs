//! What hosted engines share (see [`hoop_engine::hosted`]): whatever a program prints, and whatever is done to files, is recorded and
//! masked alike, by whichever protocol it comes.
//!
//! - `stream` gives the library's loop a stream of the host's.
//! - `course` is what all tasks of a stream share, and its one end.
//! - `tally` counts what passes, and says what of it is kept.
//! - `mask` masks what programs print.
//! - `content` sums up what passes of a file, and `files` tells the recording of a transfer.
//!
//! It must not know any protocol.

pub mod content;
pub mod course;
pub mod files;
pub mod mask;
pub mod stream;
pub mod tally;
