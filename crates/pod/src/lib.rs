//! Runs a command in a pod, over one stream to an API server: its input, output, terminal size and exit code.
//!
//! ```text
//! GET /api/v1/namespaces/NS/pods/POD/exec?command=…    ── 101, or a v1.Status that says why not
//! frames of a WebSocket (v5.channel.k8s.io): one byte of channel, then data
//!   0 stdin ▶   4 terminal size ▶   255 "this channel is done" ▶   ◀ 1 stdout   ◀ 2 stderr   ◀ 3 how it ended
//! ```
//! [`open`] gives both directions to whoever has use for them; [`run`] joins them with readers and writers. Knows no terminal and no
//! session.

mod error;
mod frames;
mod open;
mod status;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use futures::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

pub use self::{
    error::{PodError, Refusal},
    frames::Size,
    open::PodCommand,
};
use self::{frames::Heard, open::Socket};

/// One read of stdin is one frame.
const PIECE: usize = 32 * 1024;
/// Whoever read the output has had enough: as a shell gives it for SIGPIPE.
const HAD_ENOUGH: u8 = 141;
/// For the last word to a peer that may be gone.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

/// What is here of the command's input and output.
#[derive(Debug)]
pub struct Ends<I, O, E> {
    /// Its input; `None` gives it none.
    pub stdin: Option<I>,
    /// Its output.
    pub stdout: O,
    /// Its complaints; with a terminal they are output too.
    pub stderr: E,
    /// The terminal's size, where there is one.
    pub size: Option<watch::Receiver<Size>>,
}

/// What goes to a command.
#[derive(Debug)]
pub struct Input(SplitSink<Socket, Message>);

/// What comes from a command.
#[derive(Debug)]
pub struct Output(SplitStream<Socket>);

/// What a command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Its output.
    Stdout(Bytes),
    /// Its complaints.
    Stderr(Bytes),
    /// It ended with this exit code; nothing follows.
    Exit(u8),
}

/// Begins it.
///
/// # Errors
/// What the API server says, or that the stream broke.
pub async fn open<S>(stream: S, command: &PodCommand) -> Result<(Input, Output), PodError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, frames) = Box::pin(open::open(stream, command)).await?.split();
    Ok((Input(sink), Output(frames)))
}

impl Input {
    /// A piece of its input. Waits while it takes no more; cancel safe only at its end.
    ///
    /// # Errors
    /// When the peer takes no more: why, [`Output`] may still tell.
    pub async fn stdin(&mut self, bytes: &[u8]) -> Result<(), PodError> {
        self.send(frames::stdin(bytes)).await
    }

    /// There is no more input.
    ///
    /// # Errors
    /// As [`Self::stdin`].
    pub async fn end_of_stdin(&mut self) -> Result<(), PodError> {
        self.send(frames::end_of_stdin()).await
    }

    /// Its terminal has this size.
    ///
    /// # Errors
    /// As [`Self::stdin`].
    pub async fn resize(&mut self, size: Size) -> Result<(), PodError> {
        self.send(frames::size(size)).await
    }

    /// A word of farewell.
    pub async fn close(&mut self) {
        let _ = timeout(FAREWELL, self.0.close()).await;
    }

    async fn send(&mut self, frame: Message) -> Result<(), PodError> {
        self.0.send(frame).await.map_err(|_| PodError::Broke("the peer takes no more"))
    }
}

impl Output {
    /// The next thing. Cancel safe.
    ///
    /// # Errors
    /// When it did not run to its end, or its end is not known.
    pub async fn next(&mut self) -> Result<Said, PodError> {
        while let Some(frame) = self.0.next().await {
            let frame = frame.map_err(|error| {
                tracing::debug!(%error, "the stream of the command broke");
                PodError::Broke("the stream broke off")
            })?;
            match frames::read(frame)? {
                Heard::Stdout(bytes) => return Ok(Said::Stdout(bytes)),
                Heard::Stderr(bytes) => return Ok(Said::Stderr(bytes)),
                Heard::Ended(status) => return status::ended(&status).map(Said::Exit),
                Heard::Nothing => {}
            }
        }
        Err(PodError::Broke("the stream ended, and nobody said how the command did"))
    }
}

/// Runs it to its end, and gives its exit code. Not cancel safe: whoever drops it leaves the command to the API server.
///
/// # Errors
/// What the API server says, or that the stream or an end broke.
pub async fn run<S, I, O, E>(stream: S, command: &PodCommand, ends: Ends<I, O, E>) -> Result<u8, PodError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let (mut input, mut output) = open(stream, command).await?;
    let Ends { stdin, stdout, stderr, size } = ends;
    let ended = {
        let mut saying = std::pin::pin!(say(&mut input, stdin, size));
        let mut hearing = std::pin::pin!(hear(&mut output, stdout, stderr));
        let mut may_say = true;
        loop {
            tokio::select! {
                biased;
                ended = &mut hearing => break ended,
                said = &mut saying, if may_say => match said {
                    Err(error @ PodError::Local(..)) => break Err(error),
                    // If the peer takes no more: why, it may still tell.
                    _ => may_say = false,
                },
            }
        }
    };
    input.close().await;
    ended
}

/// Input and sizes, as they come.
async fn say<I>(
    input: &mut Input,
    mut stdin: Option<I>,
    mut size: Option<watch::Receiver<Size>>,
) -> Result<(), PodError>
where
    I: AsyncRead + Unpin,
{
    if let Some(size) = &mut size {
        let first = *size.borrow_and_update();
        input.resize(first).await?;
    }
    let mut buffer = vec![0; PIECE];
    loop {
        tokio::select! {
            read = read_some(&mut stdin, &mut buffer) => {
                match read.map_err(|error| PodError::Local("its input", error))? {
                    0 => {
                        stdin = None;
                        input.end_of_stdin().await?;
                    }
                    count => input.stdin(buffer.get(..count).unwrap_or_default()).await?,
                }
            }
            changed = changed(&mut size) => match changed {
                Some(size) => input.resize(size).await?,
                None => size = None,
            },
        }
        if stdin.is_none() && size.is_none() {
            return Ok(());
        }
    }
}

async fn read_some<I: AsyncRead + Unpin>(stdin: &mut Option<I>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.read(buffer).await,
        None => std::future::pending().await,
    }
}

async fn changed(size: &mut Option<watch::Receiver<Size>>) -> Option<Size> {
    match size {
        Some(size) => size.changed().await.ok().map(|()| *size.borrow_and_update()),
        None => std::future::pending().await,
    }
}

/// Output, until it is said how the command ended.
async fn hear<O, E>(output: &mut Output, mut stdout: O, mut stderr: E) -> Result<u8, PodError>
where
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    loop {
        let written = match output.next().await? {
            Said::Stdout(bytes) => write(&mut stdout, &bytes).await,
            Said::Stderr(bytes) => write(&mut stderr, &bytes).await,
            Said::Exit(code) => return Ok(code),
        };
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(HAD_ENOUGH),
            other => other.map_err(|error| PodError::Local("its output", error))?,
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}
