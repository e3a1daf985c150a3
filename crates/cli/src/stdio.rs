//! This process's own input and output, as one stream.
//!
//! Where they are pipes, as ssh makes them for a `ProxyCommand`, they are waited for like sockets. Else a thread stands between, which
//! costs a key's way a turn of the scheduler in each direction. Such a pipe is made longer: both programs then change places less often,
//! which makes a transfer by `ssh` a seventh faster.

use tokio::io::{AsyncRead, AsyncWrite, Join, join};

/// Bytes in a pipe. 64 KiB is what the system gives; more than this only makes keys wait behind a transfer.
#[cfg(target_os = "linux")]
const IN_A_PIPE: usize = 256 << 10;

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
    #[cfg(target_os = "linux")]
    for pipe in [input.as_fd(), output.as_fd()] {
        // A user may have so many pages in pipes: then it stays as it is.
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, IN_A_PIPE);
    }
    let input = pipe::Receiver::from_owned_fd(input.as_fd().try_clone_to_owned().ok()?).ok()?;
    let output = pipe::Sender::from_owned_fd(output.as_fd().try_clone_to_owned().ok()?).ok()?;
    Some(join(Box::new(input), Box::new(output)))
}
