//! Why there is no command in a pod, or why its end is not known.

use std::{fmt, io};

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A name or a word is too long for a request.
    #[error("this cannot be asked for: a name or word is too long")]
    TooLong,
    /// The API server, or the agent in its place, has something against it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The stream broke off, or the other side does not speak the protocol.
    #[error("the command's end is not known: {0}")]
    Broke(&'static str),
    /// What is here of its input or output is of no more use.
    #[error("{0} is of no more use here: {1}")]
    Local(&'static str, io::Error),
}

/// What was said in place of an exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The HTTP status; none if it had begun.
    pub http: Option<u16>,
    /// In the words of whoever refused.
    pub message: String,
    /// Their word for it, such as `NotFound`; may be empty.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " [{}]", self.reason) }
    }
}
