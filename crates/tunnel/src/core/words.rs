//! The bounds of a stream, and the ways in which it can go wrong.

use std::time::Duration;

use super::frame::{FrameError, Notice};

/// Bounds of a stream. Each has a default; see the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes held each way, for what is not acknowledged and for what is not read. 1 MiB.
    pub window: u32,
    /// An acknowledgement is sent after this many bytes at the latest. 64 KiB.
    pub ack_every: u32,
    /// And after this time. 200 ms.
    pub ack_delay: Duration,
    /// A silent carrier is pinged after this time. 15 s.
    pub ping_after: Duration,
    /// And given up after this. 30 s.
    pub dead_after: Duration,
    /// How long a new carrier may take to be accepted. 10 s.
    pub accept_within: Duration,
    /// How long a stream lives without a carrier. 5 min.
    pub resume_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: 1024 * 1024,
            ack_every: 64 * 1024,
            ack_delay: Duration::from_millis(200),
            ping_after: Duration::from_secs(15),
            dead_after: Duration::from_secs(30),
            accept_within: Duration::from_secs(10),
            resume_for: Duration::from_secs(300),
        }
    }
}

/// What the peer did that a peer never does. The carrier is dropped; the stream may go on over another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A frame that is none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that has no place here, such as `Accepted` twice.
    #[error("a frame that has no place here")]
    Unexpected,
    /// More than the window.
    #[error("the peer sent more than the window")]
    Window,
    /// Acknowledged what was never sent.
    #[error("the peer acknowledged what was never sent")]
    Acknowledged,
    /// Data behind the stream's end.
    #[error("the peer sent data behind the stream's end")]
    AfterEnd,
    /// An end that is not where the data ends.
    #[error("the peer announced an end that is not where its data ends")]
    End,
}

/// How a stream broke for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The other side gave it up.
    #[error("the other end closed the stream: {} ({})", .0.message, .0.code)]
    Reset(Notice),
    /// The agent does not take the carrier.
    #[error("the agent refused the stream: {} ({})", .0.message, .0.code)]
    Refused(Notice),
    /// No carrier for too long.
    #[error("the connection was away for longer than the stream may wait")]
    Expired,
    /// Given up on this side.
    #[error("the stream was given up on this side: {} ({})", .0.message, .0.code)]
    Local(Notice),
}

/// What passing time brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing, or something to transmit.
    None,
    /// The carrier is dead: detach it.
    CarrierDead,
    /// The stream is broken: no carrier for too long.
    Expired,
}
