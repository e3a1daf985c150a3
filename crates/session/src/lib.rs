//! Drives one engine between two byte streams. tokio begins here.
//!
//! One stream of a session is one task that runs [`drive`]. It owns both byte streams, asks policy, writes the
//! recording, and keeps the order that makes evidence worth something:
//!
//! ```text
//!   read a side ─▶ engine ─▶ Record …, Send …      (all outputs of one input are one turn)
//!                             │
//!                             ▼
//!              tape.poll_kept()  — the turn's records are kept, encrypted
//!                             │
//!                             ▼
//!              write both sides
//! ```
//!
//! - Nothing that a turn sends is written before the tape has kept what the turn recorded. Until then no side is read.
//! - A tape that is behind ([`Tape::poll_ready`] pending) stops reading; a broken one ends the stream with the reason.
//! - A full outgoing buffer stops reading the *other* side, never its own, so both directions always make progress.
//! - The end (kill, deadline, idle, lost recording) comes through [`Ending`]; the client is told in its own protocol,
//!   within [`Limits::farewell`].
//!
//! - An engine that owns its event loop is not fed but hosted, see [`host`]: the same tape, warrant and end serve it.
//!
//! It must not know any protocol, certificate or file.

mod crossing;
mod drive;
mod ending;
mod host;
mod leash;
mod pipe;
mod slab;
mod tape;
mod target;
mod turn;

pub use drive::{Limits, Parts, StreamEnd, drive};
pub use ending::{Ending, Terminator, ending};
pub use host::{HostParts, bare_host, host};
pub use pipe::{Pipe, SocketPipe, coalesce};
pub use tape::{Activity, Mark, Tape, TapeError};
pub use target::{CancelDesk, Dial, Pending, SecuredSocket, Socket, TargetStream};
