//! This process's own input and output, as one stream.
//!
//! Where they are pipes, as ssh makes them for a `ProxyCommand`, they are waited for like sockets. Else a thread stands between, which
//! costs a key's way a turn of the scheduler in each direction.

use tokio::io::{AsyncRead, AsyncWrite, Join, join};

type Input = Box<dyn AsyncRead + Send + Unpin>;
type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Both.
pub(crate) fn stdio() -> Join<Input, Output> {
    pipes().unwrap_or_else(|| join(Box::new(tokio::io::stdin()), Box::new(tokio::io::stdout())))
}

#[cfg(not(unix))]
fn pipes() -> Option<Join<Input, Output>> {
    None
}

#[cfg(unix)]
fn pipes() -> Option<Join<Input, Output>> {
    use std::os::fd::AsFd as _;

    use rustix::fs::{FileType, fstat};
    use tokio::net::unix::pipe;

    let (input, output) = (std::io::stdin(), std::io::stdout());
    let is_pipe = |of: &rustix::fs::Stat| FileType::from_raw_mode(of.st_mode) == FileType::Fifo;
    let (from, to) = (fstat(&input).ok()?, fstat(&output).ok()?);
    // What is said on standard error waits, as everybody's does: it must not share a pipe that does not.
    let is_shared =
        fstat(std::io::stderr()).is_ok_and(|error| (error.st_dev, error.st_ino) == (to.st_dev, to.st_ino));
    if !is_pipe(&from) || !is_pipe(&to) || is_shared {
        return None;
    }
    let input = pipe::Receiver::from_owned_fd(input.as_fd().try_clone_to_owned().ok()?).ok()?;
    let output = pipe::Sender::from_owned_fd(output.as_fd().try_clone_to_owned().ok()?).ok()?;
    Some(join(Box::new(input), Box::new(output)))
}
